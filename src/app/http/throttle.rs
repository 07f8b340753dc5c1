//! How many connections may be started: from one address, and from all together.
//!
//! A started connection costs a row and a page; a crowd of them must not cost the daemon its memory or its database. The
//! counts are of the minute that is on, and so is the memory of addresses, which is bounded.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The time over which is counted.
const WINDOW: Duration = Duration::from_mins(1);

/// Most addresses that are remembered; beyond them only the count of all holds.
const ADDRESSES_MAX: usize = 10_000;

/// The counts of one minute.
#[derive(Debug)]
pub struct Throttle {
    all: u32,
    each: u32,
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    since: Instant,
    all: u32,
    each: HashMap<IpAddr, u32>,
}

impl Throttle {
    /// At most `all` a minute, and at most `each` of one address.
    pub fn new((all, each): (u32, u32)) -> Self {
        let counts = Counts { since: Instant::now(), all: 0, each: HashMap::new() };
        Self { all, each, counts: Mutex::new(counts) }
    }

    /// Counts one more; `false` when it is one too many. Whoever comes from this machine is most likely a proxy that
    /// brings everybody, and counts among all only.
    pub fn admits(&self, address: IpAddr) -> bool {
        self.admits_at(address, Instant::now())
    }

    fn admits_at(&self, address: IpAddr, now: Instant) -> bool {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(counts.since) >= WINDOW {
            *counts = Counts { since: now, all: 0, each: HashMap::new() };
        }
        if counts.all >= self.all {
            return false;
        }
        let is_known = counts.each.contains_key(&address);
        if !address.is_loopback() && (is_known || counts.each.len() < ADDRESSES_MAX) {
            let count = counts.each.entry(address).or_insert(0);
            if *count >= self.each {
                return false;
            }
            *count += 1;
        }
        counts.all += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_what_all_may_have() {
        let throttle = Throttle::new((5, 2));
        let (first, second) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let now = Instant::now();
        let admitted = |address, at| throttle.admits_at(address, at);
        assert!(admitted(first, now) && admitted(first, now) && !admitted(first, now));
        assert!(admitted(second, now) && admitted(second, now), "another address is not touched");
        let proxy = IpAddr::from([127, 0, 0, 1]);
        assert!(admitted(proxy, now) && !admitted(proxy, now), "five of all together");
        assert!(admitted(first, now + WINDOW), "the next minute begins anew");
    }

    #[test]
    fn a_crowd_of_addresses_takes_no_more_memory_than_is_allowed() {
        let throttle = Throttle::new((100_000, 1));
        let now = Instant::now();
        for number in 0..20_000_u32 {
            assert!(throttle.admits_at(IpAddr::from((0x0a00_0000 + number).to_be_bytes()), now));
        }
        assert_eq!(throttle.counts.lock().map_or(0, |counts| counts.each.len()), ADDRESSES_MAX);
    }
}
