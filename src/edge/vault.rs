//! Keeper of the tokens: what it seals is useless without the key, and opens only for the owner it was sealed for.
//!
//! XChaCha20-Poly1305 with a random 192-bit nonce. The owner, the kind of secret and the key's id are authenticated with
//! it, so a ciphertext that was moved to another row does not open (S9, row 80). The key comes from a file that only its
//! owner can read; nothing here ever prints a key or a secret.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::edge::entropy::Entropy;
use crate::model::ids::GrantId;
use crate::model::secret::{Sealed, Secret};

/// The first byte of every sealed secret: which algorithm sealed it, so that another can follow.
const XCHACHA20_POLY1305: u8 = 1;

const NONCE_BYTES: usize = 24;
const KEY_BYTES: usize = 32;

/// What is sealed; part of what is authenticated, so that one kind never opens as another.
const KIND: &str = "access token";

/// Why the vault did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key file cannot be read or made.
    #[error("the key file {} cannot be read or made", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others than the owner may read the key file.
    #[error("the key file {} has mode {mode:o}: others can read the key; set it to 400 or 600", path.display())]
    Mode {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds no key.
    #[error("the key file {} holds no key: 32 bytes or 64 hex digits are one", path.display())]
    Form {
        /// Which.
        path: PathBuf,
    },
    /// The secret was sealed with another key.
    #[error("sealed with key {theirs}, but the vault holds key {ours}")]
    OtherKey {
        /// The key's id in the row.
        theirs: String,
        /// The id of the key at hand.
        ours: String,
    },
    /// The secret was sealed for somebody else, or was changed.
    #[error("the sealed secret does not open: it was changed, or sealed for another owner")]
    DoesNotOpen,
    /// The secret could not be sealed.
    #[error("the secret could not be sealed")]
    NotSealed,
}

/// The key and its id.
pub struct Vault {
    key: Zeroizing<[u8; KEY_BYTES]>,
    key_id: String,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault(key {}, [redacted])", self.key_id)
    }
}

impl Vault {
    /// Reads the key.
    ///
    /// # Errors
    /// When the file cannot be read, holds no key, or can be read by others than its owner.
    pub fn open(key_file: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File { path: key_file.to_owned(), source };
        let file = File::open(key_file).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(Error::Mode { path: key_file.to_owned(), mode });
        }
        // One byte more than any key has: a longer file is no key, whatever its length.
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES * 2 + 3));
        file.take(KEY_BYTES as u64 * 2 + 3).read_to_end(&mut bytes).map_err(failed)?;
        let key = key_of(&bytes).ok_or_else(|| Error::Form { path: key_file.to_owned() })?;
        Ok(Self { key_id: id_of(&key), key })
    }

    /// Makes a new key in a new file that only its owner can read.
    ///
    /// # Errors
    /// When the file exists already, or cannot be written.
    pub fn create_key_file(path: &Path, entropy: &Entropy) -> Result<(), Error> {
        let failed = |source| Error::File { path: path.to_owned(), source };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        entropy.fill("vault key", key.as_mut());
        let text = Zeroizing::new(format!("{}\n", hex::encode(key.as_ref())));
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
    }

    /// Which key this is: safe to show.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Seals a secret for its owner.
    ///
    /// # Errors
    /// Never in practice: a token is far smaller than the cipher's limit.
    pub fn seal(&self, owner: &GrantId, secret: &Secret, entropy: &Entropy) -> Result<Sealed, Error> {
        let mut nonce = [0; NONCE_BYTES];
        entropy.fill("vault nonce", &mut nonce);
        let bound = bound_to(owner, &self.key_id);
        let payload = Payload { msg: secret.expose().as_bytes(), aad: &bound };
        let sealed = self.cipher().encrypt(&XNonce::from(nonce), payload).map_err(|_| Error::NotSealed)?;
        let mut bytes = vec![XCHACHA20_POLY1305];
        bytes.extend(nonce);
        bytes.extend(sealed);
        Ok(Sealed { key_id: self.key_id.clone(), bytes })
    }

    /// Opens what was sealed for this owner.
    ///
    /// # Errors
    /// When it was sealed with another key or for another owner, or was changed.
    pub fn open_sealed(&self, owner: &GrantId, sealed: &Sealed) -> Result<Secret, Error> {
        if sealed.key_id != self.key_id {
            return Err(Error::OtherKey { theirs: sealed.key_id.clone(), ours: self.key_id.clone() });
        }
        let Some((&XCHACHA20_POLY1305, rest)) = sealed.bytes.split_first() else { return Err(Error::DoesNotOpen) };
        let Some((nonce, sealed)) = rest.split_first_chunk::<NONCE_BYTES>() else { return Err(Error::DoesNotOpen) };
        let bound = bound_to(owner, &self.key_id);
        let payload = Payload { msg: sealed, aad: &bound };
        let opened = self.cipher().decrypt(&XNonce::from(*nonce), payload).map_err(|_| Error::DoesNotOpen)?;
        String::from_utf8(opened).map(Secret::new).map_err(|error| {
            error.into_bytes().zeroize();
            Error::DoesNotOpen
        })
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.key))
    }
}

fn key_of(bytes: &[u8]) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    if bytes.len() == KEY_BYTES {
        key.copy_from_slice(bytes);
    } else {
        hex::decode_to_slice(bytes.trim_ascii_end(), key.as_mut()).ok()?;
    }
    Some(key)
}

/// Tells keys apart without telling anything of the key.
fn id_of(key: &[u8; KEY_BYTES]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(b"rebalanced vault key id");
    hasher.update(key);
    let mut id = hex::encode(hasher.finalize());
    id.truncate(16);
    id
}

/// What a sealed secret is bound to, each part with its length before it.
fn bound_to(owner: &GrantId, key_id: &str) -> Vec<u8> {
    let mut bound = Vec::new();
    for part in [KIND, owner.as_str(), key_id] {
        bound.extend((part.len() as u64).to_be_bytes());
        bound.extend(part.as_bytes());
    }
    bound
}
