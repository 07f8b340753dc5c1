//! What whole shares leave over or take too much of is made smaller: shares of one symbol are exchanged for shares of another,
//! and what is bought in any amount gives or takes the difference.
//!
//! Always after an exchange: less money is astray than before, which is what is missing anywhere below what is desired, and cash
//! that is left; nobody is further behind than the one that was furthest behind; nobody has lost more than one of its shares or
//! a fiftieth of what is desired, unless the one that was furthest behind has been raised by it; and what must stay beside whole
//! shares stays.

use rust_decimal::Decimal;

use crate::decide::allocate::Vessel;
use crate::decide::legs::{CUSHION, Purchase, of_shares};
use crate::decide::prices::highest;
use crate::decide::purchases::{Buyer, Whole, cost};
use crate::model::money::{Fraction, Qty, Usd};
use crate::model::strategy::OrderType;
use crate::model::verdict::SkipReason;

/// Exchanges of one plan at most.
const EXCHANGES: usize = 8;

/// How many shares of the dearer of two symbols are tried.
const SHARES: i64 = 3;

/// How many symbols may give, and how many may take: those that have the most to give or are furthest behind.
const SYMBOLS: usize = 24;

/// The part of what is desired that nobody loses more of, unless one share is more.
const FIFTIETH: Fraction = Fraction::new(Decimal::from_parts(2, 0, 0, false, 2));

/// What purchases leave, and who could give or take.
struct Rest<'v> {
    /// Of the budget.
    left: Usd,
    /// Of the cash, beside what must stay.
    beside: Usd,
    /// Money that is not where it should be.
    astray: Usd,
    /// How far the emptiest has come to what is desired.
    lowest: Fraction,
    /// What those that are bought in any amount can give, and take before they are full: at cost.
    give: Usd,
    take: Usd,
    wholes: Vec<Whole<'v>>,
}

/// So many shares of one row of whole shares; negative when it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    /// Its place among the rows of whole shares.
    whole: usize,
    shares: Qty,
}

/// Shares that one row gives, another takes, or both.
#[derive(Debug, Clone, Copy)]
struct Exchange {
    /// How much less is astray after it.
    gain: Usd,
    fewer: Option<Change>,
    more: Option<Change>,
}

impl Exchange {
    fn changes(&self) -> impl Iterator<Item = Change> {
        self.fewer.into_iter().chain(self.more)
    }
}

/// The most shares that a row of whole shares may give or take.
#[derive(Debug, Clone, Copy)]
struct Most {
    /// Its place among the rows of whole shares.
    whole: usize,
    shares: Qty,
}

