//! `audit`: walk the chain of events, or write it out.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Subcommand;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::app::commands::Context;
use crate::app::failure::Failure;
use crate::app::shown;
use crate::app::wire::{self, Means};
use crate::edge::notary::{self, Notary};
use crate::edge::store::Store;
use crate::flow::trace;
use crate::flow::verify::{self, Walk};
use crate::model::event::Checkpoint;

/// Events are read in pages of this size, so that memory stays bounded.
const PAGE: i64 = 1000;

/// Arguments of `audit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done with the audit.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Walk the whole chain: every place filled, every hash right, every checkpoint met.
    Verify {
        /// An export instead of the database; needs no configuration and no secret.
        #[arg(long, value_name = "FILE", conflicts_with = "database")]
        export: Option<PathBuf>,
        /// The database's address; then no configuration is read, and no secret. Without it the configuration names it.
        #[arg(long, value_name = "URL")]
        database: Option<String>,
        /// The daemon's signed checkpoints (`audit.checkpoint_file`): they show a tail that was cut off.
        #[arg(long, value_name = "FILE", requires = "public_key")]
        checkpoints: Option<PathBuf>,
        /// The public key that they were signed with: `rebalanced audit public-key`.
        #[arg(long, value_name = "HEX", requires = "checkpoints")]
        public_key: Option<String>,
    },
    /// Write every event as one JSON object per line; beside a file also a manifest.
    Export {
        /// Where to; standard output when absent.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Show where an order came from: user, strategy version, decision and prices, approvals, program, and what became of it.
    Trace {
        /// The broker's order id, the client order id, or the intent's id.
        order: String,
    },
    /// Print the public key of the daemon's checkpoints. Keep it elsewhere.
    PublicKey,
}

/// Carries it out.
///
/// # Errors
/// When the chain does not hold, a file cannot be read or written, or the database does not answer.
pub async fn obey(context: &Context, args: Args) -> Result<(), Failure> {
    match args.action {
        Action::Verify { export, database, checkpoints, public_key } => {
            let points = signed(checkpoints.as_deref(), public_key.as_deref())?;
            let walked = match (export, database) {
                (Some(file), _) => walk_export(&file, points)?,
                (None, Some(url)) => walk(&wire::existing_store(&url).await?, points).await,
                (None, None) => walk(&context.means().await?.1.store, points).await,
            };
            verdict(context, walked)
        }
        Action::Export { output } => {
            let (_, means) = context.means().await?;
            let written = match output {
                Some(path) => export_file(&means, &path).await,
                None => export(&means, &mut io::stdout()).await.map(drop),
            };
            let is_closed = |error: &anyhow::Error| {
                error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
            };
            match written {
                Err(error) if is_closed(&error) => Ok(()),
                other => Ok(other.context("the events could not be exported")?),
            }
        }
        Action::Trace { order } => {
            let (_, means) = context.means().await?;
            let Some(found) = trace::trace(&means.store, &order).await? else {
                let mend = "give the broker's order id, the client order id or the intent's id";
                return Err(Failure::input(format!("no order of ours is named `{order}`; {mend}")));
            };
            context.print(&shown::trace(&found), traced)
        }
        Action::PublicKey => {
            let mut settings = context.settings()?;
            let secret = settings.audit_key.take().context("`audit.key_file` is missing")?;
            let key = Notary::new(&secret).map_err(|error| anyhow!("`audit.key_file`: {error}"))?.public_key();
            context.print(&json!({ "public_key": key }), |_| key.clone())
        }
    }
}

async fn walk(store: &Store, points: Vec<Checkpoint>) -> Result<Walk, String> {
    verify::audit(store, points).await.map_err(|error| error.to_string())
}

