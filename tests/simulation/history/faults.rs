//! What goes wrong on the wire: each kind with its row of the fault matrix, as a rule of the simulator's fault script.

use alpaca_sim::{Answer, FaultAction, FaultRule};
use serde_json::{Value, json};

use super::notes::Notes;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $row:literal),+ $(,)?) => {
        /// One kind.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Fault { $($(#[$doc])* $name),+ }

        impl Fault {
            /// Every kind.
            pub(crate) const ALL: &[Self] = &[$(Self::$name),+];

            /// The row of the fault matrix.
            pub(crate) const fn row(self) -> u32 {
                match self { $(Self::$name => $row),+ }
            }
        }
    };
}

faults! {
    /// The request took effect, the answer is lost.
    LostReply = 1,
    /// The request never arrived.
    LostRequest = 2,
    /// A gateway's error, with or without effect.
    Gateway = 3,
    /// A gateway's error now, the effect up to two minutes later.
    LateLanding = 4,
    /// The order was delivered twice; the answer is the second one's.
    TwiceLast = 5,
    /// Somebody has sent another order under our id before us.
    Planted = 6,
    /// The order was delivered twice; the answer is the first one's.
    TwiceFirst = 7,
    /// The answer is cut, or a page of a proxy.
    Cut = 8,
    /// The echo differs from what was sent.
    Echo = 9,
    /// A refusal, in documented and undocumented words.
    Refusal = 10,
    /// A status that no document knows.
    OddWord = 12,
    /// A redirect.
    Redirect = 13,
    /// Positions, orders or cash lag behind for up to a minute.
    Lag = 36,
    /// The order is filled after its cancellation was acknowledged.
    FillAfterCancel = 27,
    /// Cash that no row explains: a trade was broken, a fee was never booked.
    Ghost = 32,
    /// More is shown filled than was ordered.
    OverFill = 32,
    /// A quote of long ago.
    StaleQuote = 41,
    /// A crossed, zero or absurd quote.
    WildQuote = 42,
    /// One symbol has no quote.
    NoQuote = 43,
    /// The account looks empty.
    EmptyWorld = 44,
    /// An asset is not tradable any more.
    Untradable = 45,
    /// The calendar is another, or cannot be read.
    Calendar = 48,
    /// Too many requests, with or without the moment of reset.
    Throttle = 56,
    /// An answer takes seconds, up to a minute.
    Slow = 59,
}

impl Fault {
    /// The row where it befalls such a request.
    pub(crate) const fn row_at(self, kind: Kind) -> u32 {
        match (self, kind) {
            (Self::Refusal, Kind::Cancel) => 29,
            _ => self.row(),
        }
    }
}

/// What a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `POST` of an order.
    Submit,
    /// `DELETE` of an order.
    Cancel,
    /// The account.
    Account,
    /// The positions.
    Positions,
    /// The rows of what moved its cash and shares.
    Activities,
    /// A list of orders.
    Orders,
    /// One order.
    Order,
    /// An asset.
    Asset,
    /// The calendar.
    Calendar,
    /// Quotes.
    Quotes,
    /// Trades and bars.
    Data,
    /// Tokens and consent: left alone.
    Other,
}

impl Kind {
    /// What this request is.
    pub(crate) fn of(request: &http::Request<bytes::Bytes>) -> Self {
        let path = request.uri().path();
        match (request.method().as_str(), path) {
            ("POST", path) if path.ends_with("/v2/orders") => Self::Submit,
            ("DELETE", path) if path.contains("/v2/orders/") => Self::Cancel,
            (_, path) if path.ends_with("/v2/account") => Self::Account,
            (_, path) if path.ends_with("/v2/positions") => Self::Positions,
            (_, path) if path.ends_with("/v2/account/activities") => Self::Activities,
            (_, path) if path.ends_with("/v2/orders") => Self::Orders,
            (_, path) if path.contains("/v2/orders") => Self::Order,
            (_, path) if path.contains("/v2/assets/") => Self::Asset,
            (_, path) if path.contains("/v2/calendar") => Self::Calendar,
            (_, path) if path.ends_with("/quotes/latest") => Self::Quotes,
            (_, path) if path.contains("/v2/stocks/") => Self::Data,
            _ => Self::Other,
        }
    }
}

/// Whether a fault can befall such a request.
pub(crate) fn befalls(fault: Fault, kind: Kind) -> bool {
    use Fault as F;
    match fault {
        F::LostReply | F::LostRequest | F::Gateway | F::Cut | F::Throttle | F::Slow => kind != Kind::Other,
        F::LateLanding | F::TwiceFirst | F::TwiceLast | F::Planted | F::Echo | F::Redirect => kind == Kind::Submit,
        F::Refusal => matches!(kind, Kind::Submit | Kind::Cancel),
        F::OddWord | F::OverFill => matches!(kind, Kind::Submit | Kind::Order | Kind::Orders),
        F::FillAfterCancel => kind == Kind::Cancel,
        F::Lag => matches!(kind, Kind::Account | Kind::Positions | Kind::Orders),
        F::StaleQuote | F::WildQuote | F::NoQuote => kind == Kind::Quotes,
        F::Ghost => kind == Kind::Account,
        F::EmptyWorld => matches!(kind, Kind::Account | Kind::Positions),
        F::Untradable => kind == Kind::Asset,
        F::Calendar => kind == Kind::Calendar,
    }
}

