//! Limit orders that the market leaves behind: what is left of them is priced anew, a bounded number of times, and then left or
//! sent to the market. Never two orders of one leg at once, never more shares or dollars than the plan had.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use alpaca_sim::Sim;
use alpaca_sim::exchange::asset::AssetPatch;
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use rebalanced::edge::points::{self, Point, Points, Watcher};
use rebalanced::edge::store::{IntentFilter, RunFilter};
use rebalanced::flow::approve::{self, Desk};
use rebalanced::model::ids::Symbol;
use rebalanced::model::intent::{Intent, IntentState};
use rebalanced::model::mandate::HaltScope;
use rebalanced::model::money::{Qty, Usd};
use rebalanced::model::plan::{Phase, Pricing};
use rust_decimal::Decimal;
use tokio::sync::watch;

use crate::halfway::starts_again;
use crate::midrun::{edit, end};
use crate::support::{Keeper, Setup, TestWorld, cash, new_york, on_both_databases};

const SLOT: &str = "2019-06-03T10:45:00";
const NEXT_DAY: &str = "2019-06-04T10:45:00";

/// Limit orders, without bands.
fn strategy(spy: u32, agg: u32, orders: &str) -> String {
    let weight = |symbol: &str, percent: u32| format!("[[weights]]\nsymbol = \"{symbol}\"\npercent = {percent}\n");
    let head = "name = \"mine\"\n[schedule]\ncron = \"0 45 10 * * Mon-Fri\"\n";
    format!(
        "{head}{}{}[cash]\npercent = 5\n[orders]\ntype = \"limit\"\n{orders}",
        weight("SPY", spy),
        weight("AGG", agg)
    )
}

const LEAVE: &str = "reprice_times = 2\n";
const MARKET: &str = "reprice_times = 1\non_unfilled = \"market\"\ncollar_percent = 0.1\n";

/// The exchange trades, or it does not.
fn trades(sim: &Sim, does: bool) {
    for symbol in ["SPY", "AGG"] {
        let patch = AssetPatch { halted: Some(!does), ..AssetPatch::default() };
        sim.with_exchange(|exchange, now| exchange.change_asset(now, symbol, patch)).unwrap();
    }
}

type Act = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Does something when a point is crossed for the n-th time, and ends the process at another such crossing.
struct Script {
    acts: Option<(Point, usize, Act)>,
    dies: Option<(Point, usize)>,
    crossed: Mutex<BTreeMap<String, usize>>,
    died: watch::Sender<bool>,
}

impl Watcher for Script {
    fn crossed(&self, point: Point) -> BoxFuture<'static, ()> {
        let nth = {
            let mut crossed = self.crossed.lock().unwrap();
            let nth = crossed.entry(point.to_string()).or_default();
            *nth += 1;
            *nth
        };
        if self.dies == Some((point, nth)) {
            self.died.send_replace(true);
            return future::pending().boxed();
        }
        match &self.acts {
            Some((at, number, act)) if (*at, *number) == (point, nth) => act(),
            _ => future::ready(()).boxed(),
        }
    }
}

async fn world(on: Keeper, orders: &str) -> TestWorld {
    let text = strategy(60, 35, orders);
    let files = [("mine.toml", text.as_str())];
    let setup = Setup { strategies: &files, database: on, price_step_seconds: 20, ..Setup::default() };
    let service = TestWorld::new(setup).await;
    service.connect("ada", "mine", cash(20_000)).await;
    service.ring(new_york("2019-06-03T10:00:00")).await;
    service
}

/// Carries what is due while the exchange does not trade, until a point is crossed; whether the process died on the way.
async fn ring(
    service: &mut TestWorld,
    slot: &str,
    resumes: Option<(Point, usize)>,
    dies: Option<(Point, usize)>,
) -> bool {
    let sim = service.sim.clone();
    let resume = move || {
        trades(&sim, true);
        future::ready(()).boxed()
    };
    carried(service, slot, resumes.map(|(point, nth)| (point, nth, Box::new(resume) as Act)), dies).await
}

async fn carried(
    service: &mut TestWorld,
    slot: &str,
    acts: Option<(Point, usize, Act)>,
    dies: Option<(Point, usize)>,
) -> bool {
    trades(&service.sim, false);
    let script = Arc::new(Script { acts, dies, crossed: Mutex::default(), died: watch::Sender::new(false) });
    let mut ended = script.died.subscribe();
    service.world.points = Points::watched(script);
    let has_ended = tokio::select! {
        _ = service.ring(new_york(slot)) => false,
        at = ended.wait_for(|ended| *ended) => { drop(at.unwrap()); true }
    };
    service.world.points = Points::default();
    has_ended
}

