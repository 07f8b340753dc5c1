//! What need not be asked again: the calendar, the assets, volumes and closes for a day, quotes and trades for a second.
//!
//! The cheapest request is the one not sent. Prices are shared by all users; nothing that belongs to one account is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::closes::DailyCloses;
use crate::model::composition::History;
use crate::model::environment::Kind;
use crate::model::ids::Symbol;
use crate::model::money::Qty;
use crate::model::session::Session;
use crate::model::snapshot::{AssetView, Quote, Trade};
use crate::model::time::{Day, Moment, Span};

/// How long a price serves everybody. It keeps the market's own time, by which the guard judges its age.
const QUOTE_SERVES: Span = Span::from_secs(1);

/// What was asked for: an environment's days, from the first to the last.
type Days = (Kind, Day, Day);

/// How long a history that does not reach the last session serves: the feed may still be late, and is not asked for each account.
const LATE_SERVES: Span = Span::from_mins(10);

/// The closes of one symbol, as they were read at a moment of a day for so many sessions.
#[derive(Debug)]
struct KeptCloses {
    today: Day,
    at: Moment,
    count: u32,
    closes: Arc<DailyCloses>,
}

#[derive(Debug, Default)]
pub(super) struct Memory {
    calendar: Mutex<BTreeMap<Days, (Day, Vec<Session>)>>,
    assets: Mutex<BTreeMap<(Kind, Symbol), (Day, AssetView)>>,
    pub(super) quotes: Shared<Quote>,
    pub(super) trades: Shared<Trade>,
    volumes: Mutex<BTreeMap<Symbol, (Day, Qty)>>,
    closes: Mutex<BTreeMap<Symbol, KeptCloses>>,
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

    /// The volumes of today, and the symbols that must be asked for.
    pub(super) fn volumes(&self, symbols: &BTreeSet<Symbol>, today: Day) -> (BTreeMap<Symbol, Qty>, Vec<Symbol>) {
        let kept = locked(&self.volumes);
        split(symbols, |symbol| kept.get(symbol).filter(|(day, _)| *day == today).map(|(_, volume)| *volume))
    }

    pub(super) fn keep_volumes(&self, volumes: &BTreeMap<Symbol, Qty>, today: Day) {
        locked(&self.volumes).extend(volumes.iter().map(|(symbol, volume)| (symbol.clone(), (today, *volume))));
    }
}

impl Memory {
    /// The closes up to the `newest` that were read today for at least so many sessions, and the symbols that must be asked for.
    pub(super) fn closes(
        &self,
        (history, newest): (&History, Day),
        (today, now): (Day, Moment),
    ) -> (BTreeMap<Symbol, Arc<DailyCloses>>, Vec<Symbol>) {
        let kept = locked(&self.closes);
        let serves = |it: &&KeptCloses| {
            let is_whole = it.closes.contains_key(&newest) || now.since(it.at) < LATE_SERVES;
            it.today == today && it.count >= history.closes && is_whole
        };
        split(&history.symbols, |symbol| kept.get(symbol).filter(serves).map(|it| Arc::clone(&it.closes)))
    }

    pub(super) fn keep_closes(
        &self,
        closes: &BTreeMap<Symbol, Arc<DailyCloses>>,
        count: u32,
        (today, at): (Day, Moment),
    ) {
        let mut kept = locked(&self.closes);
        kept.retain(|_, it| it.today == today);
        let one = |closes: &Arc<DailyCloses>| KeptCloses { today, at, count, closes: Arc::clone(closes) };
        kept.extend(closes.iter().map(|(symbol, closes)| (symbol.clone(), one(closes))));
    }
}

/// What the shared feed said of each symbol, with the moment at which it was read.
#[derive(Debug)]
pub(super) struct Shared<T> {
    kept: Mutex<BTreeMap<Symbol, (Moment, T)>>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { kept: Mutex::default() }
    }
}

impl<T: Copy> Shared<T> {
    /// What still serves, and the symbols that must be asked for.
    pub(super) fn fresh(&self, symbols: &BTreeSet<Symbol>, now: Moment) -> (BTreeMap<Symbol, T>, Vec<Symbol>) {
        let kept = locked(&self.kept);
        let serves = |read: Moment| now.since(read) < QUOTE_SERVES;
        split(symbols, |symbol| kept.get(symbol).filter(|(read, _)| serves(*read)).map(|(_, value)| *value))
    }

    pub(super) fn keep(&self, read: &BTreeMap<Symbol, T>, at: Moment) {
        locked(&self.kept).extend(read.iter().map(|(symbol, value)| (symbol.clone(), (at, *value))));
    }
}

/// What is known, and the symbols of which nothing is.
fn split<T>(symbols: &BTreeSet<Symbol>, known: impl Fn(&Symbol) -> Option<T>) -> (BTreeMap<Symbol, T>, Vec<Symbol>) {
    let known: BTreeMap<Symbol, T> =
        symbols.iter().filter_map(|symbol| known(symbol).map(|value| (symbol.clone(), value))).collect();
    let missing = symbols.iter().filter(|symbol| !known.contains_key(*symbol)).cloned().collect();
    (known, missing)
}

/// A map that is only ever replaced entry by entry is whole, whoever panicked while holding it.
fn locked<T>(map: &Mutex<T>) -> MutexGuard<'_, T> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}
