//! Money, quantities, prices and fractions: exact decimals, one type each.
//!
//! | operation | gives |
//! | --- | --- |
//! | `Usd ± Usd` | `Usd` |
//! | `Qty ± Qty` | `Qty` |
//! | `Qty * Price` | `Usd`, exact where both have at most nine decimals |
//! | `Usd * Fraction` | `Usd` |
//! | `Usd.over(Usd)` | `Fraction`; zero when the base is zero |
//! | `Usd.at(Price)` | `Qty`, never too much; zero when the price is zero |
//! | `Fraction ± Fraction`, `Fraction * Fraction` | `Fraction` |
//! | `Price * Price` | does not exist |
//!
//! Sums are exact. A product or quotient has at most [`DECIMALS`] decimals: a billionth of a billionth, which of a portfolio
//! of 10^15 dollars is a tenth of a cent, and of one of a million 10^-12. So ten digits are left before the point, and sums
//! of what was divided need no rounding (with all digits that a [`Decimal`] holds, a plan took twice as long).
//!
//! Every value read from outside is below 10^15 in size ([`LARGEST`]); the operators saturate rather than panic beyond what a
//! [`Decimal`] holds. No float ever stands for money (S19). Rounding
//! happens only where it is named: `floor_cents`, `ceil_cents`, `floor_shares`.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, AddAssign, Mul, Neg, Sub, SubAssign};
use std::str::FromStr;

use rust_decimal::Decimal;

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

/// Which way digits are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// Towards zero.
    Off,
    /// Away from zero.
    Away,
    /// Down the number line.
    Down,
    /// Up the number line.
    Up,
    /// To the nearest; from the middle to the even one.
    Nearest,
}

/// Decimals that a product or a quotient keeps.
pub const DECIMALS: u32 = 18;

/// The most that a decimal's digits come to.
const MOST: u128 = (1 << 96) - 1;

/// The powers of ten that 128 bits hold, for every row of every plan asks for some.
const POWERS: [u128; 39] = {
    let mut powers = [1; 39];
    let mut place = 1;
    while place < powers.len() {
        powers[place] = powers[place - 1] * 10;
        place += 1;
    }
    powers
};

fn power_of_ten(digits: u32) -> Option<u128> {
    POWERS.get(usize::try_from(digits).ok()?).copied()
}

/// A quotient of whole numbers as the digits of a decimal with so many decimals: one division, where the library's own
/// rounding walks through the digits several times. `None` where a decimal does not hold it, and for no divisor.
fn divided((digits, by): (u128, u128), way: Cut, (is_negative, decimals): (bool, u32)) -> Option<Decimal> {
    let whole = digits.checked_div(by)?;
    let rest = digits - whole * by;
    let further = match way {
        Cut::Off => false,
        Cut::Away => rest > 0,
        Cut::Down => rest > 0 && is_negative,
        Cut::Up => rest > 0 && !is_negative,
        Cut::Nearest => match rest.cmp(&(by - rest)) {
            Ordering::Less => false,
            Ordering::Equal => whole % 2 == 1,
            Ordering::Greater => true,
        },
    };
    let whole = i128::try_from(whole + u128::from(further)).ok().filter(|whole| whole.unsigned_abs() <= MOST)?;
    Decimal::try_from_i128_with_scale(if is_negative { -whole } else { whole }, decimals).ok()
}

/// A decimal with at most so many decimals.
fn cut(value: Decimal, decimals: u32, way: Cut) -> Decimal {
    let Some(power) = value.scale().checked_sub(decimals).filter(|digits| *digits > 0).and_then(power_of_ten) else {
        return value;
    };
    // A tenth of what fitted into a decimal fits into one.
    let digits = value.mantissa().unsigned_abs();
    divided((digits, power), way, (value.is_sign_negative(), decimals)).unwrap_or(value)
}

/// A product with at most [`DECIMALS`] decimals, the last one rounded to the nearest, from the middle to the even one.
/// Nearly all products of a plan fit into 128 bits; the library's own way rounds them twice.
fn times(one: Decimal, other: Decimal) -> Decimal {
    product(one, other).unwrap_or_else(|| cut(one.saturating_mul(other), DECIMALS, Cut::Nearest))
}

/// The same where the digits fit into 128 bits.
fn product(one: Decimal, other: Decimal) -> Option<Decimal> {
    let digits = one.mantissa().unsigned_abs().checked_mul(other.mantissa().unsigned_abs())?;
    let scale = one.scale() + other.scale();
    let gone = scale.saturating_sub(DECIMALS);
    let is_negative = one.is_sign_negative() != other.is_sign_negative();
    divided((digits, power_of_ten(gone)?), Cut::Nearest, (is_negative, scale - gone))
}

/// A quotient with at most [`DECIMALS`] decimals; zero when the divisor is zero.
fn over(one: Decimal, other: Decimal, way: Cut) -> Decimal {
    quotient(one, other, way).unwrap_or_else(|| cut(one.checked_div(other).unwrap_or_default(), DECIMALS, way))
}

