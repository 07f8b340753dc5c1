//! From the file's strategy to the one that the planner sees: what the account's user wishes, and what cannot be had now.
//!
//! Always: weights and cash add up to exactly one; nothing comes in but a target or the substitute that the file names for
//! it; a wish that the file does not allow stops the run, it is never dropped (rule 5). A strategy without `[overrides]`
//! and an account without wishes come out as they went in.
//!
//! A symbol and its substitute share one weight. What is held of either counts towards it, and nothing is sold only to
//! change one for the other: new money alone goes to the one that is wanted now.

use std::collections::BTreeMap;

use crate::decide::drift::{self, Valuation};
use crate::model::ids::Symbol;
use crate::model::money::{Fraction, Qty};
use crate::model::personal::{ExcludedTo, Own, Personal, Unavailable, Wish};
use crate::model::snapshot::{Quote, Snapshot};
use crate::model::strategy::{Strategy, Target};
use crate::model::time::Moment;
use crate::model::verdict::Reason;

/// Weights that are computed have so many decimals; the largest takes what rounding leaves.
const DECIMALS: u32 = 12;

/// Weights by symbol.
type Weights = BTreeMap<Symbol, Fraction>;

/// Why there is no strategy for this account now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// The reason to hold.
    pub reason: Reason,
    /// One sentence for a person.
    pub detail: String,
}

/// What the strategy does not allow of these wishes, one sentence each; empty when it allows them all.
pub fn misfits(strategy: &Strategy, personal: &Personal, now: Moment) -> Vec<String> {
    let (name, allowed) = (strategy.name(), strategy.allowance());
    let mut misfits: Vec<String> = Vec::new();
    for said in personal.in_force(now) {
        let missing = match &said.wish {
            Wish::Exclude(symbol) if !allowed.exclude => format!("to exclude {symbol} (exclude = true)"),
            Wish::DoNotSell(symbol) if !allowed.hold => format!("to keep {symbol} from being sold (hold = true)"),
            Wish::DoNotBuy(symbol) if !allowed.hold => format!("to keep {symbol} from being bought (hold = true)"),
            Wish::Cap(cap) if !allowed.cap => format!("a cap of {cap} dollars for one order (cap = true)"),
            Wish::Cash(cash) if allowed.cash_max.is_none_or(|most| *cash > most) => {
                let most = allowed.cash_max.map_or_else(|| "none".to_owned(), |most| percent(most) + "%");
                format!("a cash target of {}% (cash_percent_max, now {most})", percent(*cash))
            }
            Wish::TargetYear(year) if allowed.target_years.is_none_or(|years| !years.contains(*year)) => {
                let years = allowed.target_years.map_or_else(|| "none".to_owned(), |years| years.to_string());
                format!("the target year {year} (target_year_min and target_year_max, now {years})")
            }
            _ => continue,
        };
        misfits.push(format!("`{name}` does not allow {missing} in its [overrides]"));
    }
    let excluded = personal.excluded(now);
    let out: Fraction =
        strategy.targets().iter().filter(|it| excluded.contains(&it.symbol)).map(|target| target.weight).sum();
    if let Some(most) = allowed.max_excluded.filter(|most| out > *most) {
        let (out, most) = (percent(out), percent(most));
        misfits.push(format!(
            "{out}% of `{name}` would be excluded, and it allows {most}% (overrides.max_excluded_percent)"
        ));
    }
    // Before a day's weights are known there are none to be left.
    if strategy.is_resolved() && strategy.targets().iter().all(|target| excluded.contains(&target.symbol)) {
        misfits.push(format!("nothing of `{name}` would be left"));
    }
    if let Some(cap) = personal.cap(now).filter(|cap| *cap < strategy.orders().min_notional) {
        misfits.push(format!("a cap of {cap} dollars is below the strategy's smallest order (orders.min_notional)"));
    }
    misfits
}

fn percent(share: Fraction) -> String {
    share.percent().round_dp(4).normalize().to_string()
}

/// The strategy of one account, at the moment of its snapshot.
///
/// # Errors
/// A wish that the file does not allow, or a target that cannot be had where the file says to skip the run then.
pub fn effective(strategy: &Strategy, personal: &Personal, snapshot: &Snapshot) -> Result<Strategy, Unfit> {
    let now = snapshot.as_of;
    let misfits = misfits(strategy, personal, now);
    let not_allowed = |detail| Unfit { reason: Reason::OverridesNotAllowed, detail };
    if !misfits.is_empty() {
        return Err(not_allowed(misfits.join("; ")));
    }
    let mut own = Own {
        aside: personal.aside(now),
        cap: personal.cap(now),
        excluded: personal.excluded(now),
        do_not_sell: personal.do_not_sell(now),
        do_not_buy: personal.do_not_buy(now),
        ..Own::default()
    };
    let (weights, cash) = wished(strategy, &mut own, personal.cash(now), snapshot);
    let weights = had(strategy, (weights, cash), &mut own, snapshot)?;
    let made = made_of(strategy, (&weights, cash), own);
    made.map_err(|faults| not_allowed(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))
}

