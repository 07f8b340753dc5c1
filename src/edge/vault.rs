//! Keeper of the tokens: what it seals is useless without the key, and opens only for the owner it was sealed for.
//!
//! An envelope: each token is sealed with a data key of its own, and the data key with the vault's key, which is never in
//! the database. Rotation seals the data keys again and leaves the tokens as they are. Both layers are
//! XChaCha20-Poly1305 with random 192-bit nonces. Grant, user, kind of secret and version of the form are authenticated
//! with the token, and the vault key's id with the data key, so a ciphertext that was moved to another row does not open
//! (S9, row 80). Keys come from files that only their owner can read; nothing here ever prints a key or a secret.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::edge::entropy::Entropy;
use crate::model::ids::{GrantId, UserId};
use crate::model::secret::{Sealed, Secret};

/// The first byte of every sealed secret: its form, so that another can follow. It is authenticated, too.
const ENVELOPE: u8 = 2;

const NONCE_BYTES: usize = 24;
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const WRAPPED_BYTES: usize = NONCE_BYTES + KEY_BYTES + TAG_BYTES;

/// What is sealed; part of what is authenticated, so that one kind never opens as another.
const TOKEN: &str = "access token";
const DATA_KEY: &str = "data key";

/// Where the service manager hands over credentials. It lets one service read them by an access list, which shows as a
/// mode with group bits that nobody else has.
const CREDENTIALS: &str = "/run/credentials/";

/// Whose secret it is: part of what is authenticated.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// The grant.
    pub grant: &'a GrantId,
    /// The user who gave it.
    pub user: &'a UserId,
}

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

/// A key that seals data keys, and its id.
struct KeyKey {
    key: Zeroizing<[u8; KEY_BYTES]>,
    id: String,
}

/// The key in use, and those that it replaces; clones share them.
#[derive(Clone)]
pub struct Vault {
    current: Arc<KeyKey>,
    previous: Vec<Arc<KeyKey>>,
    keeping: Keeping,
}

/// How the file of a key must be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// Nobody but its owner can read it.
    Private,
    /// The same, and nobody can write it: mode 0400, for live trading.
    ReadOnly,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault(key {}, {} before it, [redacted])", self.current.id, self.previous.len())
    }
}

impl Vault {
    /// Reads the key.
    ///
    /// # Errors
    /// When the file cannot be read, holds no key, or can be read by others than its owner.
    pub fn open(key_file: &Path) -> Result<Self, Error> {
        Self::open_as(key_file, Keeping::Private)
    }

    /// Reads the key, which must be kept in this way.
    ///
    /// # Errors
    /// As [`Vault::open`], and when it is kept otherwise.
    pub fn open_as(key_file: &Path, keeping: Keeping) -> Result<Self, Error> {
        Ok(Self { current: Arc::new(KeyKey::read(key_file, keeping)?), previous: Vec::new(), keeping })
    }

    /// Also opens, and never seals, with the key of this file: for the time of a rotation.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn and_previous(mut self, key_file: &Path) -> Result<Self, Error> {
        self.previous.push(Arc::new(KeyKey::read(key_file, self.keeping)?));
        Ok(self)
    }

    /// Makes a new key in a new file that only its owner can read.
    ///
    /// # Errors
    /// When the file exists already, or cannot be written.
    pub fn create_key_file(path: &Path, entropy: &Entropy) -> Result<(), Error> {
        let failed = |source| Error::File { path: path.to_owned(), source };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(path).map_err(failed)?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        entropy.fill("vault key", key.as_mut());
        let text = Zeroizing::new(format!("{}\n", hex::encode(key.as_ref())));
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
    }

    /// Which key seals: safe to show.
    pub fn key_id(&self) -> &str {
        &self.current.id
    }

    /// Seals a secret for its owner, with a data key of its own.
    ///
    /// # Errors
    /// Never in practice: a token is far smaller than the cipher's limit.
    pub fn seal(&self, owner: Owner<'_>, secret: &Secret, entropy: &Entropy) -> Result<Sealed, Error> {
        let mut data_key = Zeroizing::new([0; KEY_BYTES]);
        entropy.fill("vault data key", data_key.as_mut());
        let mut bytes = vec![ENVELOPE];
        bytes.extend(self.current.wrap(owner, &data_key, entropy)?);
        bytes.extend(sealed(&data_key, secret.expose().as_bytes(), &bound(TOKEN, owner, ""), entropy)?);
        Ok(Sealed { key_id: self.current.id.clone(), bytes })
    }

    /// Opens what was sealed for this owner.
    ///
    /// # Errors
    /// When it was sealed with another key or for another owner, or was changed.
    pub fn open_sealed(&self, owner: Owner<'_>, sealed: &Sealed) -> Result<Secret, Error> {
        let (wrapped, token) = parts(sealed)?;
        let data_key = self.key_of_row(sealed)?.unwrap(owner, wrapped)?;
        let mut text = opened(&data_key, token, &bound(TOKEN, owner, ""))?;
        String::from_utf8(std::mem::take(&mut *text)).map(Secret::new).map_err(|error| {
            error.into_bytes().zeroize();
            Error::DoesNotOpen
        })
    }

    /// The same secret with its data key sealed by the current key; `None` when it is already. The secret itself is not
    /// opened.
    ///
    /// # Errors
    /// As [`Vault::open_sealed`].
    pub fn rewrap(&self, owner: Owner<'_>, sealed: &Sealed, entropy: &Entropy) -> Result<Option<Sealed>, Error> {
        if sealed.key_id == self.current.id {
            return Ok(None);
        }
        let (wrapped, token) = parts(sealed)?;
        let data_key = self.key_of_row(sealed)?.unwrap(owner, wrapped)?;
        let mut bytes = vec![ENVELOPE];
        bytes.extend(self.current.wrap(owner, &data_key, entropy)?);
        bytes.extend(token);
        Ok(Some(Sealed { key_id: self.current.id.clone(), bytes }))
    }

    fn key_of_row(&self, sealed: &Sealed) -> Result<&KeyKey, Error> {
        std::iter::once(&self.current)
            .chain(&self.previous)
            .map(Arc::as_ref)
            .find(|key| key.id == sealed.key_id)
            .ok_or_else(|| Error::OtherKey { theirs: sealed.key_id.clone(), ours: self.current.id.clone() })
    }
}

