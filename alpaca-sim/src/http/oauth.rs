//! Grants: who allowed which app what, and the codes and tokens that prove it (facts 1.1 to 1.3).
//!
//! Always: a code works once, for ten minutes of simulated time, for the app and redirect address it was made for; a
//! token covers at most one live and one paper account of one person; a revoked token is as good as unknown.
//! Tokens do not expire. Pages and wire shapes are in `consent` and `token`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::seeded;
use crate::sim::{Environment, OAuthApp};

/// How long a code waits for its exchange (facts 1.1).
pub(crate) const CODE_LIFETIME: SignedDuration = SignedDuration::from_mins(10);

/// The scopes Alpaca knows; reading needs none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Scopes {
    pub(crate) account_write: bool,
    pub(crate) trading: bool,
    pub(crate) data: bool,
}

impl Scopes {
    /// Reads a list with blanks (or commas, for those who write them); an unknown word is returned as the error.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut scopes = Self::default();
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            match word {
                "account:write" => scopes.account_write = true,
                "trading" => scopes.trading = true,
                "data" => scopes.data = true,
                other => return Err(other.to_owned()),
            }
        }
        Ok(scopes)
    }

    /// The list as Alpaca writes it, always in this order.
    pub(crate) fn text(self) -> String {
        let words = [(self.account_write, "account:write"), (self.trading, "trading"), (self.data, "data")];
        let granted: Vec<&str> = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
        granted.join(" ")
    }
}

/// What a person agreed to.
#[derive(Debug, Clone)]
pub(crate) struct Consent {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) person: String,
    pub(crate) live: Option<Arc<str>>,
    pub(crate) paper: Option<Arc<str>>,
    pub(crate) scopes: Scopes,
}

#[derive(Debug)]
struct Code {
    consent: Consent,
    expires_at: Timestamp,
    used: bool,
}

/// One delegated token.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) client_id: String,
    pub(crate) person: String,
    pub(crate) live: Option<Arc<str>>,
    pub(crate) paper: Option<Arc<str>>,
    pub(crate) scopes: Scopes,
    pub(crate) created_at: Timestamp,
    pub(crate) revoked_at: Option<Timestamp>,
    /// Whether live orders may pass: the app is approved, or the live account is its developer's own (facts 1.3).
    pub(crate) live_orders: bool,
}

impl Grant {
    /// The account this token opens on a trading host.
    pub(crate) fn account(&self, environment: Environment) -> Option<&Arc<str>> {
        match environment {
            Environment::Live => self.live.as_ref(),
            Environment::Paper => self.paper.as_ref(),
        }
    }
}

/// A grant as the dashboard's page of connected apps shows it.
#[derive(Debug, Clone, Serialize)]
pub struct GrantRecord {
    /// Stable id, usable to revoke it.
    pub id: String,
    /// The app it was given to.
    pub client_id: String,
    /// Who gave it.
    pub person: String,
    /// The live account it covers.
    pub live: Option<Arc<str>>,
    /// The paper account it covers.
    pub paper: Option<Arc<str>>,
    /// Granted scopes, separated by blanks.
    pub scope: String,
    /// When the code was exchanged.
    pub created_at: Timestamp,
    /// When the person took it back.
    pub revoked_at: Option<Timestamp>,
}

impl From<&Grant> for GrantRecord {
    fn from(grant: &Grant) -> Self {
        Self {
            id: grant.id.clone(),
            client_id: grant.client_id.clone(),
            person: grant.person.clone(),
            live: grant.live.clone(),
            paper: grant.paper.clone(),
            scope: grant.scopes.text(),
            created_at: grant.created_at,
            revoked_at: grant.revoked_at,
        }
    }
}

/// What an app sends to have a code exchanged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange<'a> {
    pub(crate) code: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) client_secret: &'a str,
    pub(crate) redirect_uri: &'a str,
}

/// Why a code was not exchanged; RFC 6749 words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    InvalidClient,
    InvalidGrant(&'static str),
}

/// How the consent page behaves.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConsentMode {
    /// A page with a form, for a person with a browser.
    #[default]
    Ask,
    /// The chosen person agrees at once.
    Auto,
    /// The person refuses at once.
    Deny,
}

