//! Reconciliation (S15): what the broker's own rows explain is explained, and what they do not halts that account alone.

use alpaca_sim::exchange::CloseAmount;
use alpaca_sim::{FaultAction, FaultRule};
use rebalanced::edge::store::RunFilter;
use rebalanced::flow::approve::{self, Desk};
use rebalanced::flow::balance::{Balanced, Unseen, balance};
use rebalanced::model::ids::AccountId;
use rebalanced::model::mandate::HaltScope;
use rebalanced::model::run::Run;
use rebalanced::model::time::Span;
use rebalanced::model::verdict::EndReason;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::support::{Keeper, Setup, TestWorld, cash, new_york, on_both_databases};

const SIXTY_FORTY: &str = include_str!("../../strategies/sixty-forty.toml");

async fn invested(on: Keeper, users: usize) -> (TestWorld, Vec<AccountId>) {
    let files = [("sixty-forty.toml", SIXTY_FORTY)];
    let service = TestWorld::new(Setup { strategies: &files, database: on, ..Setup::default() }).await;
    let mut accounts = Vec::new();
    for user in 0..users {
        let account = service.connect(&format!("user-{user}"), "sixty-forty", cash(20_000)).await;
        accounts.push(AccountId::parse(&account).unwrap());
    }
    // The first bell makes the strategy known; nothing is due yet.
    service.ring(new_york("2019-06-03T10:00:00")).await;
    service.ring(new_york("2019-06-03T15:45:00")).await;
    assert_eq!(service.sim.ledger().orders.len(), 2 * users);
    (service, accounts)
}

/// From now on the broker shows more cash than its rows explain.
fn haunt(service: &TestWorld, account: &AccountId) {
    let view = service.sim.with_exchange(|exchange, now| exchange.account(now, account.as_str())).unwrap();
    let more = Decimal::new(1234, 2);
    let mut rule = FaultRule::new(FaultAction::Mutate).path("/paper/v2/account").account(account.as_str()).times(0);
    rule.set.insert("/cash".to_owned(), json!((view.cash + more).to_string()));
    rule.set.insert("/equity".to_owned(), json!((view.equity + more).to_string()));
    service.sim.add_fault(rule);
}

async fn newest_run(service: &TestWorld, account: &AccountId) -> Run {
    let filter = RunFilter { account: Some(account.clone()), ..RunFilter::all() };
    service.world.store.runs(&filter).await.unwrap().into_iter().max_by_key(|run| run.slot).unwrap()
}

async fn halted(service: &TestWorld) -> Vec<HaltScope> {
    service.world.store.halts(true).await.unwrap().into_iter().map(|halt| halt.scope).collect()
}

async fn rows_54_55_s15_deposits_dividends_fees_splits_and_the_users_own_trades_are_explained_by_their_rows(
    on: Keeper,
) {
    let (service, accounts) = invested(on, 1).await;
    let account = accounts[0].as_str();
    let sim = service.sim.clone();
    let happenings: [&dyn Fn(); 6] = [
        &|| drop(sim.with_exchange(|exchange, now| exchange.transfer(now, account, Decimal::from(1_500))).unwrap()),
        &|| drop(sim.with_exchange(|exchange, now| exchange.transfer(now, account, Decimal::new(-12_345, 2))).unwrap()),
        &|| {
            let paid = sim.with_exchange(|exchange, now| exchange.dividend(now, "SPY", Decimal::new(137, 2), true));
            assert_eq!(paid.unwrap(), 1);
        },
        &|| sim.with_exchange(|exchange, now| exchange.split(now, "SPY", 2, 3)).unwrap(),
        &|| sim.with_exchange(|exchange, now| exchange.split(now, "AGG", 10, 1)).unwrap(),
        &|| {
            let part = CloseAmount::Percentage(Decimal::from(25));
            drop(sim.with_exchange(|exchange, now| exchange.close_position(now, account, "SPY", part)).unwrap());
        },
    ];
    for (day, happens) in ["04", "05", "06", "07", "10", "11"].into_iter().zip(happenings) {
        service.clock.set(new_york(&format!("2019-06-{day}T10:00:00")));
        sim.set_clock(service.clock.now().timestamp());
        happens();
        service.ring(new_york(&format!("2019-06-{day}T15:45:00"))).await;
        let run = newest_run(&service, &accounts[0]).await;
        let ledgers = service.world.store.ledgers(&run.id).await.unwrap();
        let ledgers: Value = serde_json::from_str(&ledgers.expect("both ledgers are kept")).unwrap();
        assert_eq!(ledgers["differences"], json!([]), "{day}: {run:?}");
        assert_eq!(ledgers["ours"], ledgers["theirs"]);
    }
    assert_eq!(halted(&service).await, []);
}

