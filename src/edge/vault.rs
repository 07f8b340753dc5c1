//! Keeper of the tokens: sealed at rest with XChaCha20-Poly1305 under a key that never touches the database.
//!
//! The owner and the key's id are bound into the seal, so a ciphertext that was moved to another row does not open (S9).
//! Nonces have 192 random bits and are made here; a caller cannot choose one.

use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::edge::entropy::Entropy;
use crate::model::ids::GrantId;
use crate::model::secret::{Sealed, Secret};

/// The first byte of every seal: which algorithm, so that another can follow.
const XCHACHA20_POLY1305: u8 = 1;

const NONCE_BYTES: usize = 24;

/// Why the vault does not open, or a seal does not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key file cannot be read.
    #[error("the vault's key file {path} cannot be read; make one with `rebalanced keys new --file {path}`")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The key file is open to others.
    #[error("the vault's key file {path} has mode {mode:04o}: others may read it; `chmod 0400 {path}`")]
    Open {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The key file holds no key.
    #[error("the vault's key file {path} holds no key: 32 bytes, or 64 hex digits, are one")]
    NotAKey {
        /// Which.
        path: PathBuf,
    },
    /// The key file cannot be written.
    #[error("the key file {path} cannot be written; an existing file is never overwritten")]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The seal was made with another key.
    #[error("the seal was made with key {sealed}, the vault has key {ours}")]
    OtherKey {
        /// The seal's key id.
        sealed: String,
        /// The vault's key id.
        ours: String,
    },
    /// The seal was changed, moved to another owner, or is none.
    #[error("the seal does not open: it was changed, or belongs to another owner")]
    Broken,
}

/// An opened vault.
pub struct Vault {
    cipher: XChaCha20Poly1305,
    key_id: String,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault(key {})", self.key_id)
    }
}

impl Vault {
    /// Opens the vault with a key file that only its owner may read.
    ///
    /// # Errors
    /// When the file cannot be read, may be read by others, or holds no key.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
        let found = fs::metadata(path).map_err(unreadable)?;
        let mode = found.permissions().mode() & 0o777;
        if mode & open_bits(found.uid()) != 0 {
            return Err(Error::Open { path: path.to_owned(), mode });
        }
        let bytes = Zeroizing::new(fs::read(path).map_err(unreadable)?);
        let key = key_of(&bytes).ok_or_else(|| Error::NotAKey { path: path.to_owned() })?;
        let key_id = hex::encode(Sha256::digest([b"rebalanced vault key id:".as_slice(), key.as_slice()].concat()));
        let cipher = XChaCha20Poly1305::new(&Key::from(*key));
        Ok(Self { cipher, key_id: key_id.chars().take(16).collect() })
    }

    /// Writes a new key file with mode 0400.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create_key_file(path: &Path, entropy: &Entropy) -> Result<(), Error> {
        let unwritable = |source| Error::Unwritable { path: path.to_owned(), source };
        let key = Zeroizing::new(entropy.token("vault_key", 32));
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(path).map_err(unwritable)?;
        file.write_all(key.as_bytes()).and_then(|()| file.sync_all()).map_err(unwritable)
    }

    /// The id of the key, which reveals nothing of it.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Seals a token for its grant.
    ///
    /// # Errors
    /// Never in practice: the cipher refuses only messages of many gigabytes.
    pub fn seal(&self, owner: &GrantId, secret: &Secret, entropy: &Entropy) -> Result<Sealed, Error> {
        let mut nonce = [0; NONCE_BYTES];
        entropy.fill("vault_nonce", &mut nonce);
        let bound = self.bound_to(owner, &self.key_id);
        let payload = Payload { msg: secret.expose().as_bytes(), aad: &bound };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| Error::Broken)?;
        let bytes = [&[XCHACHA20_POLY1305], nonce.as_slice(), sealed.as_slice()].concat();
        Ok(Sealed { key_id: self.key_id.clone(), bytes })
    }

    /// Opens a seal for the grant that it was made for.
    ///
    /// # Errors
    /// When it was made with another key, for another grant, or was changed.
    pub fn open_sealed(&self, owner: &GrantId, sealed: &Sealed) -> Result<Secret, Error> {
        if sealed.key_id != self.key_id {
            return Err(Error::OtherKey { sealed: sealed.key_id.clone(), ours: self.key_id.clone() });
        }
        let (algorithm, rest) = sealed.bytes.split_first().ok_or(Error::Broken)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(Error::Broken)?;
        if *algorithm != XCHACHA20_POLY1305 {
            return Err(Error::Broken);
        }
        let bound = self.bound_to(owner, &sealed.key_id);
        let payload = Payload { msg: ciphertext, aad: &bound };
        let opened = self.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| Error::Broken)?;
        String::from_utf8(opened).map(Secret::new).map_err(|_| Error::Broken)
    }

    /// What a seal is bound to, besides its content.
    fn bound_to(&self, owner: &GrantId, key_id: &str) -> Vec<u8> {
        format!("rebalanced|oauth token|v1|{owner}|{key_id}").into_bytes()
    }
}

/// Permissions that a key file must not have. Our own file is for us alone. One that belongs to somebody else is readable
/// to us only through its group or an access list, which shows as the group's bits: so a service manager hands over
/// credentials (mode 0440, owned by root).
fn open_bits(owner: u32) -> u32 {
    let ours = fs::metadata("/proc/self").map_or(owner, |process| process.uid());
    if owner == ours { 0o077 } else { 0o037 }
}

fn key_of(bytes: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    if let Ok(raw) = <[u8; 32]>::try_from(bytes) {
        return Some(Zeroizing::new(raw));
    }
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text, &mut *key).ok()?;
    Some(key)
}
