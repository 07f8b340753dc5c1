//! A ticker. It is copied for each row of each plan, so up to twenty characters stand in the value itself and a copy
//! allocates nothing; a longer one (some brokers' ids of options and rights) is shared.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{NotAnId, is_id};

/// The most characters that stand in the value itself.
const SHORT: usize = 20;

/// A ticker, in Alpaca's spelling (`BRK.B`). It orders, compares and hashes as its text does.
#[derive(Clone)]
pub struct Symbol(Text);

#[derive(Clone)]
enum Text {
    /// The characters, and zeros behind them: visible ASCII is never zero, so the arrays order as the texts do.
    Short([u8; SHORT]),
    Long(Arc<str>),
}

impl Symbol {
    /// Takes a text as a symbol.
    ///
    /// # Errors
    /// [`NotAnId`] when the text is empty, too long or holds other characters than an id may.
    pub fn parse(text: &str) -> Result<Self, NotAnId> {
        if !is_id(text) {
            return Err(NotAnId::of("symbol", text));
        }
        let mut short = [0; SHORT];
        Ok(Self(match short.get_mut(..text.len()) {
            Some(slots) => {
                slots.copy_from_slice(text.as_bytes());
                Text::Short(short)
            }
            None => Text::Long(Arc::from(text)),
        }))
    }

    /// The symbol's text form.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Short(short) => {
                let end = short.iter().position(|byte| *byte == 0).unwrap_or(SHORT);
                // Only ASCII comes in, so this is always a text.
                short.get(..end).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
            }
            Text::Long(text) => text,
        }
    }
}

impl PartialEq for Symbol {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Symbol {}

impl PartialOrd for Symbol {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Symbol {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Text::Short(one), Text::Short(other)) => one.cmp(other),
            _ => self.as_str().cmp(other.as_str()),
        }
    }
}

impl Hash for Symbol {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Symbol").field(&self.as_str()).finish()
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]
    use super::*;

    #[test]
    fn short_and_long_ones_are_their_texts() {
        let long = "A".repeat(128);
        let texts = [
            "A",
            "AA",
            "B",
            "BRK.A",
            "BRK.B",
            "AAPL250117C00150000",
            "ABCDEFGHIJKLMNOPQRST",
            "ABCDEFGHIJKLMNOPQRSTU",
            &long,
        ];
        for one in texts {
            let symbol = Symbol::parse(one).unwrap();
            assert_eq!((symbol.as_str(), symbol.to_string()), (one, one.to_owned()));
            assert_eq!(format!("{symbol:?}"), format!("Symbol({one:?})"));
            for other in texts {
                assert_eq!(symbol.cmp(&Symbol::parse(other).unwrap()), one.cmp(other), "{one} {other}");
            }
        }
        assert!(
            Symbol::parse("").is_err() && Symbol::parse(&"A".repeat(129)).is_err() && Symbol::parse("A B").is_err()
        );
    }
}
