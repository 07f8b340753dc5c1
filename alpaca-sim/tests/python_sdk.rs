//! The official Python SDK, unchanged, against a spawned simulator: only its URL overrides are set.
//!
//! Needs `python3` with `venv`, and PyPI (or an index that pip is configured for) the first time; the environment is
//! kept under the target directory between runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The SDK that is tested; another version gets its own environment.
const SDK: &str = "alpaca-py==0.44.0";

/// A simulator of its own, ended with the test.
struct Simulator(Child);

impl Drop for Simulator {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn run(what: &str, help: &str, command: &mut Command) {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => panic!("{what}: {error}. {help}"),
    };
    assert!(
        output.status.success(),
        "{what} failed. {help}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// An environment with the SDK in it; made once and then found again.
fn python() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(SDK.replace("==", "-"));
    let python = home.join("bin/python");
    let complete = home.join("complete");
    if !complete.exists() {
        let help = "This test needs Python 3.9 or newer with venv: on Debian, apt install python3 python3-venv.";
        run("making a Python environment", help, Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home));
        let help = "This test installs the official SDK: PyPI must be reachable, or pip configured for an index.";
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", SDK];
        run("installing the SDK", help, Command::new(&python).args(pip));
        std::fs::write(&complete, SDK).unwrap();
    }
    python
}

fn start() -> (Simulator, Value) {
    let arguments = ["--listen", "127.0.0.1:0", "--clock", "2019-12-02T15:00:00Z", "--speed", "20", "--auto-consent"];
    let limits = ["--requests-per-minute", "0"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_alpaca-sim"))
        .args(arguments)
        .args(limits)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the simulator starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let greeting = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no greeting: {line}"));
    (Simulator(child), greeting)
}

/// A token through the code flow, as an app would get it.
async fn token(greeting: &Value) -> String {
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let callback = "http://127.0.0.1:8080/oauth/callback";
    let query =
        [("response_type", "code"), ("client_id", "sim-client"), ("redirect_uri", callback), ("scope", "trading data")];
    let answer = client.get(greeting["authorize"].as_str().unwrap()).query(&query).send().await.unwrap();
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let code = location.split_once("code=").unwrap().1.to_owned();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("client_id", "sim-client"),
        ("client_secret", "sim-client-secret"),
        ("redirect_uri", callback),
    ];
    let answer = client.post(greeting["token"].as_str().unwrap()).form(&form).send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    body["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_official_sdk_works_unchanged() {
    let python = python();
    let (simulator, greeting) = start();
    let key = &greeting["people"][0]["paper"][0]["key"];
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/official_sdk.py");
    let mut command = Command::new(python);
    command
        .arg(script)
        .arg(greeting["listening"].as_str().unwrap())
        .args([key["key_id"].as_str().unwrap(), key["secret"].as_str().unwrap()])
        .arg(token(&greeting).await)
        .env("NO_PROXY", "127.0.0.1");
    run("the SDK's script", "Its trace says where it stopped.", &mut command);
    drop(simulator);
}
