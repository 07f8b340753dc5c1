//! The only source of time. Nothing else reads a clock or sleeps.
//!
//! There are three: the system's, one that is read from an address (for the demo and tests, at its own speed), and one
//! that a test moves. None of them ever runs backwards. A sleeper looks at the clock again and again while it sleeps, so
//! that it notices when time jumps: a machine that was suspended, a clock that was set, a day that was skipped (rows 49
//! and 50).

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::Deserialize;
use url::Url;

use crate::model::time::{Moment, Span};

/// How long a sleeper on the system's clock sleeps at most before it looks again.
const SYSTEM_LOOK: Duration = Duration::from_secs(1);

/// How often a remote clock is asked, and how long a sleeper on it sleeps at most before it looks again.
const REMOTE_LOOK: Duration = Duration::from_millis(50);

/// How long a remote clock is carried on without an answer. After that it stands still: time that nobody vouches for
/// makes nothing due (rule 5).
const REMOTE_TRUST: Duration = Duration::from_millis(250);

/// Speeds are counted in millionths, so that no float takes part in the reckoning.
const SPEED_ONE: i64 = 1_000_000;

/// Why a remote clock cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It did not answer.
    #[error("the clock does not answer")]
    Silent(#[source] reqwest::Error),
    /// It answered something else than a time and a speed.
    #[error("the clock answers nonsense ({0}); `{{\"now\": RFC3339, \"speed\": number}}` is expected")]
    Nonsense(String),
}

/// A clock.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The system's.
    #[default]
    System,
    /// One that is read from an address.
    Remote(RemoteClock),
    /// One that a test moves.
    Virtual(VirtualClock),
}

impl Clock {
    /// The time. Never earlier than any answer before.
    pub fn now(&self) -> Moment {
        match self {
            Self::System => system_now(),
            Self::Remote(clock) => clock.now(),
            Self::Virtual(clock) => clock.now(),
        }
    }

    /// A look is taken now.
    pub fn look(&self) -> Look {
        let taken = match self {
            Self::System => Taken::Really(Instant::now(), Some(system_now())),
            Self::Remote(_) => Taken::Really(Instant::now(), None),
            Self::Virtual(clock) => Taken::Virtually(clock.clone(), clock.now()),
        };
        Look { taken }
    }

    /// Waits for as long as `span`, by this clock.
    pub async fn sleep(&self, span: Span) {
        self.sleep_until(self.now() + span).await;
    }

    /// Waits until `moment`, by this clock.
    pub async fn sleep_until(&self, moment: Moment) {
        if let Self::Virtual(clock) = self {
            clock.set(moment);
            // Others may have something to do at the moment that has just been reached.
            return tokio::task::yield_now().await;
        }
        loop {
            let left = moment.since(self.now());
            if left <= Span::ZERO {
                return;
            }
            tokio::time::sleep(self.look_after(left)).await;
            if let Self::Remote(clock) = self {
                clock.keep_up().await;
            }
        }
    }

    /// Whoever stood still, as a stopped process does, knows the time again: a clock that is read from an address is read now,
    /// if it was not for a while. The others are never behind.
    pub async fn catch_up(&self) {
        if let Self::Remote(clock) = self {
            clock.keep_up().await;
        }
    }

    fn look_after(&self, left: Span) -> Duration {
        match self {
            Self::Remote(clock) => clock.real(left).clamp(Duration::from_millis(1), REMOTE_LOOK),
            Self::System | Self::Virtual(_) => left.unsigned_abs().min(SYSTEM_LOOK),
        }
    }
}

/// How long ago a look was taken: by a clock that nobody can set, which a process that stood still notices, and by the
/// system's, which a machine that was suspended notices; by the test's own clock where time is a test's.
#[derive(Debug)]
pub struct Look {
    taken: Taken,
}

#[derive(Debug)]
enum Taken {
    Really(Instant, Option<Moment>),
    Virtually(VirtualClock, Moment),
}

impl Look {
    /// How long ago it was taken.
    pub fn age(&self) -> Span {
        match &self.taken {
            Taken::Really(at, wall) => {
                let passed = Span::from_micros(i64::try_from(at.elapsed().as_micros()).unwrap_or(i64::MAX));
                wall.map_or(passed, |wall| passed.max(system_now().since(wall)))
            }
            Taken::Virtually(clock, at) => clock.now().since(*at),
        }
    }
}

/// Measures how long something really took, for metrics only: no decision may depend on it.
#[derive(Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// What the system's clock last showed, to the whole process, and when that was by a clock that nobody can set.
static SHOWN: Mutex<Option<(Moment, Instant)>> = Mutex::new(None);

/// The system's time. If its clock is set back, the answers go on at half their pace until it has caught up.
fn system_now() -> Moment {
    let mut shown = locked(&SHOWN);
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the time")]
    let wall = Moment::from(Timestamp::now());
    let at = Instant::now();
    let now = carried_on(*shown, (wall, at));
    *shown = Some((now, at));
    now
}

/// What the system's clock shows after it has shown this: `wall` and `at` are what it reads now, and a clock that nobody can set.
pub fn carried_on(shown: Option<(Moment, Instant)>, (wall, at): (Moment, Instant)) -> Moment {
    match shown {
        Some((before, shown_at)) if wall < before => {
            let passed = i64::try_from(at.duration_since(shown_at).as_micros()).unwrap_or(i64::MAX);
            before + Span::from_micros(passed / 2)
        }
        _ => wall,
    }
}

/// A clock that is read from an address and carried on between two readings at the speed that it told.
#[derive(Debug, Clone)]
pub struct RemoteClock {
    inner: Arc<Remote>,
}

