//! The socket side: one listener for all hosts, connections that can be cut, and the beat that moves the exchange.
//!
//! Always: a dropped request ends in a reset connection without a byte of answer; the control paths are served here
//! and never under a host prefix. Everything else is `gate`'s business, the same as for requests in memory.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{ConnectInfo, FromRequestParts as _, Request};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use axum::serve::{IncomingStream, Listener};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::http::auth::Host;
use crate::http::control;
use crate::http::gate::{self, Outcome};
use crate::http::reply::Reply;
use crate::http::request::Inbound;
use crate::http::stream;
use crate::sim::Sim;

/// How often the background beat carries out what has become due.
const BEAT: Duration = Duration::from_millis(20);
/// Larger bodies are refused; the largest real ones are a few kilobytes.
const BODY_LIMIT: usize = 1 << 20;

/// Lets a handler cut the connection that its request came on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line(Arc<AtomicBool>);

impl Line {
    fn cut(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_cut(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl axum::extract::connect_info::Connected<IncomingStream<'_, Lines>> for Line {
    fn connect_info(stream: IncomingStream<'_, Lines>) -> Self {
        stream.io().line.clone()
    }
}

/// A TCP listener whose connections can be cut.
#[derive(Debug)]
struct Lines(TcpListener);

impl Listener for Lines {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot switch Nagle's algorithm off");
        }
        (Wire { stream, line: Line::default() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection that turns into a reset once its line is cut.
#[derive(Debug)]
struct Wire {
    stream: TcpStream,
    line: Line,
}

impl Wire {
    fn check(&self) -> io::Result<()> {
        if self.line.is_cut() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.line.is_cut() {
            // Closing with a linger of zero sends a reset instead of an orderly end.
            let _best_effort = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Err(error) = self.check() {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Err(error) = self.check() {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Err(error) = self.check() {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Err(error) = self.check() {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Err(error) = self.check() {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The router over all hosts; `stop` ends the sockets of the streams.
pub(crate) fn router(sim: &Sim, stop: CancellationToken) -> Router {
    let sim = sim.clone();
    Router::new().fallback(move |request: Request| {
        let (sim, stop) = (sim.clone(), stop.clone());
        async move { answer(sim, stop, request).await }
    })
}

async fn answer(sim: Sim, stop: CancellationToken, request: Request) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    if parts.headers.contains_key(header::UPGRADE)
        && let Some((host @ (Host::Live | Host::Paper), "/stream")) = Host::split(parts.uri.path())
    {
        let opening = Inbound {
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
            body: Bytes::new(),
        };
        if let Some(instead) = gate::handshake(&sim, &opening).await {
            return finish(instead, line(&parts));
        }
        return match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => upgrade.on_upgrade(move |socket| stream::serve(sim, host, socket, stop)),
            Err(rejection) => rejection.into_response(),
        };
    }
    let line = line(&parts);
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return respond(Reply::refuse(StatusCode::PAYLOAD_TOO_LARGE, "request body too large"), None);
    };
    let inbound = Inbound { method: parts.method, uri: parts.uri, headers: parts.headers, body };
    finish(outcome(&sim, &inbound).await, line)
}

/// The connection a request came on, if it can be cut.
fn line(parts: &axum::http::request::Parts) -> Option<Line> {
    parts.extensions.get::<ConnectInfo<Line>>().map(|info| info.0.clone())
}

/// Turns an outcome into what goes over the wire.
fn finish(outcome: Outcome, line: Option<Line>) -> Response<Body> {
    match outcome {
        Outcome::Answer(reply) => respond(reply, None),
        Outcome::Cut(reply, bytes) => respond(reply, Some(bytes)),
        Outcome::Dropped => {
            if let Some(line) = line {
                line.cut();
            }
            // Never seen on a line that was cut; around another server's lines, a body that fails at once ends them too.
            let failed = [Err::<Bytes, io::Error>(io::ErrorKind::ConnectionReset.into())];
            Response::new(Body::from_stream(futures_util::stream::iter(failed)))
        }
    }
}

/// The one way in, for sockets and for requests in memory.
pub(crate) async fn outcome(sim: &Sim, inbound: &Inbound) -> Outcome {
    sim.advance();
    if let Some(path) = inbound.path().strip_prefix("/sim/") {
        return Outcome::Answer(control::route(sim, path, inbound));
    }
    gate::pass(sim, inbound).await
}

/// Status and headers, without a body.
pub(crate) fn head<T>(reply: Reply, body: T) -> Response<T> {
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    if let Some(kind) = reply.kind.content_type() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    if reply.status != StatusCode::NO_CONTENT {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(reply.body.len()));
    }
    for (name, value) in reply.headers {
        headers.append(name, value);
    }
    response
}

fn respond(mut reply: Reply, cut_at: Option<usize>) -> Response<Body> {
    let Some(bytes) = cut_at else {
        let body = Body::from(reply.body.clone());
        return head(reply, body);
    };
    let sent = reply.body.slice(..bytes.min(reply.body.len()));
    let broken = async {
        // Time for what was sent so far to leave; a body that fails at once takes its own beginning with it.
        tokio::time::sleep(BEAT).await;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    };
    let beginning = futures_util::stream::iter([Ok::<Bytes, io::Error>(sent)]);
    let response = Body::from_stream(beginning.chain(futures_util::stream::once(broken)));
    if reply.body.is_empty() {
        // An announced length of zero would make the cut invisible.
        reply.body = Bytes::from_static(b" ");
    }
    head(reply, response)
}

/// Serves until told to stop; the beat runs beside it.
pub(crate) async fn serve(sim: &Sim, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
    let beat = {
        let (sim, stop) = (sim.clone(), stop.clone());
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(BEAT);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    _ = ticks.tick() => sim.advance(),
                }
            }
        })
    };
    let app = router(sim, stop.clone()).into_make_service_with_connect_info::<Line>();
    let served = axum::serve(Lines(listener), app).with_graceful_shutdown(stop.clone().cancelled_owned()).await;
    stop.cancel();
    let _ended = beat.await;
    served
}
