//! The broker's real answers (`tests/corpus`, made by the simulator), changed in every way, through every reader (rows 8 and
//! 12): nothing stops, and nothing is taken over that is not the order that was sent.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use rebalanced::model::intent::Intent;
use serde_json::{Value, json};

use crate::readers::{READERS, read, sent};

/// So many changed bodies are drawn, besides those that are cut at every byte.
const DRAWN: u32 = 15_000;

/// Bodies up to this size are cut at every byte.
const SMALL: usize = 2_500;

/// One body, as the broker really sent it.
struct Body {
    reader: &'static str,
    bytes: Vec<u8>,
}

fn corpus() -> Vec<Body> {
    let bytes = |reader: &str| std::fs::read(format!("tests/corpus/{reader}.json")).unwrap();
    READERS.iter().map(|reader| Body { reader, bytes: bytes(reader) }).collect()
}

/// One change of a body.
#[derive(Debug, Clone)]
enum Change {
    /// A member or an element goes.
    Drop(Index),
    /// A member or an element comes twice, the second time with another value.
    Twice(Index, usize),
    /// A value is another one.
    Replace(Index, usize),
    /// A value is that of another place.
    Move(Index, Index),
    /// A number as text, a text as number.
    Type(Index),
    /// One byte is another one.
    Byte(Index, u8),
    /// A byte comes in between.
    Insert(Index, u8),
    /// The rest is missing.
    Cut(Index),
}

/// What stands where something else should.
fn odd() -> Vec<Value> {
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1e308),
        json!(-0.000_000_000_1),
        json!(u64::MAX),
        json!("NaN"),
        json!("inf"),
        json!("1e400"),
        json!("-1"),
        json!("0"),
        json!("99999999999999999999999999999"),
        json!("0.00000000000000000000000000001"),
        json!(""),
        json!(" SPY"),
        json!("spy"),
        json!("TSLA"),
        json!("sell"),
        json!("gtc"),
        json!("limit"),
        json!("filled"),
        json!("teleported"),
        json!("\u{202e}\u{0}\u{1f4a5}\r\n"),
        json!("x".repeat(5_000)),
        json!([]),
        json!({}),
        json!(["a", 1, null]),
        json!({"a": {"b": []}}),
        deep,
        json!("2019-02-30T25:61:61Z"),
        json!("9999-12-31T23:59:59.999999999Z"),
        json!("24:00"),
    ]
}

