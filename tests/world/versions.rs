//! A strategy's new version is looked at once: inside a session, also in the cooldown, never twice.

use rebalanced::edge::store::RunFilter;
use rebalanced::edge::strategies::load_dir;
use rebalanced::model::run::{Run, Trigger};

use crate::support::{Keeper, Setup, TestWorld, cash, new_york, on_both_databases};

/// It trades at 10:00 on each session, and rests for 30 days then.
fn text(spy: u32, on_new_version: &str) -> String {
    format!(
        "name = \"fresh\"\n[schedule]\nevery = \"session\"\nat = \"open+30m\"\n\
         [[weights]]\nsymbol = \"SPY\"\npercent = {spy}\n[[weights]]\nsymbol = \"AGG\"\npercent = {}\n\
         [cash]\npercent = 5\n[rebalance]\ncooldown_days = 30\n{on_new_version}\n",
        95 - spy
    )
}

const ON: &str = "on_new_version = true";

/// The daemon is started again with this text.
async fn load(service: &mut TestWorld, text: &str) {
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::write(folder.path().join("fresh.toml"), text).unwrap();
    let (catalog, faults) = load_dir(folder.path()).unwrap();
    assert!(faults.is_empty(), "{faults:?}");
    service.world.strategies = catalog;
    let world = &service.world;
    let strategy = world.strategies.iter().next().unwrap();
    let now = world.clock.now();
    world.store.remember_strategy((strategy.name(), strategy.version()), text, now).await.unwrap();
}

async fn fresh(service: &TestWorld) -> Vec<Run> {
    let runs = service.world.store.runs(&RunFilter::all()).await.unwrap();
    runs.into_iter().filter(|run| run.trigger == Trigger::NewVersion).collect()
}

async fn a_new_version_is_looked_at_once_inside_a_session_also_in_the_cooldown(on: Keeper) {
    let first = text(60, ON);
    let setup = Setup { strategies: &[("fresh.toml", &first)], database: on, ..Setup::default() };
    let mut service = TestWorld::new(setup).await;
    load(&mut service, &first).await;
    service.clock.set(new_york("2019-06-03T09:10:00"));
    service.connect("ann", "fresh", cash(10_000)).await;
    service.ring(new_york("2019-06-03T09:45:00")).await;
    assert_eq!(fresh(&service).await, [], "who begins with a version does not find it new");
    assert_eq!(service.ring(new_york("2019-06-03T10:00:00")).await.len(), 1, "the schedule's own run");
    service.clock.set(new_york("2019-06-03T20:00:00"));
    load(&mut service, &text(40, ON)).await;
    assert!(service.ring(new_york("2019-06-03T20:00:01")).await.is_empty(), "the exchange is closed");
    assert!(service.ring(new_york("2019-06-04T09:29:59")).await.is_empty());
    let outcomes = service.ring(new_york("2019-06-04T09:30:00")).await;
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    assert_eq!(outcomes[0].reason, "scheduled", "it trades although it traded yesterday: {outcomes:?}");
    let runs = fresh(&service).await;
    assert_eq!((runs.len(), runs[0].slot_reason.as_str()), (1, "new_version"));
    // From the next scheduled moment on it rests again.
    let outcomes = service.ring(new_york("2019-06-04T10:00:00")).await;
    assert_eq!((outcomes.len(), outcomes[0].reason), (1, "cooldown"), "{outcomes:?}");
    // A restart, the old file again, the new one again: none of them is new to ann; ben began with it.
    service.connect("ben", "fresh", cash(10_000)).await;
    for spy in [40, 60, 40] {
        load(&mut service, &text(spy, ON)).await;
        let later = service.clock.now() + rebalanced::model::time::Span::from_mins(1);
        assert!(service.ring(later).await.is_empty(), "{spy}");
    }
    assert_eq!(fresh(&service).await.len(), 1);
    // Two daemons that see a third version at once make one run for each account.
    service.clock.set(new_york("2019-06-04T11:00:00"));
    load(&mut service, &text(30, ON)).await;
    let strategy = service.world.strategies.iter().next().unwrap().clone();
    let (store, now) = (&service.world.store, service.clock.now());
    let named = (strategy.name(), strategy.version());
    let until = new_york("2019-06-04T15:45:00");
    let (one, other) = tokio::join!(store.offer_version(named, until, now), store.offer_version(named, until, now));
    assert_eq!(one.unwrap() + other.unwrap(), 2, "ann and ben");
    assert_eq!(service.ring(now).await.len(), 2);
    assert_eq!(fresh(&service).await.len(), 3);
    service.settle_accounts().await;
}

async fn a_file_that_does_not_say_so_waits_for_its_schedule(on: Keeper) {
    let first = text(60, "");
    let setup = Setup { strategies: &[("fresh.toml", &first)], database: on, ..Setup::default() };
    let mut service = TestWorld::new(setup).await;
    load(&mut service, &first).await;
    service.clock.set(new_york("2019-06-03T09:10:00"));
    service.connect("ann", "fresh", cash(10_000)).await;
    service.ring(new_york("2019-06-03T10:00:00")).await;
    service.clock.set(new_york("2019-06-03T11:00:00"));
    load(&mut service, &text(40, "")).await;
    assert!(service.ring(new_york("2019-06-03T11:00:01")).await.is_empty());
    // What is loaded after the session's last look waits for the next session.
    service.clock.set(new_york("2019-06-03T15:46:00"));
    load(&mut service, &text(45, ON)).await;
    assert!(service.ring(new_york("2019-06-03T15:46:01")).await.is_empty());
    assert_eq!(service.ring(new_york("2019-06-04T09:31:00")).await.len(), 1);
}

on_both_databases!(
    a_new_version_is_looked_at_once_inside_a_session_also_in_the_cooldown,
    a_file_that_does_not_say_so_waits_for_its_schedule,
);
