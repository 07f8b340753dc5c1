//! The limits of the service: each is hit by itself, lifted by an approval, and says its numbers.

use std::collections::BTreeMap;

use rebalanced::decide::guard::{Facts, gate, guard, may_still_leave};
use rebalanced::decide::limits::{in_force, unbelievable};
use rebalanced::edge::sessions;
use rebalanced::model::environment::{Environment, Kind, Live, Paper};
use rebalanced::model::ids::ApprovalId;
use rebalanced::model::intent::IntentState;
use rebalanced::model::limits::{Raise, ServiceLimits};
use rebalanced::model::mandate::{Approval, ApprovalKind, Bound, Mandate, Past, ServicePolicy};
use rebalanced::model::money::{Fraction, Price, Qty};
use rebalanced::model::plan::{Amount, Phase, Plan};
use rebalanced::model::snapshot::{Market, Seen, Snapshot, Trade};
use rebalanced::model::strategy::{OrderType, Strategy};
use rebalanced::model::time::Span;
use rebalanced::model::verdict::RefusalCode;

use crate::cast::{account, dec, legs, now, open, parts, strategy, symbol, unlimited, usd, with};

/// An account of 30,000 dollars that buys 18,000 of SPY and 10,500 of AGG, in a market that confirms its quotes.
struct Case {
    strategy: Strategy,
    snapshot: Snapshot,
    mandate: Mandate,
    market: Market,
    phase: Phase,
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

impl Case {
    fn new(kind: Kind, orders: OrderType) -> Self {
        let mut made = parts(&[("SPY", "60"), ("AGG", "35")]);
        made.orders.kind = orders;
        let strategy = strategy(made);
        let snapshot = with(account("30000"), "SPY", "0", ("500", "500"), true);
        let snapshot = with(snapshot, "AGG", "0", ("100", "100"), true);
        let account = snapshot.account.id.clone();
        let name = strategy.name().clone();
        let approvals = [
            ApprovalKind::Consent { account: account.clone(), text_hash: "0".repeat(64) },
            ApprovalKind::Strategy { name: name.clone(), version: strategy.version().clone() },
            ApprovalKind::Subscription { account: account.clone(), name: name.clone(), bound: Bound::default() },
        ];
        let policy = ServicePolicy {
            live_trading: kind == Kind::Live,
            app_approved: kind == Kind::Live,
            max_quote_age_seconds: 15,
            max_trading_runs_per_day: Some(3),
            limits: unlimited(),
            consent_texts: [(name.clone(), "0".repeat(64))].into(),
            ..ServicePolicy::default()
        };
        let mandate = Mandate {
            account,
            environment: kind,
            policy,
            halts: Vec::new(),
            approvals: approvals.map(granted).to_vec(),
            trading_runs_today: 0,
            today: Vec::new(),
        };
        let trade = |price: &str| Trade { price: Price::new(dec(price)), at: now() - Span::from_secs(20) };
        let market = Market {
            trades: BTreeMap::from([(symbol("SPY"), trade("500")), (symbol("AGG"), trade("100"))]),
            volumes: [("SPY", "1000000"), ("AGG", "1000000")]
                .map(|(name, of)| (symbol(name), Qty::new(dec(of))))
                .into(),
        };
        Self { strategy, snapshot, mandate, market, phase: Phase::Buy }
    }

    fn plan(&self) -> Plan {
        open(&self.strategy, &self.snapshot)
    }

    fn refused<E: Environment>(&self) -> Vec<RefusalCode> {
        let plan = self.plan();
        assert!(plan.legs_of(self.phase).next().is_some(), "the case trades: {:?}", legs(&plan));
        let sessions = sessions::builtin().unwrap();
        let facts = Facts {
            plan: &plan,
            phase: self.phase,
            snapshot: &self.snapshot,
            session: sessions.at(now()).copied(),
            now: now(),
            strategy: &self.strategy,
            market: Some(&self.market),
        };
        match guard::<E>(&facts, &self.mandate) {
            Ok(_) => Vec::new(),
            Err(refusals) => {
                assert!(refusals.iter().all(|refusal| refusal.detail.len() > 30), "{refusals:?}");
                refusals.into_iter().map(|refusal| refusal.code).collect()
            }
        }
    }