/// The places of a document, the deepest last.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => {
            for (name, inner) in members {
                places(inner, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(elements) => {
            for (index, inner) in elements.iter().enumerate().take(40) {
                places(inner, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn place(document: &Value, index: Index) -> String {
    let mut found = Vec::new();
    places(document, "", &mut found);
    index.get(&found).clone()
}

/// Changes the text of one document.
fn changed(text: &[u8], change: &Change) -> Vec<u8> {
    let mut bytes = text.to_vec();
    match change {
        Change::Byte(at, to) if !bytes.is_empty() => *at.get_mut(&mut bytes) = *to,
        Change::Insert(at, byte) => bytes.insert(at.index(text.len() + 1), *byte),
        Change::Cut(at) => bytes.truncate(at.index(text.len() + 1)),
        _ => {
            if let Ok(document) = serde_json::from_slice::<Value>(text) {
                return restructured(document, change);
            }
        }
    }
    bytes
}

fn restructured(mut document: Value, change: &Change) -> Vec<u8> {
    let odd = odd();
    match change {
        Change::Drop(at) => {
            let at = place(&document, *at);
            let (parent, name) = at.rsplit_once('/').unwrap_or_default();
            match document.pointer_mut(parent) {
                Some(Value::Object(members)) => drop(members.shift_remove(name)),
                Some(Value::Array(elements)) if !elements.is_empty() => {
                    elements.remove(name.parse().unwrap_or(0).min(elements.len() - 1));
                }
                _ => document = Value::Null,
            }
        }
        Change::Twice(at, other) => {
            let at = place(&document, *at);
            let name = at.rsplit('/').next().unwrap_or_default();
            let text = document.to_string();
            let other = &odd[other % odd.len()];
            return text.replacen(&format!("\"{name}\":"), &format!("\"{name}\":{other},\"{name}\":"), 1).into_bytes();
        }
        Change::Replace(at, other) => {
            let at = place(&document, *at);
            *document.pointer_mut(&at).unwrap() = odd[other % odd.len()].clone();
        }
        Change::Move(from, to) => {
            let (from, to) = (place(&document, *from), place(&document, *to));
            let value = document.pointer(&from).unwrap().clone();
            *document.pointer_mut(&to).unwrap() = value;
        }
        Change::Type(at) => {
            let at = place(&document, *at);
            let value = document.pointer_mut(&at).unwrap();
            *value = match &*value {
                Value::String(text) => serde_json::from_str(text).unwrap_or(json!([text])),
                other => json!(other.to_string()),
            };
        }
        Change::Byte(..) | Change::Insert(..) | Change::Cut(..) => {}
    }
    document.to_string().into_bytes()
}

fn changes() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        at().prop_map(Change::Drop),
        (at(), any::<usize>()).prop_map(|(at, other)| Change::Twice(at, other)),
        (at(), any::<usize>()).prop_map(|(at, other)| Change::Replace(at, other)),
        (at(), at()).prop_map(|(from, to)| Change::Move(from, to)),
        at().prop_map(Change::Type),
        (at(), any::<u8>()).prop_map(|(at, to)| Change::Byte(at, to)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        at().prop_map(Change::Cut),
    ]
}

/// A stream is a line for each frame: one of them is changed. Everything else is one document.
fn mutated(body: &Body, changes: &[Change], which: Index) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = if body.reader == "stream" {
        body.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
    } else {
        vec![body.bytes.clone()]
    };
    let line = which.get_mut(&mut lines);
    *line = changes.iter().fold(line.clone(), |text, change| changed(&text, change));
    lines.join(&b'\n')
}

fn status_of(body: &Body) -> u16 {
    if body.reader == "refusal" { 403 } else { 200 }
}

/// The untouched bodies mean what they say: a reader that takes nothing would pass every other test here.
#[tokio::test]
async fn every_body_of_the_corpus_is_read() {
    let corpus = corpus();
    let intent = the_order(&corpus);
    for body in &corpus {
        let found = read(body.reader, (status_of(body), &body.bytes), &intent).await;
        assert_eq!(found, Ok(true), "{}", body.reader);
    }
}

/// The judge of these tests can fail: another symbol under our id would be seen.
#[tokio::test]
async fn an_order_that_differs_is_told_from_ours() {
    let corpus = corpus();
    let intent = the_order(&corpus);
    let order = corpus.iter().find(|body| body.reader == "order").unwrap();
    let mut other = intent.clone();
    other.symbol = rebalanced::model::ids::Symbol::parse("TSLA").unwrap();
    let report = crate::readers::order_of(&order.bytes, &intent).await.unwrap();
    assert!(crate::readers::judge(&intent, &report, &order.bytes).is_ok());
    let mut lie: Value = serde_json::from_slice(&order.bytes).unwrap();
    lie["symbol"] = json!("TSLA");
    assert!(crate::readers::judge(&intent, &report, lie.to_string().as_bytes()).is_err());
}

fn the_order(corpus: &[Body]) -> Intent {
    sent(&corpus.iter().find(|body| body.reader == "submit").unwrap().bytes)
}

#[test]
fn rows_8_12_no_change_of_an_answer_stops_a_reader_or_makes_another_order_ours() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (corpus, tried, taken) = (corpus(), AtomicUsize::new(0), AtomicUsize::new(0));
    let intent = the_order(&corpus);
    let try_one = |body: &Body, bytes: &[u8]| {
        tried.fetch_add(1, Ordering::Relaxed);
        let read = runtime.block_on(read(body.reader, (status_of(body), bytes), &intent))?;
        taken.fetch_add(usize::from(read), Ordering::Relaxed);
        Ok::<(), String>(())
    };
    for body in corpus.iter().filter(|body| body.bytes.len() <= SMALL) {
        for end in 0..body.bytes.len() {
            assert_eq!(try_one(body, &body.bytes[..end]), Ok(()), "{} cut at {end}", body.reader);
        }
    }
    let mut runner = TestRunner::new(ProptestConfig { cases: DRAWN, failure_persistence: None, ..Default::default() });
    let drawn = (any::<Index>(), any::<Index>(), prop::collection::vec(changes(), 1..4));
    let found = runner.run(&drawn, |(body, line, changes)| {
        let body = body.get(&corpus);
        let bytes = mutated(body, &changes, line);
        prop_assert_eq!(try_one(body, &bytes), Ok(()), "{}: {}", body.reader, String::from_utf8_lossy(&bytes));
        Ok(())
    });
    if let Err(why) = found {
        panic!("{why}");
    }
    let (tried, taken) = (tried.load(Ordering::Relaxed), taken.load(Ordering::Relaxed));
    println!("{tried} changed answers read, and something was taken from {taken} of them");
    assert!(tried >= 20_000, "{tried}");
}