/// A rule for consent requests, of all of them or of the one with a certain `state`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentRule {
    /// Page, agreement or refusal.
    pub mode: ConsentMode,
    /// Who is logged in; required for `auto` unless there is somebody without a grant for the app yet.
    #[serde(default)]
    pub person: Option<String>,
    /// Which live account is ticked; the person's own by default.
    #[serde(default)]
    pub live: Option<String>,
    /// Which paper account is ticked; the person's first by default.
    #[serde(default)]
    pub paper: Option<String>,
    /// Grants this instead of what was asked for: seen in the wild (facts 1.1).
    #[serde(default)]
    pub scope: Option<String>,
    /// Only for the request with this `state`, once.
    #[serde(default)]
    pub state: Option<String>,
}

/// How the token endpoint words its refusals; Alpaca documents none (facts 1.1), so a client must survive each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenErrorStyle {
    /// `{"error", "error_description"}` as in RFC 6749.
    #[default]
    Rfc,
    /// Plain text.
    Text,
    /// `{"code", "message"}` as elsewhere at Alpaca.
    Alpaca,
}

/// All apps, rules, codes and grants.
#[derive(Debug, Default)]
pub(crate) struct OAuth {
    apps: BTreeMap<String, OAuthApp>,
    codes: HashMap<String, Code>,
    grants: Vec<Grant>,
    by_token: HashMap<String, usize>,
    codes_of_person: BTreeMap<String, u64>,
    rule: ConsentRule,
    rules_by_state: BTreeMap<String, ConsentRule>,
    pub(crate) token_errors: TokenErrorStyle,
}

impl OAuth {
    /// Registers an app, replacing one with the same client id.
    pub(crate) fn add_app(&mut self, app: OAuthApp) {
        let (id, approved, developers) =
            (app.client_id.clone(), app.live_trading_approved, app.developer_account_ids.clone());
        self.apps.insert(id.clone(), app);
        // An approval that arrives or goes later changes what existing tokens may do.
        for grant in self.grants.iter_mut().filter(|grant| grant.client_id == id) {
            grant.live_orders = may_trade_live(approved, &developers, grant.live.as_deref());
        }
    }

    /// An app by client id.
    pub(crate) fn app(&self, client_id: &str) -> Option<&OAuthApp> {
        self.apps.get(client_id)
    }

    /// All apps, by client id.
    pub(crate) fn apps(&self) -> impl Iterator<Item = &OAuthApp> {
        self.apps.values()
    }

    /// Sets the rule for all consent requests, or for the one with its `state`.
    pub(crate) fn set_rule(&mut self, rule: ConsentRule) {
        match rule.state.clone() {
            Some(state) => {
                self.rules_by_state.insert(state, rule);
            }
            None => self.rule = rule,
        }
    }

    /// The rule for a request; one that was bound to its `state` is used up.
    pub(crate) fn rule_for(&mut self, state: Option<&str>) -> ConsentRule {
        state.and_then(|state| self.rules_by_state.remove(state)).unwrap_or_else(|| self.rule.clone())
    }

    /// Whether this person has a working grant for this app.
    pub(crate) fn has_grant(&self, person: &str, client_id: &str) -> bool {
        self.grants
            .iter()
            .any(|grant| grant.person == person && grant.client_id == client_id && grant.revoked_at.is_none())
    }

    /// Makes the code that stands for a consent.
    pub(crate) fn issue_code(&mut self, seed: u64, consent: Consent, now: Timestamp) -> String {
        let ordinal = self.codes_of_person.entry(consent.person.clone()).or_default();
        *ordinal += 1;
        let name = format!("{}\0{}\0{ordinal}", consent.client_id, consent.person);
        let code = seeded::uuid(seed, "oauth code", &name);
        let expires_at = now.checked_add(CODE_LIFETIME).unwrap_or(Timestamp::MAX);
        self.codes.insert(code.clone(), Code { consent, expires_at, used: false });
        code
    }

