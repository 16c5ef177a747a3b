//! Counts of faults, of the answers that clients received during each, and the violations.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long after the kill of an ingest its clients may notice it.
const AFTERMATH: Duration = Duration::from_secs(2);
/// The maximum number of violations that are kept.
const MOST: usize = 50;

/// Counts of answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// 2xx and 304.
    pub well: u64,
    /// 429.
    pub again: u64,
    /// 404 and 409, where they were correct.
    pub refused: u64,
    /// No answer: the connection broke.
    pub broken: u64,
}

impl Tally {
    /// The total.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.well + self.again + self.refused + self.broken
    }

    fn note(&mut self, status: Option<u16>) {
        match status {
            Some(429) => self.again += 1,
            Some(200..400) => self.well += 1,
            Some(_) => self.refused += 1,
            None => self.broken += 1,
        }
    }
}

#[derive(Default)]
struct State {
    total: Tally,
    /// For each fault, how often it was injected, and the answers during it.
    faults: BTreeMap<&'static str, (u64, Tally)>,
    active: Vec<&'static str>,
    killed: Vec<(usize, Instant)>,
    queued: Vec<String>,
    acknowledged: Vec<String>,
    violations: Vec<String>,
}

/// The counts, shared by all tasks.
#[derive(Default)]
pub struct Board(Mutex<State>);

impl Board {
    /// A fault begins.
    pub fn begin(&self, fault: &'static str) {
        let mut state = self.lock();
        state.active.push(fault);
        state.faults.entry(fault).or_default().0 += 1;
    }

    /// A fault is over.
    pub fn end(&self, fault: &'static str) {
        let mut state = self.lock();
        if let Some(place) = state.active.iter().position(|active| *active == fault) {
            state.active.swap_remove(place);
        }
    }

    /// Notes that the n-th ingest was just killed: its clients' connections break.
    pub fn killed(&self, ingest: usize) {
        self.lock().killed.push((ingest, Instant::now()));
    }

    /// Notes that a client was told that its change is queued (by request id): the change must have a verdict in the
    /// end.
    pub fn queued(&self, request: &str) {
        self.lock().queued.push(request.to_owned());
    }

    /// The ids of the requests whose changes are queued.
    #[must_use]
    pub fn all_queued(&self) -> Vec<String> {
        self.lock().queued.clone()
    }

    /// Notes an answer.
    pub fn answered(&self, status: u16) {
        let mut state = self.lock();
        state.note(Some(status));
        if !matches!(status, 200..400 | 404 | 409 | 429) {
            state.violation(format!("an answer {status}, which no fault excuses"));
        }
    }

    /// Notes that a connection to the n-th ingest, which was ready, broke before the request that began at `began` was
    /// answered.
    pub fn broke(&self, ingest: usize, began: Instant, how: &str) {
        let mut state = self.lock();
        state.note(None);
        let mut killed = state.killed.iter();
        if !killed.any(|(of, at)| *of == ingest && *at + AFTERMATH >= began) {
            state.violation(format!(
                "ingest-{} broke a connection, though it was not killed: {how}",
                ingest + 1
            ));
        }
    }

    /// Notes that a client was told that the change of this request took effect.
    pub fn acknowledged(&self, request: &str) {
        self.lock().acknowledged.push(request.to_owned());
    }

    /// The ids of those requests.
    #[must_use]
    pub fn all_acknowledged(&self) -> Vec<String> {
        self.lock().acknowledged.clone()
    }

    /// Notes a violation.
    pub fn violation(&self, what: String) {
        self.lock().violation(what);
    }

    /// All violations.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    /// The counts over the whole run.
    #[must_use]
    pub fn total(&self) -> Tally {
        self.lock().total
    }

    /// The number of faults, and the count of the rarest of these kinds.
    #[must_use]
    pub fn faults(&self, kinds: &[&'static str]) -> (u64, u64) {
        let state = self.lock();
        let times = |kind: &&str| state.faults.get(kind).map_or(0, |(times, _)| *times);
        let rarest = kinds.iter().map(times).min().unwrap_or_default();
        (state.faults.values().map(|(times, _)| times).sum(), rarest)
    }

    /// The table of faults and answers.
    #[must_use]
    pub fn table(&self) -> String {
        let state = self.lock();
        let mut text = format!(
            "{:<34} {:>5} {:>9} {:>7} {:>7} {:>8} {:>7}\n",
            "fault", "times", "answers", "2xx", "429", "404/409", "broken"
        );
        let rows = state.faults.iter().map(|(name, (times, tally))| (*name, Some(*times), tally));
        for (name, times, tally) in rows.chain([("all the time", None, &state.total)]) {
            let share = |part: u64| {
                // Precise enough for a percentage.
                #[expect(clippy::cast_precision_loss, reason = "a percentage of some thousands")]
                let share = 100.0 * part as f64 / tally.all().max(1) as f64;
                format!("{share:.1}%")
            };
            let times = times.map_or_else(String::new, |times| times.to_string());
            let [well, again, refused, broken] =
                [tally.well, tally.again, tally.refused, tally.broken].map(share);
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{name:<34} {times:>5} {:>9} {well:>7} {again:>7} {refused:>8} {broken:>7}",
                tally.all()
            );
        }
        text
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, status: Option<u16>) {
        self.total.note(status);
        let mut active = self.active.clone();
        active.sort_unstable();
        active.dedup();
        for fault in active {
            self.faults.entry(fault).or_default().1.note(status);
        }
    }

    fn violation(&mut self, what: String) {
        if self.violations.len() < MOST {
            self.violations.push(what);
        }
    }
}
