//! The only floats of the thinking: variances, covariances and the mix of least variance. They begin as exact prices and end
//! as decimals of twelve digits; `decide::compose` rounds those to weights that make a whole.
//!
//! One thread, one order of every sum: the same prices give the same digits.
#![allow(clippy::float_arithmetic, reason = "statistics are no money; what comes out is rounded by a named rule")]
#![allow(clippy::cast_precision_loss, clippy::as_conversions, reason = "counts of days and symbols are far below 2^53")]
#![allow(clippy::indexing_slicing, reason = "a square matrix is indexed by its own side")]

use clarabel::algebra::CscMatrix;
use clarabel::solver::{DefaultSettings, DefaultSolver, IPSolver, SolverStatus, SupportedConeT};
use rust_decimal::Decimal;
use rust_decimal::prelude::{FromPrimitive, ToPrimitive};

use crate::model::money::{Fraction, Price};

/// Decimals of a share on its way out of the floats.
const DIGITS: u32 = 12;

/// Daily returns, `p1 / p0 - 1`, oldest first.
fn returns(prices: &[Price]) -> Vec<f64> {
    let float = |price: &Price| price.decimal().to_f64().unwrap_or(f64::NAN);
    prices.windows(2).map(|pair| float(&pair[1]) / float(&pair[0]) - 1.0).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// A float to a decimal: rounded to twelve digits, and never below zero.
fn decimals(shares: &[f64]) -> Option<Vec<Decimal>> {
    let one = |share: &f64| Some(Decimal::from_f64(share.max(0.0))?.round_dp(DIGITS));
    shares.iter().map(one).collect()
}

/// Shares in inverse proportion to the standard deviation of the daily returns, none above `most`. What is cut off goes to the
/// others in the same proportion.
///
/// # Errors
/// The place of a symbol that did not move.
pub(super) fn inverse_volatility(prices: &[&[Price]], most: Fraction) -> Result<Vec<Decimal>, usize> {
    let mut shares = Vec::with_capacity(prices.len());
    for (place, prices) in prices.iter().enumerate() {
        let returns = returns(prices);
        let mean = mean(&returns);
        let squares: f64 = returns.iter().map(|one| (one - mean) * (one - mean)).sum();
        let deviation = (squares / (returns.len().max(2) - 1) as f64).sqrt();
        if !deviation.is_finite() || deviation < 1e-12 {
            return Err(place);
        }
        shares.push(1.0 / deviation);
    }
    capped(&mut shares, most.decimal().to_f64().unwrap_or(1.0));
    decimals(&shares).ok_or(0)
}

/// Scales to a sum of one with none above `most`.
fn capped(shares: &mut [f64], most: f64) {
    let mut is_capped = vec![false; shares.len()];
    for _ in 0..shares.len() {
        let taken = is_capped.iter().filter(|capped| **capped).count() as f64 * most;
        let free: f64 = shares.iter().zip(&is_capped).filter(|(_, capped)| !**capped).map(|(share, _)| share).sum();
        let mut again = false;
        for (share, is_capped) in shares.iter_mut().zip(&mut is_capped).filter(|(_, capped)| !**capped) {
            *share *= (1.0 - taken).max(0.0) / free;
            if *share > most {
                *is_capped = true;
                again = true;
            }
        }
        for (share, _) in shares.iter_mut().zip(&is_capped).filter(|(_, capped)| **capped) {
            *share = most;
        }
        if !again {
            return;
        }
    }
}

/// The covariances of daily returns, shrunk towards the same variance for all and no covariance, by the share that Ledoit and
/// Wolf found best ("A well-conditioned estimator for large-dimensional covariance matrices", 2004): with few days and many
/// symbols the sample's own covariances are mostly chance.
fn covariance(prices: &[&[Price]]) -> Vec<Vec<f64>> {
    let centred: Vec<Vec<f64>> = prices
        .iter()
        .map(|prices| {
            let returns = returns(prices);
            let mean = mean(&returns);
            returns.iter().map(|one| one - mean).collect()
        })
        .collect();
    let (side, days) = (centred.len(), centred.first().map_or(0, Vec::len));
    let count = days.max(1) as f64;
    let mut sample = vec![vec![0.0; side]; side];
    // The sum over days of the squared distance of each day's own matrix from the sample's.
    let mut noise = 0.0;
    for row in 0..side {
        for column in 0..side {
            let products = || centred[row].iter().zip(&centred[column]).map(|(a, b)| a * b);
            let average = products().sum::<f64>() / count;
            noise += products().map(|product| (product - average) * (product - average)).sum::<f64>();
            sample[row][column] = average;
        }
    }
    let width = side.max(1) as f64;
    let level = (0..side).map(|place| sample[place][place]).sum::<f64>() / width;
    let distance: f64 = (0..side)
        .flat_map(|row| (0..side).map(move |column| (row, column)))
        .map(|(row, column)| sample[row][column] - if row == column { level } else { 0.0 })
        .map(|gap| gap * gap)
        .sum::<f64>()
        / width;
    let noise = (noise / (count * count) / width).min(distance);
    let shrinkage = if distance > 0.0 { noise / distance } else { 0.0 };
    for (row, line) in sample.iter_mut().enumerate() {
        for (column, value) in line.iter_mut().enumerate() {
            *value = (1.0 - shrinkage) * *value + if row == column { shrinkage * level } else { 0.0 };
        }
    }
    sample
}

/// The shares of least variance, none below zero or above `most`; they add up to one. `None` when the solver finds none.
///
/// Minimise `w' C w` with `sum(w) = 1`, `0 <= w <= most`, by an interior point method.
pub(super) fn min_variance(prices: &[&[Price]], most: Fraction) -> Option<Vec<Decimal>> {
    let most = most.decimal().to_f64()?;
    let covariance = covariance(prices);
    let side = covariance.len();
    let level = (0..side).map(|place| covariance[place][place]).sum::<f64>() / side.max(1) as f64;
    if !level.is_finite() || level <= 0.0 {
        return None;
    }
    // In units of the mean variance, so that tolerances mean the same for calm and for wild markets.
    let objective: Vec<Vec<f64>> =
        covariance.iter().map(|row| row.iter().map(|value| 2.0 * value / level).collect()).collect();
    let upper = CscMatrix::from(&objective).to_triu();
    let mut rows = vec![vec![1.0; side]];
    let mut bounds = vec![1.0];
    for (sign, bound) in [(-1.0, 0.0), (1.0, most)] {
        for place in 0..side {
            let mut row = vec![0.0; side];
            row[place] = sign;
            rows.push(row);
            bounds.push(bound);
        }
    }
    let constraints = CscMatrix::from(&rows);
    let cones = [SupportedConeT::ZeroConeT(1), SupportedConeT::NonnegativeConeT(2 * side)];
    let settings = DefaultSettings { verbose: false, tol_gap_abs: 1e-12, tol_gap_rel: 1e-12, ..Default::default() };
    let mut solver = DefaultSolver::new(&upper, &vec![0.0; side], &constraints, &bounds, &cones, settings).ok()?;
    solver.solve();
    if solver.solution.status != SolverStatus::Solved {
        return None;
    }
    decimals(&solver.solution.x)
}