async fn s15_what_no_row_explains_halts_that_account_only_and_shows_both_ledgers(on: Keeper) {
    let (service, accounts) = invested(on, 2).await;
    haunt(&service, &accounts[0]);
    service.ring(new_york("2019-06-04T15:45:00")).await;
    let (first, second) = (newest_run(&service, &accounts[0]).await, newest_run(&service, &accounts[1]).await);
    assert_eq!(first.outcome.unwrap().reason, EndReason::LedgerMismatch.code());
    assert_eq!(second.outcome.unwrap().kind, "completed");
    assert_eq!(halted(&service).await, [HaltScope::Account(accounts[0].clone())]);
    let ledgers = service.world.store.ledgers(&first.id).await.unwrap().unwrap();
    let ledgers: Value = serde_json::from_str(&ledgers).unwrap();
    let cash = |side: &str| ledgers[side]["cash"].as_str().unwrap().parse::<Decimal>().unwrap();
    assert_eq!(cash("theirs") - cash("ours"), Decimal::new(1234, 2), "{ledgers}");
    assert!(service.world.metrics.text().contains(r#"rebalanced_books_total{result="unexplained"} 1"#));
    // Who resumes says that the broker is right: the books are opened anew.
    let desk = Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy };
    approve::resume(&desk, &HaltScope::Account(accounts[0].clone()), "ada").await.unwrap();
    assert_eq!(service.world.store.books(&accounts[0]).await.unwrap(), None);
    service.ring(new_york("2019-06-05T15:45:00")).await;
    assert_eq!(newest_run(&service, &accounts[0]).await.outcome.unwrap().kind, "completed");
    assert!(service.world.store.books(&accounts[0]).await.unwrap().is_some());
}

async fn s15_an_execution_that_is_not_ours_to_the_last_digit_is_found_after_the_run(on: Keeper) {
    let (service, accounts) = invested(on, 1).await;
    let mut rule = FaultRule::new(FaultAction::Mutate).path("/paper/v2/account/activities").times(0);
    rule.set.insert("/0/qty".to_owned(), json!("1.000000001"));
    service.sim.add_fault(rule);
    service.sim.with_exchange(|exchange, now| exchange.transfer(now, accounts[0].as_str(), 9_000.into())).unwrap();
    service.ring(new_york("2019-06-10T15:45:00")).await;
    let run = newest_run(&service, &accounts[0]).await;
    assert_eq!(run.outcome.as_ref().unwrap().reason, EndReason::LedgerMismatch.code(), "{run:?}");
    assert_eq!(halted(&service).await, [HaltScope::Account(accounts[0].clone())]);
}

async fn s15_an_account_without_runs_is_balanced_every_day(on: Keeper) {
    let (service, accounts) = invested(on, 3).await;
    let before = service.world.store.books(&accounts[0]).await.unwrap();
    // The books of accounts that traded were not opened yet, for their figures were too young; the next run opens them.
    assert_eq!(before.is_some(), service.world.store.books(&accounts[1]).await.unwrap().is_some());
    service.ring(new_york("2019-06-04T15:45:00")).await;
    assert_eq!(balance(&service.world, &mut Unseen::new()).await.unwrap(), Balanced::default(), "nobody's turn yet");
    service.clock.set(service.clock.now() + Span::from_hours(25));
    service.sim.set_clock(service.clock.now().timestamp());
    service.sim.with_exchange(|exchange, now| exchange.transfer(now, accounts[1].as_str(), 777.into())).unwrap();
    haunt(&service, &accounts[2]);
    let done = balance(&service.world, &mut Unseen::new()).await.unwrap();
    assert_eq!(done, Balanced { agreed: 2, halted: 1, unseen: 0 });
    assert_eq!(halted(&service).await, [HaltScope::Account(accounts[2].clone())]);
    let events = service.world.store.events(0, 10_000).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.kind == "account.unexplained").count(), 1);
    // What `runs explain --account` shows: both ledgers, for there is no run that keeps them.
    let told = service.world.store.last_event(&accounts[2], "account.unexplained").await.unwrap().unwrap();
    let facts: Value = serde_json::from_str(&told.facts).unwrap();
    let ledgers: Value = serde_json::from_str(facts["ledgers"].as_str().unwrap()).unwrap();
    let cash = |side: &str| ledgers[side]["cash"].as_str().unwrap().parse::<Decimal>().unwrap();
    assert_eq!(cash("theirs") - cash("ours"), Decimal::new(1234, 2), "{ledgers}");
    assert_eq!(service.world.store.last_event(&accounts[0], "account.unexplained").await.unwrap(), None);
    assert_eq!(
        balance(&service.world, &mut Unseen::new()).await.unwrap(),
        Balanced::default(),
        "once a day, and the halted one waits"
    );
}

on_both_databases!(
    rows_54_55_s15_deposits_dividends_fees_splits_and_the_users_own_trades_are_explained_by_their_rows,
    s15_what_no_row_explains_halts_that_account_only_and_shows_both_ledgers,
    s15_an_execution_that_is_not_ours_to_the_last_digit_is_found_after_the_run,
    s15_an_account_without_runs_is_balanced_every_day,
);
