//! The cast: people with accounts of many kinds, who connect through the real pages.
//!
//! Who they are follows from the seed alone. Nothing is written into the daemon's database from here: each user's
//! browser asks `/connect`, is sent to the broker's consent page, agrees, and comes back.

use alpaca_sim::{ConsentMode, ConsentRule, Environment, NewAccount};
use anyhow::{Context, bail};
use rust_decimal::Decimal;

use super::Args;
use super::models;
use super::stage::Stage;
use crate::model::canon::digest;
use crate::model::ids::StrategyName;
use crate::model::strategy::Strategy;

/// One user of the demo.
#[derive(Debug, Clone)]
pub(super) struct User {
    /// What the integrating app calls them.
    pub(super) name: String,
    /// The broker's account id.
    pub(super) account: String,
    /// What they follow.
    pub(super) strategy: StrategyName,
    /// Dollars that they pay in on the third day; zero for most.
    pub(super) deposit: Decimal,
}

/// A number below `below` that follows from the seed, a user and a purpose.
fn chance(seed: u64, user: u32, purpose: &str, below: u64) -> u64 {
    let digest = digest(purpose, &[&seed.to_string(), &user.to_string()]);
    u64::from_str_radix(digest.get(..12).unwrap_or("0"), 16).unwrap_or_default() % below.max(1)
}

/// Creates the accounts at the broker and connects each of them.
pub(super) async fn connect_all(stage: &Stage, args: &Args) -> anyhow::Result<Vec<User>> {
    let strategies: Vec<_> = stage.catalog.iter().cloned().collect();
    let mut users = Vec::new();
    for number in 0..args.users {
        let strategy = strategies
            .get(usize::try_from(number)? % strategies.len().max(1))
            .context("there is no strategy to follow")?;
        let strategy = &models::on_day(stage, strategy, stage.first_moment()?)?;
        let user = open_account(stage, args.seed, number, strategy)?;
        connect(stage, &user).await.with_context(|| format!("{} could not connect", user.name))?;
        users.push(user);
    }
    eprintln!("{} users connected through OAuth, following {} strategies", users.len(), strategies.len());
    Ok(users)
}

fn open_account(stage: &Stage, seed: u64, number: u32, strategy: &Strategy) -> anyhow::Result<User> {
    let name = format!("user-{:02}", number + 1);
    stage.sim.create_person(Some(&name), &name)?;
    let worth = Decimal::from(6_000 + chance(seed, number, "worth", 30_000));
    let mut new = NewAccount::new(name.clone(), Environment::Paper);
    new.cash = worth;
    match number % 5 {
        // Three kinds are invested already: off target by a little, by a lot, and with a stock of their own besides.
        1 => invest(stage, &mut new, strategy, &tilted(seed, number, strategy, 4)),
        2 => invest(stage, &mut new, strategy, &tilted(seed, number, strategy, 12)),
        4 => {
            invest(stage, &mut new, strategy, &tilted(seed, number, strategy, 7));
            new.positions.push(("KO".to_owned(), Decimal::from(3), None));
        }
        // The others bring cash.
        _ => {}
    }
    new.positions.sort();
    new.positions.dedup_by(|a, b| a.0 == b.0);
    let account = stage.sim.create_account(new)?.to_string();
    let deposit = if number.is_multiple_of(4) {
        Decimal::from(500 + chance(seed, number, "deposit", 2_000))
    } else {
        Decimal::ZERO
    };
    Ok(User { name, account, strategy: strategy.name().clone(), deposit })
}

/// The strategy's weights, moved by up to `points` percentage points from the first symbol to the last or back.
fn tilted(seed: u64, number: u32, strategy: &Strategy, points: u64) -> Vec<(String, Decimal)> {
    let mut weights: Vec<(String, Decimal)> =
        strategy.targets().iter().map(|target| (target.symbol.to_string(), target.weight.decimal())).collect();
    let size = Decimal::new(i64::try_from(chance(seed, number, "tilt", points) + 1).unwrap_or(1), 2);
    let last = weights.len().saturating_sub(1);
    if last > 0 {
        let (from, to) = if chance(seed, number, "tilt side", 2) == 0 { (0, last) } else { (last, 0) };
        let moved = size.min(weights.get(from).map_or(Decimal::ZERO, |(_, weight)| *weight));
        if let Some((_, weight)) = weights.get_mut(from) {
            *weight -= moved;
        }
        if let Some((_, weight)) = weights.get_mut(to) {
            *weight += moved;
        }
    }
    weights
}

fn invest(stage: &Stage, new: &mut NewAccount, strategy: &Strategy, weights: &[(String, Decimal)]) {
    let worth = new.cash;
    let mut spent = Decimal::ZERO;
    stage.sim.with_exchange(|exchange, now| {
        for (symbol, weight) in weights {
            let Some(trade) = exchange.market().trade(symbol, now) else { continue };
            let qty = (worth * weight / trade.price).round_dp(3);
            if qty > Decimal::ZERO {
                spent += qty * trade.price;
                new.positions.push((symbol.clone(), qty, None));
            }
        }
    });
    let least = worth * strategy.cash().decimal();
    new.cash = (worth - spent).max(least).round_dp(2);
}

/// What a browser does: ask, agree on the broker's page, come back with the cookie.
async fn connect(stage: &Stage, user: &User) -> anyhow::Result<()> {
    stage.sim.set_consent(ConsentRule {
        mode: ConsentMode::Auto,
        person: Some(user.name.clone()),
        ..ConsentRule::default()
    });
    let query = [("strategy", user.strategy.as_str()), ("env", "paper"), ("ref", user.name.as_str())];
    let begun = stage.http.get(format!("{}/connect", stage.public)).query(&query).send().await?;
    let consent = location(&begun)?;
    let cookie = begun
        .headers()
        .get(reqwest::header::SET_COOKIE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .context("/connect set no cookie")?
        .to_owned();
    let agreed = stage.http.get(consent).send().await?;
    let back = location(&agreed)?;
    let ended = stage.http.get(back).header(reqwest::header::COOKIE, cookie).send().await?;
    let status = ended.status();
    if !status.is_success() {
        bail!("the callback answered {status}: {}", ended.text().await.unwrap_or_default());
    }
    Ok(())
}

fn location(answer: &reqwest::Response) -> anyhow::Result<String> {
    answer
        .headers()
        .get(reqwest::header::LOCATION)
        .and_then(|value| value.to_str().ok())
        .map(ToOwned::to_owned)
        .with_context(|| format!("{} answered {} without a redirect", answer.url().path(), answer.status()))
}
