//! The audit from outside: signed while the daemon runs, exported, and checked without any secret.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, Scratch};

fn signing(scratch: &Scratch) {
    let config = fs::read_to_string(scratch.config()).unwrap();
    scratch.secret("audit.key", &"c3".repeat(32));
    let audit = "[audit]\nkey_file = \"audit.key\"\ncheckpoint_file = \"checkpoints.jsonl\"\n";
    fs::write(scratch.config(), format!("{config}{audit}")).unwrap();
}

#[test]
fn d8_an_export_and_its_checkpoints_are_checked_without_a_secret_and_a_cut_tail_shows() {
    let scratch = Scratch::new();
    signing(&scratch);
    let daemon = scratch.daemon();
    let checkpoints = scratch.path().join("checkpoints.jsonl");
    let begun = Instant::now();
    while !fs::read_to_string(&checkpoints).is_ok_and(|text| text.ends_with('\n')) {
        assert!(begun.elapsed() < PATIENCE, "no checkpoint was signed");
        std::thread::sleep(Duration::from_millis(50));
    }
    let key = scratch.line("audit public-key").ok().out.trim().to_owned();
    assert_eq!(key.len(), 64);
    drop(daemon.stop());
    scratch.line("halt --by ann --reason drill").ok();
    let export = scratch.path().join("events.jsonl");
    scratch.run(&["audit", "export", "--output", export.to_str().unwrap()]).ok();
    let text = fs::read_to_string(&export).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let manifest = json(&fs::read_to_string(scratch.path().join("events.jsonl.manifest.json")).unwrap());
    assert_eq!(manifest["events"], lines.len());
    let points = fs::read_to_string(&checkpoints).unwrap();
    let signed = usize::try_from(json(points.lines().last().unwrap())["sequence"].as_u64().unwrap()).unwrap();
    assert!((1..lines.len()).contains(&signed), "the halt came after the checkpoint");
    // From here on neither configuration nor database nor key: only the export, the checkpoints and the public key.
    let elsewhere = tempfile::tempdir().unwrap();
    let verify = |export: &str| {
        let file = elsewhere.path().join("export");
        fs::write(&file, export).unwrap();
        let mut program = scratch.program();
        program.current_dir(elsewhere.path()).args(["audit", "verify", "--public-key", &key, "--export"]).arg(&file);
        crate::support::Ran::of(program.arg("--checkpoints").arg(&checkpoints))
    };
    assert!(verify(&text).ok().out.contains(&format!("{} events", lines.len())));
    assert_eq!(verify(&lines[..signed].concat()).code, 0, "the checkpoint is met");
    let ran = verify(&lines[..signed - 1].concat());
    assert!(ran.code != 0 && ran.err.contains("its tail was cut off"), "{ran:?}");
    let ran = verify(&text.replace("drill", "thrill"));
    assert!(ran.code != 0 && ran.err.contains(&format!("event {}", lines.len())), "{ran:?}");
    let ran = verify(&text.replacen("\"at\":\"2", "\"at\":\"3", 1));
    assert!(ran.code != 0 && ran.err.contains("line 1 is no event"), "{ran:?}");
    let inside =
        scratch.run(&["audit", "verify", "--checkpoints", checkpoints.to_str().unwrap(), "--public-key", &key]);
    assert_eq!(inside.code, 0, "{inside:?}");
    let wrong = "0".repeat(64);
    let other =
        scratch.run(&["audit", "verify", "--checkpoints", checkpoints.to_str().unwrap(), "--public-key", &wrong]);
    assert_ne!(other.code, 0, "{other:?}");
}

#[test]
fn d8_an_order_that_is_not_ours_is_traced_to_nothing() {
    let scratch = Scratch::new();
    let daemon = scratch.daemon();
    let unknown = scratch.run(&["audit", "trace", "nothing"]);
    assert!(unknown.code == 2 && unknown.err.contains("no order of ours is named `nothing`"), "{unknown:?}");
    drop(daemon);
}

#[test]
fn d8_in_the_database_a_cut_tail_and_an_approval_that_nobody_granted_are_found_without_a_secret() {
    use sqlx::Connection;
    let scratch = Scratch::new();
    drop(scratch.daemon().stop());
    scratch.line("halt --by ann --reason drill").ok();
    let url = format!("sqlite:{}", scratch.path().join("rebalanced.sqlite").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let write = |statements: &[&'static str]| {
        runtime.block_on(async {
            sqlx::any::install_default_drivers();
            let mut link = sqlx::AnyConnection::connect(&url).await.unwrap();
            for statement in statements {
                sqlx::query(*statement).execute(&mut link).await.unwrap();
            }
            link.close().await.unwrap();
        });
    };
    // Neither a configuration nor a key is where this runs.
    let elsewhere = tempfile::tempdir().unwrap();
    let verify = || {
        let mut program = scratch.program();
        program.current_dir(elsewhere.path()).args(["audit", "verify", "--database", &url]);
        crate::support::Ran::of(&mut program)
    };
    verify().ok();
    write(&["INSERT INTO approvals (id, kind, strategy, version, granted_by, proven, reason, granted_at)
             VALUES ('apr_forged', 'strategy', 'sixty-forty', 'v', 'ann', 1, 'none', 1)"]);
    let forged = verify();
    assert!(forged.code == 1 && forged.err.contains("apr_forged"), "{forged:?}");
    write(&["DELETE FROM approvals"]);
    verify().ok();
    write(&[
        "DROP TRIGGER events_are_never_deleted",
        "DELETE FROM events WHERE sequence = (SELECT MAX(sequence) FROM events)",
    ]);
    let cut = verify();
    assert!(cut.code == 1 && cut.err.contains("the last ones were removed"), "{cut:?}");
}
