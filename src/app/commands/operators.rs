//! `operators`: who may act through the operators' interface, and who may approve where two must.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::app::commands::Context;
use crate::app::failure::Failure;
use crate::app::shown;
use crate::flow::operators::{self, Changers};
use crate::model::operator::Scope;
use crate::model::secret::Secret;

/// Arguments of `operators`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do; list when absent.
    #[command(subcommand)]
    pub action: Option<Action>,
}

/// What can be done with operators.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List them, also those that were removed.
    List,
    /// Make somebody an operator. Their token is shown once, and kept only as a hash. Where two operators must approve, one
    /// with the scope approve is made by two who have it and both show their tokens, any other by one.
    Add {
        /// Their name: lower case letters, digits, dots, dashes, underscores, @.
        name: String,
        /// What they may do, with commas: read, operate (halt and resume), approve. None includes another.
        #[arg(long, value_delimiter = ',', required = true)]
        scopes: Vec<String>,
        /// Where the token goes, and by whom.
        #[command(flatten)]
        handing: Handing,
    },
    /// Give an operator a new token; the old one is worth nothing from then on. Where two operators must approve, the token of
    /// one with the scope approve is renewed by two who have it, or by its owner with that token alone.
    Rotate {
        /// Their name.
        name: String,
        /// Where the token goes, and by whom.
        #[command(flatten)]
        handing: Handing,
    },
    /// Require fewer operators than the daemon stored. More are required by the daemon's configuration, when it starts.
    Require {
        /// How many must approve from now on.
        number: u32,
        /// The files with the tokens of different operators who may approve: as many as are required now.
        #[arg(long, value_name = "FILE", required = true)]
        operator_token_file: Vec<PathBuf>,
    },
    /// End an operator's rights at once. Approvals that they gave hold on until they are revoked. Where two operators must
    /// approve, one with the scope approve is removed by one who has it if two remain, and otherwise by two.
    Remove {
        /// Their name.
        name: String,
        /// By whom.
        #[command(flatten)]
        by: By,
    },
}

/// By whom: a name, or tokens that prove it.
#[derive(Debug, clap::Args)]
pub struct By {
    /// Who does this; where two operators must approve, show tokens instead.
    #[arg(long, value_name = "NAME", required_unless_present = "operator_token_file")]
    pub by: Option<String>,
    /// The file with the token of an operator who may approve; once for each who agrees.
    #[arg(long, value_name = "FILE", conflicts_with = "by")]
    pub operator_token_file: Vec<PathBuf>,
}

/// Where a new token goes, and by whom.
#[derive(Debug, clap::Args)]
pub struct Handing {
    /// A new file for the token, which must not be there yet, readable by its owner alone; without it the token is printed.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// By whom.
    #[command(flatten)]
    pub by: By,
}

/// Carries it out.
///
/// # Errors
/// When the database does not answer, the name is taken or unknown, or the token's file cannot be made.
pub async fn obey(context: &Context, args: Args) -> Result<(), Failure> {
    let (settings, means) = context.means().await?;
    let desk = means.desk();
    let required = settings.policy.operators_required;
    match args.action.unwrap_or(Action::List) {
        Action::List => {
            let rows: Vec<Value> = means.store.operators().await?.iter().map(shown::operator).collect();
            let columns = ["name", "scopes", "made_by", "made_at", "removed_at", "removed_by"];
            context.print(&json!({ "operators": rows }), |_| shown::table(&rows, &columns))
        }
        Action::Add { name, scopes, handing } => {
            let read = |text: &String| {
                Scope::parse(text.trim())
                    .ok_or_else(|| Failure::input(format!("`{text}` is no scope: read, operate and approve are")))
            };
            let scopes = scopes.iter().map(read).collect::<Result<BTreeSet<Scope>, Failure>>()?;
            let tokens = tokens_in(&handing.by.operator_token_file)?;
            let place = Place::open(handing.token_file)?;
            let made = operators::add(&desk, &name, scopes, &handing.by.changers(required, &tokens)).await;
            hand_over(context, &name, made, place)
        }
        Action::Rotate { name, handing } => {
            let tokens = tokens_in(&handing.by.operator_token_file)?;
            let place = Place::open(handing.token_file)?;
            let renewed = operators::rotate(&desk, &name, &handing.by.changers(required, &tokens)).await;
            hand_over(context, &name, renewed, place)
        }
        Action::Require { number, operator_token_file } => {
            let tokens = tokens_in(&operator_token_file)?;
            let by = operators::require_fewer(&desk, number.max(1), &tokens).await?;
            let now = operators::required(&means.store, 1).await?;
            context.print(&json!({ "operators_required": now, "by": by }), |_| {
                format!("{now} must approve from now on, by {by}; set approvals.operators_required in the daemon's configuration too")
            })
        }
        Action::Remove { name, by } => {
            let tokens = tokens_in(&by.operator_token_file)?;
            operators::remove(&desk, &name, &by.changers(required, &tokens)).await?;
            context.print(&json!({ "removed": name }), |_| format!("{name} is no operator any more"))
        }
    }
}

impl By {
    /// The same, with the tokens that were read.
    fn changers<'a>(&'a self, required: u32, tokens: &'a [Secret]) -> Changers<'a> {
        Changers { required, said: self.by.as_deref(), tokens }
    }
}

/// Where a new token goes. A file is made before the token is: a token that found no place would be lost, and where two must
/// approve its owner alone could not make another.
struct Place(Option<(PathBuf, File)>);

impl Place {
    fn open(path: Option<PathBuf>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self(None)) };
        match OpenOptions::new().write(true).create_new(true).mode(0o400).open(&path) {
            Ok(file) => Ok(Self(Some((path, file)))),
            Err(error) => Err(Failure::input(format!(
                "{}: the token's file cannot be made, so nothing was changed: {error}",
                path.display()
            ))),
        }
    }
}

/// The one moment in which a token is seen: in a file of its own, or on the terminal.
fn hand_over(
    context: &Context,
    name: &str,
    made: Result<Secret, operators::Error>,
    Place(place): Place,
) -> Result<(), Failure> {
    let token = match (made, &place) {
        (Ok(token), _) => token,
        (Err(error), None) => return Err(error.into()),
        (Err(error), Some((path, _))) => {
            // An empty file that stays does no harm.
            drop(std::fs::remove_file(path));
            return Err(error.into());
        }
    };
    let Some((path, mut file)) = place else {
        let answer = json!({ "operator": name, "token": token.expose() });
        return context.print(&answer, |_| format!("the token of {name}, shown this once:\n{}", token.expose()));
    };
    writeln!(file, "{}", token.expose()).with_context(|| {
        format!("the token could not be written to {}; make another with `operators rotate`", path.display())
    })?;
    let answer = json!({ "operator": name, "token_file": path.display().to_string() });
    context.print(&answer, |_| format!("the token of {name} is in {}", path.display()))
}

fn tokens_in(files: &[PathBuf]) -> Result<Vec<Secret>, Failure> {
    files.iter().map(|file| token_in(file)).collect()
}

/// The token in a file that an operator names.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn token_in(file: &Path) -> Result<Secret, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::input(format!("{}: the operator's token cannot be read: {error}", file.display())))?;
    Ok(Secret::new(text.trim().to_owned()))
}
