//! The days: the clock jumps from one scheduled moment to the next, and at each from turn to turn of its wave until every run
//! is closed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::civil::Date;

use super::Args;
use super::cast::User;
use super::judge;
use super::stage::{Stage, pause};
use crate::edge::store::RunFilter;
use crate::flow::rehearse;
use crate::model::ids::{RunId, StrategyName};
use crate::model::run::{Run, RunState};
use crate::model::time::{Moment, Span};

/// The day, counted from one, on which some users pay money in.
const PAY_DAY: usize = 3;

/// How long the runs of one moment may take, in real time, before the demo gives up.
const PATIENCE: Duration = Duration::from_mins(2);

/// The trading days of the demo and what came of them.
pub(super) struct Week {
    pub(super) days: Vec<Date>,
    moments: BTreeMap<Moment, BTreeSet<StrategyName>>,
    /// Every closed run, in the order of slot and user.
    pub(super) runs: Vec<Run>,
    /// What must never be seen, and was.
    pub(super) violations: Vec<String>,
    /// How many portfolios were held against their targets after they had traded.
    pub(super) portfolios_checked: usize,
}

impl Week {
    /// Finds the trading days and every scheduled moment in them.
    pub(super) fn plan(stage: &Stage, args: &Args) -> anyhow::Result<Self> {
        let wanted = usize::try_from(args.days)?;
        let far = stage.first_day.saturating_add(jiff::Span::new().days(i64::from(args.days) * 2 + 14));
        let sessions: Vec<_> = stage.sessions.between(stage.first_day, far).take(wanted).copied().collect();
        let (Some(first), Some(last)) = (sessions.first(), sessions.last()) else { bail!("no trading days to show") };
        let mut moments: BTreeMap<Moment, BTreeSet<StrategyName>> = BTreeMap::new();
        for strategy in stage.catalog.iter() {
            for look in rehearse::calendar(strategy, &stage.sessions, first.open, last.close) {
                moments.entry(look.at).or_default().insert(strategy.name().clone());
            }
        }
        let days = sessions.iter().map(|session| session.day).collect();
        Ok(Self { days, moments, runs: Vec::new(), violations: Vec::new(), portfolios_checked: 0 })
    }

    /// Lets the days pass.
    pub(super) async fn pass(&mut self, stage: &mut Stage, users: &[User]) -> anyhow::Result<()> {
        let bar = ProgressBar::new(self.days.len() as u64);
        bar.set_style(ProgressStyle::with_template("{bar:30} day {pos}/{len} {msg}").context("progress bar")?);
        let mut seen = BTreeSet::new();
        for (index, day) in self.days.clone().into_iter().enumerate() {
            bar.set_message(day.to_string());
            let session = *stage.sessions.on(day).context("a day without a session")?;
            if index + 1 == PAY_DAY {
                stage.jump(session.open);
                pay_in(stage, users)?;
            }
            let today: Vec<_> =
                self.moments.range(session.open..=session.close).map(|(at, due)| (*at, due.clone())).collect();
            for (moment, due) in today {
                let expected = users.iter().filter(|user| due.contains(&user.strategy)).count();
                stage.jump(moment - Span::from_secs(1));
                let closed = self.wait(stage, (moment, expected), &mut seen, |line| tell(&bar, &line)).await?;
                let judged = judge::after_slot(stage, users, &closed)?;
                self.portfolios_checked += judged.checked;
                self.violations.extend(judged.violations);
                self.runs.extend(closed);
            }
            bar.inc(1);
        }
        bar.finish_with_message("done");
        Ok(())
    }

    /// Waits until every run of one moment is closed; a daemon that dies meanwhile is started again.
    async fn wait(
        &self,
        stage: &mut Stage,
        (moment, expected): (Moment, usize),
        seen: &mut BTreeSet<RunId>,
        say: impl Fn(String),
    ) -> anyhow::Result<Vec<Run>> {
        let store = stage.store().await?;
        let begun = Instant::now();
        let mut closed: Vec<Run> = Vec::new();
        while closed.len() < expected {
            if begun.elapsed() > PATIENCE {
                bail!(
                    "{} of {expected} runs of {moment} are closed after {} s; see {}",
                    closed.len(),
                    PATIENCE.as_secs(),
                    stage.log().display()
                );
            }
            stage.watch_daemon().await?;
            pause().await;
            let filter = RunFilter { limit: i64::try_from(expected)? + 50, ..RunFilter::default() };
            let runs = store.runs(&filter).await?;
            for run in runs.iter().filter(|run| run.slot == moment && run.state == RunState::Closed) {
                if seen.insert(run.id.clone()) {
                    say(line(run, stage));
                    closed.push(run.clone());
                }
            }
            if let Some(turn) = next_turn(&runs, moment, expected, stage.sim.now().into()) {
                stage.jump(turn);
            }
        }
        closed.sort_by(|a, b| a.account.cmp(&b.account));
        Ok(closed)
    }
}

/// When nobody has anything to do before the next one of a wave has its turn: that turn. Waiting for it would show nothing.
fn next_turn(runs: &[Run], moment: Moment, expected: usize, now: Moment) -> Option<Moment> {
    let (closed, open): (Vec<&Run>, Vec<&Run>) =
        runs.iter().filter(|run| run.slot == moment).partition(|run| run.state == RunState::Closed);
    let all_wait = open.iter().all(|run| run.state == RunState::Due && run.turn > now);
    (all_wait && closed.len() + open.len() == expected).then(|| open.iter().map(|run| run.turn).min()).flatten()
}

/// Above the bar on a terminal; where there is no terminal there is no bar, and a plain line.
#[expect(clippy::print_stderr, reason = "the demo tells what happens while it happens")]
fn tell(bar: &ProgressBar, line: &str) {
    if bar.is_hidden() {
        eprintln!("{line}");
    } else {
        bar.println(line);
    }
}

/// One line for one finished run.
fn line(run: &Run, stage: &Stage) -> String {
    let local = run.slot.timestamp().to_zoned(stage.sessions.zone().clone()).strftime("%a %b %d %H:%M").to_string();
    let account: String = run.account.as_str().chars().take(8).collect();
    let outcome = run.outcome.as_ref();
    format!(
        "{local}  {account}  {:<22} {:<10} {:<16} {}",
        run.strategy.as_str(),
        outcome.map_or("?", |outcome| outcome.kind.as_str()),
        outcome.map_or("?", |outcome| outcome.reason.as_str()),
        outcome.map_or("", |outcome| outcome.detail.as_str()),
    )
}

fn pay_in(stage: &Stage, users: &[User]) -> anyhow::Result<()> {
    for user in users.iter().filter(|user| !user.deposit.is_zero()) {
        stage
            .sim
            .with_exchange(|exchange, now| exchange.transfer(now, &user.account, user.deposit).map(drop))
            .with_context(|| format!("{} could not pay in", user.name))?;
    }
    Ok(())
}
