//! The guard: all conditions or no order, and every missing one is named.

use jiff::civil::date;
use rebalanced::decide::guard::{Facts, guard};
use rebalanced::edge::sessions;
use rebalanced::model::environment::{Environment, Kind, Live, Paper};
use rebalanced::model::ids::{AccountId, ApprovalId, HaltId};
use rebalanced::model::mandate::{Approval, ApprovalKind, Bound, Halt, HaltScope, Mandate, ServicePolicy};
use rebalanced::model::money::{Fraction, Qty, Usd};
use rebalanced::model::plan::{Amount, Phase, Plan, Side};
use rebalanced::model::snapshot::{OpenOrder, Snapshot};
use rebalanced::model::strategy::Strategy;
use rebalanced::model::time::{Moment, Span};
use rebalanced::model::verdict::RefusalCode;

use crate::cast::{account, dec, now, open, parts, strategy, symbol, unlimited, usd, with};

/// A world in which everything is allowed; each test spoils one thing.
struct Case {
    strategy: Strategy,
    snapshot: Snapshot,
    plan: Plan,
    mandate: Mandate,
    now: Moment,
    phase: Phase,
}

impl Case {
    fn new(kind: Kind) -> Self {
        let strategy = strategy(parts(&[("SPY", "60"), ("AGG", "35")]));
        let snapshot = with(account("1000"), "SPY", "28", ("500", "500"), true);
        let snapshot = with(snapshot, "AGG", "50", ("100", "100"), true);
        let plan = open(&strategy, &snapshot);
        let account = snapshot.account.id.clone();
        let name = strategy.name().clone();
        let approvals = [
            ApprovalKind::Consent { account: account.clone(), text_hash: "0".repeat(64) },
            ApprovalKind::Strategy { name: name.clone(), version: strategy.version().clone() },
            ApprovalKind::Subscription { account: account.clone(), name: name.clone(), bound: Bound::default() },
        ];
        let mandate = Mandate {
            account,
            environment: kind,
            policy: ServicePolicy {
                live_trading: kind == Kind::Live,
                app_approved: kind == Kind::Live,
                max_quote_age_seconds: 15,
                limits: unlimited(),
                consent_texts: [(name.clone(), "0".repeat(64))].into(),
                ..ServicePolicy::default()
            },
            halts: Vec::new(),
            approvals: if kind == Kind::Live { approvals.map(granted).to_vec() } else { Vec::new() },
            trading_runs_today: 0,
            today: Vec::new(),
        };
        Self { strategy, snapshot, plan, mandate, now: now(), phase: Phase::Sell }
    }

    fn codes<E: Environment>(&self) -> Vec<RefusalCode> {
        let sessions = sessions::builtin().unwrap();
        let facts = Facts {
            plan: &self.plan,
            phase: self.phase,
            snapshot: &self.snapshot,
            session: sessions.at(self.now).copied(),
            now: self.now,
            strategy: &self.strategy,
            market: None,
        };
        match guard::<E>(&facts, &self.mandate) {
            Ok(cleared) => {
                assert_eq!(cleared.legs().len(), self.plan.legs_of(self.phase).count());
                Vec::new()
            }
            Err(refusals) => refusals.into_iter().map(|refusal| refusal.code).collect(),
        }
    }

    /// The refusals on paper after one thing was spoiled.
    fn spoiled(change: impl FnOnce(&mut Self)) -> Vec<RefusalCode> {
        let mut case = Self::new(Kind::Paper);
        change(&mut case);
        case.codes::<Paper>()
    }
}

fn granted(kind: ApprovalKind) -> Approval {
    Approval {
        id: ApprovalId::parse("apr_1").unwrap(),
        kind,
        by: "ada".to_owned(),
        proven: false,
        reason: "test".to_owned(),
        granted_at: now() - Span::from_hours(1),
        expires_at: None,
        revoked: None,
    }
}

fn halted(scope: HaltScope) -> Halt {
    let id = HaltId::parse("hlt_1").unwrap();
    Halt { id, scope, reason: "drill".to_owned(), by: "ada".to_owned(), pulled_at: now(), released: None }
}

#[test]
fn a_paper_order_needs_no_approval() {
    assert_eq!(Case::spoiled(|_| {}), []);
}

#[test]
fn s4_every_combination_of_the_five_flags_and_of_what_ends_an_approval() {
    let names = [
        RefusalCode::LiveSwitchedOff,
        RefusalCode::AppNotApproved,
        RefusalCode::ConsentMissing,
        RefusalCode::StrategyNotApproved,
        RefusalCode::SubscriptionNotApproved,
    ];
    let endings: [&dyn Fn(&mut Approval); 3] = [
        &|approval| approval.revoked = Some((now(), "ada".to_owned())),
        &|approval| approval.expires_at = Some(now()),
        &|approval| approval.granted_at = now() + Span::from_secs(1),
    ];
    for given in 0_u32..32 {
        for ending in endings {
            let mut case = Case::new(Kind::Live);
            let has = |flag: usize| given & (1 << flag) != 0;
            case.mandate.policy.live_trading = has(0);
            case.mandate.policy.app_approved = has(1);
            for (flag, approval) in (2..).zip(&mut case.mandate.approvals) {
                if !has(flag) {
                    ending(approval);
                }
            }
            let missing: Vec<RefusalCode> = (0..5).filter(|flag| !has(*flag)).map(|flag| names[flag]).collect();
            assert_eq!(case.codes::<Live>(), missing, "{given:05b}: exactly what is missing is named");
        }
    }
}

