//! What `deploy/` says is true: the command lines of the unit and of the container run, and the files are accepted by the
//! programs that will read them, where those programs are installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]
#![allow(unreachable_pub, missing_docs, reason = "a test is nobody's library")]

#[path = "app/support.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use support::{Daemon, Ran, Scratch, TOKEN, get};

const UNIT: &str = include_str!("../deploy/rebalanced.service");
const UNIT_CONFIG: &str = include_str!("../deploy/rebalanced.toml");
const CONTAINER: &str = include_str!("../deploy/Containerfile");
const COMPOSE: &str = include_str!("../deploy/compose.yaml");
const COMPOSE_CONFIG: &str = include_str!("../deploy/compose.toml");

/// Alpaca's hosts, replaced by this machine: nothing here leaves it.
const LOOPBACK: &[(&str, &str)] = &[
    ("REBALANCED_ALPACA__AUTHORIZE_URL", "http://127.0.0.1:9/app/oauth/authorize"),
    ("REBALANCED_ALPACA__TOKEN_URL", "http://127.0.0.1:9/live/oauth/token"),
    ("REBALANCED_ALPACA__LIVE_URL", "http://127.0.0.1:9/live"),
    ("REBALANCED_ALPACA__PAPER_URL", "http://127.0.0.1:9/paper"),
    ("REBALANCED_ALPACA__DATA_URL", "http://127.0.0.1:9/data"),
    ("REBALANCED_ALPACA__LIVE_STREAM_URL", "ws://127.0.0.1:9/live/stream"),
    ("REBALANCED_ALPACA__PAPER_STREAM_URL", "ws://127.0.0.1:9/paper/stream"),
];

fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// A scratch folder that stands for `/etc/rebalanced` and `/var/lib/rebalanced`.
fn installed(config: &str) -> Scratch {
    let scratch = Scratch::new();
    let folder = scratch.path().display().to_string();
    let config = config.replace("/etc/rebalanced", &folder).replace("/var/lib/rebalanced", &folder);
    scratch.write("rebalanced.toml", &config);
    scratch.secret("data-secret", "canary-data-secret");
    scratch
}

/// The program with the arguments of a command line, whose first word is where the program will be installed.
fn program(scratch: &Scratch, line: &[String]) -> Command {
    assert_eq!(line[0], "/usr/local/bin/rebalanced");
    let folder = scratch.path().display().to_string();
    let mut command = scratch.program();
    command.args(line[1..].iter().map(|word| word.replace("/etc/rebalanced", &folder)));
    command.envs(LOOPBACK.iter().copied());
    command
}

fn unit_program(scratch: &Scratch, subcommand: Option<&str>) -> Command {
    let line = values(UNIT, "ExecStart");
    let [line] = line.as_slice() else { panic!("one ExecStart") };
    let mut line: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    if let Some(subcommand) = subcommand {
        subcommand.clone_into(&mut line[1]);
    }
    // What systemd does with LoadCredential=.
    let credentials = scratch.path().join("credentials");
    fs::create_dir_all(&credentials).unwrap();
    for credential in values(UNIT, "LoadCredential") {
        let (name, path) = credential.split_once(':').unwrap();
        let from = path.replace("/etc/rebalanced", &scratch.path().display().to_string());
        fs::copy(Path::new(&from), credentials.join(name)).unwrap_or_else(|error| panic!("{from}: {error}"));
    }
    let mut command = program(scratch, &line);
    command.env("CREDENTIALS_DIRECTORY", credentials);
    command.env("REBALANCED_WEB__PUBLIC_LISTEN", "127.0.0.1:0").env("REBALANCED_WEB__OPERATOR_LISTEN", "127.0.0.1:0");
    command
}

#[test]
fn the_units_command_line_checks_starts_and_stops() {
    let scratch = installed(UNIT_CONFIG);
    let checked = Ran::of(unit_program(&scratch, Some("check")).arg("--json")).ok().json();
    for key in ["alpaca.client_secret_file", "alpaca.data_secret_file", "vault.key_file", "web.operator_token_file"] {
        assert_eq!(checked["settings"][key]["value"], "set", "{key}");
        assert!(checked["settings"][key]["origin"].as_str().unwrap().starts_with("credential "), "{key}");
    }
    let mut daemon = Daemon::start(unit_program(&scratch, None), scratch.path());
    assert!(UNIT.contains("\nType=notify\n"), "the unit waits for READY=1, which has come");
    daemon.wait_for("WATCHDOG=1");
    assert_eq!(get(&daemon.operator, "/readyz").status, 200);
    let token = format!("Bearer {TOKEN}");
    assert_eq!(support::http("GET", &daemon.operator, "/api/v1/users", &[("Authorization", &token)], "").status, 200);
    let (status, log) = daemon.stop();
    assert_eq!(status.code(), Some(0), "{log:?}");
    assert!(!log.join("\n").contains("canary"), "a secret is in the log");
}

/// The words of a JSON array in an instruction such as `CMD ["a", "b"]`.
fn words(instruction: &str) -> Vec<String> {
    let line = CONTAINER.lines().find_map(|line| line.strip_prefix(instruction)).unwrap();
    serde_json::from_str(line.trim()).unwrap()
}