/// The same where the digits fit into 128 bits.
fn quotient(one: Decimal, other: Decimal, way: Cut) -> Option<Decimal> {
    let more = (DECIMALS + other.scale()).checked_sub(one.scale())?;
    let digits = one.mantissa().unsigned_abs().checked_mul(power_of_ten(more)?)?;
    let is_negative = one.is_sign_negative() != other.is_sign_negative();
    divided((digits, other.mantissa().unsigned_abs()), way, (is_negative, DECIMALS))
}

macro_rules! amount {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Decimal);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(Decimal::ZERO);

            /// Takes a decimal as it is.
            pub const fn new(value: Decimal) -> Self {
                Self(value)
            }

            /// Reads a plain decimal text.
            ///
            /// # Errors
            /// [`NotAnAmount`] when the text is no decimal number, or 10^15 or larger.
            pub fn parse(text: &str) -> Result<Self, NotAnAmount> {
                parse($kind, text).map(Self)
            }

            /// The bare decimal.
            pub const fn decimal(self) -> Decimal {
                self.0
            }

            /// Whether this is exactly zero.
            pub fn is_zero(self) -> bool {
                self.0.is_zero()
            }

            /// Whether this is above zero.
            pub fn is_positive(self) -> bool {
                self.0.is_sign_positive() && !self.0.is_zero()
            }

            /// The size without the sign.
            #[must_use]
            pub fn abs(self) -> Self {
                Self(self.0.abs())
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }

        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }

        impl Neg for $name {
            type Output = Self;
            fn neg(self) -> Self {
                Self(-self.0)
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
                fmt::Display::fmt(&self.0.normalize(), f)
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
    pub const ONE: Self = Self(Decimal::ONE);

    /// One cent.
    pub const CENT: Self = Self(Decimal::from_parts(1, 0, 0, false, 2));

    /// Rounds down to cents: what may be counted on as proceeds or spent at most.
    #[must_use]
    pub fn floor_cents(self) -> Self {
        Self(cut(self.0, 2, Cut::Down))
    }

    /// Rounds up to cents: what must be counted on as cost.
    #[must_use]
    pub fn ceil_cents(self) -> Self {
        Self(cut(self.0, 2, Cut::Up))
    }

    /// Rounds to a billionth of a dollar: what is left of a division's last digits goes, so that a share of one third of
    /// three dollars is a dollar again before it is rounded down to cents.
    #[must_use]
    pub fn settle_division(self) -> Self {
        Self(cut(self.0, 9, Cut::Nearest))
    }

    /// This amount as a fraction of `base`; zero when the base is zero.
    pub fn over(self, base: Self) -> Fraction {
        Fraction(over(self.0, base.0, Cut::Nearest))
    }

    /// How many shares this amount is at `price`, unrounded; zero when the price is zero.
    pub fn at(self, price: Price) -> Qty {
        Qty(over(self.0, price.0, Cut::Off))
    }
}

impl Qty {
    /// One share.
    pub const ONE: Self = Self(Decimal::ONE);

    /// Rounds down to what an order may carry: nine decimals, or whole shares where the asset is not fractionable.
    #[must_use]
    pub fn floor_shares(self, fractionable: bool) -> Self {
        let decimals = if fractionable { QTY_DECIMALS } else { 0 };
        Self(cut(self.0, decimals, Cut::Off))
    }

    /// Whether this is a whole number of shares.
    pub fn is_whole(self) -> bool {
        self.0.fract().is_zero()
    }
}

impl Price {
    /// The middle of two prices, unrounded.
    #[must_use]
    pub fn middle(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0).saturating_mul(Decimal::new(5, 1)))
    }

    /// This price and a fraction of it: above it, or below where the fraction is negative.
    #[must_use]
    pub fn moved(self, by: Fraction) -> Self {
        Self(times(self.0, (Fraction::ONE + by).0))
    }

    fn tick_decimals(self) -> u32 {
        // Two decimals from a dollar up, four below, else the broker answers 422 (facts 3.1).
        if self.0 >= Decimal::ONE { 2 } else { 4 }
    }

    /// Rounds down to a price that a limit order may carry.
    #[must_use]
    pub fn floor_tick(self) -> Self {
        Self(cut(self.0, self.tick_decimals(), Cut::Off))
    }

    /// Rounds up to a price that a limit order may carry.
    #[must_use]
    pub fn ceil_tick(self) -> Self {
        Self(cut(self.0, self.tick_decimals(), Cut::Away))
    }
}

impl Fraction {
    /// The whole.
    pub const ONE: Self = Self(Decimal::ONE);

    /// Percent to fraction: `5` becomes `0.05`.
    pub fn from_percent(percent: Decimal) -> Self {
        Self(percent.saturating_mul(Decimal::new(1, 2)))
    }

    /// Fraction to percent: `0.05` becomes `5`.
    pub fn percent(self) -> Decimal {
        self.0.saturating_mul(Decimal::ONE_HUNDRED)
    }

