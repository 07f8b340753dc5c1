//! The only thrower of dice.
//!
//! From the system, or from a seed: then each kind of thing has a generator of its own, so that one more token does not
//! change every later id.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::OsRng;
use rand::{RngCore, SeedableRng, TryRngCore};
use rand_chacha::ChaCha20Rng;

use crate::model::canon::digest;

/// A source of chance.
#[derive(Clone)]
pub struct Entropy(Arc<Source>);

enum Source {
    System,
    Seeded { seed: u64, kinds: Mutex<BTreeMap<String, ChaCha20Rng>> },
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self.0 {
            Source::System => "Entropy(system)",
            Source::Seeded { .. } => "Entropy(seeded)",
        })
    }
}

impl Entropy {
    /// The operating system's.
    pub fn system() -> Self {
        Self(Arc::new(Source::System))
    }

    /// From a seed; the same questions get the same answers.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Source::Seeded { seed, kinds: Mutex::default() }))
    }

    /// Fills a buffer.
    #[expect(
        clippy::panic,
        reason = "a system without randomness can keep no secret: stopping is the only safe answer"
    )]
    pub fn fill(&self, kind: &str, buffer: &mut [u8]) {
        match &*self.0 {
            Source::System => {
                if let Err(error) = OsRng.try_fill_bytes(buffer) {
                    panic!("the operating system gives no random bytes: {error}");
                }
            }
            Source::Seeded { seed, kinds } => {
                let mut kinds = kinds.lock().unwrap_or_else(PoisonError::into_inner);
                let child = kinds.entry(kind.to_owned()).or_insert_with(|| child(*seed, kind));
                child.fill_bytes(buffer);
            }
        }
    }

    /// So many random bytes, in hex.
    pub fn token(&self, kind: &str, bytes: usize) -> String {
        let mut buffer = vec![0; bytes];
        self.fill(kind, &mut buffer);
        hex::encode(buffer)
    }

    /// A new id: a prefix and 26 hex digits.
    pub fn id(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.token(prefix, 13))
    }
}

fn child(seed: u64, kind: &str) -> ChaCha20Rng {
    let digest = digest("entropy", &[&seed.to_string(), kind]);
    let start = u64::from_str_radix(digest.get(..16).unwrap_or_default(), 16).unwrap_or(seed);
    ChaCha20Rng::seed_from_u64(start)
}
