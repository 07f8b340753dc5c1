//! The data host: quotes, last trades and daily volumes.
//!
//! One feed for all users, by the service's own key where it has one. What is shared is asked once: a quote or a trade
//! serves everybody for a second, a volume for the exchange's day. `feed` is left to Alpaca for what is recent, whose
//! default is the best that the key's plan allows; the consolidated tape of days gone by is open to every plan (facts 6).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use url::Url;

use super::hosts::below;
use super::limiter::Purse;
use super::request::{Credential, Question};
use super::{Access, Client, Error, Inner, exchange_zone, nonsense, purse_of, wire};
use crate::model::environment::Environment;
use crate::model::ids::Symbol;
use crate::model::money::Qty;
use crate::model::snapshot::{Quote, Trade};

/// Symbols in one question: no limit is documented, the length of an address is one (facts 6).
pub(super) const SYMBOLS_MAX: usize = 100;

/// Calendar days that hold at least twenty sessions.
const DAYS_BACK: i64 = 32;

/// Most bars in one answer, Alpaca's most (facts 6): a hundred symbols need a quarter of it.
pub(super) const BARS_MAX: &str = "10000";

impl Client {
    /// The latest quotes; a symbol without one is absent. A second old at most, beside the market's own time.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn quotes<E: Environment>(
        &self,
        access: &Access<E>,
        symbols: &BTreeSet<Symbol>,
    ) -> Result<BTreeMap<Symbol, Quote>, Error> {
        let Inner { line, memory, data_key, .. } = &*self.inner;
        // Only the shared key has one asker at a time: with users' own tokens a slow account would hold up the others (L5).
        let _asking = if data_key.is_some() { Some(memory.one_asks.lock().await) } else { None };
        let (mut quotes, missing) = memory.quotes.fresh(symbols, line.clock.now());
        for some in missing.chunks(SYMBOLS_MAX) {
            let url = below(&self.inner.hosts.data, &["v2", "stocks", "quotes", "latest"]);
            let body = self.data(access, ("quotes", url), some).await?;
            let read = wire::quotes(&body).map_err(|fault| nonsense(&fault))?;
            memory.quotes.keep(&read, line.clock.now());
            quotes.extend(read.into_iter().filter(|(symbol, _)| symbols.contains(symbol)));
        }
        Ok(quotes)
    }

    /// The last trades; a symbol without one is absent.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn trades<E: Environment>(
        &self,
        access: &Access<E>,
        symbols: &BTreeSet<Symbol>,
    ) -> Result<BTreeMap<Symbol, Trade>, Error> {
        let Inner { line, memory, data_key, .. } = &*self.inner;
        let _asking = if data_key.is_some() { Some(memory.one_asks.lock().await) } else { None };
        let (mut trades, missing) = memory.trades.fresh(symbols, line.clock.now());
        for some in missing.chunks(SYMBOLS_MAX) {
            let url = below(&self.inner.hosts.data, &["v2", "stocks", "trades", "latest"]);
            let body = self.data(access, ("trades", url), some).await?;
            let read = wire::trades(&body).map_err(|fault| nonsense(&fault))?;
            memory.trades.keep(&read, line.clock.now());
            trades.extend(read.into_iter().filter(|(symbol, _)| symbols.contains(symbol)));
        }
        Ok(trades)
    }

    /// The average daily volume of each symbol over its last twenty sessions before today, in shares; a symbol without one
    /// is absent. Remembered for the exchange's day.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn volumes<E: Environment>(
        &self,
        access: &Access<E>,
        symbols: &BTreeSet<Symbol>,
    ) -> Result<BTreeMap<Symbol, Qty>, Error> {
        let Inner { line, memory, data_key, .. } = &*self.inner;
        let today = line.clock.now().day_in(&exchange_zone()?);
        let _asking = if data_key.is_some() { Some(memory.one_asks.lock().await) } else { None };
        let (mut volumes, missing) = memory.volumes(symbols, today);
        let days = |back: i64| today.checked_sub(jiff::Span::new().days(back)).map_or(today, |day| day).to_string();
        for some in missing.chunks(SYMBOLS_MAX) {
            let mut url = below(&self.inner.hosts.data, &["v2", "stocks", "bars"]);
            url.query_pairs_mut()
                .append_pair("timeframe", "1Day")
                .append_pair("start", &days(DAYS_BACK))
                .append_pair("end", &days(1))
                .append_pair("adjustment", "split")
                .append_pair("feed", "sip")
                .append_pair("limit", BARS_MAX);
            let body = self.data(access, ("bars", url), some).await?;
            let read = wire::average_volumes(&body).map_err(|fault| nonsense(&fault))?;
            memory.keep_volumes(&read, today);
            volumes.extend(read.into_iter().filter(|(symbol, _)| symbols.contains(symbol)));
        }
        Ok(volumes)
    }

    /// The body of one answer about these symbols.
    pub(super) async fn data<E: Environment>(
        &self,
        access: &Access<E>,
        (endpoint, mut url): (&'static str, Url),
        symbols: &[Symbol],
    ) -> Result<Bytes, Error> {
        let Inner { line, data_key, .. } = &*self.inner;
        let (credential, purse) = match data_key {
            Some(key) => (Credential::key(key), Purse::Data),
            None => (Credential::token(access.token.expose()), purse_of(access)),
        };
        let named: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();
        url.query_pairs_mut().append_pair("symbols", &named.join(","));
        let answer = line.ask(Question::get(endpoint, url), &credential, &purse).await?;
        match answer.status {
            // Not the user's token, or a licence that the data host wants: no reason to call the token dead.
            401 if data_key.is_some() => Err(answer.refused()),
            403 => Err(answer.refused()),
            _ => answer.success().map(Bytes::copy_from_slice),
        }
    }
}
