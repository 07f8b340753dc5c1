//! The code flow, its refusals, and the consent page.

use alpaca_sim::{ConsentMode, ConsentRule};
use serde_json::json;

use crate::support::{As, CALLBACK, World};

const BASE: [(&str, &str); 3] = [("response_type", "code"), ("client_id", "client"), ("redirect_uri", CALLBACK)];

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    BASE.iter().chain(more).copied().collect()
}

fn auto(world: &World) {
    let person = Some(world.person.clone());
    world.sim.set_consent(ConsentRule { mode: ConsentMode::Auto, person, ..ConsentRule::default() });
}

#[tokio::test]
async fn state_comes_back_unchanged_and_the_reply_has_three_members_only() {
    let world = World::new();
    auto(&world);
    let state = "a b&c=%25/ü?#'\"<>";
    let answer = world.authorize(&with(&[("state", state), ("scope", "trading data")])).await.expect(302);
    assert!(answer.header("location").starts_with(&format!("{CALLBACK}?code=")));
    assert_eq!(answer.redirect_param("state").unwrap(), state);
    let code = answer.redirect_param("code").unwrap();
    assert_eq!(code.len(), 36);
    let token = world.exchange(&code, "secret", CALLBACK).await.expect(200).json();
    let members: Vec<&str> = token.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["access_token", "token_type", "scope"]);
    assert_eq!((&token["token_type"], &token["scope"]), (&json!("bearer"), &json!("trading data")));
}

