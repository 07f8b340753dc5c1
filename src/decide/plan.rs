//! What to trade: strategy and snapshot in, plan out. Pure, exact, and the only place that decides it (rule 1).
//!
//! What always holds in a plan:
//! - no sale above what is held and free, no symbol both sold and bought;
//! - purchases at their value never exceed cash less what open purchases reserve, less the cash target;
//! - `cash_after = cash + values of sales - values of purchases`, exactly;
//! - the costs of the spread are foreseen: after the trades, at bid and ask, every traded symbol stands at its desired
//!   share of what the portfolio is worth then, and the cash at its own, up to cents and whole shares;
//! - a second plan on the outcome of perfect fills holds; only what whole shares left over, and the cash that stayed beside
//!   them in case they cost more, may still be invested.
//!
//! Cash goes first: when new cash alone brings everything inside the bands, nothing is sold.

use rust_decimal::Decimal;

use crate::decide::allocate::{self, Vessel};
use crate::decide::drift::{self, Valuation, Valued};
use crate::model::ids::Symbol;
use crate::model::money::{Fraction, Price, Qty, Usd};
use crate::model::plan::{Amount, Decision, Drift, Leg, Phase, Plan, Pricing, Side, Skip, WeightRow};
use crate::model::snapshot::Snapshot;
use crate::model::strategy::{OrderType, Strategy, Unmanaged};
use crate::model::time::Span;
use crate::model::verdict::{Reason, SkipReason};
use crate::model::zoo::{Bug, planted};

/// Which half of a run is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage<'a> {
    /// Nothing is decided yet: whether to trade, and both halves as if every sale filled at the quote.
    Opening,
    /// The sales of this run are done: purchases only, from the cash that is really there, without asking the bands.
    Completing {
        /// What this run sold: prices move meanwhile, and it is not bought back (S21).
        sold: &'a [Symbol],
    },
}

/// Plans one account at one moment.
pub fn plan<'a>(strategy: &'a Strategy, snapshot: &'a Snapshot, stage: Stage<'a>) -> Plan {
    let blocked = strategy.conditions().unmanaged == Unmanaged::Block;
    match drift::drift(strategy, snapshot) {
        Err(reason) => held(snapshot, reason, Drift::default(), None),
        Ok((valuation, drift)) if blocked && is_any_strange(strategy, snapshot) => {
            held(snapshot, Reason::UnmanagedBlocks, drift, Some(&valuation))
        }
        Ok((valuation, drift)) => Draft::new(strategy, valuation).finish(snapshot, stage, drift),
    }
}

/// The plan of an account that has no strategy now: it holds, for this reason.
pub fn refused(strategy: &Strategy, snapshot: &Snapshot, (reason, detail): (Reason, &str)) -> Plan {
    let plan = match drift::drift(strategy, snapshot) {
        Ok((valuation, drift)) => held(snapshot, reason, drift, Some(&valuation)),
        Err(_) => held(snapshot, reason, Drift::default(), None),
    };
    Plan { detail: detail.to_owned(), ..plan }
}

/// Whether something is held that nobody named. What the user excluded is named: it is left alone.
fn is_any_strange(strategy: &Strategy, snapshot: &Snapshot) -> bool {
    drift::unmanaged(strategy, snapshot).any(|symbol| !strategy.own().excluded.contains(symbol))
}

/// Rounds of the estimate of what the spread will cost: after three, less than a cent of a billion is left.
const ROUNDS: usize = 3;

/// Cash that stays beside a market order by whole shares, as a share of its value: Alpaca may reserve up to 4% more than
/// the asked price for it (facts 3.9, 10).
const CUSHION: Decimal = Decimal::from_parts(4, 0, 0, false, 2);

/// An order with what it moves at the middle price, or why there is none.
type Purchase = Result<(Leg, Usd), SkipReason>;

/// A plan in the making.
struct Draft<'a> {
    strategy: &'a Strategy,
    valuation: Valuation<'a>,
    legs: Vec<Leg>,
    skipped: Vec<Skip>,
    /// Change of each row at the middle price.
    moved: Vec<Usd>,
    /// What the first half of the run sold.
    sold_before: &'a [Symbol],
    sold: Usd,
    bought: Usd,
}

impl<'a> Draft<'a> {
    fn new(strategy: &'a Strategy, valuation: Valuation<'a>) -> Self {
        let moved = vec![Usd::ZERO; valuation.rows.len()];
        Self {
            strategy,
            valuation,
            legs: Vec::new(),
            skipped: Vec::new(),
            moved,
            sold_before: &[],
            sold: Usd::ZERO,
            bought: Usd::ZERO,
        }
    }

