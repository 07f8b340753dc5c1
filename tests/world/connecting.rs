//! Every way a connection can go has its own end, and no other user notices.

use alpaca_sim::{ConsentMode, ConsentRule};
use rebalanced::flow::approve::{self, Desk};
use rebalanced::flow::connect::{Agreed, Begin, Connected, Error, consent, finish};
use rebalanced::model::environment::Kind;
use rebalanced::model::ids::{AccountId, StrategyName};
use rebalanced::model::mandate::{ApprovalKind, Bound};
use rebalanced::model::secret::Secret;
use rebalanced::model::time::Span;

use crate::support::{Keeper, Setup, TestWorld, agreed, callback, cash, new_york, on_both_databases, wish};

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

/// A person with a live and a paper account, and consent to everything at the broker.
fn person(service: &TestWorld, name: &str) -> [String; 2] {
    service.sim.create_person(Some(name), name).unwrap();
    service.sim.set_consent(agreed(name));
    [alpaca_sim::Environment::Live, alpaca_sim::Environment::Paper].map(|environment| {
        let mut new = alpaca_sim::NewAccount::new(name, environment);
        new.cash = rust_decimal::Decimal::from(20_000);
        service.sim.create_account(new).unwrap().to_string()
    })
}

async fn connected(service: &TestWorld, wish: Begin) -> Result<Connected, Error> {
    let (back, cookie) = service.wishing(wish).await?;
    finish(&service.world, callback(&back, cookie)).await
}

async fn d3_22_a_grant_for_another_account_than_the_one_to_reconnect_is_refused_and_nothing_is_kept(on: Keeper) {
    let service = service(on).await;
    let account = service.connect("ada", "sixty-forty", cash(20_000)).await;
    let known = AccountId::parse(&account).unwrap();
    let before = service.world.store.sealed_token(&known).await.unwrap();
    // Somebody else agrees at the broker, with the link that was meant for the first account.
    let [_, other] = person(&service, "eve");
    let wrong = Begin { account: Some(known.clone()), ..wish("sixty-forty", PAPER, "eve") };
    let refused = connected(&service, wrong).await;
    assert!(matches!(&refused, Err(Error::WrongAccount(wanted)) if *wanted == known), "{refused:?}");
    assert_eq!(service.world.store.accounts().await.unwrap().len(), 1, "nobody new");
    assert_eq!(service.world.store.sealed_token(&known).await.unwrap(), before, "the old token is untouched");
    // The right account with the right link.
    let right = Begin { account: Some(AccountId::parse(&other).unwrap()), ..wish("sixty-forty", PAPER, "eve") };
    assert_eq!(connected(&service, right).await.unwrap().accounts[0].account.as_str(), other);
}

async fn a_code_that_was_used_or_is_too_old_connects_nobody(on: Keeper) {
    let service = service(on).await;
    person(&service, "ada");
    let with_code_of = |mine: &url::Url, other: &url::Url| {
        let code = other.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
        let state = mine.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        url::Url::parse_with_params("http://127.0.0.1/", [("code", code), ("state", state)]).unwrap()
    };
    // A connection of the same browser's own, finished with a code that another one has used already.
    let (first, first_cookie) = service.at_the_broker("sixty-forty", PAPER, "ada").await.unwrap();
    finish(&service.world, callback(&first, first_cookie)).await.unwrap();
    let known = service.world.store.accounts().await.unwrap();
    let (second, second_cookie) = service.at_the_broker("sixty-forty", PAPER, "ada").await.unwrap();
    let used = finish(&service.world, callback(&with_code_of(&second, &first), second_cookie)).await;
    assert!(matches!(used, Err(Error::Broker(_))), "{used:?}");
    // A code that is older than ten minutes, in a connection that is younger.
    let (old, _) = service.at_the_broker("sixty-forty", PAPER, "ada").await.unwrap();
    service.clock.set(service.world.clock.now() + Span::from_secs(300));
    let (young, cookie) = service.at_the_broker("sixty-forty", PAPER, "ada").await.unwrap();
    service.clock.set(service.world.clock.now() + Span::from_secs(301));
    let late = finish(&service.world, callback(&with_code_of(&young, &old), cookie)).await;
    assert!(matches!(late, Err(Error::Broker(_))), "{late:?}");
    assert_eq!(service.world.store.accounts().await.unwrap(), known, "nothing was stored");
}

