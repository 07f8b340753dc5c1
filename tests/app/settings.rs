//! Settings: layers, faults with their places, secrets.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rebalanced::app::settings::Settings;
use rebalanced::app::settings::keys::{KEYS, nearest};
use rebalanced::app::settings::layers::{DEFAULTS, Sources};
use rebalanced::model::ids::AccountId;
use tempfile::TempDir;

use crate::support::{Ran, Scratch};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn file(folder: &Path, text: &str) -> Sources {
    let path = folder.join("rebalanced.toml");
    fs::write(&path, text).unwrap();
    Sources { config: Some(path), ..Sources::default() }
}

/// A file that only its owner can read.
fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn with(mut sources: Sources, variables: &[(&str, &str)]) -> Sources {
    sources.environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    sources
}

fn faults(sources: &Sources) -> String {
    Settings::load(sources).expect_err("the settings have faults").to_string()
}

#[test]
fn the_default_file_documents_every_key_and_no_other() {
    for key in KEYS {
        let (section, name) = key.path.split_once('.').unwrap();
        let text = DEFAULTS.split(&format!("\n[{section}]\n")).nth(1).unwrap().split("\n[").next().unwrap();
        let stands = text.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{name} = ")));
        assert!(stands, "config/rebalanced.toml does not show {}", key.path);
    }
    let settings = Settings::load(&Sources::default()).unwrap();
    for key in KEYS {
        assert!(settings.shown.contains_key(key.path), "{} is never read", key.path);
    }
}

