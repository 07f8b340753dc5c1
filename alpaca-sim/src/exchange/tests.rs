//! Tests of the exchange as its callers see it.
