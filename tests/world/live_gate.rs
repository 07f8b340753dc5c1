//! Live orders: refused unless every flag is set, and the refusal names every flag that is missing.

use std::time::Duration;

use alpaca_sim::{Environment, NewAccount};
use rebalanced::flow::approve::{self, Desk};
use rebalanced::flow::operators::{self, Changers};
use rebalanced::model::ids::{AccountId, StrategyName, Symbol};
use rebalanced::model::limits::Raise;
use rebalanced::model::mandate::{ApprovalKind, Bound, HaltScope, ServicePolicy};
use rebalanced::model::money::Usd;
use rebalanced::model::operator::Scope;
use rebalanced::model::secret::Secret;
use rebalanced::model::time::Span;
use rebalanced::model::verdict::OutcomeKind;
use rust_decimal::Decimal;

use crate::support::{Keeper, Setup, TestWorld, new_york, on_both_databases, policy};

const SIXTY_FORTY: &str = include_str!("../../strategies/sixty-forty.toml");

/// The six flags that a person can give, the raise of a limit among them; the kill switch is tested elsewhere.
const FLAGS: [&str; 6] = [
    "live_switched_off",
    "app_not_approved",
    "consent_missing",
    "strategy_not_approved",
    "subscription_not_approved",
    "max_order_notional",
];

/// A raise without which the orders are too large.
fn raise(account: &AccountId) -> ApprovalKind {
    let raise = Raise { max_order_notional: Some(Usd::parse("15000").unwrap()), ..Raise::default() };
    ApprovalKind::Limits { account: account.clone(), raise }
}

/// The founder, and whoever shows these tokens.
fn by(tokens: &[Secret]) -> Changers<'_> {
    Changers { required: 1, said: Some("founder"), tokens }
}

async fn prepared(on: Keeper, flags: u32, latency: Duration) -> TestWorld {
    let given = |index: u32| flags & (1 << index) != 0;
    let mut policy = ServicePolicy { live_trading: given(0), app_approved: given(1), ..policy() };
    policy.limits.max_order_notional = Some(Usd::parse("5000").unwrap());
    let setup = Setup {
        strategies: &[("sixty-forty.toml", SIXTY_FORTY)],
        policy,
        app_approved_at_broker: true,
        database: on,
        latency,
        ..Setup::default()
    };
    let service = TestWorld::new(setup).await;
    let mut new = NewAccount::new("", Environment::Live);
    new.cash = Decimal::from(20_000);
    let account = AccountId::parse(&service.connect("live", "sixty-forty", new).await).unwrap();
    let name = StrategyName::parse("sixty-forty").unwrap();
    let version = service.world.strategies.get(&name).unwrap().version().clone();
    let desk = Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy };
    let kinds = [
        (
            2,
            ApprovalKind::Consent {
                account: account.clone(),
                text_hash: service.world.policy.consent_texts[&name].clone(),
            },
        ),
        (3, ApprovalKind::Strategy { name: name.clone(), version }),
        (4, ApprovalKind::Subscription { account: account.clone(), name, bound: Bound::default() }),
        (5, raise(&account)),
    ];
    for (index, kind) in kinds {
        if given(index) {
            approve::grant(&desk, kind, ("ada", "test"), None).await.unwrap();
        }
    }
    service.ring(new_york("2019-06-03T10:00:00")).await;
    service
}

async fn run_with(on: Keeper, flags: u32) -> (TestWorld, Vec<String>) {
    let service = prepared(on, flags, Duration::ZERO).await;
    let outcomes = service.ring(new_york("2019-06-03T15:45:00")).await;
    let lines =
        outcomes.iter().map(|outcome| format!("{} {} {}", outcome.kind, outcome.reason, outcome.detail)).collect();
    (service, lines)
}

async fn s4_no_live_order_leaves_unless_every_flag_is_set(on: Keeper) {
    let all = (1 << FLAGS.len()) - 1;
    for flags in 0..=all {
        let (service, outcomes) = run_with(on, flags).await;
        let orders = service.sim.ledger().orders.len();
        let [outcome] = outcomes.as_slice() else { panic!("one run, one outcome: {outcomes:?}") };
        if flags == all {
            assert!(outcome.starts_with(OutcomeKind::Completed.code()), "{outcome}");
            assert_eq!(orders, 2, "with every flag the live orders leave");
        } else {
            assert!(outcome.starts_with(OutcomeKind::Refused.code()), "{flags:06b}: {outcome}");
            assert_eq!(orders, 0, "{flags:06b}: no live order");
            let stored = service.world.store.events(0, 10_000).await.unwrap();
            let refused = stored.iter().rev().find(|event| event.kind == "run.refused" || event.kind == "run.closed");
            assert!(refused.is_some(), "a refusal is recorded");
        }
        service.settle_accounts().await;
    }
}

