//! `audit`: walk the chain of events, or write it out.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::Subcommand;
use serde_json::json;

use crate::app::commands::Context;
use crate::app::failure::Failure;
use crate::app::shown;
use crate::app::wire::Means;
use crate::flow::verify::{self, Broken};

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
    /// Walk the whole chain: every place filled, every hash right.
    Verify,
    /// Write every event as one JSON object per line.
    Export {
        /// Where to; standard output when absent.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Carries it out.
///
/// # Errors
/// When the chain does not hold or the database does not answer.
pub async fn obey(context: &Context, args: Args) -> Result<(), Failure> {
    let (_, means) = context.means().await?;
    match args.action {
        Action::Verify => match verify::audit(&means.store).await {
            Ok(verified) => {
                let answer = json!({ "holds": true, "events": verified.events, "head": verified.head });
                context
                    .print(&answer, |_| format!("the chain holds: {} events, head {}", verified.events, verified.head))
            }
            Err(broken @ Broken::Event { .. }) => {
                if context.json {
                    context.print(&json!({ "holds": false, "why": broken.to_string() }), |_| String::new())?;
                }
                Err(Failure::Other(anyhow!(
                    "the chain is broken: {broken}; restore the database from a backup and compare"
                )))
            }
            Err(error) => Err(Failure::Other(anyhow::Error::new(error))),
        },
        Action::Export { output } => {
            let written = match output {
                Some(path) => {
                    let file =
                        File::create_new(&path).with_context(|| format!("{} cannot be created", path.display()))?;
                    export(&means, &mut BufWriter::new(file)).await
                }
                None => export(&means, &mut io::stdout()).await,
            };
            match written {
                Err(error)
                    if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) =>
                {
                    Ok(())
                }
                other => Ok(other.context("the events could not be exported")?),
            }
        }
    }
}

async fn export(means: &Means, out: &mut impl Write) -> anyhow::Result<()> {
    let mut after = 0;
    loop {
        let page = means.store.events(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.sequence;
        for event in &page {
            writeln!(out, "{}", shown::event(event))?;
        }
    }
    out.flush()?;
    Ok(())
}
