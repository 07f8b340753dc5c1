//! D.2 13: nobody of the daemon's own user reads its memory.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::Scratch;

/// Somebody without any rights, to whom the daemon and its spy belong while the test is root.
const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn as_somebody(command: &mut Command) -> &mut Command {
    if is_root() { command.uid(NOBODY).gid(NOBODY) } else { command }
}

fn give(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    }
}

/// Whether another process of the same user reads this process's environment, which needs the right to trace it.
fn is_read(process: &Child) -> bool {
    let mut spy = Command::new("cat");
    spy.arg(format!("/proc/{}/environ", process.id())).stdout(Stdio::null()).stderr(Stdio::null());
    as_somebody(&mut spy).status().unwrap().success()
}

#[test]
fn d2_13_a_process_of_the_same_user_cannot_trace_the_daemon() {
    let scratch = Scratch::new();
    let program = scratch.path().join("program");
    std::fs::copy(env!("CARGO_BIN_EXE_rebalanced"), &program).unwrap();
    give(scratch.path());
    let mut other = as_somebody(Command::new("sleep").arg("60")).spawn().unwrap();
    assert!(is_read(&other), "a process that does nothing against it is read");
    other.kill().unwrap();
    other.wait().unwrap();
    let mut command = Command::new(&program);
    command.env_clear().current_dir(scratch.path()).args(["run", "--config", "rebalanced.toml"]);
    let mut daemon = as_somebody(&mut command).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = BufReader::new(daemon.stderr.take().unwrap());
    let ready = log.lines().map_while(Result::ok).any(|line| line.contains("\"ready\""));
    assert!(ready, "it starts as that user");
    let read = is_read(&daemon);
    let owner = std::fs::metadata(format!("/proc/{}/mem", daemon.id())).unwrap().uid();
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert!(!read, "its memory is its own");
    assert_eq!(owner, 0, "the system has taken it from its user");
}
