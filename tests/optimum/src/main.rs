//! The planner against a solver: many drawn accounts, each planned by the program and each written down again as a linear
//! program that HiGHS solves. `problem.rs` has the objective and the constraints, written from the account's numbers alone.
//!
//! Two claims are measured.
//!
//! - **Amounts of any size.** Each account is multiplied until a cent is less than a billionth of a billionth of it, so
//!   that cents, billionths of a share and the least order of a dollar leave the comparison. Then our plan and the optimum
//!   are the same within 1e-9 of the portfolio, in each measure, and the plan breaks no constraint by more.
//! - **Whole shares and least orders.** The accounts as they are, as a program in whole numbers. What is compared is money
//!   astray: outside its destination, or idle above the cash target. The gap is counted in shares of the cheapest symbol.

#![allow(clippy::float_arithmetic, reason = "a solver reckons in doubles; nothing here is traded")]

mod case;
mod draw;
mod fewest;
mod ours;
mod problem;
mod raise;
mod rounding;
mod solver;
mod tally;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use case::{Case, Destination, Orders};
use draw::{Family, draw};
use ours::{Ours, ours};
use problem::{Mode, Problem};
use tally::Tally;

/// How far our plan may be from the optimum, as a share of the portfolio.
const CONTINUOUS: f64 = 1e-9;

/// How far our plan in whole shares may be from the best one, in shares of the cheapest symbol: half of the cases within a
/// hundredth of one, 99 of 100 within one.
const ROUNDING: [(f64, f64); 2] = [(0.5, 0.01), (0.99, 1.0)];

/// What the solver can tell in whole numbers, as a share of the portfolio.
const TOLD: f64 = 1e-8;

/// What the program was asked for.
struct Asked {
    cases: u64,
    seed: u64,
    /// One case alone, with everything about it.
    show: Option<u64>,
}

fn asked() -> Result<Asked, String> {
    let mut asked = Asked { cases: 40_000, seed: 1, show: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let number = words.next().and_then(|text| text.parse().ok()).ok_or(format!("{word} wants a number"))?;
        match word.as_str() {
            "--cases" => asked.cases = number,
            "--seed" => asked.seed = number,
            "--show" => asked.show = Some(number),
            _ => return Err(format!("{word}: --cases N, --seed N or --show N")),
        }
    }
    Ok(asked)
}

/// Which problem a plan is an answer to; `None` for one that holds.
fn mode(case: &Case, ours: &Ours) -> Option<(Mode, &'static str)> {
    let rebalance = Mode::Rebalance(case.destination);
    match ours.reason.as_str() {
        "new_cash" if case.orders == Orders::BuyOnly => Some((Mode::Invest, "buy only")),
        "new_cash" => Some((Mode::Invest, "invest cash")),
        "raise_cash" => Some((rebalance, "cash below zero")),
        reason if case.only_outside && reason.starts_with("drift") => Some((rebalance, "only what is out of its band")),
        "drift_absolute" | "drift_relative" | "scheduled" => Some(match case.destination {
            Destination::Target => (rebalance, "to the target"),
            Destination::BandEdge => (rebalance, "to the band's edge"),
            Destination::Halfway => (rebalance, "halfway"),
        }),
        _ => None,
    }
}

/// What is said of a case in which something cannot be traded freely.
fn hindered(case: &Case) -> &'static str {
    if case.unhindered() { "" } else { ", hindered" }
}

/// Amounts of any size: the largest gap of any measure.
fn continuous(case: &Case, scratch: &Path, tally: &mut Tally, show: bool) -> Result<(), String> {
    if case.value() <= 0.0 {
        return Ok(()); // nothing to weigh
    }
    let mut factor = 1;
    while case.value() * (factor as f64) < 1e12 {
        factor *= 10;
    }
    let case = &case.times(factor);
    let ours = ours(case, scratch)?;
    let worth = ours.worth_after(case);
    if ours.trades() && case.orders == Orders::FewestTrades && ours.reason.starts_with("drift") {
        fewest::compare(case, &ours, worth, (tally, show));
        return Ok(());
    }
    // Cash below zero is a whole rebalance, unless the account only sells.
    if ours.reason == "raise_cash" && (case.orders == Orders::SellOnly || case.cash_cents >= 0) {
        raise::compare(case, &ours, (tally, show));
        return Ok(());
    }
    let Some((mode, name)) = mode(case, &ours) else { return Ok(()) };
    // Out of debt everything helps, and as few orders as possible are another program.
    let everybody = &Case { only_outside: case.only_outside && ours.reason != "raise_cash", ..case.clone() };
    if case.orders == Orders::FewestTrades && ours.reason == "raise_cash" {
        return Ok(());
    }
    let problem = Problem::new(everybody, mode, worth);
    let share = |amounts: &[f64]| amounts.iter().map(|amount| amount / worth).collect::<Vec<f64>>();
    let (sold, bought) = (share(&ours.sold), share(&ours.bought));
    let name = format!("any size, {name}{}{}", if case.limit_orders { ", limits" } else { "" }, hindered(case));
    let Ok((best_sold, best_bought)) = problem.relaxed().solve() else {
        tally.open(&name);
        return Ok(());
    };
    let (mine, best) = (problem.measures(&sold, &bought), problem.measures(&best_sold, &best_bought));
    // The first measure that differs decides; what comes after it may be better for that reason alone.
    let pairs = [
        (mine.short, best.short),
        // A share of the one that is furthest behind, as a share of the portfolio.
        (mine.empty * problem.smallest_behind(), best.empty * problem.smallest_behind()),
        (mine.outside, best.outside),
        (mine.idle, best.idle),
        (mine.turnover, best.turnover),
    ];
    let measured = pairs.iter().map(|(mine, best)| (mine - best).abs()).fold(0.0, f64::max);
    let broken = problem.broken(&sold, &bought);
    let gap = measured.max(broken);
    if show {
        println!("{case:#?}\n{:#}\n{mode:?} worth {worth} broken {broken:.3e}", ours.answer);
        println!("ours {mine:?}\nbest {best:?}\n{sold:?}\n{best_sold:?}\n{bought:?}\n{best_bought:?}");
    }
    tally.add(&name, gap, case.number);
    Ok(())
}

