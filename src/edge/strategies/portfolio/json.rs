//! From JSON to what a portfolio says, or to everything that is wrong with it, each fault with the path of its field.

use std::path::Path;

use rust_decimal::Decimal;
use serde_json::{Map, Value};

use super::super::fault::{FileFault, listed};
use super::super::ticker::{Ticker, ticker};
use super::{Days, Portfolio};
use crate::model::schedule::{Every, On};

type Object = Map<String, Value>;

/// The most days that a strategy file may rest.
const REST_MAX: u64 = 3660;

/// The fields of a portfolio that are read.
const FIELDS: [&str; 9] = [
    "id",
    "name",
    "description",
    "status",
    "weights",
    "cooldown_days",
    "rebalance_conditions",
    "created_at",
    "updated_at",
];

struct Reader<'a> {
    file: &'a Path,
    faults: Vec<FileFault>,
}

/// Reads a portfolio.
pub(super) fn read(file: &Path, text: &str) -> Result<Portfolio, Vec<FileFault>> {
    let root: Value = serde_json::from_str(text).map_err(|error| {
        let mend = "give the JSON of one portfolio, as Alpaca's GET /v1/rebalancing/portfolios/ID answers";
        let mut fault = FileFault::of(file, format!("this is not JSON: {error}"), mend);
        (fault.line, fault.column) = (Some(error.line()), Some(error.column()));
        vec![fault]
    })?;
    let mut reader = Reader { file, faults: Vec::new() };
    let portfolio = reader.portfolio(&root);
    if reader.faults.is_empty() { Ok(portfolio) } else { Err(reader.faults) }
}

