//! What users wish for their own accounts, on the real line: who is not bought is not bought, what is to leave is raised and
//! kept, and the second half of a run keeps what the first decided, also in another process.

use alpaca_sim::exchange::asset::AssetPatch;
use alpaca_sim::{Environment, NewAccount};
use rebalanced::edge::points;
use rebalanced::edge::store::{RunFilter, WishEnding};
use rebalanced::flow::approve::{self, Desk};
use rebalanced::flow::wishes;
use rebalanced::model::ids::{AccountId, StrategyName, Symbol};
use rebalanced::model::mandate::{ApprovalKind, Bound, ServicePolicy};
use rebalanced::model::money::{Fraction, Usd};
use rebalanced::model::personal::Wish;
use rebalanced::model::plan::Phase;
use rebalanced::model::run::Run;
use rebalanced::model::time::Moment;
use rust_decimal::Decimal;
use serde_json::Value;

use crate::halfway::{dies_at, starts_again};
use crate::support::{Keeper, Setup, TestWorld, cash, new_york, on_both_databases, policy};

const SIXTY_FORTY: &str = include_str!("../../strategies/sixty-forty.toml");
const OWN_WORDS: &str = include_str!("../../strategies/own-words.toml");

/// Without bands: every look trades.
const EVERY_LOOK: &str = r#"name = "every-look"
[schedule]
every = "session"
at = "close-30m"
[[weights]]
symbol = "VTI"
percent = 50
[[weights]]
symbol = "BND"
percent = 45
substitute = "AGG"
[cash]
percent = 5
[overrides]
exclude = true
hold = true
cap = true
cash_percent_max = 60
"#;

async fn world(on: Keeper, strategy: &str) -> (TestWorld, AccountId) {
    let files = [("sixty-forty.toml", SIXTY_FORTY), ("own-words.toml", OWN_WORDS), ("every-look.toml", EVERY_LOOK)];
    let service = TestWorld::new(Setup { strategies: &files, database: on, ..Setup::default() }).await;
    let account = service.connect("ada", strategy, cash(20_000)).await;
    service.ring(new_york("2019-06-03T10:00:00")).await;
    (service, AccountId::parse(&account).unwrap())
}

fn symbol(text: &str) -> Symbol {
    Symbol::parse(text).unwrap()
}

fn usd(text: &str) -> Usd {
    Usd::parse(text).unwrap()
}

fn desk(service: &TestWorld) -> Desk<'_> {
    Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy }
}

async fn try_say(
    service: &TestWorld,
    account: &AccountId,
    wish: Wish,
    until: Option<Moment>,
) -> Result<(), wishes::Error> {
    let desk = desk(service);
    let (known, name) = wishes::follows(&desk, account).await?;
    let strategy = service.world.strategies.get(&name).unwrap();
    wishes::say(&desk, (&known, strategy), wish, ("ada", "asked for it"), until).await.map(drop)
}

async fn say(service: &TestWorld, account: &AccountId, wish: Wish) {
    try_say(service, account, wish, None).await.unwrap();
}

async fn newest(service: &TestWorld) -> (Run, Vec<Value>) {
    let runs = service.world.store.runs(&RunFilter::all()).await.unwrap();
    let id = runs.into_iter().max_by_key(|run| run.slot).unwrap().id;
    let (run, decisions) = service.world.store.run(&id).await.unwrap().unwrap();
    (run, serde_json::from_str(&decisions.unwrap_or_else(|| "[]".to_owned())).unwrap())
}

/// What the broker's ledger has of orders since the n-th: `buy VTI`.
fn orders(service: &TestWorld, after: usize) -> Vec<String> {
    let all = service.sim.ledger().orders;
    all.iter().skip(after).map(|it| format!("{} {}", it.order.side.as_str(), it.order.symbol)).collect()
}

