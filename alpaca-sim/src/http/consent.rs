//! `app.alpaca.markets/oauth/authorize` and the token endpoint (facts 1.1).
//!
//! Always: nobody is redirected to an address that the app did not register, character for character; `state` comes
//! back unchanged; the token endpoint takes a form body with the client's credentials in it, on the live host only.
//! What Alpaca answers on refusals is not documented: RFC 6749 is assumed, other styles can be switched on.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use serde_json::json;

use crate::http::oauth::{Consent, ConsentMode, ConsentRule, Denied, Exchange, Scopes, TokenErrorStyle};
use crate::http::people::Person;
use crate::http::reply::{Kind, Reply};
use crate::http::request::{Inbound, Params};
use crate::http::world::World;
use crate::sim::Environment;

/// The request of an app, checked as far as it can be without its user.
struct Asked<'a> {
    client_id: &'a str,
    redirect_uri: &'a str,
    state: Option<&'a str>,
    scope: &'a str,
    live: bool,
    paper: bool,
}

impl<'a> Asked<'a> {
    /// Either the request, or the answer to a bad one.
    fn read(params: &'a Params<'_>, world: &World) -> Result<Self, Reply> {
        let client_id = params.get("client_id").unwrap_or_default();
        let redirect_uri = params.get("redirect_uri").unwrap_or_default();
        let Some(app) = world.oauth.app(client_id) else {
            return Err(page(StatusCode::BAD_REQUEST, "Unknown application", "<p>invalid client_id</p>"));
        };
        if !app.redirect_uris.iter().any(|allowed| allowed == redirect_uri) {
            return Err(page(StatusCode::BAD_REQUEST, "Wrong address", "<p>redirect_uri is not registered</p>"));
        }
        let state = params.get("state");
        let back = |error: &str, why: &str| {
            Err(Reply::redirect(&with_params(
                redirect_uri,
                &[("error", Some(error)), ("error_description", Some(why)), ("state", state)],
            )))
        };
        if params.get("response_type") != Some("code") {
            return back("unsupported_response_type", "response_type must be code");
        }
        let scope = params.get("scope").unwrap_or_default();
        if let Err(unknown) = Scopes::parse(scope) {
            return back("invalid_scope", &format!("unknown scope {unknown}"));
        }
        let (live, paper) = match params.get("env") {
            None => (true, true),
            Some("live") => (true, false),
            Some("paper") => (false, true),
            Some(_) => return back("invalid_request", "env must be live or paper"),
        };
        Ok(Self { client_id, redirect_uri, state, scope, live, paper })
    }

    fn back(&self, params: &[(&str, Option<&str>)]) -> Reply {
        let mut all = params.to_vec();
        all.push(("state", self.state));
        Reply::redirect(&with_params(self.redirect_uri, &all))
    }

    fn deny(&self) -> Reply {
        self.back(&[("error", Some("access_denied")), ("error_description", Some("the user denied the request"))])
    }
}

/// `GET /app/oauth/authorize`: the page, or at once what the consent rule says.
pub(crate) fn authorize(world: &mut World, inbound: &Inbound) -> Reply {
    let params = inbound.query();
    let asked = match Asked::read(&params, world) {
        Ok(asked) => asked,
        Err(reply) => return reply,
    };
    let rule = world.oauth.rule_for(asked.state);
    match rule.mode {
        ConsentMode::Ask => consent_page(world, &asked, &params),
        ConsentMode::Deny => asked.deny(),
        ConsentMode::Auto => {
            let person = rule.person.clone().or_else(|| next_person(world, asked.client_id));
            agree(world, &asked, person.as_deref(), &rule)
        }
    }
}

