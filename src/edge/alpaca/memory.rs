//! What need not be asked again: the calendar and the assets for a day, quotes for a second.
//!
//! The cheapest request is the one not sent. Prices are shared by all users; nothing that belongs to one account is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::environment::Kind;
use crate::model::ids::Symbol;
use crate::model::session::Session;
use crate::model::snapshot::{AssetView, Quote};
use crate::model::time::{Day, Moment, Span};

/// How long a quote serves everybody. It keeps the market's own time, by which the guard judges its age.
const QUOTE_SERVES: Span = Span::from_secs(1);

/// What was asked for: an environment's days, from the first to the last.
type Days = (Kind, Day, Day);

#[derive(Debug, Default)]
pub(super) struct Memory {
    calendar: Mutex<BTreeMap<Days, (Day, Vec<Session>)>>,
    assets: Mutex<BTreeMap<(Kind, Symbol), (Day, AssetView)>>,
    quotes: Mutex<BTreeMap<Symbol, (Moment, Quote)>>,
    /// Held while the shared feed is asked, so that a thousand runs that are due at once ask once.
    pub(super) one_asks: tokio::sync::Mutex<()>,
}

impl Memory {
    pub(super) fn calendar(&self, key: Days, today: Day) -> Option<Vec<Session>> {
        locked(&self.calendar).get(&key).filter(|(day, _)| *day == today).map(|(_, sessions)| sessions.clone())
    }

    pub(super) fn keep_calendar(&self, key: Days, today: Day, sessions: &[Session]) {
        let mut kept = locked(&self.calendar);
        kept.retain(|_, (day, _)| *day == today);
        kept.insert(key, (today, sessions.to_vec()));
    }

    pub(super) fn forget_calendar(&self) {
        locked(&self.calendar).clear();
    }

    pub(super) fn asset(&self, kind: Kind, symbol: &Symbol, today: Day) -> Option<AssetView> {
        let key = (kind, symbol.clone());
        locked(&self.assets).get(&key).filter(|(day, _)| *day == today).map(|(_, asset)| *asset)
    }

    pub(super) fn keep_asset(&self, kind: Kind, symbol: &Symbol, today: Day, asset: AssetView) {
        locked(&self.assets).insert((kind, symbol.clone()), (today, asset));
    }

    /// The quotes that still serve, and the symbols that must be asked for.
    pub(super) fn quotes(&self, symbols: &BTreeSet<Symbol>, now: Moment) -> (BTreeMap<Symbol, Quote>, Vec<Symbol>) {
        let kept = locked(&self.quotes);
        let fresh = |symbol: &Symbol| kept.get(symbol).filter(|(read, _)| now.since(*read) < QUOTE_SERVES);
        let known: BTreeMap<Symbol, Quote> =
            symbols.iter().filter_map(|symbol| fresh(symbol).map(|(_, quote)| (symbol.clone(), *quote))).collect();
        let missing = symbols.iter().filter(|symbol| !known.contains_key(*symbol)).cloned().collect();
        (known, missing)
    }

    pub(super) fn keep_quotes(&self, quotes: &BTreeMap<Symbol, Quote>, read: Moment) {
        locked(&self.quotes).extend(quotes.iter().map(|(symbol, quote)| (symbol.clone(), (read, *quote))));
    }
}

/// A map that is only ever replaced entry by entry is whole, whoever panicked while holding it.
fn locked<T>(map: &Mutex<T>) -> MutexGuard<'_, T> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}
