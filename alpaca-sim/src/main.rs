//! Alpaca in a box, as a program.
fn main() {}
