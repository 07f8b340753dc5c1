//! Both listeners: what browsers can reach, and what operators can.

use std::fs;

use crate::support::{Scratch, TOKEN, get, http};

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[test]
fn health_readiness_and_metrics_are_open_and_hold_no_user() {
    let scratch = Scratch::new();
    let daemon = scratch.daemon();
    assert_eq!(get(&daemon.operator, "/healthz").status, 200);
    let ready = get(&daemon.operator, "/readyz");
    assert_eq!(ready.status, 200, "{ready:?}");
    assert_eq!(ready.json()["ready"], true);
    let metrics = get(&daemon.operator, "/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    assert!(metrics.body.contains("# HELP rebalanced_"), "{}", metrics.body);
}

#[test]
fn the_api_needs_the_operators_token() {
    let scratch = Scratch::new();
    let daemon = scratch.daemon();
    for path in [
        "/api/v1/users",
        "/api/v1/subscriptions",
        "/api/v1/runs",
        "/api/v1/runs/run_0",
        "/api/v1/halts",
        "/api/v1/nothing",
    ] {
        assert_eq!(get(&daemon.operator, path).status, 401, "{path}");
        let wrong = bearer(&TOKEN.replace('t', "u"));
        assert_eq!(http("GET", &daemon.operator, path, &[("Authorization", &wrong)], "").status, 401, "{path}");
    }
    let token = bearer(TOKEN);
    let ask = |path: &str| http("GET", &daemon.operator, path, &[("Authorization", &token)], "");
    for (path, field) in [
        ("/api/v1/users", "users"),
        ("/api/v1/subscriptions", "subscriptions"),
        ("/api/v1/runs?limit=5&state=closed", "runs"),
        ("/api/v1/halts", "halts"),
    ] {
        let answer = ask(path);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()[field], serde_json::json!([]));
    }
    assert_eq!(ask("/api/v1/runs/run_0").status, 404);
    assert_eq!(ask("/api/v1/runs?state=sleeping").status, 400);
}

#[test]
fn without_a_configured_token_nobody_is_let_in() {
    let scratch = Scratch::new();
    let config = fs::read_to_string(scratch.config()).unwrap();
    fs::write(scratch.config(), config.replace("operator_token_file = \"operator-token\"\n", "")).unwrap();
    let daemon = scratch.daemon();
    let answer = http("GET", &daemon.operator, "/api/v1/users", &[("Authorization", "Bearer ")], "");
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(answer.body.contains("web.operator_token_file"), "{answer:?}");
    assert_eq!(get(&daemon.operator, "/healthz").status, 200);
}

