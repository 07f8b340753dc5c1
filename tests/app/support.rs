//! A scratch folder with everything that a daemon needs, the program itself, and a plain HTTP client. Loopback only.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub const TOKEN: &str = "an-operator-token-for-tests";
pub const SECRET: &str = "canary-client-secret";

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_mins(1);

pub const SIXTY_FORTY: &str = r#"name = "sixty-forty"
description = "60% US stocks, 35% US bonds, 5% cash, kept inside bands."

[schedule]
cron = "0 45 15 * * Mon-Fri"
timezone = "America/New_York"

[[weights]]
symbol = "SPY"
percent = 60
[[weights]]
symbol = "AGG"
percent = 35
[cash]
percent = 5

[rebalance]
drift_absolute_percent = 5
drift_relative_percent = 20
"#;

/// A folder with a configuration whose every address is on this machine.
pub struct Scratch {
    folder: TempDir,
}

impl Scratch {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Self { folder };
        scratch.secret("client-secret", SECRET);
        scratch.secret("operator-token", TOKEN);
        scratch.secret("vault.key", &"5e".repeat(32));
        scratch.write("strategies/sixty-forty.toml", SIXTY_FORTY);
        // Nothing listens on port 9 (discard) here; a test that needs a broker says so.
        scratch.write(
            "rebalanced.toml",
            r#"
[database]
url = "sqlite:rebalanced.sqlite"
[alpaca]
client_id = "client"
client_secret_file = "client-secret"
redirect_uri = "http://127.0.0.1:8080/oauth/callback"
authorize_url = "http://127.0.0.1:9/app/oauth/authorize"
token_url = "http://127.0.0.1:9/live/oauth/token"
live_url = "http://127.0.0.1:9/live"
paper_url = "http://127.0.0.1:9/paper"
data_url = "http://127.0.0.1:9/data"
live_stream_url = "ws://127.0.0.1:9/live/stream"
paper_stream_url = "ws://127.0.0.1:9/paper/stream"
[vault]
key_file = "vault.key"
[web]
public_listen = "127.0.0.1:0"
operator_listen = "127.0.0.1:0"
operator_token_file = "operator-token"
[strategies]
dir = "strategies"
[log]
format = "json"
level = "debug"
"#,
        );
        scratch
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn config(&self) -> PathBuf {
        self.path().join("rebalanced.toml")
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub fn secret(&self, name: &str, text: &str) {
        let path = self.write(name, text);
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The program with an empty environment, in this folder.
    pub fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rebalanced"));
        command.env_clear().current_dir(self.path());
        command
    }

    /// Runs a command with this folder's configuration.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.program().args(arguments).arg("--config").arg(self.config()))
    }

    /// The same, with the arguments as one line of words.
    pub fn line(&self, line: &str) -> Ran {
        self.run(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Starts the daemon and waits until it tells its service manager that it is ready.
    pub fn daemon(&self) -> Daemon {
        let mut command = self.program();
        command.args(["run", "--config"]).arg(self.config());
        Daemon::start(command, self.path())
    }
}

/// A command that has run.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
    }

    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A running daemon. It is killed when dropped.
pub struct Daemon {
    child: Child,
    manager: UnixDatagram,
    lines: Receiver<String>,
    pub log: Vec<String>,
    pub public: String,
    pub operator: String,
}

impl Daemon {
    pub fn start(mut command: Command, folder: &Path) -> Self {
        let socket = folder.join("notify.sock");
        drop(fs::remove_file(&socket));
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        command.env("NOTIFY_SOCKET", &socket).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                drop(sender.send(line));
            }
        });
        let mut daemon =
            Self { child, manager, lines, log: Vec::new(), public: String::new(), operator: String::new() };
        daemon.wait_for("READY=1");
        let listening =
            daemon.log.iter().find(|line| line.contains("\"listening\"")).expect("it says where it listens");
        let listening: Value = serde_json::from_str(listening).unwrap();
        listening["public"].as_str().unwrap().clone_into(&mut daemon.public);
        listening["operator"].as_str().unwrap().clone_into(&mut daemon.operator);
        daemon
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a message to the service manager.
    pub fn wait_for(&mut self, message: &str) {
        let until = Instant::now() + PATIENCE;
        let mut buffer = [0; 4096];
        loop {
            self.read_log();
            if let Ok(length) = self.manager.recv(&mut buffer)
                && String::from_utf8_lossy(&buffer[..length]).contains(message)
            {
                std::thread::sleep(Duration::from_millis(20));
                self.read_log();
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the daemon ended with {ended:?} before {message}:\n{}", self.log.join("\n"));
            assert!(Instant::now() < until, "no {message} in time:\n{}", self.log.join("\n"));
        }
    }

    /// Waits until its log has so many lines with this text.
    pub fn wait_for_lines(&mut self, text: &str, number: usize) {
        let until = Instant::now() + PATIENCE;
        while self.log.iter().filter(|line| line.contains(text)).count() < number {
            assert!(Instant::now() < until, "no {number} lines with {text}:\n{}", self.log.join("\n"));
            std::thread::sleep(Duration::from_millis(5));
            self.read_log();
        }
    }

    fn read_log(&mut self) {
        self.log.extend(self.lines.try_iter());
    }

    /// Sends a signal, as a service manager would.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Stops it politely and gives its exit status and its whole log.
    pub fn stop(mut self) -> (ExitStatus, Vec<String>) {
        self.signal("TERM");
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "it does not stop");
            std::thread::sleep(Duration::from_millis(20));
        };
        self.log.extend(self.lines.iter());
        (status, std::mem::take(&mut self.log))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// One request over a connection of its own.
pub fn http(method: &str, host: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut lines = vec![format!("{method} {path} HTTP/1.1"), format!("Host: {host}"), "Connection: close".to_owned()];
    lines.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
    lines.push(format!("Content-Length: {}", body.len()));
    let request = format!("{}\r\n\r\n{body}", lines.join("\r\n"));
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// A plain GET.
pub fn get(host: &str, path: &str) -> Answer {
    http("GET", host, path, &[], "")
}
