//! The folder of strategies is read again: valid files are taken over, the others change nothing.
//!
//! Nothing is swapped before it is on record: a database that fails leaves everything as it was. A run under way holds the
//! world that it began in, and with it the strategy and the text that its user agreed to.

use std::path::Path;

use crate::edge::World;
use crate::edge::store;
use crate::edge::strategies::{self, Changes, load_dir};
use crate::flow::connect::consent_texts;
use crate::model::event::{Actor, Event};
use crate::model::ids::StrategyName;

/// An event tells this many faults; the log and the answer tell all.
const FAULTS_MAX: usize = 20;

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be read.
    #[error("the strategies cannot be read again, and everything stays as it is; make the folder readable")]
    Folder(#[from] strategies::Error),
    /// The database failed.
    #[error("the strategies were not taken over, for that could not be recorded, and everything stays as it is")]
    Store(#[from] store::Error),
}

/// The world with the strategies that the folder holds now, and what that changes.
///
/// # Errors
/// When the folder cannot be read, or the database fails; then everything stays as it is.
pub async fn reload(world: &World, folder: &Path, by: &Actor) -> Result<(World, Changes), Error> {
    let (next, faults) = load_dir(folder)?;
    let (catalog, changes) = world.strategies.succeeded_by(next, faults);
    let now = world.clock.now();
    for name in changes.added.iter().chain(&changes.changed) {
        if let (Some(strategy), Some(text)) = (catalog.get(name), catalog.text(name)) {
            world.store.remember_strategy((name, strategy.version()), text, now).await?;
        }
    }
    let refused: Vec<String> = changes.refused.iter().take(FAULTS_MAX).map(ToString::to_string).collect();
    let event = Event::new(now, by.clone(), "strategies.reloaded")
        .with("added", listed(&changes.added))
        .with("changed", listed(&changes.changed))
        .with("removed", listed(&changes.removed))
        .with("kept", listed(&changes.kept))
        .with("refused", refused.join("; "));
    world.store.append(&[event]).await?;
    let numbers = [
        ("added", changes.added.len()),
        ("changed", changes.changed.len()),
        ("removed", changes.removed.len()),
        ("kept", changes.kept.len()),
    ];
    world.metrics.reloaded(&numbers, changes.refused_files().len());
    let texts = consent_texts(catalog.iter(), &world.consent_note);
    Ok((world.with_strategies(catalog, texts), changes))
}

fn listed(names: &[StrategyName]) -> String {
    names.iter().map(StrategyName::as_str).collect::<Vec<_>>().join(" ")
}
