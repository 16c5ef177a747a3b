//! Applies commands in one transaction and returns a verdict for each. Failures of Postgres are retried without limit;
//! locks that others hold and failures of single commands are reported. [`crate::consumer`] applies batches of several
//! tenants, [`crate::lanes`] what failed in them.

mod error;
mod manner;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use amqp::dead::Attempt;
use database::{self, Limits, Pool, verdicts};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use domain::command::Command;
use domain::ticket::Ticket;
use platform::clock::Clock;
use platform::retry::Delays;
use platform::shutdown;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

pub use self::error::Error;
pub use self::manner::{Manner, Turns};
use crate::fold::{Decision, State, decide, is_late};
use crate::quarantine::{POISON, Quarantine, enter, leave, withdraw};
use crate::sabotage;
use crate::status::Progress;
use crate::store::locks::Tenants;
use crate::store::{Loaded, RowKeys, load, save};

/// How often a command on which Postgres fails for an unknown reason is attempted by itself before it is dead-lettered.
const TRIES_ALONE: usize = 10;
/// How often a part may violate a unique constraint because a concurrent transaction took the name first.
const TAKEN: u32 = 20;
/// How often a part is folded again after any other conflict with concurrent transactions (a deadlock, a lock timeout)
/// before it is given back.
const FOLDS: u32 = 2;

/// The deadline of one attempt at a batch, for all of its statements together. The statements have timeouts of their
/// own; this one ends an attempt whose connection neither answers nor breaks.
const ATTEMPT: Duration = Limits::WORKER.statement.saturating_mul(2);

/// A verdict, or the failed attempts, oldest first. The last attempt holds the reason for the dead letter.
pub type Decided = Result<Decision, Vec<Attempt>>;

/// Applies commands.
pub struct Applier {
    /// The worker's id, for the attempts recorded in dead letters.
    pub worker: Uuid,
    /// The database.
    pub pool: Pool,
    /// The clock.
    pub clock: Clock,
    /// Attempts of all queues hold this for reading, a quarantined command for writing. A worker that dies while it
    /// applies a quarantined command therefore applied nothing else.
    pub in_progress: Arc<RwLock<()>>,
    /// The shares of the connections.
    pub turns: Arc<Turns>,
    /// Records when Postgres is unavailable.
    pub progress: Progress,
    /// Stops retries at shutdown.
    pub stop: CancellationToken,
}

/// The attempt was abandoned because the service is stopping. The messages return to the broker.
#[derive(Debug, PartialEq, Eq)]
pub struct Stopped;

impl Applier {
    /// Applies commands in one transaction. The verdicts are in their order. Retries without limit while Postgres is
    /// unavailable, and a few times after conflicts with other transactions: [`Manner::Together`] once at most, and never
    /// after waiting for a lock.
    ///
    /// # Errors
    /// [`Stopped`]; within, why the commands have no verdicts.
    pub async fn apply(
        &self,
        batch: &[&Command],
        manner: Manner,
    ) -> Result<Result<Vec<Decided>, Error>, Stopped> {
        let mut keys = RowKeys::of(batch.iter().copied());
        let (mut delays, mut pauses) = (Delays::reconnect(), Delays::collision());
        let (mut away, mut taken, mut collisions) = (false, 0, 0);
        let most_taken = if manner == Manner::Together { 1 } else { TAKEN };
        let folds = if manner == Manner::Patient { FOLDS } else { 1 };
        let started = Instant::now();
        loop {
            let error = match self.attempt(batch, &mut keys, manner).await {
                Ok(mut verdicts) => {
                    if away {
                        self.progress.postgres_is_away(false);
                        info!(batch = batch.len(), "Postgres is available again, batch applied");
                    }
                    self.mark_undelivered(batch, &mut verdicts).await;
                    return Ok(Ok(verdicts));
                }
                Err(error) => error,
            };
            match error {
                // A concurrent transaction took the name, or the fold revealed an externalId; the next fold loads its
                // holder.
                Error::Postgres(database::Error::Taken { .. }) | Error::Unlocked if taken < most_taken => {
                    taken += 1;
                }
                Error::Postgres(error) if error.is_collision() => {
                    collisions += 1;
                    // After waiting for a lock in vain, others have their turn.
                    let is_over = collisions >= folds || started.elapsed() >= Limits::PATIENT.lock;
                    if is_over || matches!(error, database::Error::Taken { .. }) {
                        return Ok(Err(error.into()));
                    }
                    info!(%error, batch = batch.len(), "transaction conflict, retrying the batch");
                    self.wait(&mut pauses).await?;
                }
                Error::Postgres(error) if error.is_transient() => {
                    if !away {
                        warn!(%error, batch = batch.len(), "Postgres is unavailable, retrying the batch");
                    }
                    away = true;
                    self.progress.postgres_is_away(true);
                    self.wait(&mut delays).await?;
                }
                error => return Ok(Err(error)),
            }
        }
    }

