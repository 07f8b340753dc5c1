//! Where Alpaca is. One token opens both environments (facts 1.1), so the host is chosen by the environment's type alone.

use url::{Host, Url};

use crate::model::environment::{Environment, Kind};

/// Alpaca's addresses; any of them may carry a path prefix.
#[derive(Debug, Clone)]
pub struct Hosts {
    /// Trading with real money.
    pub live: Url,
    /// Trading with simulated money.
    pub paper: Url,
    /// Market data, one host for both.
    pub data: Url,
    /// The consent page, for browsers.
    pub authorize: Url,
    /// Where a code becomes a token, for both environments.
    pub token: Url,
}

impl Hosts {
    /// The trading host of an environment.
    pub fn trading<E: Environment>(&self) -> &Url {
        match E::KIND {
            Kind::Live => &self.live,
            Kind::Paper => &self.paper,
        }
    }

    /// Every address.
    pub fn all(&self) -> [&Url; 5] {
        [&self.live, &self.paper, &self.data, &self.authorize, &self.token]
    }

    /// Whether every address is on this machine: then, and only then, may the time come from somewhere else.
    pub fn all_loopback(&self) -> bool {
        self.all().into_iter().all(is_loopback)
    }
}

/// Whether an address is on this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// An address below a base, each segment escaped as needed.
pub(super) fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}
