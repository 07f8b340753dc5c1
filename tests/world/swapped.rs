//! Row 80: a row whose ciphertext does not open. Its run is quarantined and its account halted; nobody else notices.

use rebalanced::edge::store::{RunFilter, SealedToken};
use rebalanced::flow::connect;
use rebalanced::model::environment::Kind;
use rebalanced::model::ids::AccountId;
use rebalanced::model::mandate::HaltScope;
use sqlx::Connection;

use crate::support::{Keeper, Setup, TestWorld, callback, cash, new_york, on_both_databases};

const SIXTY_FORTY: &str = include_str!("../../strategies/sixty-forty.toml");

async fn three_users(on: Keeper) -> (TestWorld, Vec<AccountId>) {
    let setup = Setup { strategies: &[("sixty-forty.toml", SIXTY_FORTY)], database: on, ..Setup::default() };
    let service = TestWorld::new(setup).await;
    let mut accounts = Vec::new();
    for name in ["ada", "bob", "eve"] {
        let account = service.connect(name, "sixty-forty", cash(20_000)).await;
        accounts.push(AccountId::parse(&account).unwrap());
    }
    service.ring(new_york("2019-06-03T10:00:00")).await;
    (service, accounts)
}

async fn kept(service: &TestWorld, account: &AccountId) -> SealedToken {
    service.world.store.sealed_token(account).await.unwrap().unwrap()
}

/// The slot with one account whose row does not open: its run says so, it alone is halted, the others trade.
async fn only_it_is_halted(service: &TestWorld, closed: &AccountId, others: &[AccountId]) {
    service.ring(new_york("2019-06-03T15:45:00")).await;
    let runs = service.world.store.runs(&RunFilter::all()).await.unwrap();
    let end = |id: &AccountId| runs.iter().find(|run| run.account == *id).unwrap().outcome.clone().unwrap();
    let ended = end(closed);
    assert_eq!((ended.kind.as_str(), ended.reason.as_str()), ("quarantined", "token_dead"), "{ended:?}");
    assert!(ended.detail.contains("does not open"), "{ended:?}");
    for other in others {
        assert_eq!(end(other).kind, "completed");
    }
    let halts = service.world.store.halts(true).await.unwrap();
    let scopes: Vec<&HaltScope> = halts.iter().map(|halt| &halt.scope).collect();
    assert_eq!(scopes, [&HaltScope::Account(closed.clone())], "that account, and no other");
    let orders = service.sim.ledger().orders;
    assert_eq!(orders.len(), 2 * others.len());
    assert!(orders.iter().all(|record| record.account.as_ref() != closed.as_str()));
    let asked = service.sim.ledger().requests;
    let slot = new_york("2019-06-03T15:45:00").timestamp();
    let with_it =
        asked.iter().filter(|request| request.at >= slot && request.account.as_deref() == Some(closed.as_str()));
    assert_eq!(with_it.count(), 0, "no request was made with whatever was in the row");
    service.settle_accounts().await;
}

async fn row_80_another_users_ciphertext_in_a_row_halts_that_account_and_no_other(on: Keeper) {
    let (service, accounts) = three_users(on).await;
    let (mine, theirs) = (kept(&service, &accounts[0]).await, kept(&service, &accounts[1]).await);
    assert!(service.world.store.reseal(&mine, &theirs.sealed).await.unwrap());
    only_it_is_halted(&service, &accounts[0], &accounts[1..]).await;
}

async fn row_80_an_older_ciphertext_of_an_earlier_grant_does_not_come_back_to_life(on: Keeper) {
    let (service, accounts) = three_users(on).await;
    let old = kept(&service, &accounts[0]).await;
    let (back, cookie) = service.at_the_broker("sixty-forty", Some(Kind::Paper), "ada").await.unwrap();
    service.sim.set_consent(crate::support::agreed("ada"));
    let (again, again_cookie) = service.at_the_broker("sixty-forty", Some(Kind::Paper), "ada").await.unwrap();
    drop((back, cookie));
    connect::finish(&service.world, callback(&again, again_cookie)).await.unwrap();
    let new = kept(&service, &accounts[0]).await;
    assert_ne!(old.grant, new.grant, "a connection is a grant of its own");
    assert!(service.world.store.reseal(&new, &old.sealed).await.unwrap());
    only_it_is_halted(&service, &accounts[0], &accounts[1..]).await;
}

/// The row is given to somebody else instead of the ciphertext: the user of a grant, and the grant of an account.
async fn row_80_a_grant_that_is_given_to_another_user_does_not_open(on: Keeper) {
    let (service, accounts) = three_users(on).await;
    let (mine, theirs) = (kept(&service, &accounts[0]).await, kept(&service, &accounts[1]).await);
    let mut link = sqlx::AnyConnection::connect(&service.url).await.unwrap();
    let moved = sqlx::query("UPDATE grants SET user_id = $1 WHERE id = $2");
    moved.bind(theirs.user.as_str()).bind(mine.grant.as_str()).execute(&mut link).await.unwrap();
    only_it_is_halted(&service, &accounts[0], &accounts[1..]).await;
}

on_both_databases!(
    row_80_another_users_ciphertext_in_a_row_halts_that_account_and_no_other,
    row_80_an_older_ciphertext_of_an_earlier_grant_does_not_come_back_to_life,
    row_80_a_grant_that_is_given_to_another_user_does_not_open,
);
