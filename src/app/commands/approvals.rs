//! `approvals`: who allowed what for live trading, why, and until when.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::app::commands::{Context, operators};
use crate::app::failure::Failure;
use crate::app::settings::Settings;
use crate::app::wire::Means;
use crate::app::{shown, wire};
use crate::flow::approve;
use crate::flow::connect::{self, Consent};
use crate::flow::operators as flow_operators;
use crate::flow::wishes;
use crate::model::ids::{AccountId, ApprovalId, StrategyName, Symbol};
use crate::model::limits::Raise;
use crate::model::mandate::{Approval, ApprovalKind, Bound};
use crate::model::money::{Fraction, Usd};
use crate::model::plan::Side;
use crate::model::time::Moment;

/// Arguments of `approvals`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do; list when absent.
    #[command(subcommand)]
    pub action: Option<Action>,
}

/// What can be done with approvals.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List them, also those that ended.
    List,
    /// Grant one from now on.
    Grant {
        /// What to allow.
        #[command(subcommand)]
        what: Box<What>,
    },
    /// Print the text that users agree to before a strategy may trade their account live.
    ConsentText {
        /// The strategy's name.
        #[arg(long)]
        strategy: String,
    },
    /// Withdraw one at once.
    Revoke {
        /// Its id.
        approval: String,
        /// Who withdraws it.
        #[arg(long, value_name = "NAME")]
        by: String,
    },
}

/// What can be allowed.
#[derive(Debug, Subcommand)]
pub enum What {
    /// The user consented to live trading of an account, to a text.
    Consent {
        /// The broker's account id.
        #[arg(long)]
        account: String,
        /// The strategy whose text the user agreed to, as `approvals consent-text` prints it.
        #[arg(long, required_unless_present = "text", conflicts_with = "text")]
        strategy: Option<String>,
        /// A file with the very text that the user agreed to; its SHA-256 is kept, and counts as long as it is the text of the
        /// strategy.
        #[arg(long, value_name = "FILE")]
        text: Option<PathBuf>,
        /// By whom, why, until when.
        #[command(flatten)]
        said: Said,
    },
    /// The strategy as its file is now may trade live.
    Strategy {
        /// The strategy's name.
        #[arg(long)]
        strategy: String,
        /// The version that you have read, as `check` and `strategies diff` print it: another one is not approved.
        #[arg(long, value_name = "VERSION")]
        read: Option<String>,
        /// By whom, why, until when.
        #[command(flatten)]
        said: Said,
    },
    /// Limits of the service are higher for one account.
    Limits {
        /// The broker's account id.
        #[arg(long)]
        account: String,
        /// Which, and how high.
        #[command(flatten)]
        raise: Raised,
        /// By whom, why, until when.
        #[command(flatten)]
        said: Said,
    },
    /// An account may follow a strategy live, inside a bound.
    Subscription {
        /// The broker's account id.
        #[arg(long)]
        account: String,
        /// The strategy's name.
        #[arg(long)]
        strategy: String,
        /// What every order must stay inside.
        #[command(flatten)]
        bound: Limits,
        /// By whom, why, until when.
        #[command(flatten)]
        said: Said,
    },
}

/// By whom, why, until when.
#[derive(Debug, clap::Args)]
pub struct Said {
    /// Who approves; where two operators must, show the token instead.
    #[arg(long, value_name = "NAME", required_unless_present = "operator_token_file")]
    pub by: Option<String>,
    /// The file with the operator's own token, which proves who approves.
    #[arg(long, value_name = "FILE", conflicts_with = "by")]
    pub operator_token_file: Option<PathBuf>,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Until when: RFC 3339. Without it the approval holds until it is revoked.
    #[arg(long, value_name = "TIME")]
    pub expires: Option<String>,
}

/// The bound of an account's approval.
#[derive(Debug, clap::Args)]
pub struct Limits {
    /// Only these symbols, with commas.
    #[arg(long, value_delimiter = ',')]
    pub symbols: Vec<String>,
    /// Only these sides, with commas: buy, sell.
    #[arg(long, value_delimiter = ',')]
    pub sides: Vec<String>,
    /// The largest value of one order, in dollars.
    #[arg(long, value_name = "USD")]
    pub max_order: Option<String>,
    /// The largest value of all orders of one run, in dollars.
    #[arg(long, value_name = "USD")]
    pub max_run: Option<String>,
}