async fn an_excluded_symbol_is_never_bought_and_its_substitute_takes_its_weight(on: Keeper) {
    let (service, account) = world(on, "own-words").await;
    say(&service, &account, Wish::Exclude(symbol("VTI"))).await;
    service.ring(new_york("2019-06-03T15:30:00")).await;
    let (run, decisions) = newest(&service).await;
    assert_eq!(run.outcome.as_ref().unwrap().kind, "completed", "{run:?}");
    assert_eq!(orders(&service, 0), ["buy BND", "buy SPY", "buy VXUS"]);
    let effective = &decisions[0]["effective"];
    assert_eq!(
        (&effective["weights"]["SPY"], &effective["excluded"][0]),
        (&"0.5".into(), &"VTI".into()),
        "{effective}"
    );
    let said = &effective["overrides"][0];
    assert_eq!(
        (&said["kind"], &said["by"], &said["reason"]),
        (&"exclude".into(), &"ada".into(), &"asked for it".into())
    );
    let events = service.world.store.events(0, 10_000).await.unwrap();
    let told = events.iter().find(|event| event.kind == "override.said").unwrap();
    assert!(told.actor == "operator:ada" && told.facts.contains("VTI") && told.facts.contains("asked for it"));
    service.settle_accounts().await;
}

async fn a_wish_that_the_file_does_not_allow_is_refused_and_nothing_is_stored(on: Keeper) {
    let (service, account) = world(on, "sixty-forty").await;
    let tried = [
        (Wish::Exclude(symbol("SPY")), "exclude = true"),
        (Wish::DoNotSell(symbol("SPY")), "hold = true"),
        (Wish::Cash(Fraction::from_percent(Decimal::TEN)), "cash_percent_max"),
        (Wish::Cap(usd("100")), "cap = true"),
        (Wish::TargetYear(2050), "target_year_min and target_year_max, now none"),
    ];
    for (wish, named) in tried {
        let refused = try_say(&service, &account, wish, None).await.unwrap_err().to_string();
        assert!(refused.contains(named) && refused.contains("`sixty-forty`"), "{refused}");
    }
    let nobody = AccountId::parse("a0000000-0000-4000-8000-0000000000ff").unwrap();
    assert!(matches!(wishes::follows(&desk(&service), &nobody).await, Err(wishes::Error::Nobody(_))));
    let past = try_say(&service, &account, Wish::Withdraw { amount: usd("5"), left: Usd::ZERO }, Some(Moment::EPOCH));
    assert!(matches!(past.await, Err(wishes::Error::Past(_))));
    assert_eq!(service.world.store.wishes(None).await.unwrap(), []);
}

