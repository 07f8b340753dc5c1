//! Clocks: none runs backwards, sleepers notice jumps, and time that nobody vouches for stands still.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rebalanced::decide::due::{due, moments};
use rebalanced::edge::clock::{Clock, Error, RemoteClock, VirtualClock, carried_on};
use rebalanced::edge::sessions;
use rebalanced::edge::strategies::load_dir;
use rebalanced::model::time::{Moment, Span};

use crate::script::at;

/// A clock's address whose answer can be changed; an empty answer closes the connection.
fn served(first: &str) -> (url::Url, Arc<Mutex<String>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/sim/clock", listener.local_addr().unwrap()).parse().unwrap();
    let shown = Arc::new(Mutex::new(first.to_owned()));
    let said = shown.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            drop(stream.read(&mut [0; 2048]));
            let body = said.lock().unwrap().clone();
            if !body.is_empty() {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                drop(stream.write_all(format!("{head}{body}").as_bytes()));
            }
        }
    });
    (url, shown)
}

#[tokio::test]
async fn a_virtual_clock_jumps_to_the_end_of_a_sleep_and_never_back() {
    let virtual_clock = VirtualClock::new(at("2026-11-23T15:00:00Z"));
    let clock = Clock::Virtual(virtual_clock.clone());
    clock.sleep(Span::from_hours(24 * 365)).await;
    assert_eq!(clock.now(), at("2027-11-23T15:00:00Z"));
    clock.sleep_until(at("2026-11-23T15:00:00Z")).await;
    virtual_clock.set(at("2020-01-01T00:00:00Z"));
    assert_eq!(clock.now(), at("2027-11-23T15:00:00Z"));
}

#[tokio::test]
async fn the_systems_clock_goes_forward_and_sleeps_for_as_long_as_was_said() {
    let clock = Clock::default();
    let mut last = clock.now();
    for _ in 0..10_000 {
        let now = clock.now();
        assert!(now >= last);
        last = now;
    }
    let begun = Instant::now();
    clock.sleep(Span::from_millis(30)).await;
    assert!(begun.elapsed() >= Duration::from_millis(29));
    clock.sleep(-Span::from_secs(5)).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_remote_clock_runs_at_its_speed_and_its_sleepers_notice_a_jump() {
    let (url, shown) = served(r#"{"now":"2022-05-09T13:00:00Z","speed":1000.0}"#);
    let remote = RemoteClock::connect(url).await.unwrap();
    assert!(remote.now() >= at("2022-05-09T13:00:00Z"));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(remote.now() >= at("2022-05-09T13:00:20Z"), "20 ms at a thousand times the speed");
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(remote.now(), at("2022-05-09T13:04:10Z"), "a quarter of a second after the last word it stands still");
    *shown.lock().unwrap() = r#"{"now":"2022-05-09T13:05:00Z","speed":0}"#.to_owned();
    let follower = remote.clone();
    let following = tokio::spawn(async move { follower.follow().await });
    let clock = Clock::Remote(remote.clone());
    let sleeper = tokio::spawn(async move { clock.sleep_until(at("2022-05-10T13:00:00Z")).await });
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(remote.now(), at("2022-05-09T13:05:00Z"));
    assert!(!sleeper.is_finished());
    *shown.lock().unwrap() = r#"{"now":"2022-05-10T13:00:00Z","speed":0}"#.to_owned();
    let jumped = Instant::now();
    sleeper.await.unwrap();
    assert!(jumped.elapsed() < Duration::from_millis(500), "noticed after {:?}", jumped.elapsed());
    *shown.lock().unwrap() = r#"{"now":"2022-05-01T13:00:00Z","speed":0}"#.to_owned();
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(remote.now(), at("2022-05-10T13:00:00Z"), "never backwards");
    following.abort();
}

#[tokio::test]
async fn an_answer_that_is_no_time_is_refused() {
    for nonsense in [
        "<html>",
        "{}",
        r#"{"now":"noon","speed":1}"#,
        r#"{"now":"2022-05-09T13:00:00Z","speed":-1}"#,
        r#"{"now":"2022-05-09T13:00:00Z","speed":1e300}"#,
        r#"{"now":"2022-05-09T13:00:00Z","speed":"fast"}"#,
    ] {
        let (url, _) = served(nonsense);
        assert!(matches!(RemoteClock::connect(url).await, Err(Error::Nonsense(_))), "{nonsense}");
    }
    let (url, _) = served("");
    assert!(matches!(RemoteClock::connect(url).await, Err(Error::Silent(_))));
}

/// By how much the wall clock is set: a second to thirty days, small as often as large, to either side.
fn jump(dice: &mut StdRng) -> Span {
    const THIRTY_DAYS: i64 = 30 * 86_400;
    let size = 1_i64 << dice.random_range(0..=22);
    let seconds = Span::from_secs(dice.random_range(1..=size).min(THIRTY_DAYS));
    if dice.random() { seconds } else { Span::ZERO - seconds }
}

/// The wall clock is set back and forth before each look, and now and then the process is another one: within a process time
/// never runs backwards, set back it goes at half its pace, and every moment of a schedule comes once, over all processes.
#[test]
fn row_49_a_wall_clock_that_jumps_back_and_forth_makes_nothing_due_twice() {
    const SEEDS: u64 = 10_000;
    let (strategies, _) = load_dir(std::path::Path::new("strategies")).unwrap();
    let strategy = strategies.iter().find(|strategy| strategy.name().as_str() == "sixty-forty").unwrap();
    let sessions = sessions::builtin().unwrap();
    let (mut back, mut forth, mut restarts, mut came, mut held) = (0, 0, 0, 0, 0);
    for seed in 0..SEEDS {
        let mut dice = StdRng::seed_from_u64(seed);
        let begun = Instant::now();
        let (mut passed, mut set) = (Duration::ZERO, Span::ZERO);
        let begins = at("2026-03-02T14:00:00Z");
        let (mut shown, mut ledger) = (None::<(Moment, Instant)>, begins);
        let mut all = BTreeSet::new();
        for _ in 0..20 {
            let looks = Duration::from_secs(dice.random_range(1..100_000));
            passed += looks;
            if dice.random_ratio(2, 3) {
                let by = jump(&mut dice);
                set += by;
                *(if by < Span::ZERO { &mut back } else { &mut forth }) += 1;
            }
            if dice.random_ratio(1, 5) {
                shown = None;
                restarts += 1;
            }
            let wall = begins + Span::from_micros(i64::try_from(passed.as_micros()).unwrap()) + set;
            let now = carried_on(shown, (wall, begun + passed));
            if let Some((before, _)) = shown {
                assert!(now >= before, "seed {seed}: {before} and then {now}");
                let half = before + Span::from_micros(i64::try_from(looks.as_micros()).unwrap() / 2);
                assert_eq!(now, if wall < before { half } else { wall }, "seed {seed}");
                held += usize::from(wall < before);
            }
            shown = Some((now, begun + passed));
            for moment in due(strategy, &sessions, ledger, now) {
                assert!(all.insert(moment.at), "seed {seed}: {} is due twice", moment.at);
            }
            ledger = ledger.max(now);
        }
        let named: BTreeSet<Moment> = moments(strategy, &sessions, begins, ledger).into_iter().collect();
        assert_eq!(all, named, "seed {seed}: each came once, to run or as missed");
        came += all.len();
    }
    println!(
        "row 49: {SEEDS} seeds, set back {back} and forward {forth} times, {restarts} restarts, {held} looks at half the pace, \
         {came} moments, 0 twice"
    );
    assert!(back > 50_000 && held > 20_000 && came > 100_000);
}
