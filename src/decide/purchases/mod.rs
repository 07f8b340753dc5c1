//! What a budget buys: money is poured into what is underweight, whole shares are rounded down, and what they leave over is
//! spent on the others; beside market orders by whole shares some cash stays.
//!
//! Always: the values of all purchases never exceed what may be spent, and nothing is bought beyond its target.

mod exchange;

use rust_decimal::Decimal;

use crate::decide::allocate::{self, Vessel};
use crate::decide::drift::{Valuation, Valued};
use crate::decide::legs::{CUSHION, Purchase, of_shares, purchase};
use crate::model::money::{Fraction, Qty, Usd};
use crate::model::plan::{Amount, Pricing};
use crate::model::strategy::{OrderType, Strategy};
use crate::model::verdict::SkipReason;

/// Rounds in which purchases are made to fit beside their cushion: the first hits it but for whole shares, whose
/// leftovers come and go.
const CUSHION_ROUNDS: usize = 8;

/// Who buys.
#[derive(Debug, Clone, Copy)]
pub struct Buyer<'a> {
    /// The strategy.
    pub strategy: &'a Strategy,
    /// The portfolio.
    pub valuation: &'a Valuation<'a>,
    /// All cash there is, the target's included, less what open purchases reserve.
    pub cash: Usd,
    /// What the portfolio is worth once everything is where it is to go.
    pub worth: Usd,
}

