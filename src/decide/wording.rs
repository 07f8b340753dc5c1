//! One sentence of a plan, with the numbers.

use rust_decimal::Decimal;

use crate::model::money::Usd;
use crate::model::plan::{Decision, Drift};
use crate::model::verdict::Reason;

/// Why a plan trades or holds: the furthest holding, and what is sold, bought, and in how many orders.
pub fn sentence(
    decision: Decision,
    reason: Reason,
    drift: &Drift,
    (sold, bought, orders): (Usd, Usd, usize),
) -> String {
    let furthest = drift.symbols.iter().max_by_key(|row| row.absolute.abs());
    let points = furthest.map_or(Decimal::ZERO, |row| row.absolute.percent().round_dp(2).normalize());
    let stands = furthest.map_or_else(String::new, |row| {
        if points.is_zero() {
            return "every holding is within a hundredth of a point of its target".to_owned();
        }
        let word = if points.abs() == Decimal::ONE { "point" } else { "points" };
        format!("{} is {}{points} {word} from its target", row.symbol, if points.is_sign_negative() { "" } else { "+" })
    });
    match decision {
        Decision::Trade => {
            let dollars = |verb: &str, sum: Usd| sum.is_positive().then(|| format!("{verb} {:.2}", sum.decimal()));
            let done: Vec<String> = [dollars("sells", sold), dollars("buys", bought)].into_iter().flatten().collect();
            let plural = if orders == 1 { "" } else { "s" };
            format!("{stands}; {} dollars in {orders} order{plural}", done.join(" and "))
        }
        Decision::Hold => match reason {
            Reason::PriceMissing => "a holding or target has no usable price".to_owned(),
            Reason::EmptyAccount => "the account holds neither cash nor a managed position".to_owned(),
            Reason::ShortPosition => "the account holds a short position, which is never touched".to_owned(),
            Reason::UnmanagedBlocks => {
                "the account holds something that the strategy does not name, and it says block".to_owned()
            }
            Reason::HistoryMissing => "the strategy's weights are not known: closing prices are not there".to_owned(),
            Reason::ModelUnsolved => "the strategy's weights are not known: its model has no answer".to_owned(),
            Reason::Cooldown => format!("{stands}, but the last rebalance is inside the cooldown"),
            Reason::BelowMinimum => format!("{stands}, and every order would be below the minimum"),
            Reason::Hindered => format!("{stands}, and what is to move cannot be traded now"),
            Reason::InsideBands if !points.is_zero() => format!("{stands}, inside its band"),
            _ => stands,
        },
    }
}