/// Whole shares and least orders: the gap in shares of the cheapest symbol.
fn whole(case: &Case, family: Family, scratch: &Path, tally: &mut Tally, show: bool) -> Result<(), String> {
    let ours = ours(case, scratch)?;
    let Some((mode, name)) = mode(case, &ours).filter(|_| ours.trades()) else { return Ok(()) };
    let kind = if family == Family::WholeShares { "whole shares" } else { "least order" };
    let name = format!("{kind}, {name}{}", if case.unhindered() { "" } else { ", hindered" });
    let Ok(worth) = rounding::worth_once_done(case, mode) else {
        tally.open(&name);
        return Ok(());
    };
    let share = |amounts: &[f64]| amounts.iter().map(|amount| amount / worth).collect::<Vec<f64>>();
    let (sold, bought) = (share(&ours.sold), share(&ours.bought));
    let Ok(problem) = Problem::new(case, mode, worth).evened().rounding((&sold, &bought)) else {
        tally.open(&name);
        return Ok(());
    };
    let mine = problem.measures(&sold, &bought);
    // An optimum of the program without whole numbers that is as good proves ours at once.
    let Ok(bound) = problem.relaxed().astray(mine.empty, false) else {
        tally.open(&name);
        return Ok(());
    };
    let bound = problem.measures(&bound.0, &bound.1);
    let in_shares = |astray: f64| ((mine.astray() - astray) / problem.cheapest).max(0.0);
    let mut best = bound;
    if in_shares(bound.astray()) > 0.01 {
        match problem.astray(mine.empty, true) {
            Ok((sold, bought)) => best = problem.measures(&sold, &bought),
            Err(_) => {
                tally.open(&name);
                return Ok(());
            }
        }
    }
    if show {
        println!("{case:#?}\n{:#}\n{mode:?} worth {worth}", ours.answer);
        println!("ours {mine:?}\nbest {best:?}\nbound {bound:?}\n{sold:?}\n{bought:?}");
    }
    // Our plan is one of those that count: the best one is worse by no more than the solver can tell.
    let lost = best.astray() - mine.astray();
    if lost > TOLD && !show {
        return Err(format!(
            "the best rounding is worse than our plan by {lost:.1e} of the portfolio, and ours is one"
        ));
    }
    tally.add(&name, in_shares(best.astray()), case.number);
    Ok(())
}

fn one(asked: &Asked, number: u64, scratch: &Path, tally: &mut Tally) -> Result<(), String> {
    let (case, family) = draw(asked.seed, number);
    let show = asked.show.is_some();
    match family {
        Family::Continuous => continuous(&case, scratch, tally, show),
        _ => whole(&case, family, scratch, tally, show),
    }
    .map_err(|why| format!("case {number}: {why}"))
}

fn compare(asked: &Asked) -> Result<Tally, String> {
    let folder = std::env::temp_dir().join(format!("rebalanced-optimum-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let numbers = asked.show.map_or(0..asked.cases, |number| number..number + 1);
    let parts = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|worker| {
                let (numbers, scratch) = (numbers.clone(), folder.join(format!("{worker}.toml")));
                scope.spawn(move || {
                    let mut tally = Tally::default();
                    for number in numbers.filter(|number| number % 2 == worker) {
                        one(asked, number, &scratch, &mut tally)?;
                    }
                    Ok::<Tally, String>(tally)
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().map_err(|_| "a worker stopped".to_owned())?).collect::<Vec<_>>()
    });
    let _ = std::fs::remove_dir_all(&folder);
    let mut tally = Tally::default();
    for part in parts {
        tally.take(part?);
    }
    Ok(tally)
}

fn main() -> ExitCode {
    let begin = Instant::now();
    let tally = asked().and_then(|asked| {
        println!("seed {}, {} drawn; those that trade are compared", asked.seed, asked.cases);
        compare(&asked)
    });
    let mut tally = match tally {
        Ok(tally) => tally,
        Err(why) => {
            eprintln!("optimum: {why}");
            return ExitCode::FAILURE;
        }
    };
    let head = |unit: &str| println!("\n{:<54} {:>7} {:>10} {:>10} {:>10}", unit, "cases", "median", "p99", "worst");
    head("gap as a share of the portfolio");
    let (text, mut beyond) = tally.table("any size", &[(1.0, CONTINUOUS)]);
    print!("{text}");
    head("gap in shares of the cheapest symbol");
    for kind in ["least order", "whole shares"] {
        let (text, more) = tally.table(kind, &ROUNDING);
        print!("{text}");
        beyond.extend(more);
    }
    println!("\n{} cases compared in {:.0} s", tally.cases(), begin.elapsed().as_secs_f64());
    for line in &beyond {
        eprintln!("too far: {line}");
    }
    if beyond.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