async fn a_withdrawal_is_raised_and_kept_until_it_has_left_and_each_row_counts_once(on: Keeper) {
    let (service, account) = world(on, "sixty-forty").await;
    service.ring(new_york("2019-06-03T15:45:00")).await;
    let before = service.sim.ledger().orders.len();
    service.clock.set(new_york("2019-06-04T10:00:00"));
    say(&service, &account, Wish::Withdraw { amount: usd("1500"), left: Usd::ZERO }).await;
    service.ring(new_york("2019-06-04T15:45:00")).await;
    let (run, _) = newest(&service).await;
    assert_eq!(run.outcome.as_ref().unwrap().reason, "raise_cash", "{run:?}");
    let sold = orders(&service, before);
    assert!(!sold.is_empty() && sold.iter().all(|order| order.starts_with("sell")), "{sold:?}");
    let view = || service.sim.with_exchange(|exchange, now| exchange.account(now, account.as_str())).unwrap();
    assert!(view().cash >= Decimal::from(1500 + 900), "{}", view().cash);
    // The next day it is still there: nothing is invested.
    service.ring(new_york("2019-06-05T15:45:00")).await;
    assert_eq!(orders(&service, before).len(), sold.len(), "kept aside, not invested");
    // Two thirds leave, and the rest is still waited for.
    let leaves = |day: &str, dollars: i64| {
        service.clock.set(new_york(&format!("2019-06-{day}T10:00:00")));
        service.sim.set_clock(service.clock.now().timestamp());
        service
            .sim
            .with_exchange(|exchange, now| exchange.transfer(now, account.as_str(), Decimal::from(-dollars)))
            .unwrap();
    };
    let pending = async || {
        let personal = service.world.store.personal(&account).await.unwrap();
        personal.aside(service.clock.now())
    };
    leaves("06", 1000);
    service.ring(new_york("2019-06-06T15:45:00")).await;
    assert_eq!(pending().await, usd("500"));
    let (run, _) = newest(&service).await;
    assert!(run.outcome.unwrap().detail.ends_with("since the last look: a withdrawal of 1000.00"));
    leaves("07", 500);
    service.ring(new_york("2019-06-07T15:45:00")).await;
    assert_eq!(pending().await, Usd::ZERO);
    service.ring(new_york("2019-06-10T15:45:00")).await;
    let said = service.world.store.wishes(Some(&account)).await.unwrap();
    assert_eq!(said[0].ended.as_ref().unwrap().1, "service");
    let events = service.world.store.events(0, 10_000).await.unwrap();
    let left: Vec<&str> = events.iter().filter(|it| it.kind == "withdrawal.left").map(|it| it.facts.as_str()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left[0].contains(r#""pending":"500""#) && left[1].contains(r#""pending":"0""#), "{left:?}");
    assert_eq!(orders(&service, before).len(), sold.len(), "the money has left: nothing to invest, nothing to raise");
    service.settle_accounts().await;
}

async fn a_withdrawal_that_left_before_it_was_asked_for_does_not_count(on: Keeper) {
    let (service, account) = world(on, "sixty-forty").await;
    service.ring(new_york("2019-06-03T15:45:00")).await;
    service.ring(new_york("2019-06-04T15:45:00")).await;
    service.clock.set(new_york("2019-06-05T10:00:00"));
    service.sim.set_clock(service.clock.now().timestamp());
    service.sim.with_exchange(|exchange, now| exchange.transfer(now, account.as_str(), Decimal::from(-300))).unwrap();
    service.clock.set(new_york("2019-06-05T11:00:00"));
    say(&service, &account, Wish::Withdraw { amount: usd("700"), left: Usd::ZERO }).await;
    service.ring(new_york("2019-06-05T15:45:00")).await;
    let personal = service.world.store.personal(&account).await.unwrap();
    assert_eq!(personal.aside(service.clock.now()), usd("700"));
}

/// BND is not traded any more: AGG, which the file names, is bought in its place, and the kept decision says so.
async fn what_cannot_be_bought_has_its_substitute_and_the_run_says_why(on: Keeper) {
    let (service, _) = world(on, "every-look").await;
    let shut = AssetPatch { tradable: Some(false), ..AssetPatch::default() };
    service.sim.with_exchange(|exchange, now| exchange.change_asset(now, "BND", shut)).unwrap();
    service.ring(new_york("2019-06-03T15:30:00")).await;
    let (run, decisions) = newest(&service).await;
    assert_eq!(run.outcome.as_ref().unwrap().kind, "completed", "{run:?}");
    assert_eq!(orders(&service, 0), ["buy AGG", "buy VTI"]);
    let explained = decisions[0]["explained"].as_array().unwrap();
    let sentence = |symbol: &str| {
        let one =
            explained.iter().find(|one| one["symbol"] == symbol).unwrap_or_else(|| panic!("{symbol}: {explained:?}"));
        one["sentence"].as_str().unwrap().to_owned()
    };
    assert!(sentence("VTI").contains("buys"), "{}", sentence("VTI"));
    assert!(sentence("AGG").contains("buys"), "{}", sentence("AGG"));
    let open = AssetPatch { tradable: Some(true), ..AssetPatch::default() };
    service.sim.with_exchange(|exchange, now| exchange.change_asset(now, "BND", open)).unwrap();
    service.ring(new_york("2019-06-04T15:30:00")).await;
    let after = orders(&service, 2);
    assert!(
        !after.iter().any(|order| order == "sell AGG"),
        "nothing is sold only to change one for the other: {after:?}"
    );
    service.settle_accounts().await;
}

async fn deposits_and_dividends_are_named_in_the_runs_own_sentence(on: Keeper) {
    let (service, account) = world(on, "sixty-forty").await;
    service.ring(new_york("2019-06-03T15:45:00")).await;
    service.ring(new_york("2019-06-04T15:45:00")).await;
    service.clock.set(new_york("2019-06-05T10:00:00"));
    service.sim.set_clock(service.clock.now().timestamp());
    service.sim.with_exchange(|exchange, now| exchange.transfer(now, account.as_str(), Decimal::from(1_500))).unwrap();
    service.ring(new_york("2019-06-05T15:45:00")).await;
    let (run, decisions) = newest(&service).await;
    let detail = run.outcome.unwrap().detail;
    assert!(detail.ends_with("; since the last look: a deposit of 1500.00"), "{detail}");
    assert_eq!(decisions[0]["reason"], "new_cash");
    assert!(decisions[0].get("effective").is_none(), "nobody wished anything");
}

/// The first day invests; on the second, half of the VTI is to be sold for the own cash, and BND bought.
async fn second_day(on: Keeper) -> (TestWorld, AccountId) {
    let (service, account) = world(on, "every-look").await;
    say(&service, &account, Wish::Exclude(symbol("BND"))).await;
    say(&service, &account, Wish::Cash(Fraction::from_percent(Decimal::from(50)))).await;
    service.ring(new_york("2019-06-03T15:30:00")).await;
    assert_eq!(orders(&service, 0), ["buy AGG", "buy VTI"]);
    service.clock.set(new_york("2019-06-04T10:00:00"));
    // AGG is no substitute any more and is left alone; BND is bought, from what VTI brings among others.
    let reason = ("ada", "changed their mind");
    wishes::clear(&desk(&service), &account, &WishEnding::All, reason).await.unwrap();
    say(&service, &account, Wish::Cash(Fraction::from_percent(Decimal::from(60)))).await;
    (service, account)
}

async fn the_second_half_keeps_the_weights_of_the_first_after_a_restart(on: Keeper) {
    let (mut service, account) = second_day(on).await;
    dies_at(&mut service, points::RECORDED.of(Phase::Sell), new_york("2019-06-04T15:30:00")).await;
    let sales = service.world.store.intents(&rebalanced::edge::store::IntentFilter::all()).await.unwrap();
    assert!(sales.iter().any(|intent| intent.phase == Phase::Sell), "the first half sells");
    // Meanwhile everything is wished differently.
    let reason = ("ada", "changed their mind");
    wishes::clear(&desk(&service), &account, &WishEnding::All, reason).await.unwrap();
    starts_again(&service).await;
    let (run, decisions) = newest(&service).await;
    assert!(run.outcome.is_some(), "{run:?}");
    assert_eq!(decisions[0]["effective"]["cash"], "0.6", "the cash target of the first half: {decisions:?}");
    let view = service.sim.with_exchange(|exchange, now| exchange.account(now, account.as_str())).unwrap();
    assert!(view.cash > view.equity * Decimal::new(55, 2), "{} of {}", view.cash, view.equity);
    service.settle_accounts().await;
}

async fn what_is_not_to_be_bought_since_the_first_half_is_not_bought_by_the_second(on: Keeper) {
    let (service, account) = world(on, "every-look").await;
    say(&service, &account, Wish::Cash(Fraction::from_percent(Decimal::from(50)))).await;
    say(&service, &account, Wish::DoNotBuy(symbol("BND"))).await;
    service.ring(new_york("2019-06-03T15:30:00")).await;
    assert_eq!(orders(&service, 0), ["buy VTI"], "BND is on the list");
    // The list is cleared; more VTI than its share is there, so the first half sells and the second buys BND.
    service.clock.set(new_york("2019-06-04T10:00:00"));
    let reason = ("ada", "changed their mind");
    wishes::clear(&desk(&service), &account, &WishEnding::All, reason).await.unwrap();
    say(&service, &account, Wish::Cash(Fraction::from_percent(Decimal::from(60)))).await;
    let mut service = service;
    dies_at(&mut service, points::FOLLOWED.of(Phase::Sell), new_york("2019-06-04T15:30:00")).await;
    assert_eq!(orders(&service, 1), ["sell VTI"]);
    say(&service, &account, Wish::DoNotBuy(symbol("BND"))).await;
    starts_again(&service).await;
    assert_eq!(orders(&service, 2), [] as [String; 0], "said between the halves, and the second one keeps to it");
    let (_, decisions) = newest(&service).await;
    let skipped = decisions.last().unwrap()["skipped"].to_string();
    assert!(skipped.contains("do_not_buy"), "{skipped}");
    service.settle_accounts().await;
}

async fn a_wish_whose_file_changed_its_mind_stops_the_account(on: Keeper) {
    let (mut service, account) = world(on, "own-words").await;
    say(&service, &account, Wish::Exclude(symbol("VTI"))).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("own-words.toml"),
        OWN_WORDS
            .replace("exclude = true", "exclude = false")
            .replace("max_excluded_percent = 50", "")
            .replace("excluded_to = \"others\"", ""),
    )
    .unwrap();
    let (catalog, faults) = rebalanced::edge::strategies::load_dir(folder.path()).unwrap();
    assert!(faults.is_empty(), "{faults:?}");
    service.world.strategies = catalog;
    service.ring(new_york("2019-06-03T15:30:00")).await;
    let (run, _) = newest(&service).await;
    let outcome = run.outcome.unwrap();
    assert_eq!((outcome.kind.as_str(), outcome.reason.as_str()), ("skipped", "overrides_not_allowed"));
    assert!(outcome.detail.contains("exclude VTI"), "{}", outcome.detail);
    assert_eq!(orders(&service, 0), [] as [String; 0]);
    assert!(service.world.strategies.get(&StrategyName::parse("own-words").unwrap()).is_some());
}

async fn a_live_exclusion_needs_its_substitute_among_the_symbols_of_the_approval(on: Keeper) {
    let files = [("own-words.toml", OWN_WORDS)];
    let policy = ServicePolicy { live_trading: true, app_approved: true, ..policy() };
    let setup = Setup { strategies: &files, policy, app_approved_at_broker: true, database: on, ..Setup::default() };
    let service = TestWorld::new(setup).await;
    let mut new = NewAccount::new("", Environment::Live);
    new.cash = Decimal::from(20_000);
    let account = AccountId::parse(&service.connect("live", "own-words", new).await).unwrap();
    let name = StrategyName::parse("own-words").unwrap();
    let strategy = service.world.strategies.get(&name).unwrap().clone();
    let named = ["VTI", "VXUS", "BND"].map(symbol).to_vec();
    assert_eq!(wishes::left_out(&strategy, Some(&named)), ["AGG (stands in for BND)", "SPY (stands in for VTI)"]);
    let bound = |symbols: Vec<Symbol>| Bound { symbols: Some(symbols), ..Bound::default() };
    let kind =
        |symbols| ApprovalKind::Subscription { account: account.clone(), name: name.clone(), bound: bound(symbols) };
    let narrow = approve::grant(&desk(&service), kind(named), ("ada", "test"), None).await.unwrap();
    let refused = try_say(&service, &account, Wish::Exclude(symbol("VTI")), None).await.unwrap_err().to_string();
    assert!(refused.contains("SPY would stand in for VTI") && refused.contains(narrow.id.as_str()), "{refused}");
    assert_eq!(service.world.store.wishes(None).await.unwrap(), []);
    say(&service, &account, Wish::Exclude(symbol("VXUS"))).await;
    let done = ("ada", "it has no substitute, so nothing stood against it");
    assert_eq!(wishes::clear(&desk(&service), &account, &WishEnding::All, done).await.unwrap().len(), 1);
    approve::revoke(&desk(&service), &narrow.id, "ada").await.unwrap();
    let all: Vec<Symbol> = strategy.universe().into_iter().collect();
    assert_eq!(wishes::left_out(&strategy, Some(&all)), [] as [String; 0]);
    approve::grant(&desk(&service), kind(all), ("ada", "test"), None).await.unwrap();
    say(&service, &account, Wish::Exclude(symbol("VTI"))).await;
}

on_both_databases!(
    a_live_exclusion_needs_its_substitute_among_the_symbols_of_the_approval,
    an_excluded_symbol_is_never_bought_and_its_substitute_takes_its_weight,
    a_wish_that_the_file_does_not_allow_is_refused_and_nothing_is_stored,
    a_withdrawal_is_raised_and_kept_until_it_has_left_and_each_row_counts_once,
    a_withdrawal_that_left_before_it_was_asked_for_does_not_count,
    deposits_and_dividends_are_named_in_the_runs_own_sentence,
    what_cannot_be_bought_has_its_substitute_and_the_run_says_why,
    the_second_half_keeps_the_weights_of_the_first_after_a_restart,
    what_is_not_to_be_bought_since_the_first_half_is_not_bought_by_the_second,
    a_wish_whose_file_changed_its_mind_stops_the_account,
);