/// The strategy of the second half of a run: what the first half decided on. What the user said meanwhile may stop more
/// orders, and never lets more pass.
pub fn completing(first: &Strategy, personal: &Personal, now: Moment) -> Strategy {
    let mut own = first.own().clone();
    own.do_not_sell.extend(personal.do_not_sell(now));
    own.do_not_buy.extend(personal.do_not_buy(now));
    own.do_not_buy.extend(personal.excluded(now));
    own.aside = own.aside.max(personal.aside(now));
    own.cap = match (own.cap, personal.cap(now)) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    first.with_own((first.targets().to_vec(), first.cash()), own).unwrap_or_else(|_| first.clone())
}

fn made_of(
    strategy: &Strategy,
    (weights, cash): (&Weights, Fraction),
    own: Own,
) -> Result<Strategy, Vec<crate::model::strategy::NotAStrategy>> {
    let targets = weights.iter().map(|(symbol, weight)| Target { symbol: symbol.clone(), weight: *weight });
    strategy.with_own((targets.collect(), cash), own)
}

/// Weights and cash as the user wishes them: their own cash target first, then without what they exclude.
fn wished(strategy: &Strategy, own: &mut Own, own_cash: Option<Fraction>, snapshot: &Snapshot) -> (Weights, Fraction) {
    let mut weights: Weights = strategy.targets().iter().map(|it| (it.symbol.clone(), it.weight)).collect();
    let mut cash = strategy.cash();
    if let Some(wanted) = own_cash.filter(|wanted| *wanted != cash) {
        cash = wanted;
        fill(&mut weights, Fraction::ONE - cash);
    }
    let mut freed = Fraction::ZERO;
    for symbol in &own.excluded {
        let Some(weight) = weights.remove(symbol) else { continue };
        let substitute = strategy.allowance().substitutes.get(symbol);
        match substitute.filter(|it| !own.excluded.contains(it) && can_trade(snapshot, it)) {
            Some(substitute) => {
                own.stand_ins.insert(symbol.clone(), substitute.clone());
                *weights.entry(substitute.clone()).or_default() = weight + of(&weights, substitute);
            }
            None => freed += weight,
        }
    }
    if !freed.is_zero() {
        if strategy.allowance().excluded_to == ExcludedTo::Cash || weights.is_empty() {
            cash += freed;
        } else {
            fill(&mut weights, Fraction::ONE - cash);
        }
    }
    (weights, cash)
}

fn of(weights: &Weights, symbol: &Symbol) -> Fraction {
    weights.get(symbol).copied().unwrap_or_default()
}

/// Brings weights to this sum in proportion, exactly.
fn fill(weights: &mut Weights, sum: Fraction) {
    let before: Fraction = weights.values().copied().sum();
    for weight in weights.values_mut() {
        *weight = rounded((*weight * sum).over(before));
    }
    let left = sum - weights.values().copied().sum::<Fraction>();
    if let Some(largest) = weights.values_mut().max() {
        *largest += left;
    }
}

fn rounded(weight: Fraction) -> Fraction {
    Fraction::new(weight.decimal().round_dp(DECIMALS))
}

/// Whether it may be traded and has a price.
fn can_trade(snapshot: &Snapshot, symbol: &Symbol) -> bool {
    let is_priced = snapshot.quotes.get(symbol).is_some_and(Quote::is_usable);
    is_priced && snapshot.assets.get(symbol).is_some_and(|asset| asset.tradable)
}

fn held(snapshot: &Snapshot, symbol: &Symbol) -> Qty {
    snapshot.holdings.get(symbol).map_or(Qty::ZERO, |holding| holding.qty)
}

