//! Secrets: values that cannot be printed, compared, cloned into plain text or written down by accident.
//!
//! A secret shows its text only through [`Secret::expose`], borrowed for one call; `Debug` prints the type's name.

use std::fmt;
use std::marker::PhantomData;

use secrecy::{ExposeSecret, SecretString};

use crate::model::environment::Environment;

/// A text that must not leave: a token, a code, a client secret.
pub struct Secret(SecretString);

impl Secret {
    /// Takes a text into custody.
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// The text, borrowed for one use.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

/// An opened OAuth token, good for one environment's host only (S5): one Alpaca token can open both a live and a paper
/// account (facts 1.1), so the token itself does not protect; its type does.
pub struct AccessToken<E> {
    secret: Secret,
    environment: PhantomData<E>,
}

impl<E: Environment> AccessToken<E> {
    /// Binds an opened token to the environment of the account it was opened for.
    pub fn new(secret: Secret) -> Self {
        Self { secret, environment: PhantomData }
    }

    /// The token, borrowed for one request.
    pub fn expose(&self) -> &str {
        self.secret.expose()
    }
}

impl<E> fmt::Debug for AccessToken<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken([redacted])")
    }
}

/// A secret as it lies in the database: useless without the vault's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which key sealed it, so that keys can be rotated.
    pub key_id: String,
    /// Algorithm tag, nonce and ciphertext.
    pub bytes: Vec<u8>,
}