    /// Applies one command. The command is dead-lettered if Postgres rejects it, or if Postgres repeatedly fails on it
    /// for an unknown reason while it accepts other writes. `attempts` collects the failures.
    ///
    /// # Errors
    /// [`Stopped`]; within, why it must be tried again later.
    pub async fn apply_alone(
        &self,
        command: &Command,
        manner: Manner,
        attempts: &mut Vec<Attempt>,
    ) -> Result<Result<Decided, Error>, Stopped> {
        let error = match self.apply(&[command], manner).await? {
            Ok(mut verdicts) => return Ok(Ok(verdicts.pop().expect("a verdict for each command"))),
            Err(error) => error,
        };
        if error.is_transient() {
            return Ok(Err(error));
        }
        attempts.push(self.attempt_now(error.to_string()));
        if matches!(error, Error::Panicked | Error::Postgres(database::Error::Refused(_))) {
            return Ok(Ok(Err(std::mem::take(attempts))));
        }
        warn!(%error, command = %command.ticket, "command failed by itself");
        if attempts.len() >= TRIES_ALONE {
            if self.takes_writes().await {
                let reason = "Postgres fails on this command but accepts other writes";
                attempts.push(self.attempt_now(reason.to_owned()));
                return Ok(Ok(Err(std::mem::take(attempts))));
            }
            attempts.remove(0);
        }
        Ok(Err(error))
    }

    /// Applies a possible poison message in isolation, after recording the attempt in quarantine. If enough earlier
    /// attempts are recorded, the command is dead-lettered instead; the attempts are kept until
    /// [`Applier::leave_quarantine`], which runs once the dead letter is confirmed.
    ///
    /// # Errors
    /// [`Stopped`]; within, why it must be tried again later.
    pub async fn apply_in_isolation(
        &self,
        command: &Command,
        deliveries: u64,
        attempts: &mut Vec<Attempt>,
    ) -> Result<Result<Decided, Error>, Stopped> {
        let _exclusive = self.in_progress.write().await;
        let what = format!(
            "the worker died while applying this command in isolation (after {deliveries} earlier deliveries)"
        );
        let mut earlier = match self.enter_quarantine(command.ticket, &self.attempt_now(what)).await? {
            Quarantine::Attempt(earlier) => earlier,
            Quarantine::Decided(outcome) => {
                self.leave_quarantine(command.ticket).await;
                return Ok(Ok(Ok(Decision::Redelivered(outcome))));
            }
            Quarantine::Poison(mut attempts) => {
                attempts.push(self.attempt_now(POISON.to_owned()));
                return Ok(Ok(Err(attempts)));
            }
        };
        let verdict = self.apply_alone(command, Manner::Isolated, attempts).await;
        if matches!(verdict, Ok(Err(_))) {
            self.withdraw_from_quarantine(command.ticket).await;
        } else {
            self.leave_quarantine(command.ticket).await;
        }
        Ok(verdict?.map(|verdict| {
            verdict.map_err(|vain| {
                earlier.extend(vain);
                earlier
            })
        }))
    }

    /// An attempt at a command, for its dead letter.
    pub fn attempt_now(&self, what: String) -> Attempt {
        Attempt { at: self.clock.now(), worker: self.worker.to_string(), what }
    }

    /// Releases a command from quarantine. A failure is harmless: the remaining attempts are those of this worker,
    /// which is alive.
    pub async fn leave_quarantine(&self, ticket: Ticket) {
        let left = self.pool.bounded(async |connection| leave(connection, ticket).await).await;
        if let Err(error) = left {
            warn!(%error, command = %ticket, "failed to release a command from quarantine");
        }
    }

    /// Deletes this worker's attempt, which is neither over nor in progress: other work is applied meanwhile.
    async fn withdraw_from_quarantine(&self, ticket: Ticket) {
        let (worker, pool) = (self.worker.to_string(), &self.pool);
        if let Err(error) = pool.bounded(async |connection| withdraw(connection, ticket, &worker).await).await
        {
            warn!(%error, command = %ticket, "failed to withdraw an attempt from quarantine");
        }
    }

    /// Records an attempt in quarantine. Retries until it is stored, because the command must not be applied before.
    async fn enter_quarantine(&self, ticket: Ticket, attempt: &Attempt) -> Result<Quarantine, Stopped> {
        let mut delays = Delays::reconnect();
        loop {
            match self.pool.bounded(async |connection| enter(connection, ticket, attempt).await).await {
                Ok(mark) => return Ok(mark),
                Err(error) => warn!(%error, command = %ticket, "failed to quarantine a command, retrying"),
            }
            self.wait(&mut delays).await?;
        }
    }

