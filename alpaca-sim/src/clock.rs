//! The simulated clock: a line through (wall instant, simulated moment) with a slope.
//!
//! Always: it never runs backwards; with speed 0 it stands still until it is set.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// A clock anchored at a pair of moments.
#[derive(Debug, Clone, Copy)]
pub struct SimClock {
    wall: Instant,
    sim: Timestamp,
    speed: f64,
}

impl SimClock {
    /// A clock that shows `start` now and runs `speed` times as fast as the wall's; not a number or below 0 counts as 0.
    pub fn new(start: Timestamp, speed: f64) -> Self {
        Self { wall: Instant::now(), sim: start, speed: clean(speed) }
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        if self.speed == 0.0 {
            return self.sim;
        }
        let Ok(elapsed) = SignedDuration::try_from(self.wall.elapsed().mul_f64(self.speed)) else { return self.sim };
        self.sim.checked_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// How fast it runs.
    pub fn speed(&self) -> f64 {
        self.speed
    }

    /// Sets it forward; an earlier moment leaves it where it is. Returns what it shows.
    pub fn set(&mut self, to: Timestamp) -> Timestamp {
        self.anchor(self.now().max(to), self.speed)
    }

    /// Sets it forward by a span; a negative one leaves it where it is. Returns what it shows.
    pub fn step(&mut self, by: SignedDuration) -> Timestamp {
        let now = self.now();
        self.anchor(now.max(now.checked_add(by).unwrap_or(Timestamp::MAX)), self.speed)
    }

    /// Changes how fast it runs from now on.
    pub fn set_speed(&mut self, speed: f64) {
        self.anchor(self.now(), clean(speed));
    }

    fn anchor(&mut self, sim: Timestamp, speed: f64) -> Timestamp {
        *self = Self { wall: Instant::now(), sim, speed };
        sim
    }
}

fn clean(speed: f64) -> f64 {
    if speed.is_finite() && speed > 0.0 { speed } else { 0.0 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told_and_never_back() {
        let start: Timestamp = "2022-03-01T14:30:00Z".parse().unwrap();
        let mut clock = SimClock::new(start, 0.0);
        assert_eq!(clock.now(), start);
        assert_eq!(clock.step(SignedDuration::from_secs(5)), start + SignedDuration::from_secs(5));
        clock.set(start);
        assert_eq!(clock.now(), start + SignedDuration::from_secs(5));
        clock.set_speed(f64::NAN);
        assert!(clock.speed().abs() < f64::EPSILON);
    }

    #[test]
    fn a_running_clock_runs_ahead_of_the_wall() {
        let start: Timestamp = "2022-03-01T14:30:00Z".parse().unwrap();
        let clock = SimClock::new(start, 10_000.0);
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert!(clock.now() >= start + SignedDuration::from_secs(50));
    }
}
