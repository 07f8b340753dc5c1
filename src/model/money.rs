//! Money, quantities, prices and fractions: exact decimals, one type each.
//!
//! | operation | gives |
//! | --- | --- |
//! | `Usd ± Usd` | `Usd` |
//! | `Qty ± Qty` | `Qty` |
//! | `Qty * Price` | `Usd`, exact where both have at most nine decimals |
//! | `Usd * Fraction` | `Usd` |
//! | `Usd.over(Usd)`, and of every other kind | `Fraction`; zero when the base is zero |
//! | `Price * Fraction` | `Price` |
//! | `Usd.per(Qty)` | `Price`; zero when there is no share |
//! | `Usd.at(Price)` | `Qty`, never too much; zero when the price is zero |
//! | `Fraction ± Fraction`, `Fraction * Fraction` | `Fraction` |
//! | `Price * Price` | does not exist |
//!
//! Sums are exact; products and quotients are rounded once, to eighteen decimals (`fixed`). Every value read from outside is
//! below 10^15 in size ([`LARGEST`]); the operators saturate rather than panic. No float ever stands for money (S19). Other
//! rounding happens only where it is named: `floor_cents`, `ceil_cents`, `floor_shares`.

use std::fmt;
use std::ops::{Add, AddAssign, Mul, Neg, Sub, SubAssign};
use std::str::FromStr;

use rust_decimal::Decimal;

use crate::model::fixed::{Cut, Fixed};

/// No amount read from outside may be this large: 10^15. A larger one is a fault, not a fortune.
pub const LARGEST: Decimal = Decimal::from_parts(2_764_472_320, 232_830, 0, false, 0);

/// Decimals that Alpaca takes in a quantity (facts 3.2).
pub const QTY_DECIMALS: u32 = 9;

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {kind}: a plain decimal number below 10^15 is")]
pub struct NotAnAmount {
    kind: &'static str,
    text: String,
}

fn parse(kind: &'static str, text: &str) -> Result<Decimal, NotAnAmount> {
    let refused = || NotAnAmount { kind, text: text.chars().take(40).collect() };
    let value = Decimal::from_str(text).map_err(|_| refused())?;
    if value.abs() < LARGEST { Ok(value) } else { Err(refused()) }
}

