//! `overrides`: what users wish for their own accounts, inside what their strategies allow.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::app::commands::Context;
use crate::app::failure::Failure;
use crate::app::{shown, wire};
use crate::edge::store::WishEnding;
use crate::flow::wishes;
use crate::model::ids::{AccountId, Symbol};
use crate::model::money::{Fraction, Usd};
use crate::model::personal::{Said, Wish};
use crate::model::time::Moment;

/// Arguments of `overrides`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do; list when absent.
    #[command(subcommand)]
    pub action: Option<Action>,
}

/// What can be done with wishes.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List them.
    List {
        /// Only of this account.
        account: Option<String>,
        /// Also those that ended.
        #[arg(long)]
        all: bool,
    },
    /// Write one down, in place of the same one before; it counts from the next look on.
    Set {
        /// The broker's account id.
        account: String,
        /// What is wished.
        #[command(flatten)]
        what: What,
        /// By whom, why, until when.
        #[command(flatten)]
        words: Words,
    },
    /// Raise an amount of cash and keep it aside until it has left the account.
    Withdraw {
        /// The broker's account id.
        account: String,
        /// How many dollars.
        #[arg(long, value_name = "USD")]
        amount: String,
        /// By whom, why, until when.
        #[command(flatten)]
        words: Words,
    },
    /// End one, or all of an account.
    Clear {
        /// The broker's account id.
        account: String,
        /// Which.
        #[command(flatten)]
        which: Which,
        /// Who ends it.
        #[arg(long, value_name = "NAME")]
        by: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// What is wished: exactly one.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct What {
    /// The strategy does without this symbol.
    #[arg(long, value_name = "SYMBOL")]
    pub exclude: Option<String>,
    /// This symbol is not sold.
    #[arg(long, value_name = "SYMBOL")]
    pub do_not_sell: Option<String>,
    /// This symbol is not bought.
    #[arg(long, value_name = "SYMBOL")]
    pub do_not_buy: Option<String>,
    /// The cash target, in percent.
    #[arg(long, value_name = "PERCENT")]
    pub cash_percent: Option<String>,
    /// The largest order, in dollars.
    #[arg(long, value_name = "USD")]
    pub cap: Option<String>,
    /// The year that a glide path ends with.
    #[arg(long, value_name = "YEAR")]
    pub target_year: Option<i16>,
}

/// Which wish ends: exactly one.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line, and only one is ever given")]
pub struct Which {
    /// The exclusion of this symbol.
    #[arg(long, value_name = "SYMBOL")]
    pub exclude: Option<String>,
    /// That this symbol is not sold.
    #[arg(long, value_name = "SYMBOL")]
    pub do_not_sell: Option<String>,
    /// That this symbol is not bought.
    #[arg(long, value_name = "SYMBOL")]
    pub do_not_buy: Option<String>,
    /// The cash target.
    #[arg(long)]
    pub cash_percent: bool,
    /// The largest order.
    #[arg(long)]
    pub cap: bool,
    /// The target year.
    #[arg(long)]
    pub target_year: bool,
    /// The withdrawal: what is still kept aside is invested again.
    #[arg(long)]
    pub withdraw: bool,
    /// All of them.
    #[arg(long)]
    pub all: bool,
}