#[test]
fn the_containers_command_line_checks_starts_and_stops() {
    let scratch = installed(COMPOSE_CONFIG);
    let folder = scratch.path().display().to_string();
    scratch.secret("database-url", &format!("sqlite:{folder}/container.sqlite"));
    let line: Vec<String> = words("ENTRYPOINT").into_iter().chain(words("CMD")).collect();
    let variables = CONTAINER.lines().filter_map(|line| line.strip_prefix("ENV REBALANCED_")?.split_once('='));
    let secrets = COMPOSE.lines().filter_map(|line| line.trim().strip_prefix("REBALANCED_")?.split_once(": "));
    let variables: Vec<(String, String)> = variables
        .chain(secrets)
        .map(|(name, value)| {
            let value = value
                .replace("/etc/rebalanced", &folder)
                .replace("/run/secrets", &folder)
                .replace("0.0.0.0:", "127.0.0.1:");
            let value = if name.ends_with("LISTEN") { "127.0.0.1:0".to_owned() } else { value };
            (format!("REBALANCED_{name}"), value)
        })
        .collect();
    assert!(variables.len() >= 9, "{variables:?}");
    let start = |subcommand: Option<&str>| {
        let mut line = line.clone();
        if let Some(subcommand) = subcommand {
            subcommand.clone_into(&mut line[1]);
        }
        let mut command = program(&scratch, &line);
        command.envs(variables.clone());
        command
    };
    let checked = Ran::of(start(Some("check")).arg("--json")).ok().json();
    assert_eq!(checked["settings"]["database.url_file"]["value"], "set");
    let daemon = Daemon::start(start(None), scratch.path());
    assert_eq!(get(&daemon.operator, "/readyz").status, 200);
    let (status, log) = daemon.stop();
    assert_eq!(status.code(), Some(0), "{log:?}");
}

#[test]
fn systemd_accepts_the_unit_and_finds_it_well_sandboxed() {
    if !is_installed("systemd-analyze") {
        eprintln!("not checked: systemd-analyze is missing (apt-get install systemd)");
        return;
    }
    // The program is not installed here; the unit is checked with one that is.
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("rebalanced.service");
    fs::write(&unit, UNIT.replace("/usr/local/bin/rebalanced", env!("CARGO_BIN_EXE_rebalanced"))).unwrap();
    let verified = Ran::of(Command::new("systemd-analyze").arg("verify").arg(&unit));
    assert_eq!(verified.code, 0, "{verified:?}");
    // An unknown key is only a warning, so nothing may be said at all about this unit.
    let about_us: Vec<&str> = verified.err.lines().filter(|line| line.contains("rebalanced.service")).collect();
    assert!(about_us.is_empty(), "{about_us:?}");
    let security = Ran::of(
        Command::new("systemd-analyze").args(["security", "--offline=yes", "--threshold=15", "--no-pager"]).arg(&unit),
    );
    assert_eq!(security.code, 0, "exposure is above 1.5:\n{}", security.out);
}

#[test]
fn prometheus_accepts_its_configuration_and_the_alerts() {
    if !is_installed("promtool") {
        eprintln!("not checked: promtool is missing (apt-get install --no-install-recommends prometheus)");
        return;
    }
    let config = Ran::of(Command::new("promtool").args(["check", "config", "deploy/prometheus.yml"]));
    assert_eq!(config.code, 0, "{config:?}");
    let rules = Ran::of(Command::new("promtool").args(["check", "rules", "deploy/alerts.yml"]));
    assert_eq!(rules.code, 0, "{rules:?}");
}

#[test]
fn the_alerts_name_only_metrics_that_exist() {
    // A series appears with its first event, so a fresh daemon does not show all: the declarations are asked.
    let declared = include_str!("../src/edge/metrics.rs");
    let alerts = include_str!("../deploy/alerts.yml");
    let mut named = 0;
    let words = alerts.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    for word in words.filter(|word| word.starts_with("rebalanced_")) {
        let family = word.trim_end_matches("_bucket").trim_end_matches("_count").trim_end_matches("_sum");
        assert!(declared.contains(&format!("\"{family}\"")), "{word} is no metric");
        named += 1;
    }
    assert!(named >= 5, "the alerts watch something");
    let readme = include_str!("../deploy/README.md");
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(readme.contains(&format!("| {alert} |")), "deploy/README.md does not explain {alert}");
    }
}

#[test]
fn the_metrics_are_well_formed() {
    let scratch = Scratch::new();
    let daemon = scratch.daemon();
    let metrics = get(&daemon.operator, "/metrics").body;
    assert!(metrics.contains("# TYPE rebalanced_runs_due_not_done gauge"), "{metrics}");
    if is_installed("promtool") {
        let mut child = Command::new("promtool");
        let mut child = child.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), metrics.as_bytes()).unwrap();
        let checked = child.wait_with_output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn no_secret_stands_in_a_deployment_file() {
    for text in [UNIT, UNIT_CONFIG, CONTAINER, COMPOSE, COMPOSE_CONFIG] {
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let lower = line.to_ascii_lowercase();
            let is_secret = ["secret", "password", "token"].iter().any(|word| lower.contains(word));
            let is_reference = line.contains('/')
                || lower.contains("secrets:")
                || lower.contains("credential")
                || line.trim_end().ends_with(':');
            assert!(!is_secret || is_reference, "{line}");
        }
    }
}