impl Buyer<'_> {
    /// Exchanges shares as long as that leaves less astray, by the least order at least.
    pub(super) fn exchange(&self, vessels: &[Vessel], budget: Usd, bought: &mut Vec<(Usd, Purchase)>) {
        let floors = self.floors(vessels, bought);
        let none = vec![Usd::ZERO; vessels.len()];
        for _ in 0..EXCHANGES {
            let raised = || self.step((vessels, &none), budget, bought, true);
            match raised().or_else(|| self.step((vessels, &floors), budget, bought, false)) {
                Some(exchanged) => *bought = exchanged,
                None => return,
            }
        }
    }

    /// One exchange; `raises` asks for one after which the emptiest is fuller.
    fn step(
        &self,
        (vessels, floors): (&[Vessel], &[Usd]),
        budget: Usd,
        bought: &[(Usd, Purchase)],
        raises: bool,
    ) -> Option<Vec<(Usd, Purchase)>> {
        let least = self.strategy.orders().min_notional;
        let rest = self.rest((vessels, floors), budget, bought);
        if rest.astray < least {
            return None;
        }
        let exchange = self.best(&rest, floors, raises)?;
        let exchanged = self.exchanged(vessels, budget, (bought, &rest), exchange);
        let after = self.rest((vessels, floors), budget, &exchanged);
        // A budget keeps a cent back for each order that is rounded up to one.
        let is_paid = -after.left <= Usd::cents(vessels.len()) && !(-after.beside).is_positive();
        // What is bought in any amount shares a loss by how full each is.
        let is_kept = |((_, worth), floor): ((&Vessel, Usd), &Usd)| worth + Usd::cents(1) >= *floor;
        let is_even = if raises {
            after.lowest > rest.lowest
        } else {
            after.lowest >= rest.lowest && Self::worths(vessels, &exchanged).zip(floors).all(is_kept)
        };
        (is_paid && is_even && after.astray + least <= rest.astray).then_some(exchanged)
    }

    fn worths<'b>(vessels: &'b [Vessel], bought: &'b [(Usd, Purchase)]) -> impl Iterator<Item = (&'b Vessel, Usd)> {
        let moved = |purchase: &Purchase| purchase.as_ref().map_or(Usd::ZERO, |(_, moved)| *moved);
        vessels.iter().zip(bought).map(move |(vessel, (_, purchase))| (vessel, vessel.worth + moved(purchase)))
    }

    /// What each is worth at least after all exchanges that raise nobody.
    fn floors(&self, vessels: &[Vessel], bought: &[(Usd, Purchase)]) -> Vec<Usd> {
        Self::worths(vessels, bought)
            .map(|(vessel, worth)| {
                let share = self.valuation.rows.get(vessel.row).map_or(Usd::ZERO, |row| Qty::ONE * row.middle);
                (worth - share.max(vessel.desired * FIFTIETH)).max(vessel.worth)
            })
            .collect()
    }

    fn rest<'v>(&'v self, (vessels, floors): (&[Vessel], &[Usd]), budget: Usd, bought: &[(Usd, Purchase)]) -> Rest<'v> {
        let levels = Self::worths(vessels, bought).map(|(vessel, worth)| worth.over(vessel.desired));
        let lowest = levels.min().unwrap_or(Fraction::ONE).min(Fraction::ONE);
        let (mut give, mut take, mut missing) = (Usd::ZERO, Usd::ZERO, Usd::ZERO);
        for ((vessel, worth), floor) in Self::worths(vessels, bought).zip(floors) {
            let lacks = (vessel.desired - worth).max(Usd::ZERO);
            missing += lacks;
            if !self.is_whole(vessel) {
                give += (worth - (vessel.desired * lowest).max(*floor)).max(Usd::ZERO) * vessel.cost;
                take += lacks * vessel.cost;
            }
        }
        let left = budget - bought.iter().map(cost).sum::<Usd>();
        let beside = -self.short_of_cushion(bought).0;
        let wholes = vessels.iter().zip(bought).enumerate();
        Rest {
            left,
            beside,
            astray: missing + left.min(beside).max(Usd::ZERO),
            lowest,
            give,
            take,
            wholes: wholes.filter_map(|(place, one)| self.whole(place, one)).collect(),
        }
    }

    /// The exchange that leaves the least astray; one that fills the emptiest, if it is to be raised.
    fn best(&self, rest: &Rest<'_>, floors: &[Usd], raises: bool) -> Option<Exchange> {
        let (mut takers, givers) = (takers(rest), givers(rest, floors));
        if raises {
            let is_emptiest =
                |taker: &Most| rest.wholes.get(taker.whole).is_some_and(|whole| whole.level() == rest.lowest);
            takers.retain(is_emptiest);
        }
        let mut best: Option<Exchange> = None;
        let mut look = |fewer: Option<Change>, more: Option<Change>| {
            if let Some(gain) = self.gain(rest, fewer.into_iter().chain(more))
                && gain > best.map_or(Usd::ZERO, |best| best.gain)
            {
                best = Some(Exchange { gain, fewer, more });
            }
        };
        for giver in givers.iter().filter(|_| !raises) {
            look(Some(Change { whole: giver.whole, shares: -Qty::ONE }), None);
        }
        for taker in &takers {
            for few in Self::few().filter(|few| *few <= taker.shares) {
                look(None, Some(Change { whole: taker.whole, shares: few }));
            }
            for giver in givers.iter().filter(|giver| giver.whole != taker.whole) {
                self.between(rest, (giver, taker), &mut look);
            }
        }
        best
    }

    fn few() -> impl Iterator<Item = Qty> {
        (1..=SHARES).map(|shares| Qty::new(Decimal::from(shares)))
    }

    /// Looks at exchanges between two: of few shares of the one, and as many of the other as go with them.
    fn between(
        &self,
        rest: &Rest<'_>,
        (giver, taker): (&Most, &Most),
        look: &mut impl FnMut(Option<Change>, Option<Change>),
    ) {
        let price = |place: usize| rest.wholes.get(place).map(|whole| highest(whole.row, self.strategy));
        let (Some(given_at), Some(taken_at)) = (price(giver.whole), price(taker.whole)) else { return };
        let means = (rest.left + rest.give).min((rest.beside + rest.give) * Fraction::ONE.over(self.per_dollar()));
        let mut try_out = |fewer: Qty, more: Qty| {
            if fewer.is_positive() && fewer <= giver.shares && more.is_positive() && more <= taker.shares {
                let fewer = Change { whole: giver.whole, shares: -fewer };
                look(Some(fewer), Some(Change { whole: taker.whole, shares: more }));
            }
        };
        for few in Self::few() {
            let lacking = (few * taken_at - means).max(Usd::ZERO);
            let down = lacking.at(given_at).floor_shares(false);
            try_out(if down * given_at < lacking { down + Qty::ONE } else { down }, few);
            let paid = (few * given_at + means).max(Usd::ZERO);
            try_out(few, paid.at(taken_at).floor_shares(false).min(taker.shares));
        }
    }

    /// What a dollar of a purchase by whole shares needs, with what must stay beside it.
    fn per_dollar(&self) -> Fraction {
        if self.strategy.orders().kind == OrderType::Limit { Fraction::ONE } else { Fraction::ONE + CUSHION }
    }

    /// How much less is astray after these changes; `None` when they cannot be paid for.
    fn gain(&self, rest: &Rest<'_>, changes: impl Iterator<Item = Change>) -> Option<Usd> {
        let (mut spent, mut covered) = (Usd::ZERO, Usd::ZERO);
        for Change { whole, shares } in changes {
            let whole = rest.wholes.get(whole)?;
            let (worth, desired) = (whole.worth(), whole.vessel.desired);
            spent += shares * highest(whole.row, self.strategy);
            covered += (worth + shares * whole.row.middle).min(desired) - worth.min(desired);
        }
        let after = (rest.left - spent).min(rest.beside - spent * self.per_dollar());
        // What is missing is given by those that are bought in any amount, and what is over is taken.
        let parts = after.min(rest.take);
        if -parts > rest.give {
            return None;
        }
        let before = rest.left.min(rest.beside).max(Usd::ZERO);
        Some(covered + parts + before - (after - parts))
    }

    /// The purchases after an exchange.
    fn exchanged(
        &self,
        vessels: &[Vessel],
        budget: Usd,
        (bought, rest): (&[(Usd, Purchase)], &Rest<'_>),
        exchange: Exchange,
    ) -> Vec<(Usd, Purchase)> {
        let mut exchanged = bought.to_vec();
        for Change { whole, shares } in exchange.changes() {
            let Some(whole) = rest.wholes.get(whole) else { continue };
            let qty = whole.qty + shares;
            let order = if qty.is_positive() {
                of_shares(whole.row, self.strategy, qty)
            } else {
                Err(SkipReason::LessThanOneShare)
            };
            if let Some(slot) = exchanged.get_mut(whole.place) {
                *slot = (order.as_ref().map_or(Usd::ZERO, |(_, moved)| *moved), order);
            }
        }
        let by_shares = self.by_shares(vessels, &exchanged);
        let beside = (self.cash - by_shares * self.per_dollar()).floor_cents();
        self.pour_parts(vessels, (budget - by_shares).min(beside), &mut exchanged);
        exchanged
    }
}

