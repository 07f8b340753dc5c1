//! The whole table of flags: every combination of what an approval can be, with one operator and with two. Only what is
//! complete clears, and a refusal names everything that is missing.

use rebalanced::decide::guard::{Facts, gate, guard};
use rebalanced::decide::limits::in_force;
use rebalanced::edge::sessions;
use rebalanced::model::environment::{Kind, Live};
use rebalanced::model::ids::{AccountId, ApprovalId};
use rebalanced::model::intent::IntentState;
use rebalanced::model::limits::Raise;
use rebalanced::model::mandate::{Approval, ApprovalKind, Bound, Mandate, Past, ServicePolicy};
use rebalanced::model::money::Usd;
use rebalanced::model::plan::{Amount, Phase, Plan, Side};
use rebalanced::model::session::Session;
use rebalanced::model::snapshot::Snapshot;
use rebalanced::model::strategy::Strategy;
use rebalanced::model::time::Span;
use rebalanced::model::verdict::RefusalCode;

use crate::cast::{account, now, open, parts, strategy, symbol, unlimited, usd, with};

/// What an approval of one kind can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flag {
    Missing,
    Expired,
    Withdrawn,
    NotYet,
    Named,
    ProvenOnce,
    SameTwice,
    OneNamedOneProven,
    TwoNamed,
    Two,
}

const FLAGS: [Flag; 10] = [
    Flag::Missing,
    Flag::Expired,
    Flag::Withdrawn,
    Flag::NotYet,
    Flag::Named,
    Flag::ProvenOnce,
    Flag::SameTwice,
    Flag::OneNamedOneProven,
    Flag::TwoNamed,
    Flag::Two,
];

impl Flag {
    /// Whether it is enough where so many operators must approve.
    fn holds(self, required: u32) -> bool {
        match self {
            Self::Missing | Self::Expired | Self::Withdrawn | Self::NotYet => false,
            Self::Two => true,
            _ => required == 1,
        }
    }

    /// Whether a consent is one where so many operators must approve: the user's own is never doubled, but where two must, the
    /// bare name of whoever entered it is nobody's.
    fn consents(self, required: u32) -> bool {
        match self {
            Self::Named | Self::TwoNamed => required == 1,
            Self::ProvenOnce | Self::SameTwice | Self::OneNamedOneProven => true,
            other => other.holds(required),
        }
    }

    fn approvals(self, kind: &ApprovalKind) -> Vec<Approval> {
        let by = |name: &str, proven| Approval {
            id: ApprovalId::parse("apr_1").unwrap(),
            kind: kind.clone(),
            by: name.to_owned(),
            proven,
            reason: "test".to_owned(),
            granted_at: now() - Span::from_hours(2),
            expires_at: None,
            revoked: None,
        };
        match self {
            Self::Missing => Vec::new(),
            Self::Expired => vec![Approval { expires_at: Some(now()), ..by("ann", true) }, expired(by("ben", true))],
            Self::Withdrawn => {
                let withdrawn = |one: Approval| Approval { revoked: Some((now(), "eve".to_owned())), ..one };
                vec![withdrawn(by("ann", true)), withdrawn(by("ben", true))]
            }
            Self::NotYet => {
                let later = |one: Approval| Approval { granted_at: now() + Span::from_secs(1), ..one };
                vec![later(by("ann", true)), later(by("ben", true))]
            }
            Self::Named => vec![by("ann", false)],
            Self::ProvenOnce => vec![by("ann", true)],
            Self::SameTwice => vec![by("ann", true), by(" Ann ", true)],
            Self::OneNamedOneProven => vec![by("ann", true), by("ben", false)],
            Self::TwoNamed => vec![by("ann", false), by("ben", false)],
            Self::Two => vec![by("ann", true), by("ben", true)],
        }
    }
}

fn expired(approval: Approval) -> Approval {
    Approval { expires_at: Some(now() - Span::from_secs(1)), ..approval }
}

fn account_id() -> AccountId {
    account("1").account.id
}

/// A live account whose 28 shares of SPY are too many: its first half sells.
struct Scene {
    strategy: Strategy,
    snapshot: Snapshot,
    plan: Plan,
    session: Option<Session>,
}

impl Scene {
    fn new() -> Self {
        let strategy = strategy(parts(&[("SPY", "60"), ("AGG", "35")]));
        let snapshot = with(account("1000"), "SPY", "28", ("500", "500"), true);
        let snapshot = with(snapshot, "AGG", "50", ("100", "100"), true);
        let plan = open(&strategy, &snapshot);
        Self { strategy, snapshot, plan, session: sessions::builtin().unwrap().at(now()).copied() }
    }

    fn refusals(&self, mandate: &Mandate) -> Vec<(RefusalCode, String)> {
        let facts = Facts {
            plan: &self.plan,
            phase: Phase::Sell,
            snapshot: &self.snapshot,
            session: self.session,
            now: now(),
            strategy: &self.strategy,
            market: None,
        };
        match guard::<Live>(&facts, mandate) {
            Ok(_) => Vec::new(),
            Err(refusals) => refusals.into_iter().map(|refusal| (refusal.code, refusal.detail)).collect(),
        }
    }
}

