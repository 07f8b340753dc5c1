//! As few orders as bring every holding inside its band, as a program with one yes-or-no for each row: whether it is traded.
//! With `s` and `b` for what a row sells and buys at the middle, and everything as a fraction of what the portfolio is worth
//! afterwards:
//!
//! | constraint | |
//! | --- | --- |
//! | a row that is untradable or has an open order | `s = b = 0` |
//! | no sale beyond what is free | `s <= free` |
//! | every row that can be traded ends inside its band | `floor <= worth - s + b <= ceiling` |
//! | cash | at its target or above; with `invest_cash` at its target |
//!
//! What is as small as can be: the number of rows that are traded.

use good_lp::{Expression, ProblemVariables, ResolutionError, Solution, SolverModel, constraint, variable};

use crate::case::{Case, Row};
use crate::hindered;
use crate::ours::Ours;
use crate::solver::solver;
use crate::tally::Tally;

/// What the sums may be off: the solver's own digits.
const SLACK: f64 = 1e-9;

fn count(case: &Case, worth: f64) -> Result<usize, ResolutionError> {
    let mut vars = ProblemVariables::new();
    let mut rules = Vec::new();
    let mut cash: Expression = ((case.cash() - case.reserved()) / worth).into();
    let mut traded = Expression::default();
    for row in case.rows.iter().filter(|row| row.open()) {
        let at = row.worth() / worth;
        let (is_traded, sells) = (vars.add(variable().binary()), vars.add(variable().binary()));
        let sold = vars.add(variable().min(0.0).max(row.sellable() / worth));
        let bought = vars.add(variable().min(0.0).max(1.0));
        // One side alone.
        rules.push(constraint!(sold <= sells));
        rules.push(constraint!(bought <= 1.0 - sells));
        rules.push(constraint!(sold + bought <= 2.0 * is_traded));
        let (floor, ceiling) = bounds(case, row);
        rules.push(constraint!(at - sold + bought >= floor - SLACK));
        rules.push(constraint!(at - sold + bought <= ceiling + SLACK));
        cash += case.brings(row) * sold - case.costs(row) * bought;
        traded += is_traded;
    }
    let target = case.cash_target as f64 / 10_000.0;
    rules.push(constraint!(cash.clone() >= target - SLACK));
    if case.invest_cash {
        rules.push(constraint!(cash <= target + SLACK));
    }
    let mut model = solver(vars.minimise(traded.clone()))
        .set_option("mip_feasibility_tolerance", 1e-10)
        .set_option("time_limit", 5.0);
    for rule in rules {
        model = model.with(rule);
    }
    let solution = model.solve()?;
    if matches!(solution.status(), good_lp::SolutionStatus::TimeLimit) {
        return Err(ResolutionError::Other("no proof in time"));
    }
    Ok(solution.eval(traded).round() as usize)
}

/// The band of a row, as shares of the portfolio.
fn bounds(case: &Case, row: &Row) -> (f64, f64) {
    let band = case.band(row).unwrap_or(1.0);
    ((row.target() - band).max(0.0), (row.target() + band).min(1.0))
}

/// Compares how many orders there are; an order more than the optimum is a gap of one. A plan that leaves a row outside its
/// band or cash below its target is a gap as well. Where no plan can do it all there is nothing to compare.
pub(crate) fn compare(case: &Case, ours: &Ours, worth: f64, (tally, show): (&mut Tally, bool)) {
    let name = format!("any size, fewest trades{}", hindered(case));
    let least = match count(case, worth) {
        // A row is outside its band by less than the solver can tell.
        Ok(0) => return,
        Ok(least) => least,
        Err(ResolutionError::Infeasible) => return,
        Err(_) => {
            tally.open(&name);
            return;
        }
    };
    let outside = case.rows.iter().zip(ours.after(case)).filter(|(row, _)| row.open()).map(|(row, after)| {
        let (floor, ceiling) = bounds(case, row);
        (floor - after / worth).max(after / worth - ceiling)
    });
    let kept = worth - ours.after(case).iter().sum::<f64>() - case.reserved();
    let short = case.cash_target as f64 / 10_000.0 - kept / worth;
    let broken = outside.fold(short, f64::max).max(0.0);
    if show {
        println!("{case:#?}\n{:#}\nours {} orders, least {least}, broken {broken:.3e}", ours.answer, ours.orders());
    }
    let more = ours.orders() as f64 - least as f64;
    tally.add(&name, more.abs().max(broken), case.number);
}
