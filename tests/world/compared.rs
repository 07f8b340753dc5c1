//! Two versions beside each other, for the accounts that follow the strategy: what is shown is what would be traded, and
//! nothing is left behind of it.

use rebalanced::edge::store::{IntentFilter, RunFilter};
use rebalanced::edge::strategies::read_file;
use rebalanced::flow::approve::Desk;
use rebalanced::flow::compare::{Compared, Pair, Plans, Sum, compare};
use rebalanced::flow::wishes;
use rebalanced::model::ids::{AccountId, Symbol};
use rebalanced::model::personal::Wish;
use rebalanced::model::plan::{Amount, Decision, Phase, Plan};
use rebalanced::model::strategy::Strategy;
use rebalanced::model::verdict::Reason;

use crate::support::{Keeper, Setup, TestWorld, cash, new_york, on_both_databases};

fn text(spy: u32, more: &str) -> String {
    format!(
        "name = \"fresh\"\n[schedule]\nevery = \"session\"\nat = \"open+30m\"\n\
         [[weights]]\nsymbol = \"SPY\"\npercent = {spy}\n[[weights]]\nsymbol = \"AGG\"\npercent = {}\n\
         [cash]\npercent = 5\n[rebalance]\ndrift_absolute_percent = 5\n{more}\n[overrides]\nhold = true\n",
        95 - spy
    )
}

fn read(text: &str) -> Strategy {
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::write(folder.path().join("fresh.toml"), text).unwrap();
    read_file(&folder.path().join("fresh.toml")).unwrap().0
}

fn plans(compared: &Compared) -> &Plans {
    compared.plans.as_ref().unwrap()
}

fn legs(plan: &Plan) -> Vec<(Phase, String, Amount)> {
    plan.legs.iter().map(|leg| (leg.phase, leg.symbol.to_string(), leg.amount)).collect()
}

async fn both_versions_are_shown_as_they_would_trade_and_nothing_is_left_behind(on: Keeper) {
    let (first, second) = (text(60, "cooldown_days = 30"), text(40, "cooldown_days = 30\non_new_version = true"));
    let (old, new) = (read(&first), read(&second));
    let setup = Setup { strategies: &[("fresh.toml", &first)], database: on, ..Setup::default() };
    let service = TestWorld::new(setup).await;
    service.ring(new_york("2019-06-03T09:40:00")).await;
    let ann = AccountId::parse(&service.connect("ann", "fresh", cash(10_000)).await).unwrap();
    assert_eq!(service.ring(new_york("2019-06-03T10:00:00")).await.len(), 1);
    // Ben is new: both versions invest all of his cash. Ann has done so and rests; only the new version wakes her.
    let ben = AccountId::parse(&service.connect("ben", "fresh", cash(20_000)).await).unwrap();
    service.clock.set(new_york("2019-06-03T11:00:00"));
    let pair = Pair { old: &old, new: &new };
    let left = async || {
        let store = &service.world.store;
        let runs = store.runs(&RunFilter::all()).await.unwrap().len();
        let intents = store.intents(&IntentFilter::all()).await.unwrap().len();
        (
            store.chain_end().await.unwrap(),
            runs,
            intents,
            service.sim.ledger().orders.len(),
            store.ledger().await.unwrap(),
        )
    };
    let before = left().await;
    let compared = compare(&service.world, pair, None).await.unwrap();
    assert_eq!(left().await, before, "a dry run leaves nothing behind, here or at the broker");
    let of = |account: &AccountId| plans(compared.iter().find(|one| one.account == *account).unwrap());
    assert_eq!(compared.len(), 2);
    assert_eq!((of(&ann).old.decision, of(&ann).new.decision), (Decision::Hold, Decision::Trade), "{compared:#?}");
    assert_eq!(of(&ann).new.reason, Reason::DriftAbsolute);
    let sold: Vec<_> = legs(&of(&ann).new).into_iter().filter(|(phase, ..)| *phase == Phase::Sell).collect();
    assert!(sold.len() == 1 && sold[0].1 == "SPY", "{sold:?}");
    assert_eq!((of(&ben).old.legs.len(), of(&ben).new.legs.len()), (2, 2));
    let sum = Sum::of([&of(&ann).new, &of(&ben).new]);
    assert_eq!((sum.orders, sum.value), (4, of(&ann).new.value + of(&ben).new.value));
    assert!(sum.turnover() < of(&ann).new.turnover, "ben sells nothing");
    // What is shown of the old version is what it really does now.
    service.clock.set(new_york("2019-06-04T10:00:00"));
    let one = compare(&service.world, pair, Some(&ben)).await.unwrap();
    assert!(one.len() == 1 && one[0].account == ben);
    let shown = legs(&plans(&one[0]).old);
    service.ring(new_york("2019-06-04T10:00:00")).await;
    let sent = service.world.store.intents(&IntentFilter::all()).await.unwrap();
    let sent = sent.iter().filter(|it| it.account == ben);
    let sent: Vec<_> = sent.map(|it| (it.phase, it.symbol.to_string(), it.amount)).collect();
    assert_eq!(shown, sent);
    service.settle_accounts().await;
}

async fn wishes_count_and_who_cannot_be_looked_at_is_named(on: Keeper) {
    let first = text(60, "");
    let (old, new) = (read(&first), read(&text(40, "")));
    let setup = Setup { strategies: &[("fresh.toml", &first)], database: on, ..Setup::default() };
    let service = TestWorld::new(setup).await;
    service.ring(new_york("2019-06-03T09:40:00")).await;
    let ann = AccountId::parse(&service.connect("ann", "fresh", cash(10_000)).await).unwrap();
    let ben = AccountId::parse(&service.connect("ben", "fresh", cash(10_000)).await).unwrap();
    service.ring(new_york("2019-06-03T10:00:00")).await;
    let world = &service.world;
    let desk = Desk { store: &world.store, clock: &world.clock, entropy: &world.entropy };
    let (account, _) = wishes::follows(&desk, &ann).await.unwrap();
    let wish = Wish::DoNotSell(Symbol::parse("SPY").unwrap());
    wishes::say(&desk, (&account, &old), wish, ("ada", "not this year"), None).await.unwrap();
    service.sim.revoke_person("ben");
    let pair = Pair { old: &old, new: &new };
    let compared = compare(world, pair, None).await.unwrap();
    let of = |account: &AccountId| compared.iter().find(|one| one.account == *account).unwrap();
    let new = &plans(of(&ann)).new;
    assert!(new.legs_of(Phase::Sell).next().is_none(), "her own wish holds in the dry run too: {new:#?}");
    assert!(new.skipped.iter().any(|skip| skip.symbol.as_str() == "SPY"), "{new:#?}");
    assert!(of(&ben).plans.is_err(), "{compared:#?}");
    let health = service.world.store.account(&ben).await.unwrap().unwrap().health;
    assert_eq!(health.code(), "active", "a dry run does not even note that the token is refused");
}

on_both_databases!(
    both_versions_are_shown_as_they_would_trade_and_nothing_is_left_behind,
    wishes_count_and_who_cannot_be_looked_at_is_named,
);
