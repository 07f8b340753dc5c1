//! Every key of a strategy file, once: the reader, its suggestions and the JSON Schema all come from this table.

use serde_json::{Map, Value, json};

use crate::model::personal::{ExcludedTo, Unavailable};
use crate::model::schedule::{Every, Misfire};
use crate::model::strategy::{Destination, OnUnfilled, OrderType, Unmanaged};
use crate::model::tolerance::{Mode, Scope};

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// A text.
    Text,
    /// A percentage above zero, at most a hundred.
    Percent,
    /// A percentage, from zero up to the one given.
    UpTo(u32),
    /// Dollars, one at least.
    Dollars,
    /// A whole number, from the first to the second. Where kinds of models differ the reader says which least is theirs.
    Whole(u32, u32),
    /// True or false.
    Flag,
    /// A text, or a whole number that is read as one.
    TextOrWhole,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A table of texts by symbol.
    TextsBySymbol,
    /// A list of tickers.
    Tickers,
    /// Percents by ticker.
    Percents,
}

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    /// Its table; empty for the file's own keys.
    pub(super) table: &'static str,
    /// Its name.
    pub(super) name: &'static str,
    /// What it holds.
    pub(super) holds: Holds,
    /// Whether it must be there whenever its table is.
    pub(super) is_needed: bool,
    /// What holds when it is absent, in JSON.
    default: &'static str,
    /// What it is, for people.
    help: &'static str,
}

/// The tables of a file, one that stands inside another with a point; `weights` is a list of tables.
pub(super) const TABLES: &[(&str, &str)] = &[
    (
        "schedule",
        "When the strategy looks at its accounts: `cron`, or `every` with `at`. Several are a list, [[schedule]].",
    ),
    ("weights", "What to hold; with [cash] exactly 100 percent."),
    ("model", "How the weights come about, instead of [[weights]]."),
    ("model.sleeves", "The strategies that this one is made of; with [cash] exactly 100 percent."),
    ("model.points", "Weights at points of time; between two of them they change evenly with each day."),
    ("cash", "What stays in cash."),
    ("rebalance", "When a look leads to trades, and how far they go."),
    ("rebalance.cooldown", "Days of rest after a rebalance for single triggers; `cooldown_days` holds for the others."),
    ("orders", "How orders are placed."),
    ("limits", "What one run may do at most; beyond it the whole run is refused."),
    ("overrides", "What each user may wish for their own account, and who stands in for what cannot be had."),
];

const fn key(table: &'static str, name: &'static str, holds: Holds, default: &'static str, help: &'static str) -> Key {
    Key { table, name, holds, is_needed: false, default, help }
}

const fn needed(table: &'static str, name: &'static str, holds: Holds, help: &'static str) -> Key {
    Key { table, name, holds, is_needed: true, default: "", help }
}

/// Words for `schedule.every`.
pub(super) const EVERY: &[&str] = Every::CODES;
/// Words for `schedule.roll`.
pub(super) const ROLL: &[&str] = &["preceding", "following"];
/// Words for `schedule.misfire`.
pub(super) const MISFIRE: &[&str] = Misfire::CODES;
/// Words for `rebalance.destination`.
pub(super) const DESTINATION: &[&str] = Destination::CODES;
/// Words for `rebalance.scope`.
pub(super) const SCOPE: &[&str] = Scope::CODES;
/// Words for `rebalance.mode`.
pub(super) const MODE: &[&str] = Mode::CODES;
/// Words for `rebalance.unmanaged`.
pub(super) const UNMANAGED: &[&str] = Unmanaged::CODES;
/// Words for `model.kind`.
pub(super) const MODEL_KIND: &[&str] =
    &["equal", "csv", "sleeves", "glide", "inverse_volatility", "min_variance", "momentum"];
/// Words for `orders.type`.
pub(super) const ORDER_TYPE: &[&str] = OrderType::CODES;

/// Words for `orders.on_unfilled`.
pub(super) const ON_UNFILLED: &[&str] = OnUnfilled::CODES;

/// Words for `overrides.excluded_to`.
pub(super) const EXCLUDED_TO: &[&str] = ExcludedTo::CODES;
/// Words for `overrides.unavailable`.
pub(super) const UNAVAILABLE: &[&str] = Unavailable::CODES;