/// `POST /app/oauth/authorize`: the form of the page came back.
pub(crate) fn decide(world: &mut World, inbound: &Inbound) -> Reply {
    let params = inbound.form();
    let asked = match Asked::read(&params, world) {
        Ok(asked) => asked,
        Err(reply) => return reply,
    };
    if params.get("decision") != Some("allow") {
        return asked.deny();
    }
    let rule = ConsentRule {
        live: params.get("live_account").map(str::to_owned),
        paper: params.get("paper_account").map(str::to_owned),
        ..ConsentRule::default()
    };
    agree(world, &asked, params.get("person"), &rule)
}

/// The first person without a grant for the app, or the first person at all.
fn next_person(world: &World, client_id: &str) -> Option<String> {
    let fresh = world.people.persons().find(|person| !world.oauth.has_grant(&person.id, client_id));
    fresh.or_else(|| world.people.persons().next()).map(|person| person.id.clone())
}

fn agree(world: &mut World, asked: &Asked<'_>, person: Option<&str>, rule: &ConsentRule) -> Reply {
    let Some(person) = person.and_then(|id| world.people.person(id)) else {
        return page(StatusCode::BAD_REQUEST, "Nobody is logged in", "<p>there is no such person</p>");
    };
    let live = if asked.live { chosen(person, Environment::Live, rule.live.as_deref()) } else { Ok(None) };
    let paper = if asked.paper { chosen(person, Environment::Paper, rule.paper.as_deref()) } else { Ok(None) };
    let (Ok(live), Ok(paper)) = (live, paper) else {
        return page(StatusCode::BAD_REQUEST, "Not your account", "<p>the account belongs to somebody else</p>");
    };
    if live.is_none() && paper.is_none() {
        return page(StatusCode::BAD_REQUEST, "No account", "<p>you have no account of this kind</p>");
    }
    let scopes = rule.scope.as_deref().unwrap_or(asked.scope);
    let consent = Consent {
        client_id: asked.client_id.to_owned(),
        redirect_uri: asked.redirect_uri.to_owned(),
        person: person.id.clone(),
        live,
        paper,
        scopes: Scopes::parse(scopes).unwrap_or_default(),
    };
    let (seed, now) = (world.seed, world.now);
    let code = world.oauth.issue_code(seed, consent, now);
    asked.back(&[("code", Some(&code))])
}

/// The ticked account, if it is the person's; their usual one if none was ticked.
fn chosen(person: &Person, environment: Environment, ticked: Option<&str>) -> Result<Option<Arc<str>>, ()> {
    match ticked {
        None => Ok(person.default_account(environment)),
        Some(account) if person.owns(environment, account) => Ok(Some(Arc::from(account))),
        Some(_) => Err(()),
    }
}

/// `POST /live/oauth/token`.
pub(crate) fn token(world: &mut World, inbound: &Inbound) -> Reply {
    let style = world.oauth.token_errors;
    let is_form = inbound
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
    if !is_form {
        return token_refusal(style, "invalid_request", "the body must be application/x-www-form-urlencoded");
    }
    let form = inbound.form();
    let names = ["grant_type", "code", "client_id", "client_secret", "redirect_uri"];
    if let Some(missing) = names.iter().find(|name| form.get(name).is_none()) {
        return token_refusal(style, "invalid_request", &format!("{missing} is required"));
    }
    let field = |name| form.get(name).unwrap_or_default();
    if field("grant_type") != "authorization_code" {
        return token_refusal(style, "unsupported_grant_type", "grant_type must be authorization_code");
    }
    let (seed, now) = (world.seed, world.now);
    let asked = Exchange {
        code: field("code"),
        client_id: field("client_id"),
        client_secret: field("client_secret"),
        redirect_uri: field("redirect_uri"),
    };
    match world.oauth.exchange(seed, &asked, now) {
        Ok(grant) => Reply::json(&json!({
            "access_token": grant.token,
            "token_type": "bearer",
            "scope": grant.scopes.text(),
        })),
        Err(Denied::InvalidClient) => token_refusal(style, "invalid_client", "client_id or client_secret is wrong"),
        Err(Denied::InvalidGrant(why)) => token_refusal(style, "invalid_grant", why),
    }
}

