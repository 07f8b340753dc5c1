//! The process: arguments, settings, wiring, signals, the scheduler's bell, HTTP and commands.
//!
//! Nothing here decides about a trade. Exit codes: 0 done, 1 failed, 2 bad input, 64 bad configuration.
//!
//! The files stand in reading order; each names only files above it.

pub mod settings;
pub mod telemetry;
pub mod scheduler;
pub mod lifecycle;
pub mod killswitch;
pub mod hardening;
pub mod checkpoints;
pub mod balancer;
pub mod readiness;
pub mod shown;
pub mod failure;
pub mod wire;
pub mod present;
pub mod http;
pub mod workers;
pub mod daemon;
pub mod commands;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app::commands::Context;
use crate::app::commands::{
    approvals, audit, check, demo, doctor, explain, halts, keys, migrate, operators, overrides, plan, points, run,
    runs, strategies, subscriptions, users,
};
use crate::app::failure::Failure;
use crate::app::settings::layers::Sources;

/// Keeps the portfolios of an Alpaca OAuth app's users on target.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub struct Cli {
    /// Configuration file; config/rebalanced.toml documents every key.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON instead of tables.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Everything that can be asked of the program.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole service at work on this machine, against Alpaca in a box.
    Demo(demo::Args),
    /// Run the daemon; SIGHUP has it read the strategies again.
    Run(run::Args),
    /// Check the configuration and the strategies, and show what is in force.
    Check(check::Args),
    /// Print the JSON Schema of a strategy file.
    Schema,
    /// Say what a code means that a run, a refusal or `check` gave.
    Explain(explain::Args),
    /// Show what a strategy would do with an account, from files alone.
    Plan(plan::Args),
    /// Strategy files: when they look, what a new version changes, and portfolios of Alpaca's own rebalancer as such files.
    Strategies(strategies::Args),
    /// Connected users: list, disconnect.
    Users(users::Args),
    /// Who follows what: list, add, end.
    Subscriptions(subscriptions::Args),
    /// Runs: list, show, explain, trigger, cancel.
    Runs(runs::Args),
    /// Approvals for live trading: list, grant, revoke.
    Approvals(approvals::Args),
    /// What users wish for their own accounts: list, set, withdraw, clear.
    Overrides(overrides::Args),
    /// Operators with tokens of their own: list, add, rotate, remove.
    Operators(operators::Args),
    /// Pull the kill switch: stop every order of the service, of one account, or of one symbol.
    Halt(halts::HaltArgs),
    /// Release the kill switch.
    Resume(halts::ResumeArgs),
    /// List what is halted.
    Halts(halts::ListArgs),
    /// The audit's chain of events: verify, export.
    Audit(audit::Args),
    /// Keys that seal tokens: new, rotate, revoke-all.
    Keys(keys::Args),
    /// Bring the database's tables up to date: for an owner whose daemon may not do it itself.
    Migrate,
    /// List the named points on the way of an order, for `tests.kill_at`.
    Points,
    /// Try to reach everything that the daemon needs.
    Doctor,
}

/// Runs the program with its arguments, the first of which is its own name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            return error.print().map_or(ExitCode::FAILURE, |()| ExitCode::from(code));
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::Other(anyhow::Error::new(error).context("the runtime does not start")).report(),
    };
    match runtime.block_on(obey(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Carries a command out.
async fn obey(cli: Cli) -> Result<(), Failure> {
    hardening::keep_memory_private()?;
    let context = Context { sources: Sources::of_process(cli.config), json: cli.json };
    match cli.command {
        Command::Demo(args) => demo::obey(&context, &args).await,
        Command::Run(args) => run::obey(&context, &args).await,
        Command::Check(args) => check::obey(&context, &args),
        Command::Schema => check::schema(),
        Command::Explain(args) => explain::obey(&context, &args),
        Command::Plan(args) => plan::obey(&context, &args),
        Command::Strategies(args) => strategies::obey(&context, &args).await,
        Command::Users(args) => users::obey(&context, args).await,
        Command::Subscriptions(args) => subscriptions::obey(&context, args).await,
        Command::Runs(args) => runs::obey(&context, args).await,
        Command::Approvals(args) => approvals::obey(&context, args).await,
        Command::Overrides(args) => overrides::obey(&context, args).await,
        Command::Operators(args) => operators::obey(&context, args).await,
        Command::Halt(args) => halts::halt(&context, args).await,
        Command::Resume(args) => halts::resume(&context, args).await,
        Command::Halts(args) => halts::list(&context, &args).await,
        Command::Audit(args) => audit::obey(&context, args).await,
        Command::Keys(args) => keys::obey(&context, args).await,
        Command::Migrate => migrate::obey(&context).await,
        Command::Points => points::obey(&context),
        Command::Doctor => doctor::obey(&context).await,
    }
}
