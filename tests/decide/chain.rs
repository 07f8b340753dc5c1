//! Every way to falsify the audit, tried ten thousand times: edited, removed, inserted, reordered, cut, written anew.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rebalanced::decide::chain::{Broken, Walk};
use rebalanced::edge::notary::{self, Notary};
use rebalanced::model::canon::{GENESIS, chain};
use rebalanced::model::event::{Actor, ChainedEvent, Checkpoint, Event};
use rebalanced::model::secret::Secret;
use rebalanced::model::time::Span;

use crate::cast::now;

const EVENTS: usize = 400;
const TAMPERS: u64 = 10_000;

/// A chain of `count` events that begins after these.
fn grown(mut events: Vec<ChainedEvent>, count: usize, word: &str) -> Vec<ChainedEvent> {
    for _ in 0..count {
        let sequence = i64::try_from(events.len()).unwrap() + 1;
        let previous = events.last().map_or(GENESIS.to_owned(), |event| event.hash.clone());
        let event = Event::new(now() + Span::from_secs(sequence), Actor::service(), "run.closed");
        events.push(chain(&event, format!("{{\"n\":\"{word} {sequence}\"}}"), sequence, &previous));
    }
    events
}

fn walked(events: &[ChainedEvent], points: Vec<Checkpoint>) -> Result<Walk, Broken> {
    let mut walk = Walk::begin(points);
    for event in events {
        walk.step(event)?;
    }
    walk.end()
}

fn point(event: &ChainedEvent) -> Checkpoint {
    Checkpoint { sequence: event.sequence, hash: event.hash.clone(), at: now() }
}

/// Falsifies the chain in one of many ways; never leaves it as it was.
fn tampered(dice: &mut StdRng, honest: &[ChainedEvent]) -> Vec<ChainedEvent> {
    let mut events = honest.to_vec();
    let place = dice.random_range(0..EVENTS);
    match dice.random_range(0..8) {
        0 => events[place].facts.push(' '),
        1 => {
            let field = dice.random_range(0..6);
            let event = &mut events[place];
            match field {
                0 => event.actor.push('x'),
                1 => event.kind.push('x'),
                2 => event.account.push('x'),
                3 => event.run.push('x'),
                4 => event.at = event.at + Span::from_secs(1),
                _ => event.hash = "0".repeat(64),
            }
        }
        2 => drop(events.remove(place)),
        3 => {
            let other = (place + dice.random_range(1..EVENTS)) % EVENTS;
            events.swap(place, other);
        }
        4 => events.insert(place, honest[dice.random_range(0..EVENTS)].clone()),
        5 => events.truncate(place),
        // Edited, and everything from there on computed anew: every hash is right.
        6 => {
            events.truncate(place);
            events = grown(events, EVENTS - place, "forged");
        }
        // One event replaced by its neighbour with its number.
        _ => {
            let other = (place + 1) % EVENTS;
            let mut copy = honest[other].clone();
            copy.sequence = honest[place].sequence;
            events[place] = copy;
        }
    }
    events
}

#[test]
fn row_66_s13_ten_thousand_falsified_chains_are_all_found_with_the_last_checkpoint() {
    let honest = grown(Vec::new(), EVENTS, "honest");
    let points = || vec![point(&honest[99]), point(&honest[EVENTS - 1])];
    assert_eq!(walked(&honest, points()).unwrap().events(), i64::try_from(EVENTS).unwrap());
    let mut without = 0;
    for seed in 0..TAMPERS {
        let events = tampered(&mut StdRng::seed_from_u64(seed), &honest);
        assert_ne!(events, honest, "seed {seed}");
        assert!(walked(&events, points()).is_err(), "seed {seed} was not found");
        without += usize::from(walked(&events, Vec::new()).is_ok());
    }
    println!("tampers found: {TAMPERS} of {TAMPERS}; {without} of them only by the checkpoint");
    assert!(without > 1_000, "cut and rewritten chains are consistent in themselves: {without}");
}

#[test]
fn a_checkpoint_is_signed_and_only_its_key_opens_that_door() {
    let notary = |digit: &str| Notary::new(&Secret::new(digit.repeat(64))).unwrap();
    let (ours, theirs) = (notary("a"), notary("b"));
    let events = grown(Vec::new(), 3, "x");
    let text = format!("{}\n{}\n", ours.sign(&point(&events[0])), ours.sign(&point(&events[2])));
    let read = notary::read(&text, &ours.public_key()).unwrap();
    assert_eq!(read, [point(&events[0]), point(&events[2])]);
    assert!(matches!(notary::read(&text, &theirs.public_key()), Err(notary::Error::NotSigned { line: 1, .. })));
    for (from, to) in [("\"sequence\":3", "\"sequence\":2"), (events[2].hash.as_str(), events[1].hash.as_str())] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        assert!(matches!(notary::read(&changed, &ours.public_key()), Err(notary::Error::NotSigned { line: 2, .. })));
    }
    assert_eq!(notary::read("nonsense", &ours.public_key()), Err(notary::Error::NoCheckpoint { line: 1 }));
    assert_eq!(notary::read(&text, "nonsense"), Err(notary::Error::NoPublicKey));
    assert!(Notary::new(&Secret::new("short".to_owned())).is_err());
    assert!(!format!("{ours:?}").contains(&"a".repeat(64)));
}