impl Buyer<'_> {
    /// The most that may be spent buys, with what is left of it that other orders could use. An order by quantity is rounded up
    /// to a cent where it is valued: that cent is kept back for each.
    pub fn within(&self, vessels: &[Vessel], spendable: Usd) -> (Vec<(Usd, Purchase)>, Usd) {
        let is_limit = self.strategy.orders().kind == OrderType::Limit;
        let has_whole = vessels.iter().any(|vessel| self.is_whole(vessel));
        let cents = Usd::cents(vessels.len());
        let budget = if is_limit || has_whole { spendable - cents } else { spendable };
        let mut bought = self.buy(vessels, budget);
        if has_whole {
            self.exchange(vessels, budget, &mut bought);
        }
        // What must stay beside these is not left for others.
        let beside = -self.short_of_cushion(&bought).0;
        let left = (budget - bought.iter().map(cost).sum::<Usd>()).min(beside);
        let is_any_whole = self.valuation.rows.iter().any(|row| !row.fractionable);
        (bought, if is_any_whole { left } else { Usd::ZERO })
    }

    /// The most that a budget buys when cash must also stay beside what is bought by whole shares: for each vessel what is
    /// poured into it, and the order for it or why there is none.
    fn buy(&self, vessels: &[Vessel], most: Usd) -> Vec<(Usd, Purchase)> {
        let mut bought = self.purchases(vessels, most);
        if !self.short_of_cushion(&bought).0.is_positive() {
            return bought;
        }
        let mut sound: Option<(Usd, Vec<(Usd, Purchase)>)> = None;
        let mut budget = most;
        for _ in 0..CUSHION_ROUNDS {
            let (short, share) = self.short_of_cushion(&bought);
            let spent = bought.iter().map(cost).sum::<Usd>();
            if !short.is_positive() && sound.as_ref().is_none_or(|(before, _)| spent > *before) {
                sound = Some((spent, bought.clone()));
            }
            // A dollar less bought is a dollar more left, and needs less beside it. What whole shares leave of a budget is not
            // spent, so less of it is no less bought: the cut is made from what was.
            let from = if short.is_positive() { budget.min(spent) } else { budget };
            let per_dollar = Fraction::ONE + share * CUSHION;
            let next = (from - (short * Fraction::ONE.over(per_dollar)).ceil_cents()).min(most);
            if next == budget {
                break;
            }
            budget = next;
            bought = self.purchases(vessels, budget);
        }
        match sound {
            Some((_, sound)) => sound,
            None => self.given_back(vessels, bought),
        }
    }

    /// Takes shares back, of the largest order by whole shares first, until what must stay beside the others is there.
    fn given_back(&self, vessels: &[Vessel], mut bought: Vec<(Usd, Purchase)>) -> Vec<(Usd, Purchase)> {
        loop {
            let short = self.short_of_cushion(&bought).0;
            let by_shares = |(_, purchase): &(Usd, Purchase)| match purchase {
                Ok((leg, _)) if leg.pricing == Pricing::Market => match leg.amount {
                    Amount::Qty(qty) => Some((leg.value, qty)),
                    Amount::Notional(_) => None,
                },
                _ => None,
            };
            let largest = bought.iter().enumerate().filter_map(|(place, one)| Some((by_shares(one)?, place))).max();
            let Some(((_, qty), place)) = largest.filter(|_| short.is_positive()) else { return bought };
            let (Some(slot), Some(vessel)) = (bought.get_mut(place), vessels.get(place)) else { return bought };
            let Some(row) = self.valuation.rows.get(vessel.row) else { return bought };
            let fewer = qty - short.at(row.quote.ask).floor_shares(false).max(Qty::ONE);
            slot.1 = if fewer.is_positive() {
                of_shares(row, self.strategy, fewer)
            } else {
                Err(SkipReason::LessThanOneShare)
            };
        }
    }

    /// What a budget buys.
    fn purchases(&self, vessels: &[Vessel], budget: Usd) -> Vec<(Usd, Purchase)> {
        let least = self.strategy.orders().min_notional;
        let poured = allocate::pour(vessels, budget, least);
        let mut bought: Vec<(Usd, Purchase)> = vessels
            .iter()
            .zip(poured)
            .filter_map(|(vessel, poured)| {
                let row = self.valuation.rows.get(vessel.row)?;
                Some((poured.added, purchase(row, self.strategy, poured)))
            })
            .collect();
        if vessels.iter().any(|vessel| self.is_whole(vessel)) {
            // What whole shares do not take goes to what is bought in any amount.
            let by_shares = self.by_shares(vessels, &bought);
            self.pour_parts(vessels, budget - by_shares, &mut bought);
            self.spend_in_shares(vessels, budget, &mut bought);
        }
        bought
    }

    fn is_whole(&self, vessel: &Vessel) -> bool {
        self.valuation.rows.get(vessel.row).is_some_and(|row| !row.fractionable)
    }

    /// What the purchases by whole shares cost.
    fn by_shares(&self, vessels: &[Vessel], bought: &[(Usd, Purchase)]) -> Usd {
        vessels.iter().zip(bought).filter(|(vessel, _)| self.is_whole(vessel)).map(|(_, one)| cost(one)).sum()
    }

    /// Pours so much into what is bought in any amount.
    fn pour_parts(&self, vessels: &[Vessel], budget: Usd, bought: &mut [(Usd, Purchase)]) {
        let (places, parts): (Vec<usize>, Vec<Vessel>) =
            vessels.iter().copied().enumerate().filter(|(_, vessel)| !self.is_whole(vessel)).unzip();
        let poured = allocate::pour(&parts, budget, self.strategy.orders().min_notional);
        for ((place, vessel), poured) in places.into_iter().zip(&parts).zip(poured) {
            if let (Some(slot), Some(row)) = (bought.get_mut(place), self.valuation.rows.get(vessel.row)) {
                *slot = (poured.added, purchase(row, self.strategy, poured));
            }
        }
    }

    /// What is still left buys more shares of whatever is furthest behind and has room for one, as long as it can.
    fn spend_in_shares(&self, vessels: &[Vessel], budget: Usd, bought: &mut [(Usd, Purchase)]) {
        let mut left = budget - bought.iter().map(cost).sum::<Usd>();
        let mut open: Vec<Whole<'_>> =
            vessels.iter().zip(bought.iter()).enumerate().filter_map(|(place, one)| self.whole(place, one)).collect();
        loop {
            open.sort_by_key(|whole| std::cmp::Reverse(whole.level()));
            let Some(mut whole) = open.pop() else { return };
            let next = open.last().map_or(Fraction::ONE, Whole::level).min(Fraction::ONE);
            let Some(more) = whole.more(next, (left, open.len())) else { continue };
            let Some(slot) = bought.get_mut(whole.place) else { continue };
            whole.qty += more;
            let order = of_shares(whole.row, self.strategy, whole.qty);
            let Ok((leg, moved)) = &order else { continue };
            let price = leg.value - cost(slot);
            if price > left {
                continue;
            }
            left -= price;
            *slot = (slot.0.max(*moved), order);
            open.push(whole);
        }
    }

    /// A row of whole shares that may still get more: one that is bought, that a whole share was too much for, or that nothing
    /// was left for while others were further behind.
    fn whole<'v>(&'v self, place: usize, (vessel, (_, purchase)): (&Vessel, &(Usd, Purchase))) -> Option<Whole<'v>> {
        let row = self.valuation.rows.get(vessel.row).filter(|row| !row.fractionable)?;
        let least = self.strategy.orders().min_notional;
        let qty = match purchase {
            Ok((leg, _)) => match leg.amount {
                Amount::Qty(qty) => qty,
                Amount::Notional(_) => return None,
            },
            Err(SkipReason::LessThanOneShare) => Qty::ZERO,
            // Less than the smallest order is no wish to trade: it may be what a division left over of a row that stays.
            Err(SkipReason::BelowMinimum) if (vessel.desired - vessel.worth).floor_cents() >= least => Qty::ZERO,
            Err(_) => return None,
        };
        // Who is short of its destination by a part of a share may pass it, and never its target.
        let ceiling = vessel.desired.max(self.worth * row.target);
        Some(Whole { place, vessel: *vessel, ceiling, row, qty })
    }

    /// What cash is missing beside these purchases for market orders by whole shares to fill a little higher than asked:
    /// they cost what the market takes, not what was reckoned, and the account must not borrow for it. With the share of
    /// such orders among all.
    fn short_of_cushion(&self, bought: &[(Usd, Purchase)]) -> (Usd, Fraction) {
        let (mut all, mut by_shares) = (Usd::ZERO, Usd::ZERO);
        for (leg, _) in bought.iter().filter_map(|(_, purchase)| purchase.as_ref().ok()) {
            all += leg.value;
            if matches!((leg.amount, leg.pricing), (Amount::Qty(_), Pricing::Market)) {
                by_shares += leg.value;
            }
        }
        ((by_shares * CUSHION - (self.cash - all)).ceil_cents(), by_shares.over(all))
    }
}

