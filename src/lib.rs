//! The rebalance daemon.
