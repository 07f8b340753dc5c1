//! The limits of the service against one half of a plan: sizes, prices, repetitions, and a world that is suddenly empty
//! (reliability 3). A limit that is hit is a refusal with its numbers; a check that cannot be made has failed (rule 5).

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::model::environment::Kind;
use crate::model::ids::Symbol;
use crate::model::intent::Intent;
use crate::model::limits::{Raise, ServiceLimits};
use crate::model::mandate::{ApprovalKind, Mandate, Past};
use crate::model::money::{Fraction, Price, Qty, Usd};
use crate::model::plan::{Amount, Leg, Plan, Pricing};
use crate::model::snapshot::{Market, Seen, Snapshot};
use crate::model::strategy::{Limits, Strategy};
use crate::model::time::{Moment, Span};
use crate::model::verdict::{Refusal, RefusalCode};
use crate::model::zoo::{Bug, planted};

/// A trade older than this says nothing about the price of now: it is of an earlier session.
const TRADE_OF_TODAY: Span = Span::from_hours(8);

fn refusal(code: RefusalCode, detail: String) -> Refusal {
    Refusal { code, detail }
}

fn percent(share: Fraction) -> Decimal {
    share.percent().round_dp(2).normalize()
}

/// The limits that hold for this account now: the configuration's, lifted by what a person raised.
pub fn in_force(mandate: &Mandate, now: Moment) -> ServiceLimits {
    let mut limits = mandate.policy.limits.clone();
    let raises = mandate.approvals.iter().filter(|approval| approval.holds_at(now)).filter_map(|approval| {
        match &approval.kind {
            ApprovalKind::Limits { account, raise } if *account == mandate.account => Some((approval, raise)),
            _ => None,
        }
    });
    if mandate.policy.operators_required < 2 {
        raises.for_each(|(_, raise)| raise.lift(&mut limits));
        return limits;
    }
    let mut by_operator: BTreeMap<String, Raise> = BTreeMap::new();
    for (approval, raise) in raises.filter(|(approval, _)| approval.proven) {
        by_operator.entry(approval.by.trim().to_lowercase()).or_default().widen(raise);
    }
    Raise::agreed_by_two(by_operator.values()).lift(&mut limits);
    limits
}

/// What must hold of orders whatever the market does; asked again in the transaction that records them: the size of each,
/// of the run and of the day, and that none repeats an order of another run.
pub fn caps(legs: &[Leg], mandate: &Mandate, now: Moment) -> Vec<Refusal> {
    let limits = in_force(mandate, now);
    let mut refusals = Vec::new();
    if mandate.environment == Kind::Live {
        refusals.extend(live_orders(legs, &limits));
    }
    let value: Usd = legs.iter().map(|leg| leg.value).sum();
    let spent = |of: &dyn Fn(&&Past) -> bool| -> Usd {
        mandate.today.iter().filter(|past| past.counts()).filter(of).map(|past| past.value).sum()
    };
    let sums = [
        (RefusalCode::MaxRunNotional, "run", limits.max_run_notional, value + spent(&|past| past.of_this_run)),
        (RefusalCode::MaxDayNotional, "day", limits.max_day_notional, value + spent(&|_| true)),
    ];
    for (code, what, most, sum) in sums {
        if let Some(most) = most.filter(|most| sum > *most) {
            let detail = format!(
                "the orders of the {what} are {sum} dollars together, {most} are allowed (limits.max_{what}_notional)"
            );
            refusals.push(refusal(code, detail));
        }
    }
    for leg in legs {
        let same = |past: &&Past| {
            !past.of_this_run
                && past.counts()
                && past.symbol == leg.symbol
                && past.phase == leg.phase
                && past.amount == leg.amount
                && now.since(past.recorded_at) <= limits.repeat_within
        };
        if let Some(past) = mandate.today.iter().find(same) {
            let detail = format!(
                "the same order for {} was recorded {} s ago by another run (limits.repeat_minutes)",
                leg.symbol,
                now.since(past.recorded_at).as_secs()
            );
            refusals.push(refusal(RefusalCode::DuplicateOrder, detail));
        }
    }
    refusals
}

fn live_orders(legs: &[Leg], limits: &ServiceLimits) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for leg in legs {
        if let Some(most) = limits.max_order_notional.filter(|most| leg.value > *most) {
            let detail = format!(
                "the live order for {} is {} dollars, {most} are allowed (limits.max_order_notional; an approval of \
                 limits raises it for one account)",
                leg.symbol, leg.value
            );
            refusals.push(refusal(RefusalCode::MaxOrderNotional, detail));
        }
        if !limits.live_market_orders && leg.pricing == Pricing::Market {
            let detail = format!(
                "the live order for {} is a market order; set `type = \"limit\"` in the strategy's [orders], or allow \
                 them (limits.live_market_orders)",
                leg.symbol
            );
            refusals.push(refusal(RefusalCode::LimitOrdersOnly, detail));
        }
    }
    refusals
}

