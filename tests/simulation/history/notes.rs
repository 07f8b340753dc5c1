//! What a history knows of itself: its dice, what went wrong on purpose, what must hold because of it, and what did not.
//!
//! Always: every draw comes from the one seeded generator, in the order in which the history asks; so one seed is one
//! history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rebalanced::model::time::Moment;

use super::acts::Act;
use super::faults::Fault;

/// What a seed draws before its history begins.
#[derive(Debug, Clone)]
pub(crate) struct Character {
    /// Nothing goes wrong, for four times as long.
    pub quiet: bool,
    /// Nothing goes wrong but that the process is killed, or drops what it does: nobody has to wait for a person then.
    pub only_kills: bool,
    /// Trading days.
    pub days: usize,
    /// Accounts on paper, and live ones.
    pub accounts: (usize, usize),
    /// How many of a thousand requests go wrong.
    pub fault_rate: u32,
    /// How many of a thousand crossings have something happen at them.
    pub act_rate: u32,
    /// What may go wrong on the wire.
    pub faults: Vec<Fault>,
    /// What may happen at a crossing.
    pub acts: Vec<Act>,
    /// How many of a hundred fills are partial.
    pub partial_fills: u8,
    /// The first day, counted from the first of the data.
    pub first_day: usize,
}

impl Character {
    fn drawn(dice: &mut ChaCha8Rng) -> Self {
        let (quiet, only_kills) = match dice.random_range(0..10) {
            0 => (true, false),
            1 => (false, true),
            _ => (false, false),
        };
        let some_of = |dice: &mut ChaCha8Rng, all: &[Fault]| -> Vec<Fault> {
            let share = dice.random_range(10..=90);
            all.iter().copied().filter(|_| dice.random_range(0..100) < share).collect()
        };
        let faults = some_of(dice, Fault::ALL);
        let share = dice.random_range(10..=90);
        let acts = Act::ALL.iter().copied().filter(|_| dice.random_range(0..100) < share).collect();
        let acts = if only_kills { vec![Act::Kill, Act::Drop] } else { acts };
        let rates: &[u32] = &[100, 300, 400, 500];
        Self {
            quiet,
            only_kills,
            days: dice.random_range(4..=10) * if quiet { 4 } else { 1 },
            accounts: (dice.random_range(1..=3), dice.random_range(0..=2)),
            fault_rate: if quiet || only_kills { 0 } else { rates[dice.random_range(0..rates.len())] },
            act_rate: if quiet {
                0
            } else if only_kills {
                10
            } else {
                [0, 8, 20, 30][dice.random_range(0..4)]
            },
            faults,
            acts,
            partial_fills: dice.random_range(0..=60),
            first_day: dice.random_range(0..250),
        }
    }
}

/// The state of one history.
pub(crate) struct Notes {
    dice: ChaCha8Rng,
    /// What the seed drew.
    pub character: Character,
    /// Nothing goes wrong now.
    pub calm: bool,
    /// How often each thing went wrong, by its row of the fault matrix.
    pub rows: BTreeMap<u32, u64>,
    /// Everything that went wrong.
    pub injected: u64,
    /// What happened, for people.
    pub lines: Vec<String>,
    /// Whether lines are kept.
    pub verbose: bool,
    /// What must never be, and was.
    pub violations: Vec<String>,
    /// Who must not send because of a halt: `service`, or an account.
    pub halted: BTreeSet<String>,
    /// Accounts that must not send because a flag of live trading was withdrawn, a user has left, or a token is dead.
    pub forbidden: BTreeMap<String, &'static str>,
    /// The account whose run was taken over by another worker; the first must not send any more.
    pub superseded: Option<String>,
    /// Symbols whose last quote was a lie.
    pub lied_quotes: BTreeSet<String>,
    /// The last answer about the calendar was a lie.
    pub lied_calendar: bool,
    /// Assets that were last shown as not tradable: on the live host or the paper one, and which.
    pub untradable: BTreeSet<(bool, String)>,
    /// The order whose lying echo is the last thing that was answered: who falls now has never read it.
    pub fresh_echo: Option<String>,
    /// Accounts that were shown as emptier than they are.
    pub lied_worlds: BTreeSet<String>,
    /// Accounts whose cash no row explains, and whether that began after the run under way had compared its books.
    pub ghosts: BTreeMap<String, bool>,
    /// Until when an answer lags behind, by path and account: a minute at most, also when it is drawn twice.
    pub lagging: BTreeMap<(String, String), Moment>,
    /// What answers that lag behind hide nothing of: what they showed, and until when they may.
    pub frozen: BTreeMap<(String, String), (Moment, String)>,
    /// Of each symbol: when its quote was last read, and of when that was.
    pub quotes: BTreeMap<String, (Moment, Moment)>,
    /// The last step of the line was a poll: what a list of orders shows now is taken over.
    pub polling: bool,
    /// Symbols in which trading is halted today.
    pub stopped: BTreeSet<String>,
    /// Whether the account of the run under way had books when it began.
    pub has_books: bool,
    /// Whether the run under way has compared its books.
    pub compared: bool,
    /// Accounts that somebody else touched today: their cash and shares are not ours alone to answer for.
    pub touched: BTreeSet<String>,
    /// The same, on any day so far.
    pub ever_touched: BTreeSet<String>,
    /// Client order ids that must end in quarantine.
    pub must_quarantine: BTreeMap<String, &'static str>,
    /// Accounts whose users have left.
    pub left: BTreeSet<String>,
    /// When they left.
    pub left_at: BTreeMap<String, Moment>,
    /// The account whose run is under way.
    pub run_of: Option<String>,
    /// The process is starting again.
    pub recovering: bool,
    /// The process has died and not noticed.
    pub crashed: bool,
    /// The run's future was dropped, the process lives.
    pub dropped: bool,
    /// Requests so far.
    pub requests: u64,
    /// The run that is at work.
    pub at_work: Option<String>,
    /// Requests that send, cancel or ask for one order, by its client id.
    pub for_one: BTreeMap<String, u64>,
    /// Requests that ask for all orders of a run together, by the run.
    pub for_all: BTreeMap<String, u64>,
    /// Requests for each order whose run has closed: those for it alone, and all those for its run together.
    pub per_order: Vec<u64>,
    /// The most requests that named one order alone.
    pub alone: u64,
    /// Orders that were the second or a later try of their leg.
    pub again: u64,
    /// The most requests that a run took beyond twelve for each of its orders, where nothing goes wrong.
    pub beyond: u64,
    /// Kills at a crossing.
    pub kills: u64,
}