/// A row that trades in whole shares, with what is bought of it so far.
struct Whole<'v> {
    place: usize,
    vessel: Vessel,
    ceiling: Usd,
    row: &'v Valued<'v>,
    qty: Qty,
}

impl Whole<'_> {
    fn worth(&self) -> Usd {
        self.vessel.worth + self.qty * self.row.middle
    }

    /// How far it has come to what is desired.
    fn level(&self) -> Fraction {
        self.worth().over(self.vessel.desired)
    }

    /// How many shares it may still get: the last one while it is below what is desired.
    fn room(&self) -> Qty {
        let worth = self.worth();
        let shares = |room: Usd| room.max(Usd::ZERO).at(self.row.middle).floor_shares(false);
        if worth >= self.vessel.desired {
            return Qty::ZERO;
        }
        shares(self.ceiling - worth).min(shares(self.vessel.desired - worth) + Qty::ONE)
    }

    /// How many shares more, at least one; `None` when it is there or has no room. As many at once as bring it level with the
    /// `next` one that is behind; beside so many others that are level with it, a part of what it may have in the end.
    fn more(&self, next: Fraction, (left, others): (Usd, usize)) -> Option<Qty> {
        if !self.room().is_positive() {
            return None;
        }
        let worth = self.worth();
        let shares = |room: Usd| room.at(self.row.middle).floor_shares(false);
        let affordable = left.at(self.row.quote.ask);
        let among = Decimal::from(others).saturating_add(Decimal::ONE).saturating_mul(Decimal::TWO);
        let fair = Qty::new(affordable.decimal() / among).floor_shares(false);
        let level = shares(self.vessel.desired * next - worth).max(fair.min(shares(self.vessel.desired - worth)));
        Some(level.min(affordable.floor_shares(false)).max(Qty::ONE))
    }
}

fn cost((_, purchase): &(Usd, Purchase)) -> Usd {
    purchase.as_ref().map_or(Usd::ZERO, |(leg, _)| leg.value)
}
