//! The daemon's life: ready, watchdog, soft and hard stop, one daemon per database file.

use std::fs;

use crate::support::{PATIENCE, SECRET, Scratch, TOKEN};

#[test]
fn it_becomes_ready_is_watched_and_stops_politely() {
    let scratch = Scratch::new();
    let mut daemon = scratch.daemon();
    daemon.wait_for("WATCHDOG=1");
    daemon.signal("TERM");
    daemon.wait_for("STOPPING=1");
    let (status, log) = daemon.stop();
    assert_eq!(status.code(), Some(0), "{log:?}");
    let text = log.join("\n");
    assert!(text.contains("stopped; nothing was left"), "{text}");
    assert!(!text.contains(SECRET) && !text.contains(TOKEN), "a secret is in the log");
    for line in &log {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(line);
        assert!(parsed.is_ok(), "not JSON: {line}");
    }
}

#[test]
fn row_25_a_second_daemon_on_the_same_file_is_refused() {
    let scratch = Scratch::new();
    let first = scratch.daemon();
    let second = scratch.run(&["run"]);
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.err.contains("another daemon works on"), "{}", second.err);
    let (status, _) = first.stop();
    assert!(status.success());
    let (status, _) = scratch.daemon().stop();
    assert!(status.success(), "the lock goes with the process");
}

#[test]
fn a_killed_daemon_starts_again() {
    let scratch = Scratch::new();
    let daemon = scratch.daemon();
    daemon.signal("KILL");
    drop(daemon);
    let (status, log) = scratch.daemon().stop();
    assert!(status.success(), "{log:?}");
}

#[test]
fn an_address_that_is_taken_is_named_with_its_key() {
    let scratch = Scratch::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = fs::read_to_string(scratch.config()).unwrap();
    let config = config.replace(
        "operator_listen = \"127.0.0.1:0\"",
        &format!("operator_listen = \"{}\"", taken.local_addr().unwrap()),
    );
    fs::write(scratch.config(), config).unwrap();
    let ran = scratch.run(&["run"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("`web.operator_listen`"), "{}", ran.err);
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    fs::set_permissions(scratch.path().join("vault.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let ran = scratch.run(&["run"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("vault.key") && ran.err.contains("`vault.key_file`"), "{}", ran.err);
}

#[test]
fn with_skip_invalid_it_starts_with_the_valid_strategies() {
    let scratch = Scratch::new();
    scratch.write("strategies/broken.toml", "name = 1\n");
    let mut command = scratch.program();
    command.args(["run", "--skip-invalid", "--config"]).arg(scratch.config());
    let (status, log) = crate::support::Daemon::start(command, scratch.path()).stop();
    assert!(status.success());
    assert!(log.iter().any(|line| line.contains("broken.toml") && line.contains("left out")), "{log:?}");
}

#[test]
fn row_82_a_signal_and_a_file_pull_the_kill_switch_and_both_are_written_down() {
    let scratch = Scratch::new();
    let config = fs::read_to_string(scratch.config()).unwrap();
    fs::write(scratch.config(), format!("{config}[runs]\nhalt_file = \"halt\"\n")).unwrap();
    let daemon = scratch.daemon();
    let halts = || scratch.run(&["halts", "--json"]).ok().json()["halts"].as_array().unwrap().clone();
    let wait_for = |by: &str| {
        let begun = std::time::Instant::now();
        while !halts().iter().any(|halt| halt["by"] == by) {
            assert!(begun.elapsed() < PATIENCE, "no halt by the {by}: {:?}", halts());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    assert!(halts().is_empty());
    daemon.signal("USR1");
    wait_for("signal");
    fs::write(scratch.path().join("halt"), "the broker misbehaves\n").unwrap();
    wait_for("file");
    assert!(halts().iter().any(|halt| halt["reason"].as_str().unwrap().ends_with("the broker misbehaves")));
    assert_eq!(halts().len(), 2, "each once, however long the file is there");
    fs::remove_file(scratch.path().join("halt")).unwrap();
    assert_eq!(scratch.line("resume --by ann --json").ok().json()["released"], 2);
    assert!(halts().is_empty());
}

#[test]
fn d5_the_daemon_leaves_no_core_dump() {
    let scratch = Scratch::new();
    let daemon = scratch.daemon();
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
}
