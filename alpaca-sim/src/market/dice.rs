//! Seeded choices: a number for every name, without a generator that has a state.
//!
//! Always: the same words give the same number, in any order of asking; only integer and exact floating-point
//! operations, so the answer is the same on every machine.
#![expect(clippy::float_arithmetic, reason = "the price path is the one place where floats are at home")]

/// Stirs 64 bits (the finaliser of SplitMix64).
pub(crate) const fn stir(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number for two words.
pub(crate) const fn pair(first: u64, second: u64) -> u64 {
    stir(stir(first) ^ second.rotate_left(32))
}

/// A number for a text (FNV-1a, stirred).
pub(crate) fn text(seed: u64, words: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in words.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    pair(seed, hash)
}

/// A number from 0 to `below - 1`, as even as 64 bits make it; 0 when there is nothing to choose from.
pub(crate) const fn below(word: u64, below: u64) -> u64 {
    if below == 0 { 0 } else { word % below }
}

/// About normal with mean 0 and deviation 1, never beyond 3.47: the sum of four even numbers.
pub(crate) fn normal(word: u64) -> f64 {
    let sum = (word & 0xffff) + ((word >> 16) & 0xffff) + ((word >> 32) & 0xffff) + (word >> 48);
    // 131,070 is the mean; the deviation of the sum is 65,536 / sqrt(3).
    let sum = u32::try_from(sum).unwrap_or_default();
    (f64::from(sum) - 131_070.0) * (1.732_050_807_568_877_2 / 65_536.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_arithmetic, reason = "tests")]
    use super::*;

    #[test]
    fn choices_depend_on_every_word() {
        assert_eq!(text(1, "a"), text(1, "a"));
        assert_ne!(text(1, "a"), text(2, "a"));
        assert_ne!(pair(1, 2), pair(2, 1));
        assert_eq!(below(17, 0), 0);
    }

    #[test]
    fn the_normal_has_the_right_mean_and_deviation() {
        let draws: Vec<f64> = (0..20_000).map(|n| normal(stir(n))).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|draw| draw * draw).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03, "{mean}");
        assert!((variance - 1.0).abs() < 0.04, "{variance}");
    }
}
