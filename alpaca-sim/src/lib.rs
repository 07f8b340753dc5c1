//! Alpaca in a box.
