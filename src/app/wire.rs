//! From settings to the parts of the outside. This is the only place that builds them; parts get the few values they need,
//! never the settings.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};

use crate::app::failure::Failure;
use crate::app::settings::Settings;
use crate::edge::World;
use crate::edge::alpaca::transport::Wire;
use crate::edge::alpaca::{AppCredentials, Client, DataKey, Hosts, Streams, snapshot_from_json};
use crate::edge::clock::{Clock, RemoteClock};
use crate::edge::entropy::Entropy;
use crate::edge::metrics::Metrics;
use crate::edge::notary::Notary;
use crate::edge::points::{Killer, Points};
use crate::edge::sessions;
use crate::edge::store::Store;
use crate::edge::strategies::{Catalog, FileFault, load_dir};
use crate::edge::switch::Switch;
use crate::edge::vault::{Keeping, Vault};
use crate::flow::approve::Desk;
use crate::flow::connect;
use crate::model::ids::StrategyName;
use crate::model::mandate::ServicePolicy;
use crate::model::secret::Secret;
use crate::model::snapshot::Snapshot;
use crate::model::strategy::Strategy;

/// What a command needs of the outside; it has no broker and opens no token.
pub struct Means {
    /// What is remembered.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Names for new things.
    pub entropy: Entropy,
}

impl Means {
    /// The same, as the stories take it.
    pub fn desk(&self) -> Desk<'_> {
        Desk { store: &self.store, clock: &self.clock, entropy: &self.entropy }
    }
}

/// Whether a database file that does not exist is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// The daemon makes one.
    MayBeNew,
    /// A command would show an empty database instead of the real one.
    MustExist,
}

/// Opens what a command needs.
///
/// # Errors
/// When no database is named, or it does not open, or the clock cannot be reached.
pub async fn means(settings: &Settings, database: Database) -> Result<Means, Failure> {
    let url = database_url(settings)?;
    let store = match database {
        Database::MustExist => existing_store(url).await?,
        Database::MayBeNew => open_store(url).await?,
    };
    let clock = clock(settings).await?;
    Ok(Means { store: store.with_points(points(settings)), clock, entropy: Entropy::system() })
}

/// Opens a database that must be there.
///
/// # Errors
/// When it is not, or does not open.
pub async fn existing_store(url: &str) -> Result<Store, Failure> {
    if let Some(path) = sqlite_path(url).filter(|path| !path.exists()) {
        let what = format!("there is no database {}", path.display());
        return Err(Failure::Other(anyhow!("{what}: `rebalanced run` makes it, or name the right one with --config")));
    }
    Ok(open_store(url).await?)
}

/// Nobody watches the points, unless a test wants the program killed at one of them.
fn points(settings: &Settings) -> Points {
    let killer = settings.kill_at.map(|(point, nth)| Points::watched(Arc::new(Killer::new(point, nth))));
    killer.unwrap_or_default()
}

async fn open_store(url: &str) -> anyhow::Result<Store> {
    Store::open(url).await.context("the database does not open (`database.url`)")
}

fn database_url(settings: &Settings) -> Result<&str, Failure> {
    let missing = "`database.url` is missing: name the configuration with --config FILE";
    settings.database.as_ref().map(Secret::expose).ok_or_else(|| Failure::input(missing))
}

fn sqlite_path(url: &str) -> Option<PathBuf> {
    url.strip_prefix("sqlite:").filter(|path| !path.starts_with(':')).map(PathBuf::from)
}

async fn clock(settings: &Settings) -> anyhow::Result<Clock> {
    Ok(match &settings.clock {
        None => Clock::System,
        Some(url) => {
            let remote = RemoteClock::connect(url.clone()).await;
            Clock::Remote(remote.with_context(|| format!("the clock at {url} cannot be read (`clock.url`)"))?)
        }
    })
}

/// Reads the strategies of a folder: the valid ones, and what is wrong with the others.
///
/// # Errors
/// When the folder cannot be read.
pub fn strategies(folder: &Path) -> Result<(Catalog, Vec<FileFault>), Failure> {
    load_dir(folder).map_err(|error| {
        let why = anyhow::Error::new(error);
        Failure::input(format!(
            "the strategies in {} cannot be read: {why:#}; `strategies.dir`, or `check --strategies`, names the folder",
            folder.display()
        ))
    })
}

