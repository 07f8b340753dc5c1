//! Everything behind the one lock: the clock, the exchange, and the tables of the wire.
//!
//! Always: `now` never runs backwards; whoever holds the lock sees a world in which everything due until `now` has
//! happened and has been told to the streams.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::clock::SimClock;
use crate::exchange::Exchange;
use crate::http::faults::Faults;
use crate::http::gate;
use crate::http::oauth::OAuth;
use crate::http::people::People;
use crate::http::ratelimit::Limits;
use crate::http::request::Inbound;
use crate::http::requests::Requests;
use crate::http::stream::Streams;
use crate::http::wire;

/// The world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) clock: SimClock,
    /// The moment at which the current request is carried out.
    pub(crate) now: Timestamp,
    pub(crate) exchange: Exchange,
    pub(crate) people: People,
    pub(crate) oauth: OAuth,
    pub(crate) limits: Limits,
    pub(crate) faults: Faults,
    pub(crate) requests: Requests,
    pub(crate) streams: Streams,
    pub(crate) requests_per_minute: u32,
    pub(crate) data_requests_per_minute: u32,
    pub(crate) data_over_oauth: bool,
    late: BTreeMap<(Timestamp, u64), Inbound>,
    lates: u64,
}

impl World {
    /// A world at the clock's moment, with empty tables.
    pub(crate) fn new(seed: u64, clock: SimClock, exchange: Exchange, ledger_rows: usize) -> Self {
        Self {
            seed,
            now: clock.now(),
            clock,
            exchange,
            people: People::default(),
            oauth: OAuth::default(),
            limits: Limits::default(),
            faults: Faults::default(),
            requests: Requests::new(ledger_rows),
            streams: Streams::default(),
            requests_per_minute: 0,
            data_requests_per_minute: 0,
            data_over_oauth: true,
            late: BTreeMap::new(),
            lates: 0,
        }
    }

    /// Brings the world to the clock's moment.
    pub(crate) fn settle(&mut self) {
        let now = self.clock.now().max(self.now);
        while let Some(entry) = self.late.first_entry() {
            if now < entry.key().0 {
                break;
            }
            let ((at, _), inbound) = entry.remove_entry();
            self.now = at.max(self.now);
            self.exchange.advance(self.now);
            gate::carry_out(self, &inbound, Some("land_later"), false);
        }
        self.now = now;
        self.exchange.advance(now);
        self.tell();
    }

    /// Keeps a request back until the clock has gone on by `delay`.
    pub(crate) fn land_later(&mut self, inbound: Inbound, delay: SignedDuration) {
        let at = self.now.checked_add(delay).unwrap_or(Timestamp::MAX);
        self.lates += 1;
        self.late.insert((at, self.lates), inbound);
    }

    /// Sends what the exchange has to say to the sockets that listen.
    pub(crate) fn tell(&mut self) {
        for update in self.exchange.take_updates() {
            if !self.streams.is_quiet(&update.account) {
                let frame = wire::trade_update(&update);
                self.streams.deliver(&mut self.faults, &update.account, frame, self.now);
            }
        }
    }
}