async fn intents(service: &TestWorld) -> Vec<Intent> {
    let mut all = service.world.store.intents(&IntentFilter::all()).await.unwrap();
    all.sort_by(|a, b| (a.recorded_at, a.attempt, &a.symbol).cmp(&(b.recorded_at, b.attempt, &b.symbol)));
    all
}

/// What must hold of every leg, whatever happened: one try after the other, each proven to have ended before the next, and all
/// of them together never more than the first wanted.
async fn holds_together(service: &TestWorld, tries: u32) {
    let all = intents(service).await;
    let mut legs: BTreeMap<_, Vec<&Intent>> = BTreeMap::new();
    for intent in &all {
        legs.entry((intent.run.clone(), intent.phase, intent.symbol.clone())).or_default().push(intent);
    }
    for (leg, tried) in &legs {
        assert!(tried.len() <= tries as usize, "{leg:?}: {tried:#?}");
        for (place, intent) in tried.iter().enumerate() {
            assert_eq!(intent.attempt as usize, place + 1, "{leg:?}");
            let is_last = place + 1 == tried.len();
            assert!(is_last || intent.state == IntentState::Ended, "{leg:?}: {tried:#?}");
        }
        let spent = |it: &&Intent| it.filled_avg_price.map_or(Usd::ZERO, |price| it.filled_qty * price);
        let filled: Qty = tried.iter().map(|it| it.filled_qty).sum();
        let spent: Usd = tried.iter().map(spent).sum();
        if leg.1 == Phase::Buy {
            assert!(spent <= tried[0].value, "{leg:?}: {spent} of {}", tried[0].value);
        } else if let rebalanced::model::plan::Amount::Qty(wanted) = tried[0].amount {
            assert!(filled <= wanted, "{leg:?}: {filled} of {wanted}");
        }
    }
    let orders = service.sim.ledger().orders;
    assert_eq!(orders.len(), all.iter().filter(|it| it.order.is_some()).count(), "no order but ours");
    for record in &orders {
        let ours = all.iter().find(|it| *it.client_order_id.as_str() == *record.order.client_order_id);
        let ours = ours.unwrap_or_else(|| panic!("nobody recorded {record:?}"));
        assert_eq!(ours.filled_qty.decimal(), record.order.filled_qty, "{record:?}");
    }
    service.settle_accounts().await;
}

async fn what_is_left_is_priced_anew_until_it_is_filled(on: Keeper) {
    for followed in 1..=2 {
        let mut service = world(on, LEAVE).await;
        ring(&mut service, SLOT, Some((points::FOLLOWED.of(Phase::Buy), followed)), None).await;
        let (kind, _, detail) = end(&service).await;
        assert_eq!(kind, "completed", "{detail}");
        let all = intents(&service).await;
        assert_eq!(all.len(), 2 * (followed + 1), "{all:#?}");
        let (unfilled, filled) = all.split_at(2 * followed);
        assert!(unfilled.iter().all(|it| it.state == IntentState::Ended && it.filled_qty.is_zero()), "{unfilled:#?}");
        assert!(filled.iter().all(|it| it.state == IntentState::Filled), "{filled:#?}");
        let prices = |of: &[Intent]| of.iter().map(|it| it.pricing).collect::<Vec<_>>();
        assert!(all.iter().all(|it| matches!(it.pricing, Pricing::Limit(_))), "{all:#?}");
        assert_ne!(prices(&unfilled[..2]), prices(filled), "the prices of now, not those of before");
        holds_together(&service, 3).await;
    }
}

async fn what_stays_unfilled_is_left_to_the_next_moment(on: Keeper) {
    let mut service = world(on, LEAVE).await;
    let begun = service.clock.now();
    ring(&mut service, SLOT, None, None).await;
    let (kind, reason, detail) = end(&service).await;
    assert_eq!((kind.as_str(), reason.as_str()), ("partial", "orders_unfilled"), "{detail}");
    assert_eq!(detail, "2 of 6 orders were not completely filled", "each leg counts once");
    let waited = service.clock.now().since(begun.max(new_york(SLOT)));
    assert!(
        waited < service.world.order_wait + rebalanced::model::time::Span::from_mins(1),
        "all tries share one wait"
    );
    holds_together(&service, 3).await;
    trades(&service.sim, true);
    service.ring(new_york(NEXT_DAY)).await;
    assert_eq!(end(&service).await.0, "completed");
    assert_eq!(service.sim.ledger().orders.len(), 8, "the next moment begins again with the first try");
    holds_together(&service, 3).await;
}