macro_rules! amount {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Fixed);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(Fixed::ZERO);

            /// A decimal; one with more than eighteen decimals goes to the nearest.
            pub const fn new(value: Decimal) -> Self {
                Self(Fixed::of(value))
            }

            /// Reads a plain decimal text.
            ///
            /// # Errors
            /// [`NotAnAmount`] when the text is no decimal number, or 10^15 or larger.
            pub fn parse(text: &str) -> Result<Self, NotAnAmount> {
                parse($kind, text).map(Self::new)
            }

            /// The bare decimal, without zeros at its end.
            pub fn decimal(self) -> Decimal {
                self.0.decimal()
            }

            /// Whether this is exactly zero.
            #[inline]
            pub fn is_zero(self) -> bool {
                self.0 == Fixed::ZERO
            }

            /// Whether this is above zero.
            #[inline]
            pub fn is_positive(self) -> bool {
                self.0.is_positive()
            }

            /// The size without the sign.
            #[must_use]
            #[inline]
            pub fn abs(self) -> Self {
                Self(self.0.abs())
            }

            /// This as a fraction of `base`; zero when the base is zero.
            #[must_use]
            pub fn over(self, base: Self) -> Fraction {
                Fraction(self.0.over(base.0, Cut::Nearest))
            }
        }

        impl Add for $name {
            type Output = Self;
            #[inline]
            fn add(self, other: Self) -> Self {
                Self(self.0.plus(other.0))
            }
        }

        impl Sub for $name {
            type Output = Self;
            #[inline]
            fn sub(self, other: Self) -> Self {
                Self(self.0.minus(other.0))
            }
        }

        impl Neg for $name {
            type Output = Self;
            #[inline]
            fn neg(self) -> Self {
                Self(self.0.negated())
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        impl SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                *self = *self - other;
            }
        }

        impl std::iter::Sum for $name {
            fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
                all.fold(Self::ZERO, Add::add)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

amount!(
    /// Dollars.
    Usd, "an amount of dollars");
amount!(
    /// Shares; fractions allowed where the asset allows them.
    Qty, "a quantity");
amount!(
    /// Dollars per share.
    Price, "a price");
amount!(
    /// A fraction of one: a weight, a deviation, a turnover. `0.05` is five percent.
    Fraction, "a fraction");

impl Usd {
    /// One dollar.
    pub const ONE: Self = Self(Fixed::ONE);

    /// One cent.
    pub const CENT: Self = Self(Fixed::of(Decimal::from_parts(1, 0, 0, false, 2)));

    /// Rounds down to cents: what may be counted on as proceeds or spent at most.
    #[must_use]
    pub fn floor_cents(self) -> Self {
        Self(self.0.cut(2, Cut::Down))
    }

    /// Rounds up to cents: what must be counted on as cost.
    #[must_use]
    pub fn ceil_cents(self) -> Self {
        Self(self.0.cut(2, Cut::Up))
    }

    /// Rounds to a billionth of a dollar: what is left of a division's last digits goes, so that a share of one third of
    /// three dollars is a dollar again before it is rounded down to cents.
    #[must_use]
    pub fn settle_division(self) -> Self {
        Self(self.0.cut(9, Cut::Nearest))
    }

    /// So many cents.
    pub fn cents(count: usize) -> Self {
        Self::new(Decimal::new(i64::try_from(count).unwrap_or(i64::MAX), 2))
    }

    /// What one share costs where so many cost this; zero when there is none.
    pub fn per(self, shares: Qty) -> Price {
        Price(self.0.over(shares.0, Cut::Nearest))
    }

    /// How many shares this amount is at `price`, unrounded; zero when the price is zero.
    pub fn at(self, price: Price) -> Qty {
        Qty(self.0.over(price.0, Cut::Off))
    }
}

impl Qty {
    /// One share.
    pub const ONE: Self = Self(Fixed::ONE);

    /// Rounds down to what an order may carry: nine decimals, or whole shares where the asset is not fractionable.
    #[must_use]
    pub fn floor_shares(self, fractionable: bool) -> Self {
        let decimals = if fractionable { QTY_DECIMALS } else { 0 };
        Self(self.0.cut(decimals, Cut::Off))
    }

    /// Whether this is a whole number of shares.
    pub fn is_whole(self) -> bool {
        self.0.cut(0, Cut::Off) == self.0
    }
}

impl Price {
    /// The middle of two prices, unrounded.
    #[must_use]
    pub fn middle(self, other: Self) -> Self {
        Self(self.0.plus(other.0).half())
    }

    /// This price and a fraction of it: above it, or below where the fraction is negative.
    #[must_use]
    pub fn moved(self, by: Fraction) -> Self {
        self * (Fraction::ONE + by)
    }

    fn tick_decimals(self) -> u32 {
        // Two decimals from a dollar up, four below, else the broker answers 422 (facts 3.1).
        if self.0 >= Fixed::ONE { 2 } else { 4 }
    }

    /// Rounds down to a price that a limit order may carry.
    #[must_use]
    pub fn floor_tick(self) -> Self {
        Self(self.0.cut(self.tick_decimals(), Cut::Off))
    }

    /// Rounds up to a price that a limit order may carry.
    #[must_use]
    pub fn ceil_tick(self) -> Self {
        Self(self.0.cut(self.tick_decimals(), Cut::Away))
    }
}

impl Fraction {
    /// A half.
    pub const HALF: Self = Self::new(Decimal::from_parts(5, 0, 0, false, 1));

    /// The whole.
    pub const ONE: Self = Self(Fixed::ONE);

    /// Percent to fraction: `5` becomes `0.05`.
    pub fn from_percent(percent: Decimal) -> Self {
        Self::new(percent.saturating_mul(Decimal::new(1, 2)))
    }

    /// Fraction to percent: `0.05` becomes `5`.
    pub fn percent(self) -> Decimal {
        self.decimal().saturating_mul(Decimal::ONE_HUNDRED)
    }
}

impl Mul<Price> for Qty {
    type Output = Usd;
    fn mul(self, price: Price) -> Usd {
        Usd(self.0.times(price.0))
    }
}

impl Mul<Fraction> for Usd {
    type Output = Self;
    fn mul(self, fraction: Fraction) -> Self {
        Self(self.0.times(fraction.0))
    }
}

impl Mul<Fraction> for Price {
    type Output = Self;
    fn mul(self, fraction: Fraction) -> Self {
        Self(self.0.times(fraction.0))
    }
}

impl Mul for Fraction {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self(self.0.times(other.0))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]
    use super::*;

    fn usd(text: &str) -> Usd {
        Usd::parse(text).unwrap()
    }

    #[test]
    fn rounding_goes_the_way_it_is_named() {
        assert_eq!(usd("1.239").floor_cents(), usd("1.23"));
        assert_eq!(usd("-1.231").floor_cents(), usd("-1.24"));
        assert_eq!(usd("1.231").ceil_cents(), usd("1.24"));
        assert_eq!(Qty::parse("2.9999999999").unwrap().floor_shares(true), Qty::parse("2.999999999").unwrap());
        assert_eq!(Qty::parse("2.9999999999").unwrap().floor_shares(false), Qty::parse("2").unwrap());
    }

    #[test]
    fn a_product_goes_to_the_nearest_and_shares_are_never_too_many() {
        assert_eq!(usd("1").over(usd("3")).to_string(), "0.333333333333333333");
        assert_eq!(usd("2").over(usd("3")).to_string(), "0.666666666666666667");
        assert_eq!(usd("2").at(Price::parse("3").unwrap()).to_string(), "0.666666666666666666");
        let (qty, price) = (Qty::parse("123456.123456789").unwrap(), Price::parse("9876.987654321").unwrap());
        assert_eq!((qty * price).to_string(), "1219374607.233034171112635269", "exact");
    }

    #[test]
    fn a_division_by_nothing_is_nothing() {
        assert_eq!(usd("5").over(Usd::ZERO), Fraction::ZERO);
        assert_eq!(usd("5").at(Price::ZERO), Qty::ZERO);
    }

    #[test]
    fn fortunes_and_words_are_no_amounts() {
        assert_eq!(LARGEST.to_string(), "1000000000000000");
        assert!(Usd::parse("1000000000000000").is_err());
        assert!(Usd::parse("999999999999999.99").is_ok());
        assert!(Usd::parse("NaN").is_err());
        assert!(Usd::parse("").is_err());
    }
}
