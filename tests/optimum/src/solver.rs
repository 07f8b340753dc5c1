//! HiGHS as every program here uses it: one thread, and its finest tolerances.

use good_lp::highs;
use good_lp::solvers::highs::HighsProblem;
use good_lp::variable::UnsolvedProblem;

/// The solver for a program.
pub(crate) fn solver(program: UnsolvedProblem) -> HighsProblem {
    program
        .using(highs)
        .set_option("threads", 1)
        .set_option("parallel", "off")
        .set_option("primal_feasibility_tolerance", 1e-10)
        .set_option("dual_feasibility_tolerance", 1e-10)
}