/// Refusals of orders in Alpaca's words (facts 3.3), and one that nobody has seen.
const REFUSALS: &[(u16, i64, &str)] = &[
    (403, 40_310_000, "insufficient buying power"),
    (403, 40_310_000, "insufficient qty available for order (requested: 1, available: 0)"),
    (403, 40_310_000, "potential wash trade detected. use complex orders"),
    (403, 40_310_100, "trade denied due to pattern day trading protection"),
    (422, 40_010_001, "asset is not fractionable"),
    (422, 42_210_000, "asset is not active"),
    (403, 49_999_999, "the moon is in the wrong house"),
];

/// The rule for a request on this path; `None` for faults that are no rule of the script (`Slow`, `Planted`).
pub(crate) fn rule(fault: Fault, kind: Kind, path: &str, notes: &mut Notes) -> Option<FaultRule> {
    let of = |action| FaultRule::new(action).path(path);
    let status = |notes: &mut Notes| notes.one(&[500_u16, 502, 503, 504]).unwrap_or(503);
    let set = |members: &[(&str, Value)]| {
        let mut rule = of(FaultAction::Mutate);
        rule.set = members.iter().map(|(pointer, value)| ((*pointer).to_owned(), value.clone())).collect();
        rule
    };
    Some(match fault {
        Fault::LostReply => of(FaultAction::DropAfter),
        Fault::LostRequest => of(FaultAction::DropBefore),
        Fault::Gateway if notes.chance(500) => of(FaultAction::StatusAfter).status(status(notes)),
        Fault::Gateway => of(FaultAction::StatusBefore).status(status(notes)),
        Fault::LateLanding => {
            let mut rule = of(FaultAction::LandLater);
            rule.delay_seconds = Some(notes.number(1..110));
            rule
        }
        Fault::TwiceFirst => of(FaultAction::Duplicate),
        Fault::TwiceLast => {
            let mut rule = of(FaultAction::Duplicate);
            rule.answer = Answer::Last;
            rule
        }
        Fault::Cut if notes.chance(300) => of(FaultAction::Html),
        Fault::Cut => {
            let mut rule = of(FaultAction::Truncate);
            rule.bytes = Some(usize::try_from(notes.number(0..700)).unwrap_or(0));
            rule
        }
        Fault::Echo => {
            let field = notes.one(&["/symbol", "/client_order_id", "/time_in_force"]).unwrap_or("/symbol");
            let lie = match field {
                "/client_order_id" => "rb1-somebodyelses",
                "/time_in_force" => "gtc",
                _ => "TSLA",
            };
            set(&[(field, json!(lie))])
        }
        Fault::Refusal if kind == Kind::Cancel => of(FaultAction::StatusBefore).status(422),
        Fault::Refusal => {
            let (status, code, message) = notes.one(REFUSALS).unwrap_or(REFUSALS[0]);
            let mut rule = of(FaultAction::StatusBefore).status(status);
            rule.body = Some(json!({ "code": code, "message": message }));
            rule
        }
        Fault::OddWord => {
            let word = notes.one(&["teleported", "stopped", "calculated", "held", "accepted_for_bidding", ""]);
            let word = json!(word.unwrap_or("teleported"));
            set(&[("/status", word.clone()), ("/0/status", word)])
        }
        Fault::Redirect => {
            let mut rule = of(FaultAction::Redirect);
            rule.location = Some("http://127.0.0.1:1/elsewhere".to_owned());
            rule
        }
        Fault::Untradable => set(&[("/tradable", json!(false))]),
        Fault::Calendar if notes.chance(500) => of(FaultAction::StatusBefore).status(500),
        Fault::Calendar => set(&[("/0/close", json!("12:34"))]),
        Fault::EmptyWorld if kind == Kind::Positions => {
            let mut rule = of(FaultAction::StatusBefore).status(200);
            rule.body = Some(json!([]));
            rule
        }
        Fault::EmptyWorld => set(&[("/equity", json!("0")), ("/cash", json!("0")), ("/long_market_value", json!("0"))]),
        Fault::Throttle => {
            let mut rule = of(FaultAction::RateLimit);
            rule.headers = Some(notes.chance(500));
            rule
        }
        Fault::Lag => of(FaultAction::Freeze).method("GET"),
        Fault::Slow
        | Fault::Ghost
        | Fault::Planted
        | Fault::OverFill
        | Fault::FillAfterCancel
        | Fault::StaleQuote
        | Fault::WildQuote
        | Fault::NoQuote => return None,
    })
}

/// Makes the quotes of one answer lies; returns whose.
pub(crate) fn lie_about_quotes(fault: Fault, body: &[u8], notes: &mut Notes) -> Option<(Vec<u8>, Vec<String>)> {
    let mut answer: Value = serde_json::from_slice(body).ok()?;
    let quotes = answer.get_mut("quotes")?.as_object_mut()?;
    let names: Vec<String> = quotes.keys().cloned().collect();
    let index = usize::try_from(notes.number(0..i64::try_from(names.len().max(1)).ok()?)).ok()?;
    let name = names.get(index)?.clone();
    match fault {
        Fault::NoQuote => {
            quotes.remove(&name);
            return Some((serde_json::to_vec(&answer).ok()?, Vec::new()));
        }
        Fault::StaleQuote => {
            let old = notes.one(&["2019-01-02T15:00:00Z", "2018-11-05T18:30:00Z"]).unwrap_or("2019-01-02T15:00:00Z");
            *quotes.get_mut(&name)?.get_mut("t")? = json!(old);
        }
        _ => {
            let (bid, ask) = notes.one(&[("bp", 0.0), ("ap", 0.0), ("bp", 1e7), ("ap", -3.0)]).unwrap_or(("bp", 0.0));
            *quotes.get_mut(&name)?.get_mut(bid)? = json!(ask);
        }
    }
    Some((serde_json::to_vec(&answer).ok()?, vec![name]))
}
