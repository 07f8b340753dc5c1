//! `explain`: what a stable code means, wherever it was met.

use serde_json::{Value, json};

use crate::app::commands::Context;
use crate::app::failure::Failure;
use crate::edge::strategies::nearest;
use crate::flow::advise;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The code, such as inside_bands; without one, all of them.
    pub code: Option<String>,
}

/// Explains.
///
/// # Errors
/// When there is no such code.
pub fn obey(context: &Context, args: &Args) -> Result<(), Failure> {
    let codes: Vec<&str> = match args.code.as_deref() {
        Some(code) => vec![code],
        None => advise::codes(),
    };
    let rows: Vec<Value> = codes.iter().flat_map(|code| rows(code)).collect();
    if rows.is_empty() {
        let code = codes.first().copied().unwrap_or_default();
        let near = nearest(code, advise::codes()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        return Err(Failure::input(format!("`{code}` is no code of ours{near}; `rebalanced explain` lists them all")));
    }
    context.print(&json!({ "codes": rows }), |_| {
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let lines =
            rows.iter().map(|row| format!("{} ({}): {}", text(row, "code"), text(row, "is"), text(row, "means")));
        lines.collect::<Vec<_>>().join("\n")
    })
}

fn rows(code: &str) -> Vec<Value> {
    let meanings = advise::meanings(code).into_iter();
    meanings.map(|(is, means)| json!({ "code": code, "is": is, "means": means })).collect()
}
