//! Operators as they meet the program: made by a command, let in by their token and its scopes, named in all they do.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::{Answer, Daemon, Ran, Scratch, TOKEN, get, http};

fn made(scratch: &Scratch, name: &str, scopes: &str) -> String {
    let answer = scratch.run(&["operators", "add", name, "--scopes", scopes, "--by", "founder", "--json"]).ok().json();
    answer["token"].as_str().unwrap().to_owned()
}

fn ask(daemon: &Daemon, token: &str, (method, path): (&str, &str), body: &Value) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    http(method, &daemon.operator, path, &headers, &body)
}

const ACCOUNT: &str = "a0000000-0000-4000-8000-000000000001";

#[test]
fn d5_each_scope_opens_its_own_doors_and_no_other() {
    let scratch = Scratch::new();
    let daemon = scratch.daemon();
    let tokens = ["read", "operate", "approve"].map(|scope| (scope, made(&scratch, &format!("the-{scope}er"), scope)));
    let halt = json!({ "reason": "a drill" });
    let approval = json!({ "kind": "strategy", "strategy": "sixty-forty", "reason": "checked" });
    let mut another = approval.clone();
    another["version"] = json!("0".repeat(64));
    let doors = [
        ("read", ("GET", "/api/v1/users"), Value::Null),
        ("read", ("GET", "/api/v1/halts"), Value::Null),
        ("read", ("GET", "/api/v1/approvals"), Value::Null),
        ("operate", ("POST", "/api/v1/halts"), halt),
        ("operate", ("POST", "/api/v1/halts/resume"), json!({})),
        ("approve", ("POST", "/api/v1/approvals"), approval),
    ];
    for (scope, door, body) in &doors {
        for (has, token) in &tokens {
            let answer = ask(&daemon, token, *door, body);
            let expected = if has == scope { 200 } else { 403 };
            assert_eq!(answer.status, expected, "{has} at {door:?}: {answer:?}");
            assert!(
                has == scope || answer.body.contains(&format!("`{scope}`")),
                "the missing scope is named: {answer:?}"
            );
        }
        assert_eq!(ask(&daemon, "rbo_0000", *door, body).status, 401, "a token that nobody has");
    }
    // Whoever has read another version than the one that is loaded approves nothing.
    let answer = ask(&daemon, &tokens[2].1, ("POST", "/api/v1/approvals"), &another);
    assert_eq!(answer.status, 409, "{answer:?}");
    let approvals = ask(&daemon, &tokens[0].1, ("GET", "/api/v1/approvals"), &Value::Null).json();
    assert_eq!(approvals["approvals"].as_array().unwrap().len(), 1);
    assert_eq!(approvals["approvals"][0]["by"], "the-approveer");
    assert_eq!(approvals["approvals"][0]["proven"], true);
    let halts = scratch.run(&["halts", "--all", "--json"]).ok().json();
    assert_eq!(halts["halts"][0]["by"], "the-operateer", "under the name that the token proves");
    let metrics = get(&daemon.operator, "/metrics").body;
    assert!(metrics.contains(r#"rebalanced_operator_refusals_total{why="scope"} 12"#), "{metrics}");
    assert!(metrics.contains(r#"rebalanced_operator_refusals_total{why="token"} 6"#), "{metrics}");
    let (_, log) = daemon.stop();
    let log = log.join("\n");
    assert!(tokens.iter().all(|(_, token)| !log.contains(token)) && !log.contains("rbo_0000"), "no token is logged");
}

#[test]
fn an_operator_acts_under_their_own_name_and_is_out_at_once_when_removed() {
    let scratch = Scratch::new();
    let daemon = scratch.daemon();
    let token = made(&scratch, "ann", "read,operate");
    let forged = ask(&daemon, &token, ("POST", "/api/v1/halts"), &json!({ "by": "ben", "reason": "not me" }));
    assert_eq!(forged.status, 403, "{forged:?}");
    let own = ask(&daemon, &token, ("POST", "/api/v1/halts"), &json!({ "by": "ann", "reason": "me" }));
    assert_eq!(own.status, 200, "{own:?}");
    let spoofed = ask(&daemon, TOKEN, ("POST", "/api/v1/halts"), &json!({ "by": "service", "reason": "spoofed" }));
    assert_eq!(spoofed.status, 400, "nobody acts as the service itself: {spoofed:?}");
    let rotated = scratch.run(&["operators", "rotate", "ann", "--by", "founder", "--json"]).ok().json();
    let new = rotated["token"].as_str().unwrap();
    assert_eq!(ask(&daemon, &token, ("GET", "/api/v1/users"), &Value::Null).status, 401, "the old token");
    assert_eq!(ask(&daemon, new, ("GET", "/api/v1/users"), &Value::Null).status, 200);
    scratch.run(&["operators", "remove", "ann", "--by", "founder"]).ok();
    assert_eq!(ask(&daemon, new, ("GET", "/api/v1/users"), &Value::Null).status, 401, "out at once");
    let listed = scratch.run(&["operators", "list", "--json"]).ok();
    assert!(!listed.out.contains(new) && !listed.out.contains("hash"), "{}", listed.out);
    assert_eq!(scratch.run(&["audit", "verify", "--json"]).ok().json()["holds"], true);
}

#[test]
fn where_two_must_approve_a_bare_name_counts_for_nothing_and_a_token_file_is_private() {
    let scratch = Scratch::new();
    let config = fs::read_to_string(scratch.config()).unwrap();
    fs::write(scratch.config(), format!("{config}\n[approvals]\noperators_required = 2\n")).unwrap();
    let daemon = scratch.daemon();
    let grant = |extra: &[&str]| {
        let base = ["approvals", "grant", "strategy", "--strategy", "sixty-forty", "--reason", "checked"];
        scratch.run(&[&base[..], extra].concat())
    };
    let bare = grant(&["--by", "ann"]);
    assert!(bare.code == 2 && bare.err.contains("--operator-token-file"), "{bare:?}");
    let file = scratch.path().join("ann.token");
    let file = file.to_str().unwrap();
    let add = ["operators", "add", "ann", "--scopes", "approve", "--by", "founder", "--token-file", file];
    let added = scratch.run(&add).ok();
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o400);
    assert!(!added.out.contains("rbo_"), "what went into the file is not printed");
    grant(&["--operator-token-file", file]).ok();
    // With a shell alone nobody makes a second approver, renews the first one's token, or removes them.
    for line in ["add ben --scopes approve", "rotate ann", "remove ann"] {
        let refused = scratch.line(&format!("operators {line} --by ben"));
        assert!(refused.code == 2 && refused.err.contains("--operator-token-file"), "{line}: {refused:?}");
    }
    let bens = scratch.path().join("ben.token");
    let bens = bens.to_str().unwrap();
    scratch.line(&format!("operators add ben --scopes approve --operator-token-file {file} --token-file {bens}")).ok();
    let listed = scratch.line("operators list --json").ok().json();
    let ben = listed["operators"].as_array().unwrap().iter().find(|one| one["name"] == "ben").unwrap().clone();
    assert_eq!(ben["made_by"], "ann", "under the name that the token proves");
    // A consent that an operator records is an act of an operator, too.
    let consent = ["approvals", "grant", "consent", "--account", ACCOUNT, "--strategy", "sixty-forty", "--reason", "x"];
    let bare = scratch.run(&[&consent[..], &["--by", "ann"]].concat());
    assert!(bare.code == 2 && bare.err.contains("--operator-token-file"), "{bare:?}");
    let other = scratch.write("nobody.token", "rbo_11");
    let refused = grant(&["--operator-token-file", other.to_str().unwrap()]);
    assert!(refused.code == 2 && refused.err.contains("token of no operator"), "{refused:?}");
    // The one token of the configuration proves no name: it halts, but it approves nothing.
    let body = json!({ "kind": "strategy", "strategy": "sixty-forty", "reason": "x", "by": "ben" });
    assert_eq!(ask(&daemon, TOKEN, ("POST", "/api/v1/approvals"), &body).status, 403);
    assert_eq!(ask(&daemon, TOKEN, ("POST", "/api/v1/halts"), &json!({ "by": "ben", "reason": "x" })).status, 200);
    let listed = scratch.run(&["approvals", "list", "--json"]).ok().json();
    assert_eq!(listed["approvals"].as_array().unwrap().len(), 1);
}

#[test]
fn d5_a_shell_with_an_environment_of_its_own_makes_no_second_operator_unnecessary() {
    let scratch = Scratch::new();
    let config = fs::read_to_string(scratch.config()).unwrap();
    fs::write(scratch.config(), format!("{config}\n[approvals]\noperators_required = 2\n")).unwrap();
    drop(scratch.daemon().stop());
    let alone = |line: &str| {
        let mut command = scratch.program();
        command.args(line.split_whitespace()).arg("--config").arg(scratch.config());
        Ran::of(command.env("REBALANCED_APPROVALS__OPERATORS_REQUIRED", "1"))
    };
    let [anns, bens] = ["ann", "ben"].map(|name| scratch.path().join(name).to_str().unwrap().to_owned());
    alone(&format!("operators add ann --scopes approve --by x --token-file {anns}")).ok();
    for line in [
        "approvals grant strategy --strategy sixty-forty --reason x --by ben".to_owned(),
        format!("approvals grant consent --account {ACCOUNT} --strategy sixty-forty --reason x --by ben"),
        format!("approvals grant limits --account {ACCOUNT} --max-run-notional 90000 --reason x --by ben"),
        "operators add ben --scopes approve --by ben".to_owned(),
        "operators rotate ann --by ben".to_owned(),
        "operators remove ann --by ben".to_owned(),
        format!("operators require 1 --operator-token-file {anns}"),
        format!("operators require 1 --operator-token-file {anns} --operator-token-file {anns}"),
    ] {
        let refused = alone(&line);
        assert!(refused.code == 2 && refused.err.contains("--operator-token-file"), "{line}: {refused:?}");
    }
    // A daemon that is started with less lowers nothing, either.
    let mut less = scratch.program();
    less.args(["run", "--config"]).arg(scratch.config()).env("REBALANCED_APPROVALS__OPERATORS_REQUIRED", "1");
    let daemon = Daemon::start(less, scratch.path());
    let body = json!({ "kind": "strategy", "strategy": "sixty-forty", "reason": "x", "by": "ben" });
    assert_eq!(ask(&daemon, TOKEN, ("POST", "/api/v1/approvals"), &body).status, 403);
    drop(daemon.stop());
    assert!(scratch.line("approvals list --json").ok().json()["approvals"].as_array().unwrap().is_empty());
    // Two of them may lower it.
    alone(&format!("operators add ben --scopes approve --operator-token-file {anns} --token-file {bens}")).ok();
    alone(&format!("operators require 1 --operator-token-file {anns} --operator-token-file {bens}")).ok();
    alone("approvals grant strategy --strategy sixty-forty --reason x --by ben").ok();
    assert_eq!(scratch.line("audit verify --json").ok().json()["holds"], true);
}

/// A daemon that requires two was here; then each of these was made an approver, with the tokens of all before them. Their
/// tokens' files.
fn where_two_must(scratch: &Scratch, names: &[&str]) -> Vec<String> {
    let config = fs::read_to_string(scratch.config()).unwrap();
    fs::write(scratch.config(), format!("{config}\n[approvals]\noperators_required = 2\n")).unwrap();
    drop(scratch.daemon().stop());
    let mut files = Vec::new();
    for name in names {
        let file = scratch.path().join(format!("{name}.token")).to_str().unwrap().to_owned();
        let by = if files.is_empty() { "--by founder".to_owned() } else { shown(&files) };
        scratch.line(&format!("operators add {name} --scopes approve {by} --token-file {file}")).ok();
        files.push(file);
    }
    files
}

fn shown<Of: AsRef<str>>(files: &[Of]) -> String {
    files.iter().map(|file| format!("--operator-token-file {}", file.as_ref())).collect::<Vec<_>>().join(" ")
}

/// Whether the token in this file still approves something.
fn approves(scratch: &Scratch, file: &str) -> bool {
    let line = format!("approvals grant strategy --strategy sixty-forty --reason x --operator-token-file {file}");
    scratch.line(&line).code == 0
}

#[test]
fn d5_where_two_must_approve_one_alone_comes_to_no_second_token() {
    let scratch = Scratch::new();
    let files = where_two_must(&scratch, &["ann", "ben"]);
    let (ann, ben) = (&files[0], &files[1]);
    let dan = scratch.path().join("dan.token").to_str().unwrap().to_owned();
    // Who may not approve is one approver's affair.
    scratch.line(&format!("operators add dan --scopes read,operate {}", shown(&[ann]))).ok();
    scratch.line(&format!("operators rotate dan --token-file {dan} {}", shown(&[ann]))).ok();
    let stolen = scratch.path().join("stolen.token");
    for by in ["--by ben".to_owned(), shown(&[ann]), shown(&[ann, ann]), shown(&[ann, &dan])] {
        for what in ["add cat --scopes read,approve", "rotate ben"] {
            let refused = scratch.line(&format!("operators {what} {by} --token-file {}", stolen.display()));
            assert_eq!(refused.code, 2, "{what} {by}: {refused:?}");
            let says = |text: &str| refused.err.contains(text);
            assert!(says("2 different operators") && says("--operator-token-file"), "{what} {by}: {refused:?}");
            assert!(!stolen.exists() && !refused.out.contains("rbo_"), "no token, and no file for one: {refused:?}");
        }
    }
    assert!(approves(&scratch, ben), "ben's token is ben's still");
    // Both together may, and are named together.
    let cat = scratch.path().join("cat.token").to_str().unwrap().to_owned();
    scratch.line(&format!("operators add cat --scopes approve --token-file {cat} {}", shown(&[ann, ben]))).ok();
    let listed = scratch.line("operators list --json").ok().json();
    let one = listed["operators"].as_array().unwrap().iter().find(|one| one["name"] == "cat").unwrap().clone();
    assert_eq!(one["made_by"], "ann and ben");
    let renewed = scratch.line(&format!("operators rotate cat --json {}", shown(&[ben, ann]))).ok().json();
    assert!(renewed["token"].as_str().unwrap().starts_with("rbo_") && !approves(&scratch, &cat));
    assert_eq!(scratch.line("audit verify --json").ok().json()["holds"], true);
}

#[test]
fn d5_where_two_must_approve_an_operator_renews_their_own_token_alone_and_never_loses_it() {
    let scratch = Scratch::new();
    let files = where_two_must(&scratch, &["ann", "ben"]);
    let (ann, ben) = (&files[0], &files[1]);
    // A file that is there already is found before the token is renewed, not after.
    for taken in [ann, ben] {
        let refused = scratch.line(&format!("operators rotate ann --token-file {taken} {}", shown(&[ann])));
        assert!(refused.code == 2 && refused.err.contains("nothing was changed"), "{refused:?}");
    }
    assert!(approves(&scratch, ann) && approves(&scratch, ben));
    let new = scratch.path().join("new.token").to_str().unwrap().to_owned();
    scratch.line(&format!("operators rotate ann --token-file {new} {}", shown(&[ann]))).ok();
    assert!(!approves(&scratch, ann) && approves(&scratch, &new));
    let refused = scratch.line(&format!("operators rotate ann {}", shown(&[ann])));
    assert!(refused.code == 2 && refused.err.contains("0 did"), "the old token renews nothing: {refused:?}");
}

#[test]
fn d5_where_two_must_approve_nobody_comes_back_alone_to_where_one_is_enough() {
    let scratch = Scratch::new();
    let files = where_two_must(&scratch, &["ann", "ben", "cat"]);
    let (ann, ben, cat) = (&files[0], &files[1], &files[2]);
    // While two others remain, one alone ends the rights of a third: their token may have leaked.
    scratch.line(&format!("operators remove cat {}", shown(&[ann]))).ok();
    assert!(!approves(&scratch, cat), "out at once");
    for (name, by) in [
        ("ben", shown(&[ann])),
        ("ben", shown(&[ann, ann])),
        ("ben", shown(&[ann, cat])),
        ("ann", shown(&[ann])),
        ("ann", "--by ann".to_owned()),
    ] {
        let refused = scratch.line(&format!("operators remove {name} {by}"));
        assert!(refused.code == 2 && refused.err.contains("make another first"), "{name} {by}: {refused:?}");
    }
    let refused = scratch.line(&format!("operators add cat --scopes approve {}", shown(&[ann])));
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(approves(&scratch, ann) && approves(&scratch, ben));
    // Both may end it together; a bare name is not enough even then.
    scratch.line(&format!("operators remove ben {}", shown(&[ann, ben]))).ok();
    let listed = scratch.line("operators list --json").ok().json();
    let one = listed["operators"].as_array().unwrap().iter().find(|one| one["name"] == "ben").unwrap().clone();
    assert_eq!(one["removed_by"], "operator:ann and ben");
    let refused = scratch.line("operators add ben --scopes approve --by ben");
    assert!(refused.code == 2 && refused.err.contains("--operator-token-file"), "{refused:?}");
}

#[test]
fn d5_where_two_must_approve_anybody_halts_and_only_an_operators_token_resumes() {
    let scratch = Scratch::new();
    let config = fs::read_to_string(scratch.config()).unwrap();
    fs::write(scratch.config(), format!("{config}\n[approvals]\noperators_required = 2\n")).unwrap();
    let daemon = scratch.daemon();
    let in_file = |name: &str, scopes: &str, by: &str| {
        let file = scratch.path().join(name).to_str().unwrap().to_owned();
        scratch.line(&format!("operators add {name} --scopes {scopes} {by} --token-file {file}")).ok();
        file
    };
    let ann = in_file("ann", "approve", "--by founder");
    let ben = in_file("ben", "operate", &format!("--operator-token-file {ann}"));
    let bens = fs::read_to_string(&ben).unwrap().trim().to_owned();
    let held = || scratch.line("halts --json").ok().json()["halts"].as_array().unwrap().len();
    scratch.line("halt --by anybody --reason smoke").ok();
    for line in ["resume --by ben", &format!("resume --operator-token-file {ann}")] {
        let refused = scratch.line(line);
        assert!(refused.code == 2 && refused.err.contains("scope `operate`"), "{line}: {refused:?}");
    }
    let mut alone = scratch.program();
    alone.args(["resume", "--by", "ben", "--config"]).arg(scratch.config());
    let refused = Ran::of(alone.env("REBALANCED_APPROVALS__OPERATORS_REQUIRED", "1"));
    assert!(refused.code == 2 && refused.err.contains("scope `operate`"), "{refused:?}");
    let named = ask(&daemon, TOKEN, ("POST", "/api/v1/halts/resume"), &json!({ "by": "ben" }));
    assert_eq!(named.status, 403, "the one token of the configuration proves no name: {named:?}");
    assert_eq!(held(), 1);
    scratch.line(&format!("resume --operator-token-file {ben}")).ok();
    assert_eq!(held(), 0);
    assert_eq!(ask(&daemon, TOKEN, ("POST", "/api/v1/halts"), &json!({ "by": "ann", "reason": "x" })).status, 200);
    assert_eq!(held(), 1);
    assert_eq!(ask(&daemon, &bens, ("POST", "/api/v1/halts/resume"), &json!({})).status, 200);
    let all = scratch.line("halts --all --json").ok().json();
    assert!(all["halts"].as_array().unwrap().iter().all(|halt| halt["released_by"] == "operator:ben"), "{all}");
}

#[test]
fn the_api_takes_bounds_raises_and_ends_and_says_what_is_wrong_with_them() {
    let scratch = Scratch::new();
    let daemon = scratch.daemon();
    let token = made(&scratch, "ann", "approve");
    let post = |body: &Value| ask(&daemon, &token, ("POST", "/api/v1/approvals"), body);
    let subscription = json!({
        "kind": "subscription", "account": ACCOUNT, "strategy": "sixty-forty", "reason": "as agreed", "sides": ["buy"],
        "symbols": ["SPY"], "max_order_notional": "500", "max_run_notional": "900", "expires_at": "2099-01-01T00:00:00Z",
    });
    let granted = post(&subscription);
    assert_eq!(granted.status, 200, "{granted:?}");
    assert_eq!(granted.json()["what"], "buy only, order <= 500.00, run <= 900.00, SPY");
    let raise =
        json!({ "kind": "limits", "account": ACCOUNT, "reason": "once", "raises": "max_turnover_percent=80 once" });
    assert_eq!(post(&raise).json()["what"], "max_turnover_percent=80 once");
    for (field, value) in [
        ("kind", json!("consent")),
        ("sides", json!(["hold"])),
        ("symbols", json!([""])),
        ("max_order_notional", json!("many")),
        ("reason", json!("")),
        ("expires_at", json!("2001-01-01T00:00:00Z")),
        ("account", json!("")),
    ] {
        let mut wrong = subscription.clone();
        wrong[field] = value;
        let refused = post(&wrong);
        assert_eq!(refused.status, 400, "{field}: {refused:?}");
        assert!(refused.json()["error"].as_str().unwrap().len() > 10, "{refused:?}");
    }
    let id = granted.json()["id"].as_str().unwrap().to_owned();
    let revoke = ("POST", format!("/api/v1/approvals/{id}/revoke"));
    assert_eq!(ask(&daemon, &token, (revoke.0, &revoke.1), &json!({})).status, 200);
    assert_eq!(ask(&daemon, &token, (revoke.0, &revoke.1), &json!({})).status, 404, "withdrawn already");
}

#[test]
fn who_tries_tokens_is_told_to_wait_and_an_operator_comes_in_all_the_same() {
    let scratch = Scratch::new();
    let daemon = scratch.daemon();
    let token = made(&scratch, "ann", "read");
    let mut statuses = [0, 0];
    for _ in 0..620 {
        match ask(&daemon, "rbo_guess", ("GET", "/api/v1/users"), &Value::Null).status {
            401 => statuses[0] += 1,
            429 => statuses[1] += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!(statuses, [600, 20]);
    assert_eq!(ask(&daemon, &token, ("GET", "/api/v1/users"), &Value::Null).status, 200);
}