/// Who may take shares, and how many, the furthest behind first.
fn takers(rest: &Rest<'_>) -> Vec<Most> {
    let mut takers: Vec<(Fraction, Most)> = Vec::new();
    for (place, whole) in rest.wholes.iter().enumerate() {
        let shares = whole.room();
        if shares.is_positive() {
            takers.push((whole.level(), Most { whole: place, shares }));
        }
    }
    takers.sort_unstable_by_key(|(level, most)| (*level, most.whole));
    takers.into_iter().map(|(_, most)| most).take(SYMBOLS).collect()
}

/// Who may give shares, and how many, whoever has the most to give first.
fn givers(rest: &Rest<'_>, floors: &[Usd]) -> Vec<Most> {
    let mut givers: Vec<(Usd, Most)> = Vec::new();
    for (place, whole) in rest.wholes.iter().enumerate() {
        let floor = (whole.vessel.desired * rest.lowest).max(floors.get(whole.place).copied().unwrap_or_default());
        let spare = (whole.worth() - floor).max(Usd::ZERO);
        let shares = spare.at(whole.row.middle).floor_shares(false).min(whole.qty);
        if shares.is_positive() {
            givers.push((spare, Most { whole: place, shares }));
        }
    }
    givers.sort_unstable_by_key(|(spare, most)| (std::cmp::Reverse(*spare), most.whole));
    givers.into_iter().map(|(_, most)| most).take(SYMBOLS).collect()
}