#[derive(Debug)]
struct Remote {
    url: Url,
    http: reqwest::Client,
    hand: Mutex<Hand>,
}

#[derive(Debug)]
struct Hand {
    read: Moment,
    read_at: Instant,
    speed_millionths: i64,
    shown: Moment,
}

#[derive(Deserialize)]
struct Reading {
    now: String,
    speed: serde_json::Number,
}

impl RemoteClock {
    /// Reads the clock for the first time.
    ///
    /// # Errors
    /// When it does not answer, or answers nonsense.
    pub async fn connect(url: Url) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(2))
            .build()
            .map_err(Error::Silent)?;
        let (read, speed_millionths) = read(&http, &url).await?;
        let hand = Hand { read, read_at: Instant::now(), speed_millionths, shown: read };
        Ok(Self { inner: Arc::new(Remote { url, http, hand: Mutex::new(hand) }) })
    }

    /// Reads the clock again and again, for ever. Without it the clock stands still soon after it was connected, but for those
    /// who sleep on it.
    pub async fn follow(&self) {
        let mut silent = false;
        loop {
            match read(&self.inner.http, &self.inner.url).await {
                Ok(reading) => {
                    self.set(reading);
                    silent = false;
                }
                Err(error) if !silent => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the clock cannot be read; time stands still"
                    );
                    silent = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(REMOTE_LOOK).await;
        }
    }

    /// Reads the clock once more if nobody does: a command that waits has nobody who follows, and would wait for ever.
    async fn keep_up(&self) {
        let is_followed = locked(&self.inner.hand).read_at.elapsed() < REMOTE_TRUST;
        if !is_followed && let Ok(reading) = read(&self.inner.http, &self.inner.url).await {
            self.set(reading);
        }
    }

    fn set(&self, (read, speed_millionths): (Moment, i64)) {
        let mut hand = locked(&self.inner.hand);
        hand.read = read;
        // The reading is a little old when it arrives, so this clock is late rather than early.
        hand.read_at = Instant::now();
        hand.speed_millionths = speed_millionths;
    }

    /// The time.
    pub fn now(&self) -> Moment {
        let mut hand = locked(&self.inner.hand);
        let passed = hand.read_at.elapsed().min(REMOTE_TRUST).as_micros();
        let passed = i64::try_from(passed).unwrap_or(i64::MAX).saturating_mul(hand.speed_millionths) / SPEED_ONE;
        hand.shown = hand.shown.max(hand.read + Span::from_micros(passed));
        hand.shown
    }

    /// How long `span` of this clock really takes.
    fn real(&self, span: Span) -> Duration {
        let speed = i128::from(locked(&self.inner.hand).speed_millionths);
        let micros = span.as_micros().saturating_mul(i128::from(SPEED_ONE)).checked_div(speed);
        micros.map_or(REMOTE_LOOK, |micros| Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
    }
}

async fn read(http: &reqwest::Client, url: &Url) -> Result<(Moment, i64), Error> {
    let silent = |error: reqwest::Error| Error::Silent(error.without_url());
    let answer = http.get(url.clone()).send().await.and_then(reqwest::Response::error_for_status).map_err(silent)?;
    let text = answer.text().await.map_err(silent)?;
    let reading: Reading = serde_json::from_str(&text).map_err(|error| Error::Nonsense(error.to_string()))?;
    let now = Moment::parse(&reading.now).map_err(|error| Error::Nonsense(error.to_string()))?;
    let speed = reading.speed.to_string();
    let millionths = speed
        .parse::<Decimal>()
        .ok()
        .and_then(|speed| speed.checked_mul(Decimal::from(SPEED_ONE))?.to_i64())
        // A million times real speed is more than any demo needs; beyond it the reckoning could overflow.
        .filter(|millionths| (0..=SPEED_ONE * 1_000_000).contains(millionths));
    millionths.map(|millionths| (now, millionths)).ok_or_else(|| Error::Nonsense(format!("speed {speed}")))
}

/// A clock that stands still until it is moved, or until somebody sleeps: then it jumps to the end of the sleep.
#[derive(Debug, Clone)]
pub struct VirtualClock {
    micros: Arc<AtomicI64>,
}

impl VirtualClock {
    /// A clock that shows `start`.
    pub fn new(start: Moment) -> Self {
        Self { micros: Arc::new(AtomicI64::new(start.micros())) }
    }

    /// The time.
    pub fn now(&self) -> Moment {
        Moment::from_micros(self.micros.load(Ordering::SeqCst))
    }

    /// Moves the clock to `moment`; a moment that has passed changes nothing.
    pub fn set(&self, moment: Moment) {
        self.micros.fetch_max(moment.micros(), Ordering::SeqCst);
    }
}

/// A clock's hand is one plain value: a thread that panicked while it held the lock cannot have left it half-moved.
fn locked<T>(hand: &Mutex<T>) -> MutexGuard<'_, T> {
    hand.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_clock_that_is_set_back_goes_on_slower_and_is_caught_up_with() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let moment = |seconds: i64| Moment::from_micros(seconds * 1_000_000);
        let shown = carried_on(None, (moment(1000), start));
        assert_eq!(shown, moment(1000));
        let shown = carried_on(Some((shown, start)), (moment(910), after(10)));
        assert_eq!(shown, moment(1005), "set back by 100 seconds: half the pace");
        let shown = carried_on(Some((shown, after(10))), (moment(1100), after(200)));
        assert_eq!(shown, moment(1100), "the system has caught up");
    }
}