/// Limits that are raised for one account. What is not named stays as it is.
#[derive(Debug, clap::Args)]
pub struct Raised {
    /// The largest live order, in dollars.
    #[arg(long, value_name = "USD")]
    pub max_order_notional: Option<String>,
    /// The largest live order, in percent of the account's equity.
    #[arg(long, value_name = "PERCENT")]
    pub max_order_equity_percent: Option<String>,
    /// The largest value of one run, in dollars.
    #[arg(long, value_name = "USD")]
    pub max_run_notional: Option<String>,
    /// The largest value of one exchange day, in dollars.
    #[arg(long, value_name = "USD")]
    pub max_day_notional: Option<String>,
    /// The largest share of the portfolio that one run may sell, in percent.
    #[arg(long, value_name = "PERCENT")]
    pub max_turnover_percent: Option<String>,
    /// The largest fall of the equity that is believed, in percent; 100 also believes that all positions are gone.
    #[arg(long, value_name = "PERCENT")]
    pub max_equity_drop_percent: Option<String>,
    /// For the next run with orders only.
    #[arg(long)]
    pub once: bool,
}

impl Raised {
    fn raise(&self) -> Result<Raise, Failure> {
        let amount = |name: &str, text: &Option<String>| match text.as_deref().map(Usd::parse) {
            None => Ok(None),
            Some(Ok(amount)) if amount.is_positive() => Ok(Some(amount)),
            Some(_) => Err(Failure::input(format!("{name} must be a number above 0"))),
        };
        let percent = |name: &str, text: &Option<String>| -> Result<Option<Fraction>, Failure> {
            Ok(amount(name, text)?.map(|percent| Fraction::from_percent(percent.decimal())))
        };
        let raise = Raise {
            max_order_notional: amount("--max-order-notional", &self.max_order_notional)?,
            max_order_equity: percent("--max-order-equity-percent", &self.max_order_equity_percent)?,
            max_run_notional: amount("--max-run-notional", &self.max_run_notional)?,
            max_day_notional: amount("--max-day-notional", &self.max_day_notional)?,
            max_turnover: percent("--max-turnover-percent", &self.max_turnover_percent)?,
            max_equity_drop: percent("--max-equity-drop-percent", &self.max_equity_drop_percent)?,
            once: self.once,
        };
        if raise.is_empty() {
            return Err(Failure::input("name at least one limit to raise, such as --max-order-notional 60000"));
        }
        Ok(raise)
    }
}

impl Limits {
    fn bound(&self) -> Result<Bound, Failure> {
        let dollars = |name: &str, text: &Option<String>| match text.as_deref().map(Usd::parse) {
            None => Ok(None),
            Some(Ok(amount)) if amount.is_positive() => Ok(Some(amount)),
            Some(Ok(amount)) => Err(Failure::input(format!("{name} is {amount}; it must be above 0"))),
            Some(Err(error)) => Err(Failure::input(format!("{name}: {error}"))),
        };
        let symbols = self.symbols.iter().map(|symbol| Symbol::parse(symbol)).collect::<Result<Vec<_>, _>>()?;
        let side = |text: &String| {
            Side::parse(text).ok_or_else(|| Failure::input(format!("`{text}` is no side: buy and sell are")))
        };
        let sides = self.sides.iter().map(side).collect::<Result<Vec<_>, _>>()?;
        Ok(Bound {
            symbols: (!symbols.is_empty()).then_some(symbols),
            sides: (!sides.is_empty()).then_some(sides),
            max_order_notional: dollars("--max-order", &self.max_order)?,
            max_run_notional: dollars("--max-run", &self.max_run)?,
        })
    }
}

impl What {
    fn kind(&self, settings: &Settings) -> Result<ApprovalKind, Failure> {
        Ok(match self {
            Self::Consent { account, strategy, text, .. } => ApprovalKind::Consent {
                account: AccountId::parse(account)?,
                text_hash: text_hash(settings, (strategy.as_deref(), text.as_deref()))?,
            },
            Self::Strategy { strategy, read, .. } => {
                let strategy = wire::strategy(&settings.strategies, &StrategyName::parse(strategy)?)?;
                approve::of_strategy(&strategy, read.as_deref())?
            }
            Self::Limits { account, raise, .. } => {
                ApprovalKind::Limits { account: AccountId::parse(account)?, raise: raise.raise()? }
            }
            Self::Subscription { account, strategy, bound, .. } => {
                let strategy = wire::strategy(&settings.strategies, &StrategyName::parse(strategy)?)?;
                ApprovalKind::Subscription {
                    account: AccountId::parse(account)?,
                    name: strategy.name().clone(),
                    bound: bound.bound()?,
                }
            }
        })
    }

    fn said(&self) -> &Said {
        match self {
            Self::Consent { said, .. }
            | Self::Strategy { said, .. }
            | Self::Subscription { said, .. }
            | Self::Limits { said, .. } => said,
        }
    }
}

