//! The system gives the process no more: files, memory, threads.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rand::Rng;
use rebalanced::model::time::Moment;

use crate::stage::{PATIENCE, Running, Stage, dice, sample, tail, until};
use crate::strace::words;

/// So long, in the exchange's time, a daemon may try what it has no means for before it is given them.
const TRIES: i64 = 150;

#[test]
fn row_60_with_too_few_files_no_order_is_lost_and_work_goes_on_when_there_are_more() {
    let mut stage = Stage::new();
    let needed = in_service(&stage, files);
    let mut dice = dice(60);
    let (mut short, mut ended) = (0, 0);
    let number = sample(6);
    for nth in 0..number {
        // From far too few to enough.
        let most = needed.saturating_sub(12) + dice.random_range(0..=2) + nth * 14 / number;
        stage.reason_to_trade();
        let before = [format!("--nofile={most}:4096")];
        let mut daemon =
            stage.start_as(&[&["prlimit".to_owned()], before.as_slice(), &["--".to_owned()]].concat(), &[]);
        stage.let_try(&mut daemon, TRIES);
        short += usize::from(daemon.ended().is_some() || daemon.log().contains("Too many open files"));
        if daemon.ended().is_some() {
            ended += 1;
            daemon = stage.start();
        } else {
            limit(&daemon, "--nofile=1024:4096");
        }
        let since = Moment::from(stage.sim.now());
        assert!(stage.carried_through(&mut daemon, since), "{most} files: it ended: {}", tail(&daemon.log()));
        daemon.stop();
        let verdict = stage.judge();
        assert!(verdict.is_clean(), "{most} files: {verdict:#?}");
    }
    let orders = stage.judge().orders;
    println!("row 60: limits of files {number} about {needed}, too few {short}, ended {ended}, orders {orders}");
    assert!(short > 0, "there were enough files each time");
}

#[test]
fn row_60_without_more_threads_no_order_is_lost() {
    let mut stage = Stage::new();
    let mut dice = dice(601);
    let (number, mut ended) = (sample(4), 0);
    for _ in 0..number {
        let nth = dice.random_range(1..=5);
        stage.reason_to_trade();
        let inject = format!("clone,clone3:error=EAGAIN:when={nth}+");
        let mut daemon = stage.start_as(&words(&["clone", "clone3"], Some(&inject), None), &[]);
        stage.let_try(&mut daemon, TRIES);
        ended += usize::from(daemon.ended().is_some());
        daemon.signal("KILL");
        drop(daemon);
        stage.settle();
        let mut verdict = stage.judge();
        verdict.broken.retain(|line| !line.contains("a panic:"));
        assert!(verdict.is_clean(), "no thread after {nth} of one thread: {verdict:#?}");
    }
    println!("row 60: limits of threads {number}, ended {ended}, orders {}", stage.judge().orders);
}

#[test]
fn row_21_without_more_memory_it_is_as_if_it_were_killed() {
    let mut stage = Stage::new();
    let needed = in_service(&stage, memory);
    let mut dice = dice(21);
    let (number, mut ended) = (sample(8), 0);
    for nth in 0..number {
        stage.reason_to_trade();
        // From the start on, or in the middle of its work.
        let (mut daemon, trial) = if nth % 2 == 0 {
            let most = needed / 32 * dice.random_range(2..=12);
            let before = ["prlimit".to_owned(), format!("--as={most}"), "--".to_owned()];
            (stage.start_as(&before, &[]), format!("{most} bytes from the start"))
        } else {
            let (requests, more) = (dice.random_range(0..=12), dice.random_range(0..=64_u64) * 1024);
            let before = stage.requests();
            let daemon = stage.start();
            let come = until(PATIENCE, || (stage.requests() >= before + requests).then_some(()));
            assert!(come.is_some(), "{requests} requests never came: {}", tail(&daemon.log()));
            limit(&daemon, &format!("--as={}", memory(&daemon) + more));
            (daemon, format!("{more} bytes more after {requests} requests"))
        };
        stage.let_try(&mut daemon, TRIES);
        ended += usize::from(daemon.ended().is_some());
        println!("row 21: {trial}: {:?}", daemon.ended());
        daemon.signal("KILL");
        drop(daemon);
        stage.settle();
        let mut verdict = stage.judge();
        verdict.broken.retain(|line| !line.contains("a panic:"));
        assert!(verdict.is_clean(), "{trial}: {verdict:#?}");
    }
    println!("row 21: limits of memory {number}, ended by it {ended}, orders {}", stage.judge().orders);
    assert!(ended > 0, "there was enough memory each time");
}

/// Changes a limit of a running program.
fn limit(daemon: &Running, limit: &str) {
    let pid = daemon.pid().to_string();
    let changed = Command::new("prlimit").args(["--pid", &pid, limit]).stderr(Stdio::null()).status().unwrap();
    // A program that has just ended has no limits any more.
    assert!(changed.success() || !Path::new(&format!("/proc/{pid}/fd/0")).exists(), "{limit}");
}

/// The size of its memory, in bytes.
fn memory(daemon: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1024
}

/// How much of something a daemon has that has done its work.
fn in_service<T>(stage: &Stage, measure: impl FnOnce(&Running) -> T) -> T {
    let mut daemon = stage.start();
    let since = Moment::from(stage.sim.now());
    assert!(stage.carried_through(&mut daemon, since));
    let measured = measure(&daemon);
    daemon.stop();
    measured
}

/// How many files it has open.
fn files(daemon: &Running) -> usize {
    fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count()
}
