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

mod buying;

use crate::decide::afford::Means;
use crate::decide::allocate::{self, Source};
use crate::decide::drift::{self, Valuation, Valued};
use crate::decide::fewest;
use crate::decide::legs::{self, sale};
use crate::decide::prices::lowest;
use crate::decide::spread::Spread;
use crate::decide::trigger::{self, Signals};
use crate::decide::wording::sentence;
use crate::model::ids::Symbol;
use crate::model::intent::Unfilled;
use crate::model::money::{Fraction, Usd};
use crate::model::plan::{Amount, Decision, Drift, Leg, Phase, Plan, Side, Skip, WeightRow};
use crate::model::snapshot::Snapshot;
use crate::model::strategy::{Destination, OrderType, Strategy, Unmanaged};
use crate::model::tolerance::{Mode, Scope};
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
    /// Limit orders of this half ended unfilled: what is left of them, and nothing else, at the prices of now.
    Again {
        /// What is left.
        unfilled: &'a [Unfilled],
        /// Limit orders again, or market orders.
        kind: OrderType,
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
        Ok((valuation, drift)) => Draft::new(strategy, &valuation).finish(snapshot, stage, drift),
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

/// A plan in the making.
struct Draft<'a> {
    strategy: &'a Strategy,
    valuation: &'a Valuation<'a>,
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
    fn new(strategy: &'a Strategy, valuation: &'a Valuation<'a>) -> Self {
        Self {
            strategy,
            valuation,
            legs: Vec::new(),
            skipped: Vec::new(),
            moved: vec![Usd::ZERO; valuation.rows.len()],
            sold_before: &[],
            sold: Usd::ZERO,
            bought: Usd::ZERO,
        }
    }

    fn finish(mut self, snapshot: &Snapshot, stage: Stage<'a>, drift: Drift) -> Plan {
        let reason = match stage {
            Stage::Completing { sold } => {
                self.sold_before = sold;
                self.complete(snapshot);
                Reason::Completing
            }
            Stage::Again { unfilled, kind } => {
                self.again(unfilled, kind);
                Reason::Completing
            }
            Stage::Opening => match self.open(snapshot, &drift) {
                Err(hold) => return held(snapshot, hold, drift, Some(self.valuation)),
                Ok(reason) => reason,
            },
        };
        self.into_plan(reason, drift)
    }

    /// The purchases of a run whose sales are done.
    fn complete(&mut self, snapshot: &Snapshot) {
        if self.strategy.conditions().mode == Mode::SellOnly {
            return;
        }
        let spread = Spread::new(self.strategy, self.valuation);
        let most = snapshot.account.buying_power.floor_cents();
        let (desired, worth_after) = self.aim(&spread, self.strategy.conditions().scope, (false, Some(most)));
        let spendable = self.spendable(worth_after).min(most);
        self.buy(&spread, &goals(&desired, worth_after), worth_after, spendable);
    }

    /// What is left of unfilled orders, as far as cash reaches.
    fn again(&mut self, unfilled: &[Unfilled], kind: OrderType) {
        for left in unfilled {
            let rows = &self.valuation.rows;
            let Some((place, row)) = rows.iter().enumerate().find(|(_, row)| *row.symbol == left.symbol) else {
                continue;
            };
            let cash = (self.cash_after() - self.valuation.reserved).floor_cents();
            let paid = if left.phase == Phase::Buy { left.value.min(cash) } else { left.value };
            match legs::again(row, self.strategy, &Unfilled { value: paid, ..left.clone() }, kind) {
                Err(_) if paid < left.value => self.skip(place, Side::Buy, left.value, SkipReason::NoCash),
                Ok((leg, moved)) => {
                    if let Some(slot) = self.moved.get_mut(place) {
                        *slot = moved;
                    }
                    let total = if leg.phase == Phase::Sell { &mut self.sold } else { &mut self.bought };
                    *total += leg.value;
                    self.legs.push(leg);
                }
                Err(reason) => self.skip(place, left.phase.side(), left.value, reason),
            }
        }
    }

    /// Whether to trade at all, and why; with the orders for it.
    fn open(&mut self, snapshot: &Snapshot, drift: &Drift) -> Result<Reason, Reason> {
        let excess = self.spendable(self.valuation.value);
        let signals = trigger::signals(self.strategy, snapshot, self.valuation, drift, excess);
        let rests = |drift: &Drift| {
            if drift.symbols.iter().all(|row| row.absolute.is_zero()) { Reason::OnTarget } else { Reason::InsideBands }
        };
        match (self.strategy.conditions().mode, signals) {
            (Mode::BuyOnly, Signals { cash: Some(reason), .. }) => {
                self.invest(snapshot);
                Ok(reason)
            }
            (Mode::BuyOnly, Signals { breach: None, is_bandless: false, .. }) => Err(rests(drift)),
            (Mode::BuyOnly, _) => Err(Reason::NoNewCash),
            (Mode::SellOnly, Signals { wanted: Some(wanted), .. }) => Ok(self.raise(wanted)),
            (Mode::SellOnly, _) => Err(Reason::CashSuffices),
            (Mode::Full | Mode::FewestTrades, signals) => {
                self.open_both(snapshot, signals)?.map_or_else(|| Err(rests(drift)), Ok)
            }
        }
    }

    /// The same where both sides are allowed: first what cash alone can do, then whole rebalances. `None` when there is
    /// nothing to do.
    fn open_both(&mut self, snapshot: &Snapshot, signals: Signals) -> Result<Option<Reason>, Reason> {
        let whole = Scope::All;
        if snapshot.account.cash < Usd::ZERO {
            return Ok(Some(self.rebalance(snapshot, whole, Reason::RaiseCash)));
        }
        // Only what can be sold now: a remnant that cannot would move the whole account at every look.
        let strange = |row: &&Valued<'_>| row.target.is_zero() && row.qty.is_positive();
        let mut leaving = self
            .valuation
            .rows
            .iter()
            .filter(strange)
            .filter(|row| sale(row, self.strategy, (row.worth, row.worth), true).is_ok());
        if let Some(row) = leaving.next().filter(|_| !signals.is_resting) {
            let by_model = self.strategy.names(row.symbol);
            let reason = if by_model { Reason::LeftModel } else { Reason::UnmanagedSold };
            return Ok(Some(self.rebalance(snapshot, whole, reason)));
        }
        // Where the whole portfolio is rebalanced anyway, that raises the cash as well.
        let is_calm = signals.awake.is_none() && (signals.is_resting || !signals.is_bandless);
        if let Some(wanted) = signals.wanted.filter(|_| is_calm || !signals.is_bandless) {
            self.raise(wanted);
            if is_calm || self.is_inside() {
                return Ok(Some(Reason::RaiseCash));
            }
            self.clear();
        }
        let may_invest = signals.cash.filter(|_| signals.is_resting || !signals.is_bandless);
        if let Some(reason) = may_invest
            && self.cash_is_enough(snapshot, signals.breach.is_some())
        {
            return Ok(Some(reason));
        }
        match signals {
            Signals { awake: Some(reason), .. } => {
                // Where no holding is outside its band, none of them is what is to be moved.
                let scope = if reason == Reason::DriftPortfolio { whole } else { self.strategy.conditions().scope };
                Ok(Some(self.rebalance(snapshot, scope, reason)))
            }
            Signals { breach: Some(_), cash: Some(reason), .. } => {
                self.invest(snapshot);
                Ok(Some(reason))
            }
            Signals { breach: Some(_), .. } | Signals { is_bandless: true, is_resting: true, .. } => {
                Err(Reason::Cooldown)
            }
            Signals { is_bandless: true, .. } => Ok(Some(self.rebalance(snapshot, whole, Reason::Scheduled))),
            _ => Ok(None),
        }
    }

    /// Whether new cash alone leaves everything inside its limits, also when it was inside before. If so, the purchases
    /// stand.
    fn cash_is_enough(&mut self, snapshot: &Snapshot, is_breached: bool) -> bool {
        // Who is above its band stays there whatever is bought.
        let value = self.valuation.value;
        let is_hopeless = |row: &Valued<'_>| {
            row.worth > value * row.target
                && !row.target.is_zero()
                && !row.band.holds(row.worth.over(value) - row.target)
        };
        if is_breached && self.valuation.rows.iter().any(is_hopeless) {
            return false;
        }
        self.invest(snapshot);
        let is_enough = !is_breached || self.is_inside();
        if !is_enough {
            self.clear();
        }
        is_enough
    }

    /// Whether these orders leave every holding inside its band, and the portfolio inside its limit.
    fn is_inside(&self) -> bool {
        let value = self.valuation.value;
        let mut sum = (self.cash_after().over(value) - self.strategy.cash()).abs();
        for (row, moved) in self.valuation.rows.iter().zip(&self.moved) {
            let deviation = (row.worth + *moved).over(value) - row.target;
            if !row.target.is_zero() && !row.band.holds(deviation) {
                return false;
            }
            sum += deviation.abs();
        }
        self.strategy.conditions().tolerance.drift_portfolio.is_none_or(|limit| sum <= limit + limit)
    }

    /// Takes the orders back.
    fn clear(&mut self) {
        self.legs.clear();
        self.skipped.clear();
        self.moved.fill(Usd::ZERO);
        (self.sold, self.bought) = (Usd::ZERO, Usd::ZERO);
    }

    /// Cash if every order fills at its value, less what is kept aside.
    fn cash_after(&self) -> Usd {
        self.valuation.cash + self.sold - self.bought
    }

    /// Cash that may be spent when the portfolio is worth `value` afterwards: whole cents, never below zero.
    fn spendable(&self, value: Usd) -> Usd {
        let kept = value * self.strategy.cash();
        if planted(Bug::NothingIsBought) {
            return Usd::ZERO;
        }
        (self.valuation.cash + self.sold - self.valuation.reserved - kept).floor_cents().max(Usd::ZERO)
    }

    /// New cash into what is underweight; nothing is sold.
    fn invest(&mut self, snapshot: &Snapshot) {
        let spread = Spread::new(self.strategy, self.valuation);
        let most = snapshot.account.buying_power.floor_cents();
        let targets = self.targets();
        let first = spread.worth_after(&targets, false);
        let worth_after = self.means((false, Some(most))).left(&spread, &targets, first);
        let spendable = self.spendable(worth_after).min(most);
        self.buy(&spread, &goals(&targets, worth_after), worth_after, spendable);
    }

    /// Sells what is relatively most overweight until that cash is there; nothing is bought.
    fn raise(&mut self, wanted: Usd) -> Reason {
        let mut sources = Vec::new();
        for (place, row) in self.valuation.rows.iter().enumerate() {
            if sale(row, self.strategy, (row.worth, row.worth), true).is_ok() {
                let brings = lowest(row, self.strategy).over(row.middle);
                let desired = self.valuation.value * row.target;
                sources.push(Source { row: place, worth: row.worth, free: row.free_worth(), desired, brings });
            }
        }
        // A sale is rounded down to shares and cents: a cent more for each, so that a withdrawal finds its last cent.
        let cents = Usd::cents(sources.len());
        // Too small an order is left out, the smallest first, and the others bring its part as well.
        let least = self.strategy.orders().min_notional;
        let drawn = loop {
            let drawn = allocate::drain(&sources, wanted + cents);
            let sold = || sources.iter().zip(&drawn).enumerate().filter(|(_, (_, drawn))| drawn.is_positive());
            let small = sold().filter(|(_, (source, drawn))| (**drawn * source.brings).floor_cents() < least);
            let smallest = small.min_by_key(|(_, (_, drawn))| **drawn).map(|(place, _)| place);
            match smallest {
                Some(place) if sold().count() > 1 => drop(sources.remove(place)),
                _ => break drawn,
            }
        };
        for (source, drawn) in sources.iter().zip(drawn).filter(|(_, drawn)| drawn.is_positive()) {
            let desired = (source.worth - drawn).over(self.valuation.value);
            self.sell_row(source.row, (drawn, drawn), desired.is_zero());
        }
        Reason::RaiseCash
    }

    /// Both halves, towards the destination.
    fn rebalance(&mut self, snapshot: &Snapshot, scope: Scope, reason: Reason) -> Reason {
        let spread = Spread::new(self.strategy, self.valuation);
        let (desired, worth_after) = self.aim(&spread, scope, (true, None));
        let goals = goals(&desired, worth_after);
        self.legs.reserve(goals.len());
        self.sell(&goals, worth_after);
        let mut spendable = self.spendable(worth_after);
        if self.legs.is_empty() {
            spendable = spendable.min(snapshot.account.buying_power.floor_cents());
        }
        self.buy(&spread, &goals, worth_after, spendable);
        reason
    }

    /// Where each row is to go, and what the portfolio is worth once it is there. Edges and halves of a band are counted
    /// in what is left after the spread, so that a row that stands still keeps its share.
    fn aim(&self, spread: &Spread<'_>, scope: Scope, by: (bool, Option<Usd>)) -> (Vec<Fraction>, Usd) {
        let conditions = self.strategy.conditions();
        let means = self.means(by);
        if conditions.mode == Mode::FewestTrades {
            let desired = |value| fewest::desired(self.strategy, self.valuation, value);
            return means.settle(spread, desired);
        }
        if conditions.destination == Destination::Target && scope == Scope::All {
            let desired = self.targets();
            let first = spread.worth_after(&desired, means.with_sales);
            let left = means.left(spread, &desired, first);
            return (desired, left);
        }
        means.settle(spread, |value| allocate::desired(self.strategy, self.valuation, scope, value))
    }

    fn means(&self, (with_sales, most): (bool, Option<Usd>)) -> Means<'a> {
        Means { strategy: self.strategy, valuation: self.valuation, with_sales, sold_before: self.sold_before, most }
    }

    fn targets(&self) -> Vec<Fraction> {
        self.valuation.rows.iter().map(|row| row.target).collect()
    }

    fn sell(&mut self, goals: &[Usd], worth_after: Usd) {
        for (place, goal) in goals.iter().enumerate() {
            let Some(row) = self.valuation.rows.get(place) else { continue };
            let wanted = row.worth - *goal;
            if !wanted.is_positive() {
                continue;
            }
            // Who is beyond its destination by a part of a share may pass it, and never its target.
            let most = if row.fractionable { wanted } else { wanted.max(row.worth - worth_after * row.target) };
            self.sell_row(place, (wanted, most), goal.is_zero());
        }
    }

    fn sell_row(&mut self, place: usize, (wanted, most): (Usd, Usd), whole: bool) {
        let Some(row) = self.valuation.rows.get(place) else { return };
        match sale(row, self.strategy, (wanted, most), whole) {
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

    fn into_plan(self, reason: Reason, drift: Drift) -> Plan {
        let decision = if self.legs.is_empty() { Decision::Hold } else { Decision::Trade };
        let is_idle = self.legs.is_empty() && reason != Reason::Completing;
        let reason = if is_idle { idle(&self.skipped, &drift) } else { reason };
        let managed_cash = self.cash_after();
        let worths = self.valuation.rows.iter().zip(&self.moved).map(|(row, moved)| row.worth + *moved);
        let before = drift.symbols.iter().map(|row| row.actual);
        let weights: Vec<WeightRow> = (self.valuation.rows.iter().zip(before).zip(worths))
            .map(|((row, before), worth_after)| WeightRow {
                symbol: row.symbol.clone(),
                target: row.target,
                before,
                worth_after,
            })
            .collect();
        let value_after = weights.iter().map(|row| row.worth_after).sum::<Usd>() + managed_cash;
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
            // What is kept aside is cash too until it has left.
            cash_after: managed_cash + self.valuation.aside,
            value_after,
        }
    }
}

