//! The fault script: which requests and stream frames go wrong, and how.
//!
//! Always: rules are tried in the order they were added and the first one that fires wins; a rule counts only what it
//! matches, from the moment it was added; the control paths are never touched. A rule decides, the gate does the
//! damage, so what a fault means for the exchange is readable in one place (`gate`).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::http::reply::Reply;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultAction {
    /// The connection is closed without an answer; nothing happened.
    DropBefore,
    /// The connection is closed without an answer; the request took effect.
    DropAfter,
    /// The request takes effect at once, the answer comes `delay_ms` later.
    Delay,
    /// The request waits `delay_ms` before it takes effect.
    DelayBefore,
    /// `status` (503) without effect.
    StatusBefore,
    /// `status` (504) although the request took effect.
    StatusAfter,
    /// `status` (504) now; the request takes effect `delay_seconds` of simulated time later.
    LandLater,
    /// The real answer, cut after `bytes` bytes, and the connection closed.
    Truncate,
    /// The request is carried out twice; the answer is the `answer` one (`first` or `last`).
    Duplicate,
    /// 429 without effect, with the usual headers unless `headers` says `false` for them.
    RateLimit,
    /// A proxy's HTML page with `status` (502), without effect.
    Html,
    /// The real answer with the members of `set` (JSON pointer to value) replaced.
    Mutate,
    /// 307 to `location`, without effect.
    Redirect,
    /// The first answer that the rule sees for a caller and path is given again and again: reading lags behind.
    Freeze,
    /// Stream frames are swallowed; the socket stays open and answers pings.
    MuteStream,
    /// Stream frames are sent twice.
    DuplicateStream,
    /// Stream frames have the members of `set` replaced.
    MutateStream,
    /// The socket is closed instead of sending the frame.
    CloseStream,
}

impl FaultAction {
    /// Whether the action concerns frames of a stream and not requests.
    pub(crate) fn is_stream(self) -> bool {
        matches!(self, Self::MuteStream | Self::DuplicateStream | Self::MutateStream | Self::CloseStream)
    }

    /// The name in rules and in the ledger.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DropBefore => "drop_before",
            Self::DropAfter => "drop_after",
            Self::Delay => "delay",
            Self::DelayBefore => "delay_before",
            Self::StatusBefore => "status_before",
            Self::StatusAfter => "status_after",
            Self::LandLater => "land_later",
            Self::Truncate => "truncate",
            Self::Duplicate => "duplicate",
            Self::RateLimit => "rate_limit",
            Self::Html => "html",
            Self::Mutate => "mutate",
            Self::Redirect => "redirect",
            Self::Freeze => "freeze",
            Self::MuteStream => "mute_stream",
            Self::DuplicateStream => "duplicate_stream",
            Self::MutateStream => "mutate_stream",
            Self::CloseStream => "close_stream",
        }
    }
}

/// Which of two answers a duplicated request gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The one to the first copy.
    #[default]
    First,
    /// The one to the second copy.
    Last,
}

/// One rule of the script. Conditions that are absent match everything.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// What goes wrong.
    pub action: FaultAction,
    /// Fires from the n-th matching request (or frame) on, counted from 1 since the rule was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_request: Option<u64>,
    /// Fires from this simulated moment on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_time: Option<Timestamp>,
    /// Does not fire from this simulated moment on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Path with its host prefix and without the query; `*` stands for any text, so `/paper/v2/orders*` is a prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `GET`, `POST`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Account id of the caller, or the key id for the service's data keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// How often it fires; once by default, without end when 0 and for `mute_stream` and `freeze`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// Status of `status_before`, `status_after`, `land_later` and `html`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Body of `status_before` and `status_after`; a string is sent as text, anything else as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Real milliseconds of `delay` and `delay_before`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Simulated seconds of `land_later`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<i64>,
    /// How much of the body `truncate` lets through; half by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<usize>,
    /// Which answer `duplicate` returns.
    #[serde(default)]
    pub answer: Answer,
    /// What `mutate` and `mutate_stream` replace: JSON pointer to new value; `null` is a value too.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub set: serde_json::Map<String, Value>,
    /// Whether `rate_limit` sends the `X-RateLimit-*` headers; yes by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<bool>,
    /// Target of `redirect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

impl FaultRule {
    /// A rule without conditions that fires once.
    pub fn new(action: FaultAction) -> Self {
        Self {
            action,
            at_request: None,
            at_time: None,
            until: None,
            path: None,
            method: None,
            account: None,
            times: None,
            status: None,
            body: None,
            delay_ms: None,
            delay_seconds: None,
            bytes: None,
            answer: Answer::First,
            set: serde_json::Map::new(),
            headers: None,
            location: None,
        }
    }

    /// The same rule for paths like this.
    #[must_use]
    pub fn path(mut self, glob: &str) -> Self {
        self.path = Some(glob.to_owned());
        self
    }

    /// The same rule for this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// The same rule for this account.
    #[must_use]
    pub fn account(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }

    /// The same rule from the n-th match on.
    #[must_use]
    pub fn at_request(mut self, n: u64) -> Self {
        self.at_request = Some(n);
        self
    }

    /// The same rule, firing so often; 0 means without end.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// The same rule with this status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    fn times_allowed(&self) -> u64 {
        match (self.times, self.action) {
            (Some(0), _) | (None, FaultAction::MuteStream | FaultAction::Freeze) => u64::MAX,
            (Some(times), _) => times,
            (None, _) => 1,
        }
    }
}

/// What a rule is matched against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) account: Option<&'a str>,
    pub(crate) now: Timestamp,
}