async fn what_is_left_goes_to_the_market_where_the_file_says_so(on: Keeper) {
    let mut service = world(on, MARKET).await;
    ring(&mut service, SLOT, Some((points::FOLLOWED.of(Phase::Buy), 2)), None).await;
    assert_eq!(end(&service).await.0, "completed");
    let all = intents(&service).await;
    let kinds: Vec<bool> = all.iter().map(|it| it.pricing == Pricing::Market).collect();
    assert_eq!(kinds, [false, false, false, false, true, true], "{all:#?}");
    assert!(all[4..].iter().all(|it| it.state == IntentState::Filled), "{all:#?}");
    holds_together(&service, 3).await;
}

/// The second day wants sales, then purchases; the exchange trades again after so many tries of the sales.
async fn sales_are_priced_anew_before_anything_is_bought(on: Keeper) {
    for (followed, legs) in [(Some(1), vec!["sell 1", "sell 2", "buy 1"]), (None, vec!["sell 1", "sell 2", "sell 3"])] {
        let mut service = world(on, LEAVE).await;
        service.ring(new_york(SLOT)).await;
        assert_eq!(end(&service).await.0, "completed");
        edit(&mut service, Some(&strategy(50, 45, LEAVE))).await;
        let resumes = followed.map(|followed| (points::FOLLOWED.of(Phase::Sell), followed));
        ring(&mut service, NEXT_DAY, resumes, None).await;
        let all = intents(&service).await;
        let told: Vec<String> = all[2..].iter().map(|it| format!("{} {}", it.phase.code(), it.attempt)).collect();
        assert_eq!(told, legs, "{all:#?}");
        assert_eq!(end(&service).await.0, if followed.is_some() { "completed" } else { "partial" });
        holds_together(&service, 3).await;
    }
}

/// The file is another one after the crash: what is on record is followed to its end, and nothing further is tried.
async fn a_try_that_the_file_does_not_allow_any_more_is_followed_to_its_end(on: Keeper) {
    let edited = [LEAVE.replace("= 2", "= 0"), String::new()];
    for (step, orders) in
        [points::RECORDED, points::SENT].into_iter().flat_map(|step| edited.iter().map(move |it| (step, it)))
    {
        for phase in [Phase::Sell, Phase::Buy] {
            let mut service = world(on, LEAVE).await;
            let slot = if phase == Phase::Sell {
                service.ring(new_york(SLOT)).await;
                edit(&mut service, Some(&strategy(50, 45, LEAVE))).await;
                NEXT_DAY
            } else {
                SLOT
            };
            assert!(ring(&mut service, slot, None, Some((step.of(phase), 2))).await);
            let weights = if phase == Phase::Sell { (50, 45) } else { (60, 35) };
            edit(&mut service, Some(&strategy(weights.0, weights.1, orders))).await;
            trades(&service.sim, true);
            starts_again(&service).await;
            assert!(service.world.store.unsettled().await.unwrap().is_empty(), "{phase:?}");
            let (kind, reason, detail) = end(&service).await;
            assert_ne!((kind.as_str(), reason.as_str()), ("quarantined", "order_unknown"), "{detail}");
            assert_ne!(reason, "account_changed", "{detail}");
            let tried = intents(&service).await.iter().filter(|it| it.phase == phase).map(|it| it.attempt).max();
            assert_eq!(tried, Some(2), "what was on record, and no further one");
            holds_together(&service, 3).await;
        }
    }
}

/// Who cancels by hand wants it cancelled.
async fn what_the_user_cancels_by_hand_is_not_tried_again(on: Keeper) {
    let mut service = world(on, MARKET).await;
    let sim = service.sim.clone();
    let cancels = move || {
        for record in sim.ledger().orders {
            let id = record.order.id.to_string();
            sim.with_exchange(|exchange, now| exchange.cancel(now, &record.account, &id)).unwrap();
        }
        future::ready(()).boxed()
    };
    carried(&mut service, SLOT, Some((points::SENT.of(Phase::Buy), 1, Box::new(cancels))), None).await;
    assert_eq!(end(&service).await.1, "orders_unfilled");
    assert_eq!(service.sim.ledger().orders.len(), 2, "no further try");
    holds_together(&service, 3).await;
}

