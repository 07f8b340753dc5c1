//! Closing prices of days gone by, from the data host's daily bars, for the strategies whose models ask for them.
//!
//! One history for all accounts: it is asked once for the exchange's day and then remembered. Only days that are over are asked
//! for, so that whoever asks on one day is told the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::data::{BARS_MAX, SYMBOLS_MAX};
use super::hosts::below;
use super::{Access, Client, Error, Inner, exchange_zone, nonsense, wire};
use crate::model::closes::{Closes, DailyCloses};
use crate::model::composition::History;
use crate::model::environment::Environment;
use crate::model::ids::Symbol;
use crate::model::time::{Day, Moment, Span};

/// Most pages of one question: a hundred symbols over four years of sessions need eleven.
const PAGES_MAX: usize = 40;

impl Client {
    /// The last closes of each symbol before today, adjusted for splits and dividends: at least as many as are asked for, where
    /// there are as many. `newest` is the day of the last session that is over; what does not reach it is asked for again later.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn closes<E: Environment>(
        &self,
        access: &Access<E>,
        history: &History,
        newest: Day,
    ) -> Result<Closes, Error> {
        let Inner { line, memory, data_key, .. } = &*self.inner;
        let zone = exchange_zone()?;
        let _asking = if data_key.is_some() { Some(memory.one_asks.lock().await) } else { None };
        let now = line.clock.now();
        let today = now.day_in(&zone);
        let (mut closes, missing) = memory.closes((history, newest), (today, now));
        let midnight = |day: Day| {
            let zoned = day.to_zoned(zone.clone()).map_err(|error| Error::Nonsense { why: error.to_string() });
            zoned.map(|zoned| Moment::from(zoned.timestamp()))
        };
        // Five sessions in seven days, less the holidays, and two weeks for the rest.
        let back = i64::from(history.closes) * 3 / 2 + 14;
        let first = midnight(today.saturating_sub(jiff::Span::new().days(back)))?;
        let last = midnight(today)? - Span::from_secs(1);
        for some in missing.chunks(SYMBOLS_MAX) {
            // A symbol of which nothing is said has no closes, and that is remembered too.
            let mut read: BTreeMap<Symbol, DailyCloses> =
                some.iter().map(|symbol| (symbol.clone(), DailyCloses::new())).collect();
            let mut token: Option<String> = None;
            for page in 0.. {
                if page >= PAGES_MAX {
                    return Err(Error::Nonsense { why: format!("more than {PAGES_MAX} pages of bars") });
                }
                let mut url = below(&self.inner.hosts.data, &["v2", "stocks", "bars"]);
                url.query_pairs_mut()
                    .append_pair("timeframe", "1Day")
                    .append_pair("start", &first.to_string())
                    .append_pair("end", &last.to_string())
                    .append_pair("adjustment", "all")
                    .append_pair("feed", "sip")
                    .append_pair("limit", BARS_MAX)
                    .extend_pairs(token.as_ref().map(|token| ("page_token", token)));
                let body = self.data(access, ("bars", url), some).await?;
                let (rows, next) = wire::closes(&body, &zone).map_err(|fault| nonsense(&fault))?;
                for (symbol, days) in rows {
                    if let Some(closes) = read.get_mut(&symbol) {
                        closes.extend(days.into_iter().filter(|(day, _)| *day < today));
                    }
                }
                token = next;
                if token.is_none() {
                    break;
                }
            }
            let read = read.into_iter().map(|(symbol, days)| (symbol, Arc::new(days))).collect();
            memory.keep_closes(&read, history.closes, (today, now));
            closes.extend(read);
        }
        Ok(Closes::shared(closes))
    }
}