impl Notes {
    fn new(seed: u64, verbose: bool) -> Self {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let character = Character::drawn(&mut dice);
        Self {
            dice,
            character,
            calm: true,
            rows: BTreeMap::new(),
            injected: 0,
            lines: Vec::new(),
            verbose,
            violations: Vec::new(),
            halted: BTreeSet::new(),
            forbidden: BTreeMap::new(),
            superseded: None,
            lied_quotes: BTreeSet::new(),
            lied_worlds: BTreeSet::new(),
            lied_calendar: false,
            untradable: BTreeSet::new(),
            fresh_echo: None,
            ghosts: BTreeMap::new(),
            lagging: BTreeMap::new(),
            frozen: BTreeMap::new(),
            quotes: BTreeMap::new(),
            polling: false,
            stopped: BTreeSet::new(),
            left_at: BTreeMap::new(),
            has_books: false,
            compared: false,
            touched: BTreeSet::new(),
            ever_touched: BTreeSet::new(),
            must_quarantine: BTreeMap::new(),
            left: BTreeSet::new(),
            run_of: None,
            recovering: false,
            crashed: false,
            dropped: false,
            requests: 0,
            at_work: None,
            for_one: BTreeMap::new(),
            for_all: BTreeMap::new(),
            per_order: Vec::new(),
            alone: 0,
            again: 0,
            beyond: 0,
            kills: 0,
        }
    }

    /// Whether something happens that happens so many times in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.dice.random_range(0..1000) < per_mille
    }

    /// Whether a run is under way.
    pub(crate) fn in_run(&self) -> bool {
        self.run_of.is_some()
    }

    /// The account whose run is under way.
    pub(crate) fn current(&self) -> Option<String> {
        self.run_of.clone()
    }

    /// A number of this range.
    pub(crate) fn number(&mut self, range: std::ops::Range<i64>) -> i64 {
        self.dice.random_range(range)
    }

    /// One of these.
    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        if of.is_empty() { None } else { Some(of[self.dice.random_range(0..of.len())]) }
    }

    /// Something was made to go wrong.
    pub(crate) fn inject(&mut self, row: u32, what: impl std::fmt::Display) {
        self.injected += 1;
        *self.rows.entry(row).or_default() += 1;
        self.say(format_args!("row {row}: {what}"));
    }

    /// A line for people.
    pub(crate) fn say(&mut self, line: impl std::fmt::Display) {
        if self.verbose {
            self.lines.push(line.to_string());
        }
    }

    /// Counts a request about one order, or about all of the run that is at work.
    pub(crate) fn asked_for(&mut self, one: Option<String>) {
        match (one, &self.at_work) {
            (Some(one), _) => *self.for_one.entry(one).or_default() += 1,
            (None, Some(run)) => *self.for_all.entry(run.clone()).or_default() += 1,
            (None, None) => {}
        }
    }

    /// A worker loses what it has not written down: an echo that it read and did not store was never read.
    pub(crate) fn forget_echo(&mut self) {
        if let Some(id) = self.fresh_echo.take() {
            self.must_quarantine.remove(&id);
        }
    }

    /// Something that must never be, was.
    pub(crate) fn violation(&mut self, what: impl std::fmt::Display) {
        let what = what.to_string();
        self.say(format_args!("VIOLATION {what}"));
        if self.violations.len() < 20 {
            self.violations.push(what);
        }
    }
}

/// The notes, shared by everything that plays a part.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Notes>>);

impl Shared {
    /// The notes of a seed.
    pub(crate) fn new(seed: u64, verbose: bool) -> Self {
        Self(Arc::new(Mutex::new(Notes::new(seed, verbose))))
    }

    /// The notes, for one sentence. Never held across an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