async fn d5_where_two_must_approve_the_order_leaves_with_the_second_person_and_not_before(on: Keeper) {
    let mut service = prepared(on, 0b00111, Duration::ZERO).await;
    service.world.policy.operators_required = 2;
    let name = StrategyName::parse("sixty-forty").unwrap();
    let version = service.world.strategies.get(&name).unwrap().version().clone();
    let account = service.world.store.accounts().await.unwrap()[0].id.clone();
    let text_hash = service.world.policy.consent_texts[&name].clone();
    let kinds = [
        ApprovalKind::Strategy { name: name.clone(), version },
        ApprovalKind::Subscription { account: account.clone(), name, bound: Bound::default() },
        raise(&account),
        // What `prepared` entered in the user's name has a bare name behind it.
        ApprovalKind::Consent { account, text_hash },
    ];
    // Day by day: a bare name, ann, ann again, and at last ben.
    let days =
        [("2019-06-03", "claimed", 0), ("2019-06-04", "ann", 0), ("2019-06-05", "ann", 0), ("2019-06-06", "ben", 2)];
    for (day, who, orders) in days {
        let desk = Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy };
        for kind in &kinds {
            if who == "claimed" {
                approve::grant(&desk, kind.clone(), (who, "test"), None).await.unwrap();
                continue;
            }
            if service.world.store.operators().await.unwrap().iter().all(|known| known.name.as_str() != who) {
                operators::add(&desk, who, [Scope::Approve].into(), &by(&[])).await.unwrap();
            }
            let known = service.world.store.operators().await.unwrap();
            let operator = known.iter().find(|known| known.name.as_str() == who).unwrap();
            approve::grant_proven(&desk, kind.clone(), (operator, "test"), None).await.unwrap();
        }
        let outcomes = service.ring(new_york(&format!("{day}T15:45:00"))).await;
        assert_eq!(service.sim.ledger().orders.len(), orders, "{day} {who}: {outcomes:?}");
        if orders == 0 {
            assert!(outcomes[0].detail.contains("of 2 operators approved"), "{outcomes:?}");
        }
    }
    service.settle_accounts().await;
}

async fn d5_what_the_daemon_requires_holds_in_a_process_that_was_told_less(on: Keeper) {
    let service = prepared(on, 0b11_1111, Duration::ZERO).await;
    let desk = Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy };
    assert_eq!(operators::require(&desk, 2).await.unwrap(), 2);
    assert_eq!(operators::require(&desk, 1).await.unwrap(), 2, "a daemon that was told less lowers nothing");
    assert!(service.world.policy.operators_required < 2, "this process was told so");
    let outcomes = service.ring(new_york("2019-06-03T15:45:00")).await;
    assert!(service.sim.ledger().orders.is_empty(), "{outcomes:?}");
    assert!(outcomes[0].detail.contains("of 2 operators approved"), "{outcomes:?}");
    // Lowering takes as many different operators as are required; then this process' own word is enough.
    let mut tokens = Vec::new();
    for who in ["ann", "ben"] {
        let token = operators::add(&desk, who, [Scope::Approve].into(), &by(&tokens)).await.unwrap();
        tokens.push(token);
    }
    let cat = operators::add(&desk, "cat", [Scope::Operate].into(), &by(&tokens)).await.unwrap();
    for too_few in [&[&tokens[0]][..], &[&tokens[0], &tokens[0]], &[&tokens[0], &cat], &[]] {
        let shown: Vec<Secret> = too_few.iter().map(|token| Secret::new(token.expose().to_owned())).collect();
        let refused = operators::require_fewer(&desk, 1, &shown).await.unwrap_err();
        assert!(matches!(refused, operators::Error::TooFew { now: 2, .. }), "{refused:?}");
    }
    assert_eq!(operators::require_fewer(&desk, 1, &tokens).await.unwrap(), "ann and ben");
    let events = service.world.store.events(0, 1000).await.unwrap();
    let changes: Vec<_> = events.iter().filter(|event| event.kind == "operators.required").collect();
    assert_eq!(changes.len(), 2, "only changes are told: {changes:?}");
    service.ring(new_york("2019-06-04T15:45:00")).await;
    assert_eq!(service.sim.ledger().orders.len(), 2);
    service.settle_accounts().await;
}

