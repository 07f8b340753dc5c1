//! What users wish for their accounts, over the operator's interface: list, set, clear.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::entry::Caller;
use super::operator::{Refused, bad, desk};
use crate::app::shown;
use crate::edge::store::WishEnding;
use crate::flow::wishes;
use crate::model::ids::{AccountId, Symbol};
use crate::model::money::{Fraction, Usd};
use crate::model::personal::Wish;
use crate::model::time::Moment;

impl From<wishes::Error> for Refused {
    fn from(error: wishes::Error) -> Self {
        match error {
            wishes::Error::Act(error) => error.into(),
            wishes::Error::Nobody(_) | wishes::Error::FollowsNone(_) => Self(StatusCode::NOT_FOUND, error.to_string()),
            wishes::Error::Amount(_) | wishes::Error::Past(_) | wishes::Error::NotAllowed(_) => bad(error),
        }
    }
}

/// Of whom to list.
#[derive(Deserialize)]
pub(super) struct Whose {
    account: Option<String>,
    #[serde(default)]
    all: bool,
}

pub(super) async fn list(State(shared): State<Shared>, Query(whose): Query<Whose>) -> Result<Json<Value>, Refused> {
    let account = whose.account.map(|text| AccountId::parse(&text)).transpose().map_err(bad)?;
    let now = shared.world.clock.now();
    let said = shared.world.store.wishes(account.as_ref()).await?;
    let rows = said.iter().filter(|said| whose.all || said.holds_at(now)).map(|said| shown::wish(said, now));
    Ok(Json(json!({ "overrides": rows.collect::<Vec<_>>() })))
}

/// A wish: its kind, and the symbol or the number that it is about.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    account: String,
    kind: String,
    symbol: Option<String>,
    /// Percent of a cash target, dollars of a cap or a withdrawal, a target year.
    amount: Option<String>,
    by: Option<String>,
    #[serde(default)]
    reason: String,
    until: Option<String>,
}

impl Wanted {
    fn symbol(&self) -> Result<Symbol, Refused> {
        Symbol::parse(self.symbol.as_deref().ok_or_else(|| bad("`symbol` is missing"))?).map_err(bad)
    }

    fn amount(&self) -> Result<Usd, Refused> {
        Usd::parse(self.amount.as_deref().ok_or_else(|| bad("`amount` is missing"))?).map_err(bad)
    }

    fn year(&self) -> Result<i16, Refused> {
        let year = self.amount.as_deref().and_then(|text| text.parse().ok());
        year.ok_or_else(|| bad("`amount` must be the target year, such as \"2050\""))
    }

    fn wish(&self) -> Result<Wish, Refused> {
        Ok(match self.kind.as_str() {
            "exclude" => Wish::Exclude(self.symbol()?),
            "do_not_sell" => Wish::DoNotSell(self.symbol()?),
            "do_not_buy" => Wish::DoNotBuy(self.symbol()?),
            "cash" => Wish::Cash(Fraction::from_percent(self.amount()?.decimal())),
            "cap" => Wish::Cap(self.amount()?),
            "target_year" => Wish::TargetYear(self.year()?),
            "withdraw" => Wish::Withdraw { amount: self.amount()?, left: Usd::ZERO },
            _ => return Err(bad(KINDS)),
        })
    }
}

const KINDS: &str = "`kind` must be exclude, do_not_sell, do_not_buy, cash, cap, target_year or withdraw";

pub(super) async fn set(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Value>, Refused> {
    let (wish, by) = (wanted.wish()?, caller.acts_as(wanted.by.as_deref())?);
    let until = wanted.until.as_deref().map(Moment::parse).transpose().map_err(bad)?;
    let desk = desk(&shared);
    let (account, name) = wishes::follows(&desk, &AccountId::parse(&wanted.account).map_err(bad)?).await?;
    let strategy = shared.world.strategies.get(&name);
    let strategy = strategy.ok_or_else(|| Refused(StatusCode::NOT_FOUND, format!("no strategy is named `{name}`")))?;
    let said = wishes::say(&desk, (&account, strategy), wish, (&by, &wanted.reason), until).await?;
    Ok(Json(shown::wish(&said, shared.world.clock.now())))
}

/// Which wish ends; without a kind, all of the account's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Over {
    account: String,
    kind: Option<String>,
    symbol: Option<String>,
    by: Option<String>,
    #[serde(default)]
    reason: String,
}

pub(super) async fn clear(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Json(over): Json<Over>,
) -> Result<Json<Value>, Refused> {
    let by = caller.acts_as(over.by.as_deref())?;
    let symbol = over.symbol.as_deref().map(Symbol::parse).transpose().map_err(bad)?;
    let which = match over.kind.as_deref() {
        None => WishEnding::All,
        Some(kind) => {
            let known = Wish::CODES.iter().find(|code| **code == kind).ok_or_else(|| bad(KINDS))?;
            WishEnding::One(known, symbol)
        }
    };
    let account = AccountId::parse(&over.account).map_err(bad)?;
    let ended = wishes::clear(&desk(&shared), &account, &which, (&by, &over.reason)).await?;
    let now = shared.world.clock.now();
    Ok(Json(json!({ "cleared": ended.iter().map(|said| shown::wish(said, now)).collect::<Vec<_>>() })))
}