/// Grants it: by a token that proves the operator, or by a name where that is enough.
async fn grant(
    settings: &Settings,
    means: &Means,
    (kind, said): (ApprovalKind, &Said),
    expires: Option<Moment>,
) -> Result<Approval, Failure> {
    let desk = means.desk();
    if let Some(file) = &said.operator_token_file {
        let operator = flow_operators::who(&means.store, &operators::token_in(file)?).await?;
        let operator = operator.ok_or_else(|| {
            Failure::input(format!(
                "{}: this is the token of no operator; `rebalanced operators` lists them",
                file.display()
            ))
        })?;
        return Ok(approve::grant_proven(&desk, kind, (&operator, &said.reason), expires).await?);
    }
    if flow_operators::required(&means.store, settings.policy.operators_required).await? > 1 {
        let why = "two operators must approve here (approvals.operators_required of this configuration or of the daemon), each with a token of their own: show \
                   it with --operator-token-file; a bare --by counts for nothing";
        return Err(Failure::input(why));
    }
    let by = said.by.as_deref().unwrap_or_default();
    Ok(approve::grant(&desk, kind, (by, &said.reason), expires).await?)
}

/// What the strategy may trade, substitutes included, and the bound of its approval does not name.
fn left_out(settings: &Settings, kind: &ApprovalKind) -> Result<Vec<String>, Failure> {
    let ApprovalKind::Subscription { name, bound, .. } = kind else { return Ok(Vec::new()) };
    let strategy = wire::strategy(&settings.strategies, name)?;
    Ok(wishes::left_out(&strategy, bound.symbols.as_deref()))
}

/// The text of a strategy, as its file is now.
fn consent(settings: &Settings, strategy: &str) -> Result<Consent, Failure> {
    let strategy = wire::strategy(&settings.strategies, &StrategyName::parse(strategy)?)?;
    Ok(connect::consent(&strategy, &settings.consent_note))
}

/// The hash of what the user agreed to: the text of the strategy, or that of a file.
fn text_hash(settings: &Settings, (strategy, file): (Option<&str>, Option<&Path>)) -> Result<String, Failure> {
    let Some(file) = file else { return Ok(consent(settings, strategy.unwrap_or_default())?.hash) };
    let bytes = std::fs::read(file).map_err(|error| {
        let named = file.display();
        Failure::input(format!("{named}: this text cannot be read: {error}; give the text that the user agreed to"))
    })?;
    Ok(hex::encode(Sha256::digest(bytes)))
}

/// Carries it out.
///
/// # Errors
/// When the database does not answer, or what is named does not exist.
pub async fn obey(context: &Context, args: Args) -> Result<(), Failure> {
    let (settings, means) = context.means().await?;
    match args.action.unwrap_or(Action::List) {
        Action::List => {
            let now = means.clock.now();
            let approvals = means.store.approvals().await?;
            let rows: Vec<Value> = approvals.iter().map(|approval| shown::approval(approval, now)).collect();
            let columns =
                ["id", "kind", "holds", "account", "strategy", "what", "by", "reason", "granted_at", "expires_at"];
            context.print(&json!({ "approvals": rows }), |_| shown::table(&rows, &columns))
        }
        Action::Grant { what } => {
            let kind = what.kind(&settings)?;
            let said = what.said();
            let now = means.clock.now();
            let expires = said.expires.as_deref().map(Moment::parse).transpose();
            let expires = expires.map_err(|error| Failure::input(format!("--expires: {error}")))?;
            if expires.is_some_and(|end| end <= now) {
                return Err(Failure::input("--expires has passed already; give a later time"));
            }
            let approval = grant(&settings, &means, (kind, said), expires).await?;
            let left_out = left_out(&settings, &approval.kind)?;
            let mut answer = shown::approval(&approval, means.clock.now());
            if let Some(fields) = answer.as_object_mut().filter(|_| !left_out.is_empty()) {
                fields.insert("left_out".to_owned(), json!(left_out));
            }
            context.print(&answer, |_| match left_out.join(", ") {
                none if none.is_empty() => format!("granted: {}", approval.id),
                some => format!("granted: {}; a run that needs one of these is refused: {some}", approval.id),
            })
        }
        Action::ConsentText { strategy } => {
            let consent = consent(&settings, &strategy)?;
            let answer = json!({ "strategy": strategy, "text": consent.text, "text_hash": consent.hash });
            // The text's own last line end is the printer's.
            context.print(&answer, |_| consent.text.trim_end_matches('\n').to_owned() + "\n")
        }
        Action::Revoke { approval, by } => {
            let id = ApprovalId::parse(&approval)?;
            if !approve::revoke(&means.desk(), &id, &by).await? {
                return Err(Failure::input(format!("no approval {id} is in force; `rebalanced approvals` lists them")));
            }
            context.print(&json!({ "revoked": id.as_str() }), |_| format!("revoked: {id}"))
        }
    }
}
