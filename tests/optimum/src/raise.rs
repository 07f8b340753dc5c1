//! Cash that is raised by sales alone, as a linear program. With `s` for what a row sells at the middle, and everything as a
//! fraction of the portfolio before:
//!
//! | constraint | |
//! | --- | --- |
//! | a row that is untradable or has an open order | `s = 0` |
//! | no sale beyond what is free | `s <= free` |
//! | nothing is sold that is not wanted | what all sales bring is at most what is wanted |
//!
//! | what is as small as can be, the first first | |
//! | --- | --- |
//! | `short` | what is wanted, less what all sales bring |
//! | `full` | how far above its target the fullest row stays that can be sold, `(worth - s) / target` |

use good_lp::{Expression, ProblemVariables, ResolutionError, Solution, SolverModel, constraint, variable};

use crate::case::Case;
use crate::hindered;
use crate::ours::Ours;
use crate::solver::solver;
use crate::tally::Tally;

/// A row that can be sold.
struct Line {
    worth: f64,
    free: f64,
    target: f64,
    brings: f64,
}

/// What is to be raised, and from whom.
struct Raise {
    wanted: f64,
    lines: Vec<Line>,
    /// Of each row that can be sold, what our plan sells.
    ours: Vec<f64>,
}

/// What the sums may be off: the solver's own digits.
const SLACK: f64 = 1e-10;

/// The measures, in the order in which they count.
type Measures = [f64; 2];

impl Raise {
    fn new(case: &Case, ours: &Ours) -> Self {
        let value = case.value();
        let wanted = case.cash_target as f64 / 10_000.0 + (case.reserved() - case.cash()) / value;
        let can_be_sold = case.rows.iter().zip(&ours.sold).filter(|(row, _)| row.open() && row.free > 0);
        let line = |row: &crate::case::Row| Line {
            worth: row.worth() / value,
            free: row.sellable() / value,
            target: row.target(),
            brings: case.brings(row),
        };
        let (lines, ours) = can_be_sold.map(|(row, sold)| (line(row), sold / value)).unzip();
        Self { wanted: wanted.max(0.0), lines, ours }
    }

    fn measures(&self, sold: &[f64]) -> Measures {
        let brought: f64 = self.lines.iter().zip(sold).map(|(line, sold)| line.brings * sold).sum();
        let full = self.lines.iter().zip(sold).map(|(line, sold)| (line.worth - sold) / line.target);
        [(self.wanted - brought).max(0.0), full.fold(0.0, f64::max)]
    }

    /// The least of one measure when those before it are no worse than `bounds`.
    fn program(&self, bounds: &[f64]) -> Result<Vec<f64>, ResolutionError> {
        let mut vars = ProblemVariables::new();
        let bound = |place: usize| bounds.get(place).copied().unwrap_or(f64::INFINITY);
        let short = vars.add(variable().min(0.0).max(bound(0)));
        let full = vars.add(variable().min(0.0).max(bound(1)));
        let sold: Vec<_> = self.lines.iter().map(|line| vars.add(variable().min(0.0).max(line.free))).collect();
        let brought: Expression = self.lines.iter().zip(&sold).map(|(line, sold)| line.brings * *sold).sum();
        let goal: Expression = if bounds.is_empty() { short.into() } else { full.into() };
        let mut model = solver(vars.minimise(goal))
            .with(constraint!(brought.clone() <= self.wanted + SLACK))
            .with(constraint!(brought + short >= self.wanted));
        for (line, sold) in self.lines.iter().zip(&sold) {
            model = model.with(constraint!(line.target * full + *sold >= line.worth));
        }
        let solution = model.solve()?;
        Ok(sold.iter().map(|sold| solution.value(*sold)).collect())
    }

    fn best(&self) -> Result<Vec<f64>, ResolutionError> {
        let [short, _] = self.measures(&self.program(&[])?);
        self.program(&[short + SLACK])
    }
}

/// Compares our plan with the optimum: the largest gap of any measure, a row's fullness as a share of the portfolio.
pub(crate) fn compare(case: &Case, ours: &Ours, (tally, show): (&mut Tally, bool)) {
    let raise = Raise::new(case, ours);
    let name = format!("any size, cash raised by sales{}", hindered(case));
    let Ok(best) = raise.best() else {
        tally.open(&name);
        return;
    };
    let least = raise.lines.iter().map(|line| line.target).fold(1.0, f64::min);
    let (mine, theirs) = (raise.measures(&raise.ours), raise.measures(&best));
    let gap = [mine[0] - theirs[0], (mine[1] - theirs[1]) * least];
    let brought: f64 = raise.lines.iter().zip(&raise.ours).map(|(line, sold)| line.brings * sold).sum();
    let unwanted = (brought - raise.wanted).max(0.0);
    let broken = raise.lines.iter().zip(&raise.ours).map(|(line, sold)| sold - line.free).fold(unwanted, f64::max);
    if show {
        println!("{case:#?}\n{:#}\nours {mine:?} {:?}\nbest {theirs:?} {best:?}", ours.answer, raise.ours);
    }
    tally.add(&name, gap.iter().map(|gap| gap.abs()).fold(broken, f64::max), case.number);
}
