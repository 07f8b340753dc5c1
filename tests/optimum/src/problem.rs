//! A case as a linear program. It is written from the numbers of the case alone, and from what the portfolio is worth
//! afterwards, because that is what weights are fractions of: in amounts of any size that is the one figure that it takes of
//! our plan, in whole shares it is found here as well (`rounding.rs`). No plan that is measured by the same figure can be
//! better than the optimum found here.
//!
//! With `s` and `b` for what a row sells and buys at the middle of its quote, `x = worth - s + b` for what it is worth
//! afterwards, `g` for its target and `[lo, hi]` for its destination, all in fractions of that figure:
//!
//! | constraint | |
//! | --- | --- |
//! | a row that is untradable or has an open order | `s = b = 0` |
//! | no sale beyond what is free | `s <= free` |
//! | nobody crosses its target | `s <= worth - g` above it, `b <= g - worth` below it |
//! | cash | `cash + sales at the bid - purchases at the ask >= reserved + cash target - short` |
//! | beside market orders by whole shares | the same cash `>= 0.04 * their cost - short` (the broker may reserve it) |
//! | whole shares | `s`, `b` are whole multiples of the price |
//! | least order | an order is nothing, or worth the least |
//!
//! | what is as small as can be, the first first | |
//! | --- | --- |
//! | `short` | dollars that cash is below its target: nothing is bought with money that is not there |
//! | `empty` | how far the emptiest row below its destination stays from it, as a share of it: who is furthest behind is helped first |
//! | `outside` | dollars that open rows are outside their destination |
//! | `idle` | dollars of cash above its target, and above what must lie beside market orders by whole shares |
//! | `turnover` | values of all orders |
//!
//! The first two are two programs of their own, whose results bind the next; the last three are one objective with weights
//! far enough apart that none is ever exchanged for a later one: a dollar moved changes each of them by at most a few
//! dollars. In whole numbers `short`, `outside` and `idle` are one measure, money astray, and the plans that count are those
//! that round the optimum in amounts of any size (`rounding.rs`).

use good_lp::{
    Expression, ProblemVariables, ResolutionError, Solution, SolutionStatus, SolverModel, Variable, constraint,
    variable,
};

use crate::case::{Case, Destination};
use crate::solver::solver;

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// New cash buys what is below its target; nothing is sold.
    Invest,
    /// Everything to its destination.
    Rebalance(Destination),
}

/// What each row sells, and what each buys, at the middle.
pub(crate) type Amounts = (Vec<f64>, Vec<f64>);

/// How much later programs may lose of what an earlier one found: the least at which the solver finds an answer.
const SLACKS: [f64; 4] = [1e-11, 1e-10, 3e-10, 6e-10];

/// What one program is to make small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    Short,
    Level,
    Rest,
    Astray,
}

/// What earlier programs found.
#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    short: Option<f64>,
    empty: Option<f64>,
}

/// The measures, as fractions of the portfolio; `empty` as one of the row's destination.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measures {
    pub(crate) short: f64,
    pub(crate) empty: f64,
    pub(crate) outside: f64,
    pub(crate) idle: f64,
    pub(crate) turnover: f64,
}

impl Measures {
    /// Money that is not where it should be.
    pub(crate) fn astray(&self) -> f64 {
        self.short + self.outside + self.idle
    }
}

/// One row of the program: everything in fractions of the portfolio.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    pub(crate) worth: f64,
    pub(crate) target: f64,
    /// Its destination.
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// The most that may be sold and bought.
    pub(crate) sell: f64,
    pub(crate) buy: f64,
    /// What a dollar at the middle brings and costs.
    pub(crate) brings: f64,
    pub(crate) costs: f64,
    /// One share, and whether only whole ones trade.
    pub(crate) price: f64,
    is_whole: bool,
    /// What could be sold if it were above its target, and whether it can be traded at all.
    pub(crate) free: f64,
    pub(crate) is_open: bool,
    /// The least that it is worth afterwards, if it is behind, and the least that it sells: where a plan is rounded.
    pub(crate) floor: f64,
    pub(crate) leaves: f64,
}

