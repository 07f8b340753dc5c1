//! How far prices usually move in a day: the table that is built in, each row with its source.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::model::ids::Symbol;
use crate::model::money::Fraction;

const TABLE: &str = include_str!("../../../config/usual-moves.csv");

/// The usual daily move of each symbol in the table, as a fraction; a line that is none is left out.
pub fn usual_moves() -> BTreeMap<Symbol, Fraction> {
    TABLE.lines().skip(1).filter_map(row).collect()
}

fn row(line: &str) -> Option<(Symbol, Fraction)> {
    let mut fields = line.splitn(3, ',');
    let symbol = Symbol::parse(fields.next()?).ok()?;
    let percent: Decimal = fields.next()?.parse().ok()?;
    fields.next().filter(|source| !source.is_empty())?;
    Some((symbol, Fraction::from_percent(percent)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]
    use super::*;

    #[test]
    fn every_line_is_read_and_no_move_is_beyond_reason() {
        let moves = usual_moves();
        assert_eq!(moves.len(), TABLE.lines().count() - 1, "each line is read, and no symbol stands twice");
        assert_eq!(moves[&Symbol::parse("SPY").unwrap()], Fraction::from_percent(Decimal::new(111, 2)));
        let most = Fraction::from_percent(Decimal::from(5));
        assert!(moves.values().all(|daily| daily.is_positive() && *daily < most));
    }
}
