//! As few orders as bring every holding inside its band.
//!
//! What must be traded is every holding outside its band; each may move any amount that ends inside. These amounts decide
//! how much cash comes in or goes out: an interval. If cash can stay at its target with an amount inside that interval,
//! nobody else trades. Else the gap is filled by holdings inside their bands, all on the same side, those with the most
//! room first; so no smaller number of them fills it. With fractions of shares, and no smallest order, this is the least
//! number of orders there is. Which amounts: as near to the targets as that number allows.

use crate::decide::drift::{Valuation, Valued};
use crate::model::money::{Fraction, Usd};
use crate::model::strategy::Strategy;

/// What a row may end at, as shares of what is left, and where it is meant to end.
#[derive(Debug, Clone, Copy)]
struct Room {
    lowest: Fraction,
    highest: Fraction,
    ends: Fraction,
    is_forced: bool,
    can_trade: bool,
}

/// Where each row is to go, as fractions of a portfolio that is worth `value`.
pub fn desired(strategy: &Strategy, valuation: &Valuation<'_>, value: Usd) -> Vec<Fraction> {
    let least = strategy.orders().min_notional.over(value);
    let mut rooms: Vec<Room> = valuation.rows.iter().map(|row| room(strategy, row, (value, least))).collect();
    // What open purchases may still take is no money for others.
    let kept = strategy.cash() + valuation.reserved.over(value);
    let cash = |rooms: &[Room]| Fraction::ONE - rooms.iter().map(|room| room.ends).sum::<Fraction>();
    // First the forced ones give way, then others help.
    let missing = kept - cash(&rooms);
    give_way(&mut rooms, missing);
    let missing = kept - cash(&rooms);
    // A cent is no reason for an order: it is what rounding leaves.
    if missing > Usd::CENT.over(value) {
        let deepest = |room: &Room| room.ends - room.lowest;
        helped(&mut rooms, missing, least, deepest, |room, by| room.ends -= by);
    } else if strategy.conditions().invest_cash && -missing >= least {
        let widest = |room: &Room| room.highest - room.ends;
        helped(&mut rooms, -missing, least, widest, |room, by| room.ends += by);
    }
    rooms.iter().map(|room| room.ends).collect()
}

fn room(strategy: &Strategy, row: &Valued<'_>, (value, least): (Usd, Fraction)) -> Room {
    let actual = row.worth.over(value);
    // Whose user keeps it from one side is left to the ordinary rules: it is no helper, and moves only if it must.
    let is_free = strategy.may_buy(row.symbol) && strategy.may_sell(row.symbol);
    let can_trade = row.tradable && !row.busy && is_free;
    let held = (row.worth - row.free_worth()).over(value);
    let (floor, ceiling) = (row.band.floor(row.target), row.band.ceiling(row.target));
    let is_forced = can_trade && (row.target.is_zero() || actual < floor || actual > ceiling);
    // Shares and dollars are rounded down: whoever goes to an edge stops two cents inside, else it would be outside again.
    let cents = (Usd::CENT + Usd::CENT).over(value);
    let floor = if floor.is_zero() { floor } else { (floor + cents).min(row.target) };
    let ceiling = if ceiling == Fraction::ONE { ceiling } else { (ceiling - cents).max(row.target) };
    // A row that must move goes by the smallest order at least; what other orders hold cannot be sold.
    let (lowest, highest) = if !is_forced {
        (floor, ceiling)
    } else if actual > row.target {
        (floor, ceiling.min(actual - least).max(floor))
    } else {
        (floor.max(actual + least).min(ceiling), ceiling)
    };
    let ends = if is_forced { row.target.clamp(lowest, highest) } else { actual };
    let ends = if actual > ends { ends.max(held) } else { ends };
    Room { lowest: lowest.max(held), highest, ends, is_forced, can_trade }
}

/// The forced rows end lower while cash is missing, or higher while there is too much: each in proportion to its room.
fn give_way(rooms: &mut [Room], missing: Fraction) {
    let room = |room: &Room| {
        let left = if missing.is_positive() { room.ends - room.lowest } else { room.highest - room.ends };
        if room.is_forced { left.max(Fraction::ZERO) } else { Fraction::ZERO }
    };
    let sum: Fraction = rooms.iter().map(room).sum();
    if sum.is_zero() {
        return;
    }
    let given = if missing.is_positive() { missing.min(sum) } else { (-missing).min(sum) };
    for place in rooms.iter_mut() {
        let by = (given * room(place)).over(sum);
        place.ends = if missing.is_positive() { place.ends - by } else { place.ends + by };
    }
}

/// Fills a gap with rows that need not move, those with the most room first; equal ones in the order of their symbols.
fn helped(
    rooms: &mut [Room],
    mut gap: Fraction,
    least: Fraction,
    left: impl Fn(&Room) -> Fraction,
    give: impl Fn(&mut Room, Fraction),
) {
    let mut helpers: Vec<&mut Room> = rooms.iter_mut().filter(|room| room.can_trade && !room.is_forced).collect();
    helpers.sort_by_key(|room| std::cmp::Reverse(left(room)));
    for helper in helpers {
        if !gap.is_positive() {
            return;
        }
        // The last one gives the smallest order at least.
        let by = gap.max(least).min(left(helper));
        if by >= least {
            give(helper, by);
            gap -= by;
        }
    }
}
