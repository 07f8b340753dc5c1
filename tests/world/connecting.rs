//! Every way a connection can go has its own end, and no other user notices.

use alpaca_sim::{ConsentMode, ConsentRule};
use rebalanced::flow::connect::{Error, finish};
use rebalanced::model::environment::Kind;
use rebalanced::model::secret::Secret;
use rebalanced::model::time::Span;

use crate::support::{Keeper, Setup, TestWorld, agreed, callback, cash, new_york, on_both_databases};

const SIXTY_FORTY: &str = include_str!("../../strategies/sixty-forty.toml");
const PAPER: Option<Kind> = Some(Kind::Paper);

async fn service(on: Keeper) -> TestWorld {
    let setup = Setup { strategies: &[("sixty-forty.toml", SIXTY_FORTY)], database: on, ..Setup::default() };
    let service = TestWorld::new(setup).await;
    service.ring(new_york("2019-06-03T10:00:00")).await;
    service
}

async fn health(service: &TestWorld, account: &str) -> &'static str {
    let accounts = service.world.store.accounts().await.unwrap();
    accounts.iter().find(|known| known.id.as_str() == account).unwrap().health.code()
}

/// How the run of one account ended at the next slot.
async fn run_of(service: &TestWorld, account: &str, slot: &str) -> String {
    service.ring(new_york(slot)).await;
    let runs = service.world.store.runs(&rebalanced::edge::store::RunFilter::all()).await.unwrap();
    let slot = new_york(slot);
    let run = runs.iter().find(|run| run.account.as_str() == account && run.slot == slot).unwrap();
    run.outcome.as_ref().unwrap().reason.clone()
}

async fn a_grant_without_trading_is_kept_and_never_trades(on: Keeper) {
    let service = service(on).await;
    let other = service.connect("other", "sixty-forty", cash(20_000)).await;
    service.sim.create_person(Some("ada"), "ada").unwrap();
    let mut new = cash(20_000);
    "ada".clone_into(&mut new.person);
    let account = service.sim.create_account(new).unwrap().to_string();
    service.sim.set_consent(ConsentRule { scope: Some("data".to_owned()), ..agreed("ada") });
    let (back, cookie) = service.at_the_broker("sixty-forty", PAPER, "ada").await.unwrap();
    let connected = finish(&service.world, callback(&back, cookie)).await.unwrap();
    assert_eq!(connected.scopes, ["data"], "what was really granted, not what was asked for");
    assert_eq!((health(&service, &account).await, health(&service, &other).await), ("read_only", "active"));
    assert_eq!(run_of(&service, &account, "2019-06-03T15:45:00").await, "trading_not_granted");
    let orders = service.sim.ledger().orders;
    assert!(!orders.is_empty() && orders.iter().all(|record| record.account.as_ref() == other));
    // Connecting again with trading mends it.
    service.sim.set_consent(agreed("ada"));
    let (back, cookie) = service.at_the_broker("sixty-forty", PAPER, "ada").await.unwrap();
    finish(&service.world, callback(&back, cookie)).await.unwrap();
    assert_eq!(run_of(&service, &account, "2019-06-04T15:45:00").await, "new_cash");
    service.settle_accounts().await;
}

async fn row_75_who_reconnects_after_a_revocation_goes_on_and_the_old_token_is_gone(on: Keeper) {
    let service = service(on).await;
    let account = service.connect("ada", "sixty-forty", cash(20_000)).await;
    let id = rebalanced::model::ids::AccountId::parse(&account).unwrap();
    let old = service.world.store.sealed_token(&id).await.unwrap().unwrap();
    service.sim.revoke_person("ada");
    assert_eq!(run_of(&service, &account, "2019-06-03T15:45:00").await, "token_dead");
    assert_eq!(health(&service, &account).await, "reauth");
    service.sim.set_consent(agreed("ada"));
    let (back, cookie) = service.at_the_broker("sixty-forty", PAPER, "ada").await.unwrap();
    finish(&service.world, callback(&back, cookie)).await.unwrap();
    let new = service.world.store.sealed_token(&id).await.unwrap().unwrap();
    assert_ne!(old.grant, new.grant);
    assert_eq!(old.user, new.user, "the same person");
    assert_eq!(health(&service, &account).await, "active");
    assert_eq!(run_of(&service, &account, "2019-06-04T15:45:00").await, "new_cash");
    service.settle_accounts().await;
}

