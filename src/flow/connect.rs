//! A user connects or leaves.
//!
//! Before the broker's page stands our own, with the text that says what the chosen strategy may do; who agrees to live
//! trading on it is remembered with that text's hash, and only if the broker then grants a live account. The `state` of a started connection has 256 random bits, is kept only as a hash, works once, for ten minutes, and
//! only in the browser that started it. A grant is bound to the account that the broker names, never to a claim of the
//! caller. The token is sealed before it is stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::decide;
pub use crate::decide::consent::Section;
use crate::edge::World;
use crate::edge::alpaca::{self, Granted};
use crate::edge::store::{self, Connection, OAuthState};
use crate::edge::vault::{self, Owner};
use crate::flow::approve::Desk;
use crate::flow::tokens;
use crate::model::canon::digest;
use crate::model::environment::{Environment, Kind, Live, Paper};
use crate::model::ids::{AccountId, ApprovalId, GrantId, NotAnId, StrategyName, SubscriptionId, UserId};
use crate::model::mandate::{Approval, ApprovalKind};
use crate::model::secret::{AccessToken, Secret};
use crate::model::strategy::Strategy;
use crate::model::time::{Moment, Span};

/// A started connection must be finished within this time; Alpaca's own codes live as long (facts 1.1).
const PATIENCE: Span = Span::from_mins(10);

/// The longest reference that an integrating app may give a user.
const REFERENCE_MAX: usize = 200;

/// What the caller asks for.
#[derive(Debug, Clone)]
pub struct Begin {
    /// The strategy to follow, if one is chosen already.
    pub strategy: Option<StrategyName>,
    /// Paper or live; `None` lets the user choose on the broker's page.
    pub environment: Option<Kind>,
    /// The integrating app's own name for this user.
    pub reference: Option<String>,
    /// The account that is to be reconnected; a grant for any other is refused.
    pub account: Option<AccountId>,
    /// What the user agreed to on our own page; `None` when they did not see it.
    pub agreed: Option<Agreed>,
}

/// What a user agreed to on our own page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// The hash of the text that they saw.
    pub text_hash: String,
    /// Whether they agreed to live trading.
    pub live: bool,
}

/// The text that a user is to read before they go to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// Its first line.
    pub title: String,
    /// Its parts.
    pub sections: Vec<Section>,
    /// The whole text, as it is kept.
    pub text: String,
    /// What a consent to it is kept under.
    pub hash: String,
}

/// The text of a strategy, with what the operator adds to it.
pub fn consent(strategy: &Strategy, note: &str) -> Consent {
    let text = decide::consent::text(strategy, note);
    Consent {
        title: decide::consent::title(strategy),
        sections: decide::consent::sections(strategy, note),
        hash: decide::consent::hash(&text),
        text,
    }
}

/// The hash of the text of every strategy: only consents to these count.
pub fn consent_texts<'a>(
    strategies: impl Iterator<Item = &'a Arc<Strategy>>,
    note: &str,
) -> BTreeMap<StrategyName, String> {
    strategies.map(|strategy| (strategy.name().clone(), consent(strategy, note).hash)).collect()
}

/// Where to send the browser, and what it must bring back.
#[derive(Debug)]
pub struct Started {
    /// The broker's consent page.
    pub location: url::Url,
    /// Bound to this browser: the value of a cookie.
    pub cookie: Secret,
}

/// What the broker's redirect brought.
#[derive(Debug)]
pub struct Callback {
    /// The code, if the user agreed.
    pub code: Option<Secret>,
    /// The state that was sent along.
    pub state: Option<Secret>,
    /// The broker's error, if the user did not agree.
    pub error: Option<String>,
    /// The browser's cookie.
    pub cookie: Option<Secret>,
}

/// One account that is connected now.
#[derive(Debug, Clone)]
pub struct ConnectedAccount {
    /// The broker's id.
    pub account: AccountId,
    /// Paper or live.
    pub environment: Kind,
    /// The broker's account number.
    pub number: String,
}

/// What a finished connection made.
#[derive(Debug, Clone)]
pub struct Connected {
    /// The accounts that the token opens, at least one.
    pub accounts: Vec<ConnectedAccount>,
    /// The strategy they follow now, if one was chosen.
    pub strategy: Option<StrategyName>,
    /// The scopes that the user really granted.
    pub scopes: Vec<String>,
    /// Whether a consent to live trading was kept.
    pub consented: bool,
}

