//! What a strategy says, point by point in words, and what another one says differently.
//!
//! Always: whatever a strategy can say is one of its points. The parts are taken apart by name, so one that is added to the
//! model does not compile until it has its words here.

use crate::decide::consent;
use crate::model::composition::Composition;
use crate::model::money::{Fraction, Usd};
use crate::model::personal::{Allowance, ExcludedTo};
use crate::model::schedule::Schedule;
use crate::model::strategy::{Conditions, Limits, OrderStyle, OrderType, Strategy};
use crate::model::tolerance::{Band, Cooldowns, Tolerance};

/// One point in which two strategies differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it is about.
    pub about: String,
    /// What the old one says, if it says anything.
    pub was: Option<String>,
    /// What the new one says.
    pub is: Option<String>,
}

impl Change {
    /// The change in words.
    pub fn sentence(&self) -> String {
        let about = &self.about;
        match (&self.was, &self.is) {
            (Some(was), Some(is)) => format!("{about}: {was} becomes {is}"),
            (Some(was), None) => format!("{about}: {was} is gone"),
            (None, Some(is)) => format!("{about}: {is} is new"),
            (None, None) => about.clone(),
        }
    }
}

/// Everything that the new one says differently, in the order of a file.
pub fn changes(old: &Strategy, new: &Strategy) -> Vec<Change> {
    let (old, new) = (points(old), points(new));
    let said =
        |points: &Points, about: &String| points.iter().find(|(other, _)| other == about).map(|(_, it)| it.clone());
    let mut changes: Vec<Change> = Vec::new();
    for (about, _) in old.iter().chain(&new) {
        let (was, is) = (said(&old, about), said(&new, about));
        if was != is && changes.iter().all(|change| change.about != *about) {
            changes.push(Change { about: about.clone(), was, is });
        }
    }
    changes
}

/// Whether users read another text before they agree: then a live account's consent no longer counts.
pub fn asks_anew(old: &Strategy, new: &Strategy) -> bool {
    consent::text(old, "") != consent::text(new, "")
}

/// What is said, each with what it is about.
type Points = Vec<(String, String)>;

fn points(strategy: &Strategy) -> Points {
    let mut points = vec![("name".to_owned(), strategy.name().to_string())];
    if !strategy.description().is_empty() {
        points.push(("description".to_owned(), format!("\"{}\"", strategy.description())));
    }
    points.extend(strategy.when().schedules().map(schedule));
    holdings(strategy, &mut points);
    points.push(("cash".to_owned(), percent(strategy.cash())));
    conditions(strategy.conditions(), &mut points);
    let when = if strategy.when().on_new_version() { "is looked at once" } else { "waits for the schedule" };
    points.push(("a new version".to_owned(), when.to_owned()));
    let OrderStyle { kind, min_notional, collar, reprice_times, on_unfilled } = strategy.orders();
    points.push(("type of orders".to_owned(), kind.to_string()));
    if *kind == OrderType::Limit {
        points.push(("how far a limit lies beyond the quote".to_owned(), percent(*collar)));
        points.push(("how often an unfilled order is priced anew".to_owned(), reprice_times.to_string()));
        points.push(("what is left unfilled after that".to_owned(), on_unfilled.to_string()));
    }
    points.push(("smallest order".to_owned(), dollars(*min_notional)));
    let Limits { max_order_notional, max_turnover } = strategy.limits();
    points.extend(max_order_notional.map(|most| ("largest order".to_owned(), dollars(most))));
    points.extend(max_turnover.map(|most| ("most that one run may sell".to_owned(), percent(most))));
    wishes(strategy.allowance(), &mut points);
    points
}

fn schedule(schedule: &Schedule) -> (String, String) {
    let Schedule { reason, rule, misfire, grace_minutes, spread_minutes } = schedule;
    let (rule, misfire) = (consent::rule(rule), misfire.code());
    let said = format!(
        "{rule} (missed moments: {misfire}, {grace_minutes} minutes of grace; users spread over {spread_minutes} minutes)"
    );
    (format!("schedule `{reason}`"), said)
}