async fn two_paper_accounts_of_one_person_are_two_grants(on: Keeper) {
    let service = service(on).await;
    let [_, first] = person(&service, "ada");
    let second = {
        let mut new = cash(20_000);
        "ada".clone_into(&mut new.person);
        service.sim.create_account(new).unwrap().to_string()
    };
    for account in [&first, &second] {
        service.sim.set_consent(ConsentRule { paper: Some(account.as_str().into()), ..agreed("ada") });
        let done = connected(&service, wish("sixty-forty", PAPER, "ada")).await.unwrap();
        assert_eq!(done.accounts[0].account.as_str(), account);
    }
    let accounts = service.world.store.accounts().await.unwrap();
    assert_eq!(accounts.len(), 2);
    assert_ne!(accounts[0].grant, accounts[1].grant, "each has a token of its own");
    assert_eq!(run_of(&service, &first, "2019-06-03T15:45:00").await, "new_cash");
    assert_eq!(run_of(&service, &second, "2019-06-04T15:45:00").await, "inside_bands");
}

async fn s4_the_tick_for_live_trading_is_kept_with_its_text_and_counts_for_that_text_alone(on: Keeper) {
    let mut service = service(on).await;
    let name = StrategyName::parse("sixty-forty").unwrap();
    let text = consent(service.world.strategies.get(&name).unwrap(), "");
    let agreed_to = |live, hash: &str| Some(Agreed { text_hash: hash.to_owned(), live });
    // A text that is not this one: it was changed while it was read, or made up.
    person(&service, "eve");
    let stale = Begin { agreed: agreed_to(true, &"0".repeat(64)), ..wish("sixty-forty", None, "eve") };
    assert!(matches!(connected(&service, stale).await, Err(Error::TextChanged)));
    // Without the tick: connected, and no consent.
    let unticked = Begin { agreed: agreed_to(false, &text.hash), ..wish("sixty-forty", None, "eve") };
    assert!(!connected(&service, unticked).await.unwrap().consented);
    assert!(service.world.store.approvals().await.unwrap().is_empty());
    // With it: one consent, of the live account alone.
    let [live, _] = person(&service, "ada");
    let ticked = Begin { agreed: agreed_to(true, &text.hash), ..wish("sixty-forty", None, "ada") };
    assert!(connected(&service, ticked).await.unwrap().consented);
    let approvals = service.world.store.approvals().await.unwrap();
    let ApprovalKind::Consent { account, text_hash } = &approvals[0].kind else { panic!("{approvals:?}") };
    assert_eq!((approvals.len(), account.as_str(), text_hash), (1, live.as_str(), &text.hash));
    assert_eq!(service.world.store.consent_text(text_hash).await.unwrap().as_deref(), Some(text.text.as_str()));
    let events = service.world.store.events(0, 1000).await.unwrap();
    let granted = events.iter().find(|event| event.kind == "approval.granted").unwrap();
    assert!(granted.actor.starts_with("user:") && granted.facts.contains(&text.hash), "{granted:?}");
    // All else is given too: the one who ticked trades, the one who did not is refused for just that.
    service.world.policy.live_trading = true;
    service.world.policy.app_approved = true;
    let desk = Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy };
    let version = service.world.strategies.get(&name).unwrap().version().clone();
    let mut kinds = vec![ApprovalKind::Strategy { name: name.clone(), version }];
    for account in service.world.store.accounts().await.unwrap() {
        kinds.push(ApprovalKind::Subscription { account: account.id, name: name.clone(), bound: Bound::default() });
    }
    for kind in kinds {
        approve::grant(&desk, kind, ("ann", "test"), None).await.unwrap();
    }
    service.ring(new_york("2019-06-03T15:45:00")).await;
    let runs = service.world.store.runs(&rebalanced::edge::store::RunFilter::all()).await.unwrap();
    let mut ends: Vec<(bool, String)> = runs
        .iter()
        .filter(|run| run.environment == Kind::Live)
        .map(|run| (run.account.as_str() == live, run.outcome.as_ref().unwrap().reason.clone()))
        .collect();
    ends.sort();
    // The simulator's app is not approved for live trading of others, so the broker itself refuses what we let through.
    assert_eq!(ends[0], (false, "consent_missing".to_owned()));
    assert_ne!(ends[1].1, "consent_missing", "{ends:?}");
    // The strategy says something else now: what was agreed to does not count any more.
    service.world.policy.consent_texts.insert(name, "1".repeat(64));
    service.ring(new_york("2019-06-04T15:45:00")).await;
    let runs = service.world.store.runs(&rebalanced::edge::store::RunFilter::all()).await.unwrap();
    let newest = runs.iter().filter(|run| run.account.as_str() == live).max_by_key(|run| run.slot).unwrap();
    let outcome = newest.outcome.as_ref().unwrap();
    assert!(outcome.detail.contains("another text"), "{outcome:?}");
}