/// The keys, in the order in which a file usually has them.
pub(super) const KEYS: &[Key] = &[
    needed("", "name", Holds::Text, "The strategy's name, unique among all files."),
    key("", "description", Holds::Text, r#""""#, "One sentence for people."),
    key(
        "schedule",
        "reason",
        Holds::Text,
        r#""scheduled""#,
        "What its moments are for, a word such as `month-end`: every run carries it. Needed where there are several.",
    ),
    key(
        "schedule",
        "cron",
        Holds::Text,
        "",
        "Six fields, seconds first: second minute hour day month weekday. A moment outside a session is skipped.",
    ),
    key("schedule", "timezone", Holds::Text, r#""America/New_York""#, "The IANA zone in which cron's hours are meant."),
    key(
        "schedule",
        "every",
        Holds::OneOf(EVERY),
        "",
        "Each session, or one session of each week, month, quarter or year.",
    ),
    key(
        "schedule",
        "on",
        Holds::TextOrWhole,
        r#""first""#,
        "With `every`: `first` or `last` session; Mon to Fri of a week; 1 to 31 of a month or of a quarter's first month; 06-30 of a year.",
    ),
    key(
        "schedule",
        "roll",
        Holds::OneOf(ROLL),
        r#""preceding""#,
        "Where a day without a session goes: to the one before it, as Alpaca's own rebalancer does, or to the one after it.",
    ),
    key(
        "schedule",
        "at",
        Holds::Text,
        r#""close-15m""#,
        "With `every`: `open`, `open+15m` or `close-15m`; the real close on half days.",
    ),
    key(
        "schedule",
        "misfire",
        Holds::OneOf(MISFIRE),
        r#""run_once""#,
        "A moment that passed while the service was down: run the newest once, or skip it.",
    ),
    key("schedule", "grace_minutes", Holds::Whole(0, 10_080), "30", "How late a missed moment may still be run."),
    key(
        "schedule",
        "spread_minutes",
        Holds::Whole(0, 390),
        "0",
        "Spreads the strategy's users over so many minutes after the moment, but not beyond the session's last look.",
    ),
    needed("weights", "symbol", Holds::Text, "A ticker in Alpaca's spelling."),
    needed("weights", "percent", Holds::Percent, "Its share of the portfolio, above 0."),
    key(
        "weights",
        "substitute",
        Holds::Text,
        "",
        "Who takes its weight where it is excluded or cannot be bought; shares of either count towards the weight.",
    ),
    key(
        "weights",
        "band_percent",
        Holds::Percent,
        "null",
        "Percentage points that this holding may be away from its target; instead of the bands of [rebalance].",
    ),
    key("weights", "band_below_percent", Holds::Percent, "null", "The same, below the target only."),
    key("weights", "band_above_percent", Holds::Percent, "null", "The same, above the target only."),
    needed(
        "model",
        "kind",
        Holds::OneOf(MODEL_KIND),
        "equal parts; a list beside the file; other strategies; weights by time; or reckoned from daily closing prices.",
    ),
    key(
        "model",
        "symbols",
        Holds::Tickers,
        "",
        "What may be held: kinds equal, inverse_volatility, min_variance, momentum.",
    ),
    key("model", "file", Holds::Text, "", "Kind csv: the name of a file of lines `symbol,percent` in the same folder."),
    key(
        "model",
        "default_target_year",
        Holds::Whole(0, 2200),
        "",
        "Kind glide: the year that `years_to_target` counts to, for users who have none of their own.",
    ),
    key(
        "model",
        "window_days",
        Holds::Whole(5, 756),
        "",
        "Days of closing prices that are looked at: 20 or more for inverse_volatility and min_variance (120), 5 or more for momentum (126).",
    ),
    key(
        "model",
        "max_percent",
        Holds::Percent,
        "100",
        "Kinds inverse_volatility and min_variance: the most of the portfolio that one symbol may be.",
    ),
    key("model", "count", Holds::Whole(1, 500), "", "Kind momentum: how many symbols are held, in equal parts."),
    key(
        "model",
        "average_days",
        Holds::Whole(5, 400),
        "200",
        "Kind momentum: a symbol at or below the average of so many closes leaves its part to `defensive`.",
    ),
    key("model", "defensive", Holds::Text, "", "Kind momentum: what takes the part of a symbol that falls."),
    needed("model.sleeves", "strategy", Holds::Text, "The name of another strategy of the folder."),
    needed("model.sleeves", "percent", Holds::Percent, "Its share of the portfolio, above 0."),
    key(
        "model.points",
        "years_to_target",
        Holds::Whole(0, 100),
        "",
        "So many years before 1 January of the target year.",
    ),
    key("model.points", "date", Holds::Text, "", "On this day, such as \"2040-01-01\"."),
    needed("model.points", "weights", Holds::Percents, "Percents by symbol; with [cash] exactly 100."),
    needed("cash", "percent", Holds::UpTo(100), "The share that stays in cash; 0 without this table."),
    key(
        "rebalance",
        "drift_absolute_percent",
        Holds::Percent,
        "null",
        "Trade when a holding is further from its target than this many percentage points.",
    ),
    key(
        "rebalance",
        "drift_relative_percent",
        Holds::Percent,
        "null",
        "Trade when a holding is further from its target than this percentage of the target.",
    ),
    key(
        "rebalance",
        "drift_portfolio_percent",
        Holds::Percent,
        "null",
        "Trade when half the sum of all distances from the targets, cash included, is more than this many points.",
    ),
    key(
        "rebalance",
        "cash_above",
        Holds::Dollars,
        "null",
        "Cash above its target is invested when there is more of it than this many dollars; without it orders.min_notional.",
    ),
    key(
        "rebalance",
        "scope",
        Holds::OneOf(SCOPE),
        r#""all""#,
        "When a holding left its band: all go to the destination, or those outside their bands.",
    ),
    key(
        "rebalance",
        "mode",
        Holds::OneOf(MODE),
        r#""full""#,
        "Sales and purchases; purchases from new cash only; sales for cash that is wanted only; or as few orders as bring everything inside its band.",
    ),
    key(
        "rebalance",
        "destination",
        Holds::OneOf(DESTINATION),
        r#""target""#,
        "How far trades go: to the target, to the edge of the band, or halfway.",
    ),
    key("rebalance", "cooldown_days", Holds::Whole(0, 3660), "0", "Calendar days without trades after a rebalance."),
    key(
        "rebalance.cooldown",
        "drift",
        Holds::Whole(0, 3660),
        "null",
        "Days until a holding outside its band counts again.",
    ),
    key(
        "rebalance.cooldown",
        "portfolio",
        Holds::Whole(0, 3660),
        "null",
        "Days until the drift of the whole portfolio counts again.",
    ),
    key(
        "rebalance.cooldown",
        "scheduled",
        Holds::Whole(0, 3660),
        "null",
        "Days until a due moment of a strategy without bands trades again.",
    ),
    key(
        "rebalance",
        "invest_cash",
        Holds::Flag,
        "true",
        "New cash buys what is underweight, also inside the bands and the cooldown.",
    ),
    key(
        "rebalance",
        "on_new_version",
        Holds::Flag,
        "false",
        "Look once at every account when a new version of this file is loaded, also in the cooldown.",
    ),
    key(
        "rebalance",
        "unmanaged",
        Holds::OneOf(UNMANAGED),
        r#""ignore""#,
        "Holdings that no weight names: leave them alone, sell them, or do not trade the account.",
    ),
    key(
        "orders",
        "type",
        Holds::OneOf(ORDER_TYPE),
        r#""market""#,
        "Market orders, or limits at the far side of the quote.",
    ),
    key(
        "orders",
        "collar_percent",
        Holds::UpTo(5),
        "0",
        "How far beyond the far side of the quote a limit lies, at most 5: purchases pay up to so much more.",
    ),
    key(
        "orders",
        "reprice_times",
        Holds::Whole(0, 5),
        "0",
        "How often what is left of an unfilled limit order is priced anew in one run; the wait is shared by all tries.",
    ),
    key(
        "orders",
        "on_unfilled",
        Holds::OneOf(ON_UNFILLED),
        r#""leave""#,
        "What is left of a limit order after the last price: leave it to the next moment, or send it to the market.",
    ),
    key("orders", "min_notional", Holds::Dollars, "1", "The smallest order worth sending, in dollars; 1 or more."),
    key("limits", "max_order_notional", Holds::Dollars, "null", "The largest single order, in dollars."),
    key(
        "limits",
        "max_turnover_percent",
        Holds::Percent,
        "null",
        "The largest share of the portfolio that one run may sell.",
    ),
    key("overrides", "exclude", Holds::Flag, "false", "Users may exclude symbols."),
    key(
        "overrides",
        "max_excluded_percent",
        Holds::Percent,
        "null",
        "The largest part of the weights that may be excluded together.",
    ),
    key(
        "overrides",
        "excluded_to",
        Holds::OneOf(EXCLUDED_TO),
        r#""others""#,
        "Where an excluded weight without a substitute goes: to the others in proportion, or to cash.",
    ),
    key("overrides", "hold", Holds::Flag, "false", "Users may say what is not sold, and what is not bought."),
    key("overrides", "cap", Holds::Flag, "false", "Users may have a cap of their own for one order."),
    key(
        "overrides",
        "cash_percent_max",
        Holds::Percent,
        "null",
        "Users may choose a cash target up to this; the weights shrink in proportion.",
    ),
    key(
        "overrides",
        "target_year_min",
        Holds::Whole(0, 2200),
        "null",
        "Users may choose a target year from this one on; needs a glide path by `years_to_target`.",
    ),
    key("overrides", "target_year_max", Holds::Whole(0, 2200), "null", "The last target year that users may choose."),
    key(
        "overrides",
        "unavailable",
        Holds::OneOf(UNAVAILABLE),
        r#""hold_cash""#,
        "When a target cannot be bought and nobody stands in for it: trade the rest and keep its cash, or trade nothing.",
    ),
    key(
        "overrides",
        "substitutes",
        Holds::TextsBySymbol,
        "",
        "Substitutes by symbol, as in { SPY = \"VTI\" }; the same as `substitute` at the weight.",
    ),
];

/// The names that a table may hold: its keys, and the tables inside it. The file itself is the table without a name.
pub(super) fn names(table: &str) -> Vec<&'static str> {
    let keys = KEYS.iter().filter(|key| key.table == table).map(|key| key.name);
    keys.chain(inside(table).map(|(_, name, _)| name)).collect()
}

/// The tables inside a table: the path of each, its own name, and what it is.
fn inside(table: &str) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    TABLES.iter().filter_map(move |(path, help)| {
        let (outer, name) = path.rsplit_once('.').unwrap_or(("", path));
        (outer == table).then_some((*path, name, *help))
    })
}

