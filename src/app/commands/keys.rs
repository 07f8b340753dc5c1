//! `keys`: the key that seals tokens at rest.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;

use crate::app::commands::Context;
use crate::app::failure::Failure;
use crate::edge::entropy::Entropy;
use crate::edge::vault::Vault;

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
}

/// Carries it out.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn obey(context: &Context, args: &Args) -> Result<(), Failure> {
    let Action::New { file } = &args.action;
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