/// Why nothing is ordered although the account was to be traded.
fn idle(skipped: &[Skip], drift: &Drift) -> Reason {
    let is_small = |skip: &Skip| {
        matches!(skip.reason, SkipReason::BelowMinimum | SkipReason::LessThanOneShare | SkipReason::NoCash)
    };
    if !skipped.iter().all(is_small) {
        Reason::Hindered
    } else if skipped.is_empty() && drift.symbols.iter().all(|row| row.absolute.is_zero()) {
        Reason::OnTarget
    } else {
        Reason::BelowMinimum
    }
}

/// What each row is to be worth.
fn goals(desired: &[Fraction], worth_after: Usd) -> Vec<Usd> {
    desired.iter().map(|share| worth_after * *share).collect()
}

/// A plan that holds.
fn held(snapshot: &Snapshot, reason: Reason, drift: Drift, valuation: Option<&Valuation<'_>>) -> Plan {
    let rows = valuation.map(|valuation| valuation.rows.iter()).unwrap_or_default();
    let weights = rows
        .zip(&drift.symbols)
        .map(|(row, drift)| WeightRow {
            symbol: row.symbol.clone(),
            target: row.target,
            before: drift.actual,
            worth_after: row.worth,
        })
        .collect();
    let value = valuation.map_or(snapshot.account.cash, |valuation| valuation.value);
    Plan {
        decision: Decision::Hold,
        reason,
        detail: sentence(Decision::Hold, reason, &drift, (Usd::ZERO, Usd::ZERO, 0)),
        drift,
        legs: Vec::new(),
        skipped: Vec::new(),
        weights,
        value,
        cash_after: snapshot.account.cash,
        value_after: value,
        turnover: Fraction::ZERO,
    }
}