async fn a_refusal_a_second_use_another_browser_and_a_late_return_connect_nobody(on: Keeper) {
    let service = service(on).await;
    service.sim.create_person(Some("ada"), "ada").unwrap();
    let mut new = cash(20_000);
    "ada".clone_into(&mut new.person);
    service.sim.create_account(new).unwrap();
    // Denied on the broker's page.
    service.sim.set_consent(ConsentRule { mode: ConsentMode::Deny, ..agreed("ada") });
    let (back, cookie) = service.at_the_broker("sixty-forty", PAPER, "ada").await.unwrap();
    assert!(matches!(finish(&service.world, callback(&back, cookie)).await, Err(Error::Denied(_))));
    service.sim.set_consent(agreed("ada"));
    // Another browser, with a cookie of its own: refused, and the state is used up.
    let (back, cookie) = service.at_the_broker("sixty-forty", PAPER, "ada").await.unwrap();
    let stranger = Secret::new("another browser".to_owned());
    assert!(matches!(finish(&service.world, callback(&back, stranger)).await, Err(Error::StateRefused)));
    assert!(matches!(finish(&service.world, callback(&back, cookie)).await, Err(Error::StateRefused)));
    // Too late: ten minutes and a second.
    let (back, cookie) = service.at_the_broker("sixty-forty", PAPER, "ada").await.unwrap();
    service.clock.set(service.world.clock.now() + Span::from_secs(601));
    assert!(matches!(finish(&service.world, callback(&back, cookie)).await, Err(Error::StateRefused)));
    // A state that nobody began.
    let forged = url::Url::parse("http://127.0.0.1/?code=x&state=forged").unwrap();
    let cookie = Secret::new("x".to_owned());
    assert!(matches!(finish(&service.world, callback(&forged, cookie)).await, Err(Error::StateRefused)));
    assert!(service.world.store.accounts().await.unwrap().is_empty(), "nobody was connected");
    // In time and in the right browser it works, once.
    let (back, cookie) = service.at_the_broker("sixty-forty", PAPER, "ada").await.unwrap();
    let again = Secret::new(cookie.expose().to_owned());
    finish(&service.world, callback(&back, cookie)).await.unwrap();
    assert!(matches!(finish(&service.world, callback(&back, again)).await, Err(Error::StateRefused)));
    assert_eq!(service.world.store.accounts().await.unwrap().len(), 1);
}

async fn one_token_may_open_a_live_and_a_paper_account_and_leaves_with_the_last_of_them(on: Keeper) {
    let service = service(on).await;
    service.sim.create_person(Some("ada"), "ada").unwrap();
    for environment in [alpaca_sim::Environment::Live, alpaca_sim::Environment::Paper] {
        let mut new = alpaca_sim::NewAccount::new("ada", environment);
        new.cash = rust_decimal::Decimal::from(20_000);
        service.sim.create_account(new).unwrap();
    }
    service.sim.set_consent(agreed("ada"));
    let (back, cookie) = service.at_the_broker("sixty-forty", None, "ada").await.unwrap();
    let connected = finish(&service.world, callback(&back, cookie)).await.unwrap();
    let kinds: Vec<Kind> = connected.accounts.iter().map(|account| account.environment).collect();
    assert_eq!(kinds, [Kind::Paper, Kind::Live]);
    let token = |index: usize| service.world.store.sealed_token(&connected.accounts[index].account);
    assert_eq!(token(0).await.unwrap(), token(1).await.unwrap(), "one token, sealed once");
    let by = rebalanced::model::event::Actor::operator("ann");
    let now = service.world.clock.now();
    service.world.store.disconnect(&connected.accounts[0].account, &by, now).await.unwrap();
    assert!(token(0).await.unwrap().is_none() && token(1).await.unwrap().is_some());
    service.world.store.disconnect(&connected.accounts[1].account, &by, now).await.unwrap();
    assert!(token(1).await.unwrap().is_none());
}

on_both_databases!(
    a_grant_without_trading_is_kept_and_never_trades,
    row_75_who_reconnects_after_a_revocation_goes_on_and_the_old_token_is_gone,
    a_refusal_a_second_use_another_browser_and_a_late_return_connect_nobody,
    one_token_may_open_a_live_and_a_paper_account_and_leaves_with_the_last_of_them,
);