impl Line {
    /// Whether it may be bought and is below its destination.
    fn is_behind(&self) -> bool {
        self.buy > 0.0 && self.low > self.worth
    }

    /// One share, where only whole ones trade.
    pub(crate) fn share(&self) -> Option<f64> {
        self.is_whole.then_some(self.price)
    }
}

/// A case, ready to be solved.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) lines: Vec<Line>,
    cash: f64,
    pub(crate) reserved: f64,
    pub(crate) cash_target: f64,
    /// The smallest order; nothing where it does not matter.
    least: f64,
    pub(crate) market: bool,
    /// The most that all sales together may be, at the middle.
    pub(crate) sales: f64,
    /// One share of the cheapest symbol that can be traded.
    pub(crate) cheapest: f64,
}

impl Problem {
    /// `worth` is what the portfolio is worth after our plan.
    pub(crate) fn new(case: &Case, mode: Mode, worth: f64) -> Self {
        let mut lines = Vec::new();
        for row in &case.rows {
            let (at, target) = (row.worth() / worth, row.target());
            let (low, high) = match (mode, case.band(row)) {
                (Mode::Rebalance(_), Some(band)) if case.only_outside && (at - target).abs() <= band => {
                    (at.min(target), at.max(target))
                }
                (Mode::Rebalance(Destination::Halfway), _) => {
                    let half = (at + target) / 2.0;
                    (half.min(target), half.max(target))
                }
                (Mode::Rebalance(Destination::BandEdge), Some(band)) => ((target - band).max(0.0), target + band),
                _ => (target, target),
            };
            let sells = row.open() && mode != Mode::Invest;
            let above = (at - target).max(0.0);
            lines.push(Line {
                worth: at,
                target,
                low,
                high,
                sell: if sells { above.min(row.sellable() / worth) } else { 0.0 },
                buy: if row.open() { (target - at).max(0.0) } else { 0.0 },
                brings: case.brings(row),
                costs: case.costs(row),
                price: row.middle() / worth,
                is_whole: !row.split,
                free: if sells { row.sellable() / worth } else { 0.0 },
                is_open: row.open(),
                floor: 0.0,
                leaves: 0.0,
            });
        }
        let asks = case.rows.iter().filter(|row| row.open()).map(|row| row.ask() / worth);
        Self {
            lines,
            cash: case.cash() / worth,
            reserved: case.reserved() / worth,
            cash_target: case.cash_target as f64 / 10_000.0,
            least: case.least as f64 / worth,
            market: !case.limit_orders,
            sales: f64::INFINITY,
            cheapest: asks.fold(f64::INFINITY, f64::min),
        }
    }

    /// Without what makes it a program in whole numbers: whole shares and least orders.
    pub(crate) fn relaxed(&self) -> Self {
        let mut relaxed = self.clone();
        relaxed.least = 0.0;
        relaxed
    }

    /// How a plan measures: sales and purchases at the middle, in fractions of the portfolio.
    pub(crate) fn measures(&self, sold: &[f64], bought: &[f64]) -> Measures {
        let mut measures = Measures::default();
        let mut cash = self.cash - self.reserved;
        for ((line, sold), bought) in self.lines.iter().zip(sold).zip(bought) {
            let after = line.worth - sold + bought;
            if line.sell > 0.0 || line.buy > 0.0 {
                measures.outside += (line.low - after).max(after - line.high).max(0.0);
            }
            if line.is_behind() {
                measures.empty = measures.empty.max(1.0 - after / line.low);
            }
            cash += sold * line.brings - bought * line.costs;
            measures.turnover += sold * line.brings + bought * line.costs;
        }
        measures.short = (self.cash_target - cash).max(0.0);
        let by_shares = self.lines.iter().zip(bought).filter(|(line, _)| line.is_whole && self.market);
        let cushion: f64 = by_shares.map(|(line, bought)| 0.04 * line.costs * bought).sum();
        measures.idle = (cash - self.cash_target.max(cushion)).max(0.0);
        measures
    }

