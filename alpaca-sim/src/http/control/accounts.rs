//! `/sim/people` and `/sim/accounts`: opening accounts, moving money and shares, blocking and suspending.
//!
//! Always: what a person or the broker could do, not what an app could; amounts are decimals as strings or numbers.

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::exchange::account::{NewAccount, Restrictions};
use crate::exchange::order::OrderStatus;
use crate::http::control::{Answer, bad, body, is};
use crate::http::people::Person;
use crate::http::reply::Reply;
use crate::http::request::Inbound;
use crate::http::routes::{self, PatchShape};
use crate::http::wire::{Given, OrderShape};
use crate::http::world::World;
use crate::sim::{Environment, Sim};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NewPerson {
    id: Option<String>,
    name: String,
}

/// `GET` and `POST /sim/people`, `GET /sim/people/{id}`.
pub(super) fn people(sim: &Sim, rest: &[&str], inbound: &Inbound) -> Answer {
    match rest {
        [] if is(inbound, &Method::GET) => {
            let world = sim.lock();
            let all: Vec<Value> = world.people.persons().map(|person| person_shape(&world, person)).collect();
            Ok(Reply::json(&json!({"people": all})))
        }
        [] if is(inbound, &Method::POST) => {
            let new: NewPerson = body(inbound)?;
            let id = sim.create_person(new.id.as_deref(), &new.name)?;
            person(sim, &id)
        }
        [id] if is(inbound, &Method::GET) => person(sim, id),
        _ => Err(Reply::no_such_route()),
    }
}

fn person(sim: &Sim, id: &str) -> Answer {
    let world = sim.lock();
    let person = world.people.person(id).ok_or_else(|| missing(&format!("no such person: {id}")))?;
    Ok(Reply::json(&person_shape(&world, person)))
}

fn person_shape(world: &World, person: &Person) -> Value {
    let key = |account: &Arc<str>| json!({"account": account, "key": world.people.key_pair(account)});
    json!({
        "id": person.id,
        "name": person.name,
        "live": person.live.as_ref().map(key),
        "paper": person.paper.iter().map(key).collect::<Vec<_>>(),
    })
}

fn missing(why: &str) -> Reply {
    Reply::refuse(StatusCode::NOT_FOUND, why)
}

/// Shares to start with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Holding {
    symbol: String,
    qty: Given,
    #[serde(default)]
    avg_entry_price: Option<Given>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAccountBody {
    person: String,
    #[serde(default = "paper")]
    environment: Environment,
    #[serde(default)]
    cash: Option<Given>,
    #[serde(default)]
    positions: Vec<Holding>,
    #[serde(default)]
    multiplier: Option<u8>,
    #[serde(default)]
    shorting: Option<bool>,
}

fn paper() -> Environment {
    Environment::Paper
}