#[test]
fn an_approval_for_another_version_account_or_strategy_is_none() {
    let other = AccountId::parse("b0000000-0000-4000-8000-000000000002").unwrap();
    let mut case = Case::new(Kind::Live);
    let name = case.strategy.name().clone();
    let stale = rebalanced::model::ids::StrategyVersion::parse(&"1".repeat(64)).unwrap();
    case.mandate.approvals = vec![
        granted(ApprovalKind::Consent { account: other.clone(), text_hash: "0".repeat(64) }),
        granted(ApprovalKind::Strategy { name: name.clone(), version: stale }),
        granted(ApprovalKind::Subscription { account: other, name, bound: Bound::default() }),
    ];
    let missing = [RefusalCode::ConsentMissing, RefusalCode::StrategyNotApproved, RefusalCode::SubscriptionNotApproved];
    assert_eq!(case.codes::<Live>(), missing);
}

#[test]
fn the_developers_own_account_needs_no_approval_of_the_app_and_every_bound_binds() {
    let mut case = Case::new(Kind::Live);
    case.mandate.policy.app_approved = false;
    case.mandate.policy.developer_accounts = vec![case.mandate.account.clone()];
    assert_eq!(case.codes::<Live>(), []);
    let name = case.strategy.name().clone();
    let bounds = [
        Bound { symbols: Some(vec![symbol("AGG")]), ..Bound::default() },
        Bound { max_order_notional: Some(usd("1999.99")), ..Bound::default() },
        Bound { max_run_notional: Some(usd("1999.99")), ..Bound::default() },
    ];
    for bound in bounds {
        let account = case.mandate.account.clone();
        let narrow = granted(ApprovalKind::Subscription { account, name: name.clone(), bound });
        case.mandate.approvals.push(narrow);
        assert_eq!(case.codes::<Live>(), [RefusalCode::OutsideApproval], "a wide approval does not widen a narrow one");
        case.mandate.approvals.pop();
    }
}

#[test]
fn row_82_a_halt_of_the_service_the_account_or_a_symbol_refuses_and_others_do_not() {
    let halt = |scope: HaltScope| Case::spoiled(|case| case.mandate.halts.push(halted(scope)));
    let mine = Case::new(Kind::Paper).mandate.account;
    let other = AccountId::parse("b0000000-0000-4000-8000-000000000002").unwrap();
    assert_eq!(halt(HaltScope::Service), [RefusalCode::HaltedService]);
    assert_eq!(halt(HaltScope::Account(mine)), [RefusalCode::HaltedAccount]);
    assert_eq!(halt(HaltScope::Symbol(symbol("SPY"))), [RefusalCode::HaltedSymbol]);
    assert_eq!(halt(HaltScope::Account(other)), []);
    assert_eq!(halt(HaltScope::Symbol(symbol("AGG"))), [], "this half sells SPY only");
}

#[test]
fn the_world_must_be_open_and_its_prices_young() {
    let at = |text: &str| Moment::parse(text).unwrap();
    let when = |moment: &str| {
        Case::spoiled(|case| {
            case.now = at(moment);
            for quote in case.snapshot.quotes.values_mut() {
                quote.at = case.now;
            }
        })
    };
    assert_eq!(when("2019-06-03T13:29:59Z"), [RefusalCode::MarketClosed]);
    assert_eq!(when("2019-06-03T13:30:00Z"), []);
    assert_eq!(when("2019-06-03T19:59:30Z"), [RefusalCode::MarketClosed], "too near to the close");
    assert_eq!(when("2019-07-04T15:00:00Z"), [RefusalCode::MarketClosed], "a holiday");
    assert_eq!(when("2019-07-03T17:30:00Z"), [RefusalCode::MarketClosed], "a half day, after 13:00");
    let aged = |seconds| Case::spoiled(|case| case.now = now() + Span::from_secs(seconds));
    assert_eq!((aged(15), aged(16)), (vec![], vec![RefusalCode::QuoteStale]));
    assert_eq!((aged(-5), aged(-6)), (vec![], vec![RefusalCode::QuoteStale]), "from the future");
    let crossed = |case: &mut Case| {
        let quote = case.snapshot.quotes.get_mut(&symbol("SPY")).unwrap();
        (quote.bid, quote.ask) = (rebalanced::model::money::Price::new(dec("501")), quote.ask);
    };
    assert_eq!(Case::spoiled(crossed), [RefusalCode::QuoteUnusable]);
    assert_eq!(
        Case::spoiled(|case| case.snapshot.account.blocks.push("trading_blocked")),
        [RefusalCode::AccountBlocked]
    );
    assert_eq!(
        Case::spoiled(|case| case.snapshot.account.status = "INACTIVE".to_owned()),
        [RefusalCode::AccountBlocked]
    );
    assert!(sessions::builtin().unwrap().on(date(2019, 7, 4)).is_none());
}