/// Why a connection did not come about. The texts are for the user's eyes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The strategy does not exist.
    #[error("there is no strategy named `{0}`")]
    UnknownStrategy(String),
    /// The text changed between the reading and the agreeing.
    #[error("what this strategy does was changed while you were reading; please start again and read it once more")]
    TextChanged,
    /// The broker granted another account than the one to be reconnected.
    #[error(
        "the broker granted another account than the one that is to be reconnected; nothing was stored, please start again and choose the account {0}"
    )]
    WrongAccount(AccountId),
    /// The reference is too long or holds control characters.
    #[error("the reference must be at most {REFERENCE_MAX} characters without control characters")]
    BadReference,
    /// No such state, used before, too late, or another browser.
    #[error(
        "this connection was not started in this browser, was finished already, or is older than ten minutes; please start again"
    )]
    StateRefused,
    /// The user or the broker said no.
    #[error("the connection was not granted ({0}); nothing was stored")]
    Denied(String),
    /// The broker did not accept the code, or could not be asked.
    #[error("the broker did not complete the connection; please start again")]
    Broker(#[source] alpaca::Error),
    /// The token opens no account in the environment that was asked for.
    #[error("the broker's token opens no {0} account; please start again and choose one on the broker's page")]
    NoAccount(&'static str),
    /// The token could not be sealed.
    #[error("the connection could not be stored safely; nothing was stored")]
    Vault(#[source] vault::Error),
    /// The database failed.
    #[error("the connection could not be stored; please try again later")]
    Store(#[from] store::Error),
    /// Something of ours has no usable id.
    #[error("the connection could not be named; please start again")]
    Id(#[from] NotAnId),
}

/// Starts a connection.
///
/// # Errors
/// [`Error::UnknownStrategy`], [`Error::BadReference`], or [`Error::Store`].
pub async fn begin(world: &World, wish: Begin) -> Result<Started, Error> {
    if let Some(name) = &wish.strategy
        && world.strategies.get(name).is_none()
    {
        return Err(Error::UnknownStrategy(name.to_string()));
    }
    if wish.reference.as_ref().is_some_and(|text| text.len() > REFERENCE_MAX || text.chars().any(char::is_control)) {
        return Err(Error::BadReference);
    }
    let now = world.clock.now();
    let agreed = wish.agreed;
    if let Some(agreed) = &agreed {
        remember_text(world, (wish.strategy.as_ref(), agreed), now).await?;
    }
    let state = Secret::new(world.entropy.token("oauth_state", 32));
    let cookie = Secret::new(world.entropy.token("oauth_cookie", 32));
    let row = OAuthState {
        hash: digest("oauth state", &[state.expose()]),
        browser_hash: digest("oauth browser", &[cookie.expose()]),
        strategy: wish.strategy,
        environment: wish.environment,
        reference: wish.reference,
        account: wish.account,
        text_hash: agreed.as_ref().map(|agreed| agreed.text_hash.clone()),
        live_agreed: agreed.is_some_and(|agreed| agreed.live),
        created_at: now,
        expires_at: now + PATIENCE,
    };
    world.store.save_oauth_state(&row).await?;
    let verifier = verifier(&state, &cookie);
    Ok(Started { location: world.alpaca.authorize_url(&state, wish.environment, &verifier), cookie })
}

/// Keeps the text that a user agreed to, if it is the text of the strategy as it is now.
async fn remember_text(
    world: &World,
    (strategy, agreed): (Option<&StrategyName>, &Agreed),
    now: Moment,
) -> Result<(), Error> {
    let strategy = strategy.and_then(|name| world.strategies.get(name)).ok_or(Error::TextChanged)?;
    let consent = consent(strategy, &world.consent_note);
    if consent.hash != agreed.text_hash {
        return Err(Error::TextChanged);
    }
    Ok(world.store.keep_consent_text(&consent.hash, &consent.text, now).await?)
}

/// The verifier of PKCE: made of two secrets that only the browser has both of, so that it need not be kept.
fn verifier(state: &Secret, cookie: &Secret) -> Secret {
    Secret::new(digest("pkce verifier", &[state.expose(), cookie.expose()]))
}

/// Finishes a connection: state, code, token, account, and the sealed row.
///
/// # Errors
/// Any of [`Error`]; nothing is stored but the used-up state.
pub async fn finish(world: &World, callback: Callback) -> Result<Connected, Error> {
    let (Some(state), Some(cookie)) = (&callback.state, &callback.cookie) else {
        return Err(Error::StateRefused);
    };
    let now = world.clock.now();
    let started = world.store.take_oauth_state(&digest("oauth state", &[state.expose()]), now).await?;
    // Both are hashes of 256 random bits: comparing them leaks nothing that would help to guess either.
    let browser = digest("oauth browser", &[cookie.expose()]);
    let started = started.filter(|started| started.browser_hash == browser).ok_or(Error::StateRefused)?;
    if let Some(error) = callback.error {
        return Err(Error::Denied(error.chars().filter(|c| !c.is_control()).take(100).collect()));
    }
    let code = callback.code.ok_or_else(|| Error::Denied("no code".to_owned()))?;
    let verifier = verifier(state, cookie);
    let granted = world.alpaca.exchange_code(&code, &verifier).await.map_err(Error::Broker)?;
    let accounts = identify(world, &granted, started.environment).await?;
    if let Some(wanted) = &started.account
        && accounts.iter().all(|account| account.account != *wanted)
    {
        return Err(Error::WrongAccount(wanted.clone()));
    }
    let grant = GrantId::parse(&world.entropy.id("gra_"))?;
    let user = user_of(world, &accounts).await?;
    let owner = Owner { grant: &grant, user: &user };
    let sealed = world.vault.seal(owner, &granted.token, &world.entropy).map_err(Error::Vault)?;
    let mut consented = false;
    let mut connections = Vec::with_capacity(accounts.len());
    for account in &accounts {
        let consent = consent_of(world, (&user, account), &started, now)?;
        consented |= consent.is_some();
        connections.push(Connection {
            user: user.clone(),
            grant: grant.clone(),
            reference: started.reference.clone(),
            account: account.account.clone(),
            number: account.number.clone(),
            environment: account.environment,
            scopes: granted.scopes.clone(),
            sealed: sealed.clone(),
            strategy: started.strategy.clone(),
            subscription: SubscriptionId::parse(&world.entropy.id("sub_"))?,
            consent,
            at: now,
        });
    }
    if world.store.connect_all(&connections).await? {
        let desk = Desk { store: &world.store, clock: &world.clock, entropy: &world.entropy };
        if let Err(error) = tokens::wipe(&desk).await {
            // The token itself is destroyed; what is left of it in the log goes with the next wipe.
            tracing::warn!(%error, "the traces of a replaced token could not be wiped yet");
        }
    }
    Ok(Connected { accounts, strategy: started.strategy, scopes: granted.scopes, consented })
}

/// The user's consent to live trading, for an account that is live.
fn consent_of(
    world: &World,
    (user, account): (&UserId, &ConnectedAccount),
    started: &OAuthState,
    now: Moment,
) -> Result<Option<Approval>, Error> {
    let Some(text_hash) = started.text_hash.clone().filter(|_| started.live_agreed) else { return Ok(None) };
    if account.environment != Kind::Live {
        return Ok(None);
    }
    Ok(Some(Approval {
        id: ApprovalId::parse(&world.entropy.id("apr_"))?,
        kind: ApprovalKind::Consent { account: account.account.clone(), text_hash },
        by: user.to_string(),
        // The broker has just let this very user in.
        proven: true,
        reason: "agreed on the page before connecting".to_owned(),
        granted_at: now,
        expires_at: None,
        revoked: None,
    }))
}

/// Whose accounts these are: the user who is known with one of them, or a new one. The token is bound to the user.
async fn user_of(world: &World, accounts: &[ConnectedAccount]) -> Result<UserId, Error> {
    for account in accounts {
        if let Some(known) = world.store.account(&account.account).await? {
            return Ok(known.user);
        }
    }
    Ok(UserId::parse(&world.entropy.id("usr_"))?)
}

/// The accounts that the token really opens: one paper, one live, or one of each (facts 1.1).
async fn identify(world: &World, granted: &Granted, wanted: Option<Kind>) -> Result<Vec<ConnectedAccount>, Error> {
    let mut found = Vec::new();
    if wanted != Some(Kind::Live) {
        found.extend(who::<Paper>(world, granted).await?);
    }
    if wanted != Some(Kind::Paper) {
        found.extend(who::<Live>(world, granted).await?);
    }
    if found.is_empty() {
        return Err(Error::NoAccount(wanted.map_or("paper or live", Kind::code)));
    }
    Ok(found)
}

async fn who<E: Environment>(world: &World, granted: &Granted) -> Result<Option<ConnectedAccount>, Error> {
    let token = AccessToken::<E>::new(Secret::new(granted.token.expose().to_owned()));
    match world.alpaca.whoami(&token).await {
        Ok(view) => Ok(Some(ConnectedAccount { account: view.id, environment: E::KIND, number: view.number })),
        // A host refuses a token that was not granted for its environment (facts 1.1).
        Err(alpaca::Error::Unauthorized { .. }) => Ok(None),
        Err(error) => Err(Error::Broker(error)),
    }
}