/// A rule with its counters.
#[derive(Debug, Clone, Serialize)]
pub struct FaultStatus {
    /// Number of the rule, in the order of adding, from 1.
    pub id: u64,
    /// The rule.
    #[serde(flatten)]
    pub rule: FaultRule,
    /// What it has matched so far.
    pub seen: u64,
    /// How often it has fired.
    pub fired: u64,
}

/// The script.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<FaultStatus>,
    added: u64,
    frozen: BTreeMap<String, Reply>,
}

impl Faults {
    /// Adds a rule and returns its number.
    pub(crate) fn add(&mut self, rule: FaultRule) -> u64 {
        self.added += 1;
        self.rules.push(FaultStatus { id: self.added, rule, seen: 0, fired: 0 });
        self.added
    }

    /// Forgets all rules, or the one with this number; returns how many went.
    pub(crate) fn clear(&mut self, id: Option<u64>) -> usize {
        let before = self.rules.len();
        self.rules.retain(|status| id.is_some_and(|id| status.id != id));
        self.frozen.clear();
        before - self.rules.len()
    }

    /// All rules with their counters.
    pub(crate) fn list(&self) -> &[FaultStatus] {
        &self.rules
    }

    /// Whether nothing can go wrong, so that the caller need not be known to find out.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The answer that a `freeze` keeps for this caller and path.
    pub(crate) fn frozen(&self, key: &str) -> Option<&Reply> {
        self.frozen.get(key)
    }

    /// Keeps an answer for a `freeze`.
    pub(crate) fn keep(&mut self, key: String, reply: Reply) {
        self.frozen.insert(key, reply);
    }

    /// The fault of this request, if any.
    pub(crate) fn draw(&mut self, target: Target<'_>) -> Option<FaultRule> {
        self.draw_kind(target, false)
    }

    /// The fault of this stream frame, if any.
    pub(crate) fn draw_frame(&mut self, target: Target<'_>) -> Option<FaultRule> {
        self.draw_kind(target, true)
    }

    fn draw_kind(&mut self, target: Target<'_>, stream: bool) -> Option<FaultRule> {
        for status in &mut self.rules {
            if status.rule.action.is_stream() != stream || !matches(&status.rule, target) {
                continue;
            }
            status.seen += 1;
            let started = status.rule.at_request.is_none_or(|n| n <= status.seen);
            if started && status.fired < status.rule.times_allowed() {
                status.fired += 1;
                return Some(status.rule.clone());
            }
        }
        None
    }
}

fn matches(rule: &FaultRule, target: Target<'_>) -> bool {
    rule.at_time.is_none_or(|at| at <= target.now)
        && rule.until.is_none_or(|until| target.now < until)
        && rule.method.as_deref().is_none_or(|method| method.eq_ignore_ascii_case(target.method))
        && rule.account.as_deref().is_none_or(|account| target.account == Some(account))
        && rule.path.as_deref().is_none_or(|glob| glob_matches(glob, target.path))
}

/// `*` stands for any text, also an empty one; everything else for itself.
fn glob_matches(glob: &str, text: &str) -> bool {
    let mut parts = glob.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut last_was_star = false;
    let mut any_star = false;
    for part in parts {
        any_star = true;
        last_was_star = part.is_empty();
        if last_was_star {
            continue;
        }
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    if !any_star || !last_was_star {
        let tail = glob.rsplit('*').next().unwrap_or_default();
        return if any_star { text.ends_with(tail) } else { rest.is_empty() };
    }
    true
}

/// Replaces members of a JSON text by pointer; a pointer whose parent is missing is ignored.
pub(crate) fn mutate(json: &[u8], set: &serde_json::Map<String, Value>) -> Option<Vec<u8>> {
    let mut document: Value = serde_json::from_slice(json).ok()?;
    for (pointer, value) in set {
        if let Some(place) = document.pointer_mut(pointer) {
            *place = value.clone();
        } else if let Some((parent, name)) = pointer.rsplit_once('/')
            && let Some(Value::Object(map)) = document.pointer_mut(parent)
        {
            map.insert(name.to_owned(), value.clone());
        }
    }
    serde_json::to_vec(&document).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (glob, text, expected) in [
            ("/paper/v2/orders", "/paper/v2/orders", true),
            ("/paper/v2/orders", "/paper/v2/orders/1", false),
            ("/paper/v2/orders*", "/paper/v2/orders/1", true),
            ("*/v2/orders", "/live/v2/orders", true),
            ("*/v2/orders", "/live/v2/orders/1", false),
            ("/*/orders/*", "/live/v2/orders/1", true),
            ("*", "", true),
        ] {
            assert_eq!(glob_matches(glob, text), expected, "{glob} {text}");
        }
    }

    #[test]
    fn a_rule_fires_from_its_nth_match_on_so_often_as_told() {
        let now: Timestamp = "2024-03-01T15:00:00Z".parse().unwrap();
        let target = Target { method: "POST", path: "/paper/v2/orders", account: Some("a"), now };
        let mut faults = Faults::default();
        faults.add(FaultRule::new(FaultAction::DropAfter).path("/paper/v2/orders").at_request(2).times(2));
        let fired: Vec<bool> = (0..5).map(|_| faults.draw(target).is_some()).collect();
        assert_eq!(fired, [false, true, true, false, false]);
        assert_eq!((faults.list()[0].seen, faults.list()[0].fired), (5, 2));
    }

    #[test]
    fn a_mutation_replaces_and_adds_members() {
        let set = serde_json::json!({"/status": "odd", "/extra": 1, "/none/x": 2});
        let changed = mutate(br#"{"id":"1","status":"new"}"#, set.as_object().unwrap()).unwrap();
        assert_eq!(String::from_utf8(changed).unwrap(), r#"{"id":"1","status":"odd","extra":1}"#);
    }
}
