//! Reads merged texts as the types they stand for, and keeps every fault rather than stopping at the first.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use url::{Host, Url};
use zeroize::Zeroizing;

use crate::app::settings::layers::{Fault, Found, Merged, Origin, Sources};
use crate::edge::vault;
use crate::model::secret::Secret;

/// How a key is shown to people: its text, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The value; `set` or `missing` for a secret.
    pub value: String,
    /// Where it comes from.
    pub origin: String,
}

/// A reader of merged values.
pub struct Reader<'a> {
    merged: &'a Merged,
    credentials: Option<&'a Path>,
    environment: &'a [(String, String)],
    /// Live trading is on: then secrets must be where nobody else can reach them.
    strict: bool,
    /// Every fault so far.
    pub faults: Vec<Fault>,
    /// Every key read so far, as it may be shown.
    pub shown: BTreeMap<&'static str, Shown>,
}

impl<'a> Reader<'a> {
    /// Reads from merged layers.
    pub fn new(merged: &'a Merged, sources: &'a Sources, faults: Vec<Fault>) -> Self {
        let is_on = |found: &Found| found.texts.iter().any(|text| text.trim() == "true");
        let strict = merged.get("alpaca.live_trading").is_some_and(is_on);
        Self {
            merged,
            credentials: sources.credentials.as_deref(),
            environment: &sources.environment,
            strict,
            faults,
            shown: BTreeMap::new(),
        }
    }

    /// Notes a fault of a key.
    pub fn fault(&mut self, key: &str, what: impl Into<String>, mend: impl Into<String>) {
        let origin = self.merged.get(key).map(|found| found.origin.clone());
        self.faults.push(Fault { origin, what: what.into(), mend: mend.into() });
    }

    /// Notes how a key is shown.
    pub fn show(&mut self, key: &'static str, value: impl Into<String>) {
        let origin = self.merged.get(key).map_or_else(|| "-".to_owned(), |found| found.origin.to_string());
        self.shown.insert(key, Shown { value: value.into(), origin });
    }

