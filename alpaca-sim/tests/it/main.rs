//! The simulator seen from outside: requests in memory and over sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::float_arithmetic,
    clippy::needless_pass_by_value,
    reason = "a test may stop"
)]

mod control;
mod credentials;
mod data;
mod faults;
mod limits;
mod oauth;
mod orders;
mod sockets;
mod support;