/// What stops a further try of the sales does not stop the purchases.
async fn sales_that_may_not_be_tried_again_leave_the_purchases_to_the_cash_that_is_there(on: Keeper) {
    let mut service = world(on, LEAVE).await;
    service.ring(new_york(SLOT)).await;
    edit(&mut service, Some(&strategy(50, 45, LEAVE))).await;
    let (sim, store) = (service.sim.clone(), service.world.store.clone());
    let (clock, entropy) = (service.world.clock.clone(), service.world.entropy.clone());
    let account = intents(&service).await[0].account.clone();
    // Between the two tries SPY is halted by a person, and money comes in.
    let acts = move || {
        trades(&sim, true);
        sim.with_exchange(|exchange, now| exchange.transfer(now, account.as_str(), Decimal::from(2_000))).unwrap();
        let (store, clock, entropy) = (store.clone(), clock.clone(), entropy.clone());
        async move {
            let desk = Desk { store: &store, clock: &clock, entropy: &entropy };
            let scope = HaltScope::Symbol(Symbol::parse("SPY").unwrap());
            approve::halt(&desk, scope, ("ada", "a drill")).await.unwrap();
        }
        .boxed()
    };
    carried(&mut service, NEXT_DAY, Some((points::FOLLOWED.of(Phase::Sell), 1, Box::new(acts))), None).await;
    let all = intents(&service).await;
    let told: Vec<String> =
        all[2..].iter().map(|it| format!("{} {} {} {:?}", it.phase.code(), it.symbol, it.attempt, it.state)).collect();
    assert_eq!(told, ["sell SPY 1 Ended", "buy AGG 1 Filled"]);
    let (_, reason, detail) = end(&service).await;
    assert_eq!(reason, "orders_unfilled");
    let why = "what was left was not tried again: SPY is halted by ada: a drill (halted_symbol)";
    assert!(detail.ends_with(why), "the refusal is on record with the run: {detail}");
    holds_together(&service, 3).await;
}

/// Whatever step a process ends at, in whichever try: the next one goes on with that try, and no leg is ordered twice.
async fn a_process_that_ends_between_two_tries_orders_nothing_twice(on: Keeper) {
    let phase = Phase::Buy;
    let steps = [
        points::CONSIDERING.of(phase),
        points::PLANNED.of(phase),
        points::CLEARED.of(phase),
        points::RECORDED.of(phase),
        points::LEAVING.of(phase),
        points::REPLIED.of(phase),
        points::SENT.of(phase),
        points::CANCELLING.of(phase),
        points::FOLLOWED.of(phase),
    ];
    let mut ended = 0;
    for step in steps {
        for nth in 1..=3 {
            let mut service = world(on, LEAVE).await;
            let resumes = Some((points::FOLLOWED.of(phase), 2));
            let died = ring(&mut service, SLOT, resumes, Some((step, nth))).await;
            ended += usize::from(died);
            if died {
                trades(&service.sim, true);
                starts_again(&service).await;
            }
            let runs = service.world.store.runs(&RunFilter::all()).await.unwrap();
            assert!(runs.iter().all(|run| run.outcome.is_some()), "{step} {nth}: {runs:?}");
            assert!(service.world.store.unsettled().await.unwrap().is_empty(), "{step} {nth}");
            holds_together(&service, 3).await;
        }
    }
    println!("ended {ended} times between and in tries, nothing ordered twice");
    assert!(ended >= 20, "{ended}");
}

on_both_databases!(
    what_is_left_is_priced_anew_until_it_is_filled,
    what_stays_unfilled_is_left_to_the_next_moment,
    what_is_left_goes_to_the_market_where_the_file_says_so,
    sales_are_priced_anew_before_anything_is_bought,
    a_process_that_ends_between_two_tries_orders_nothing_twice,
    a_try_that_the_file_does_not_allow_any_more_is_followed_to_its_end,
    what_the_user_cancels_by_hand_is_not_tried_again,
    sales_that_may_not_be_tried_again_leave_the_purchases_to_the_cash_that_is_there,
);