    fn finish(mut self, snapshot: &Snapshot, stage: Stage<'a>, drift: Drift) -> Plan {
        let reason = match stage {
            Stage::Completing { sold } => {
                self.sold_before = sold;
                let (desired, worth_after) = self.aim(false);
                let spendable = self.spendable(worth_after).min(snapshot.account.buying_power.floor_cents());
                self.buy(&desired, worth_after, spendable);
                Reason::Completing
            }
            Stage::Opening => match self.trigger(snapshot, &drift) {
                Err(hold) => return held(snapshot, hold, drift, Some(&self.valuation)),
                Ok(Reason::NewCash) => {
                    self.invest(snapshot);
                    Reason::NewCash
                }
                Ok(Reason::RaiseCash) if snapshot.account.cash >= Usd::ZERO => {
                    self.raise();
                    Reason::RaiseCash
                }
                Ok(reason) => {
                    self.rebalance(snapshot);
                    reason
                }
            },
        };
        self.into_plan(reason, drift)
    }

    /// Whether to trade at all, and why.
    fn trigger(&mut self, snapshot: &Snapshot, drift: &Drift) -> Result<Reason, Reason> {
        let conditions = self.strategy.conditions();
        if snapshot.account.cash < Usd::ZERO {
            return Ok(Reason::RaiseCash);
        }
        let breach = breach(self.strategy, drift);
        let resting = snapshot.last_rebalanced_at.is_some_and(|last| {
            snapshot.as_of.since(last) < Span::from_hours(24 * i64::from(conditions.cooldown_days))
        });
        let bandless = conditions.drift_absolute.is_none() && conditions.drift_relative.is_none();
        // Only what can be sold now: a remnant that cannot would move the whole account at every look.
        let strange = |row: &&Valued<'_>| row.target.is_zero() && row.qty.is_positive();
        let mut leaving =
            self.valuation.rows.iter().filter(strange).filter(|row| sale(row, self.strategy, row.worth, true).is_ok());
        if let Some(row) = leaving.next().filter(|_| !resting) {
            let by_model = self.strategy.names(row.symbol);
            return Ok(if by_model { Reason::LeftModel } else { Reason::UnmanagedSold });
        }
        // Where the whole portfolio is rebalanced anyway, that raises the cash as well.
        if self.short_for_withdrawal().is_positive() && (resting || (!bandless && self.raising_is_enough(breach))) {
            return Ok(Reason::RaiseCash);
        }
        let excess = self.spendable(self.valuation.value);
        let invests = conditions.invest_cash && excess >= self.strategy.orders().min_notional;
        if invests && (resting || !bandless) && self.cash_is_enough(snapshot, breach) {
            return Ok(Reason::NewCash);
        }
        match (breach, resting) {
            (Some(_), true) if invests => Ok(Reason::NewCash),
            (Some(_), true) => Err(Reason::Cooldown),
            (Some(reason), false) => Ok(reason),
            (None, false) if bandless => Ok(Reason::Scheduled),
            (None, true) if bandless => Err(Reason::Cooldown),
            _ if drift.symbols.iter().all(|row| row.absolute.is_zero()) => Err(Reason::OnTarget),
            _ => Err(Reason::InsideBands),
        }
    }

    /// Whether new cash alone leaves every holding inside its band (also when it was inside before).
    fn cash_is_enough(&mut self, snapshot: &Snapshot, breach: Option<Reason>) -> bool {
        if breach.is_none() {
            return true;
        }
        self.invest(snapshot);
        self.was_inside()
    }

    /// Whether the sales for a withdrawal alone leave every holding inside its band.
    fn raising_is_enough(&mut self, breach: Option<Reason>) -> bool {
        if breach.is_none() {
            return true;
        }
        self.raise();
        self.was_inside()
    }

    /// Whether what was tried leaves every holding inside its band; it is undone.
    fn was_inside(&mut self) -> bool {
        let value = self.valuation.value;
        let inside = self.valuation.rows.iter().zip(&self.moved).all(|(row, moved)| {
            if row.target.is_zero() {
                return true;
            }
            let deviation = ((row.worth + *moved).over(value) - row.target).abs();
            allocate::band(self.strategy.conditions(), row.target).is_none_or(|band| deviation <= band)
        });
        self.legs.clear();
        self.skipped.clear();
        self.moved.fill(Usd::ZERO);
        (self.sold, self.bought) = (Usd::ZERO, Usd::ZERO);
        inside
    }