#[test]
fn the_kill_switch_works_over_http_and_beside_the_daemon() {
    let scratch = Scratch::new();
    let daemon = scratch.daemon();
    let token = bearer(TOKEN);
    let headers = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
    let post = |path: &str, body: &str| http("POST", &daemon.operator, path, &headers, body);
    let halted = post("/api/v1/halts", r#"{"by":"ana","reason":"a drill"}"#);
    assert_eq!(halted.status, 200, "{halted:?}");
    assert_eq!(halted.json()["scope"], "service");
    assert_eq!(scratch.run(&["halts", "--json"]).ok().json()["halts"][0]["reason"], "a drill");
    assert_eq!(post("/api/v1/halts", r#"{"by":"ana"}"#).status, 400);
    assert_eq!(post("/api/v1/halts", r#"{"by":"ana","reason":"x","account":"a","symbol":"B"}"#).status, 400);
    assert_eq!(post("/api/v1/halts/resume", r#"{"by":"ben"}"#).json()["released"], 1);
    assert_eq!(scratch.run(&["audit", "verify", "--json"]).ok().json()["holds"], true);
}

#[test]
fn a_connection_starts_with_a_redirect_and_a_cookie_that_scripts_cannot_read() {
    let scratch = Scratch::new();
    let daemon = scratch.daemon();
    let answer = get(&daemon.public, "/connect?strategy=sixty-forty&env=paper&ref=user-7");
    assert_eq!(answer.status, 303, "{answer:?}");
    let location = url::Url::parse(answer.header("location").unwrap()).unwrap();
    assert_eq!(location.path(), "/app/oauth/authorize");
    let pair = |name: &str| location.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    assert_eq!(pair("response_type").as_deref(), Some("code"));
    assert_eq!(pair("client_id").as_deref(), Some("client"));
    assert_eq!(pair("env").as_deref(), Some("paper"));
    assert!(pair("state").unwrap().len() >= 64, "256 random bits");
    let cookie = answer.header("set-cookie").unwrap();
    for part in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
}

#[test]
fn an_unknown_strategy_and_a_wrong_environment_are_told_on_a_page() {
    let scratch = Scratch::new();
    let daemon = scratch.daemon();
    let unknown = get(&daemon.public, "/connect?strategy=%3Cb%3E");
    assert_eq!(unknown.status, 404, "{unknown:?}");
    assert!(unknown.body.contains("&lt;b&gt;") && !unknown.body.contains("<b>"), "{}", unknown.body);
    assert_eq!(get(&daemon.public, "/connect?env=demo").status, 400);
}

#[test]
fn a_callback_that_was_not_started_here_is_refused_and_its_code_never_shown() {
    let scratch = Scratch::new();
    let daemon = scratch.daemon();
    let started = get(&daemon.public, "/connect?strategy=sixty-forty&env=paper");
    let location = url::Url::parse(started.header("location").unwrap()).unwrap();
    let state = location.query_pairs().find(|(key, _)| key == "state").unwrap().1.into_owned();
    let path = format!("/oauth/callback?code=canary-code&state={state}");
    // Another browser: it has no cookie, or one of its own.
    let no_cookie = get(&daemon.public, &path);
    assert_eq!(no_cookie.status, 400, "{no_cookie:?}");
    let other = http("GET", &daemon.public, &path, &[("Cookie", "rebalanced=0000")], "");
    assert_eq!(other.status, 400, "{other:?}");
    assert!(!other.body.contains("canary"), "{other:?}");
    let denied = get(&daemon.public, "/oauth/callback?error=access_denied");
    assert_eq!(denied.status, 400);
    let (_, log) = daemon.stop();
    assert!(!log.join("\n").contains("canary-code"), "a code is in the log");
    assert!(!log.join("\n").contains(&state), "a state is in the log");
}

#[test]
fn browsers_reach_nothing_of_the_operators() {
    let scratch = Scratch::new();
    let daemon = scratch.daemon();
    for path in ["/metrics", "/healthz", "/readyz", "/api/v1/users", "/"] {
        let token = bearer(TOKEN);
        assert_eq!(http("GET", &daemon.public, path, &[("Authorization", &token)], "").status, 404, "{path}");
    }
}

/// The value of a hidden field of the consent page.
fn field(page: &str, name: &str) -> String {
    let from = page.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap();
    from.split('"').next().unwrap().to_owned()
}

fn cookie_of(answer: &crate::support::Answer) -> String {
    answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

#[test]
fn a_browser_reads_what_the_strategy_may_do_and_agrees_before_it_goes_to_the_broker() {
    let scratch = Scratch::new();
    let daemon = scratch.daemon();
    let html = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let link = "/connect?strategy=sixty-forty&env=live&ref=%22%3E%3Cb%3E&account=a0000000-0000-4000-8000-000000000001";
    let page = http("GET", &daemon.public, link, &[html], "");
    assert_eq!(page.status, 200, "{page:?}");
    for words in
        ["you can lose all of it", "Alpaca has not reviewed", "SPY", "I agree to live trading", "Go on to Alpaca"]
    {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    assert!(!page.body.contains(" checked>") && !page.body.contains("checked="), "no tick is set for the user");
    assert!(!page.body.contains("\"><b>") && !page.body.contains("<script"), "{}", page.body);
    assert!(page.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
    let paper = http("GET", &daemon.public, "/connect?strategy=sixty-forty&env=paper", &[html], "");
    assert!(!paper.body.contains("live trading:"), "nothing live is asked for a paper account");
    let printed = scratch.run(&["approvals", "consent-text", "--strategy", "sixty-forty", "--json"]).ok().json();
    assert_eq!(printed["text_hash"], field(&page.body, "text"), "the operator can print the very text");
    let send = |cookie: &str, fields: &[(&str, &str)]| {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Cookie", cookie)];
        http("POST", &daemon.public, "/connect", &headers, &form.finish())
    };
    let (token, text) = (field(&page.body, "token"), field(&page.body, "text"));
    let fields = [
        ("strategy", "sixty-forty"),
        ("env", "live"),
        ("ref", ""),
        ("account", ""),
        ("text", text.as_str()),
        ("token", token.as_str()),
        ("read", "yes"),
        ("live", "yes"),
    ];
    let cookie = cookie_of(&page);
    // Another site's form: no cookie, another browser's cookie, or a token that was not made for it.
    for (cookie, token) in [("", token.as_str()), ("rebalanced=00", token.as_str()), (cookie.as_str(), "00")] {
        let mut forged = fields;
        forged[5].1 = token;
        assert_eq!(send(cookie, &forged).status, 400);
    }
    let mut unread = fields;
    unread[6].0 = "other";
    assert_eq!(send(&cookie, &unread).status, 400, "the first tick is needed");
    let mut changed = fields;
    let zeros = "0".repeat(64);
    changed[4].1 = &zeros;
    let answer = send(&cookie, &changed);
    assert!(answer.status == 400 && answer.body.contains("read it once more"), "{answer:?}");
    let gone = send(&cookie, &fields);
    assert_eq!(gone.status, 303, "{gone:?}");
    assert!(gone.header("location").unwrap().contains("env=live"));
    assert_ne!(cookie_of(&gone), cookie, "the broker's way back has a cookie of its own");
}

#[test]
fn d3_who_starts_too_many_connections_waits_and_the_operators_notice_nothing() {
    let scratch = Scratch::new();
    let config = fs::read_to_string(scratch.config()).unwrap();
    fs::write(scratch.config(), config.replace("[web]\n", "[web]\nconnects_per_minute = 5\n")).unwrap();
    let daemon = scratch.daemon();
    let answers: Vec<u16> = (0..7).map(|_| get(&daemon.public, "/connect?env=paper").status).collect();
    assert_eq!(answers, [303, 303, 303, 303, 303, 429, 429]);
    let refused = get(&daemon.public, "/connect?env=paper");
    assert_eq!(refused.header("retry-after"), Some("60"));
    assert_eq!(get(&daemon.operator, "/healthz").status, 200);
}
