//! Strategies whose weights are reckoned from the day's history: one history for all accounts, and both halves of a run by the same
//! weights, whatever happens between them.

use rebalanced::edge::points;
use rebalanced::edge::store::{RunFilter, WishEnding};
use rebalanced::flow::approve::Desk;
use rebalanced::flow::wishes;
use rebalanced::model::ids::AccountId;
use rebalanced::model::personal::Wish;
use rebalanced::model::plan::Phase;
use serde_json::Value;

use crate::halfway::{dies_at, starts_again};
use crate::support::{Keeper, Setup, TestWorld, cash, new_york, on_both_databases};

/// Without bands every look trades: the shares of calm move a little each day.
const CALM: &str = r#"name = "calm"
[schedule]
cron = "0 45 10 * * Mon-Fri"
[model]
kind = "inverse_volatility"
symbols = ["AAPL", "KO", "JNJ"]
window_days = 20
[cash]
percent = 2
"#;

/// Stocks until twenty years before, and fewer each year.
const GLIDE: &str = r#"name = "glide"
[schedule]
cron = "0 45 10 * * Mon-Fri"
[model]
kind = "glide"
default_target_year = 2039
points = [
    { years_to_target = 20, weights = { SPY = 98 } },
    { years_to_target = 0, weights = { SPY = 38, AGG = 60 } },
]
[cash]
percent = 2
[overrides]
target_year_min = 2019
target_year_max = 2060
"#;

async fn each_user_glides_to_their_own_year(on: Keeper) {
    let setup = Setup { strategies: &[("glide.toml", GLIDE)], database: on, ..Setup::default() };
    let service = TestWorld::new(setup).await;
    let account = AccountId::parse(&service.connect("ada", "glide", cash(20_000)).await).unwrap();
    let at_target = |rows: &[(String, String)]| rows.iter().map(|(_, target)| target.clone()).collect::<Vec<_>>();
    service.ring(new_york("2019-06-03T10:00:00")).await;
    service.ring(new_york("2019-06-03T10:45:00")).await;
    let desk = Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy };
    let (known, name) = wishes::follows(&desk, &account).await.unwrap();
    let strategy = service.world.strategies.get(&name).unwrap();
    let say = async |year| {
        wishes::say(&desk, (&known, strategy), Wish::TargetYear(year), ("ada", "retires then"), None).await.map(drop)
    };
    // 2019-06-03 is 153 of the 7,305 days from 2019-01-01 to 2039-01-01 on: SPY has lost 60 * 153 / 7305 points.
    assert_eq!(at_target(&targets(&service).await[0]), ["0.012567", "0.967433"], "AGG and SPY for 2039");
    let refused = say(2061).await.unwrap_err().to_string();
    assert!(refused.contains("the target year 2061") && refused.contains("now 2019 to 2060"), "{refused}");
    say(2035).await.unwrap();
    service.ring(new_york("2019-06-04T10:45:00")).await;
    let plans = targets(&service).await;
    assert_eq!(
        plans.iter().map(|plan| at_target(plan)).collect::<Vec<_>>(),
        vec![["0.132649", "0.847351"]; 2],
        "both halves"
    );
    let orders = service.sim.ledger().orders;
    let last: Vec<_> =
        orders.iter().rev().take(2).map(|it| (it.order.side.as_str(), it.order.symbol.as_ref())).collect();
    assert_eq!(last, [("buy", "AGG"), ("sell", "SPY")], "more bonds at once");
    let by = ("ada", "changed their mind");
    let ended = wishes::clear(&desk, &account, &WishEnding::One("target_year", None), by).await.unwrap();
    assert_eq!(ended.len(), 1);
    service.ring(new_york("2019-06-05T10:45:00")).await;
    assert_eq!(at_target(&targets(&service).await[0]), ["0.012731", "0.967269"], "the file's year again");
    service.settle_accounts().await;
}

/// Questions for the history; those for volumes ask for other adjustments.
fn asked(service: &TestWorld) -> usize {
    let rows = service.sim.ledger().requests;
    rows.iter().filter(|row| row.path.contains("/v2/stocks/bars") && row.path.contains("adjustment=all")).count()
}