    /// The largest amount by which a plan breaks a constraint, as a fraction of the portfolio; a shortage of cash counts
    /// where something is bought.
    pub(crate) fn broken(&self, sold: &[f64], bought: &[f64]) -> f64 {
        let mut most = 0.0_f64;
        for ((line, sold), bought) in self.lines.iter().zip(sold).zip(bought) {
            most = most.max(sold - line.sell).max(bought - line.buy);
        }
        let buys = bought.iter().any(|bought| *bought > 0.0);
        if buys { most.max(self.measures(sold, bought).short) } else { most }
    }

    /// How far the emptiest stays behind at the least.
    ///
    /// # Errors
    /// The solver's own.
    pub(crate) fn level(&self) -> Result<f64, ResolutionError> {
        let mut found = Err(ResolutionError::Infeasible);
        for slack in SLACKS {
            found = self.program(Goal::Short, false, Bounds::default()).and_then(|least| {
                let short = Some(self.measures(&least.0, &least.1).short + slack);
                let level = self.program(Goal::Level, false, Bounds { short, empty: None })?;
                Ok(self.measures(&level.0, &level.1).empty)
            });
            if !matches!(found, Err(ResolutionError::Infeasible)) {
                break;
            }
        }
        found
    }

    /// The smallest destination of a row that is behind its own.
    pub(crate) fn smallest_behind(&self) -> f64 {
        self.lines.iter().filter(|line| line.is_behind()).map(|line| line.low).fold(1.0, f64::min)
    }

    /// The optimum in amounts of any size: what each row sells and buys.
    ///
    /// # Errors
    /// The solver's own.
    pub(crate) fn solve(&self) -> Result<Amounts, ResolutionError> {
        let mut found = Err(ResolutionError::Infeasible);
        for slack in SLACKS {
            found = self.in_stages(slack);
            if !matches!(found, Err(ResolutionError::Infeasible)) {
                break;
            }
        }
        found
    }

    fn in_stages(&self, slack: f64) -> Result<Amounts, ResolutionError> {
        let mut bounds = Bounds::default();
        let least = self.program(Goal::Short, false, bounds)?;
        bounds.short = Some(self.measures(&least.0, &least.1).short + slack);
        let level = self.program(Goal::Level, false, bounds)?;
        bounds.empty = Some(self.measures(&level.0, &level.1).empty + slack);
        self.program(Goal::Rest, false, bounds)
    }

    /// The least money astray of all plans that leave nobody further behind than `empty`: in whole shares and least
    /// orders, or without them, which no plan can be better than.
    ///
    /// # Errors
    /// The solver's own.
    pub(crate) fn astray(&self, empty: f64, whole: bool) -> Result<Amounts, ResolutionError> {
        self.program(Goal::Astray, whole, Bounds { short: None, empty: Some(empty + 1e-9) })
    }

