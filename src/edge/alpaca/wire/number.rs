//! Decimals as they travel: trading sends strings, market data sends numbers (facts, wire conventions).

use std::fmt;

use rust_decimal::Decimal;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::model::money::LARGEST;

/// Digits that a JSON number surely keeps on its way through a double.
const DIGITS_OF_A_DOUBLE: usize = 15;

/// A decimal of trading, which sends strings: exactly what was sent, with at most 28 digits; what would have to be rounded
/// is refused (S19). A JSON number, which only a hand-written file has, is exact up to 15 digits, and refused when its
/// double shows more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exact(pub(crate) Decimal);

/// A price of the market data, where numbers are JSON numbers: the shortest text of the double that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Market(pub(crate) Decimal);

struct ExactVisitor;
struct MarketVisitor;

/// Plain digits with an optional sign and point; `None` for everything else and for 10^15 and beyond.
fn plain(text: &str) -> Option<Decimal> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+'));
    let value = Decimal::from_str_exact(text).ok().filter(|_| is_plain)?;
    (value.abs() < LARGEST).then_some(value)
}

fn no_number<X: Error>(text: &str) -> X {
    let start: String = text.chars().take(40).collect();
    X::custom(format_args!("`{start}` is not a plain decimal number below 10^15 with at most 28 digits"))
}

/// The shortest text of a double, and its value.
fn shortest(value: f64) -> Option<(String, Decimal)> {
    let text = serde_json::Number::from_f64(value)?.to_string();
    let decimal = plain(&text).or_else(|| {
        let value = Decimal::from_scientific(&text).ok()?;
        (value.abs() < LARGEST).then_some(value)
    })?;
    Some((text, decimal))
}

impl Visitor<'_> for ExactVisitor {
    type Value = Exact;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal such as \"12.5\"")
    }

    fn visit_str<X: Error>(self, text: &str) -> Result<Exact, X> {
        plain(text).map(Exact).ok_or_else(|| no_number(text))
    }

    fn visit_u64<X: Error>(self, value: u64) -> Result<Exact, X> {
        self.visit_str(&value.to_string())
    }

    fn visit_i64<X: Error>(self, value: i64) -> Result<Exact, X> {
        self.visit_str(&value.to_string())
    }

    fn visit_f64<X: Error>(self, value: f64) -> Result<Exact, X> {
        let (text, decimal) = shortest(value).ok_or_else(|| X::invalid_value(Unexpected::Float(value), &self))?;
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        if mantissa.bytes().filter(u8::is_ascii_digit).count() > DIGITS_OF_A_DOUBLE {
            let more = "a JSON number with more than 15 digits is not kept exactly: write it as a string";
            return Err(X::custom(more));
        }
        Ok(Exact(decimal))
    }
}

impl Visitor<'_> for MarketVisitor {
    type Value = Market;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a price such as 12.5")
    }

    fn visit_str<X: Error>(self, text: &str) -> Result<Market, X> {
        plain(text).map(Market).ok_or_else(|| no_number(text))
    }

    fn visit_u64<X: Error>(self, value: u64) -> Result<Market, X> {
        self.visit_str(&value.to_string())
    }

    fn visit_i64<X: Error>(self, value: i64) -> Result<Market, X> {
        self.visit_str(&value.to_string())
    }

    fn visit_f64<X: Error>(self, value: f64) -> Result<Market, X> {
        let (_, decimal) = shortest(value).ok_or_else(|| X::invalid_value(Unexpected::Float(value), &self))?;
        Ok(Market(decimal))
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExactVisitor)
    }
}

impl<'de> Deserialize<'de> for Market {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MarketVisitor)
    }
}
