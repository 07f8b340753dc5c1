//! Real HTTP on loopback: only to the configured hosts, once, directly, and bounded.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use rebalanced::edge::alpaca::Hosts;
use rebalanced::edge::alpaca::transport::{Error, Transport, Wire};

/// Serves the same bytes to every caller; counts the callers.
fn server(answer: Vec<u8>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 4096];
            drop(stream.read(&mut request));
            drop(stream.write_all(&answer));
        }
    });
    (address, calls)
}

fn hosts(address: SocketAddr) -> Hosts {
    let url = |path: &str| format!("http://{address}{path}").parse().unwrap();
    Hosts {
        live: url("/live"),
        paper: url("/paper"),
        data: url("/data"),
        authorize: url("/app/oauth/authorize"),
        token: url("/live/oauth/token"),
        streams: None,
    }
}

fn get(url: &str) -> http::Request<Bytes> {
    http::Request::get(url).body(Bytes::new()).unwrap()
}

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())
        .into_bytes()
}

#[tokio::test]
async fn any_other_host_is_refused_before_its_name_is_looked_up() {
    let (address, calls) = server(answer("200 OK", "", "hello"));
    let wire = Wire::new(&hosts(address)).unwrap();
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = other.local_addr().unwrap().port();
    other.set_nonblocking(true).unwrap();
    for url in [
        "https://api.alpaca.markets/v2/account".to_owned(),
        "http://never-registered.invalid/".to_owned(),
        format!("http://127.0.0.1:{port}/paper/v2/account"),
        format!("https://127.0.0.1:{}/paper/v2/account", address.port()),
        format!("http://localhost:{}/paper/v2/account", address.port()),
        format!("http://127.0.0.1:{}@127.0.0.1:{port}/", address.port()),
    ] {
        let lost = wire.send(get(&url)).await.unwrap_err().to_string();
        assert!(lost.contains("not one of the configured hosts; nothing was sent"), "{url}: {lost}");
    }
    assert!(other.accept().is_err(), "nobody came");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    let answer = wire.send(get(&format!("http://{address}/paper/v2/account"))).await.unwrap();
    assert_eq!(answer.body(), "hello");
}

#[tokio::test]
async fn row_13_a_redirect_is_an_answer_and_is_not_followed() {
    let (trap, trapped) = server(answer("200 OK", "", "the token, please"));
    for status in ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let (address, calls) = server(answer(status, &format!("location: http://{trap}/\r\n"), ""));
        let mut here = hosts(address);
        here.data = format!("http://{trap}/data").parse().unwrap();
        let wire = Wire::new(&here).unwrap();
        let mut request = http::Request::post(format!("http://{address}/paper/v2/orders"));
        request = request.header("authorization", "Bearer canary");
        let answer = wire.send(request.body(Bytes::from("{}")).unwrap()).await.unwrap();
        assert!(answer.status().is_redirection());
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }
    assert_eq!(trapped.load(Ordering::SeqCst), 0, "also when the other place is an allowed one");
}

#[test]
fn tokens_never_travel_in_the_open() {
    let mut hosts = hosts("127.0.0.1:9".parse().unwrap());
    assert!(hosts.all_loopback());
    hosts.paper = "http://paper-api.alpaca.markets".parse().unwrap();
    assert!(!hosts.all_loopback());
    let error = Wire::new(&hosts).unwrap_err();
    assert!(matches!(&error, Error::Plain(_)), "{error}");
    assert!(error.to_string().contains("http://paper-api.alpaca.markets"), "{error}");
    hosts.paper = "https://paper-api.alpaca.markets".parse().unwrap();
    Wire::new(&hosts).unwrap();
    for (address, is_here) in [
        ("http://[::1]:1", true),
        ("http://localhost", true),
        ("http://127.9.9.9", true),
        ("http://localhost.evil", false),
    ] {
        hosts.paper = address.parse().unwrap();
        assert_eq!(hosts.all_loopback(), is_here, "{address}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_lost() {
    let whole = answer("200 OK", "", "{\"id\":\"1\"}");
    for end in [0, 5, 20, whole.len() - 1] {
        let (address, calls) = server(whole[..end].to_vec());
        let wire = Wire::new(&hosts(address)).unwrap();
        let lost = wire.send(get(&format!("http://{address}/paper/v2/account?secret=1"))).await;
        assert!(lost.is_err(), "cut at {end}: {lost:?}");
        assert!(!lost.unwrap_err().to_string().contains("secret"), "no address in the message");
        assert_eq!(calls.load(Ordering::SeqCst), 1, "and it is not asked again");
    }
    let mut endless = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
    endless.resize(17 << 20, b'x');
    let (address, _) = server(endless);
    let wire = Wire::new(&hosts(address)).unwrap();
    let lost = wire.send(get(&format!("http://{address}/data/"))).await.unwrap_err();
    assert!(lost.to_string().contains("larger"), "{lost}");
}

#[tokio::test]
async fn a_host_that_does_not_listen_is_lost_with_its_cause() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let wire = Wire::new(&hosts(address)).unwrap();
    let lost = wire.send(get(&format!("http://{address}/paper/"))).await.unwrap_err().to_string();
    assert!(lost.to_lowercase().contains("refused"), "{lost}");
}

/// Set in the child process of the test below, whose environment names a proxy.
const CHILD: &str = "REBALANCED_TEST_BEHIND_A_PROXY";

#[test]
fn no_proxy_is_used_whatever_the_environment_says() {
    if let Ok(address) = std::env::var(CHILD) {
        let address: SocketAddr = address.parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let wire = Wire::new(&hosts(address)).unwrap();
        runtime.block_on(wire.send(get(&format!("http://{address}/paper/")))).unwrap();
        return;
    }
    let (address, calls) = server(answer("200 OK", "", "hello"));
    let (proxy, proxied) = server(answer("200 OK", "", "from the proxy"));
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "wire::no_proxy_is_used_whatever_the_environment_says"]).env(CHILD, address.to_string());
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
        child.env(name, format!("http://{proxy}"));
    }
    for name in ["NO_PROXY", "no_proxy"] {
        child.env_remove(name);
    }
    let ran = child.output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    assert_eq!((calls.load(Ordering::SeqCst), proxied.load(Ordering::SeqCst)), (1, 0));
}
