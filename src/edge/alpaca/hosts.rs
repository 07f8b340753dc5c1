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
    /// Where orders are heard of while they are open; without it they are looked at only.
    pub streams: Option<Streams>,
}

/// Addresses of the `trade_updates` streams (facts 1.1).
#[derive(Debug, Clone)]
pub struct Streams {
    /// Of live trading.
    pub live: Url,
    /// Of paper trading.
    pub paper: Url,
}

impl Hosts {
    /// The trading host of an environment.
    pub fn trading<E: Environment>(&self) -> &Url {
        match E::KIND {
            Kind::Live => &self.live,
            Kind::Paper => &self.paper,
        }
    }

    /// The stream of an environment, as it is asked for: a WebSocket begins as a plain request.
    pub(super) fn stream<E: Environment>(&self) -> Option<Url> {
        let streams = self.streams.as_ref()?;
        Some(carried(match E::KIND {
            Kind::Live => &streams.live,
            Kind::Paper => &streams.paper,
        }))
    }

    /// Every address.
    pub fn all(&self) -> Vec<&Url> {
        let plain = [&self.live, &self.paper, &self.data, &self.authorize, &self.token];
        plain.into_iter().chain(self.streams.iter().flat_map(|streams| [&streams.live, &streams.paper])).collect()
    }

    /// Whether every address is on this machine: then, and only then, may the time come from somewhere else.
    pub fn all_loopback(&self) -> bool {
        self.all().into_iter().all(is_loopback)
    }
}

/// The address by which a request travels: `wss` is carried by https, `ws` by http.
pub(super) fn carried(url: &Url) -> Url {
    let mut url = url.clone();
    let scheme = match url.scheme() {
        "wss" => "https",
        "ws" => "http",
        _ => return url,
    };
    // All four schemes are special ones, between which a URL may always change.
    let _changed = url.set_scheme(scheme);
    url
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
