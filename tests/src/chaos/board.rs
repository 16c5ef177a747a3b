//! What went wrong and what clients saw of it: the counts behind the table, and whatever no fault excuses.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much later than the kill of an ingest its clients may notice.
const AFTERMATH: Duration = Duration::from_secs(2);
/// The most violations that are kept.
const MOST: usize = 50;

/// What clients saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// 2xx, and 304.
    pub well: u64,
    /// 429.
    pub again: u64,
    /// 404 and 409, where they were the truth.
    pub refused: u64,
    /// No answer: the connection broke.
    pub broken: u64,
}

impl Tally {
    /// All of them.
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
    /// By fault: how often it was inflicted, and what was seen meanwhile.
    faults: BTreeMap<&'static str, (u64, Tally)>,
    active: Vec<&'static str>,
    killed: Vec<(usize, Instant)>,
    queued: Vec<String>,
    acknowledged: Vec<String>,
    violations: Vec<String>,
}

/// The counts. Everybody notes on the same one.
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

    /// The n-th ingest was killed just now: its clients' connections break.
    pub fn killed(&self, ingest: usize) {
        self.lock().killed.push((ingest, Instant::now()));
    }

    /// A client was told that the change of this request (its id) is queued: it must have a verdict in the end.
    pub fn queued(&self, request: &str) {
        self.lock().queued.push(request.to_owned());
    }

    /// The requests whose changes are queued, as clients were told.
    #[must_use]
    pub fn all_queued(&self) -> Vec<String> {
        self.lock().queued.clone()
    }

    /// An answer came.
    pub fn answered(&self, status: u16) {
        let mut state = self.lock();
        state.note(Some(status));
        if !matches!(status, 200..400 | 404 | 409 | 429) {
            state.violation(format!("an answer {status}, which no fault excuses"));
        }
    }

    /// A connection to the n-th ingest, which was ready, broke before the answer to a request that began then.
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

    /// This request asked for a change, and was told that it took effect.
    pub fn acknowledged(&self, request: &str) {
        self.lock().acknowledged.push(request.to_owned());
    }

    /// All of those.
    #[must_use]
    pub fn all_acknowledged(&self) -> Vec<String> {
        self.lock().acknowledged.clone()
    }

    /// Something that must not be.
    pub fn violation(&self, what: String) {
        self.lock().violation(what);
    }

    /// All that must not be.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    /// What clients saw in all.
    #[must_use]
    pub fn total(&self) -> Tally {
        self.lock().total
    }

    /// How many faults were inflicted, and how often the rarest of these.
    #[must_use]
    pub fn faults(&self, kinds: &[&'static str]) -> (u64, u64) {
        let state = self.lock();
        let times = |kind: &&str| state.faults.get(kind).map_or(0, |(times, _)| *times);
        let rarest = kinds.iter().map(times).min().unwrap_or_default();
        (state.faults.values().map(|(times, _)| times).sum(), rarest)
    }

    /// The table of faults and what clients saw.
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
                // Exact enough for a percentage.
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
