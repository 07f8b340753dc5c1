//! `keys`: the keys that seal tokens at rest: make one, seal everything with it, or destroy every token.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use indicatif::ProgressBar;
use serde_json::json;

use crate::app::commands::Context;
use crate::app::failure::Failure;
use crate::app::wire;
use crate::edge::entropy::Entropy;
use crate::edge::vault::Vault;
use crate::flow::tokens;

/// Arguments of `keys`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Make a new key in a new file that only its owner can read.
    New {
        /// The file; it must not exist.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Seal every token with the key in force (`vault.key_file`); the old one stands in `vault.previous_key_file`.
    Rotate {
        /// Who does this.
        #[arg(long, value_name = "NAME")]
        by: String,
    },
    /// After a leak: destroy every token and halt the service. Every user must connect again.
    RevokeAll {
        /// Who does this.
        #[arg(long, value_name = "NAME")]
        by: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// Carries it out.
///
/// # Errors
/// When a file exists already or cannot be written, a key does not open what it should, or the database fails.
pub async fn obey(context: &Context, args: Args) -> Result<(), Failure> {
    match args.action {
        Action::New { file } => new(context, &file),
        Action::Rotate { by } => rotate(context, &by).await,
        Action::RevokeAll { by, reason } => revoke_all(context, &by, &reason).await,
    }
}

fn new(context: &Context, file: &Path) -> Result<(), Failure> {
    if file.exists() {
        let what =
            format!("{} exists; a new key would make every token sealed with the old one unreadable", file.display());
        return Err(Failure::input(format!("{what}; name another file")));
    }
    Vault::create_key_file(file, &Entropy::system())
        .with_context(|| format!("the key file {} could not be made", file.display()))?;
    let answer = json!({ "file": file });
    context.print(&answer, |_| {
        format!("{} holds a new key; keep a copy where the database's backups are not", file.display())
    })
}

async fn rotate(context: &Context, by: &str) -> Result<(), Failure> {
    let (settings, means) = context.means().await?;
    let vault = wire::vault(&settings)?;
    let bar = ProgressBar::new(0);
    let tell = |done: usize, of: usize| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    };
    let rotated = tokens::rotate(&means.desk(), &vault, by, tell).await.map_err(anyhow::Error::new)?;
    bar.finish_and_clear();
    let answer = json!({ "key": vault.key_id(), "resealed": rotated.resealed });
    context.print(&answer, |_| {
        let count = rotated.resealed;
        format!(
            "{count} tokens are sealed with key {} now; remove `vault.previous_key_file`, restart the daemon, and destroy the old key",
            vault.key_id()
        )
    })
}

async fn revoke_all(context: &Context, by: &str, reason: &str) -> Result<(), Failure> {
    let (_, means) = context.means().await?;
    let destroyed = tokens::revoke_all(&means.desk(), by, reason).await.map_err(anyhow::Error::new)?;
    context.print(&json!({ "destroyed": destroyed }), |_| {
        format!(
            "{destroyed} tokens are destroyed and the service is halted; users must connect again, and `rebalanced resume` ends the halt"
        )
    })
}
