//! Identities and secrets that follow from the seed.
//!
//! Always: the same seed, purpose and name give the same text, whatever else happened before. No clock, no generator
//! with a state: two accounts can never disturb each other's choices.

use sha2::{Digest, Sha256};

/// 32 bytes for one purpose and name.
fn digest(seed: u64, purpose: &str, name: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update([0]);
    hash.update(purpose.as_bytes());
    hash.update([0]);
    hash.update(name.as_bytes());
    hash.finalize().into()
}

/// A UUID of the shape that random ones have (version 4).
pub(crate) fn uuid(seed: u64, purpose: &str, name: &str) -> String {
    let hash = digest(seed, purpose, name);
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

/// Upper-case letters and digits, at most 64 of them.
pub(crate) fn letters(seed: u64, purpose: &str, name: &str, count: usize) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let first = digest(seed, purpose, name);
    let second = digest(seed ^ 1, purpose, name);
    first
        .iter()
        .chain(second.iter())
        .take(count)
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_gives_the_same_identity_and_another_name_another() {
        assert_eq!(uuid(7, "token", "a"), uuid(7, "token", "a"));
        assert_ne!(uuid(7, "token", "a"), uuid(7, "token", "b"));
        assert_ne!(uuid(7, "token", "a"), uuid(7, "code", "a"));
        assert_eq!(letters(7, "key", "a", 40).len(), 40);
    }
}
