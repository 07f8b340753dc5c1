//! `/sim/oauth/*`: apps, the consent rule, grants and their revocation, the wording of token errors.
//!
//! Always: revoking is what the person does on the dashboard's page of connected apps (facts 1.2); no one tells the app.

use axum::http::Method;
use serde::Deserialize;
use serde_json::json;

use crate::http::control::{Answer, bad, body, is};
use crate::http::oauth::{ConsentRule, Grant, GrantRecord, Scopes, TokenErrorStyle};
use crate::http::reply::Reply;
use crate::http::request::Inbound;
use crate::sim::{OAuthApp, Sim};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Style {
    style: TokenErrorStyle,
}

/// Which grants to revoke; what is absent matches everything, but not all may be absent.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Which {
    grant: Option<String>,
    person: Option<String>,
    client_id: Option<String>,
    token: Option<String>,
    account: Option<String>,
}

impl Which {
    fn is_empty(&self) -> bool {
        [&self.grant, &self.person, &self.client_id, &self.token, &self.account].iter().all(|part| part.is_none())
    }

    fn matches(&self, grant: &Grant) -> bool {
        let same = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        let covers = |account: &str| grant.live.as_deref() == Some(account) || grant.paper.as_deref() == Some(account);
        same(&self.grant, &grant.id)
            && same(&self.person, &grant.person)
            && same(&self.client_id, &grant.client_id)
            && same(&self.token, &grant.token)
            && self.account.as_deref().is_none_or(covers)
    }
}

pub(super) fn route(sim: &Sim, rest: &[&str], inbound: &Inbound) -> Answer {
    let post = is(inbound, &Method::POST);
    match rest {
        ["apps"] if post => {
            let app: OAuthApp = body(inbound)?;
            let reply = Reply::json(&app);
            sim.add_app(app);
            Ok(reply)
        }
        ["apps"] => Ok(Reply::json(&sim.lock().oauth.apps().collect::<Vec<_>>())),
        ["consent"] if post => {
            let rule: ConsentRule = body(inbound)?;
            if let Some(scope) = &rule.scope {
                Scopes::parse(scope).map_err(|word| bad(&format!("unknown scope {word}")))?;
            }
            let reply = Reply::json(&rule);
            sim.set_consent(rule);
            Ok(reply)
        }
        ["grants"] => Ok(Reply::json(&sim.grants())),
        ["revoke"] if post => {
            let which: Which = body(inbound)?;
            if which.is_empty() {
                return Err(bad("say which: grant, person, client_id, token or account"));
            }
            let revoked: Vec<GrantRecord> = sim.revoke(|grant| which.matches(grant));
            Ok(Reply::json(&json!({"revoked": revoked})))
        }
        ["token_errors"] if post => {
            let wanted: Style = body(inbound)?;
            sim.lock().oauth.token_errors = wanted.style;
            Ok(Reply::json(&json!({"style": wanted.style})))
        }
        _ => Err(Reply::no_such_route()),
    }
}