/// The strategy of this name, as its file is now.
///
/// # Errors
/// When there is none, or its file is not valid.
pub fn strategy(folder: &Path, name: &StrategyName) -> Result<Arc<Strategy>, Failure> {
    let (catalog, faults) = strategies(folder)?;
    if let Some(strategy) = catalog.get(name) {
        return Ok(Arc::clone(strategy));
    }
    let known: Vec<&str> = catalog.iter().map(|strategy| strategy.name().as_str()).collect();
    let what = format!("no valid strategy in {} is named `{name}`; there are: {}", folder.display(), known.join(", "));
    Err(Failure::Input(if faults.is_empty() { what } else { format!("{what}\n{}", lines(&faults)) }))
}

/// Reads a snapshot, which is made of Alpaca's own JSON.
///
/// # Errors
/// When the file cannot be read as one.
pub fn snapshot(file: &Path) -> Result<Snapshot, Failure> {
    let named = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::input(format!("{named}: this snapshot cannot be read: {error}; give a readable file"))
    })?;
    snapshot_from_json(&text).map_err(|fault| Failure::input(format!("{named}: {fault}")))
}

/// One fault per line.
pub fn lines(faults: &[impl fmt::Display]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Opens the vault with the key in force and, while a rotation lasts, the one before it.
///
/// # Errors
/// When a key is missing or cannot be used; the message names the file and the setting.
pub fn vault(settings: &Settings) -> anyhow::Result<Vault> {
    let file = settings
        .vault_key
        .as_deref()
        .context("`vault.key_file` is missing; make one with `rebalanced keys new --file PATH`")?;
    let keeping = if settings.policy.live_trading { Keeping::ReadOnly } else { Keeping::Private };
    let vault = Vault::open_as(file, keeping)
        .with_context(|| format!("the key in {} cannot be used (`vault.key_file`)", file.display()))?;
    let Some(file) = settings.previous_vault_key.as_deref() else { return Ok(vault) };
    vault
        .and_previous(file)
        .with_context(|| format!("the key in {} cannot be used (`vault.previous_key_file`)", file.display()))
}

/// Who signs the audit's end, and where to; `None` when it is not configured.
///
/// # Errors
/// When the key is none, or only one of the two settings is there.
pub fn notary(settings: &mut Settings) -> anyhow::Result<Option<(Notary, PathBuf)>> {
    match (settings.audit_key.take(), settings.checkpoint_file.clone()) {
        (None, None) => Ok(None),
        (Some(key), Some(file)) => Ok(Some((Notary::new(&key).context("`audit.key_file` cannot be used")?, file))),
        (None, Some(_)) => Err(anyhow!("`audit.checkpoint_file` is set, but `audit.key_file` is not")),
        (Some(_), None) => Err(anyhow!("`audit.key_file` is set, but `audit.checkpoint_file` is not")),
    }
}

/// Builds the whole outside for the daemon.
///
/// # Errors
/// When a part of it does not open; the message names the part and the key.
pub async fn world(settings: &mut Settings, strategies: Catalog) -> anyhow::Result<World> {
    let url = settings.database.as_ref().map(Secret::expose).context("`database.url` is missing")?;
    let app = settings.app.take().context("the app's registration is missing (`alpaca.client_id`)")?;
    let clock = clock(settings).await?;
    let metrics = Metrics::new();
    let points = points(settings);
    let hosts = hosts(settings);
    let transport = Arc::new(Wire::new(&hosts).context("the HTTP client does not start")?);
    let credentials = AppCredentials {
        client_id: app.client_id,
        client_secret: app.client_secret,
        redirect_uri: app.redirect_uri,
        pkce: app.pkce,
    };
    let consent_texts = connect::consent_texts(strategies.iter(), &settings.consent_note);
    let data_key = settings.data_key.take().map(|key| DataKey { id: key.id, secret: key.secret });
    Ok(World {
        vault: vault(settings)?,
        sessions: sessions::builtin().context("the built-in table of sessions cannot be read")?,
        store: open_store(url).await?.with_points(points.clone()),
        alpaca: Client::new(hosts, credentials, data_key, transport, clock.clone(), metrics.clone(), points.clone()),
        clock,
        entropy: Entropy::system(),
        metrics,
        points,
        strategies,
        policy: ServicePolicy { consent_texts, ..settings.policy.clone() },
        consent_note: settings.consent_note.clone(),
        switch: Switch::with_file(settings.halt_file.clone()),
        order_wait: settings.runs.order_wait,
    })
}

/// Alpaca's hosts as the client takes them.
pub fn hosts(settings: &Settings) -> Hosts {
    let addresses = settings.alpaca.clone();
    Hosts {
        live: addresses.live,
        paper: addresses.paper,
        data: addresses.data,
        authorize: addresses.authorize,
        token: addresses.token,
        streams: addresses
            .trade_updates
            .then_some(Streams { live: addresses.live_stream, paper: addresses.paper_stream }),
    }
}