#[test]
fn defaults_are_the_strictest() {
    let settings = Settings::load(&Sources::default()).unwrap();
    assert!(!settings.policy.live_trading);
    assert!(!settings.policy.app_approved);
    assert_eq!(settings.policy.max_quote_age_seconds, 15);
    assert_eq!(settings.policy.max_trading_runs_per_day, Some(3));
    assert!(settings.public_listen.ip().is_loopback());
    assert!(settings.operator_listen.ip().is_loopback());
    assert!(settings.operator_token.is_none());
    assert!(settings.database.is_none(), "nobody looks into an empty database by standing in the wrong folder");
    let missing: Vec<String> = settings.missing.iter().map(ToString::to_string).collect();
    for key in
        ["database.url", "alpaca.client_id", "alpaca.client_secret_file", "alpaca.redirect_uri", "vault.key_file"]
    {
        assert!(missing.iter().any(|text| text.contains(key)), "{key} is not named in {missing:?}");
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_key() {
    let folder = folder();
    let text = "[web]\npublic_listen = \"127.0.0.1:1\"\n[alpaca]\nclient_idd = \"x\"\n[datebase]\nurl = \"sqlite:a\"\n";
    let faults = faults(&file(folder.path(), text));
    assert!(
        faults.contains(
            "rebalanced.toml:4: there is no key `alpaca.client_idd`; the nearest known key is `alpaca.client_id`"
        ),
        "{faults}"
    );
    assert!(
        faults.contains("rebalanced.toml:6: there is no key `datebase.url`; the nearest known key is `database.url`"),
        "{faults}"
    );
}

#[test]
fn an_unknown_variable_is_named_with_the_nearest_known_key() {
    let sources = with(Sources::default(), &[("REBALANCED_LIMITS__MAX_QUOTE_AGE", "9"), ("REBALANCEDX", "not ours")]);
    let faults = faults(&sources);
    assert!(faults.contains("REBALANCED_LIMITS__MAX_QUOTE_AGE: there is no key `limits.max_quote_age`"), "{faults}");
    assert!(faults.contains("the nearest known key is `limits.max_quote_age_seconds`"), "{faults}");
    assert_eq!(faults.lines().count(), 1);
}

#[test]
fn a_key_in_the_wrong_section_finds_its_place() {
    assert_eq!(nearest("limits.max_in_flight"), Some("runs.max_in_flight"));
    assert_eq!(nearest("live_trading"), Some("alpaca.live_trading"));
    assert_eq!(nearest("entirely.something_else_altogether"), None);
}

#[test]
fn all_faults_are_told_at_once() {
    let folder = folder();
    let text = "[database]\nurl = \"mysql://root:hunter2@host\"\n[web]\npublic_listen = \"here\"\n[runs]\nmax_in_flight = 0\n\
                lease_seconds = \"soon\"\n[log]\nformat = \"xml\"\nlevel = \"rebalanced=loud\"\n[alpaca]\nlive_trading = \"maybe\"\n\
                paper_url = \"http://paper-api.alpaca.markets\"\n";
    let faults = faults(&file(folder.path(), text));
    for (line, key) in [
        (2, "database.url"),
        (4, "web.public_listen"),
        (6, "runs.max_in_flight"),
        (7, "runs.lease_seconds"),
        (9, "log.format"),
        (10, "log.level"),
        (12, "alpaca.live_trading"),
        (13, "alpaca.paper_url"),
    ] {
        let found = faults.lines().any(|fault| fault.contains(&format!(":{line}: ")) && fault.contains(key));
        assert!(found, "line {line}, {key}:\n{faults}");
    }
    assert!(!faults.contains("hunter2"), "a password is never repeated:\n{faults}");
}

#[test]
fn broken_toml_is_named_with_its_line() {
    let folder = folder();
    let faults = faults(&file(folder.path(), "[web]\npublic_listen = \n"));
    assert!(faults.contains("rebalanced.toml:2: this is not TOML"), "{faults}");
}

#[test]
fn a_file_that_is_not_there_is_a_fault() {
    let sources = Sources { config: Some("/nowhere/rebalanced.toml".into()), ..Sources::default() };
    assert!(faults(&sources).contains("/nowhere/rebalanced.toml cannot be read"));
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let folder = folder();
    let sources = file(folder.path(), "[runs]\nmax_in_flight = 7\nlease_seconds = 11\n");
    let sources = with(sources, &[("REBALANCED_RUNS__MAX_IN_FLIGHT", "9"), ("REBALANCED_ALPACA__CLIENT_ID", "12345")]);
    let settings = Settings::load(&sources).unwrap();
    assert_eq!(settings.runs.max_in_flight, 9);
    assert_eq!(settings.runs.lease.as_secs(), 11);
    assert_eq!(settings.runs.order_wait.as_secs(), 120);
    assert_eq!(settings.shown["alpaca.client_id"].value, "12345", "an id made of digits stays text");
    assert_eq!(settings.shown["runs.max_in_flight"].origin, "REBALANCED_RUNS__MAX_IN_FLIGHT");
    assert!(settings.shown["runs.lease_seconds"].origin.ends_with("rebalanced.toml:3"));
    assert_eq!(settings.shown["runs.order_wait_seconds"].origin, "default");
}

#[test]
fn a_list_from_the_environment_is_written_with_commas() {
    let sources = with(Sources::default(), &[("REBALANCED_ALPACA__DEVELOPER_ACCOUNT_IDS", "a-1, b-2")]);
    let settings = Settings::load(&sources).unwrap();
    let ids: Vec<&str> = settings.policy.developer_accounts.iter().map(AccountId::as_str).collect();
    assert_eq!(ids, ["a-1", "b-2"]);
}

#[test]
fn paths_are_relative_to_the_file_that_names_them() {
    let folder = folder();
    let sources = file(folder.path(), "[database]\nurl = \"sqlite:data/r.sqlite\"\n[strategies]\ndir = \"mine\"\n");
    let settings = Settings::load(&sources).unwrap();
    assert_eq!(settings.strategies, folder.path().join("mine"));
    assert_eq!(
        settings.database.unwrap().expose(),
        format!("sqlite:{}", folder.path().join("data/r.sqlite").display())
    );
    let sources = with(Sources::default(), &[("REBALANCED_STRATEGIES__DIR", "mine")]);
    assert_eq!(Settings::load(&sources).unwrap().strategies, Path::new("mine"));
}

#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let folder = folder();
    private(&folder.path().join("secret"), "canary-of-a-secret\n");
    let text = "[alpaca]\nclient_id = \"id\"\nclient_secret_file = \"secret\"\nredirect_uri = \"https://a.example/oauth/callback\"\n\
                [database]\nurl = \"postgres://u:canary-of-a-password@db/r\"\n";
    let settings = Settings::load(&file(folder.path(), text)).unwrap();
    assert_eq!(settings.app.as_ref().unwrap().client_secret.expose(), "canary-of-a-secret");
    assert_eq!(settings.shown["alpaca.client_secret_file"].value, "set");
    assert_eq!(settings.shown["alpaca.data_secret_file"].value, "missing");
    assert_eq!(settings.shown["database.url"].value, "postgres://u:***@db/r");
    assert!(!format!("{settings:?}").contains("canary"), "Debug shows a secret");
}

#[test]
fn the_credentials_directory_fills_in_what_no_key_names() {
    let folder = folder();
    for (name, value) in [
        ("alpaca.client_secret", "from-the-manager"),
        ("web.operator_token", "an-operator-token-of-length"),
        ("vault.key", "k"),
    ] {
        private(&folder.path().join(name), value);
    }
    let sources = Sources { credentials: Some(folder.path().to_owned()), ..Sources::default() };
    let sources = with(
        sources,
        &[
            ("REBALANCED_ALPACA__CLIENT_ID", "id"),
            ("REBALANCED_ALPACA__REDIRECT_URI", "http://127.0.0.1:8080/oauth/callback"),
        ],
    );
    let settings = Settings::load(&sources).unwrap();
    assert_eq!(settings.app.as_ref().unwrap().client_secret.expose(), "from-the-manager");
    assert_eq!(settings.vault_key.as_deref(), Some(folder.path().join("vault.key").as_path()));
    assert_eq!(settings.shown["web.operator_token_file"].origin, "credential web.operator_token");
}

#[test]
fn an_empty_secret_file_and_a_short_operator_token_are_faults() {
    let folder = folder();
    private(&folder.path().join("empty"), " \n");
    private(&folder.path().join("short"), "tiny");
    let text = "[alpaca]\nclient_secret_file = \"empty\"\ndata_secret_file = \"absent\"\n[web]\noperator_token_file = \"short\"\n";
    let faults = faults(&file(folder.path(), text));
    assert!(faults.contains(":2: `alpaca.client_secret_file` names") && faults.contains("is empty"), "{faults}");
    assert!(faults.contains(":3: `alpaca.data_secret_file` names") && faults.contains("cannot be read"), "{faults}");
    assert!(faults.contains("shorter than 16 characters"), "{faults}");
}

#[test]
fn a_secret_that_everybody_can_read_is_a_fault() {
    let folder = folder();
    fs::write(folder.path().join("open"), "no secret any more").unwrap();
    fs::set_permissions(folder.path().join("open"), fs::Permissions::from_mode(0o644)).unwrap();
    let faults = faults(&file(folder.path(), "[alpaca]\nclient_secret_file = \"open\"\n"));
    assert!(faults.contains("can be read by everybody; make it private: chmod 0400"), "{faults}");
    assert!(!faults.contains("no secret any more"), "{faults}");
}

#[test]
fn tokens_travel_encrypted_or_not_at_all() {
    let sources =
        with(Sources::default(), &[("REBALANCED_ALPACA__PAPER_STREAM_URL", "ws://paper-api.alpaca.markets/stream")]);
    assert!(faults(&sources).contains("unprotected"));
    let sources = with(Sources::default(), &[("REBALANCED_ALPACA__PAPER_URL", "http://127.0.0.1:9000/paper")]);
    assert!(Settings::load(&sources).is_ok());
}

const LOOPBACK: &[(&str, &str)] = &[
    ("REBALANCED_ALPACA__AUTHORIZE_URL", "http://127.0.0.1:9/app/oauth/authorize"),
    ("REBALANCED_ALPACA__TOKEN_URL", "http://127.0.0.1:9/live/oauth/token"),
    ("REBALANCED_ALPACA__LIVE_URL", "http://localhost:9/live"),
    ("REBALANCED_ALPACA__PAPER_URL", "http://[::1]:9/paper"),
    ("REBALANCED_ALPACA__DATA_URL", "http://127.0.0.1:9/data"),
    ("REBALANCED_ALPACA__LIVE_STREAM_URL", "ws://127.0.0.1:9/live/stream"),
    ("REBALANCED_ALPACA__PAPER_STREAM_URL", "ws://127.0.0.1:9/paper/stream"),
    ("REBALANCED_CLOCK__URL", "http://127.0.0.1:9/sim/clock"),
];

#[test]
fn row_79_live_and_paper_are_two_places_and_alpacas_hosts_are_on_their_own_sides() {
    let folder = folder();
    let told = |alpaca: &str| faults(&file(folder.path(), &format!("[alpaca]\n{alpaca}\n")));
    for (alpaca, key) in [
        ("paper_url = \"https://api.alpaca.markets\"", "alpaca.paper_url"),
        ("paper_url = \"https://API.alpaca.markets./\"", "alpaca.paper_url"),
        ("live_url = \"https://paper-api.alpaca.markets\"", "alpaca.live_url"),
        ("paper_stream_url = \"wss://api.alpaca.markets/stream\"", "alpaca.paper_stream_url"),
        ("live_url = \"http://127.0.0.1:9/a\"\npaper_url = \"http://127.0.0.1:9/a/\"", "alpaca.paper_url"),
    ] {
        let told = told(alpaca);
        assert!(told.contains(&format!("`{key}` is ")), "{alpaca}: {told}");
    }
    let apart = "[alpaca]\nlive_url = \"http://127.0.0.1:9/a\"\npaper_url = \"http://127.0.0.1:9/b\"\n";
    Settings::load(&file(folder.path(), apart)).expect("two paths of one host are two places");
}

#[test]
fn d1_with_live_trading_on_no_password_comes_by_a_way_that_others_can_read() {
    let folder = folder();
    let live = "[alpaca]\nlive_trading = true\n[database]\nurl = \"postgres://me:secret@127.0.0.1/x\"\n";
    let open = file(folder.path(), live);
    fs::set_permissions(open.config.as_ref().unwrap(), fs::Permissions::from_mode(0o644)).unwrap();
    let told = faults(&open);
    assert!(told.contains("others can read") && !told.contains("secret@"), "{told}");
    fs::set_permissions(open.config.as_ref().unwrap(), fs::Permissions::from_mode(0o600)).unwrap();
    Settings::load(&open).expect("its owner alone can read it");
    for name in ["PGPASSWORD", "PGPASSFILE"] {
        let told = faults(&with(file(folder.path(), live), &[(name, "x")]));
        assert!(told.contains(name), "{told}");
    }
}

#[test]
fn another_clock_is_refused_unless_every_alpaca_address_is_on_this_machine() {
    assert!(Settings::load(&with(Sources::default(), LOOPBACK)).unwrap().clock.is_some());
    for left_out in 0..LOOPBACK.len() - 1 {
        let mut variables = LOOPBACK.to_vec();
        let (name, _) = variables.remove(left_out);
        let key = name.trim_start_matches("REBALANCED_").replace("__", ".").to_ascii_lowercase();
        let faults = faults(&with(Sources::default(), &variables));
        assert!(faults.contains("`clock.url` is refused") && faults.contains(&format!("`{key}`")), "{key}: {faults}");
    }
}

#[test]
fn d1_with_live_trading_on_secrets_must_be_where_nobody_else_reaches_them() {
    let scratch = Scratch::new();
    let config = fs::read_to_string(scratch.config()).unwrap();
    fs::write(scratch.config(), config.replace("[alpaca]\n", "[alpaca]\nlive_trading = true\n")).unwrap();
    let mode = |name: &str, mode: u32| {
        fs::set_permissions(scratch.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    let wide = scratch.run(&["check"]);
    assert_eq!(wide.code, 64, "{wide:?}");
    assert!(
        wide.err.contains("`vault.key_file`") && wide.err.contains("0600") && wide.err.contains("chmod 0400"),
        "{wide:?}"
    );
    mode("vault.key", 0o400);
    scratch.run(&["check"]).ok();
    // The record of live orders is worth a signature.
    let warned = |scratch: &Scratch| {
        let check = scratch.run(&["check", "--json"]).ok().json()["warnings"].as_array().unwrap().len();
        let text = scratch.run(&["check"]).ok().out.contains("warning: live trading is on and no checkpoint");
        let doctor = scratch.run(&["doctor", "--json"]).json();
        let unwise = doctor["findings"].as_array().unwrap().iter().any(|finding| {
            finding["state"] == "unwise" && finding["detail"].as_str().unwrap().contains("audit.checkpoint_file")
        });
        (check, text, unwise)
    };
    assert_eq!(warned(&scratch), (1, true, true));
    let live = fs::read_to_string(scratch.config()).unwrap();
    scratch.secret("audit.key", &"c3".repeat(32));
    mode("audit.key", 0o400);
    let audit = "[audit]\nkey_file = \"audit.key\"\ncheckpoint_file = \"checkpoints.jsonl\"\n";
    fs::write(scratch.config(), format!("{live}{audit}")).unwrap();
    assert_eq!(warned(&scratch), (0, false, false));
    fs::write(scratch.config(), live).unwrap();
    for (name, bad, key) in [
        ("client-secret", 0o640, "alpaca.client_secret_file"),
        ("operator-token", 0o604, "web.operator_token_file"),
        ("vault.key", 0o440, "vault.key_file"),
        ("vault.key", 0o600, "vault.key_file"),
    ] {
        mode(name, bad);
        let refused = scratch.run(&["check"]);
        assert!(refused.code == 64 && refused.err.contains(key), "{name} {bad:o}: {refused:?}");
        let refused = scratch.run(&["run"]);
        assert!(refused.code == 64 && refused.err.contains(key), "run says it too: {refused:?}");
        mode(name, 0o400);
    }
    // A password in the environment is everybody's who sees the process.
    let in_environment = Ran::of(
        scratch
            .program()
            .args(["check", "--config"])
            .arg(scratch.config())
            .env("REBALANCED_DATABASE__URL", "postgres://user:canary@127.0.0.1:9/name"),
    );
    assert_eq!(in_environment.code, 64, "{in_environment:?}");
    assert!(in_environment.err.contains("REBALANCED_DATABASE__URL") && !in_environment.err.contains("canary"));
    // With live trading off the looser rule of before holds.
    fs::write(scratch.config(), config).unwrap();
    mode("vault.key", 0o600);
    let paper = scratch.run(&["check", "--json"]).ok().json();
    assert_eq!(paper["warnings"].as_array().unwrap().len(), 0);
}
