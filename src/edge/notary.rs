//! Signs the end of the audit's chain, and checks such signatures: Ed25519.
//!
//! The signing key never leaves; the public key, which anybody may have, is enough to check.

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::model::canon::digest;
use crate::model::event::Checkpoint;
use crate::model::secret::Secret;
use crate::model::time::Moment;

/// Why something could not be signed or is not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The secret is no key.
    #[error("this is no signing key: 64 hex digits are one; `rebalanced keys new --file PATH` makes one")]
    NoKey,
    /// The text is no public key.
    #[error("this is no public key: 64 hex digits are one; `rebalanced audit public-key` prints it")]
    NoPublicKey,
    /// A line is no checkpoint.
    #[error("line {line} is no checkpoint")]
    NoCheckpoint {
        /// Its number, from one.
        line: usize,
    },
    /// A checkpoint was signed by somebody else, or was changed.
    #[error("line {line}: the checkpoint at event {sequence} was not signed with this key, or was changed")]
    NotSigned {
        /// Its number, from one.
        line: usize,
        /// Its place in the chain.
        sequence: i64,
    },
}

/// Holder of the signing key.
pub struct Notary {
    key: SigningKey,
}

impl fmt::Debug for Notary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notary(public key {}, [redacted])", self.public_key())
    }
}

/// A checkpoint as it stands on its line.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    sequence: i64,
    hash: String,
    at: String,
    at_micros: i64,
    public_key: String,
    signature: String,
}

impl Notary {
    /// Takes a key of 64 hex digits.
    ///
    /// # Errors
    /// [`Error::NoKey`] when it is none.
    pub fn new(secret: &Secret) -> Result<Self, Error> {
        let mut bytes = zeroize::Zeroizing::new([0_u8; 32]);
        hex::decode_to_slice(secret.expose().trim(), bytes.as_mut()).map_err(|_| Error::NoKey)?;
        Ok(Self { key: SigningKey::from_bytes(&bytes) })
    }

    /// The public key, in hex.
    pub fn public_key(&self) -> String {
        hex::encode(self.key.verifying_key().as_bytes())
    }

    /// A signed line, without its end.
    pub fn sign(&self, point: &Checkpoint) -> String {
        let signature = self.key.sign(message(point).as_bytes());
        let line = Line {
            sequence: point.sequence,
            hash: point.hash.clone(),
            at: point.at.to_string(),
            at_micros: point.at.micros(),
            public_key: self.public_key(),
            signature: hex::encode(signature.to_bytes()),
        };
        serde_json::to_string(&line).unwrap_or_default()
    }
}

/// Reads a file of checkpoints and checks every signature.
///
/// # Errors
/// The first line that does not hold.
pub fn read(text: &str, public_key: &str) -> Result<Vec<Checkpoint>, Error> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(public_key.trim(), &mut bytes).map_err(|_| Error::NoPublicKey)?;
    let key = VerifyingKey::from_bytes(&bytes).map_err(|_| Error::NoPublicKey)?;
    let mut points = Vec::new();
    for (number, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let line = number + 1;
        let parsed: Line = serde_json::from_str(text).map_err(|_| Error::NoCheckpoint { line })?;
        let at = Moment::from_micros(parsed.at_micros);
        let point = Checkpoint { sequence: parsed.sequence, hash: parsed.hash, at };
        let refused = Error::NotSigned { line, sequence: point.sequence };
        let mut signature = [0; 64];
        hex::decode_to_slice(&parsed.signature, &mut signature).map_err(|_| refused.clone())?;
        let signature = Signature::from_bytes(&signature);
        key.verify_strict(message(&point).as_bytes(), &signature).map_err(|_| refused)?;
        points.push(point);
    }
    Ok(points)
}

fn message(point: &Checkpoint) -> String {
    digest("audit checkpoint", &[&point.sequence.to_string(), &point.hash, &point.at.micros().to_string()])
}
