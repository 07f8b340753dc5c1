//! What a strategy's model asks for on a day of the demo: reckoned from the broker's own prices, not from what the daemon was told.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow};

use super::stage::Stage;
use crate::flow::rehearse;
use crate::model::closes::{Closes, DailyCloses};
use crate::model::money::Price;
use crate::model::strategy::Strategy;
use crate::model::time::Moment;

/// The strategy with the targets of the day of a moment.
pub(super) fn on_day(stage: &Stage, strategy: &Strategy, at: Moment) -> anyhow::Result<Strategy> {
    let day = at.day_in(stage.sessions.zone());
    let history = strategy.composition().history();
    let first = day.saturating_sub(jiff::Span::new().days(i64::from(history.closes) * 3 / 2 + 14));
    let yesterday = day.yesterday().context("a day without one before it")?;
    let sessions: Vec<_> = stage.sessions.between(first, yesterday).copied().collect();
    let mut closes: BTreeMap<_, DailyCloses> = BTreeMap::new();
    stage.sim.with_exchange(|exchange, _| {
        for symbol in &history.symbols {
            let of_day = |session: &crate::model::session::Session| {
                // At the close the price is exactly the day's close.
                let trade = exchange.market().trade(symbol.as_str(), session.close.timestamp())?;
                Some((session.day, Price::new(trade.price)))
            };
            closes.insert(symbol.clone(), sessions.iter().filter_map(of_day).collect());
        }
    });
    rehearse::on_day(strategy, &Closes::new(closes), &stage.sessions, day)
        .map_err(|why| anyhow!("{} has no targets on {day}: {}", strategy.name(), why.detail))
}
