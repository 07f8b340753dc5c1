//! Every order at the broker can be traced to its user, strategy, decision, approvals and program (D.8).

use alpaca_sim::{Environment, NewAccount};
use rebalanced::app::shown;
use rebalanced::flow::approve::{self, Desk};
use rebalanced::flow::trace::trace;
use rebalanced::model::ids::{AccountId, StrategyName};
use rebalanced::model::mandate::{ApprovalKind, Bound, ServicePolicy};
use rust_decimal::Decimal;

use crate::support::{Keeper, Setup, TestWorld, new_york, on_both_databases, policy};

const SIXTY_FORTY: &str = include_str!("../../strategies/sixty-forty.toml");

async fn d8_every_broker_order_is_traced_by_any_of_its_names(on: Keeper) {
    let setup = Setup {
        strategies: &[("sixty-forty.toml", SIXTY_FORTY)],
        policy: ServicePolicy { live_trading: true, app_approved: true, ..policy() },
        app_approved_at_broker: true,
        database: on,
        ..Setup::default()
    };
    let service = TestWorld::new(setup).await;
    let mut new = NewAccount::new("", Environment::Live);
    new.cash = Decimal::from(20_000);
    let account = AccountId::parse(&service.connect("ada", "sixty-forty", new).await).unwrap();
    let name = StrategyName::parse("sixty-forty").unwrap();
    let loaded = service.world.strategies.get(&name).unwrap().version().clone();
    service.world.store.remember_strategy((&name, &loaded), SIXTY_FORTY, service.clock.now()).await.unwrap();
    let desk = Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy };
    let consent = ApprovalKind::Consent {
        account: account.clone(),
        text_hash: service.world.policy.consent_texts[&name].clone(),
    };
    let strategy = ApprovalKind::Strategy { name: name.clone(), version: loaded.clone() };
    let subscription = ApprovalKind::Subscription { account: account.clone(), name, bound: Bound::default() };
    for kind in [consent, strategy.clone(), subscription] {
        approve::grant(&desk, kind, ("ann", "before"), None).await.unwrap();
    }
    service.ring(new_york("2019-06-03T10:00:00")).await;
    service.ring(new_york("2019-06-03T15:45:00")).await;
    // What is granted or withdrawn afterwards changes nothing in the history.
    for approval in service.world.store.approvals().await.unwrap() {
        approve::revoke(&desk, &approval.id, "ann").await.unwrap();
    }
    approve::grant(&desk, strategy, ("ben", "after"), None).await.unwrap();
    let orders = service.sim.ledger().orders;
    assert_eq!(orders.len(), 2);
    for record in &orders {
        let client_id = record.order.client_order_id.to_string();
        let found = trace(&service.world.store, &client_id).await.unwrap().unwrap();
        for name in [record.order.id.to_string(), found.intent.id.to_string()] {
            let same = trace(&service.world.store, &name).await.unwrap().unwrap();
            assert_eq!(same.intent, found.intent, "by any of its names");
        }
        let shown = shown::trace(&found);
        assert_eq!(shown["account"], account.as_str());
        assert_eq!(shown["reference"], "ada");
        assert_eq!(shown["version"], loaded.as_str());
        assert!(shown["version_first_seen_at"].is_string());
        assert_eq!(shown["program"], env!("CARGO_PKG_VERSION"));
        assert_eq!(shown["order"]["filled_qty"], record.order.filled_qty.normalize().to_string());
        let leg = &shown["decisions"][0]["orders"];
        let priced = leg.as_array().unwrap().iter().find(|leg| leg["symbol"] == record.order.symbol.as_ref()).unwrap();
        assert!(priced["reference_price"].as_str().unwrap().parse::<Decimal>().unwrap() > Decimal::ZERO, "{priced}");
        let of = |field: &str, key: &str| -> Vec<String> {
            shown[field].as_array().unwrap().iter().map(|row| row[key].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(of("approvals", "reason"), ["before"; 3], "those that were in force when it was recorded");
        let told = ["intent.recorded", "intent.moved", "intent.settled", "run.closed"];
        assert_eq!(of("events", "kind"), told, "its own, no sibling's");
    }
    assert!(trace(&service.world.store, "nothing").await.unwrap().is_none());
}

on_both_databases!(d8_every_broker_order_is_traced_by_any_of_its_names,);