/// The targets of each plan of the newest run.
async fn targets(service: &TestWorld) -> Vec<Vec<(String, String)>> {
    let runs = service.world.store.runs(&RunFilter::all()).await.unwrap();
    let run = runs.iter().max_by_key(|run| run.slot).unwrap();
    let decision = service.world.store.run(&run.id).await.unwrap().unwrap().1.unwrap();
    let plans: Value = serde_json::from_str(&decision).unwrap();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let rows = |plan: &Value| {
        plan["weights"].as_array().unwrap().iter().map(|row| (text(row, "symbol"), text(row, "target"))).collect()
    };
    plans.as_array().unwrap().iter().map(rows).collect()
}

async fn one_history_serves_all_accounts_for_a_day(on: Keeper) {
    let setup = Setup { strategies: &[("calm.toml", CALM)], database: on, ..Setup::default() };
    let service = TestWorld::new(setup).await;
    for name in ["ada", "ben", "cem", "dea", "eve"] {
        service.connect(name, "calm", cash(20_000)).await;
    }
    service.ring(new_york("2019-06-03T10:00:00")).await;
    let outcomes = service.ring(new_york("2019-06-03T10:45:00")).await;
    assert!(outcomes.len() == 5 && outcomes.iter().all(|outcome| outcome.reason == "scheduled"), "{outcomes:?}");
    assert_eq!(asked(&service), 1, "one question for five accounts");
    service.ring(new_york("2019-06-04T10:45:00")).await;
    assert_eq!(asked(&service), 2, "and one for the next day");
    service.settle_accounts().await;
}

async fn after_a_restart_the_second_half_goes_by_the_weights_of_the_first(on: Keeper) {
    let mut tried = 0;
    for point in [points::RECORDED.of(Phase::Sell), points::SENT.of(Phase::Sell), points::FOLLOWED.of(Phase::Sell)] {
        let setup = Setup { strategies: &[("calm.toml", CALM)], database: on, ..Setup::default() };
        let mut service = TestWorld::new(setup).await;
        service.connect("ada", "calm", cash(20_000)).await;
        service.ring(new_york("2019-06-03T10:00:00")).await;
        service.ring(new_york("2019-06-03T10:45:00")).await;
        assert_eq!(service.sim.ledger().orders.len(), 3, "invested");
        dies_at(&mut service, point, new_york("2019-06-04T10:45:00")).await;
        let first = targets(&service).await;
        service.forget_what_was_read();
        let before = asked(&service);
        starts_again(&service).await;
        assert_eq!(asked(&service), before, "{point}: nothing is reckoned anew");
        let runs = service.world.store.runs(&RunFilter::all()).await.unwrap();
        let outcome = runs.iter().max_by_key(|run| run.slot).unwrap().outcome.clone().unwrap();
        assert_eq!(
            (outcome.kind.as_str(), outcome.reason.as_str()),
            ("completed", "scheduled"),
            "{point}: {outcome:?}"
        );
        let second = targets(&service).await;
        assert!(second.iter().all(|plan| *plan == first[0]), "{point}: {first:?} and {second:?}");
        let bought = service.sim.ledger().orders.iter().filter(|row| row.order.side.as_str() == "buy").count();
        assert!(bought > 3, "{point}: the second half has bought");
        service.settle_accounts().await;
        tried += 1;
    }
    println!("{tried} restarts between the halves on {on:?}: the weights of the first plan each time");
}

async fn a_history_that_is_not_there_is_a_reason_to_hold(on: Keeper) {
    let text = CALM.replace("\"JNJ\"", "\"NOSUCH\"");
    let setup = Setup { strategies: &[("calm.toml", &text)], database: on, ..Setup::default() };
    let service = TestWorld::new(setup).await;
    service.connect("ada", "calm", cash(20_000)).await;
    service.ring(new_york("2019-06-03T10:00:00")).await;
    let outcomes = service.ring(new_york("2019-06-03T10:45:00")).await;
    assert_eq!(outcomes[0].reason, "history_missing", "{outcomes:?}");
    assert!(outcomes[0].detail.contains("NOSUCH has no closing price of 2019-05-31"), "{outcomes:?}");
    assert!(service.sim.ledger().orders.is_empty());
}

on_both_databases!(
    each_user_glides_to_their_own_year,
    one_history_serves_all_accounts_for_a_day,
    after_a_restart_the_second_half_goes_by_the_weights_of_the_first,
    a_history_that_is_not_there_is_a_reason_to_hold,
);
