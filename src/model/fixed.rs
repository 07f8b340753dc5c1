//! Numbers with eighteen decimals, in 128 bits: what amounts of money are made of.
//!
//! Sums and comparisons are those of whole numbers. A product is reckoned in 256 bits and a quotient by long division, and
//! each is rounded once, to a billionth of a billionth: of a portfolio of 10^15 dollars that is a tenth of a cent, of one of
//! a million 10^-12. (With decimals of any scale, as `rust_decimal` has them, a plan took twice as long: sums of two scales
//! bring one to the other first. That crate reads and writes the texts, and is what goes in and comes out here.)
//!
//! The largest is 1.7 * 10^20, a hundred thousand times the largest amount that is ever read ([`money::LARGEST`]); what
//! would be larger stays there, and nothing panics.
//!
//! [`money::LARGEST`]: crate::model::money::LARGEST

use std::fmt;

use rust_decimal::Decimal;

/// Decimals of every number.
pub(super) const DECIMALS: u32 = 18;

/// The digits of a one.
const ONE: u128 = POWERS[18];

/// The powers of ten that 128 bits hold.
const POWERS: [u128; 39] = {
    let mut powers = [1; 39];
    let mut place = 1;
    while place < powers.len() {
        powers[place] = powers[place - 1] * 10;
        place += 1;
    }
    powers
};

/// A divisor larger than this counts as this: one digit more of what is divided still fits beside it.
const LARGEST_DIVISOR: u128 = POWERS[37];

/// The most that a [`Decimal`]'s digits come to.
const MOST_OF_A_DECIMAL: u128 = (1 << 96) - 1;

const LOWER_HALF: u128 = (1 << 64) - 1;

/// Which way digits are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
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

/// A number with eighteen decimals.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Fixed(i128);

impl Fixed {
    /// Nothing.
    pub(super) const ZERO: Self = Self(0);
    /// One.
    pub(super) const ONE: Self = Self::of(Decimal::ONE);

    /// A decimal; one with more decimals goes to the nearest.
    pub(super) const fn of(value: Decimal) -> Self {
        let digits = value.mantissa().unsigned_abs();
        let digits = if let Some(more) = DECIMALS.checked_sub(value.scale()) {
            digits.saturating_mul(POWERS[more as usize])
        } else {
            let by = POWERS[(value.scale() - DECIMALS) as usize];
            rounded(divided(digits, by), by, (Cut::Nearest, false))
        };
        Self(signed(digits, value.is_sign_negative()))
    }

    /// The same as a decimal, without zeros at its end. One that has more digits than a decimal holds, so of more than 10^10,
    /// loses its last ones.
    pub(super) fn decimal(self) -> Decimal {
        let (mut digits, mut decimals) = (self.0.unsigned_abs(), DECIMALS);
        while decimals > 0 && digits % 10 == 0 {
            digits /= 10;
            decimals -= 1;
        }
        while decimals > 0 && digits > MOST_OF_A_DECIMAL {
            digits = rounded(divided(digits, 10), 10, (Cut::Nearest, false));
            decimals -= 1;
        }
        let digits = signed(digits.min(MOST_OF_A_DECIMAL), self.0 < 0);
        Decimal::try_from_i128_with_scale(digits, decimals).unwrap_or(Decimal::MAX)
    }

    /// Whether this is above zero.
    #[inline]
    pub(super) const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// The size without the sign.
    #[inline]
    #[must_use]
    pub(super) const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// The same on the other side of zero.
    #[inline]
    #[must_use]
    pub(super) const fn negated(self) -> Self {
        Self(self.0.saturating_neg())
    }

    /// The sum.
    #[inline]
    #[must_use]
    pub(super) const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference.
    #[inline]
    #[must_use]
    pub(super) const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The product, to the nearest.
    #[must_use]
    pub(super) fn times(self, other: Self) -> Self {
        let (low, high) = self.0.unsigned_abs().carrying_mul(other.0.unsigned_abs(), 0);
        let is_negative = (self.0 < 0) != (other.0 < 0);
        let (whole, rest) = match high {
            0 => divided(low, ONE),
            // Long division of 256 bits by 64, in halves of 64.
            _ if high < ONE => {
                let (upper, rest) = divided(high << 64 | low >> 64, ONE);
                let (lower, rest) = divided(rest << 64 | low & LOWER_HALF, ONE);
                (upper << 64 | lower, rest)
            }
            _ => (u128::MAX, 0),
        };
        Self(signed(rounded((whole, rest), ONE, (Cut::Nearest, is_negative)), is_negative))
    }