fn holdings(strategy: &Strategy, points: &mut Points) {
    let composition = strategy.composition();
    let mut point = |about: String, said: String| points.push((about, said));
    let kind = match composition {
        Composition::List { file, .. } => format!("the list {file}"),
        other => other.kind().to_owned(),
    };
    point("kind of weights".to_owned(), kind);
    if let Composition::Sleeves(sleeves) = composition {
        for sleeve in sleeves {
            let said = format!("{} of its version {:.12}", percent(sleeve.share), sleeve.version.as_str());
            point(format!("sleeve {}", sleeve.name), said);
        }
    }
    if composition.is_fixed() {
        for target in strategy.targets() {
            point(format!("weight of {}", target.symbol), percent(target.weight));
        }
    } else {
        point("weights".to_owned(), consent::model(composition, strategy.cash()).join(" "));
    }
}

fn conditions(conditions: &Conditions, points: &mut Points) {
    let Conditions {
        drift_absolute,
        drift_relative,
        destination,
        cooldown_days,
        invest_cash,
        unmanaged,
        tolerance: Tolerance { bands, drift_portfolio, cash_above, cooldowns },
        scope,
        mode,
    } = conditions;
    let mut point = |about: &str, said: Option<String>| points.extend(said.map(|said| (about.to_owned(), said)));
    point("band in points of the portfolio", drift_absolute.map(percent));
    point("band in percent of the target", drift_relative.map(percent));
    for (symbol, band) in bands {
        point(&format!("band of {symbol}"), Some(own(*band)));
    }
    point("limit for the drift of the whole portfolio", drift_portfolio.map(percent));
    point("where a rebalance goes", Some(destination.to_string()));
    point("who moves", Some(scope.to_string()));
    point("mode", Some(mode.to_string()));
    point("rest after a rebalance", Some(days(*cooldown_days)));
    let Cooldowns { drift, portfolio, scheduled } = cooldowns;
    point("rest before a single holding counts", drift.map(days));
    point("rest before the whole portfolio counts", portfolio.map(days));
    point("rest before the schedule alone counts", scheduled.map(days));
    point("new cash", Some(if *invest_cash { "is invested" } else { "stays" }.to_owned()));
    point("cash that waits before it is invested", cash_above.map(dollars));
    point("holdings without a weight", Some(unmanaged.to_string()));
}

fn own(band: Band) -> String {
    let side = |side: Option<Fraction>| side.map_or_else(|| "the file's".to_owned(), percent);
    if band.below == band.above {
        side(band.below)
    } else {
        format!("{} below and {} above", side(band.below), side(band.above))
    }
}

fn wishes(allowance: &Allowance, points: &mut Points) {
    let Allowance { exclude, hold, cap, cash_max, target_years, max_excluded, excluded_to, unavailable, substitutes } =
        allowance;
    let mut point = |about: &str, said: Option<String>| points.extend(said.map(|said| (about.to_owned(), said)));
    for (may, what) in [
        (exclude, "exclude symbols"),
        (hold, "say what is not sold and not bought"),
        (cap, "have an order cap of their own"),
    ] {
        point(&format!("users may {what}"), may.then(|| "yes".to_owned()));
    }
    point("highest cash target of a user", cash_max.map(percent));
    point("target years of a user", target_years.map(|years| years.to_string()));
    point("most that a user may exclude", max_excluded.map(percent));
    let to_cash = (*excluded_to == ExcludedTo::Cash).then(|| "cash".to_owned());
    point("where excluded weights go", to_cash.or_else(|| exclude.then(|| "others".to_owned())));
    point("a target that cannot be bought", Some(unavailable.to_string()));
    for (symbol, substitute) in substitutes {
        point(&format!("who stands in for {symbol}"), Some(substitute.to_string()));
    }
}

fn percent(fraction: Fraction) -> String {
    format!("{}%", fraction.percent().normalize())
}

fn dollars(amount: Usd) -> String {
    format!("{} dollars", amount.decimal().normalize())
}

fn days(days: u32) -> String {
    if days == 1 { "1 day".to_owned() } else { format!("{days} days") }
}