    fn raise(&mut self, raise: Raise) {
        let account = self.mandate.account.clone();
        self.mandate.approvals.push(granted(ApprovalKind::Limits { account, raise }));
    }
}

fn paper() -> Case {
    Case::new(Kind::Paper, OrderType::Market)
}

fn live() -> Case {
    Case::new(Kind::Live, OrderType::Limit)
}

#[test]
fn nothing_is_refused_where_nothing_is_limited() {
    assert_eq!(paper().refused::<Paper>(), []);
    assert_eq!(live().refused::<Live>(), []);
}

#[test]
fn the_defaults_are_those_of_the_documents() {
    let limits = ServiceLimits::default();
    assert_eq!(limits.max_order_notional, Some(usd("25000")));
    assert_eq!(limits.max_order_equity, Some(Fraction::from_percent(dec("20"))));
    assert_eq!(limits.max_order_volume, Some(Fraction::from_percent(dec("1"))));
    assert_eq!(limits.price_collar, Some(Fraction::from_percent(dec("5"))));
    assert_eq!(limits.max_turnover, Some(Fraction::from_percent(dec("35"))));
    assert_eq!(limits.max_equity_drop, Some(Fraction::from_percent(dec("50"))));
    assert_eq!(limits.confirm_price_above, Some(usd("5000")));
    assert!(!limits.live_market_orders);
}

#[test]
fn row_86_a_live_order_is_bounded_in_dollars_and_as_a_share_until_a_person_raises_it() {
    let mut case = live();
    case.mandate.policy.limits.max_order_notional = Some(usd("17000"));
    case.mandate.policy.limits.max_order_equity = Some(Fraction::from_percent(dec("40")));
    assert_eq!(case.refused::<Live>(), [RefusalCode::MaxOrderNotional, RefusalCode::MaxOrderShare]);
    case.raise(Raise { max_order_notional: Some(usd("18000")), ..Raise::default() });
    assert_eq!(case.refused::<Live>(), [RefusalCode::MaxOrderShare]);
    case.raise(Raise { max_order_equity: Some(Fraction::from_percent(dec("60"))), ..Raise::default() });
    assert_eq!(case.refused::<Live>(), []);
    for approval in &mut case.mandate.approvals {
        if matches!(approval.kind, ApprovalKind::Limits { .. }) {
            approval.revoked = Some((now() - Span::from_secs(1), "eve".to_owned()));
        }
    }
    assert_eq!(case.refused::<Live>(), [RefusalCode::MaxOrderNotional, RefusalCode::MaxOrderShare]);
    let mut case = paper();
    case.mandate.policy.limits.max_order_notional = Some(usd("1"));
    case.mandate.policy.limits.max_order_equity = Some(Fraction::from_percent(dec("1")));
    assert_eq!(case.refused::<Paper>(), [], "paper orders are bounded by their strategy");
}

#[test]
fn live_market_orders_need_the_configurations_word() {
    let mut case = Case::new(Kind::Live, OrderType::Market);
    case.mandate.policy.limits.live_market_orders = false;
    assert_eq!(case.refused::<Live>(), [RefusalCode::LimitOrdersOnly; 2]);
    let mut case = live();
    case.mandate.policy.limits.live_market_orders = false;
    assert_eq!(case.refused::<Live>(), []);
}

#[test]
fn run_and_day_are_bounded_and_orders_of_unknown_fate_count_as_sent() {
    let mut case = paper();
    case.mandate.policy.limits.max_run_notional = Some(usd("28499.99"));
    assert_eq!(case.refused::<Paper>(), [RefusalCode::MaxRunNotional]);
    case.raise(Raise { max_run_notional: Some(usd("28500")), ..Raise::default() });
    assert_eq!(case.refused::<Paper>(), []);
    case.mandate.policy.limits.max_day_notional = Some(usd("29000"));
    assert_eq!(case.refused::<Paper>(), []);
    let past = |state| Past {
        of_this_run: false,
        phase: Phase::Buy,
        attempt: 1,
        symbol: symbol("XLE"),
        amount: Amount::Notional(usd("501")),
        value: usd("501"),
        state,
        recorded_at: now() - Span::from_mins(30),
    };
    case.mandate.today = vec![past(IntentState::Rejected), past(IntentState::Withdrawn)];
    assert_eq!(case.refused::<Paper>(), [], "what was never placed does not count");
    for state in [IntentState::Unknown, IntentState::Recorded, IntentState::Filled, IntentState::Quarantined] {
        case.mandate.today = vec![past(state)];
        assert_eq!(case.refused::<Paper>(), [RefusalCode::MaxDayNotional], "{state:?}");
    }
    // The first half of a run counts with its second.
    case.mandate.policy.limits.max_day_notional = None;
    case.mandate.today = vec![Past { of_this_run: true, ..past(IntentState::Filled) }];
    assert_eq!(case.refused::<Paper>(), [RefusalCode::MaxRunNotional]);
}

#[test]
fn the_same_order_of_another_run_is_a_repetition() {
    let case = |age, of_this_run, state| {
        let mut case = paper();
        case.mandate.today.push(Past {
            of_this_run,
            phase: Phase::Buy,
            attempt: 1,
            symbol: symbol("AGG"),
            amount: Amount::Notional(usd("10500")),
            value: usd("10500"),
            state,
            recorded_at: now() - Span::from_secs(age),
        });
        case.refused::<Paper>()
    };
    assert_eq!(case(599, false, IntentState::Unknown), [RefusalCode::DuplicateOrder]);
    assert_eq!(case(600, false, IntentState::Filled), [RefusalCode::DuplicateOrder]);
    assert_eq!(case(601, false, IntentState::Filled), []);
    assert_eq!(case(60, false, IntentState::Rejected), []);
    assert_eq!(case(60, true, IntentState::Filled), []);
}

#[test]
fn turnover_has_two_bounds_and_a_raise_lifts_both() {
    let mut made = parts(&[("SPY", "60"), ("AGG", "35")]);
    made.limits.max_turnover = Some(Fraction::from_percent(dec("30")));
    let mut case = paper();
    case.strategy = strategy(made);
    // 28,500 dollars of SPY, and nothing of AGG: about 35% of the portfolio is to be sold.
    case.snapshot = with(account("1500"), "SPY", "57", ("500", "500"), true);
    case.snapshot = with(case.snapshot, "AGG", "0", ("100", "100"), true);
    case.phase = Phase::Sell;
    assert_eq!(case.refused::<Paper>(), [RefusalCode::MaxTurnover], "the strategy's");
    let mut made = parts(&[("SPY", "60"), ("AGG", "35")]);
    made.limits.max_turnover = Some(Fraction::from_percent(dec("90")));
    case.strategy = strategy(made);
    assert_eq!(case.refused::<Paper>(), []);
    case.mandate.policy.limits.max_turnover = Some(Fraction::from_percent(dec("34")));
    assert_eq!(case.refused::<Paper>(), [RefusalCode::MaxTurnover], "the service's");
    case.raise(Raise { max_turnover: Some(Fraction::from_percent(dec("36"))), ..Raise::default() });
    assert_eq!(case.refused::<Paper>(), []);
}

#[test]
fn a_price_far_from_the_last_trade_is_refused() {
    let with_last = |last: &str| {
        let mut case = paper();
        case.mandate.policy.limits.price_collar = Some(Fraction::from_percent(dec("5")));
        case.market.trades.get_mut(&symbol("SPY")).unwrap().price = Price::new(dec(last));
        case.refused::<Paper>()
    };
    assert_eq!(with_last("500"), []);
    assert_eq!(with_last("476.20"), [], "4.998% away");
    assert_eq!(with_last("476.19"), [RefusalCode::PriceCollar], "5.0002% away");
    assert_eq!(with_last("526.31"), []);
    assert_eq!(with_last("526.32"), [RefusalCode::PriceCollar]);
    assert_eq!(with_last("0"), [RefusalCode::PriceCollar]);
}

#[test]
fn a_large_order_needs_a_second_source_for_its_price() {
    let mut case = paper();
    case.mandate.policy.limits.confirm_price_above = Some(usd("10500"));
    case.market.trades.clear();
    assert_eq!(case.refused::<Paper>(), [RefusalCode::PriceUnconfirmed], "SPY alone is above");
    let old = Trade { price: Price::new(dec("500")), at: now() - Span::from_hours(9) };
    case.market.trades.insert(symbol("SPY"), old);
    assert_eq!(case.refused::<Paper>(), [RefusalCode::PriceUnconfirmed], "a trade of yesterday confirms nothing");
}

#[test]
fn an_order_is_small_beside_the_volume_or_the_volume_is_not_known() {
    let with_volume = |volume: Option<&str>| {
        let mut case = paper();
        case.mandate.policy.limits.max_order_volume = Some(Fraction::from_percent(dec("1")));
        match volume {
            Some(volume) => case.market.volumes.insert(symbol("SPY"), Qty::new(dec(volume))),
            None => case.market.volumes.remove(&symbol("SPY")),
        };
        case.refused::<Paper>()
    };
    // 36 shares.
    assert_eq!(with_volume(Some("3600")), []);
    assert_eq!(with_volume(Some("3599")), [RefusalCode::MaxVolume]);
    assert_eq!(with_volume(Some("0")), [RefusalCode::MaxVolume]);
    assert_eq!(with_volume(None), [RefusalCode::MaxVolume]);
}

#[test]
fn an_account_has_at_most_three_runs_worth_of_orders_a_day() {
    let mut case = paper();
    let past = Past {
        of_this_run: false,
        phase: Phase::Sell,
        attempt: 1,
        symbol: symbol("XLE"),
        amount: Amount::Qty(Qty::new(dec("1"))),
        value: usd("1"),
        state: IntentState::Filled,
        recorded_at: now() - Span::from_hours(3),
    };
    // Two targets: 3 * (2 * 2 + 10) = 42 orders, two of which are to be recorded now.
    case.mandate.today = vec![past.clone(); 40];
    assert_eq!(case.refused::<Paper>(), []);
    case.mandate.today.push(past);
    assert_eq!(case.refused::<Paper>(), [RefusalCode::MaxOrdersPerDay]);
}

#[test]
fn row_61_a_plan_of_ten_thousand_orders_or_a_day_of_them_is_stopped() {
    let case = paper();
    let mut plan = case.plan();
    let leg = plan.legs_of(Phase::Buy).next().unwrap().clone();
    plan.legs = vec![leg; 10_000];
    let sessions = sessions::builtin().unwrap();
    let facts = Facts {
        plan: &plan,
        phase: Phase::Buy,
        snapshot: &case.snapshot,
        session: sessions.at(now()).copied(),
        now: now(),
        strategy: &case.strategy,
        market: Some(&case.market),
    };
    let refusals = guard::<Paper>(&facts, &case.mandate).unwrap_err();
    let codes: Vec<_> = refusals.iter().map(|refusal| refusal.code).collect();
    assert!(codes.contains(&RefusalCode::MaxOrders), "{codes:?}");
    assert!(codes.contains(&RefusalCode::MaxOrdersPerDay), "{codes:?}");
    let told = refusals.iter().find(|refusal| refusal.code == RefusalCode::MaxOrders).unwrap();
    assert!(told.detail.contains("10000 orders, 14 are allowed"), "{}", told.detail);
    // One order more is refused as well as ten thousand: two targets, and 2 * 2 + 10 orders.
    for (orders, refused) in [(14, false), (15, true)] {
        let plan = Plan { legs: plan.legs[..orders].to_vec(), ..plan.clone() };
        let facts = Facts { plan: &plan, ..facts };
        let found = guard::<Paper>(&facts, &case.mandate).err().unwrap_or_default();
        assert_eq!(found.iter().any(|refusal| refusal.code == RefusalCode::MaxOrders), refused, "{orders}");
    }
}

#[test]
fn s11_a_holding_that_is_not_traded_is_valued_by_a_young_quote() {
    let mut made = parts(&[("SPY", "60"), ("AGG", "35")]);
    made.conditions.drift_absolute = Some(Fraction::from_percent(dec("5")));
    let mut case = paper();
    case.strategy = strategy(made);
    // AGG stands at its target; SPY is bought with the cash.
    case.snapshot = with(account("6000"), "SPY", "27", ("500", "500"), true);
    case.snapshot = with(case.snapshot, "AGG", "105", ("100", "100"), true);
    assert_eq!(legs(&case.plan()).len(), 1, "{:?}", legs(&case.plan()));
    assert_eq!(case.refused::<Paper>(), []);
    case.snapshot.quotes.get_mut(&symbol("AGG")).unwrap().at = now() - Span::from_secs(300);
    assert_eq!(case.refused::<Paper>(), []);
    case.snapshot.quotes.get_mut(&symbol("AGG")).unwrap().at = now() - Span::from_secs(301);
    assert_eq!(case.refused::<Paper>(), [RefusalCode::QuoteStale]);
}

#[test]
fn a_world_that_is_suddenly_empty_is_not_believed() {
    let limits = ServiceLimits::default();
    let seen = |equity: &str, positions| Seen { equity: usd(equity), positions, at: now() - Span::from_hours(24) };
    let cash_only = account("1000");
    let held = with(account("500"), "SPY", "1", ("500", "500"), true);
    let code = |snapshot: &Snapshot, seen: &Seen, limits: &ServiceLimits| {
        unbelievable(snapshot, Some(seen), limits).map(|refusal| refusal.code)
    };
    assert_eq!(unbelievable(&cash_only, None, &limits), None, "never seen before");
    assert_eq!(code(&cash_only, &seen("2000", 0), &limits), None, "half is gone, no more");
    assert_eq!(code(&cash_only, &seen("2000.01", 0), &limits), Some(RefusalCode::EmptyWorld));
    assert_eq!(code(&cash_only, &seen("1000", 3), &limits), Some(RefusalCode::EmptyWorld), "no positions any more");
    assert_eq!(code(&held, &seen("500", 3), &limits), None);
    let mut mandate = paper().mandate;
    mandate.policy.limits = limits;
    let account = mandate.account.clone();
    let raise = Raise { max_equity_drop: Some(Fraction::ONE), once: true, ..Raise::default() };
    mandate.approvals.push(granted(ApprovalKind::Limits { account, raise }));
    let lifted = in_force(&mandate, now());
    assert_eq!(code(&cash_only, &seen("100000", 3), &lifted), None, "a person said that it is right");
}

#[test]
fn a_raise_survives_being_stored_and_never_lowers_a_limit() {
    let percent = |text| Some(Fraction::from_percent(dec(text)));
    let raise = Raise {
        max_order_notional: Some(usd("60000")),
        max_order_equity: percent("62.5"),
        max_run_notional: Some(usd("90000.50")),
        max_day_notional: Some(usd("100000")),
        max_turnover: percent("80"),
        max_equity_drop: percent("100"),
        once: true,
    };
    assert_eq!(Raise::parse(&raise.text()), Some(raise.clone()));
    assert_eq!(Raise::parse("max_order_notional=many"), None);
    assert_eq!(Raise::parse("max_everything=1"), None);
    assert!(Raise::parse("once").unwrap().is_empty() && !raise.is_empty());
    let mut limits = ServiceLimits { max_run_notional: None, ..ServiceLimits::default() };
    Raise { max_order_notional: Some(usd("1")), max_run_notional: Some(usd("1")), ..Raise::default() }
        .lift(&mut limits);
    assert_eq!((limits.max_order_notional, limits.max_run_notional), (Some(usd("25000")), None));
}

#[test]
fn a_raise_for_another_account_raises_nothing_here() {
    let mut case = live();
    case.mandate.policy.limits.max_order_notional = Some(usd("17000"));
    let account = rebalanced::model::ids::AccountId::parse("a0000000-0000-4000-8000-000000000002").unwrap();
    let raise = Raise { max_order_notional: Some(usd("99999")), ..Raise::default() };
    case.mandate.approvals.push(granted(ApprovalKind::Limits { account, raise }));
    assert_eq!(case.refused::<Live>(), [RefusalCode::MaxOrderNotional]);
}

#[test]
fn the_caps_are_asked_again_where_the_orders_are_recorded() {
    let case = paper();
    let plan = case.plan();
    let sessions = sessions::builtin().unwrap();
    let facts = Facts {
        plan: &plan,
        phase: Phase::Buy,
        snapshot: &case.snapshot,
        session: sessions.at(now()).copied(),
        now: now(),
        strategy: &case.strategy,
        market: Some(&case.market),
    };
    let cleared = guard::<Paper>(&facts, &case.mandate).unwrap();
    let mut later = case.mandate.clone();
    later.policy.limits.max_day_notional = Some(usd("100"));
    let version = (case.strategy.name(), case.strategy.version());
    let refused = gate(&cleared, version, &later, now());
    assert_eq!(refused.iter().map(|refusal| refusal.code).collect::<Vec<_>>(), [RefusalCode::MaxDayNotional]);
}

#[test]
fn s4_every_limit_that_a_plan_is_held_against_is_held_again_where_its_orders_are_recorded() {
    let case = live();
    let plan = case.plan();
    let sessions = sessions::builtin().unwrap();
    let facts = Facts {
        plan: &plan,
        phase: Phase::Buy,
        snapshot: &case.snapshot,
        session: sessions.at(now()).copied(),
        now: now(),
        strategy: &case.strategy,
        market: Some(&case.market),
    };
    let half = Some(Fraction::from_percent(dec("50")));
    let limited = [
        (RefusalCode::MaxOrderNotional, ServiceLimits { max_order_notional: Some(usd("17000")), ..unlimited() }),
        (RefusalCode::MaxOrderShare, ServiceLimits { max_order_equity: half, ..unlimited() }),
        (RefusalCode::MaxRunNotional, ServiceLimits { max_run_notional: Some(usd("20000")), ..unlimited() }),
        (RefusalCode::MaxDayNotional, ServiceLimits { max_day_notional: Some(usd("20000")), ..unlimited() }),
    ];
    let all = Raise {
        max_order_notional: Some(usd("99999")),
        max_order_equity: Some(Fraction::ONE),
        max_run_notional: Some(usd("99999")),
        max_day_notional: Some(usd("99999")),
        max_turnover: Some(Fraction::ONE),
        ..Raise::default()
    };
    for (code, limits) in limited {
        let mut mandate = case.mandate.clone();
        mandate.policy.limits = limits;
        let raise = ApprovalKind::Limits { account: mandate.account.clone(), raise: all.clone() };
        mandate.approvals.push(granted(raise));
        let cleared = guard::<Live>(&facts, &mandate).unwrap();
        let version = (case.strategy.name(), case.strategy.version());
        let codes = |mandate: &Mandate| -> Vec<_> {
            gate(&cleared, version, mandate, now()).into_iter().map(|refusal| refusal.code).collect()
        };
        assert_eq!(codes(&mandate), []);
        // The raise is withdrawn between the guard and the record.
        mandate.approvals.last_mut().unwrap().revoked = Some((now(), "eve".to_owned()));
        assert_eq!(codes(&mandate), [code]);
        mandate.approvals.last_mut().unwrap().revoked = None;
        mandate.approvals.last_mut().unwrap().expires_at = Some(now());
        assert_eq!(codes(&mandate), [code], "or ends by itself");
    }
}

#[test]
fn s4_a_stored_order_does_not_leave_once_the_raise_that_it_needs_is_gone() {
    let mut case = live();
    case.mandate.policy.limits.max_order_notional = Some(usd("17000"));
    case.mandate.policy.limits.max_run_notional = Some(usd("28500"));
    let raise = Raise { max_order_notional: Some(usd("18000")), ..Raise::default() };
    let account = case.mandate.account.clone();
    case.mandate.approvals.push(granted(ApprovalKind::Limits { account, raise }));
    let plan = case.plan();
    let sessions = sessions::builtin().unwrap();
    let facts = Facts {
        plan: &plan,
        phase: Phase::Buy,
        snapshot: &case.snapshot,
        session: sessions.at(now()).copied(),
        now: now(),
        strategy: &case.strategy,
        market: Some(&case.market),
    };
    let run = rebalanced::model::ids::RunId::parse("run_1").unwrap();
    let cleared = guard::<Live>(&facts, &case.mandate).unwrap();
    let stored = rebalanced::decide::intents::intents(&cleared, (&run, 1), now()).unwrap();
    let past = |intent: &rebalanced::model::intent::Intent| Past {
        of_this_run: true,
        phase: intent.phase,
        attempt: 1,
        symbol: intent.symbol.clone(),
        amount: intent.amount,
        value: intent.value,
        state: intent.state,
        recorded_at: intent.recorded_at,
    };
    case.mandate.today = stored.iter().map(past).collect();
    let version = (case.strategy.name(), case.strategy.version());
    let refused = |mandate: &Mandate| -> Vec<Vec<RefusalCode>> {
        let of = |intent| may_still_leave::<Live>(intent, version, mandate, now());
        stored.iter().map(|intent| of(intent).into_iter().map(|refusal| refusal.code).collect()).collect()
    };
    assert_eq!(refused(&case.mandate), [vec![], vec![]], "each is counted once: the run is at its limit, not above");
    let mut lower = case.mandate.clone();
    lower.approvals.pop();
    let mut expected = refused(&lower);
    expected.sort();
    assert_eq!(expected, [vec![], vec![RefusalCode::MaxOrderNotional]], "SPY's 18,000 needed the raise");
    let mut lower = case.mandate.clone();
    lower.policy.limits.max_run_notional = Some(usd("28499"));
    assert_eq!(refused(&lower), [vec![RefusalCode::MaxRunNotional], vec![RefusalCode::MaxRunNotional]]);
}

#[test]
fn cash_stays_beside_market_orders_by_whole_shares() {
    let strategy = strategy(parts(&[("XYZ", "100")]));
    let plan = open(&strategy, &with(account("1000"), "XYZ", "0", ("100", "100"), false));
    assert_eq!(legs(&plan), ["buy XYZ 9"], "ten would cost 1,040 if the market asked 4% more");
    let plan = open(&strategy, &with(account("1040.01"), "XYZ", "0", ("100", "100"), false));
    assert_eq!(legs(&plan), ["buy XYZ 10"]);
    let plan = open(&strategy, &with(account("1000"), "XYZ", "0", ("100", "100"), true));
    assert_eq!(legs(&plan), ["buy XYZ $1000"], "an order by value takes its value");
}