    /// This fraction as a share of `base`; zero when the base is zero.
    #[must_use]
    pub fn over(self, base: Self) -> Self {
        Self(over(self.0, base.0, Cut::Nearest))
    }
}

impl Mul<Price> for Qty {
    type Output = Usd;
    fn mul(self, price: Price) -> Usd {
        Usd(times(self.0, price.0))
    }
}

impl Mul<Fraction> for Usd {
    type Output = Self;
    fn mul(self, fraction: Fraction) -> Self {
        Self(times(self.0, fraction.0))
    }
}

impl Mul for Fraction {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self(times(self.0, other.0))
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
    fn cutting_digits_is_the_librarys_rounding() {
        use rust_decimal::RoundingStrategy as Way;
        let ways = [
            (Cut::Off, Way::ToZero),
            (Cut::Away, Way::AwayFromZero),
            (Cut::Down, Way::ToNegativeInfinity),
            (Cut::Up, Way::ToPositiveInfinity),
            (Cut::Nearest, Way::MidpointNearestEven),
        ];
        // Every scale with digits of every length, and the midpoints between two roundings.
        let mut digits: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C834;
        for round in 0..20_000_u32 {
            digits = digits.wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645).wrapping_add(1);
            let size = (digits >> 32) & ((1 << (round % 96 + 1)) - 1);
            let middle = size - size % 1_000 + 500;
            for mantissa in [size, middle] {
                for sign in [1, -1] {
                    let number = sign * i128::try_from(mantissa).unwrap();
                    let Ok(value) = Decimal::try_from_i128_with_scale(number, round % 29) else { continue };
                    for (ours, theirs) in ways {
                        for decimals in [0, 2, 4, 9, value.scale().saturating_sub(3)] {
                            let rounded = value.round_dp_with_strategy(decimals, theirs);
                            assert_eq!(cut(value, decimals, ours), rounded, "{value} {decimals} {ours:?}");
                        }
                    }
                }
            }
        }
    }

    /// Pairs of numbers of every length and scale, some of them round.
    fn pairs() -> impl Iterator<Item = (Decimal, Decimal)> {
        let mut digits: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C834;
        let mut next = move |size: u32| {
            digits = digits.wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645).wrapping_add(1);
            i128::try_from((digits >> 24) & ((1 << size) - 1)).unwrap()
        };
        (0..400_000_u32).map(move |round| {
            let (one, other) = (next(round % 96 + 1), next(round / 96 % 96 + 1));
            let (one, other) =
                if round % 5 == 0 { (one - one % 1_000 + 500, other - other % 100) } else { (one, -other) };
            let decimal = |digits, scale| Decimal::try_from_i128_with_scale(digits, scale).unwrap_or_default();
            (decimal(one, round % 29), decimal(other, round / 7 % 29))
        })
    }

    #[test]
    fn a_product_is_the_librarys_rounded_once() {
        let unit = Decimal::new(1, DECIMALS);
        let (mut narrow, mut same) = (0, 0);
        for (one, other) in pairs() {
            let Some(ours) = product(one, other) else { continue };
            let theirs = one.saturating_mul(other);
            narrow += 1;
            if theirs.scale() == one.scale() + other.scale() {
                // Theirs is exact.
                assert_eq!(ours, cut(theirs, DECIMALS, Cut::Nearest), "{one} * {other}");
                same += 1;
            } else {
                assert!((ours - theirs).abs() <= unit, "{one} * {other}: {ours}, not {theirs}");
            }
        }
        assert!(narrow > 200_000 && same > 50_000, "{narrow} of 400,000 by our own way, {same} of them exact");
    }

    #[test]
    fn a_quotient_is_the_librarys_and_one_that_is_cut_is_never_too_much() {
        let unit = Decimal::new(1, DECIMALS);
        let mut narrow = 0;
        for (one, other) in pairs().filter(|(_, other)| !other.is_zero()) {
            let Some(theirs) = one.checked_div(other) else { continue };
            narrow += u32::from(quotient(one, other, Cut::Off).is_some());
            for way in [Cut::Off, Cut::Nearest] {
                let ours = over(one, other, way);
                assert!((ours - theirs).abs() <= unit, "{one} / {other}: {ours}, not {theirs}");
                if let Some(exact) = quotient(one, other, way)
                    && way == Cut::Off
                    && let Some(back) = exact.checked_mul(other).filter(|back| back.scale() == DECIMALS + other.scale())
                {
                    assert!(back.abs() <= one.abs(), "{one} / {other}: {exact} is too much");
                }
            }
        }
        assert!(narrow > 50_000, "{narrow} of 400,000 by our own way");
        assert_eq!(usd("1").over(usd("3")).to_string(), "0.333333333333333333");
        assert_eq!(usd("2").over(usd("3")).to_string(), "0.666666666666666667");
        assert_eq!(usd("2").at(Price::parse("3").unwrap()).to_string(), "0.666666666666666666");
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