    /// The quotient; zero when the divisor is zero.
    #[must_use]
    pub(super) fn over(self, other: Self, way: Cut) -> Self {
        let is_negative = (self.0 < 0) != (other.0 < 0);
        let by = other.0.unsigned_abs().min(LARGEST_DIVISOR);
        let digits = self.0.unsigned_abs();
        if by == 0 {
            return Self::ZERO;
        }
        // As many digits at once as fit beside what is left. Where none fits at first, one does after a division, for then
        // less than the divisor is left.
        let (mut whole, mut rest, mut left) = (0_u128, digits, DECIMALS);
        while left > 0 {
            let step = fitting(rest).min(left);
            let power = POWERS[step as usize];
            let digits = divided(rest * power, by);
            whole = whole.saturating_mul(power).saturating_add(digits.0);
            rest = digits.1;
            left -= step;
        }
        Self(signed(rounded((whole, rest), by, (way, is_negative)), is_negative))
    }

    /// The same with at most so many decimals.
    #[inline]
    #[must_use]
    pub(super) fn cut(self, decimals: u32, way: Cut) -> Self {
        let power = POWERS[DECIMALS.saturating_sub(decimals) as usize];
        let digits = self.0.unsigned_abs();
        let is_negative = self.0 < 0;
        let whole = rounded(divided(digits, power), power, (way, is_negative));
        Self(signed(whole.saturating_mul(power), is_negative))
    }

    /// Half of it.
    #[inline]
    #[must_use]
    pub(super) const fn half(self) -> Self {
        let digits = self.0.unsigned_abs();
        Self(signed(rounded(divided(digits, 2), 2, (Cut::Nearest, self.0 < 0)), self.0 < 0))
    }
}

/// How many digits more fit behind these: their power of ten is at most two to the number of leading zeros.
const fn fitting(digits: u128) -> u32 {
    digits.leading_zeros() * 1_233 / 4_096
}

/// A division of whole numbers, and what is left of it: one division where `/` and `%` are two.
const fn divided(digits: u128, by: u128) -> (u128, u128) {
    let whole = digits / by;
    (whole, digits - whole * by)
}

/// A whole number of a division, with what is left of it, rounded to a whole number.
const fn rounded((whole, rest): (u128, u128), by: u128, (way, is_negative): (Cut, bool)) -> u128 {
    let further = match way {
        Cut::Off => false,
        Cut::Away => rest > 0,
        Cut::Down => rest > 0 && is_negative,
        Cut::Up => rest > 0 && !is_negative,
        Cut::Nearest => rest > by - rest || (rest == by - rest && whole % 2 == 1),
    };
    if further { whole.saturating_add(1) } else { whole }
}

/// Digits with their sign, or the largest there are.
const fn signed(digits: u128, is_negative: bool) -> i128 {
    let digits = match 0_i128.checked_add_unsigned(digits) {
        Some(digits) => digits,
        None => i128::MAX,
    };
    if is_negative { -digits } else { digits }
}

