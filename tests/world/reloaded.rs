//! Strategies are read again while the service runs: what is on record of it, and what a live account needs then.

use alpaca_sim::{Environment, NewAccount};
use rebalanced::edge::World;
use rebalanced::flow::approve::{self, Desk};
use rebalanced::flow::reload::{Error, reload};
use rebalanced::model::event::Actor;
use rebalanced::model::ids::{AccountId, StrategyName};
use rebalanced::model::mandate::{ApprovalKind, Bound, ServicePolicy};
use rust_decimal::Decimal;

use crate::support::{Keeper, Setup, TestWorld, new_york, on_both_databases, policy};

fn text(spy: u32) -> String {
    format!(
        "name = \"fresh\"\n[schedule]\nevery = \"session\"\nat = \"open+30m\"\n\
         [[weights]]\nsymbol = \"SPY\"\npercent = {spy}\n[cash]\npercent = {}\n",
        100 - spy
    )
}

async fn approves(world: &World, account: &AccountId) {
    let name = StrategyName::parse("fresh").unwrap();
    let version = world.strategies.get(&name).unwrap().version().clone();
    let text_hash = world.policy.consent_texts[&name].clone();
    let desk = Desk { store: &world.store, clock: &world.clock, entropy: &world.entropy };
    for kind in [
        ApprovalKind::Consent { account: account.clone(), text_hash },
        ApprovalKind::Strategy { name: name.clone(), version },
        ApprovalKind::Subscription { account: account.clone(), name: name.clone(), bound: Bound::default() },
    ] {
        approve::grant(&desk, kind, ("ada", "test"), None).await.unwrap();
    }
}

async fn a_live_account_waits_for_the_approvals_of_what_was_read_again(on: Keeper) {
    let setup = Setup {
        strategies: &[("fresh.toml", &text(60))],
        policy: ServicePolicy { live_trading: true, app_approved: true, ..policy() },
        app_approved_at_broker: true,
        database: on,
        ..Setup::default()
    };
    let mut service = TestWorld::new(setup).await;
    service.ring(new_york("2019-06-03T09:40:00")).await;
    let mut new = NewAccount::new("", Environment::Live);
    new.cash = Decimal::from(20_000);
    let account = AccountId::parse(&service.connect("live", "fresh", new).await).unwrap();
    approves(&service.world, &account).await;
    let first = service.ring(new_york("2019-06-03T10:00:00")).await;
    assert_eq!((first.len(), first[0].kind.code()), (1, "completed"), "{first:?}");
    // The folder as it is later: another version, one more, and one that is none.
    let folder = tempfile::TempDir::new().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("fresh.toml", &text(40));
    write("more.toml", &text(50).replace("fresh", "more"));
    write("wrong.toml", "name = 7");
    let before = service.world.policy.consent_texts.clone();
    let (world, changes) = reload(&service.world, folder.path(), &Actor::operator("ada")).await.unwrap();
    let name = StrategyName::parse("fresh").unwrap();
    assert_eq!(
        (changes.changed.as_slice(), changes.added.len(), changes.refused_files().len()),
        (&[name.clone()][..], 1, 1)
    );
    assert_eq!(world.policy.consent_texts.len(), 2);
    assert_ne!(world.policy.consent_texts[&name], before[&name], "users read another text");
    assert_eq!(service.world.policy.consent_texts, before, "whoever holds the old world goes on with it");
    let events = service.world.store.events(0, 10_000).await.unwrap();
    let event = events.iter().find(|event| event.kind == "strategies.reloaded").unwrap();
    let told = &event.facts;
    for part in ["fresh", "more", "wrong.toml"] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(event.actor, "operator:ada");
    let metrics = world.metrics.text();
    for line in [
        "rebalanced_strategies_reloaded_total{change=\"added\"} 1",
        "rebalanced_strategies_reloaded_total{change=\"changed\"} 1",
        "rebalanced_strategy_files_refused 1",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    service.world = world;
    let refused = service.ring(new_york("2019-06-04T10:00:00")).await;
    assert_eq!((refused.len(), refused[0].kind.code()), (1, "refused"), "{refused:?}");
    for code in ["consented to another text", "is not approved for live use"] {
        assert!(format!("{refused:?}").contains(code), "{code}: {refused:?}");
    }
    approves(&service.world, &account).await;
    let traded = service.ring(new_york("2019-06-05T10:00:00")).await;
    assert_eq!((traded.len(), traded[0].kind.code()), (1, "completed"), "{traded:?}");
    assert_eq!(service.sim.ledger().orders.len(), 2, "a purchase by the old version, a sale by the new one");
    service.settle_accounts().await;
}

async fn a_folder_that_cannot_be_read_changes_nothing(on: Keeper) {
    let setup = Setup { strategies: &[("fresh.toml", &text(60))], database: on, ..Setup::default() };
    let service = TestWorld::new(setup).await;
    let before = service.world.store.chain_end().await.unwrap();
    let nowhere = reload(&service.world, std::path::Path::new("/nowhere/at/all"), &Actor::service()).await;
    assert!(matches!(nowhere, Err(Error::Folder(_))));
    assert_eq!(service.world.store.chain_end().await.unwrap(), before);
}

on_both_databases!(
    a_live_account_waits_for_the_approvals_of_what_was_read_again,
    a_folder_that_cannot_be_read_changes_nothing,
);