/// By whom, why, until when.
#[derive(Debug, clap::Args)]
pub struct Words {
    /// Who writes it down.
    #[arg(long, value_name = "NAME")]
    pub by: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Until when: RFC 3339. Without it the wish holds until it is cleared.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

impl What {
    fn wish(&self) -> Result<Wish, Failure> {
        let number =
            |name: &str, text: &str| Usd::parse(text).map_err(|error| Failure::input(format!("{name}: {error}")));
        Ok(match (&self.exclude, &self.do_not_sell, &self.do_not_buy, &self.cash_percent, &self.cap) {
            (Some(symbol), ..) => Wish::Exclude(Symbol::parse(symbol)?),
            (_, Some(symbol), ..) => Wish::DoNotSell(Symbol::parse(symbol)?),
            (_, _, Some(symbol), ..) => Wish::DoNotBuy(Symbol::parse(symbol)?),
            (_, _, _, Some(percent), _) => {
                Wish::Cash(Fraction::from_percent(number("--cash-percent", percent)?.decimal()))
            }
            (_, _, _, _, Some(cap)) => Wish::Cap(number("--cap", cap)?),
            _ if let Some(year) = self.target_year => Wish::TargetYear(year),
            _ => return Err(Failure::input("name what is wished, such as --exclude SPY")),
        })
    }
}

impl Which {
    fn ending(&self) -> Result<WishEnding, Failure> {
        let one = |kind, symbol: &str| Ok(WishEnding::One(kind, Some(Symbol::parse(symbol)?)));
        match (&self.exclude, &self.do_not_sell, &self.do_not_buy) {
            (Some(symbol), ..) => one("exclude", symbol),
            (_, Some(symbol), _) => one("do_not_sell", symbol),
            (_, _, Some(symbol)) => one("do_not_buy", symbol),
            _ if self.cash_percent => Ok(WishEnding::One("cash", None)),
            _ if self.cap => Ok(WishEnding::One("cap", None)),
            _ if self.target_year => Ok(WishEnding::One("target_year", None)),
            _ if self.withdraw => Ok(WishEnding::One("withdraw", None)),
            _ => Ok(WishEnding::All),
        }
    }
}

/// Carries it out.
///
/// # Errors
/// When the database does not answer, or the wish is not allowed.
pub async fn obey(context: &Context, args: Args) -> Result<(), Failure> {
    match args.action.unwrap_or(Action::List { account: None, all: false }) {
        Action::List { account, all } => list(context, account.as_deref(), all).await,
        Action::Set { account, what, words } => {
            let wish = what.wish()?;
            say(context, &account, wish, &words).await
        }
        Action::Withdraw { account, amount, words } => {
            let amount = Usd::parse(&amount).map_err(|error| Failure::input(format!("--amount: {error}")))?;
            say(context, &account, Wish::Withdraw { amount, left: Usd::ZERO }, &words).await
        }
        Action::Clear { account, which, by, reason } => {
            let (_, means) = context.means().await?;
            let account = AccountId::parse(&account)?;
            let ended = wishes::clear(&means.desk(), &account, &which.ending()?, (&by, &reason)).await?;
            let rows: Vec<Value> = ended.iter().map(|said| shown::wish(said, means.clock.now())).collect();
            context.print(&json!({ "cleared": rows }), |_| match rows.len() {
                0 => format!("nothing of the kind was wished for {account}; `rebalanced overrides list` shows what is"),
                some => format!("cleared: {some}"),
            })
        }
    }
}

async fn list(context: &Context, account: Option<&str>, all: bool) -> Result<(), Failure> {
    let (_, means) = context.means().await?;
    let account = account.map(AccountId::parse).transpose()?;
    let now = means.clock.now();
    let said = means.store.wishes(account.as_ref()).await?;
    let rows: Vec<Value> =
        said.iter().filter(|said| all || said.holds_at(now)).map(|said| shown::wish(said, now)).collect();
    let columns = ["account", "kind", "what", "pending", "holds", "by", "reason", "said_at", "until"];
    context.print(&json!({ "overrides": rows }), |_| shown::table(&rows, &columns))
}

async fn say(context: &Context, account: &str, wish: Wish, words: &Words) -> Result<(), Failure> {
    let (settings, means) = context.means().await?;
    let until = words.until.as_deref().map(Moment::parse).transpose();
    let until = until.map_err(|error| Failure::input(format!("--until: {error}")))?;
    let desk = means.desk();
    let (account, name) = wishes::follows(&desk, &AccountId::parse(account)?).await?;
    let strategy = wire::strategy(&settings.strategies, &name)?;
    let said: Said = wishes::say(&desk, (&account, &strategy), wish, (&words.by, &words.reason), until).await?;
    context.print(&shown::wish(&said, means.clock.now()), |answer| {
        let what = answer.get("what").and_then(Value::as_str).unwrap_or_default();
        format!("from the next look on, account {}: {} {what}", said.account, said.wish.code())
    })
}