impl fmt::Debug for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.precision().is_some() {
            return fmt::Display::fmt(&self.decimal(), f);
        }
        let digits = self.0.unsigned_abs();
        let (whole, rest) = divided(digits, ONE);
        let text = if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:018}") };
        let text = if rest == 0 { &text } else { text.trim_end_matches('0') };
        f.pad_integral(self.0 >= 0, "", text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]
    use super::*;

    /// Whole numbers of every length, some of them round.
    fn numbers() -> impl Iterator<Item = i128> {
        let mut digits: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C834;
        (0..).map(move |round: u32| {
            digits = digits.wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645).wrapping_add(1);
            let size = (digits ^ digits >> 61) >> (round % 127 + 1);
            let size = if round.is_multiple_of(5) { size - size % 1_000 } else { size };
            let size = i128::try_from(size).unwrap();
            if round.is_multiple_of(3) { -size } else { size }
        })
    }

    /// Pairs of them, of every two lengths.
    fn pairs() -> impl Iterator<Item = (i128, i128)> {
        numbers().step_by(3).zip(numbers().skip(1).step_by(7)).take(400_000)
    }

    #[test]
    fn what_comes_from_a_decimal_goes_back_to_it() {
        for (round, digits) in (0..200_000).zip(numbers()) {
            let digits = digits >> 31;
            let Ok(decimal) = Decimal::try_from_i128_with_scale(digits, round % 29) else { continue };
            let fixed = Fixed::of(decimal);
            let kept = decimal.round_dp(DECIMALS).normalize();
            if decimal.abs() < Decimal::from(10_u64.pow(10)) {
                assert_eq!(fixed.decimal(), kept, "{decimal}");
                assert_eq!(fixed.decimal().scale(), kept.scale(), "{decimal}");
                assert_eq!(fixed.to_string(), kept.to_string(), "{decimal}");
            } else if fixed.abs() != Fixed(i128::MAX) {
                assert_eq!(fixed.to_string(), kept.to_string(), "{decimal}");
            }
        }
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
        for digits in numbers().take(20_000).map(|digits| digits >> 31) {
            // Numbers as they come, and the middles between two roundings to nine decimals.
            for digits in [digits, digits - digits % 1_000_000_000 + 500_000_000 * digits.signum()] {
                let fixed = Fixed(digits);
                let Ok(exact) = Decimal::try_from_i128_with_scale(digits, DECIMALS) else { continue };
                for (ours, theirs) in ways {
                    for decimals in [0, 2, 4, 9] {
                        let rounded = Fixed::of(exact.round_dp_with_strategy(decimals, theirs));
                        assert_eq!(fixed.cut(decimals, ours), rounded, "{fixed} {decimals} {ours:?}");
                    }
                }
            }
        }
    }

    /// The distance between two products, `|one * other - third * fourth|`, in 256 bits; the most there is where it is larger
    /// than 128.
    fn apart((one, other): (u128, u128), (third, fourth): (u128, u128)) -> u128 {
        let (low, high) = one.carrying_mul(other, 0);
        let (less, borrow) = low.overflowing_sub(third.wrapping_mul(fourth));
        let (_, their_high) = third.carrying_mul(fourth, 0);
        let upper = high.wrapping_sub(their_high).wrapping_sub(u128::from(borrow));
        match upper {
            0 => less,
            u128::MAX => less.wrapping_neg(),
            _ => u128::MAX,
        }
    }

    #[test]
    fn a_product_is_off_by_half_a_unit_at_most() {
        let (mut wide, mut full) = (0, 0);
        for (one, other) in pairs() {
            let product = Fixed(one).times(Fixed(other)).0;
            let (a, b) = (one.unsigned_abs(), other.unsigned_abs());
            if product.unsigned_abs() == i128::MAX.unsigned_abs() {
                full += 1;
                assert!(a.carrying_mul(b, 0).1 >= ONE >> 2, "{one} * {other} is not so large");
                continue;
            }
            wide += u32::from(a.checked_mul(b).is_none());
            let apart = apart((a, b), (product.unsigned_abs(), ONE));
            assert!(apart <= ONE / 2, "{one} * {other}: {product} is {apart} off");
            assert!(apart < ONE / 2 || product % 2 == 0, "{one} * {other}: from the middle to the even one");
            assert!(product == 0 || (product < 0) == ((one < 0) != (other < 0)), "{one} * {other}: {product}");
        }
        assert!(wide > 50_000 && full > 10_000, "{wide} of 400,000 in more than 128 bits, {full} too large");
    }

    #[test]
    fn a_quotient_is_off_by_half_a_unit_at_most_and_one_that_is_cut_is_never_too_much() {
        let (mut long, mut full) = (0, 0);
        for (one, other) in pairs().filter(|(_, other)| *other != 0) {
            let (a, b) = (one.unsigned_abs(), other.unsigned_abs().min(LARGEST_DIVISOR));
            for way in [Cut::Off, Cut::Nearest] {
                let quotient = Fixed(one).over(Fixed(other), way).0;
                if quotient.unsigned_abs() == i128::MAX.unsigned_abs() {
                    full += 1;
                    assert!(a / b >= (i128::MAX.unsigned_abs() / ONE), "{one} / {other} is not so large");
                    continue;
                }
                long += u32::from(a.checked_mul(ONE).is_none());
                let apart = apart((a, ONE), (quotient.unsigned_abs(), b));
                match way {
                    Cut::Off => {
                        assert!(apart < b, "{one} / {other}: {quotient} is {apart} off");
                        let back = quotient.unsigned_abs().carrying_mul(b, 0);
                        let exact = a.carrying_mul(ONE, 0);
                        assert!((back.1, back.0) <= (exact.1, exact.0), "{one} / {other}: {quotient} is too much");
                    }
                    _ => assert!(apart <= b - apart.min(b), "{one} / {other}: {quotient} is {apart} off"),
                }
            }
        }
        assert!(long > 200_000 && full > 10_000, "{long} of 800,000 in more than 128 bits, {full} too large");
    }

    #[test]
    fn nothing_panics_at_the_ends() {
        let ends = [Fixed(i128::MAX), Fixed(i128::MIN), Fixed(-i128::MAX), Fixed(1), Fixed(-1), Fixed(0), Fixed::ONE];
        for one in ends {
            for other in ends {
                let _ = (one.plus(other), one.minus(other), one.times(other));
                for way in [Cut::Off, Cut::Away, Cut::Down, Cut::Up, Cut::Nearest] {
                    let _ = (one.over(other, way), one.cut(2, way), one.cut(30, way));
                }
            }
            let _ = (one.abs(), one.negated(), one.half(), one.decimal(), one.to_string(), format!("{one:.2}"));
        }
        assert_eq!(Fixed(i128::MAX).times(Fixed::ONE), Fixed(i128::MAX));
        assert_eq!(Fixed(i128::MIN).times(Fixed::ONE), Fixed(-i128::MAX));
        assert_eq!(Fixed(3).half(), Fixed(2), "from the middle to the even one");
        assert_eq!(format!("{:>6}|{:<5}|{:+}", Fixed::ONE, Fixed(-i128::pow(10, 17)), Fixed::ONE), "     1|-0.1 |+1");
    }
}
