//! Strategies and snapshots in few words.

use std::collections::BTreeMap;

use rebalanced::decide::plan::{Stage, plan};
use rebalanced::model::ids::{AccountId, StrategyName, StrategyVersion, Symbol};
use rebalanced::model::limits::ServiceLimits;
use rebalanced::model::money::{Fraction, Price, Qty, Usd};
use rebalanced::model::plan::{Amount, Phase, Plan, Pricing};
use rebalanced::model::schedule::{CronRule, Rule, Schedule, When};
use rebalanced::model::snapshot::{AccountView, AssetView, Holding, Quote, Snapshot};
use rebalanced::model::strategy::{
    Conditions, Destination, Limits, OrderStyle, Strategy, StrategyParts, Target, Unmanaged,
};
use rebalanced::model::time::Moment;
use rebalanced::model::tolerance::{Mode, Scope, Tolerance};
use rust_decimal::Decimal;

/// A service that limits nothing by itself.
pub(crate) fn unlimited() -> ServiceLimits {
    ServiceLimits {
        max_order_notional: None,
        max_order_equity: None,
        live_market_orders: true,
        max_order_volume: None,
        max_turnover: None,
        price_collar: None,
        confirm_price_above: None,
        max_equity_drop: None,
        ..ServiceLimits::default()
    }
}

pub(crate) fn symbol(text: &str) -> Symbol {
    Symbol::parse(text).unwrap()
}

pub(crate) fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub(crate) fn usd(text: &str) -> Usd {
    Usd::new(dec(text))
}

/// The moment of every snapshot here: a Monday, in the session.
pub(crate) fn now() -> Moment {
    Moment::parse("2019-06-03T19:45:00Z").unwrap()
}

/// One schedule with this rule.
pub(crate) fn looking(rule: Rule) -> When {
    When::only(Schedule::of(rule))
}

/// Parts with weights in percent; what they leave of a hundred is cash. No bands: every look trades.
pub(crate) fn parts(weights: &[(&str, &str)]) -> StrategyParts {
    let targets: Vec<Target> = weights
        .iter()
        .map(|(name, percent)| Target { symbol: symbol(name), weight: Fraction::from_percent(dec(percent)) })
        .collect();
    let cash = Fraction::ONE - targets.iter().map(|target| target.weight).sum::<Fraction>();
    StrategyParts {
        name: StrategyName::parse("example").unwrap(),
        version: StrategyVersion::parse(&"0".repeat(64)).unwrap(),
        description: String::new(),
        when: looking(Rule::Cron(Box::new(CronRule::parse("0 45 15 * * Mon-Fri", "America/New_York").unwrap()))),
        targets,
        cash,
        conditions: Conditions {
            drift_absolute: None,
            drift_relative: None,
            destination: Destination::Target,
            cooldown_days: 0,
            invest_cash: true,
            unmanaged: Unmanaged::Ignore,
            tolerance: Tolerance::default(),
            scope: Scope::All,
            mode: Mode::Full,
        },
        orders: OrderStyle::default(),
        limits: Limits { max_order_notional: None, max_turnover: None },
    }
}

pub(crate) fn strategy(parts: StrategyParts) -> Strategy {
    Strategy::new(parts).unwrap()
}

/// An account with this cash, nothing else, at no prices.
pub(crate) fn account(cash: &str) -> Snapshot {
    Snapshot {
        as_of: now(),
        account: AccountView {
            id: AccountId::parse("a0000000-0000-4000-8000-000000000001").unwrap(),
            number: "PA1".to_owned(),
            status: "ACTIVE".to_owned(),
            blocks: Vec::new(),
            cash: usd(cash),
            equity: usd(cash),
            buying_power: usd(cash),
        },
        holdings: BTreeMap::new(),
        open_orders: Vec::new(),
        assets: BTreeMap::new(),
        quotes: BTreeMap::new(),
        last_rebalanced_at: None,
    }
}

/// Adds a tradable asset: shares held, bid and ask, whether it can be split.
pub(crate) fn with(mut snapshot: Snapshot, name: &str, qty: &str, (bid, ask): (&str, &str), split: bool) -> Snapshot {
    let qty = Qty::new(dec(qty));
    if !qty.is_zero() {
        snapshot.holdings.insert(symbol(name), Holding { qty, available: qty, last_price: None });
    }
    snapshot.assets.insert(symbol(name), AssetView { tradable: true, fractionable: split });
    let quote = Quote { bid: Price::new(dec(bid)), ask: Price::new(dec(ask)), at: now() };
    snapshot.quotes.insert(symbol(name), quote);
    snapshot
}

/// The plan of a run's first look.
pub(crate) fn open(strategy: &Strategy, snapshot: &Snapshot) -> Plan {
    plan(strategy, snapshot, Stage::Opening)
}

/// Legs as short texts: `sell SPY 4` or `buy AGG $2000`, with `@price` for a limit.
pub(crate) fn legs(plan: &Plan) -> Vec<String> {
    let text = |leg: &rebalanced::model::plan::Leg| {
        let amount = match leg.amount {
            Amount::Qty(qty) => qty.decimal().normalize().to_string(),
            Amount::Notional(sum) => format!("${}", sum.decimal().normalize()),
        };
        let limit = match leg.pricing {
            Pricing::Market => String::new(),
            Pricing::Limit(price) => format!(" @{}", price.decimal().normalize()),
        };
        format!("{} {} {amount}{limit}", leg.phase.code(), leg.symbol)
    };
    plan.legs.iter().map(text).collect()
}

/// The account after perfect fills of one half of a plan: sales at the bid, purchases at the ask.
pub(crate) fn filled(snapshot: &Snapshot, plan: &Plan, phase: Phase) -> Snapshot {
    let mut after = snapshot.clone();
    let mut cash = after.account.cash.decimal();
    for leg in plan.legs_of(phase) {
        let quote = after.quotes[&leg.symbol];
        let price = if phase == Phase::Sell { quote.bid } else { quote.ask }.decimal();
        let (shares, dollars) = match leg.amount {
            Amount::Qty(qty) => (qty.decimal(), qty.decimal() * price),
            // Filled in shares of nine decimals, rounded down; what it costs is rounded up to cents (facts 3.2).
            Amount::Notional(sum) => ((sum.decimal() / price).trunc_with_scale(9), sum.decimal()),
        };
        let held = after.holdings.entry(leg.symbol.clone()).or_insert(Holding {
            qty: Qty::ZERO,
            available: Qty::ZERO,
            last_price: None,
        });
        let moved = if phase == Phase::Sell {
            cash += dollars.round_dp_with_strategy(2, rust_decimal::RoundingStrategy::ToNegativeInfinity);
            -shares
        } else {
            cash -= dollars.round_dp_with_strategy(2, rust_decimal::RoundingStrategy::ToPositiveInfinity);
            shares
        };
        held.qty = Qty::new(held.qty.decimal() + moved);
        held.available = Qty::new(held.available.decimal() + moved);
    }
    after.holdings.retain(|_, holding| !holding.qty.is_zero());
    after.account.cash = Usd::new(cash);
    after.account.equity = after.account.cash;
    after.account.buying_power = after.account.cash;
    after
}