async fn s4_who_connects_again_without_the_tick_or_leaves_has_consented_to_nothing_any_more(on: Keeper) {
    let service = service(on).await;
    let name = StrategyName::parse("sixty-forty").unwrap();
    let text = consent(service.world.strategies.get(&name).unwrap(), "");
    let agreeing = |live| Begin {
        agreed: Some(Agreed { text_hash: text.hash.clone(), live }),
        ..wish("sixty-forty", None, "ada")
    };
    let in_force = async || {
        let now = service.world.clock.now();
        let all = service.world.store.approvals().await.unwrap();
        all.iter().filter(|approval| approval.holds_at(now)).map(|it| it.kind.code()).collect::<Vec<_>>()
    };
    let [live, _] = person(&service, "ada");
    let live = AccountId::parse(&live).unwrap();
    let desk = Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy };
    assert!(connected(&service, agreeing(true)).await.unwrap().consented);
    // Again, and this time the tick is missing; and again by a link that shows no page.
    for unticked in [agreeing(false), wish("sixty-forty", None, "ada")] {
        assert_eq!(in_force().await, ["consent"]);
        assert!(!connected(&service, unticked).await.unwrap().consented);
        assert!(in_force().await.is_empty(), "what was agreed to before does not speak for them");
        assert!(connected(&service, agreeing(true)).await.unwrap().consented);
    }
    // Who leaves takes along all that was allowed for the account.
    let bound = ApprovalKind::Subscription { account: live.clone(), name, bound: Bound::default() };
    approve::grant(&desk, bound, ("ann", "test"), None).await.unwrap();
    let by = rebalanced::model::event::Actor::operator("ann");
    service.world.store.disconnect(&live, &by, service.world.clock.now()).await.unwrap();
    assert!(in_force().await.is_empty());
    rebalanced::flow::verify::audit(&service.world.store, Vec::new()).await.unwrap();
}

on_both_databases!(
    s4_who_connects_again_without_the_tick_or_leaves_has_consented_to_nothing_any_more,
    d3_22_a_grant_for_another_account_than_the_one_to_reconnect_is_refused_and_nothing_is_kept,
    a_code_that_was_used_or_is_too_old_connects_nobody,
    two_paper_accounts_of_one_person_are_two_grants,
    s4_the_tick_for_live_trading_is_kept_with_its_text_and_counts_for_that_text_alone,
    a_grant_without_trading_is_kept_and_never_trades,
    row_75_who_reconnects_after_a_revocation_goes_on_and_the_old_token_is_gone,
    a_refusal_a_second_use_another_browser_and_a_late_return_connect_nobody,
    one_token_may_open_a_live_and_a_paper_account_and_leaves_with_the_last_of_them,
);
