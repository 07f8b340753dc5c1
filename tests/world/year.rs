//! Time, chance and the wire are replaceable: the real line runs for 250 trading days in seconds, twice the same.

use rebalanced::model::event::ChainedEvent;
use rebalanced::model::time::Span;
use rust_decimal::Decimal;

use crate::support::{Setup, TestWorld, cash};

const ACCOUNTS: u32 = 20;
const DAYS: usize = 250;

const SIXTY_FORTY: &str = include_str!("../../strategies/sixty-forty.toml");

async fn a_year(seed: u64) -> (Vec<ChainedEvent>, usize) {
    let setup = Setup {
        seed,
        start: "2019-01-02T13:00:00Z",
        strategies: &[("sixty-forty.toml", SIXTY_FORTY)],
        ..Setup::default()
    };
    let service = TestWorld::new(setup).await;
    for number in 0..ACCOUNTS {
        service.connect(&format!("user-{number:02}"), "sixty-forty", cash(10_000 + 700 * i64::from(number))).await;
    }
    // The first bell makes the strategy known; nothing is due yet.
    service.ring(service.clock.now()).await;
    let strategy = service.world.strategies.iter().next().unwrap().clone();
    let first = jiff::civil::date(2019, 1, 2);
    let sessions: Vec<_> =
        service.world.sessions.between(first, jiff::civil::date(2020, 12, 31)).take(DAYS).copied().collect();
    assert_eq!(sessions.len(), DAYS);
    let mut closed = 0;
    for session in &sessions {
        if session.day.day() % 10 == 0 {
            service.clock.set(session.open);
            service.sim.set_clock(session.open.timestamp());
            let account = service.sim.ledger().orders.first().map(|record| record.account.clone());
            if let Some(account) = account {
                let paid = |exchange: &mut alpaca_sim::exchange::Exchange, now| {
                    exchange.transfer(now, &account, Decimal::from(250)).map(drop)
                };
                service.sim.with_exchange(paid).unwrap();
            }
        }
        let due = rebalanced::decide::due::moments(&strategy, &service.world.sessions, session.open, session.close);
        // A half day's 15:45 lies after its close: the run happens, and says that the market was closed.
        let late = session.close + Span::from_hours(3);
        for moment in due.into_iter().chain([late]) {
            closed += service.ring(moment).await.len();
        }
    }
    service.settle_accounts().await;
    let events = service.world.store.events(0, i64::MAX).await.unwrap();
    (events, closed)
}

#[tokio::test(flavor = "current_thread")]
async fn s18_250_trading_days_of_20_accounts_pass_in_seconds_and_twice_the_same() {
    let begun = std::time::Instant::now();
    let (first, closed) = a_year(11).await;
    let once = begun.elapsed();
    assert!(closed >= DAYS * ACCOUNTS as usize, "every account is looked at on every day, {closed} runs were closed");
    let (second, _) = a_year(11).await;
    assert_eq!(first.len(), second.len());
    for (one, other) in first.iter().zip(&second) {
        assert_eq!(one, other, "the same seed gives the same trace");
    }
    let orders = first.iter().filter(|event| event.kind == "intent.recorded").count();
    assert!(orders >= 2 * ACCOUNTS as usize, "a year without orders shows nothing");
    println!("{closed} runs, {orders} orders, {} events; {:.1} s for one year", first.len(), once.as_secs_f64());
}