/// A trace for people: the order, where it came from, and what happened.
fn traced(answer: &Value) -> String {
    let rows = |name: &str| answer.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let part = |name: &str| answer.get(name).cloned().unwrap_or_default();
    let legs: Vec<Value> = rows("decisions").iter().filter_map(|plan| plan.get("orders").cloned()).collect();
    let legs: Vec<Value> = legs.iter().filter_map(Value::as_array).flatten().cloned().collect();
    let order =
        ["client_order_id", "order", "side", "symbol", "qty", "notional", "type", "state", "filled_qty", "note"];
    [
        shown::fields(answer, &["user", "reference", "account", "environment", "strategy", "version", "program"]),
        format!("\norder\n{}", shown::fields(&part("order"), &order)),
        format!("\nrun\n{}", shown::fields(&part("run"), &["id", "slot", "trigger", "outcome", "reason", "detail"])),
        format!(
            "\ndecided with it\n{}",
            shown::table(&legs, &["phase", "symbol", "qty", "notional", "value", "reference_price"])
        ),
        format!("\napprovals in force\n{}", shown::table(&rows("approvals"), &["id", "kind", "what", "by", "reason"])),
        format!("\nevents\n{}", shown::table(&rows("events"), &["sequence", "at", "actor", "kind", "facts"])),
    ]
    .join("\n")
}

/// The checkpoints whose signatures are right; a wrong one ends it.
fn signed(file: Option<&Path>, public_key: Option<&str>) -> Result<Vec<Checkpoint>, Failure> {
    let (Some(file), Some(public_key)) = (file, public_key) else { return Ok(Vec::new()) };
    let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(notary::read(&text, public_key).map_err(|error| anyhow!("{}: {error}", file.display()))?)
}

/// Walks an export. The inner error says where the chain breaks.
fn walk_export(file: &Path, points: Vec<Checkpoint>) -> Result<Result<Walk, String>, Failure> {
    let lines = BufReader::new(File::open(file).with_context(|| format!("{} cannot be read", file.display()))?).lines();
    let mut walk = Walk::begin(points);
    for (number, line) in lines.enumerate() {
        let line = line.with_context(|| format!("{} cannot be read", file.display()))?;
        let event = serde_json::from_str::<Value>(&line).ok().as_ref().and_then(shown::event_of);
        let Some(event) = event else { return Ok(Err(format!("line {} is no event", number + 1))) };
        if let Err(broken) = walk.step(&event) {
            return Ok(Err(broken.to_string()));
        }
    }
    Ok(walk.end().map_err(|broken| broken.to_string()))
}

fn verdict(context: &Context, walked: Result<Walk, String>) -> Result<(), Failure> {
    match walked {
        Ok(walk) => {
            let answer = json!({ "holds": true, "events": walk.events(), "head": walk.head() });
            context.print(&answer, |_| format!("the chain holds: {} events, head {}", walk.events(), walk.head()))
        }
        Err(why) => {
            if context.json {
                context.print(&json!({ "holds": false, "why": why }), |_| String::new())?;
            }
            Err(Failure::Other(anyhow!("the chain is broken: {why}; restore the database from a backup and compare")))
        }
    }
}

/// Writes the events and, beside them, what they are: how many, the last hash, and the file's own hash.
async fn export_file(means: &Means, path: &Path) -> anyhow::Result<()> {
    let file = File::create_new(path).with_context(|| format!("{} cannot be created", path.display()))?;
    let mut out = Hashed { inner: BufWriter::new(file), hasher: Sha256::new() };
    let (events, head) = export(means, &mut out).await?;
    let manifest = json!({
        "events": events,
        "head": head,
        "sha256": hex::encode(out.hasher.finalize()),
        "written_at": means.clock.now().to_string(),
        "written_by": concat!("rebalanced ", env!("CARGO_PKG_VERSION")),
    });
    let mut name = path.as_os_str().to_owned();
    name.push(".manifest.json");
    fs::write(&name, format!("{manifest:#}\n")).context("the manifest cannot be written")
}

/// Writes every event; returns how many, and the last one's hash.
async fn export(means: &Means, out: &mut impl Write) -> anyhow::Result<(i64, String)> {
    let (mut after, mut head) = (0, String::new());
    loop {
        let page = means.store.events(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.sequence;
        head.clone_from(&last.hash);
        for event in &page {
            writeln!(out, "{}", shown::event(event))?;
        }
    }
    out.flush()?;
    Ok((after, head))
}

/// A writer that also hashes what goes through.
struct Hashed<W> {
    inner: W,
    hasher: Sha256,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