    /// Cash that may be spent when the portfolio is worth `value` afterwards: whole cents, never below zero.
    fn spendable(&self, value: Usd) -> Usd {
        let kept = value * self.strategy.cash();
        if planted(Bug::NothingIsBought) {
            return Usd::ZERO;
        }
        (self.valuation.cash + self.sold - self.valuation.reserved - kept).floor_cents().max(Usd::ZERO)
    }

    /// What cash is missing beside its target and what is kept aside, if it is more than an order's least value.
    fn short_for_withdrawal(&self) -> Usd {
        let short = self.valuation.value * self.strategy.cash() + self.valuation.reserved - self.valuation.cash;
        let counts = self.valuation.aside.is_positive() && short >= self.strategy.orders().min_notional;
        if counts { short.ceil_cents() } else { Usd::ZERO }
    }

    /// Sells what is relatively most overweight until that cash is there; nothing is bought.
    fn raise(&mut self) {
        let mut vessels = Vec::new();
        for (place, row) in self.valuation.rows.iter().enumerate() {
            if sale(row, self.strategy, row.worth, true).is_ok() {
                let cost = Fraction::new(row.quote.bid.decimal()).over(Fraction::new(row.middle.decimal()));
                let desired = self.valuation.value * row.target;
                vessels.push(Vessel { row: place, worth: row.available * row.middle, desired, cost });
            }
        }
        // A sale is rounded down to shares and cents: a cent more for each, so that a withdrawal finds its last cent.
        let cents = Usd::new(Decimal::new(i64::try_from(vessels.len()).unwrap_or(i64::MAX), 2));
        let drawn = allocate::drain(&vessels, self.short_for_withdrawal() + cents);
        for (vessel, drawn) in vessels.iter().zip(drawn).filter(|(_, drawn)| drawn.is_positive()) {
            let desired = (vessel.worth - drawn).over(self.valuation.value);
            self.sell_one(vessel.row, drawn, desired.is_zero());
        }
    }

    /// New cash into what is underweight; nothing is sold.
    fn invest(&mut self, snapshot: &Snapshot) {
        let targets: Vec<Fraction> = self.valuation.rows.iter().map(|row| row.target).collect();
        let mut worth_after = self.valuation.value;
        for _ in 0..ROUNDS {
            worth_after = self.worth_after(&targets, worth_after, false);
        }
        let spendable = self.spendable(worth_after).min(snapshot.account.buying_power.floor_cents());
        self.buy(&targets, worth_after, spendable);
    }

    /// Both halves, towards the destination.
    fn rebalance(&mut self, snapshot: &Snapshot) {
        let (desired, worth_after) = self.aim(true);
        self.sell(&desired, worth_after);
        let mut spendable = self.spendable(worth_after);
        if self.legs.is_empty() {
            spendable = spendable.min(snapshot.account.buying_power.floor_cents());
        }
        self.buy(&desired, worth_after, spendable);
    }

    /// Where each row is to go, and what the portfolio is worth once it is there. Edges and halves of a band are counted
    /// in what is left after the spread, so that a row that stands still keeps its share.
    fn aim(&self, with_sales: bool) -> (Vec<Fraction>, Usd) {
        let mut worth_after = self.valuation.value;
        let mut desired = allocate::desired(self.strategy, &self.valuation, worth_after);
        for _ in 0..ROUNDS {
            worth_after = self.worth_after(&desired, worth_after, with_sales);
            desired = allocate::desired(self.strategy, &self.valuation, worth_after);
        }
        (desired, worth_after)
    }

