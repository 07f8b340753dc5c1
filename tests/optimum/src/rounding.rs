//! A program in whole shares is the best rounding of the optimum in amounts of any size. What counts as one:
//!
//! | a plan that counts | |
//! | --- | --- |
//! | trades no more | nobody trades more than the optimum does, but for one share; who is sold by nobody there is not sold here |
//! | is as even | nobody who is behind stays further behind than the emptiest of the optimum, but for one of its shares |
//! | is as good | nobody stays further behind than the emptiest of our plan |
//! | arrives | who is above its destination goes at least to it, in whole shares where that does not pass its target |
//! | ours | our plan always counts, also where it breaks one of these |
//!
//! Where a destination is an interval (halfway, the band's edge), each row has one of its own here: what is missing when all
//! have gone there is drawn from those above their targets, and what is left goes to those below, in proportion to how far
//! each may still go. Otherwise the program could choose who gives, by whose spread is narrow.

use good_lp::ResolutionError;

use crate::case::Case;
use crate::problem::{Line, Mode, Problem};

/// Steps of the search for what is left: each shrinks the error by the spread, a fortieth at most.
const STEPS: usize = 8;

/// What a portfolio is worth once everything is where it is to go in amounts of any size, and no cash waits beside orders by
/// whole shares any more: the costs of the spread are paid. Targets are fractions of it, and it follows from the trades, so it
/// is a fixed point.
///
/// # Errors
/// The solver's own.
pub(crate) fn worth_once_done(case: &Case, mode: Mode) -> Result<f64, ResolutionError> {
    let mut worth = case.value();
    for _ in 0..STEPS {
        let mut free = Problem::new(case, mode, worth).evened().relaxed();
        free.market = false;
        let (sold, bought) = free.solve()?;
        let costs = free.lines.iter().zip(sold).zip(bought);
        let costs: f64 =
            costs.map(|((row, sold), bought)| sold * (1.0 - row.brings) + bought * (row.costs - 1.0)).sum();
        let next = case.value() - worth * costs;
        let is_done = (next - worth).abs() < 1e-12 * worth;
        worth = next;
        if is_done {
            break;
        }
    }
    Ok(worth)
}

impl Problem {
    /// The same program, with a destination of its own for each row where a whole interval was one. Towards its target anybody
    /// may go further.
    pub(crate) fn evened(&self) -> Self {
        let nears: Vec<f64> = self.lines.iter().map(near).collect();
        let ends: f64 = self.lines.iter().zip(&nears).map(|(line, near)| reach(line, *near)).sum();
        let left = 1.0 - self.cash_target - self.reserved - ends;
        let room = |(line, near): (&Line, &f64)| {
            let (end, most) = (reach(line, *near), reach(line, line.target));
            let room = if left > 0.0 { most - end } else { end - most };
            if (end - near).abs() < 1e-15 { room.max(0.0) } else { 0.0 }
        };
        let rooms: Vec<f64> = self.lines.iter().zip(&nears).map(room).collect();
        let all: f64 = rooms.iter().sum();
        let mut evened = self.clone();
        if all > 0.0 {
            let part = left.signum() * left.abs().min(all) / all;
            for ((line, near), room) in evened.lines.iter_mut().zip(nears).zip(rooms) {
                let to = near + part * room;
                (line.low, line.high) = (to.min(line.target), to.max(line.target));
            }
        }
        evened
    }

    /// The same program for those that round: `ours` always counts. Cash that must lie beside orders by whole shares comes
    /// back: nothing is sold for it, and nothing else is bought instead.
    ///
    /// # Errors
    /// The solver's own.
    pub(crate) fn rounding(&self, ours: (&[f64], &[f64])) -> Result<Self, ResolutionError> {
        let mut free = self.relaxed();
        free.market = false;
        let (sold, bought) = free.solve()?;
        let level = 1.0 - self.relaxed().level()?;
        let mut bound = self.clone();
        let shares: f64 = self.lines.iter().filter(|line| line.sell > 0.0).filter_map(Line::share).sum();
        bound.sales = (sold.iter().sum::<f64>() + shares).max(ours.0.iter().sum()) + 1e-9;
        let ours = ours.0.iter().zip(ours.1);
        for (((line, sold), bought), (we_sell, we_buy)) in bound.lines.iter_mut().zip(sold).zip(bought).zip(ours) {
            let one = line.share().unwrap_or_default() + 1e-9;
            let to_sell = if sold > 1e-9 { sold + one } else { 0.0 };
            let beyond = (line.worth - line.high).min(line.sell).max(0.0);
            line.sell = line.sell.min(to_sell.max(we_sell + 1e-9));
            line.buy = line.buy.min((bought + one).max(we_buy + 1e-9));
            line.floor = (line.low * level - line.price).min(line.worth - we_sell + we_buy) - 1e-9;
            let up = line.share().map_or(beyond, |share| (beyond / share - 1e-9).ceil() * share);
            let there = if up <= line.sell { up } else { beyond - line.price };
            line.leaves = there.min(*we_sell) - 1e-9;
        }
        Ok(bound)
    }
}

/// The nearest that a row is to go.
fn near(line: &Line) -> f64 {
    if line.worth > line.target { line.high.min(line.worth) } else { line.low.max(line.worth) }
}

/// How far it can go now.
fn reach(line: &Line, to: f64) -> f64 {
    let lowest = line.worth - line.free;
    to.max(lowest).min(if line.is_open { f64::INFINITY } else { line.worth })
}
