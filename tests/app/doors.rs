//! D.5 33: every route of the operators' API, and everybody who must not come in.

use std::collections::BTreeSet;

use crate::support::{Answer, Daemon, Scratch, TOKEN, http};

/// Each route with its method, the scope that opens it, and a scope that does not.
const ROUTES: [(&str, &str, &str, &str); 14] = [
    ("get", "/users", "read", "operate"),
    ("get", "/subscriptions", "read", "approve"),
    ("get", "/runs", "read", "operate"),
    ("get", "/runs/{id}", "read", "approve"),
    ("get", "/halts", "read", "operate"),
    ("get", "/approvals", "read", "approve"),
    ("post", "/halts", "operate", "read,approve"),
    ("post", "/halts/resume", "operate", "read,approve"),
    ("post", "/strategies/reload", "operate", "read,approve"),
    ("get", "/overrides", "read", "operate"),
    ("post", "/overrides", "operate", "read,approve"),
    ("post", "/overrides/clear", "operate", "read,approve"),
    ("post", "/approvals", "approve", "read,operate"),
    ("post", "/approvals/{id}/revoke", "approve", "read,operate"),
];

/// The routes that the program has, by its own text.
const TEXT: &str = include_str!("../../src/app/http/operator.rs");

fn ask(daemon: &Daemon, (method, path): (&str, &str), token: Option<&str>) -> Answer {
    let path = format!("/api/v1{}", path.replace("{id}", "run_0"));
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
    http(&method.to_uppercase(), &daemon.operator, &path, &headers, if method == "post" { "{}" } else { "" })
}

#[test]
fn d5_33_the_table_of_routes_is_the_programs_own() {
    let written: BTreeSet<(String, String)> = TEXT
        .split(".route(\"")
        .skip(1)
        .map(|rest| {
            let (path, rest) = rest.split_once("\", ").unwrap();
            (rest.split('(').next().unwrap().to_owned(), path.to_owned())
        })
        .filter(|(_, path)| !["/metrics", "/healthz", "/readyz"].contains(&path.as_str()))
        .collect();
    let listed: BTreeSet<(String, String)> =
        ROUTES.iter().map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(listed, written, "a route that is added belongs in the table above, and one that goes leaves it");
}

#[test]
fn d5_33_every_route_is_shut_to_everybody_without_the_scope_for_it() {
    let scratch = Scratch::new();
    let made = |name: &str, scopes: &str| {
        let add = ["operators", "add", name, "--scopes", scopes, "--by", "founder", "--json"];
        scratch.run(&add).ok().json()["token"].as_str().unwrap().to_owned()
    };
    let mut refused = 0;
    let wrong = TOKEN.replace('t', "u");
    // A daemon for each kind: who shows wrong tokens all the time is told to wait, and that is another test.
    for kind in ["no token", "wrong token", "removed operator", "operator without the scope", "operator with the scope"]
    {
        let daemon = scratch.daemon();
        for (number, (method, path, scope, others)) in ROUTES.iter().enumerate() {
            let name = format!("{}-{number}", kind.replace(' ', "-"));
            let token = match kind {
                "no token" => None,
                "wrong token" => Some(wrong.clone()),
                "removed operator" => {
                    let token = made(&name, "read,operate,approve");
                    scratch.run(&["operators", "remove", &name, "--by", "founder"]).ok();
                    Some(token)
                }
                "operator without the scope" => Some(made(&name, others)),
                _ => Some(made(&name, scope)),
            };
            let answer = ask(&daemon, (method, path), token.as_deref());
            let expected = match kind {
                "operator with the scope" => {
                    assert!(![401, 403, 405].contains(&answer.status), "{method} {path}: {answer:?}");
                    continue;
                }
                "operator without the scope" => 403,
                _ => 401,
            };
            assert_eq!(answer.status, expected, "{kind}: {method} {path}: {answer:?}");
            refused += 1;
        }
    }
    println!("{} routes, 4 kinds of strangers: {refused} refused", ROUTES.len());
    assert_eq!(refused, 4 * ROUTES.len());
}
