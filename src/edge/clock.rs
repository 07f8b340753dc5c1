//! The only place that reads the time or sleeps.
//!
//! Three clocks: the system's; a simulator's over HTTP, for the demo and tests; and a virtual one that moves when somebody
//! sleeps on it, so that years pass in seconds. None runs backwards.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Deserialize;

use crate::model::time::{Moment, Span};

/// The longest real sleep between two looks at a remote clock: a jump is noticed within it.
const LOOK: Duration = Duration::from_millis(25);

/// How often a remote clock is asked.
const ASK: Duration = Duration::from_millis(40);

/// A source of time.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's own.
    System,
    /// A simulator's.
    Remote(RemoteClock),
    /// A test's.
    Virtual(VirtualClock),
}

impl Clock {
    /// What time it is.
    #[expect(clippy::disallowed_methods, reason = "the one reader of the system's clock")]
    pub fn now(&self) -> Moment {
        match self {
            Self::System => Moment::from(Timestamp::now()),
            Self::Remote(clock) => clock.now(),
            Self::Virtual(clock) => clock.now(),
        }
    }

    /// Waits for a span of this clock's time.
    pub async fn sleep(&self, span: Span) {
        self.sleep_until(self.now() + span).await;
    }

    /// Waits until this clock shows a moment.
    pub async fn sleep_until(&self, moment: Moment) {
        match self {
            Self::System => {
                let left = moment.since(self.now());
                if let Ok(left) = Duration::try_from(left) {
                    tokio::time::sleep(left).await;
                }
            }
            Self::Remote(clock) => clock.sleep_until(moment).await,
            Self::Virtual(clock) => clock.pass_until(moment),
        }
    }
}

/// Why a remote clock cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer.
    #[error("the clock at {url} does not answer")]
    Silent {
        /// Which.
        url: url::Url,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Not a clock's answer.
    #[error("the clock at {url} answers nonsense: {why}")]
    Nonsense {
        /// Which.
        url: url::Url,
        /// What is wrong.
        why: String,
    },
}

#[derive(Debug, Deserialize)]
struct Face {
    now: String,
    speed: f64,
}

/// A clock that is read over HTTP and runs at its own speed: `GET` answers `{"now": RFC3339, "speed": number}`.
#[derive(Debug, Clone)]
pub struct RemoteClock {
    url: url::Url,
    http: reqwest::Client,
    anchor: Arc<Mutex<Anchor>>,
}

#[derive(Debug)]
struct Anchor {
    real: Instant,
    shown: Moment,
    speed: f64,
    last: Moment,
}

impl RemoteClock {
    /// Reads the clock for the first time.
    ///
    /// # Errors
    /// When it does not answer, or not like a clock.
    pub async fn connect(url: url::Url) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()
            .map_err(|source| Error::Silent { url: url.clone(), source })?;
        let first = Anchor { real: Instant::now(), shown: Moment::EPOCH, speed: 1.0, last: Moment::EPOCH };
        let clock = Self { url, http, anchor: Arc::new(Mutex::new(first)) };
        clock.look().await?;
        Ok(clock)
    }

    async fn look(&self) -> Result<(), Error> {
        let silent = |source| Error::Silent { url: self.url.clone(), source };
        let answer = self.http.get(self.url.clone()).send().await.map_err(silent)?;
        let face: Face = answer.json().await.map_err(silent)?;
        let nonsense = |why: String| Error::Nonsense { url: self.url.clone(), why };
        let shown = Moment::parse(&face.now).map_err(|error| nonsense(error.to_string()))?;
        if !face.speed.is_finite() || face.speed < 0.0 {
            return Err(nonsense(format!("a speed of {}", face.speed)));
        }
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        (anchor.real, anchor.shown, anchor.speed) = (Instant::now(), shown, face.speed);
        Ok(())
    }

    /// Follows the clock for ever, so that its jumps and changes of speed are noticed. A clock that does not answer goes
    /// on at its last speed.
    pub async fn follow(&self) {
        loop {
            tokio::time::sleep(ASK).await;
            if let Err(error) = self.look().await {
                tracing::debug!(%error, "the clock was not read");
            }
        }
    }

    fn now(&self) -> Moment {
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = anchor.real.elapsed().mul_f64(anchor.speed);
        let now = anchor.shown + Span::try_from(elapsed).unwrap_or(Span::ZERO);
        anchor.last = anchor.last.max(now);
        anchor.last
    }

    async fn sleep_until(&self, moment: Moment) {
        loop {
            let left = moment.since(self.now());
            if !left.is_positive() {
                return;
            }
            let speed = self.anchor.lock().unwrap_or_else(PoisonError::into_inner).speed;
            let real = Duration::try_from(left).map_or(LOOK, |left| real_time(left, speed));
            tokio::time::sleep(real.clamp(Duration::from_millis(1), LOOK)).await;
        }
    }
}

#[expect(clippy::float_arithmetic, reason = "a clock's speed is no money")]
fn real_time(left: Duration, speed: f64) -> Duration {
    if speed > 0.0 { Duration::try_from_secs_f64(left.as_secs_f64() / speed).unwrap_or(LOOK) } else { LOOK }
}

/// A clock that stands still until somebody sleeps on it or sets it.
#[derive(Debug, Clone)]
pub struct VirtualClock(Arc<Mutex<Moment>>);

impl VirtualClock {
    /// A clock that shows this moment.
    pub fn new(start: Moment) -> Self {
        Self(Arc::new(Mutex::new(start)))
    }

    /// What it shows.
    pub fn now(&self) -> Moment {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets it forward; an earlier moment changes nothing.
    pub fn set(&self, moment: Moment) {
        self.pass_until(moment);
    }

    fn pass_until(&self, moment: Moment) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = (*now).max(moment);
    }
}
