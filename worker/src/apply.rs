//! A batch to its verdicts: one transaction, done again as long as it takes. Before: [`crate::inbox`]. After: the
//! replies and the acknowledgement in [`crate::consumer`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use shared::amqp::dead::Attempt;
use shared::clock::Clock;
use shared::command::Command;
use shared::postgres::{self, Limits, Pool, verdicts};
use shared::retry::Delays;
use shared::shutdown;
use shared::ticket::Ticket;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::fold::{Decision, State, decide, is_late};
use crate::sabotage;
use crate::status::Progress;
use crate::store::{Keys, load, save};
use crate::suspects::{CONVICTED, Mark, mark, unmark};

/// How often a command that Postgres fails at, for reasons unknown, is tried alone before it is given up.
const TRIES_ALONE: usize = 10;
/// How often a batch may find a name taken that was free before: somebody else was first, each time.
const TAKEN: u32 = 20;
/// How often a batch is folded again where other transactions were in the way otherwise (a deadlock, a lock that is not given up),
/// before its commands are tried one by one.
const FOLDS: u32 = 4;

/// How long an attempt at a batch may take, in all of its statements, which have limits of their own. A connection that neither
/// answers nor breaks is given up then.
const ATTEMPT: Duration = Limits::WORKER.statement.saturating_mul(2);

/// A verdict; or what was tried in vain, the oldest first: the last attempt says why there can be none.
pub type Verdict = Result<Decision, Vec<Attempt>>;

/// Why a batch came to no verdicts.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// A fault of ours, which one of the commands brings about.
    #[error("the fold panicked")]
    Panicked,
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        Self::Postgres(error.into())
    }
}

/// Applies batches.
pub struct Applier {
    /// The worker's id, for dead letters.
    pub worker: Uuid,
    /// The database.
    pub pool: Pool,
    /// The time.
    pub clock: Clock,
    /// Shared by the batches of all queues, and a suspect's alone: a worker that dies then had nothing else in hand.
    pub hands: Arc<RwLock<()>>,
    /// Is told when Postgres is away.
    pub progress: Progress,
    /// Until when.
    pub stop: CancellationToken,
}

/// The work was given up because the service stops: the messages go back to the broker.
#[derive(Debug, PartialEq, Eq)]
pub struct Stopped;