    fn found(&self, key: &str) -> Option<&'a Found> {
        self.merged.get(key).filter(|found| found.texts.iter().any(|text| !text.is_empty()))
    }

    /// A text, unshown.
    pub fn unshown(&mut self, key: &str) -> Option<String> {
        let found = self.found(key)?;
        if let [text] = found.texts.as_slice() {
            return Some(text.clone());
        }
        self.fault(key, format!("`{key}` is a list"), "give one value");
        None
    }

    /// A text.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        let text = self.unshown(key);
        self.show(key, text.clone().unwrap_or_else(|| "missing".to_owned()));
        text
    }

    /// A list of texts; the environment writes it with commas.
    pub fn list(&mut self, key: &'static str) -> Vec<String> {
        let texts = self.found(key).map(|found| found.texts.clone()).unwrap_or_default();
        let parts = texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|part| !part.is_empty());
        let list: Vec<String> = parts.map(str::to_owned).collect();
        self.show(key, format!("[{}]", list.join(", ")));
        list
    }

    /// A value of any type that reads itself from text; `wanted` says what would be one.
    pub fn parsed<T: FromStr>(&mut self, key: &'static str, wanted: &str) -> Option<T> {
        let text = self.text(key)?;
        let value = text.trim().parse().ok();
        if value.is_none() {
            self.fault(key, format!("`{key}` is `{text}`"), format!("it must be {wanted}"));
        }
        value
    }

    /// A switch. What cannot be read is off.
    pub fn flag(&mut self, key: &'static str) -> bool {
        self.parsed(key, "true or false").unwrap_or(false)
    }

    /// A whole number inside a range. What cannot be read is the smallest.
    pub fn whole(&mut self, key: &'static str, (least, most): (u32, u32)) -> u32 {
        let wanted = format!("a whole number from {least} to {most}");
        let Some(number) = self.parsed::<u32>(key, &wanted) else { return least };
        if (least..=most).contains(&number) {
            return number;
        }
        self.fault(key, format!("`{key}` is {number}"), format!("it must be {wanted}"));
        least
    }

    /// An address to listen on.
    pub fn listen(&mut self, key: &'static str) -> SocketAddr {
        self.parsed(key, "an address and a port such as 127.0.0.1:8080")
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// An address that tokens may travel to: encrypted, or on this machine.
    pub fn url(&mut self, key: &'static str, (secure, plain): (&str, &str)) -> Option<Url> {
        let text = self.text(key)?;
        let wanted = format!("an address such as {secure}://host/path");
        let url = match Url::parse(&text) {
            Ok(url) if url.has_host() => url,
            _ => {
                self.fault(key, format!("`{key}` is `{text}`"), format!("it must be {wanted}"));
                return None;
            }
        };
        if url.scheme() == secure || (url.scheme() == plain && is_loopback(&url)) {
            return Some(url);
        }
        let what = format!("`{key}` is `{text}`, where tokens would travel unprotected");
        self.fault(key, what, format!("it must be {wanted}; {plain} is only for this machine"));
        None
    }

    /// A path, relative to the folder of the file that names it.
    pub fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        let text = self.unshown(key)?;
        let path = self.resolved(key, Path::new(&text));
        self.show(key, path.display().to_string());
        Some(path)
    }

    /// Puts a relative path under the folder of the file that names it.
    pub fn resolved(&self, key: &str, path: &Path) -> PathBuf {
        match self.merged.get(key).map(|found| &found.origin) {
            Some(Origin::File(file, _)) => file.parent().map_or_else(|| path.to_owned(), |folder| folder.join(path)),
            _ => path.to_owned(),
        }
    }

    /// The file of a secret: what the `*_file` key names, or else the credential of the same name.
    pub fn secret_file(&mut self, key: &'static str) -> Option<PathBuf> {
        let credential = key.strip_suffix("_file").unwrap_or(key);
        let credential = match key {
            "vault.key_file" => "vault.key",
            "vault.previous_key_file" => "vault.previous.key",
            _ => credential,
        };
        if let Some(path) = self.path(key) {
            self.show(key, "set");
            self.guard(key, &path);
            return Some(path);
        }
        let path = self.credentials.map(|folder| folder.join(credential)).filter(|path| path.is_file());
        if let Some(path) = &path {
            self.guard(key, path);
        }
        let origin = Origin::Credential(credential.to_owned()).to_string();
        let shown = match &path {
            Some(_) => Shown { value: "set".to_owned(), origin },
            None => Shown { value: "missing".to_owned(), origin: "-".to_owned() },
        };
        self.shown.insert(key, shown);
        path
    }

    /// With live trading on, the vault's keys have exactly the mode 0400, and no secret is anybody else's to read. What the
    /// service manager hands over is guarded by it.
    fn guard(&mut self, key: &'static str, path: &Path) {
        // A folder that anybody may name in the environment is no proof: the service manager's own place is.
        if !self.strict || vault::is_handed_over(path) {
            return;
        }
        let Ok(found) = std::fs::metadata(path) else { return };
        let mode = found.permissions().mode() & 0o777;
        let is_key = key.starts_with("vault.");
        if (is_key && mode != 0o400) || mode & 0o077 != 0 {
            let what =
                format!("`{key}` names {}, whose mode is {mode:04o}: too wide with live trading on", path.display());
            self.fault(key, what, format!("make it private: chmod 0400 {}", path.display()));
        }
    }

    /// Refuses a password in an address while live trading is on, unless the file that holds it is its owner's alone; and one
    /// that the database's own client would take from the environment.
    pub fn guard_password(&mut self, key: &'static str) {
        if !self.strict {
            return;
        }
        self.not_from_environment(key);
        if let Some(Origin::File(file, _)) = self.merged.get(key).map(|found| found.origin.clone())
            && std::fs::metadata(&file).is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
        {
            let what = format!("`{key}` holds a password, and others can read {}", file.display());
            self.fault(key, what, format!("put the address into a file of its own: `{key}_file`"));
        }
    }

    /// Refuses variables by which the database's client would find a password on its own.
    pub fn no_foreign_passwords(&mut self, key: &'static str) {
        for name in ["PGPASSWORD", "PGPASSFILE"] {
            if self.strict && self.environment.iter().any(|(set, _)| set == name) {
                let what = format!("{name} is set, which is refused with live trading on");
                self.fault(key, what, format!("unset it, and name a file: `{key}_file`"));
            }
        }
    }

    /// Refuses a secret that came through the environment while live trading is on: other programs can read it there.
    pub fn not_from_environment(&mut self, key: &'static str) {
        let from = self.merged.get(key).map(|found| found.origin.clone());
        if let (true, Some(Origin::Environment(name))) = (self.strict, from) {
            let what =
                format!("{name} carries a secret through the environment, which is refused with live trading on");
            self.fault(key, what, format!("put it into a file and name that: `{key}_file`"));
        }
    }

    /// A secret from its file, without the line's end.
    pub fn secret(&mut self, key: &'static str) -> Option<Secret> {
        let path = self.secret_file(key)?;
        // Mode and text are of one and the same file, whatever happens to its name meanwhile.
        let (fault, mend) = match read(&path) {
            Ok((mode, _)) if mode & 0o007 != 0 || (self.strict && mode & 0o037 != 0) => {
                ("can be read by everybody".to_owned(), "make it private: chmod 0400")
            }
            Ok((_, text)) if text.trim().is_empty() => ("is empty".to_owned(), "put the secret into that file"),
            Ok((_, text)) => return Some(Secret::new(text.trim().to_owned())),
            Err(error) => (format!("cannot be read: {error}"), "put the secret into that file"),
        };
        self.show(key, "missing");
        self.fault(key, format!("`{key}` names {}, which {fault}", path.display()), mend);
        None
    }
}

/// The permission bits and the text of a file.
fn read(path: &Path) -> std::io::Result<(u32, Zeroizing<String>)> {
    let mut file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text)?;
    Ok((mode, text))
}

/// Whether an address is on this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