#[tokio::test]
async fn a_code_works_once_and_for_ten_minutes() {
    let world = World::new();
    auto(&world);
    let code = || async { world.authorize(&with(&[])).await.redirect_param("code").unwrap() };
    let once = code().await;
    world.exchange(&once, "secret", CALLBACK).await.expect(200);
    let again = world.exchange(&once, "secret", CALLBACK).await.expect(400);
    assert_eq!(again.text(), r#"{"error":"invalid_grant","error_description":"the code has been used"}"#);
    let nearly = code().await;
    world.step(599);
    world.exchange(&nearly, "secret", CALLBACK).await.expect(200);
    let late = code().await;
    world.step(600);
    assert_eq!(world.exchange(&late, "secret", CALLBACK).await.expect(400).json()["error"], "invalid_grant");
}

#[tokio::test]
async fn nobody_is_redirected_to_an_address_that_was_not_registered() {
    let world = World::new();
    auto(&world);
    for (client, address) in [
        ("client", "http://127.0.0.1:8080/oauth/callback/"),
        ("client", "http://127.0.0.1:8080/oauth/Callback"),
        ("client", "http://evil/"),
        ("nobody", CALLBACK),
    ] {
        let params = [("response_type", "code"), ("client_id", client), ("redirect_uri", address)];
        let answer = world.authorize(&params).await.expect(400);
        assert_eq!(answer.header("location"), "", "{client} {address}");
    }
    let code = world.authorize(&with(&[])).await.redirect_param("code").unwrap();
    let wrong = world.exchange(&code, "secret", "http://127.0.0.1:8080/oauth/callback/").await.expect(400);
    assert_eq!(wrong.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn refusals_go_back_to_the_app_with_its_state() {
    let world = World::new();
    for (more, error) in [
        (("scope", "trading everything"), "invalid_scope"),
        (("env", "sandbox"), "invalid_request"),
        (("scope", "trading"), "access_denied"),
    ] {
        world.sim.set_consent(ConsentRule { mode: ConsentMode::Deny, ..ConsentRule::default() });
        let answer = world.authorize(&with(&[more, ("state", "s")])).await.expect(302);
        assert_eq!(answer.redirect_param("error").unwrap(), error);
        assert_eq!(answer.redirect_param("state").unwrap(), "s");
        assert!(answer.redirect_param("code").is_none());
    }
}

#[tokio::test]
async fn the_token_endpoint_wants_a_form_with_everything_in_it_on_the_live_host() {
    let world = World::new();
    auto(&world);
    let code = world.authorize(&with(&[])).await.redirect_param("code").unwrap();
    assert_eq!(world.exchange(&code, "wrong", CALLBACK).await.expect(400).json()["error"], "invalid_client");
    let missing =
        world.ask("POST", "/live/oauth/token", &As::Nobody, "grant_type=authorization_code").await.expect(400);
    assert_eq!(missing.text(), r#"{"error":"invalid_request","error_description":"code is required"}"#);
    world.ask("POST", "/paper/oauth/token", &As::Nobody, "").await.expect(401);
    let styles = [
        ("text", "invalid_client: client_id or client_secret is wrong"),
        ("alpaca", r#"{"code":40010000,"message":"client_id or client_secret is wrong"}"#),
    ];
    for (style, body) in styles {
        world.control("/sim/oauth/token_errors", &json!({"style": style})).await.expect(200);
        assert_eq!(world.exchange(&code, "wrong", CALLBACK).await.expect(400).text(), body);
    }
    world.exchange(&code, "secret", CALLBACK).await.expect(200);
}

#[tokio::test]
async fn a_person_with_a_browser_sees_a_page_and_its_form_does_the_same() {
    let world = World::new();
    let page = world.authorize(&with(&[("state", "x\"y"), ("scope", "trading"), ("env", "paper")])).await.expect(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    for part in ["<form method=\"post\"", "Test &lt;app&gt;", "value=\"x&quot;y\"", "Ada", "Paper account"] {
        assert!(page.text().contains(part), "{part} in {}", page.text());
    }
    assert!(!page.text().contains("Live account"));
    let form = |decision: &str| {
        let mut fields = with(&[("state", "x\"y"), ("scope", "trading"), ("env", "paper"), ("live_account", "")]);
        fields.extend([("person", world.person.as_str()), ("paper_account", &world.paper), ("decision", decision)]);
        serde_urlencoded::to_string(fields).unwrap()
    };
    let yes = world.ask("POST", "/app/oauth/authorize", &As::Nobody, &form("allow")).await.expect(302);
    assert_eq!(yes.redirect_param("state").unwrap(), "x\"y");
    world.exchange(&yes.redirect_param("code").unwrap(), "secret", CALLBACK).await.expect(200);
    let no = world.ask("POST", "/app/oauth/authorize", &As::Nobody, &form("deny")).await.expect(302);
    assert_eq!(no.redirect_param("error").unwrap(), "access_denied");
}

#[tokio::test]
async fn a_rule_bound_to_a_state_answers_that_request_only() {
    let world = World::new();
    let other = world.sim.create_person(Some("bob"), "Bob").unwrap();
    let account = world.control("/sim/accounts", &json!({"person": other, "cash": "5000"})).await.expect(200).json();
    for (state, person) in [("one", world.person.as_str()), ("two", "bob")] {
        let rule = json!({"mode": "auto", "person": person, "state": state, "scope": "account:write trading data"});
        world.control("/sim/oauth/consent", &rule).await.expect(200);
    }
    let second = world.authorize(&with(&[("state", "two"), ("env", "paper"), ("scope", "trading")])).await.expect(302);
    let token = world.exchange(&second.redirect_param("code").unwrap(), "secret", CALLBACK).await.expect(200).json();
    assert_eq!(token["scope"], "account:write trading data", "granted may differ from asked");
    let who = As::Token(token["access_token"].as_str().unwrap().to_owned());
    assert_eq!(world.get("/paper/v2/account", &who).await.expect(200).json()["id"], account["id"]);
    world.authorize(&with(&[("state", "two")])).await.expect(200);
}

#[tokio::test]
async fn a_person_cannot_grant_what_is_not_theirs() {
    let world = World::new();
    world.sim.create_person(Some("bob"), "Bob").unwrap();
    for rule in [
        json!({"mode": "auto", "person": "bob"}),
        json!({"mode": "auto", "person": "bob", "paper": world.paper}),
        json!({"mode": "auto", "person": "eve"}),
    ] {
        world.control("/sim/oauth/consent", &rule).await.expect(200);
        world.authorize(&with(&[])).await.expect(400);
    }
}