fn mandate(required: u32) -> Mandate {
    let name = strategy(parts(&[("SPY", "60"), ("AGG", "35")])).name().clone();
    Mandate {
        account: account_id(),
        environment: Kind::Live,
        policy: ServicePolicy {
            live_trading: true,
            app_approved: true,
            operators_required: required,
            max_quote_age_seconds: 15,
            limits: unlimited(),
            consent_texts: [(name, "0".repeat(64))].into(),
            ..ServicePolicy::default()
        },
        halts: Vec::new(),
        approvals: Vec::new(),
        trading_runs_today: 0,
        today: Vec::new(),
    }
}

fn kinds(bound: Bound) -> [ApprovalKind; 3] {
    let strategy = strategy(parts(&[("SPY", "60"), ("AGG", "35")]));
    [
        ApprovalKind::Consent { account: account_id(), text_hash: "0".repeat(64) },
        ApprovalKind::Strategy { name: strategy.name().clone(), version: strategy.version().clone() },
        ApprovalKind::Subscription { account: account_id(), name: strategy.name().clone(), bound },
    ]
}

#[test]
fn s4_the_whole_table_of_flags_with_one_operator_and_with_two() {
    let (scene, mut tried, mut cleared) = (Scene::new(), 0, 0);
    let [consent, version, subscription] = kinds(Bound::default());
    for required in [1, 2] {
        let base = mandate(required);
        for switches in 0..4_u8 {
            for one in FLAGS {
                for two in FLAGS {
                    for three in FLAGS {
                        let mut mandate = base.clone();
                        mandate.policy.live_trading = switches & 1 != 0;
                        mandate.policy.app_approved = switches & 2 != 0;
                        for (flag, kind) in [(one, &consent), (two, &version), (three, &subscription)] {
                            mandate.approvals.extend(flag.approvals(kind));
                        }
                        let expected: Vec<RefusalCode> = [
                            (switches & 1 != 0, RefusalCode::LiveSwitchedOff),
                            (switches & 2 != 0, RefusalCode::AppNotApproved),
                            (one.consents(required), RefusalCode::ConsentMissing),
                            (two.holds(required), RefusalCode::StrategyNotApproved),
                            (three.holds(required), RefusalCode::SubscriptionNotApproved),
                        ]
                        .into_iter()
                        .filter_map(|(given, code)| (!given).then_some(code))
                        .collect();
                        let found: Vec<RefusalCode> =
                            scene.refusals(&mandate).into_iter().map(|(code, _)| code).collect();
                        assert_eq!(found, expected, "{required} {switches:02b} {one:?} {two:?} {three:?}");
                        tried += 1;
                        cleared += u32::from(found.is_empty());
                    }
                }
            }
        }
    }
    println!("{tried} combinations of flags tried, {cleared} cleared, the others refused for exactly what was missing");
    // One operator: six kinds of flag are enough for each of three; two: one kind for two of them, four for the consent.
    assert_eq!((tried, cleared), (8_000, 6 * 6 * 6 + 4));
}

#[test]
fn a_refusal_says_who_has_approved_and_what_does_not_count() {
    let [consent, version, subscription] = kinds(Bound::default());
    let mut mandate = mandate(2);
    mandate.approvals = Flag::ProvenOnce.approvals(&consent);
    mandate.approvals.extend(Flag::OneNamedOneProven.approvals(&version));
    mandate.approvals.extend(Flag::SameTwice.approvals(&subscription));
    let found = Scene::new().refusals(&mandate);
    assert!(found[0].1.contains("1 of 2 operators approved: ann; 1 more without an operator's token"), "{found:?}");
    assert!(found[1].1.contains("1 of 2 operators approved: ann)"), "{found:?}");
    mandate.approvals.extend(Flag::Named.approvals(&consent));
    assert_eq!(Scene::new().refusals(&mandate).len(), 2, "a proven consent is not spoilt by a bare one");
    mandate.approvals = Flag::Named.approvals(&consent);
    let found = Scene::new().refusals(&mandate);
    assert!(found[0].0 == RefusalCode::ConsentMissing && found[0].1.contains("nobody has proven"), "{found:?}");
}