    fn program(&self, goal: Goal, whole: bool, bounds: Bounds) -> Result<Amounts, ResolutionError> {
        let mut vars = ProblemVariables::new();
        let mut rules = Vec::new();
        let mut kept: Expression = (self.cash - self.reserved).into();
        let mut turnover = Expression::default();
        let mut outside = Expression::default();
        let mut cushion = Expression::default();
        let empty = vars.add(variable().min(0.0).max(bounds.empty.unwrap_or(1.0)));
        let (mut sells, mut buys) = (Vec::new(), Vec::new());
        for line in &self.lines {
            let sold = self.amount(&mut vars, &mut rules, (line.sell, line.brings, line.share()), whole);
            let bought = self.amount(&mut vars, &mut rules, (line.buy, line.costs, line.share()), whole);
            kept += line.brings * sold.clone() - line.costs * bought.clone();
            turnover += line.brings * sold.clone() + line.costs * bought.clone();
            if line.is_whole && self.market {
                cushion += 0.04 * line.costs * bought.clone();
            }
            if line.sell > 0.0 || line.buy > 0.0 {
                let out = vars.add(variable().min(0.0));
                let after = line.worth - sold.clone() + bought.clone();
                rules.push(constraint!(out >= line.low - after.clone()));
                rules.push(constraint!(out >= after.clone() - line.high));
                if line.is_behind() {
                    rules.push(constraint!(after.clone() + line.low * empty >= line.low));
                    if line.floor > 0.0 {
                        rules.push(constraint!(after >= line.floor));
                    }
                }
                outside += out;
            }
            if line.leaves > 0.0 {
                rules.push(constraint!(sold.clone() >= line.leaves));
            }
            sells.push(sold);
            buys.push(bought);
        }
        if self.sales.is_finite() {
            let all: Expression = sells.iter().cloned().sum();
            rules.push(constraint!(all <= self.sales));
        }
        let short = vars.add(variable().min(0.0).max(bounds.short.unwrap_or(f64::INFINITY)));
        let idle = vars.add(variable().min(0.0));
        rules.push(constraint!(kept.clone() + short >= self.cash_target));
        rules.push(constraint!(kept.clone() + short >= cushion.clone()));
        // Above its target and above the cushion: whichever is more, and that is a choice.
        let above = if self.market && self.lines.iter().any(|line| line.is_whole) && goal == Goal::Astray {
            let (stays, by_target) = (vars.add(variable().min(0.0)), vars.add(variable().binary()));
            rules.push(constraint!(stays <= self.cash_target + 1.0 - by_target));
            rules.push(constraint!(stays <= cushion.clone() + by_target));
            stays.into()
        } else {
            Expression::from(self.cash_target)
        };
        rules.push(constraint!(idle >= kept.clone() - above));
        let is_choice = goal == Goal::Astray;
        let goal = match goal {
            Goal::Short => short.into(),
            Goal::Level => empty.into(),
            Goal::Rest => 100.0 * outside + 10.0 * idle + turnover,
            // In whole shares what is bought leaves both `outside` and `idle`; they are one measure, money astray.
            Goal::Astray => 1000.0 * short + outside + idle,
        };
        let mut model = solver(vars.minimise(goal));
        // Also without whole shares, what must stay beside them is a choice.
        if is_choice {
            model = model
                .set_option("mip_feasibility_tolerance", 1e-9)
                .set_option("mip_rel_gap", 0.0)
                .set_option("mip_abs_gap", self.cheapest / 1_000.0)
                .set_option("time_limit", 5.0);
        }
        for rule in rules {
            model = model.with(rule);
        }
        let solution = model.solve()?;
        if matches!(solution.status(), SolutionStatus::TimeLimit) {
            return Err(ResolutionError::Other("no proof in time"));
        }
        let values =
            |amounts: &[Expression]| amounts.iter().map(|amount| solution.eval(amount.clone())).collect::<Vec<f64>>();
        Ok((values(&sells), values(&buys)))
    }

    /// An amount from nothing to `most`: any, or in whole shares and at least the least order.
    fn amount(
        &self,
        vars: &mut ProblemVariables,
        rules: &mut Vec<good_lp::Constraint>,
        (most, price, share): (f64, f64, Option<f64>),
        whole: bool,
    ) -> Expression {
        if most <= 0.0 {
            return Expression::default();
        }
        let share = share.filter(|_| whole);
        let amount: Expression = match share {
            Some(share) => {
                // What is a whole number but for the last digits of a double is one.
                let shares: Variable = vars.add(variable().integer().min(0.0).max((most / share + 1e-9).floor()));
                share * shares
            }
            None => vars.add(variable().min(0.0).max(most)).into(),
        };
        if whole && self.least > 0.0 {
            let ordered = vars.add(variable().binary());
            rules.push(constraint!(amount.clone() <= most * ordered));
            rules.push(constraint!(price * amount.clone() >= self.least * ordered));
        }
        amount
    }
}