    /// Exchanges a code for a token.
    pub(crate) fn exchange(&mut self, seed: u64, asked: &Exchange<'_>, now: Timestamp) -> Result<&Grant, Denied> {
        let Exchange { code, client_id, client_secret, redirect_uri } = *asked;
        let Some(app) = self.apps.get(client_id).filter(|app| app.client_secret == client_secret) else {
            return Err(Denied::InvalidClient);
        };
        let found = self.codes.get_mut(code).ok_or(Denied::InvalidGrant("the code is not known"))?;
        if found.consent.client_id != client_id {
            return Err(Denied::InvalidGrant("the code was made for another client"));
        }
        if found.used {
            return Err(Denied::InvalidGrant("the code has been used"));
        }
        if found.expires_at <= now {
            return Err(Denied::InvalidGrant("the code has expired"));
        }
        if found.consent.redirect_uri != redirect_uri {
            return Err(Denied::InvalidGrant("redirect_uri is not the one of the authorization"));
        }
        found.used = true;
        let consent = found.consent.clone();
        let live_orders =
            may_trade_live(app.live_trading_approved, &app.developer_account_ids, consent.live.as_deref());
        let grant = Grant {
            id: seeded::uuid(seed, "oauth grant", code),
            token: seeded::uuid(seed, "oauth token", code),
            client_id: consent.client_id,
            person: consent.person,
            live: consent.live,
            paper: consent.paper,
            scopes: consent.scopes,
            created_at: now,
            revoked_at: None,
            live_orders,
        };
        let index = self.grants.len();
        self.by_token.insert(grant.token.clone(), index);
        self.grants.push(grant);
        Ok(&self.grants[index])
    }

    /// The living grant behind a token.
    pub(crate) fn grant(&self, token: &str) -> Option<&Grant> {
        let index = *self.by_token.get(token)?;
        self.grants.get(index).filter(|grant| grant.revoked_at.is_none())
    }

    /// All grants, oldest first.
    pub(crate) fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.grants.iter()
    }

    /// Takes back the grants that match; the app learns it from its next 401 only (facts 1.2).
    pub(crate) fn revoke(&mut self, matches: impl Fn(&Grant) -> bool, now: Timestamp) -> Vec<GrantRecord> {
        let mut revoked = Vec::new();
        for grant in self.grants.iter_mut().filter(|grant| grant.revoked_at.is_none()) {
            if matches(grant) {
                grant.revoked_at = Some(now);
                revoked.push(GrantRecord::from(&*grant));
            }
        }
        revoked
    }
}

/// Facts 1.3: anybody's live account for an approved app, the developer's own for any app.
fn may_trade_live(approved: bool, developers: &[String], account: Option<&str>) -> bool {
    approved || account.is_some_and(|account| developers.iter().any(|own| own == account))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn app() -> OAuthApp {
        OAuthApp {
            client_id: "c".into(),
            client_secret: "s".into(),
            redirect_uris: vec!["http://x/cb".into()],
            live_trading_approved: false,
            developer_account_ids: vec![],
            name: "App".into(),
        }
    }

    fn consent() -> Consent {
        Consent {
            client_id: "c".into(),
            redirect_uri: "http://x/cb".into(),
            person: "p".into(),
            live: None,
            paper: Some("acc".into()),
            scopes: Scopes::parse("trading").unwrap(),
        }
    }

    #[test]
    fn a_code_works_once_within_ten_minutes_for_its_own_address() {
        let now: Timestamp = "2024-03-01T15:00:00Z".parse().unwrap();
        let late = now.checked_add(CODE_LIFETIME).unwrap();
        let mut oauth = OAuth::default();
        oauth.add_app(app());
        let code = oauth.issue_code(1, consent(), now);
        let asked = |client_secret, redirect_uri| Exchange { code: &code, client_id: "c", client_secret, redirect_uri };
        let right = asked("s", "http://x/cb");
        assert_eq!(oauth.exchange(1, &asked("x", "http://x/cb"), now).err(), Some(Denied::InvalidClient));
        assert!(oauth.exchange(1, &asked("s", "http://x/cb/"), now).is_err());
        assert!(oauth.exchange(1, &right, late).is_err());
        let token = oauth.exchange(1, &right, now).unwrap().token.clone();
        assert_eq!(oauth.exchange(1, &right, now).err(), Some(Denied::InvalidGrant("the code has been used")));
        assert!(oauth.grant(&token).is_some());
        assert_eq!(oauth.revoke(|grant| grant.person == "p", now).len(), 1);
        assert!(oauth.grant(&token).is_none());
    }

    #[test]
    fn scopes_are_read_and_written_in_one_order() {
        assert_eq!(Scopes::parse("data trading").unwrap().text(), "trading data");
        assert_eq!(Scopes::parse("trading everything").unwrap_err(), "everything");
    }
}