/// What of a plan, its strategy and its snapshot the limits are held against: kept with what was cleared, so that they can be
/// held against it again when a raise was withdrawn meanwhile.
#[derive(Debug, Clone)]
pub struct Measure {
    equity: Usd,
    turnover: Fraction,
    orders: usize,
    holdings: usize,
    own: Limits,
    /// The account's own cap of one order.
    cap: Option<Usd>,
}

impl Measure {
    /// Takes the measure of a plan.
    pub fn of(plan: &Plan, strategy: &Strategy, snapshot: &Snapshot) -> Self {
        Self {
            equity: snapshot.account.equity,
            turnover: plan.turnover,
            orders: plan.legs.len(),
            holdings: strategy.targets().len().max(snapshot.holdings.len()),
            own: strategy.limits().clone(),
            cap: strategy.own().cap,
        }
    }
}

/// What must hold of orders beside the plan that they are of; asked again in the transaction that records them.
pub fn sizes(legs: &[Leg], measure: &Measure, mandate: &Mandate, now: Moment) -> Vec<Refusal> {
    let limits = in_force(mandate, now);
    let mut refusals = Vec::new();
    // What a person raised for this account lifts the strategy's own limit too; the configuration alone does not.
    let own = &measure.own;
    let lifted = |of: fn(&ServiceLimits) -> Option<Fraction>| of(&limits) != of(&mandate.policy.limits);
    for leg in legs {
        // What the user said themselves is lifted by nobody else.
        if let Some(most) = measure.cap.filter(|most| leg.value > *most) {
            let detail = format!(
                "the order for {} is {} dollars, and the account's own cap is {most} (`rebalanced overrides list`)",
                leg.symbol, leg.value
            );
            refusals.push(refusal(RefusalCode::MaxOrderNotional, detail));
        }
        let raised = limits.max_order_notional != mandate.policy.limits.max_order_notional;
        if let Some(most) = own.max_order_notional.filter(|most| leg.value > *most && !raised) {
            let detail = format!(
                "the order for {} is {} dollars, {most} are allowed (limits.max_order_notional of the strategy)",
                leg.symbol, leg.value
            );
            refusals.push(refusal(RefusalCode::MaxOrderNotional, detail));
        }
        let share = leg.value.over(measure.equity);
        if mandate.environment == Kind::Live
            && let Some(most) = limits.max_order_equity.filter(|most| share > *most)
        {
            let detail = format!(
                "the live order for {} is {}% of the account's equity, {}% are allowed (limits.max_order_equity_percent; \
                 an approval of limits raises it for one account)",
                leg.symbol,
                percent(share),
                percent(most)
            );
            refusals.push(refusal(RefusalCode::MaxOrderShare, detail));
        }
    }
    let by_strategy = own.max_turnover.filter(|_| !lifted(|limits| limits.max_turnover));
    let bounds = [by_strategy, limits.max_turnover].into_iter().flatten().min();
    if let Some(most) = bounds.filter(|most| measure.turnover > *most) {
        let detail = format!(
            "the run would sell {}% of the portfolio, {}% are allowed (limits.max_turnover_percent; an approval of limits \
             raises it for one account)",
            percent(measure.turnover),
            percent(most)
        );
        refusals.push(refusal(RefusalCode::MaxTurnover, detail));
    }
    // A plan never needs more orders than this; more is a fault, not a plan (S10).
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let most =
        count(limits.orders_per_holding).saturating_mul(measure.holdings).saturating_add(count(limits.orders_beside));
    if measure.orders > most {
        let detail = format!(
            "the run has {} orders, {most} are allowed (limits.orders_per_holding, limits.orders_beside)",
            measure.orders
        );
        refusals.push(refusal(RefusalCode::MaxOrders, detail));
    }
    // The further tries of a leg are as many as its strategy says: they are no sign of a fault.
    let day = mandate.today.iter().filter(|past| past.attempt == Intent::FIRST).count() + legs.len();
    let most = count(limits.runs_worth_per_day).saturating_mul(most);
    if day > most {
        let detail = format!(
            "the account would have {day} orders today, {most} are allowed (limits.runs_worth_of_orders_per_day)"
        );
        refusals.push(refusal(RefusalCode::MaxOrdersPerDay, detail));
    }
    refusals
}