impl NewAccountBody {
    fn into_new(self) -> NewAccount {
        let mut new = NewAccount::new(self.person, self.environment);
        new.cash = self.cash.map_or(new.cash, |cash| cash.0);
        new.multiplier = self.multiplier.unwrap_or(new.multiplier);
        new.shorting = self.shorting.unwrap_or(new.shorting);
        let holding = |held: Holding| (held.symbol, held.qty.0, held.avg_entry_price.map(|price| price.0));
        new.positions = self.positions.into_iter().map(holding).collect();
        new
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Amount {
    amount: Given,
    #[serde(default)]
    description: String,
}

/// Any subset; `account_blocked` and friends are the broker's switches.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Switches {
    account_blocked: Option<bool>,
    trading_blocked: Option<bool>,
    transfers_blocked: Option<bool>,
    liquidation_only: Option<bool>,
    status: Option<String>,
    multiplier: Option<u8>,
    shorting: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewStatus {
    status: String,
}

/// `/sim/accounts` and what hangs below one.
pub(super) fn route(sim: &Sim, rest: &[&str], inbound: &Inbound) -> Answer {
    let post = is(inbound, &Method::POST);
    match rest {
        [] if is(inbound, &Method::GET) => {
            let mut world = sim.lock();
            let ids = world.exchange.accounts();
            let all: Result<Vec<Value>, Reply> = ids.iter().map(|id| account_shape(&mut world, id)).collect();
            Ok(Reply::json(&json!({"accounts": all?})))
        }
        [] if post => {
            let new: NewAccountBody = body(inbound)?;
            let id = sim.create_account(new.into_new())?;
            Ok(Reply::json(&account_shape(&mut sim.lock(), &id)?))
        }
        [id] if is(inbound, &Method::GET) => Ok(Reply::json(&account_shape(&mut sim.lock(), id)?)),
        [id, "orders", order] if post => force(sim, (id, order), inbound),
        [id, verb] if post => act(&mut sim.lock(), id, verb, inbound),
        _ => Err(Reply::no_such_route()),
    }
}

fn act(world: &mut World, id: &str, verb: &str, inbound: &Inbound) -> Answer {
    let now = world.now;
    let reply = match verb {
        "deposit" | "withdraw" => {
            let wanted: Amount = body(inbound)?;
            let amount = if verb == "deposit" { wanted.amount.0 } else { -wanted.amount.0 };
            Reply::json(&routes::activity_shape(&world.exchange.transfer(now, id, amount)?))
        }
        "fee" => {
            let wanted: Amount = body(inbound)?;
            let row = world.exchange.charge_fee(now, id, wanted.amount.0, &wanted.description)?;
            Reply::json(&routes::activity_shape(&row))
        }
        "position" => {
            let held: Holding = body(inbound)?;
            let price = held.avg_entry_price.map(|price| price.0);
            world.exchange.set_position(now, id, &held.symbol, held.qty.0, price)?;
            Reply::json(&account_shape(world, id)?)
        }
        "block" | "restrict" => {
            let switches: Switches = body(inbound)?;
            let mut change = Restrictions {
                account_blocked: switches.account_blocked,
                trading_blocked: switches.trading_blocked,
                transfers_blocked: switches.transfers_blocked,
                liquidation_only: switches.liquidation_only,
                status: switches.status,
                multiplier: switches.multiplier,
                shorting: switches.shorting,
            };
            if verb == "block" && inbound.body.is_empty() {
                change.trading_blocked = Some(true);
            }
            world.exchange.restrict(now, id, change)?;
            Reply::json(&account_shape(world, id)?)
        }
        "configure" => {
            let patch: PatchShape = body(inbound)?;
            world.exchange.configure(now, id, patch.into_patch()?)?;
            Reply::json(&account_shape(world, id)?)
        }
        "suspend" | "resume" => {
            let patch: PatchShape = PatchShape::suspend(verb == "suspend");
            world.exchange.configure(now, id, patch.into_patch()?)?;
            Reply::json(&account_shape(world, id)?)
        }
        _ => return Err(Reply::no_such_route()),
    };
    world.tell();
    Ok(reply)
}

/// `POST /sim/accounts/{id}/orders/{order}` with a status: for the states that an exchange gets into by itself.
fn force(sim: &Sim, (account, order): (&str, &str), inbound: &Inbound) -> Answer {
    let wanted: NewStatus = body(inbound)?;
    let status = OrderStatus::parse(&wanted.status).ok_or_else(|| bad("no such status"))?;
    let mut world = sim.lock();
    let now = world.now;
    let order = world.exchange.force_status(now, account, order, status)?;
    world.tell();
    Ok(Reply::json(&OrderShape::from(&order)))
}

fn account_shape(world: &mut World, id: &str) -> Result<Value, Reply> {
    let view = world.exchange.account(world.now, id).map_err(|_| missing(&format!("no such account: {id}")))?;
    let mut value = routes::account_shape(&view);
    if let Some(map) = value.as_object_mut() {
        let owner = world.people.owner_of(id).map(|(person, _)| person.to_owned());
        map.insert("person".to_owned(), json!(owner));
        map.insert("environment".to_owned(), json!(view.environment));
        map.insert("key".to_owned(), json!(world.people.key_pair(id)));
    }
    Ok(value)
}