#[test]
fn s6_s7_s21_never_short_never_margin_never_both_sides() {
    let oversold = |case: &mut Case| case.plan.legs[0].amount = Amount::Qty(Qty::new(dec("28.000000001")));
    assert_eq!(Case::spoiled(oversold), [RefusalCode::Oversell]);
    let by_value = |case: &mut Case| case.plan.legs[0].amount = Amount::Notional(usd("2000"));
    assert_eq!(Case::spoiled(by_value), [RefusalCode::Oversell], "a sale without a quantity could oversell");
    let overspent = |cash: &'static str, reserved: Option<&'static str>| {
        Case::spoiled(|case| {
            case.phase = Phase::Buy;
            case.snapshot.account.cash = usd(cash);
            if let Some(sum) = reserved {
                case.snapshot.open_orders.push(OpenOrder {
                    id: rebalanced::model::ids::OrderId::parse("o-1").unwrap(),
                    client_order_id: rebalanced::model::ids::ClientOrderId::parse("by-hand").unwrap(),
                    symbol: symbol("KO"),
                    side: Side::Buy,
                    reserves: Some(usd(sum)),
                    remaining: None,
                });
            }
        })
    };
    assert_eq!(overspent("2000", None), [], "the purchase is 2,000 dollars");
    assert_eq!(overspent("1999.99", None), [RefusalCode::Overspend]);
    assert_eq!(overspent("2000", Some("0.01")), [RefusalCode::Overspend]);
    let crossing = |case: &mut Case| case.plan.legs[1].symbol = symbol("SPY");
    assert_eq!(Case::spoiled(crossing), [RefusalCode::SelfCross]);
}

#[test]
fn limits_refuse_the_whole_half_with_their_numbers() {
    let limit = |change: &dyn Fn(&mut rebalanced::model::strategy::StrategyParts)| {
        Case::spoiled(|case| {
            let mut parts = parts(&[("SPY", "60"), ("AGG", "35")]);
            change(&mut parts);
            case.strategy = strategy(parts);
        })
    };
    assert_eq!(limit(&|parts| parts.limits.max_order_notional = Some(usd("2000"))), []);
    assert_eq!(limit(&|parts| parts.limits.max_order_notional = Some(usd("1999.99"))), [RefusalCode::MaxOrderNotional]);
    assert_eq!(limit(&|parts| parts.limits.max_turnover = Some(Fraction::new(dec("0.1")))), []);
    assert_eq!(
        limit(&|parts| parts.limits.max_turnover = Some(Fraction::new(dec("0.09")))),
        [RefusalCode::MaxTurnover]
    );
    let daily = |runs| {
        Case::spoiled(|case| {
            case.mandate.policy.max_trading_runs_per_day = Some(3);
            case.mandate.trading_runs_today = runs;
        })
    };
    assert_eq!((daily(2), daily(3)), (vec![], vec![RefusalCode::MaxRunsPerDay]));
}

#[test]
fn s5_a_mandate_of_another_account_or_environment_clears_nothing() {
    let other = AccountId::parse("b0000000-0000-4000-8000-000000000002").unwrap();
    assert_eq!(Case::spoiled(|case| case.mandate.account = other), [RefusalCode::ClaimLost]);
    assert_eq!(Case::spoiled(|case| case.mandate.environment = Kind::Live), [RefusalCode::ClaimLost]);
    let mut all = Case::new(Kind::Paper);
    all.mandate.halts.push(halted(HaltScope::Service));
    all.now = all.now + Span::from_hours(1);
    all.snapshot.account.cash = Usd::ZERO;
    assert!(all.codes::<Paper>().len() >= 3, "all refusals at once");
}

#[test]
fn s20_an_open_purchase_that_cannot_be_priced_leaves_no_cash_that_is_known() {
    let open_purchase = |cash: &'static str, priced: bool| {
        Case::spoiled(|case| {
            case.phase = Phase::Buy;
            case.snapshot.account.cash = usd(cash);
            if priced {
                let quote = case.snapshot.quotes[&symbol("AGG")];
                case.snapshot.quotes.insert(symbol("KO"), quote);
            }
            case.snapshot.open_orders.push(OpenOrder {
                id: rebalanced::model::ids::OrderId::parse("o-1").unwrap(),
                client_order_id: rebalanced::model::ids::ClientOrderId::parse("by-hand").unwrap(),
                symbol: symbol("KO"),
                side: Side::Buy,
                reserves: None,
                remaining: Some(Qty::new(dec("3"))),
            });
        })
    };
    // Three shares at the asked 100 dollars, beside our purchase of 2,000.
    assert_eq!(open_purchase("2300", true), []);
    assert_eq!(open_purchase("2299.99", true), [RefusalCode::Overspend]);
    assert_eq!(open_purchase("1000000", false), [RefusalCode::Overspend]);
}