/// What must hold of orders against the market: near the last trade, small beside the volume, large ones confirmed.
pub fn market(legs: &[Leg], snapshot: &Snapshot, market: &Market, limits: &ServiceLimits) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for leg in legs {
        let trade = market.trades.get(&leg.symbol).filter(|trade| snapshot.as_of.since(trade.at) <= TRADE_OF_TODAY);
        match trade {
            Some(trade) => refusals.extend(collar(leg, trade.price, limits)),
            None => {
                if let Some(most) = limits.confirm_price_above.filter(|most| leg.value > *most) {
                    let detail = format!(
                        "the order for {} is {} dollars and no trade of today confirms its quote; above {most} dollars one \
                         must (limits.confirm_price_above)",
                        leg.symbol, leg.value
                    );
                    refusals.push(refusal(RefusalCode::PriceUnconfirmed, detail));
                }
            }
        }
        refusals.extend(volume(leg, market, limits));
    }
    refusals
}

fn collar(leg: &Leg, last: Price, limits: &ServiceLimits) -> Option<Refusal> {
    let most = limits.price_collar?;
    let away = (leg.reference_price - last).abs().over(last);
    (away > most || !last.is_positive()).then(|| {
        let detail = format!(
            "the price of {} is {}, {}% away from the last trade at {last}; {}% are allowed (limits.price_collar_percent)",
            leg.symbol,
            leg.reference_price,
            percent(away),
            percent(most)
        );
        refusal(RefusalCode::PriceCollar, detail)
    })
}

fn volume(leg: &Leg, market: &Market, limits: &ServiceLimits) -> Option<Refusal> {
    let most = limits.max_order_volume?;
    let shares = match leg.amount {
        Amount::Qty(qty) => qty,
        Amount::Notional(sum) => sum.at(leg.reference_price),
    };
    let Some(average) = market.volumes.get(&leg.symbol).copied().filter(|average: &Qty| average.is_positive()) else {
        let detail = format!("the volume of {} is not known, so neither is the order's share of it", leg.symbol);
        return Some(refusal(RefusalCode::MaxVolume, detail));
    };
    let share = shares.over(average);
    (share > most).then(|| {
        let detail = format!(
            "the order for {} is {}% of its average daily volume, {}% are allowed (limits.max_order_volume_percent)",
            leg.symbol,
            percent(share),
            percent(most)
        );
        refusal(RefusalCode::MaxVolume, detail)
    })
}

/// Quotes by which holdings are valued that are not traded: old ones would size the others wrongly.
pub fn valuation_ages(plan: &Plan, snapshot: &Snapshot, limits: &ServiceLimits, now: Moment) -> Vec<Refusal> {
    if planted(Bug::StaleQuote) {
        return Vec::new();
    }
    let traded = |symbol: &Symbol| plan.legs.iter().any(|leg| leg.symbol == *symbol);
    let rows = plan.weights.iter().filter(|row| !traded(&row.symbol));
    rows.filter_map(|row| {
        let age = now.since(snapshot.quotes.get(&row.symbol)?.at);
        (age > limits.max_valuation_age).then(|| {
            let detail = format!(
                "the quote by which {} is valued is {} s old, {} are allowed (limits.max_valuation_age_seconds)",
                row.symbol,
                age.as_secs(),
                limits.max_valuation_age.as_secs()
            );
            refusal(RefusalCode::QuoteStale, detail)
        })
    })
    .collect()
}

/// Why a world is not believed that is suddenly empty: equity that fell by more than is allowed, or no positions where
/// there were some.
pub fn unbelievable(snapshot: &Snapshot, seen: Option<&Seen>, limits: &ServiceLimits) -> Option<Refusal> {
    let (seen, most) = (seen?, limits.max_equity_drop?);
    let equity = snapshot.account.equity;
    let fell = (seen.equity - equity).over(seen.equity);
    let emptied = seen.positions > 0 && snapshot.holdings.is_empty() && most < Fraction::ONE;
    let believed = !emptied && (!seen.equity.is_positive() || fell <= most);
    (!believed).then(|| {
        let detail = format!(
            "the account was last seen at {} with {} dollars in {} positions and cash, and now shows {equity} dollars in {} \
             positions; if that is right, approve it once: limits max_equity_drop_percent=100 \
             (limits.max_equity_drop_percent)",
            seen.at,
            seen.equity,
            seen.positions,
            snapshot.holdings.len()
        );
        refusal(RefusalCode::EmptyWorld, detail)
    })
}