    /// What the portfolio is worth once the spread is paid, from an estimate of it: `V' = V - sum(|d*V' - w| * half
    /// spread)`, a contraction whose factor is the half spread. What cannot be traded costs nothing: else the others
    /// would be sold for a cost that never comes, and bought back in the second half of the same run (S21).
    fn worth_after(&self, desired: &[Fraction], estimate: Usd, with_sales: bool) -> Usd {
        let mut cost = Usd::ZERO;
        let open = |(row, _): &(&Valued<'_>, _)| row.tradable && !row.busy;
        for (row, desired) in self.valuation.rows.iter().zip(desired).filter(open) {
            let gap = estimate * *desired - row.worth;
            if gap.is_positive() {
                if self.strategy.may_buy(row.symbol) {
                    cost += gap.at(row.middle) * spread(row.quote.ask, row.middle);
                }
            } else if with_sales && self.strategy.may_sell(row.symbol) {
                cost += (-gap).at(row.middle).min(row.available) * spread(row.middle, row.quote.bid);
            }
        }
        self.valuation.value - cost
    }

    fn sell(&mut self, desired: &[Fraction], worth_after: Usd) {
        for (place, desired) in desired.iter().enumerate() {
            let Some(row) = self.valuation.rows.get(place) else { continue };
            let wanted = row.worth - worth_after * *desired;
            if wanted.is_positive() {
                self.sell_one(place, wanted, desired.is_zero());
            }
        }
    }

    fn sell_one(&mut self, place: usize, wanted: Usd, whole: bool) {
        let Some(row) = self.valuation.rows.get(place) else { return };
        match sale(row, self.strategy, wanted, whole) {
            Ok(leg) => {
                if let Amount::Qty(qty) = leg.amount
                    && let Some(moved) = self.moved.get_mut(place)
                {
                    *moved = -(qty * row.middle);
                }
                self.sold += leg.value;
                self.legs.push(leg);
            }
            Err(reason) => self.skip(place, Side::Sell, wanted, reason),
        }
    }

    fn buy(&mut self, desired: &[Fraction], worth_after: Usd, spendable: Usd) {
        let mut vessels = Vec::new();
        for (place, (row, desired)) in self.valuation.rows.iter().zip(desired).enumerate() {
            let goal = worth_after * *desired;
            if goal > row.worth {
                let cost = Fraction::new(row.quote.ask.decimal()).over(Fraction::new(row.middle.decimal()));
                vessels.push(Vessel { row: place, worth: row.worth, desired: goal, cost });
            }
        }
        let (open, closed): (Vec<Vessel>, Vec<Vessel>) = vessels.into_iter().partition(|vessel| {
            self.valuation
                .rows
                .get(vessel.row)
                .is_some_and(|row| barred(row, self.strategy, self.sold_before).is_none())
        });
        for vessel in closed {
            let reason =
                self.valuation.rows.get(vessel.row).and_then(|row| barred(row, self.strategy, self.sold_before));
            let gap = vessel.desired - vessel.worth;
            self.skip(vessel.row, Side::Buy, gap, reason.unwrap_or(SkipReason::NotTradable));
        }
        let least = self.strategy.orders().min_notional;
        // An order by quantity is rounded up to a cent where it is valued: that cent is kept back for each.
        let rounding = Usd::new(Decimal::new(i64::try_from(open.len()).unwrap_or(i64::MAX), 2));
        let by_quantity = open.iter().any(|vessel| {
            self.strategy.orders().kind == OrderType::Limit
                || self.valuation.rows.get(vessel.row).is_some_and(|row| !row.fractionable)
        });
        let budget = if by_quantity { spendable - rounding } else { spendable };
        let mut bought = self.purchases(&open, budget);
        let short = self.short_of_cushion(&bought);
        if short.is_positive() {
            bought = self.purchases(&open, budget - short);
        }
        for (vessel, (added, purchase)) in open.iter().zip(bought) {
            match purchase {
                Ok((leg, moved)) => {
                    if let Some(slot) = self.moved.get_mut(vessel.row) {
                        *slot = moved;
                    }
                    self.bought += leg.value;
                    self.legs.push(leg);
                }
                Err(reason) => {
                    let gap = vessel.desired - vessel.worth;
                    let reason = if added.is_zero() && gap >= least { SkipReason::NoCash } else { reason };
                    self.skip(vessel.row, Side::Buy, gap, reason);
                }
            }
        }
    }

    /// What a budget buys: for each vessel what is poured into it, and the order for it or why there is none.
    fn purchases(&self, vessels: &[Vessel], budget: Usd) -> Vec<(Usd, Purchase)> {
        let poured = allocate::pour_at_least(vessels, budget, self.strategy.orders().min_notional);
        let rows = vessels.iter().zip(poured).filter_map(|(vessel, added)| {
            let row = self.valuation.rows.get(vessel.row)?;
            Some((added, purchase(row, self.strategy, added, added * vessel.cost)))
        });
        rows.collect()
    }

    /// What cash is missing beside these purchases for market orders by whole shares to fill a little higher than asked:
    /// they cost what the market takes, not what was reckoned, and the account must not borrow for it.
    fn short_of_cushion(&self, bought: &[(Usd, Purchase)]) -> Usd {
        let (mut all, mut by_shares) = (Usd::ZERO, Usd::ZERO);
        for (leg, _) in bought.iter().filter_map(|(_, purchase)| purchase.as_ref().ok()) {
            all += leg.value;
            if matches!((leg.amount, leg.pricing), (Amount::Qty(_), Pricing::Market)) {
                by_shares += leg.value;
            }
        }
        let left = self.valuation.cash + self.sold - self.valuation.reserved - all;
        (by_shares * Fraction::new(CUSHION) - left).ceil_cents()
    }

    fn skip(&mut self, place: usize, side: Side, value: Usd, reason: SkipReason) {
        let value = value.floor_cents();
        if let Some(row) = self.valuation.rows.get(place).filter(|_| value.is_positive()) {
            self.skipped.push(Skip { symbol: row.symbol.clone(), side, value, reason });
        }
    }

    fn into_plan(self, reason: Reason, drift: Drift) -> Plan {
        let decision = if self.legs.is_empty() { Decision::Hold } else { Decision::Trade };
        let reason = if self.legs.is_empty() && reason != Reason::Completing { Reason::BelowMinimum } else { reason };
        let cash_after = self.valuation.cash + self.sold - self.bought;
        let worth = |moved: &[Usd]| -> Usd {
            self.valuation.rows.iter().zip(moved).map(|(row, moved)| row.worth + *moved).sum::<Usd>() + cash_after
        };
        let after = worth(&self.moved);
        let weights = self
            .valuation
            .rows
            .iter()
            .zip(&self.moved)
            .map(|(row, moved)| WeightRow {
                symbol: row.symbol.clone(),
                target: row.target,
                before: row.worth.over(self.valuation.value),
                after: (row.worth + *moved).over(after),
            })
            .collect();
        let detail = sentence(decision, reason, &drift, (self.sold, self.bought, self.legs.len()));
        Plan {
            decision,
            reason,
            detail,
            drift,
            turnover: self.sold.over(self.valuation.value),
            legs: self.legs,
            skipped: self.skipped,
            weights,
            value: self.valuation.value,
            cash_after: cash_after + self.valuation.aside,
        }
    }
}

/// Why a row cannot be bought now.
fn barred(row: &Valued<'_>, strategy: &Strategy, sold_before: &[Symbol]) -> Option<SkipReason> {
    if row.busy {
        Some(SkipReason::OpenOrder)
    } else if !row.tradable {
        Some(SkipReason::NotTradable)
    } else if !strategy.may_buy(row.symbol) {
        Some(SkipReason::DoNotBuy)
    } else if sold_before.contains(row.symbol) {
        Some(SkipReason::SoldThisRun)
    } else {
        None
    }
}

fn spread(above: Price, below: Price) -> Price {
    above - below
}

/// The first band that is left, if any: strictly outside, as the broker's own rebalancer counts it (facts 8.3).
fn breach(strategy: &Strategy, drift: &Drift) -> Option<Reason> {
    let conditions = strategy.conditions();
    for row in drift.symbols.iter().filter(|row| !row.target.is_zero()) {
        if conditions.drift_absolute.is_some_and(|band| row.absolute.abs() > band) {
            return Some(Reason::DriftAbsolute);
        }
        if conditions.drift_relative.is_some_and(|band| row.absolute.abs() > band * row.target) {
            return Some(Reason::DriftRelative);
        }
    }
    None
}

fn sale(row: &Valued<'_>, strategy: &Strategy, wanted: Usd, whole: bool) -> Result<Leg, SkipReason> {
    if row.busy {
        return Err(SkipReason::OpenOrder);
    }
    if !row.tradable {
        return Err(SkipReason::NotTradable);
    }
    if !strategy.may_sell(row.symbol) {
        return Err(SkipReason::DoNotSell);
    }
    if !row.available.is_positive() {
        return Err(SkipReason::SharesHeld);
    }
    // The whole of a holding goes with the broker's own digits, so that no dust is left (facts 3.2).
    let qty =
        if whole { row.available } else { wanted.at(row.middle).floor_shares(row.fractionable).min(row.available) };
    let pricing = match strategy.orders().kind {
        OrderType::Market => Pricing::Market,
        OrderType::Limit => Pricing::Limit(row.quote.bid.floor_tick()),
    };
    let price = if let Pricing::Limit(limit) = pricing { limit } else { row.quote.bid };
    let value = (qty * price).floor_cents();
    if !qty.is_positive() {
        return Err(SkipReason::LessThanOneShare);
    }
    if value < strategy.orders().min_notional {
        return Err(SkipReason::BelowMinimum);
    }
    Ok(leg(Phase::Sell, row.symbol, (Amount::Qty(qty), pricing), (value, price)))
}

fn leg(phase: Phase, symbol: &Symbol, (amount, pricing): (Amount, Pricing), (value, price): (Usd, Price)) -> Leg {
    Leg { phase, symbol: symbol.clone(), amount, pricing, value, reference_price: price }
}

/// An order for `added` at the middle, which is `cost` at the asked price; with what it moves at the middle.
fn purchase(row: &Valued<'_>, strategy: &Strategy, added: Usd, cost: Usd) -> Purchase {
    let least = strategy.orders().min_notional;
    let limit = strategy.orders().kind == OrderType::Limit;
    if row.fractionable && !limit {
        let notional = cost.settle_division().floor_cents();
        if notional < least {
            return Err(SkipReason::BelowMinimum);
        }
        let moved = notional.at(row.quote.ask).floor_shares(true) * row.middle;
        let how = (Amount::Notional(notional), Pricing::Market);
        return Ok((leg(Phase::Buy, row.symbol, how, (notional, row.quote.ask)), moved));
    }
    let price = if limit { row.quote.ask.ceil_tick() } else { row.quote.ask };
    let qty: Qty = added.at(row.middle).min(cost.at(price)).floor_shares(row.fractionable);
    if !qty.is_positive() {
        return Err(if added.is_positive() { SkipReason::LessThanOneShare } else { SkipReason::BelowMinimum });
    }
    let value = (qty * price).ceil_cents();
    if value < least {
        return Err(SkipReason::BelowMinimum);
    }
    let pricing = if limit { Pricing::Limit(price) } else { Pricing::Market };
    Ok((leg(Phase::Buy, row.symbol, (Amount::Qty(qty), pricing), (value, price)), qty * row.middle))
}

/// A plan that holds.
fn held(snapshot: &Snapshot, reason: Reason, drift: Drift, valuation: Option<&Valuation<'_>>) -> Plan {
    let weights = valuation.map_or_else(Vec::new, |valuation| {
        valuation
            .rows
            .iter()
            .map(|row| {
                let weight = row.worth.over(valuation.value);
                WeightRow { symbol: row.symbol.clone(), target: row.target, before: weight, after: weight }
            })
            .collect()
    });
    Plan {
        decision: Decision::Hold,
        reason,
        detail: sentence(Decision::Hold, reason, &drift, (Usd::ZERO, Usd::ZERO, 0)),
        drift,
        legs: Vec::new(),
        skipped: Vec::new(),
        weights,
        value: valuation.map_or(snapshot.account.cash, |valuation| valuation.value),
        cash_after: snapshot.account.cash,
        turnover: Fraction::ZERO,
    }
}

fn sentence(decision: Decision, reason: Reason, drift: &Drift, (sold, bought, orders): (Usd, Usd, usize)) -> String {
    let furthest = drift.symbols.iter().max_by_key(|row| row.absolute.abs());
    let stands = furthest.map_or_else(String::new, |row| {
        let points = row.absolute.percent().round_dp(2).normalize();
        format!("{} is {}{points} points from its target", row.symbol, if points.is_sign_negative() { "" } else { "+" })
    });
    match decision {
        Decision::Trade => {
            let dollars = |verb: &str, sum: Usd| sum.is_positive().then(|| format!("{verb} {:.2}", sum.decimal()));
            let done: Vec<String> = [dollars("sells", sold), dollars("buys", bought)].into_iter().flatten().collect();
            let plural = if orders == 1 { "" } else { "s" };
            format!("{stands}; {} dollars in {orders} order{plural}", done.join(" and "))
        }
        Decision::Hold => match reason {
            Reason::PriceMissing => "a holding or target has no usable price".to_owned(),
            Reason::EmptyAccount => "the account holds neither cash nor a managed position".to_owned(),
            Reason::ShortPosition => "the account holds a short position, which is never touched".to_owned(),
            Reason::UnmanagedBlocks => {
                "the account holds something that the strategy does not name, and it says block".to_owned()
            }
            Reason::Cooldown => format!("{stands}, but the last rebalance is inside the cooldown"),
            Reason::BelowMinimum => format!("{stands}, and every order would be below the minimum"),
            Reason::InsideBands => format!("{stands}, inside its band"),
            _ => stands,
        },
    }
}