/// The JSON Schema of a strategy file.
pub(super) fn schema() -> Value {
    let properties = properties("");
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A strategy of rebalanced",
        "type": "object",
        "properties": properties,
        "required": ["name", "schedule"],
        "oneOf": [{ "required": ["weights"] }, { "required": ["model"] }],
        "additionalProperties": false,
    })
}

/// The table itself, or a list of such tables that have a reason each.
fn one_or_several(mut table: Value, forms: &Value) -> Value {
    let mut item = table.clone();
    set(&mut item, "oneOf", forms.clone());
    set(&mut table, "if", json!({ "type": "object" }));
    set(&mut table, "then", json!({ "oneOf": forms }));
    set(&mut table, "else", json!({ "if": { "minItems": 2 }, "then": { "items": { "required": ["reason"] } } }));
    set(&mut table, "type", json!(["object", "array"]));
    set(&mut table, "minItems", json!(1));
    set(&mut table, "items", item);
    table
}

/// What a table may hold: its keys, then the tables inside it.
fn properties(table: &str) -> Map<String, Value> {
    let keys = KEYS.iter().filter(|key| key.table == table).map(|key| (key.name.to_owned(), property(key)));
    let mut properties: Map<String, Value> = keys.collect();
    for (path, name, help) in inside(table) {
        let mut inner = json!({
            "type": "object",
            "properties": self::properties(path),
            "required": required(path),
            "additionalProperties": false,
        });
        if path == "schedule" {
            let only = |has: &str, not: &str| json!({ "required": [has], "not": { "required": [not] } });
            inner = one_or_several(inner, &json!([only("cron", "every"), only("every", "cron")]));
        }
        if ["weights", "model.sleeves", "model.points"].contains(&path) {
            inner = json!({ "type": "array", "minItems": 1, "items": inner });
        }
        set(&mut inner, "description", json!(help));
        properties.insert(name.to_owned(), inner);
    }
    properties
}

fn required(table: &str) -> Vec<&'static str> {
    KEYS.iter().filter(|key| key.table == table && key.is_needed).map(|key| key.name).collect()
}

fn property(key: &Key) -> Value {
    let mut property = match key.holds {
        Holds::Text => json!({ "type": "string" }),
        Holds::Percent => json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 100 }),
        Holds::UpTo(most) => json!({ "type": "number", "minimum": 0, "maximum": most }),
        Holds::Dollars => json!({ "type": "number", "minimum": 1 }),
        Holds::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Holds::TextOrWhole => json!({ "type": ["string", "integer"] }),
        Holds::Flag => json!({ "type": "boolean" }),
        Holds::OneOf(words) => json!({ "enum": words }),
        Holds::TextsBySymbol => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Holds::Tickers => json!({ "type": "array", "items": { "type": "string" }, "minItems": 1, "uniqueItems": true }),
        Holds::Percents => {
            json!({ "type": "object", "additionalProperties": { "type": "number", "minimum": 0, "maximum": 100 } })
        }
    };
    set(&mut property, "description", json!(key.help));
    if let Ok(default) = serde_json::from_str::<Value>(key.default)
        && !default.is_null()
    {
        set(&mut property, "default", default);
    }
    property
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}
