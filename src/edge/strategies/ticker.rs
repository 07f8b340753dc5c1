//! A ticker as a strategy's author writes it: capital letters and digits, with a class after a point (`BRK.B`).

use crate::model::ids::Symbol;

/// What a word is.
#[derive(Debug)]
pub(super) enum Ticker {
    /// A symbol.
    Right(Symbol),
    /// None.
    Wrong {
        /// What is wrong.
        what: String,
        /// What would mend it.
        mend: String,
    },
}

/// Reads a ticker in Alpaca's spelling.
pub(super) fn ticker(said: &str) -> Ticker {
    let is_ticker = |text: &str| {
        let is_part =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        text.len() <= 12 && text.starts_with(|c: char| c.is_ascii_uppercase()) && text.split('.').all(is_part)
    };
    if is_ticker(said)
        && let Ok(symbol) = Symbol::parse(said)
    {
        return Ticker::Right(symbol);
    }
    let tidy = said.trim().to_uppercase().replace(['-', ' ', '/'], ".");
    let mend = if said.contains('/') {
        "write the ticker of a US stock or fund; pairs such as BTC/USD are not traded".to_owned()
    } else if is_ticker(&tidy) {
        format!("write `{tidy}`")
    } else {
        "write a ticker in Alpaca's spelling, such as SPY or BRK.B".to_owned()
    };
    let shown: String = said.chars().filter(|c| !c.is_control()).take(40).collect();
    Ticker::Wrong { what: format!("`{shown}` is no symbol"), mend }
}
