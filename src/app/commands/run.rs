//! `run`: the daemon.

use crate::app::commands::Context;
use crate::app::daemon;
use crate::app::failure::Failure;
use crate::app::settings::Faults;
use crate::app::wire;

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Start with the valid strategies although others are not.
    #[arg(long)]
    pub skip_invalid: bool,
}

/// Runs until a signal.
///
/// # Errors
/// When the configuration or a strategy has faults, or something that the daemon needs does not open.
pub async fn obey(context: &Context, args: &Args) -> Result<(), Failure> {
    let settings = context.settings()?;
    if !settings.missing.is_empty() {
        return Err(Failure::Configuration(Faults(settings.missing)));
    }
    let (strategies, faults) = wire::strategies(&settings.strategies)?;
    if !faults.is_empty() && !args.skip_invalid {
        return Err(Failure::Input(format!(
            "{}\nrun with --skip-invalid to start with the others",
            wire::lines(&faults)
        )));
    }
    for fault in &faults {
        tracing::warn!("{fault}; this file is left out");
    }
    Ok(daemon::run(settings, strategies).await?)
}
