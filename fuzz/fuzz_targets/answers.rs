//! What the broker says, as bytes that a fuzzer makes, through every reader: the same function that `tests/edge/fuzz.rs`
//! calls. The first byte chooses the reader, the rest is the body.
#![no_main]

#[path = "../../tests/edge/readers.rs"]
mod readers;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rebalanced::model::intent::Intent;

static SENT: LazyLock<Intent> = LazyLock::new(|| readers::sent(include_bytes!("../../tests/corpus/submit.json")));

fuzz_target!(|input: &[u8]| {
    let Some((choice, body)) = input.split_first() else { return };
    let reader = readers::READERS[usize::from(*choice) % readers::READERS.len()];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = if reader == "refusal" { 403 } else { 200 };
    if let Err(why) = runtime.block_on(readers::read(reader, (status, body), &SENT)) {
        panic!("{reader}: {why}");
    }
});
