//! The disk is full: the database lies on a small disk of its own, of which a filler leaves so much.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rand::Rng;
use rebalanced::model::time::Moment;

use crate::stage::{PATIENCE, Running, Stage, copy_folder, dice, sample, tail, until};

const BLOCK: usize = 4096;

/// So long, in the exchange's time, a daemon that has room enough is waited for.
const WHILE: i64 = 200;

/// A small disk in memory, unmounted when dropped.
struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// `None` when this user may not mount.
    fn mounted(folder: &Path) -> Option<Self> {
        let made = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "small"]).arg(folder).status();
        made.is_ok_and(|status| status.success()).then(|| Self { folder: folder.to_owned() })
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    /// Leaves so many blocks free.
    fn fill(&self, blocks: usize) {
        let mut file = File::create(self.filler()).unwrap();
        let mut written = 0;
        while file.write_all(&[0x5e; BLOCK]).is_ok() {
            written += BLOCK;
        }
        drop(file);
        let length = written.saturating_sub(blocks * BLOCK) as u64;
        OpenOptions::new().write(true).open(self.filler()).unwrap().set_len(length).unwrap();
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.folder).status());
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn row_62_on_a_full_disk_nothing_is_sent_unrecorded_and_work_goes_on_when_it_is_freed() {
    let mut stage = Stage::new();
    let before = stage.copy_state("before");
    let Some(disk) = Disk::mounted(&stage.state()) else {
        assert!(!is_root(), "root could not mount a small disk");
        eprintln!("ROW 62 WAS NOT TESTED: this user may not mount a small disk; run it as root");
        return;
    };
    copy_folder(&before, &stage.state());
    let mut dice = dice(62);
    let number = sample(9);
    let (mut full, mut ended) = (0, 0);
    for nth in 0..number {
        // The first sizes are the smallest; then any, before the start or in the middle of the work.
        let blocks = if nth < 3 { nth } else { dice.random_range(3..=60) };
        let requests = if nth % 3 == 0 { None } else { Some(dice.random_range(1..=30)) };
        let trial = format!("{blocks} blocks left, filled after {requests:?} requests");
        stage.reason_to_trade();
        let mut daemon = filled(&stage, &disk, blocks, requests);
        let since = Moment::from(stage.sim.now());
        let is_full = until(PATIENCE, || trouble_or_done(&stage, &mut daemon, since)).unwrap_or_else(|| {
            panic!("{trial}: neither trouble nor an end: {}", tail(&daemon.log()));
        });
        full += usize::from(is_full);
        // What the broker has, the database has: by a copy on a disk with room.
        let copy = stage.copy_state("copy");
        drop(fs::remove_file(copy.join("filler")));
        let verdict = stage.judge_at(&copy.join("rebalanced.sqlite"));
        assert!(verdict.unrecorded.is_empty() && verdict.doubled.is_empty(), "{trial}: {verdict:#?}");
        disk.free();
        if daemon.ended().is_some() {
            ended += 1;
            daemon = stage.start();
        }
        let since = Moment::from(stage.sim.now());
        assert!(stage.carried_through(&mut daemon, since), "{trial}: it ended: {}", tail(&daemon.log()));
        daemon.stop();
        let verdict = stage.judge();
        assert!(verdict.is_clean(), "{trial}: {verdict:#?}");
    }
    let orders = stage.judge().orders;
    println!("row 62: sizes {number}, disk really full {full}, daemon ended itself {ended}, orders {orders}");
    assert!(full * 2 >= number, "the disk was full {full} times");
}

/// A daemon whose disk is filled before its start, or after so many requests.
fn filled(stage: &Stage, disk: &Disk, blocks: usize, requests: Option<u64>) -> Running {
    let Some(requests) = requests else {
        disk.fill(blocks);
        return stage.start();
    };
    let before = stage.requests();
    let daemon = stage.start();
    let come = until(PATIENCE, || (stage.requests() >= before + requests).then_some(()));
    assert!(come.is_some(), "{requests} requests never came: {}", tail(&daemon.log()));
    disk.fill(blocks);
    daemon
}

/// Whether the disk was too small for it (`true`), or its work is done all the same.
fn trouble_or_done(stage: &Stage, daemon: &mut Running, since: Moment) -> Option<bool> {
    if daemon.log().contains("the database cannot be used now") || daemon.ended().is_some() {
        return Some(true);
    }
    (stage.sim.now().duration_since(since.timestamp()).as_secs() > WHILE).then_some(false)
}
