//! The asynchronous changes that this ingest has queued and that are not decided yet, by tenant. Their number and size
//! are bounded, so that the changes of another tenant wait for a bounded amount in the bulk queue.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use database::schema::commands;
use database::{Error, Pool};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use domain::command::Command;
use domain::delivery::Delivery;
use domain::settings::{Limits, Reached};
use uuid::Uuid;

use super::Unanswered;

/// How often the verdicts of a tenant at its limit are looked for.
const LOOK: Duration = Duration::from_millis(100);
/// How often those of others are, so that decided changes are forgotten.
const TIDY: Duration = Duration::from_secs(5);
/// How many changes are kept without looking.
const FEW: usize = 100;
/// A change is counted for this long, if it gets no verdict: it may be a dead letter.
const LONGEST: Duration = Duration::from_secs(600);
/// A younger change may not be recorded yet.
const RECORDED: Duration = Duration::from_secs(5);

/// What a tenant may have queued.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    commands: Reached,
    kib: Reached,
}

impl Bounds {
    /// The bounds in a tenant's limits.
    pub(super) fn of(limits: &Limits) -> Self {
        Self { commands: limits.async_requests_max(), kib: limits.async_kib_max() }
    }
}

/// The queued changes.
#[derive(Default)]
pub(super) struct Backlog(Mutex<HashMap<Uuid, Queued>>);

/// The queued changes of a tenant.
struct Queued {
    /// When each was queued, and its size in bytes.
    commands: HashMap<Uuid, (Instant, usize)>,
    /// The sum of their sizes.
    bytes: usize,
    looked_at: Instant,
}

impl Queued {
    fn new(now: Instant) -> Self {
        Self { commands: HashMap::new(), bytes: 0, looked_at: now }
    }

    /// The bound that another change of this size would exceed.
    fn exceeded(&self, bytes: usize, bounds: Bounds) -> Option<Reached> {
        let most = usize::try_from(bounds.kib.value).unwrap_or(usize::MAX).saturating_mul(1 << 10);
        if self.commands.len() >= usize::try_from(bounds.commands.value).unwrap_or(usize::MAX) {
            return Some(bounds.commands);
        }
        // One change is always allowed.
        (!self.commands.is_empty() && self.bytes.saturating_add(bytes) > most).then_some(bounds.kib)
    }

    /// Whether it is time to look for verdicts. If so, the next time is later.
    fn looks(&mut self, is_full: bool, now: Instant) -> bool {
        let pause = if is_full { LOOK } else { TIDY };
        let looks =
            (is_full || self.commands.len() > FEW) && now.saturating_duration_since(self.looked_at) >= pause;
        if looks {
            self.looked_at = now;
        }
        looks
    }

    fn add(&mut self, id: Uuid, bytes: usize, now: Instant) {
        self.bytes += bytes;
        self.commands.insert(id, (now, bytes));
    }

    fn remove(&mut self, id: Uuid) {
        if let Some((_, bytes)) = self.commands.remove(&id) {
            self.bytes -= bytes;
        }
    }

    /// Forgets those of the changes that were looked for and are not queued any more.
    fn keep(&mut self, asked: &[Uuid], queued: &HashSet<Uuid>, now: Instant) {
        for id in asked {
            let Some((since, _)) = self.commands.get(id) else { continue };
            let age = now.saturating_duration_since(*since);
            if age >= LONGEST || age >= RECORDED && !queued.contains(id) {
                self.remove(*id);
            }
        }
    }
}

impl Backlog {
    /// Counts a change that is about to be queued.
    ///
    /// # Errors
    /// [`Unanswered::Full`]; nothing is counted.
    pub(super) async fn admit(
        &self,
        pool: &Pool,
        command: &Command,
        bytes: usize,
        bounds: Bounds,
    ) -> Result<(), Unanswered> {
        let (tenant, id) = (command.tenant, command.ticket.0);
        let asked = {
            let (mut tenants, now) = (self.tenants(), Instant::now());
            let own = tenants.entry(tenant).or_insert_with(|| Queued::new(now));
            let is_full = own.exceeded(bytes, bounds).is_some();
            own.looks(is_full, now).then(|| own.commands.keys().copied().collect::<Vec<Uuid>>())
        };
        if let Some(asked) = asked
            && let Ok(queued) = still_queued(pool, &asked).await
            && let Some(own) = self.tenants().get_mut(&tenant)
        {
            own.keep(&asked, &queued, Instant::now());
        }
        let (mut tenants, now) = (self.tenants(), Instant::now());
        let own = tenants.entry(tenant).or_insert_with(|| Queued::new(now));
        if let Some(reached) = own.exceeded(bytes, bounds) {
            return Err(Unanswered::Full(reached));
        }
        own.add(id, bytes, now);
        Ok(())
    }

    /// Forgets a change that was not queued or is decided.
    pub(super) fn forget(&self, command: &Command) {
        if let Some(own) = self.tenants().get_mut(&command.tenant) {
            own.remove(command.ticket.0);
        }
    }

    fn tenants(&self) -> MutexGuard<'_, HashMap<Uuid, Queued>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those of these commands that have no verdict yet.
async fn still_queued(pool: &Pool, ids: &[Uuid]) -> Result<HashSet<Uuid>, Error> {
    let queued = commands::table
        .filter(commands::id.eq_any(ids))
        .filter(commands::delivery.eq(Delivery::Queued.as_str()))
        .select(commands::id);
    let queued: Vec<Uuid> = pool.bounded(async |connection| Ok(queued.load(connection).await?)).await?;
    Ok(queued.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        Bounds {
            commands: Reached { key: "async_requests_max", value: 3 },
            kib: Reached { key: "async_kib_max", value: 2 },
        }
    }

    #[test]
    fn number_and_size_are_bounded() {
        let now = Instant::now();
        let mut queued = Queued::new(now);
        assert_eq!(queued.exceeded(1 << 20, bounds()), None, "one is always allowed");
        queued.add(Uuid::from_u128(1), 1_500, now);
        assert_eq!(queued.exceeded(500, bounds()), None);
        assert_eq!(queued.exceeded(600, bounds()), Some(bounds().kib));
        queued.add(Uuid::from_u128(2), 1, now);
        queued.add(Uuid::from_u128(3), 1, now);
        assert_eq!(queued.exceeded(1, bounds()), Some(bounds().commands));
    }

    #[test]
    fn decided_and_old_changes_are_forgotten() {
        let now = Instant::now();
        let mut queued = Queued::new(now);
        let ids = [1, 2].map(Uuid::from_u128);
        ids.iter().for_each(|id| queued.add(*id, 1, now));
        let (none, first) = (HashSet::new(), HashSet::from([ids[0]]));
        queued.keep(&ids, &none, now);
        assert_eq!(queued.commands.len(), 2, "they may not be recorded yet");
        queued.keep(&ids, &first, now + RECORDED);
        assert_eq!(queued.commands.keys().collect::<Vec<_>>(), [&ids[0]]);
        queued.keep(&ids, &first, now + LONGEST);
        assert_eq!((queued.commands.len(), queued.bytes), (0, 0), "it is a dead letter");
    }

    #[test]
    fn verdicts_are_looked_for_at_intervals() {
        let now = Instant::now();
        let mut queued = Queued::new(now);
        assert!(!queued.looks(true, now));
        assert!(queued.looks(true, now + LOOK));
        assert!(!queued.looks(true, now + LOOK));
        assert!(!queued.looks(false, now + TIDY * 2), "they are few");
    }
}