impl Applier {
    /// Applies a batch; waits while Postgres is away. The verdicts stand in the order of the commands.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn apply(&self, batch: &[&Command]) -> Result<Vec<Verdict>, Stopped> {
        let _beside_others = self.hands.read().await;
        match self.together(batch, FOLDS).await? {
            Ok(verdicts) => Ok(verdicts),
            Err(error) => {
                // One of them is the cause: the others must not suffer with it.
                warn!(%error, batch = batch.len(), "a batch failed, its commands are tried one by one");
                self.one_by_one(batch).await
            }
        }
    }

    /// Each command by itself. One that another transaction keeps from its rows is tried again after the others.
    async fn one_by_one(&self, batch: &[&Command]) -> Result<Vec<Verdict>, Stopped> {
        let mut first = Vec::with_capacity(batch.len());
        for command in batch {
            first.push(match self.together(&[command], 1).await? {
                Ok(mut verdicts) => verdicts.pop(),
                Err(Error::Postgres(error)) if error.is_transient() => None,
                Err(_) => Some(self.alone(command).await?),
            });
        }
        let mut verdicts = Vec::with_capacity(batch.len());
        for (command, verdict) in batch.iter().zip(first) {
            verdicts.push(match verdict {
                Some(verdict) => verdict,
                None => self.alone(command).await?,
            });
        }
        Ok(verdicts)
    }

    /// Applies a command that workers may have died of, by itself and under a mark. Where there are marks enough it is given
    /// up instead: they stay until [`Applier::unmark`], after its dead letter is confirmed.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn apply_suspect(&self, command: &Command, deliveries: u64) -> Result<Verdict, Stopped> {
        let _alone = self.hands.write().await;
        let what = format!("applied by itself after {deliveries} deliveries, and never heard of again");
        let mut attempts = match self.mark(command.ticket, &self.attempt_now(what)).await? {
            Mark::Suspect(earlier) => earlier,
            Mark::Decided(outcome) => {
                self.unmark(command.ticket).await;
                return Ok(Ok(Decision::Repeated(outcome)));
            }
            Mark::Convicted(mut attempts) => {
                attempts.push(self.attempt_now(CONVICTED.to_owned()));
                return Ok(Err(attempts));
            }
        };
        let verdict = self.alone(command).await;
        self.unmark(command.ticket).await;
        verdict.map(|verdict| {
            verdict.map_err(|vain| {
                attempts.extend(vain);
                attempts
            })
        })
    }

    /// What came of this command, noted for its dead letter.
    pub fn attempt_now(&self, what: String) -> Attempt {
        Attempt { at: self.clock.now(), worker: self.worker.to_string(), what }
    }

    /// Takes the marks off a command. Where that fails they do no harm: they are this worker's, which lives.
    pub async fn unmark(&self, ticket: Ticket) {
        let unmarked = self.pool.bounded(async |connection| unmark(connection, ticket).await).await;
        if let Err(error) = unmarked {
            warn!(%error, command = %ticket, "a suspect's mark could not be taken off");
        }
    }

    /// Marks a command, whatever is in the way: it must not be applied alone before.
    async fn mark(&self, ticket: Ticket, attempt: &Attempt) -> Result<Mark, Stopped> {
        let mut delays = Delays::reconnect();
        loop {
            match self.pool.bounded(async |connection| mark(connection, ticket, attempt).await).await {
                Ok(mark) => return Ok(mark),
                Err(error) => warn!(%error, command = %ticket, "a suspect waits for Postgres"),
            }
            self.wait(&mut delays).await?;
        }
    }

    /// A command by itself, for as long as others are in its way. It is given up if Postgres refuses it, or fails at it for reasons
    /// that it does not tell, again and again, while it takes other writes.
    async fn alone(&self, command: &Command) -> Result<Verdict, Stopped> {
        let (mut delays, mut waits) = (Delays::reconnect(), false);
        let mut attempts = Vec::new();
        loop {
            let error = match self.together(&[command], FOLDS).await? {
                Ok(mut verdicts) => return Ok(verdicts.pop().expect("a verdict for each command")),
                Err(error) => error,
            };
            if matches!(&error, Error::Postgres(error) if error.is_transient()) {
                if !waits {
                    warn!(%error, command = %command.ticket, "a command waits for other transactions");
                }
                waits = true;
                self.wait(&mut delays).await?;
                continue;
            }
            attempts.push(self.attempt_now(error.to_string()));
            if matches!(error, Error::Panicked | Error::Postgres(postgres::Error::Refused(_))) {
                return Ok(Err(attempts));
            }
            warn!(%error, command = %command.ticket, "a command failed alone");
            if attempts.len() >= TRIES_ALONE {
                if self.takes_writes().await {
                    let reason = "Postgres fails at this command, and at no other";
                    attempts.push(self.attempt_now(reason.to_owned()));
                    return Ok(Err(attempts));
                }
                attempts.remove(0);
            }
            self.wait(&mut delays).await?;
        }
    }

    /// One transaction for all: again and again while Postgres is away, and `folds` times while others are in the way.
    async fn together(&self, batch: &[&Command], folds: u32) -> Result<Result<Vec<Verdict>, Error>, Stopped> {
        let mut keys = Keys::of(batch.iter().copied());
        let (mut delays, mut pauses) = (Delays::reconnect(), Delays::collision());
        let (mut away, mut taken, mut collisions) = (false, 0, 0);
        loop {
            let error = match self.attempt(batch, &mut keys).await {
                Ok(mut verdicts) => {
                    if away {
                        self.progress.postgres_is_away(false);
                        info!(batch = batch.len(), "Postgres is back, the batch is applied");
                    }
                    self.mark_unheard(batch, &mut verdicts).await;
                    return Ok(Ok(verdicts));
                }
                Err(Error::Postgres(error)) => error,
                Err(panicked) => return Ok(Err(panicked)),
            };
            match error {
                // Somebody else was first: the next fold sees the row.
                postgres::Error::Taken { .. } if taken < TAKEN => taken += 1,
                error if error.is_collision() => {
                    collisions += 1;
                    if collisions >= folds || matches!(error, postgres::Error::Taken { .. }) {
                        return Ok(Err(error.into()));
                    }
                    info!(%error, batch = batch.len(), "a batch is folded again");
                    self.wait(&mut pauses).await?;
                }
                error if error.is_transient() => {
                    if !away {
                        warn!(%error, batch = batch.len(), "the batch is kept until Postgres is back");
                    }
                    away = true;
                    self.progress.postgres_is_away(true);
                    self.wait(&mut delays).await?;
                }
                error => return Ok(Err(error.into())),
            }
        }
    }

    async fn attempt(&self, batch: &[&Command], keys: &mut Keys) -> Result<Vec<Verdict>, Error> {
        let now = self.clock.now();
        let mut folded = None;
        let transaction = async |connection: &mut AsyncPgConnection| {
            let mut state = load(connection, keys, now).await?;
            let verdicts = self.fold(&mut state, batch)?;
            if keys.claim(&state) {
                // Who has them is looked at under their locks, which come before all others.
                let unlocked = "an externalId was claimed that was not locked";
                return Err(postgres::Error::Contention(unlocked).into());
            }
            let saved = save(connection, &state).await;
            folded = Some(state);
            saved?;
            Ok(verdicts)
        };
        let done = self.pool.within(ATTEMPT, async |c| c.transaction(transaction).await).await;
        if let (Err(Error::Postgres(postgres::Error::Taken { .. })), Some(state)) = (&done, &folded) {
            keys.add_names(state);
        }
        done
    }

    /// The fold is pure: a panic in it leaves nothing half done but the state, which is thrown away with the transaction.
    fn fold(&self, state: &mut State, batch: &[&Command]) -> Result<Vec<Verdict>, Error> {
        let decide_all = || batch.iter().map(|command| self.decide(state, command)).collect();
        catch_unwind(AssertUnwindSafe(decide_all)).map_err(|_| Error::Panicked)
    }

    fn decide(&self, state: &mut State, command: &Command) -> Verdict {
        if sabotage::dies_on(command) {
            std::process::abort();
        }
        decide(state, command).map_err(|reason| vec![self.attempt_now(reason)])
    }

    /// What the fold says of a batch, before anything is committed.
    #[cfg(feature = "sabotage")]
    pub async fn foretell(&self, batch: &[&Command]) -> Vec<Verdict> {
        let Ok(mut connection) = self.pool.get().await else { return Vec::new() };
        let connection: &mut AsyncPgConnection = &mut connection;
        let (keys, mut foretold) = (Keys::of(batch.iter().copied()), Vec::new());
        let _ = connection
            .transaction(async |connection: &mut AsyncPgConnection| {
                let mut state = load(connection, &keys, self.clock.now()).await?;
                foretold = self.fold(&mut state, batch)?;
                Err::<(), Error>(diesel::result::Error::RollbackTransaction.into())
            })
            .await;
        foretold
    }

    /// A commit may hang: what was decided in time, but stands there too late, is unheard as well.
    async fn mark_unheard(&self, batch: &[&Command], verdicts: &mut [Verdict]) {
        let now = self.clock.now();
        let late = |(command, verdict): &(&&Command, &mut Verdict)| {
            is_late(command, now) && matches!(verdict, Ok(Decision::Reply(outcome)) if outcome.is_applied())
        };
        let late: Vec<_> = batch.iter().zip(verdicts).filter(late).collect();
        if late.is_empty() {
            return;
        }
        let tickets: Vec<_> = late.iter().map(|(command, _)| command.ticket).collect();
        match self
            .pool
            .bounded(async |connection| verdicts::leave_unclaimed(connection, &tickets).await)
            .await
        {
            Ok(marked) => {
                for (_, verdict) in late.into_iter().filter(|(command, _)| marked.contains(&command.ticket)) {
                    if let Ok(decision) = verdict {
                        *decision = Decision::Unheard(decision.outcome().clone());
                    }
                }
            }
            Err(error) => {
                warn!(%error, commands = tickets.len(), "late verdicts could not be kept for repeated requests");
            }
        }
    }

    /// Whether Postgres stores something other than the command in hand: it is not out of space, say.
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
