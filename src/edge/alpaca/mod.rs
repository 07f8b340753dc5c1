//! alpaca/mod
