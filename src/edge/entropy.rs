//! The only source of chance.
//!
//! The daemon draws from the operating system. A test draws from a seed: each kind of use has a generator of its own, so
//! that a new use somewhere changes nothing anywhere else.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::OsRng;
use rand::{RngCore, SeedableRng, TryRngCore};
use rand_chacha::ChaCha20Rng;
use sha2::{Digest, Sha256};

use crate::model::time::Span;

/// Hex digits after an id's prefix: 104 bits, so that two of a trillion ids collide with a chance below one in ten million.
const ID_BYTES: usize = 13;

/// A source of chance; clones share it.
#[derive(Clone)]
pub struct Entropy {
    source: Source,
}

#[derive(Clone)]
enum Source {
    System,
    Seeded(Arc<Seeded>),
}

struct Seeded {
    seed: u64,
    kinds: Mutex<BTreeMap<String, ChaCha20Rng>>,
}

impl Entropy {
    /// The operating system's.
    pub const fn system() -> Self {
        Self { source: Source::System }
    }

    /// The same draws for the same seed. Only for tests: keys and tokens made with it are no secret.
    pub fn seeded(seed: u64) -> Self {
        Self { source: Source::Seeded(Arc::new(Seeded { seed, kinds: Mutex::new(BTreeMap::new()) })) }
    }

    /// Fills `bytes`. Without the system's randomness no token, key or nonce may be made, so then this stops the process.
    pub fn fill(&self, kind: &str, bytes: &mut [u8]) {
        match &self.source {
            Source::System => OsRng.unwrap_err().fill_bytes(bytes),
            Source::Seeded(seeded) => {
                let mut kinds = seeded.kinds.lock().unwrap_or_else(PoisonError::into_inner);
                let generator = kinds.entry(kind.to_owned()).or_insert_with(|| child(seeded.seed, kind));
                generator.fill_bytes(bytes);
            }
        }
    }

    /// So many random bytes, in hex.
    pub fn token(&self, kind: &str, bytes: usize) -> String {
        let mut drawn = vec![0; bytes];
        self.fill(kind, &mut drawn);
        hex::encode(drawn)
    }

    /// A new id: the prefix and 26 hex digits.
    pub fn id(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.token(prefix, ID_BYTES))
    }

    /// A span between nothing and `most`.
    pub fn jitter(&self, kind: &str, most: Span) -> Span {
        let mut drawn = [0; 8];
        self.fill(kind, &mut drawn);
        let most = u128::try_from(most.as_micros()).unwrap_or(0);
        let micros = (u128::from(u64::from_le_bytes(drawn)) * (most.min(u128::from(u64::MAX)) + 1)) >> 64;
        Span::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

fn child(seed: u64, kind: &str) -> ChaCha20Rng {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_be_bytes());
    hasher.update(kind.as_bytes());
    ChaCha20Rng::from_seed(hasher.finalize().into())
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.source {
            Source::System => "Entropy(system)",
            Source::Seeded(_) => "Entropy(seeded)",
        })
    }
}
