//! Orders that leave much later than they were recorded: their process died between the record and the send. The account is
//! looked at once more before they leave, and what it does not cover any more stays here (S6, S7; rows 34 and 55).

use alpaca_sim::exchange::CloseAmount;
use rebalanced::edge::points;
use rebalanced::edge::store::IntentFilter;
use rebalanced::model::intent::{Intent, IntentState};
use rebalanced::model::plan::Phase;
use rust_decimal::Decimal;

use crate::halfway::{dies_at, starts_again};
use crate::support::{Keeper, Setup, TestWorld, cash, new_york, on_both_databases};

/// Trades at every due moment, for it has no bands.
const EVERY_DAY: &str = r#"
name = "mine"
[schedule]
cron = "0 45 10 * * Mon-Fri"
[[weights]]
symbol = "SPY"
percent = 60
[[weights]]
symbol = "AGG"
percent = 35
[cash]
percent = 5
"#;

async fn one_user(on: Keeper) -> (TestWorld, String) {
    let service =
        TestWorld::new(Setup { strategies: &[("mine.toml", EVERY_DAY)], database: on, ..Setup::default() }).await;
    let account = service.connect("ada", "mine", cash(20_000)).await;
    service.ring(new_york("2019-06-03T10:00:00")).await;
    (service, account)
}

/// Orders that left, and the intents of the last run, the newest first.
async fn left(service: &TestWorld, before: usize, of_run: i64) -> (usize, Vec<Intent>) {
    let filter = IntentFilter { limit: of_run, ..IntentFilter::all() };
    let sent = service.sent.lock().unwrap().len();
    (sent - before, service.world.store.intents(&filter).await.unwrap())
}

async fn row_34_s6_shares_that_the_user_sold_by_hand_before_the_restart_are_not_sold_again(on: Keeper) {
    for sold in [100, 50] {
        let (mut service, account) = one_user(on).await;
        service.ring(new_york("2019-06-03T10:45:00")).await;
        // The user takes most of the cash out, so both holdings are too large the next day.
        service.clock.set(new_york("2019-06-04T10:00:00"));
        service.sim.set_clock(service.clock.now().timestamp());
        service.sim.with_exchange(|exchange, now| exchange.transfer(now, &account, Decimal::from(-900))).unwrap();
        let before = service.sent.lock().unwrap().len();
        dies_at(&mut service, points::RECORDED.of(Phase::Sell), new_york("2019-06-04T10:45:00")).await;
        let recorded = service.world.store.unsettled().await.unwrap();
        assert!(!recorded.is_empty() && recorded.iter().all(|intent| intent.phase == Phase::Sell));
        service.sim.set_clock(service.clock.now().timestamp());
        for intent in &recorded {
            let part = CloseAmount::Percentage(Decimal::from(sold));
            let symbol = intent.symbol.as_str();
            service.sim.with_exchange(|exchange, now| exchange.close_position(now, &account, symbol, part)).unwrap();
        }
        starts_again(&service).await;
        let (sent, intents) = left(&service, before, i64::try_from(recorded.len()).unwrap()).await;
        if sold == 100 {
            assert_eq!(sent, 0, "nothing is left to sell: {intents:?}");
            assert!(intents.iter().all(|intent| intent.state == IntentState::Withdrawn), "{intents:?}");
            assert!(intents.iter().all(|intent| intent.note.contains("held and free now")), "{intents:?}");
        } else {
            assert_eq!(sent, recorded.len(), "what is left covers them: {intents:?}");
        }
    }
}

async fn row_55_s7_cash_that_the_user_withdrew_before_the_restart_is_not_spent(on: Keeper) {
    for withdrawn in [20_000, 10_000, 500] {
        let (mut service, account) = one_user(on).await;
        dies_at(&mut service, points::RECORDED.of(Phase::Buy), new_york("2019-06-03T10:45:00")).await;
        service.sim.set_clock(service.clock.now().timestamp());
        let less = Decimal::from(-withdrawn);
        service.sim.with_exchange(|exchange, now| exchange.transfer(now, &account, less)).unwrap();
        starts_again(&service).await;
        let (sent, intents) = left(&service, 0, 2).await;
        let view = service.sim.with_exchange(|exchange, now| exchange.account(now, &account)).unwrap();
        assert!(view.cash >= Decimal::ZERO, "{withdrawn}: nothing is bought on margin: {}", view.cash);
        // Twelve thousand are for the one, and seven for the other.
        let expected = match withdrawn {
            20_000 => 0,
            10_000 => 1,
            _ => 2,
        };
        assert_eq!(sent, expected, "{withdrawn}: {intents:?}");
        let stayed: Vec<&Intent> = intents.iter().filter(|intent| intent.state == IntentState::Withdrawn).collect();
        assert_eq!(stayed.len(), 2 - expected);
        assert!(stayed.iter().all(|intent| intent.note.contains("of cash are there now")), "{intents:?}");
        service.settle_accounts().await;
    }
}

on_both_databases!(
    row_34_s6_shares_that_the_user_sold_by_hand_before_the_restart_are_not_sold_again,
    row_55_s7_cash_that_the_user_withdrew_before_the_restart_is_not_spent,
);