    async fn attempt(
        &self,
        batch: &[&Command],
        keys: &mut RowKeys,
        manner: Manner,
    ) -> Result<Vec<Decided>, Error> {
        let _turn = self.turns.take(manner).await;
        let _shared = match manner {
            Manner::Isolated => None,
            _ => Some(self.in_progress.read().await),
        };
        let now = self.clock.now();
        let how = if manner == Manner::Together { Tenants::Try } else { Tenants::Wait };
        let mut folded = None;
        let transaction = async |connection: &mut AsyncPgConnection| {
            if let Some(limits) = manner.limits() {
                connection.batch_execute(&limits.of_transaction()).await?;
            }
            let mut state = match load(connection, keys, now, how).await? {
                Loaded::State(state) => *state,
                Loaded::Busy(tenants) => return Err(Error::Busy(tenants)),
            };
            let verdicts = self.fold(&mut state, batch)?;
            if keys.add_external_ids(&state) {
                return Err(Error::Unlocked);
            }
            let saved = save(connection, &state).await;
            folded = Some(state);
            saved?;
            Ok(verdicts)
        };
        let done = self.pool.within(ATTEMPT, async |c| c.transaction(transaction).await).await;
        if let (Err(Error::Postgres(database::Error::Taken { .. })), Some(state)) = (&done, &folded) {
            keys.add_names(state);
        }
        done
    }

    /// Catches panics of the fold. The fold is pure: a panic corrupts only the state, which is dropped with the
    /// transaction.
    fn fold(&self, state: &mut State, batch: &[&Command]) -> Result<Vec<Decided>, Error> {
        let decide_all = || batch.iter().map(|command| self.decide(state, command)).collect();
        catch_unwind(AssertUnwindSafe(decide_all)).map_err(|_| Error::Panicked)
    }

    fn decide(&self, state: &mut State, command: &Command) -> Decided {
        if sabotage::dies_on(command) {
            std::process::abort();
        }
        decide(state, command).map_err(|reason| vec![self.attempt_now(reason)])
    }

    /// The verdicts of a batch before anything is committed.
    #[cfg(feature = "sabotage")]
    pub async fn foretell(&self, batch: &[&Command]) -> Vec<Decided> {
        let Ok(mut connection) = self.pool.get().await else { return Vec::new() };
        let connection: &mut AsyncPgConnection = &mut connection;
        let (keys, mut foretold) = (RowKeys::of(batch.iter().copied()), Vec::new());
        let _ = connection
            .transaction(async |connection: &mut AsyncPgConnection| {
                let loaded = load(connection, &keys, self.clock.now(), Tenants::Try).await?;
                let Loaded::State(mut state) = loaded else { return Err(Error::Unlocked) };
                foretold = self.fold(&mut state, batch)?;
                Err::<(), Error>(diesel::result::Error::RollbackTransaction.into())
            })
            .await;
        foretold
    }

    /// Marks verdicts that were committed too late as undelivered, as `decide` does with those that were decided too
    /// late: a commit may hang until the reply would miss the deadline.
    async fn mark_undelivered(&self, batch: &[&Command], verdicts: &mut [Decided]) {
        let now = self.clock.now();
        let late = |(command, verdict): &(&&Command, &mut Decided)| {
            is_late(command, now)
                && matches!(verdict, Ok(Decision::Reply(outcome)) if outcome.record().is_some())
        };
        let late: Vec<_> = batch.iter().zip(verdicts).filter(late).collect();
        if late.is_empty() {
            return;
        }
        let tickets: Vec<_> = late.iter().map(|(command, _)| command.ticket).collect();
        match self
            .pool
            .bounded(async |connection| verdicts::mark_undelivered_if_replied(connection, &tickets).await)
            .await
        {
            Ok(marked) => {
                for (_, verdict) in late.into_iter().filter(|(command, _)| marked.contains(&command.ticket)) {
                    if let Ok(decision) = verdict {
                        *decision = Decision::Undelivered(decision.outcome().clone());
                    }
                }
            }
            Err(error) => {
                warn!(%error, commands = tickets.len(), "failed to keep late verdicts for retried requests");
            }
        }
    }

    /// Whether Postgres accepts a write other than the current command. When the disk is full, for example, it does
    /// not.
    async fn takes_writes(&self) -> bool {
        let probe = async |connection: &mut AsyncPgConnection| {
            diesel::sql_query("insert into outbox (kind, event) values ('probe', '{}')")
                .execute(connection)
                .await?;
            Err::<(), _>(diesel::result::Error::RollbackTransaction)
        };
        let probed = self.pool.bounded(async |connection| Ok(connection.transaction(probe).await));
        probed.await == Ok(Err(diesel::result::Error::RollbackTransaction))
    }

    async fn wait(&self, delays: &mut Delays) -> Result<(), Stopped> {
        if shutdown::pause(&self.stop, delays.next_delay()).await { Ok(()) } else { Err(Stopped) }
    }
}
