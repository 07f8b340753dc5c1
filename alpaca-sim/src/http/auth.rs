//! Who is asking: OAuth bearer, key headers, or Basic (facts 1.1, 1.4).
//!
//! Always: a credential opens the host of its own environment and the data host, nothing else; a wrong, revoked or
//! missing one is the same 401 for everybody. That a token for one environment is refused by the other's host is an
//! assumption (facts 10.2).

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;

use crate::http::oauth::{OAuth, Scopes};
use crate::http::people::{KeyOwner, People};
use crate::sim::Environment;

/// The hosts that one listener serves under path prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    /// `/live`: api.alpaca.markets.
    Live,
    /// `/paper`: paper-api.alpaca.markets.
    Paper,
    /// `/data`: data.alpaca.markets.
    Data,
    /// `/app`: app.alpaca.markets.
    App,
}

impl Host {
    /// Splits a path into its host and the rest, which starts with a slash.
    pub(crate) fn split(path: &str) -> Option<(Self, &str)> {
        let (prefix, at) = match path.get(1..)?.find('/') {
            Some(at) => (path.get(1..=at)?, at + 1),
            None => return None,
        };
        let host = match prefix {
            "live" => Self::Live,
            "paper" => Self::Paper,
            "data" => Self::Data,
            "app" => Self::App,
            _ => return None,
        };
        path.get(at..).map(|rest| (host, rest))
    }

    /// The environment of a trading host.
    pub(crate) fn environment(self) -> Option<Environment> {
        match self {
            Self::Live => Some(Environment::Live),
            Self::Paper => Some(Environment::Paper),
            Self::Data | Self::App => None,
        }
    }
}

/// A caller who proved who they are.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The account, or the key id of a data key of the service: the payer of requests.
    pub(crate) id: Arc<str>,
    /// How they proved it, for the ledger.
    pub(crate) credential: Credential,
    /// What they may do.
    pub(crate) scopes: Scopes,
    /// Whether orders may pass on this host (facts 1.3).
    pub(crate) orders_approved: bool,
    /// The plan's limit for the service's data keys.
    pub(crate) data_limit: Option<u32>,
}

/// How a caller proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Credential {
    /// A delegated token.
    OAuth,
    /// The account's own key.
    Key,
}

/// A credential as it came, before anybody looked it up.
#[derive(Debug)]
pub(crate) enum Presented {
    Token(String),
    Key(String, String),
}

impl Presented {
    /// Reads the headers; the bearer token wins over keys.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        if let Some(value) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) {
            let (scheme, rest) = value.split_once(' ')?;
            if scheme.eq_ignore_ascii_case("bearer") {
                return Some(Self::Token(rest.trim().to_owned()));
            }
            if scheme.eq_ignore_ascii_case("basic") {
                let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
                let text = String::from_utf8(decoded).ok()?;
                let (key, secret) = text.split_once(':')?;
                return Some(Self::Key(key.to_owned(), secret.to_owned()));
            }
            return None;
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Some(Self::Key(text("apca-api-key-id")?.to_owned(), text("apca-api-secret-key")?.to_owned()))
    }

    /// Looks the credential up for this host.
    pub(crate) fn check(&self, host: Host, people: &People, oauth: &OAuth) -> Option<Caller> {
        match self {
            Self::Token(token) => by_token(token, host, oauth),
            Self::Key(key, secret) => by_key(key, secret, host, people),
        }
    }
}

fn by_token(token: &str, host: Host, oauth: &OAuth) -> Option<Caller> {
    let grant = oauth.grant(token)?;
    let account = match host.environment() {
        Some(environment) => grant.account(environment)?,
        None => grant.paper.as_ref().or(grant.live.as_ref())?,
    };
    Some(Caller {
        id: account.clone(),
        credential: Credential::OAuth,
        scopes: grant.scopes,
        orders_approved: host != Host::Live || grant.live_orders,
        data_limit: None,
    })
}

fn by_key(key: &str, secret: &str, host: Host, people: &People) -> Option<Caller> {
    let everything = Scopes { account_write: true, trading: true, data: true };
    let (id, data_limit) = match people.check_key(key, secret)? {
        KeyOwner::Account { account, environment } => {
            let fits = host.environment().is_none_or(|host| host == *environment);
            (fits.then(|| account.clone())?, None)
        }
        KeyOwner::Data { requests_per_minute } => {
            ((host == Host::Data).then(|| Arc::from(key))?, Some(*requests_per_minute))
        }
    };
    Some(Caller { id, credential: Credential::Key, scopes: everything, orders_approved: true, data_limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_host() {
        assert_eq!(Host::split("/paper/v2/account"), Some((Host::Paper, "/v2/account")));
        assert_eq!(Host::split("/live/oauth/token"), Some((Host::Live, "/oauth/token")));
        assert_eq!(Host::split("/sim/clock"), None);
        assert_eq!(Host::split("/paper"), None);
        assert_eq!(Host::split("/"), None);
        assert_eq!(Host::split(""), None);
    }
}