fn token_refusal(style: TokenErrorStyle, error: &str, why: &str) -> Reply {
    let status = StatusCode::BAD_REQUEST;
    match style {
        TokenErrorStyle::Rfc => Reply::json_with(status, &json!({"error": error, "error_description": why})),
        TokenErrorStyle::Text => Reply::new(status, Kind::Text, format!("{error}: {why}")),
        TokenErrorStyle::Alpaca => Reply::json_with(status, &json!({"code": 40_010_000, "message": why})),
    }
}

fn consent_page(world: &World, asked: &Asked<'_>, params: &Params<'_>) -> Reply {
    let name = world.oauth.app(asked.client_id).map_or("", |app| app.name.as_str());
    let mut body = format!(
        "<p><b>{}</b> asks for access to your account.</p><p>Scopes: <code>{}</code></p>\
         <form method=\"post\" action=\"authorize\">",
        escape(name),
        escape(if asked.scope.is_empty() { "read only" } else { asked.scope })
    );
    for (key, value) in params.pairs() {
        hidden(&mut body, key, value);
    }
    body.push_str("<p><label>You are <select name=\"person\">");
    for person in world.people.persons() {
        option(&mut body, &person.id, &person.name);
    }
    body.push_str("</select></label></p>");
    if asked.live {
        account_choice(world, &mut body, Environment::Live);
    }
    if asked.paper {
        account_choice(world, &mut body, Environment::Paper);
    }
    body.push_str(
        "<p><button name=\"decision\" value=\"allow\">Allow</button> \
         <button name=\"decision\" value=\"deny\">Deny</button></p></form>",
    );
    page(StatusCode::OK, "Authorize application", &body)
}

fn account_choice(world: &World, body: &mut String, environment: Environment) {
    let (field, title) = match environment {
        Environment::Live => ("live_account", "Live account"),
        Environment::Paper => ("paper_account", "Paper account"),
    };
    let _infallible =
        write!(body, "<p><label>{title} <select name=\"{field}\"><option value=\"\">the usual one</option>");
    for person in world.people.persons() {
        let accounts = person.live.iter().filter(|_| environment == Environment::Live);
        let papers = person.paper.iter().filter(|_| environment == Environment::Paper);
        for account in accounts.chain(papers) {
            option(body, account, &format!("{} {account}", person.name));
        }
    }
    body.push_str("</select></label></p>");
}

fn hidden(body: &mut String, name: &str, value: &str) {
    let _infallible = write!(body, "<input type=\"hidden\" name=\"{}\" value=\"{}\">", escape(name), escape(value));
}

fn option(body: &mut String, value: &str, text: &str) {
    let _infallible = write!(body, "<option value=\"{}\">{}</option>", escape(value), escape(text));
}

fn page(status: StatusCode, title: &str, body: &str) -> Reply {
    Reply::html(
        status,
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\
             <body><h1>{title}</h1>{body}<p><small>Simulated. Not Alpaca.</small></p></body></html>"
        ),
    )
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// Appends parameters to an address that may have some already.
fn with_params(address: &str, params: &[(&str, Option<&str>)]) -> String {
    let given: Vec<(&str, &str)> =
        params.iter().filter_map(|(name, value)| value.map(|value| (*name, value))).collect();
    let query = serde_urlencoded::to_string(given).unwrap_or_default();
    let separator = if address.contains('?') { '&' } else { '?' };
    format!("{address}{separator}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_join_an_address_with_or_without_a_query() {
        assert_eq!(with_params("http://x/cb", &[("a", Some("1 2")), ("b", None)]), "http://x/cb?a=1+2");
        assert_eq!(with_params("http://x/cb?z=1", &[("a", Some("&"))]), "http://x/cb?z=1&a=%26");
    }

    #[test]
    fn names_cannot_break_out_of_the_page() {
        assert_eq!(escape("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
    }
}
