//! Strategies made of strategies: the names in a file become what those strategies hold, as their files are now.
//!
//! A sleeve's version is part of the version of whoever holds it, so an edited sleeve is a new version without approval. A sleeve
//! that cannot be used makes its holder faulty, and nobody else.

use std::collections::BTreeMap;

use super::fault::FileFault;
use super::file::{Draft, Drafted, SleeveLine};
use crate::model::canon::strategy_version;
use crate::model::composition::{Composition, SLEEVE_DECIMALS, Sleeve};
use crate::model::ids::{StrategyName, StrategyVersion};
use crate::model::money::Fraction;
use crate::model::strategy::{Strategy, StrategyParts};

/// How deep sleeves may lie in each other. Shares have six decimals and weights eight, so three of the one and one of the other
/// are still multiplied exactly.
const DEPTH_MAX: usize = 3;

/// Decimals that a weight inside a sleeve may have.
const WEIGHT_DECIMALS: u32 = 8;

/// What the files of a folder say by themselves, by name; more than one where the name is taken twice.
pub(super) type Drafts<'a> = BTreeMap<&'a StrategyName, Vec<&'a Draft>>;

/// What a strategy turned out to be.
struct Found {
    composition: Composition,
    cash: Fraction,
    version: StrategyVersion,
    text: String,
}

/// The strategy of a draft, with everything that it names, and its text as it is kept with every run.
pub(super) fn resolved(draft: &Draft, drafts: &Drafts<'_>) -> Result<(Strategy, String), Vec<FileFault>> {
    let (parts, lines) = match &draft.is {
        Drafted::Whole(strategy) => return Ok((Strategy::clone(strategy), draft.kept.clone())),
        Drafted::Sleeves(parts, lines) => (parts, lines),
    };
    let mut faults = Vec::new();
    for line in lines {
        let mut chain = vec![parts.name.clone()];
        if let Err(why) = sleeve(line, drafts, &mut chain) {
            let what = format!("the sleeve `{}` cannot be used: {why}", line.name);
            let mend = "mend that, or take the sleeve out";
            faults.push(FileFault::of(&draft.file, what, mend).at(&draft.text, line.byte));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let whole = found(draft, drafts, &mut Vec::new());
    let Found { composition, cash, version, text } =
        whole.map_err(|why| vec![FileFault::of(&draft.file, why, "change a percent of a sleeve or its [cash]")])?;
    let mut parts = StrategyParts::clone(parts);
    (parts.cash, parts.version) = (cash, version);
    draft.finished(parts, composition).map(|strategy| (strategy, text))
}

/// What the strategy of a draft holds; `chain` are those that lead to it.
fn found(draft: &Draft, drafts: &Drafts<'_>, chain: &mut Vec<StrategyName>) -> Result<Found, String> {
    let (parts, lines) = match &draft.is {
        Drafted::Whole(strategy) => {
            return Ok(Found {
                composition: strategy.composition().clone(),
                cash: strategy.cash(),
                version: strategy.version().clone(),
                text: draft.kept.clone(),
            });
        }
        Drafted::Sleeves(parts, lines) => (parts, lines),
    };
    chain.push(parts.name.clone());
    let (mut cash, mut text, mut sleeves) = (parts.cash, draft.kept.clone(), Vec::new());
    for line in lines {
        let found = sleeve(line, drafts, chain)?;
        cash += line.share * found.cash;
        text.extend(["\n# sleeve ", line.name.as_str(), " is version ", found.version.as_str()]);
        sleeves.push(Sleeve {
            name: line.name.clone(),
            version: found.version,
            share: line.share,
            cash: found.cash,
            of: found.composition,
        });
    }
    chain.pop();
    if cash.decimal().normalize().scale() > SLEEVE_DECIMALS {
        return Err(format!(
            "the cash within the sleeves adds up to {}%, which is too fine",
            cash.percent().normalize()
        ));
    }
    let version = strategy_version(text.as_bytes()).map_err(|error| error.to_string())?;
    Ok(Found { composition: Composition::Sleeves(sleeves), cash, version, text })
}

/// What one line of sleeves names.
fn sleeve(line: &SleeveLine, drafts: &Drafts<'_>, chain: &mut Vec<StrategyName>) -> Result<Found, String> {
    let shown = |chain: &[StrategyName]| {
        chain.iter().chain([&line.name]).map(StrategyName::as_str).collect::<Vec<_>>().join(" -> ")
    };
    if chain.contains(&line.name) {
        return Err(format!("strategies hold each other in a circle: {}", shown(chain)));
    }
    if chain.len() > DEPTH_MAX {
        return Err(format!("sleeves lie deeper in each other than {DEPTH_MAX}: {}", shown(chain)));
    }
    let draft = match drafts.get(&line.name).map(Vec::as_slice) {
        Some([draft]) => draft,
        Some([_, _, ..]) => return Err(format!("two files of the folder are named `{}`", line.name)),
        _ => return Err(format!("no valid file of the folder is named `{}` ({})", line.name, shown(chain))),
    };
    let found = found(draft, drafts, chain)?;
    let too_fine = |weight: Fraction| weight.decimal().normalize().scale() > WEIGHT_DECIMALS;
    if let Composition::Weights(targets) = &found.composition
        && (too_fine(found.cash) || targets.iter().any(|target| too_fine(target.weight)))
    {
        return Err("it has percents with more than six decimals, which a sleeve cannot be multiplied with".to_owned());
    }
    Ok(found)
}
