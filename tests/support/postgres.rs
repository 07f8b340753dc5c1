//! A throw-away PostgreSQL server for the tests of one process.
//!
//! It is started once for each test process, listens on a Unix socket in a temporary folder only, and is stopped when the
//! process ends, in whatever way: a shell waits for the end of its input, which the process holds.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

/// The address of a fresh, empty database on our own server.
pub(crate) fn empty_postgres() -> String {
    let cluster = CLUSTER.get_or_init(Cluster::start);
    let name = new_name();
    cluster.run(&format!("CREATE DATABASE {name}"));
    cluster.address(&name)
}

fn new_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The address of a fresh database with all that is in this one, to which nobody is connected.
#[allow(dead_code, reason = "not every test binary copies databases")]
pub(crate) fn copy_of(url: &str) -> String {
    let cluster = CLUSTER.get_or_init(Cluster::start);
    let source = url.trim_start_matches("postgres:///").split('?').next().unwrap_or_default();
    let name = new_name();
    // A connection that has just been closed may still be seen for a moment.
    cluster.run(&format!("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{source}'"));
    cluster.run(&format!("CREATE DATABASE {name} TEMPLATE {source}"));
    cluster.address(&name)
}

/// Runs the owner's SQL on a database of ours, as its owner would by hand; variables as `name=value`.
#[allow(dead_code, reason = "not every test binary has an owner")]
pub(crate) fn as_owner(url: &str, arguments: &[&str]) {
    let cluster = CLUSTER.get_or_init(Cluster::start);
    succeed(Command::new(cluster.bin.join("psql")).args(["-q", "-v", "ON_ERROR_STOP=1"]).args(arguments).arg(url));
}

static CLUSTER: OnceLock<Cluster> = OnceLock::new();

struct Cluster {
    folder: PathBuf,
    bin: PathBuf,
    /// Its input closes when this process ends: then the shell stops the server and removes the folder.
    _keeper: Child,
}

impl Cluster {
    fn start() -> Self {
        let bin = binaries();
        let folder = TempDir::with_prefix("rebalanced-pg-").unwrap().keep();
        let data = folder.join("data");
        if am_root() {
            succeed(Command::new("chown").arg("postgres").arg(&folder));
        }
        succeed(
            as_postgres(&bin.join("initdb")).arg("-D").arg(&data).args(["-A", "trust", "-U", "postgres", "-E", "UTF8"]),
        );
        let options = format!("-c listen_addresses='' -c unix_socket_directories='{}'", folder.display());
        succeed(
            as_postgres(&bin.join("pg_ctl"))
                .arg("-D")
                .arg(&data)
                .arg("-l")
                .arg(folder.join("server.log"))
                .arg("-o")
                .arg(options)
                .args(["-w", "start"]),
        );
        let keeper = Command::new("sh")
            .arg("-c")
            .arg("cat >/dev/null; kill -QUIT \"$(head -n 1 \"$1/data/postmaster.pid\")\"; sleep 1; rm -rf \"$1\"")
            .arg("keeper")
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { folder, bin, _keeper: keeper }
    }

    fn address(&self, name: &str) -> String {
        format!("postgres:///{name}?host={}&user=postgres", self.folder.display())
    }

    fn run(&self, sql: &str) {
        succeed(
            Command::new(self.bin.join("psql"))
                .arg("-h")
                .arg(&self.folder)
                .args(["-U", "postgres", "-d", "postgres", "-q", "-c", sql]),
        );
    }
}

/// PostgreSQL refuses to run as root; Debian's package brings a user for it.
fn as_postgres(program: &Path) -> Command {
    if !am_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program).current_dir("/");
    command
}

fn am_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

fn binaries() -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        installed.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").exists()).collect();
    found.sort();
    let on_path = std::env::var_os("PATH")
        .and_then(|paths| std::env::split_paths(&paths).find(|folder| folder.join("initdb").exists()));
    found.pop().or(on_path).expect(
        "the tests need PostgreSQL's server binaries (not a running server); on Debian: sudo apt-get install postgresql",
    )
}

fn succeed(command: &mut Command) {
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    assert!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
}
