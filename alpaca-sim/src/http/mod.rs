//! The wire: everything between a socket (or a request in memory) and the exchange.
//!
//! Always: nothing here decides about money; the exchange is asked and its words are put into Alpaca's shapes.
//!
//! Reading order: `request` and `reply` are nouns; `people`, `oauth`, `auth`, `ratelimit`, `faults` and `requests` are
//! the tables; `world` holds them all beside the exchange; `wire` has the shapes; `routes` answers, `consent` grants,
//! `stream` pushes; `gate` is the way of one request; `control` is the way of the control side; `server` has sockets.

pub(crate) mod request;
pub(crate) mod reply;
pub(crate) mod people;
pub(crate) mod oauth;
pub(crate) mod auth;
pub(crate) mod ratelimit;
pub(crate) mod faults;
pub(crate) mod requests;
pub(crate) mod world;
pub(crate) mod wire;
pub(crate) mod consent;
pub(crate) mod routes;
pub(crate) mod gate;
pub(crate) mod stream;
pub(crate) mod control;
pub(crate) mod server;