on_both_databases!(
    d5_what_the_daemon_requires_holds_in_a_process_that_was_told_less,
    s4_no_live_order_leaves_unless_every_flag_is_set,
    d5_where_two_must_approve_the_order_leaves_with_the_second_person_and_not_before,
);

/// What happens between the crash and the restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    LiveSwitchedOff,
    AppNotApproved,
    Revoked(&'static str),
    RaiseExpired,
    Halted(&'static str),
    UserLeft,
    ADayPasses,
}

const MEANWHILE: [Meanwhile; 13] = [
    Meanwhile::Nothing,
    Meanwhile::LiveSwitchedOff,
    Meanwhile::AppNotApproved,
    Meanwhile::Revoked("consent"),
    Meanwhile::Revoked("strategy"),
    Meanwhile::Revoked("subscription"),
    Meanwhile::Revoked("limits"),
    Meanwhile::RaiseExpired,
    Meanwhile::Halted("service"),
    Meanwhile::Halted("account"),
    Meanwhile::Halted("symbol"),
    Meanwhile::UserLeft,
    Meanwhile::ADayPasses,
];

impl Meanwhile {
    async fn happen(self, service: &mut TestWorld) {
        let now = service.clock.now();
        let account = service.world.store.accounts().await.unwrap()[0].id.clone();
        match self {
            Self::Nothing => {}
            Self::LiveSwitchedOff => service.world.policy.live_trading = false,
            Self::AppNotApproved => service.world.policy.app_approved = false,
            // The raise that holds at the record ends two minutes later.
            Self::RaiseExpired => service.clock.set(now + Span::from_mins(3)),
            Self::ADayPasses => service.clock.set(now + Span::from_hours(24)),
            Self::UserLeft => {
                let by = rebalanced::model::event::Actor::operator("ada");
                service.world.store.disconnect(&account, &by, now).await.unwrap();
            }
            Self::Revoked(kind) => {
                let desk =
                    Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy };
                let approvals = desk.store.approvals().await.unwrap();
                let approval = approvals.iter().find(|approval| approval.kind.code() == kind).unwrap();
                assert!(approve::revoke(&desk, &approval.id, "ada").await.unwrap());
            }
            Self::Halted(what) => {
                let desk =
                    Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy };
                let scopes = match what {
                    "service" => vec![HaltScope::Service],
                    "account" => vec![HaltScope::Account(account)],
                    _ => ["SPY", "AGG"].map(|name| HaltScope::Symbol(Symbol::parse(name).unwrap())).to_vec(),
                };
                for scope in scopes {
                    approve::halt(&desk, scope, ("ada", "test")).await.unwrap();
                }
            }
        }
    }
}

#[tokio::test]
async fn s4_live_orders_that_a_crash_left_unsent_need_every_flag_again_after_the_restart() {
    for meanwhile in MEANWHILE {
        let expires = meanwhile == Meanwhile::RaiseExpired;
        let flags = if expires { 0b01_1111 } else { 0b11_1111 };
        let mut service = prepared(Keeper::Sqlite, flags, Duration::from_millis(20)).await;
        if expires {
            let account = service.world.store.accounts().await.unwrap()[0].id.clone();
            let desk =
                Desk { store: &service.world.store, clock: &service.world.clock, entropy: &service.world.entropy };
            let end = Some(new_york("2019-06-03T15:47:00"));
            approve::grant(&desk, raise(&account), ("ada", "test"), end).await.unwrap();
        }
        let first = async {
            while service.sent.lock().unwrap().is_empty() {
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
        };
        // The process dies while the first order is on its way out: recorded, and not at the broker.
        tokio::select! {
            outcomes = service.ring(new_york("2019-06-03T15:45:00")) => panic!("it was to die: {outcomes:?}"),
            () = first => {}
        }
        assert!(service.sim.ledger().orders.is_empty());
        meanwhile.happen(&mut service).await;
        rebalanced::flow::recover::recover(&service.world).await.unwrap();
        let outcomes = service.drain().await;
        let orders = service.sim.ledger().orders.len();
        match meanwhile {
            Meanwhile::Nothing => assert_eq!(orders, 2, "recovery carries it on: {outcomes:?}"),
            _ => assert_eq!(orders, 0, "{meanwhile:?}: nothing leaves: {outcomes:?}"),
        }
        if meanwhile == Meanwhile::UserLeft {
            // The token is gone, so nobody can ask what became of them: that is never a plain "skipped" (L2).
            assert_eq!(outcomes[0].kind, OutcomeKind::Quarantined, "{outcomes:?}");
            assert_eq!(service.world.store.halts(true).await.unwrap().len(), 1);
        }
    }
}