impl KeyKey {
    fn read(key_file: &Path, keeping: Keeping) -> Result<Self, Error> {
        let failed = |source| Error::File { path: key_file.to_owned(), source };
        let file = File::open(key_file).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        let refused = match keeping {
            _ if is_handed_over(key_file) => 0o037,
            Keeping::Private => 0o077,
            Keeping::ReadOnly => 0o377,
        };
        // Of the very file that is read, whatever happens to its name.
        if mode & refused != 0 {
            return Err(Error::Mode { path: key_file.to_owned(), mode });
        }
        // One byte more than any key has: a longer file is no key, whatever its length.
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES * 2 + 3));
        file.take(KEY_BYTES as u64 * 2 + 3).read_to_end(&mut bytes).map_err(failed)?;
        let key = key_of(&bytes).ok_or_else(|| Error::Form { path: key_file.to_owned() })?;
        Ok(Self { id: id_of(&key), key })
    }

    fn wrap(&self, owner: Owner<'_>, data_key: &[u8; KEY_BYTES], entropy: &Entropy) -> Result<Vec<u8>, Error> {
        sealed(&self.key, data_key, &bound(DATA_KEY, owner, &self.id), entropy)
    }

    fn unwrap(&self, owner: Owner<'_>, wrapped: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, Error> {
        let bytes = opened(&self.key, wrapped, &bound(DATA_KEY, owner, &self.id))?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if bytes.len() != KEY_BYTES {
            return Err(Error::DoesNotOpen);
        }
        key.copy_from_slice(&bytes);
        Ok(key)
    }
}

/// Whether a file lies where the service manager puts what it hands over.
pub fn is_handed_over(file: &Path) -> bool {
    lies_in(file, Path::new(CREDENTIALS))
}

/// Whether a file really lies in a folder. Its name alone says nothing: `..` and links lead elsewhere. What cannot be looked at
/// does not.
pub fn lies_in(file: &Path, folder: &Path) -> bool {
    match (file.canonicalize(), folder.canonicalize()) {
        (Ok(file), Ok(folder)) => file.starts_with(folder),
        _ => false,
    }
}

/// The wrapped data key and the sealed token.
fn parts(sealed: &Sealed) -> Result<(&[u8], &[u8]), Error> {
    let Some((&ENVELOPE, rest)) = sealed.bytes.split_first() else { return Err(Error::DoesNotOpen) };
    let (wrapped, token) = rest.split_first_chunk::<WRAPPED_BYTES>().ok_or(Error::DoesNotOpen)?;
    Ok((wrapped, token))
}

/// A random nonce, then the ciphertext.
fn sealed(key: &[u8; KEY_BYTES], secret: &[u8], bound: &[u8], entropy: &Entropy) -> Result<Vec<u8>, Error> {
    let mut nonce = [0; NONCE_BYTES];
    entropy.fill("vault nonce", &mut nonce);
    let payload = Payload { msg: secret, aad: bound };
    let cipher = XChaCha20Poly1305::new(&Key::from(*key));
    let sealed = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| Error::NotSealed)?;
    Ok([nonce.as_slice(), &sealed].concat())
}

fn opened(key: &[u8; KEY_BYTES], sealed: &[u8], bound: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(Error::DoesNotOpen)?;
    let cipher = XChaCha20Poly1305::new(&Key::from(*key));
    let payload = Payload { msg: sealed, aad: bound };
    cipher.decrypt(&XNonce::from(*nonce), payload).map(Zeroizing::new).map_err(|_| Error::DoesNotOpen)
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
fn bound(kind: &str, owner: Owner<'_>, key_id: &str) -> Vec<u8> {
    let mut bound = vec![ENVELOPE];
    for part in [kind, owner.grant.as_str(), owner.user.as_str(), key_id] {
        bound.extend((part.len() as u64).to_be_bytes());
        bound.extend(part.as_bytes());
    }
    bound
}