/// Weights of what can be had now: each shared with its substitute where one is named.
fn had(
    strategy: &Strategy,
    (weights, cash): (Weights, Fraction),
    own: &mut Own,
    snapshot: &Snapshot,
) -> Result<Weights, Unfit> {
    let allowed = strategy.allowance();
    let skips = allowed.unavailable == Unavailable::SkipRun;
    if allowed.substitutes.is_empty() && !skips {
        return Ok(weights);
    }
    let pairs: Weights = strategy_with_both(strategy, &weights, own, snapshot);
    let Ok(both) = made_of(strategy, (&pairs, cash), own.clone()) else { return Ok(weights) };
    // What cannot be valued is not traded: the planner says why.
    let Ok((valuation, _)) = drift::drift(&both, snapshot) else { return Ok(weights) };
    let mut shares = Shares { valuation: &valuation, made: weights.clone(), spent: Weights::new() };
    // What a model does not hold now need not be there.
    for (symbol, weight) in weights.iter().filter(|(_, weight)| !weight.is_zero()) {
        let substitute = allowed.substitutes.get(symbol).filter(|it| !own.excluded.contains(it));
        if shares.is_out_of_reach(symbol, *weight) {
            match substitute.filter(|it| !shares.is_out_of_reach(it, *weight)) {
                Some(substitute) => {
                    shares.stand_in(symbol, substitute, weights.contains_key(substitute));
                    own.stand_ins.insert(symbol.clone(), substitute.clone());
                }
                None if skips => {
                    let detail = format!(
                        "{symbol} cannot be bought now, nothing stands in for it, and the strategy says skip_run"
                    );
                    return Err(Unfit { reason: Reason::AssetUnavailable, detail });
                }
                None => {}
            }
        } else if let Some(substitute) = substitute.filter(|it| !weights.contains_key(it)) {
            shares.count_in(symbol, substitute);
        }
    }
    Ok(shares.made)
}

/// The weights with every pair whose other half is held or may be needed, so that all of it is valued together.
fn strategy_with_both(strategy: &Strategy, weights: &Weights, own: &Own, snapshot: &Snapshot) -> Weights {
    let mut both = weights.clone();
    for (symbol, substitute) in &strategy.allowance().substitutes {
        let counts = can_trade(snapshot, substitute) || held(snapshot, substitute).is_positive();
        let is_priced = snapshot.quotes.get(substitute).is_some_and(Quote::is_usable);
        if !weights.contains_key(symbol)
            || weights.contains_key(substitute)
            || own.excluded.contains(substitute)
            || !(counts && is_priced)
        {
            continue;
        }
        let half = rounded(of(&both, symbol) * Fraction::HALF);
        let rest = of(&both, symbol) - half;
        both.insert(symbol.clone(), rest);
        *both.entry(substitute.clone()).or_default() = of(&both, substitute) + half;
    }
    both
}

/// Weights while they are shared.
struct Shares<'a> {
    valuation: &'a Valuation<'a>,
    made: Weights,
    /// What is held of each substitute and counts towards somebody already.
    spent: Weights,
}

impl Shares<'_> {
    /// Not tradable; or without fractions where the weight is not worth one share, and none is held.
    fn is_out_of_reach(&self, symbol: &Symbol, weight: Fraction) -> bool {
        let row = self.valuation.rows.iter().find(|row| row.symbol == symbol);
        row.is_none_or(|row| {
            let below_one =
                !row.fractionable && !row.qty.is_positive() && self.valuation.value * weight < Qty::ONE * row.quote.ask;
            !row.tradable || below_one
        })
    }

    fn actual(&self, symbol: &Symbol) -> Fraction {
        let row = self.valuation.rows.iter().find(|row| row.symbol == symbol);
        row.map_or(Fraction::ZERO, |row| rounded(row.worth.over(self.valuation.value)))
    }

    /// The symbol keeps what is held of it, and the substitute takes the rest of its weight.
    fn stand_in(&mut self, symbol: &Symbol, substitute: &Symbol, is_target: bool) {
        let (weight, kept) = (of(&self.made, symbol), self.actual(symbol));
        let there = if is_target { Fraction::ZERO } else { self.unspent(substitute) };
        let keeps = if kept + there > weight { share_of(weight, kept, there) } else { kept };
        self.put(symbol, keeps);
        self.give(substitute, weight - keeps);
    }

    /// What is held of the substitute from another day counts towards the weight; the symbol takes the rest.
    fn count_in(&mut self, symbol: &Symbol, substitute: &Symbol) {
        let (weight, there) = (of(&self.made, symbol), self.unspent(substitute));
        if !there.is_positive() {
            return;
        }
        let kept = self.actual(symbol);
        let counts = if kept + there > weight { share_of(weight, there, kept) } else { there };
        self.put(symbol, weight - counts);
        self.give(substitute, counts);
    }

    fn unspent(&self, substitute: &Symbol) -> Fraction {
        (self.actual(substitute) - of(&self.spent, substitute)).max(Fraction::ZERO)
    }

    fn put(&mut self, symbol: &Symbol, weight: Fraction) {
        if weight.is_positive() {
            self.made.insert(symbol.clone(), weight);
        } else {
            self.made.remove(symbol);
        }
    }

    fn give(&mut self, substitute: &Symbol, weight: Fraction) {
        if weight.is_positive() {
            let now = of(&self.made, substitute) + weight;
            self.made.insert(substitute.clone(), now);
            let spent = of(&self.spent, substitute) + weight;
            self.spent.insert(substitute.clone(), spent);
        }
    }
}

/// The part of a weight that falls to one of two holdings, in proportion.
fn share_of(weight: Fraction, one: Fraction, other: Fraction) -> Fraction {
    rounded((weight * one).over(one + other)).min(weight)
}
