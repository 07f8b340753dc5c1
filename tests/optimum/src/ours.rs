//! What our planner answers for a case, through the same texts and the same JSON that `rebalanced plan` reads and prints.

use std::fs;
use std::path::Path;

use rebalanced::decide::personal::effective;
use rebalanced::decide::plan::{Stage, plan};
use rebalanced::edge::alpaca::snapshot_from_json;
use rebalanced::edge::{decisions, strategies};
use rebalanced::model::ids::WishId;
use rebalanced::model::money::Usd;
use rebalanced::model::personal::{Personal, Said, Wish};
use rebalanced::model::snapshot::Snapshot;
use serde_json::Value;

use crate::case::Case;

/// The planner's answer as amounts. Everything in dollars at the middle of the quote unless it says otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Ours {
    /// Why it trades, or does not.
    pub(crate) reason: String,
    /// What each row loses.
    pub(crate) sold: Vec<f64>,
    /// What each row gains.
    pub(crate) bought: Vec<f64>,
    pub(crate) cash_after: f64,
    pub(crate) answer: Value,
}

impl Ours {
    pub(crate) fn trades(&self) -> bool {
        self.sold.iter().chain(&self.bought).any(|amount| *amount > 0.0)
    }

    /// What each row is worth afterwards.
    pub(crate) fn after(&self, case: &Case) -> Vec<f64> {
        let moved = self.bought.iter().zip(&self.sold);
        case.rows.iter().zip(moved).map(|(row, (bought, sold))| row.worth() + bought - sold).collect()
    }

    /// What the portfolio is worth afterwards, without what waits to leave.
    pub(crate) fn worth_after(&self, case: &Case) -> f64 {
        self.after(case).iter().sum::<f64>() + self.cash_after - case.aside as f64 / 100.0
    }

    /// How many orders there are.
    pub(crate) fn orders(&self) -> usize {
        self.sold.iter().chain(&self.bought).filter(|amount| **amount > 0.0).count()
    }
}

fn number(of: &Value, field: &str) -> Option<f64> {
    of.get(field)?.as_str()?.parse().ok()
}

/// What the account's user wants to take out.
fn wishes(case: &Case, snapshot: &Snapshot) -> Result<Personal, String> {
    let amount = Usd::parse(&format!("{}.{:02}", case.aside / 100, case.aside % 100)).map_err(|why| why.to_string())?;
    let wish = Said {
        id: WishId::parse("wsh_1").map_err(|why| why.to_string())?,
        account: snapshot.account.id.clone(),
        wish: Wish::Withdraw { amount, left: Usd::ZERO },
        by: "user".to_owned(),
        reason: "wants it".to_owned(),
        at: snapshot.as_of,
        until: None,
        ended: None,
    };
    Ok(Personal { said: if case.aside > 0 { vec![wish] } else { Vec::new() } })
}

/// Plans a case; `scratch` is where its strategy file may stand.
///
/// # Errors
/// When a text cannot be read, or the answer is none.
pub(crate) fn ours(case: &Case, scratch: &Path) -> Result<Ours, String> {
    fs::write(scratch, case.strategy()).map_err(|error| error.to_string())?;
    let (strategy, _) = strategies::read_file(scratch).map_err(|faults| format!("{faults:?}"))?;
    let snapshot = snapshot_from_json(&case.snapshot()).map_err(|fault| fault.to_string())?;
    let wishes = wishes(case, &snapshot)?;
    let strategy = effective(&strategy, &wishes, &snapshot).map_err(|unfit| unfit.detail)?;
    let answer = decisions::json(&plan(&strategy, &snapshot, Stage::Opening), &[]);
    let none = vec![0.0; case.rows.len()];
    let (mut sold, mut bought) = (none.clone(), none);
    for order in answer["orders"].as_array().into_iter().flatten() {
        let symbol = order["symbol"].as_str().unwrap_or_default();
        let place: usize = symbol.trim_start_matches('S').parse().map_err(|_| format!("no symbol: {order}"))?;
        let row = case.rows.get(place).ok_or_else(|| format!("no row: {order}"))?;
        let shares = number(order, "qty").or_else(|| number(order, "notional").map(|dollars| dollars / row.ask()));
        let amount = shares.ok_or_else(|| format!("no amount: {order}"))? * row.middle();
        let side = if order["side"] == "sell" { &mut sold } else { &mut bought };
        side[place] += amount;
    }
    let reason = answer["reason"].as_str().unwrap_or_default().to_owned();
    let cash_after = number(&answer, "cash_after").ok_or("no cash_after")?;
    Ok(Ours { reason, sold, bought, cash_after, answer })
}
