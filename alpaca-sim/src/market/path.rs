//! The path of one symbol's price: from close to close over a seeded bridge, and the control side's changes to it.
//!
//! Always: the path meets every daily close exactly; within a step it stands still; it is a pure function of (seed,
//! symbol, session, step). A cent is the least move and two cents the least price, so that a quote fits around it.
#![expect(clippy::float_arithmetic, reason = "the price path is the one place where floats are at home")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "prices are far inside the range where cents and grid points are exact"
)]

use jiff::Timestamp;

use super::closes::Series;
use super::dice;

/// The bridge has this many grid points between two closes; a session spans most of them, about one a second.
const GRID: u32 = 1 << 15;
/// The night's share of the grid: the gap between a close and the next opening.
const NIGHT: u32 = GRID / 5;
/// The dearest price in cents.
const MOST: f64 = 1e13;

/// A change that the control side made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Change {
    /// A split: prices are multiplied, and history can be told in today's shares.
    Split(f64),
    /// A jump: prices are multiplied.
    Scale(f64),
    /// The price stands still here, in cents.
    Pin(f64),
    /// The price follows its path again.
    Release,
}

/// The sum of all changes up to a moment.
#[derive(Debug, Clone, Copy)]
struct State {
    from: Timestamp,
    factor: f64,
    /// Product of the splits alone.
    splits: f64,
    pin: Option<f64>,
}

/// One symbol's price.
#[derive(Debug)]
pub(crate) struct Path {
    series: Series,
    key: u64,
    /// Deviation of the bridge over a whole day, as a fraction of the price.
    wiggle: f64,
    states: Vec<State>,
}

impl Path {
    pub(crate) fn new(seed: u64, ticker: &str, series: Series) -> Self {
        let moves = series.closes.windows(2).map(|pair| (pair[1] / pair[0] - 1.0).abs());
        let mean = moves.sum::<f64>() / series.closes.len().max(1) as f64;
        Self { key: dice::text(seed, ticker), wiggle: (0.8 * mean).clamp(0.000_02, 0.05), series, states: Vec::new() }
    }

    /// Adds a change at a moment not before the last one.
    pub(crate) fn change(&mut self, from: Timestamp, change: Change) {
        let last = self.states.last().copied();
        let mut state = last.unwrap_or(State { from, factor: 1.0, splits: 1.0, pin: None });
        state.from = last.map_or(from, |last| last.from.max(from));
        match change {
            Change::Split(by) | Change::Scale(by) => {
                state.factor *= by;
                state.pin = state.pin.map(|pin| pin * by);
                if matches!(change, Change::Split(_)) {
                    state.splits *= by;
                }
            }
            Change::Pin(cents) => state.pin = Some(cents),
            Change::Release => state.pin = None,
        }
        self.states.push(state);
    }

    /// How many changes there have been.
    pub(crate) fn changes(&self) -> usize {
        self.states.len()
    }

    fn state(&self, at: Timestamp) -> Option<&State> {
        // Almost always empty or short, and the last one in force.
        self.states.iter().rev().find(|state| state.from <= at)
    }

    /// Product of all splits after a moment, up to another one.
    pub(crate) fn splits_between(&self, after: Timestamp, until: Timestamp) -> f64 {
        let upto = |at| self.state(at).map_or(1.0, |state| state.splits);
        upto(until) / upto(after)
    }

    /// The price in cents at the close of a session, with the changes in force at a moment.
    pub(crate) fn close_cents(&self, session: usize, at: Timestamp) -> i64 {
        self.adjusted(self.series.close(session), at)
    }

    /// The price in cents `second` seconds after the opening of a session that is `length` seconds long.
    pub(crate) fn cents(&self, session: usize, second: u32, length: u32, at: Timestamp) -> i64 {
        let close = self.series.close(session);
        let before = self.series.close(session.saturating_sub(1));
        let run = u64::from(GRID - NIGHT) * u64::from(second.min(length)) / u64::from(length.max(1));
        let point = NIGHT + u32::try_from(run).unwrap_or(0);
        let line = before + (close - before) * (f64::from(point) / f64::from(GRID));
        let swing = 1.0 + self.wiggle * bridge(dice::pair(self.key, session as u64), point);
        self.adjusted(line * swing, at)
    }

    fn adjusted(&self, price: f64, at: Timestamp) -> i64 {
        let cents = match self.state(at) {
            None => price * 100.0,
            Some(State { pin: Some(pin), .. }) => *pin,
            Some(state) => price * 100.0 * state.factor,
        };
        cents.round().clamp(2.0, MOST) as i64
    }
}

/// A Brownian bridge from 0 to 0 over the grid, in units of its day's deviation: halving intervals until the point.
fn bridge(key: u64, point: u32) -> f64 {
    let (mut low, mut high) = (0, GRID);
    let (mut at_low, mut at_high) = (0.0, 0.0);
    // Deviation of the middle of an interval of length 1, given its ends.
    let mut deviation = 0.5;
    while point != low && point != high {
        let middle = u32::midpoint(low, high);
        let value = 0.5 * (at_low + at_high) + deviation * dice::normal(dice::pair(key, u64::from(middle)));
        if point == middle {
            return value;
        }
        if point < middle {
            (high, at_high) = (middle, value);
        } else {
            (low, at_low) = (middle, value);
        }
        deviation *= std::f64::consts::FRAC_1_SQRT_2;
    }
    if point == low { at_low } else { at_high }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_arithmetic, clippy::float_cmp, clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn path() -> Path {
        Path::new(7, "ABC", Series { first: 0, closes: vec![100.0, 104.0, 101.0, 103.0] })
    }

    #[test]
    fn the_bridge_is_tied_at_both_ends_and_rough_between() {
        assert_eq!(bridge(1, 0), 0.0);
        assert_eq!(bridge(1, GRID), 0.0);
        let points: Vec<f64> = (0..400).map(|key| bridge(key, GRID / 2)).collect();
        let variance = points.iter().map(|point| point * point).sum::<f64>() / 400.0;
        assert!((variance - 0.25).abs() < 0.06, "{variance}");
        // Steps one grid point apart are as small as their distance says.
        let step = (bridge(3, 9_000) - bridge(3, 9_001)).abs();
        assert!(step < 5.0 / f64::from(GRID).sqrt(), "{step}");
    }

    #[test]
    fn the_path_meets_the_closes_and_stays_near_them() {
        let path = path();
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(path.cents(1, 23_400, 23_400, now), 10_400);
        assert_eq!(path.close_cents(2, now), 10_100);
        for second in (0..23_400).step_by(60) {
            let cents = path.cents(1, second, 23_400, now);
            assert!((9_300..11_200).contains(&cents), "{second}: {cents}");
        }
    }

    #[test]
    fn changes_begin_when_they_are_made_and_splits_are_told_apart() {
        let mut path = path();
        let at = |second| Timestamp::from_second(second).unwrap();
        path.change(at(10), Change::Split(0.5));
        path.change(at(20), Change::Scale(1.1));
        path.change(at(30), Change::Pin(5_000.0));
        path.change(at(40), Change::Release);
        let cents: Vec<i64> = [9, 10, 20, 30, 40].map(|second| path.close_cents(1, at(second))).to_vec();
        assert_eq!(cents, [10_400, 5_200, 5_720, 5_000, 5_720]);
        assert_eq!(path.splits_between(at(9), at(50)), 0.5);
        assert_eq!(path.splits_between(at(10), at(50)), 1.0);
    }
}
