//! A request in memory, and reading its query, form and JSON.
//!
//! Always: borrowed where possible; nothing here decides anything.

use std::borrow::Cow;

use axum::http::{HeaderMap, Method, Uri};
use bytes::Bytes;

/// One request, whole.
#[derive(Debug, Clone)]
pub(crate) struct Inbound {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Inbound {
    /// The path with its host prefix.
    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }

    /// The query's parameters.
    pub(crate) fn query(&self) -> Params<'_> {
        Params::parse(self.uri.query().unwrap_or_default())
    }

    /// The parameters of a form body; a body that is none has none.
    pub(crate) fn form(&self) -> Params<'_> {
        Params::parse(std::str::from_utf8(&self.body).unwrap_or_default())
    }
}

/// Names and values in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Params<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Params<'a> {
    /// Reads `a=b&c=d`, percent signs and plus decoded.
    pub(crate) fn parse(text: &'a str) -> Self {
        if text.is_empty() {
            return Self::default();
        }
        Self(serde_urlencoded::from_str(text).unwrap_or_default())
    }

    /// The first value of a name; an empty one counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_ref())
    }

    /// All pairs.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }
}
