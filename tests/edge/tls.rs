//! D.2 15: the client talks TLS to nobody whose certificate does not stand for the host that it asked for, today, by an
//! authority that the system trusts.
//!
//! The system's authorities are named by an environment variable, so the client runs in a process of its own: this program
//! again, which alone has the variable.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rebalanced::edge::alpaca::Hosts;
use rebalanced::edge::alpaca::transport::{Transport, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Where the child finds the ports that it asks, one for each certificate.
const PORTS: &str = "TLS_TEST_PORTS";

/// A certificate for a host name and this year, or for another one of each.
fn params(host: &str, is_expired: bool) -> CertificateParams {
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2015, 1, 1);
    params.not_after = date_time_ymd(if is_expired { 2016 } else { 2090 }, 1, 1);
    params
}

/// Answers one and the same to whoever accepts its certificate.
async fn serve(certificate: rcgen::Certificate, key: KeyPair) -> SocketAddr {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = [0; 4096];
                drop(stream.read(&mut request).await);
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
                drop(stream.write_all(answer).await);
                drop(stream.shutdown().await);
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d2_15_self_signed_expired_and_foreign_certificates_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = params("authority", false);
    authority.distinguished_name.push(DnType::CommonName, "the authority of this test");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let trusted = folder.path().join("authorities.pem");
    std::fs::write(&trusted, authority.pem()).unwrap();
    let mut ports = Vec::new();
    for (host, is_expired) in [("localhost", false), ("localhost", true), ("api.alpaca.markets", false)] {
        let key = KeyPair::generate().unwrap();
        let certificate = params(host, is_expired).signed_by(&key, &authority).unwrap();
        ports.push(serve(certificate, key).await.port().to_string());
    }
    let key = KeyPair::generate().unwrap();
    let alone = params("localhost", false).self_signed(&key).unwrap();
    ports.push(serve(alone, key).await.port().to_string());
    let asks = move || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tls::asks_the_servers_that_another_process_names", "--nocapture"])
            .env("SSL_CERT_FILE", trusted)
            .env_remove("SSL_CERT_DIR")
            .env(PORTS, ports.join(","))
            .output()
            .unwrap()
    };
    let ran = tokio::task::spawn_blocking(asks).await.unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    let answers: Vec<&str> =
        said.lines().filter_map(|line| line.split_once("answer: ")).map(|(_, said)| said).collect();
    assert_eq!(answers.len(), 4, "{said}");
    assert_eq!(answers[0], "200", "the right certificate is accepted");
    for (answer, why) in answers[1..].iter().zip(["expired", "not valid for name", "UnknownIssuer"]) {
        assert!(answer.to_lowercase().contains(&why.to_lowercase()), "{why}: {answer}");
    }
    println!("3 wrong certificates (expired, for another host, self-signed): 3 refused");
}

/// The client's side; it has something to do only when the test above starts it.
#[tokio::test]
async fn asks_the_servers_that_another_process_names() {
    let Ok(ports) = std::env::var(PORTS) else { return };
    for port in ports.split(',') {
        let url = |path: &str| format!("https://localhost:{port}{path}").parse().unwrap();
        let wire = Wire::new(&Hosts {
            live: url("/live"),
            paper: url("/paper"),
            data: url("/data"),
            authorize: url("/app"),
            token: url("/token"),
            streams: None,
        });
        let request = http::Request::get(format!("https://localhost:{port}/live/v2/account")).body(Bytes::new());
        let answer = wire.unwrap().send(request.unwrap()).await;
        println!(
            "\nanswer: {}",
            answer.map_or_else(|lost| lost.to_string(), |answer| answer.status().as_u16().to_string())
        );
    }
}