impl Reader<'_> {
    fn fault(&mut self, what: impl Into<String>, mend: impl Into<String>) {
        self.faults.push(FileFault::of(self.file, what, mend));
    }

    fn portfolio(&mut self, root: &Value) -> Portfolio {
        let mut portfolio = Portfolio::default();
        let Value::Object(object) = root else {
            let mend = "give one portfolio alone, { \"name\": ..., \"weights\": [...] }";
            self.fault(format!("this is {}, not a portfolio", kind(root)), mend);
            return portfolio;
        };
        portfolio.name = self.text(object, "", "name").unwrap_or_default().to_owned();
        let mut optional = |name| self.optional(object, name);
        portfolio.description = optional("description").unwrap_or_default();
        (portfolio.id, portfolio.status) = (optional("id"), optional("status"));
        portfolio.updated_at = optional("updated_at");
        self.weights(object, &mut portfolio);
        portfolio.cooldown_days = self.cooldown(object);
        self.conditions(object, &mut portfolio);
        portfolio.strange = strangers(object, "", &FIELDS, portfolio.strange);
        portfolio
    }

    fn weights(&mut self, object: &Object, portfolio: &mut Portfolio) {
        let before = self.faults.len();
        let mut has_cash = false;
        for (path, weight) in self.rows(object, "weights") {
            let percent = self.percent(weight, &path);
            match self.text(weight, &path, "type") {
                Some("asset") => {
                    let symbol = self.text(weight, &path, "symbol").map(ticker);
                    match (symbol, percent) {
                        (Some(Ticker::Wrong { what, mend }), _) => self.fault(format!("`{path}.symbol`: {what}"), mend),
                        (Some(Ticker::Right(symbol)), Some(percent)) => {
                            if percent.is_zero() {
                                self.fault(
                                    format!("`{path}.percent` is 0"),
                                    "a weight is above 0; leave the asset out",
                                );
                            }
                            if portfolio.assets.iter().any(|(other, _)| *other == symbol) {
                                self.fault(
                                    format!("`{path}.symbol`: {symbol} has two weights"),
                                    "add them up into one",
                                );
                            }
                            portfolio.assets.push((symbol, percent));
                        }
                        _ => {}
                    }
                }
                Some("cash") => {
                    if weight.get("symbol").is_some_and(|symbol| !symbol.is_null()) {
                        self.fault(format!("`{path}.symbol` stands at cash"), "remove it, or make it an asset");
                    }
                    if has_cash {
                        self.fault(format!("`{path}` is a second weight of cash"), "add them up into one");
                    }
                    has_cash = true;
                    portfolio.cash = percent.unwrap_or_default();
                }
                Some(other) => self.word(&path, "type", other, &["asset", "cash"]),
                None => {}
            }
            let strange = std::mem::take(&mut portfolio.strange);
            portfolio.strange = strangers(weight, &path, &["type", "symbol", "percent"], strange);
        }
        if self.faults.len() > before {
            return;
        }
        if portfolio.assets.is_empty() {
            self.fault(
                "`weights` holds no asset",
                "a strategy holds at least one symbol: add a weight of type `asset`",
            );
            return;
        }
        let sum = portfolio.assets.iter().map(|(_, percent)| *percent).fold(portfolio.cash, Decimal::saturating_add);
        if sum != Decimal::ONE_HUNDRED {
            self.fault(format!("`weights` add up to {}%, not 100%", sum.normalize()), "change a weight");
        }
    }

    fn cooldown(&mut self, object: &Object) -> Option<u32> {
        let value = object.get("cooldown_days").filter(|value| !value.is_null())?;
        let days = value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
        let days = days.filter(|days| *days <= REST_MAX).and_then(|days| u32::try_from(days).ok());
        if days.is_none() {
            self.fault(format!("`cooldown_days` is {}", said(value)), format!("write a whole number, 0 to {REST_MAX}"));
        }
        days
    }

    fn conditions(&mut self, object: &Object, portfolio: &mut Portfolio) {
        if object.get("rebalance_conditions").is_none_or(Value::is_null) {
            return;
        }
        for (path, condition) in self.rows(object, "rebalance_conditions") {
            let known: &[&str] = match self.text(condition, &path, "type") {
                Some("drift_band") => {
                    let percent = self.percent(condition, &path).filter(|percent| {
                        let is_band = !percent.is_zero();
                        if !is_band {
                            self.fault(format!("`{path}.percent` is 0"), "a band is above 0 and at most 100");
                        }
                        is_band
                    });
                    match self.text(condition, &path, "sub_type") {
                        Some("absolute") => portfolio.absolute.extend(percent),
                        Some("relative") => portfolio.relative.extend(percent),
                        Some(other) => self.word(&path, "sub_type", other, &["absolute", "relative"]),
                        None => {}
                    }
                    // The broker's own answers have the fields of the other kind as null.
                    &["type", "sub_type", "percent"]
                }
                Some("calendar") => {
                    if portfolio.calendar.is_some() {
                        self.fault(format!("`{path}` is a second calendar"), "a portfolio has at most one; keep one");
                    }
                    portfolio.calendar = self.calendar(condition, &path);
                    &["type", "sub_type", "day"]
                }
                Some(other) => {
                    self.word(&path, "type", other, &["drift_band", "calendar"]);
                    continue;
                }
                None => continue,
            };
            let strange = std::mem::take(&mut portfolio.strange);
            portfolio.strange = strangers(condition, &path, known, strange);
        }
    }

    fn calendar(&mut self, condition: &Object, path: &str) -> Option<Days> {
        let (every, form) = match self.text(condition, path, "sub_type")? {
            "weekly" => (Every::Week, "a day from Monday to Friday"),
            "monthly" => (Every::Month, "a day from 1 to 31"),
            "quarterly" => (Every::Quarter, "a day from 1 to 31"),
            "annually" => (Every::Year, "a month and a day such as 06-30"),
            other => {
                self.word(path, "sub_type", other, &["weekly", "monthly", "quarterly", "annually"]);
                return None;
            }
        };
        let day = condition.get("day").filter(|day| !day.is_null());
        let text = match day {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) if number.is_u64() => Some(number.to_string()),
            _ => None,
        };
        match text.as_deref().map(|text| On::parse(text, every)) {
            // Alpaca has no words for them.
            Some(Ok(On::First | On::Last) | Err(_)) | None => {
                let what = day.map_or("missing".to_owned(), said);
                self.fault(format!("`{path}.day` is {what}"), format!("write {form}"));
                None
            }
            Some(Ok(_)) => Some(Days { every, on: text }),
        }
    }

    /// The tables of a list, each with its path.
    fn rows<'v>(&mut self, object: &'v Object, name: &str) -> Vec<(String, &'v Object)> {
        let Some(Value::Array(rows)) = object.get(name) else {
            let what = object.get(name).map_or("missing", kind);
            self.fault(format!("`{name}` is {what}"), format!("write a list, \"{name}\": [...]"));
            return Vec::new();
        };
        let mut found = Vec::new();
        for (place, row) in rows.iter().enumerate() {
            let path = format!("{name}[{place}]");
            match row {
                Value::Object(row) => found.push((path, row)),
                other => self.fault(format!("`{path}` is {}", kind(other)), "write it in { braces }"),
            }
        }
        found
    }

    /// A text that must be there.
    fn text<'v>(&mut self, object: &'v Object, path: &str, name: &str) -> Option<&'v str> {
        match object.get(name) {
            Some(Value::String(text)) => Some(text),
            other => {
                let what = other.map_or("missing".to_owned(), said);
                self.fault(format!("`{}` is {what}", joined(path, name)), "give it as a text in \"quotes\"");
                None
            }
        }
    }

    /// A text of the portfolio itself that may be absent.
    fn optional(&mut self, object: &Object, name: &str) -> Option<String> {
        object.get(name).filter(|value| !value.is_null())?;
        self.text(object, "", name).map(str::to_owned)
    }

    /// A percent, digit by digit as it stands there.
    fn percent(&mut self, object: &Object, path: &str) -> Option<Decimal> {
        let value = object.get("percent");
        let text = match value {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) if number.is_u64() => Some(number.to_string()),
            _ => None,
        };
        let is_plain = |text: &String| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let percent = text.filter(is_plain).and_then(|text| Decimal::from_str_exact(&text).ok());
        let percent = percent.filter(|percent| *percent <= Decimal::ONE_HUNDRED);
        if percent.is_none() {
            let what = value.map_or("missing".to_owned(), said);
            // A number with a point comes through a double: its digits are not those of the file.
            let mend = "write a text such as \"12.5\", as Alpaca does, above 0 and at most 100";
            self.fault(format!("`{path}.percent` is {what}"), mend);
        }
        percent
    }

    fn word(&mut self, path: &str, name: &str, word: &str, known: &[&str]) {
        let what = format!("`{path}.{name}` is {}", said(&Value::from(word)));
        self.fault(what, format!("nothing here means that; known are {}", listed(known)));
    }
}

/// Those that are known already, and the fields of this object that nobody knows.
fn strangers(object: &Object, path: &str, known: &[&str], mut found: Vec<String>) -> Vec<String> {
    let is_strange = |(name, value): &(&String, &Value)| !known.contains(&name.as_str()) && !value.is_null();
    found.extend(object.iter().filter(is_strange).map(|(name, _)| joined(path, name)));
    found
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A value as it stands there, shortened.
fn said(value: &Value) -> String {
    let whole = value.to_string();
    let short: String = whole.chars().take(40).collect();
    if short.len() < whole.len() { format!("{short}...") } else { whole }
}