#[test]
fn every_bound_of_both_operators_binds() {
    let scene = Scene::new();
    let with_bounds = |first: Bound, second: Bound| {
        let [consent, version, _] = kinds(Bound::default());
        let mut mandate = mandate(2);
        mandate.approvals = Flag::ProvenOnce.approvals(&consent);
        mandate.approvals.extend(Flag::Two.approvals(&version));
        for (name, bound) in [("ann", first), ("ben", second)] {
            let [_, _, subscription] = kinds(bound);
            let mut approval = Flag::ProvenOnce.approvals(&subscription).remove(0);
            name.clone_into(&mut approval.by);
            mandate.approvals.push(approval);
        }
        scene.refusals(&mandate)
    };
    assert_eq!(with_bounds(Bound::default(), Bound::default()), []);
    let outside = |bound: Bound| {
        let one: Vec<RefusalCode> =
            with_bounds(bound.clone(), Bound::default()).into_iter().map(|(code, _)| code).collect();
        let other: Vec<RefusalCode> = with_bounds(Bound::default(), bound).into_iter().map(|(code, _)| code).collect();
        assert_eq!(one, other, "whoever set it");
        one
    };
    assert_eq!(outside(Bound { sides: Some(vec![Side::Buy]), ..Bound::default() }), [RefusalCode::OutsideApproval]);
    assert_eq!(outside(Bound { sides: Some(vec![Side::Buy, Side::Sell]), ..Bound::default() }), []);
    let symbols = Some(vec![symbol("AGG")]);
    assert_eq!(outside(Bound { symbols, ..Bound::default() }), [RefusalCode::OutsideApproval]);
    let max_order_notional = Some(usd("10"));
    assert_eq!(outside(Bound { max_order_notional, ..Bound::default() }), [RefusalCode::OutsideApproval]);
}

#[test]
fn the_bound_of_a_run_counts_both_of_its_halves() {
    let strategy = strategy(parts(&[("SPY", "60"), ("AGG", "35")]));
    let snapshot = with(account("10000"), "SPY", "0", ("500", "500"), true);
    let snapshot = with(snapshot, "AGG", "0", ("100", "100"), true);
    let plan = open(&strategy, &snapshot);
    let bought: Usd = plan.legs_of(Phase::Buy).map(|leg| leg.value).sum();
    assert_eq!(bought, usd("9500"));
    let sessions = sessions::builtin().unwrap();
    let facts = Facts {
        plan: &plan,
        phase: Phase::Buy,
        snapshot: &snapshot,
        session: sessions.at(now()).copied(),
        now: now(),
        strategy: &strategy,
        market: None,
    };
    let [consent, version, subscription] = kinds(Bound { max_run_notional: Some(usd("10000")), ..Bound::default() });
    let mut mandate = mandate(1);
    for kind in [&consent, &version, &subscription] {
        mandate.approvals.extend(Flag::Named.approvals(kind));
    }
    let sold = |value: &str, state, of_this_run| Past {
        of_this_run,
        phase: Phase::Sell,
        attempt: 1,
        symbol: symbol("XLE"),
        amount: Amount::Notional(usd(value)),
        value: usd(value),
        state,
        recorded_at: now() - Span::from_mins(1),
    };
    let codes = |mandate: &Mandate| -> Vec<RefusalCode> {
        match guard::<Live>(&facts, mandate) {
            Ok(cleared) => {
                let name = (strategy.name(), strategy.version());
                gate(&cleared, name, mandate, now()).into_iter().map(|refusal| refusal.code).collect()
            }
            Err(refusals) => refusals.into_iter().map(|refusal| refusal.code).collect(),
        }
    };
    assert_eq!(codes(&mandate), []);
    mandate.today = vec![sold("500", IntentState::Unknown, true)];
    assert_eq!(codes(&mandate), [], "exactly the bound");
    mandate.today = vec![sold("500.01", IntentState::Unknown, true)];
    assert_eq!(codes(&mandate), [RefusalCode::OutsideApproval], "what is not known counts as sent");
    mandate.today = vec![sold("5000", IntentState::Rejected, true), sold("5000", IntentState::Filled, false)];
    assert_eq!(codes(&mandate), [], "what was refused, and other runs, do not count");
}

#[test]
fn limits_are_raised_only_as_far_as_two_operators_agree() {
    let raise = |by: &str, dollars: &str, proven| {
        let raise = Raise { max_run_notional: Some(usd(dollars)), ..Raise::default() };
        let kind = ApprovalKind::Limits { account: account_id(), raise };
        Approval { by: by.to_owned(), proven, ..Flag::ProvenOnce.approvals(&kind).remove(0) }
    };
    let most = |required, approvals: Vec<Approval>| {
        let mut mandate = mandate(required);
        mandate.policy.limits.max_run_notional = Some(usd("100"));
        mandate.approvals = approvals;
        in_force(&mandate, now()).max_run_notional.unwrap()
    };
    assert_eq!(most(1, vec![raise("ann", "900", false)]), usd("900"));
    assert_eq!(most(2, vec![raise("ann", "900", true)]), usd("100"), "one of two");
    assert_eq!(most(2, vec![raise("ann", "900", true), raise("ANN", "800", true)]), usd("100"), "the same one twice");
    assert_eq!(most(2, vec![raise("ann", "900", true), raise("ben", "800", false)]), usd("100"), "a bare name");
    assert_eq!(most(2, vec![raise("ann", "900", true), raise("ben", "300", true)]), usd("300"), "the lower of the two");
    let three = vec![raise("ann", "900", true), raise("ben", "300", true), raise("cat", "500", true)];
    assert_eq!(most(2, three), usd("500"));
}
