//! `rebalanced demo`: the whole service at work on this machine, with nothing left out.
//!
//! Alpaca in a box runs in this process. The daemon is the shipped binary, started as a child with a configuration file
//! like any operator's. Users connect through the real pages. Only time is helped along: between scheduled moments the
//! simulator's clock jumps. Nothing outside loopback is contacted.
//!
//! The same seed gives the same orders: prices stand still within a quarter of an hour, every run ends within the one it
//! began in, and all chance in the simulator follows from the seed.

mod models;
mod cast;
mod days;
mod judge;
mod stage;
mod summary;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use self::days::Week;
use self::stage::Stage;
use crate::app::commands::Context;
use crate::app::failure::Failure;

/// What the demo is to show.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How many users connect.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=2000))]
    pub users: u32,
    /// How many trading days pass.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=250))]
    pub days: u32,
    /// Everything random follows from it: the same seed gives the same orders.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// A database of your own instead of a fresh SQLite file: `sqlite:PATH` or `postgres://...`, empty.
    #[arg(long)]
    pub database: Option<String>,
    /// Leave simulator and daemon running at the end, until Ctrl-C.
    #[arg(long)]
    pub keep_running: bool,
}

/// Runs the demo.
///
/// # Errors
/// When a part does not start, or a run does not end in time: the message names the log to read.
pub async fn obey(context: &Context, args: &Args) -> Result<(), Failure> {
    let violations = show(args, context.json).await?;
    if violations == 0 {
        Ok(())
    } else {
        Err(Failure::Other(anyhow::anyhow!("the broker's ledger shows {violations} violations; they are listed above")))
    }
}

/// Returns how many violations were seen.
async fn show(args: &Args, json: bool) -> anyhow::Result<usize> {
    let (mut stage, listener) = Stage::set(args).await?;
    let stop = CancellationToken::new();
    let sim = stage.sim.clone();
    let served = sim.serve(listener, stop.clone());
    tokio::select! {
        biased;
        violations = play(&mut stage, args, json) => {
            stop.cancel();
            violations
        }
        ended = served => {
            ended.context("the simulator's listener failed")?;
            anyhow::bail!("the simulator ended before the demo did")
        }
        _ = tokio::signal::ctrl_c() => {
            stage.stop_daemon().await;
            anyhow::bail!("interrupted")
        }
    }
}

async fn play(stage: &mut Stage, args: &Args, json: bool) -> anyhow::Result<usize> {
    stage.start_daemon().await?;
    stage.insist_on_an_empty_database().await?;
    let users = cast::connect_all(stage, args).await?;
    let mut week = Week::plan(stage, args)?;
    week.pass(stage, &users).await?;
    stage.keep_metrics().await;
    let summary = summary::summarize(stage, args, &users, &week).await?;
    summary::print(&summary, json, stage)?;
    if args.keep_running {
        stage.keep_running().await?;
    }
    stage.stop_daemon().await;
    Ok(summary.violations.len())
}
