//! A batch to its verdicts: one transaction, done again as long as it takes. Before: [`crate::inbox`]. After: the
//! replies and the acknowledgement in [`crate::consumer`].

use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use shared::clock::Clock;
use shared::command::Command;
use shared::postgres::{Error, Pool};
use shared::retry::Delays;
use shared::shutdown;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::fold::{Decision, decide, is_late};
use crate::store::{Keys, leave_unclaimed, load, save};

/// How often a command that Postgres fails at, for reasons unknown, is tried alone before it is given up.
const TRIES_ALONE: u32 = 10;
/// How often a batch may collide with others' transactions before its commands are tried one by one.
const COLLISIONS: u32 = 20;

/// A verdict, or the reason why there can be none.
pub type Verdict = Result<Decision, String>;

/// Applies batches.
pub struct Applier {
    pool: Pool,
    clock: Clock,
    stop: CancellationToken,
}

/// The work was given up because the service stops: the messages go back to the broker.
#[derive(Debug, PartialEq, Eq)]
pub struct Stopped;

impl Applier {
    /// An applier over this pool, until `stop`.
    #[must_use]
    pub fn new(pool: Pool, clock: Clock, stop: CancellationToken) -> Self {
        Self { pool, clock, stop }
    }

    /// Applies a batch; waits while Postgres is away. The verdicts stand in the order of the commands.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn apply(&self, batch: &[&Command]) -> Result<Vec<Verdict>, Stopped> {
        match self.together(batch).await? {
            Ok(verdicts) => Ok(verdicts),
            Err(error) => {
                // One of them is the cause: the others must not suffer with it.
                warn!(%error, batch = batch.len(), "a batch failed, its commands are tried one by one");
                let mut verdicts = Vec::with_capacity(batch.len());
                for command in batch {
                    verdicts.push(self.alone(command).await?);
                }
                Ok(verdicts)
            }
        }
    }

    /// A command by itself. What Postgres goes on failing at, while it takes other writes, can never be decided.
    async fn alone(&self, command: &Command) -> Result<Verdict, Stopped> {
        let mut delays = Delays::reconnect();
        let mut failures = 0;
        loop {
            match self.together(&[command]).await? {
                Ok(mut verdicts) => return Ok(verdicts.pop().expect("a verdict for each command")),
                Err(Error::Refused(why)) => return Ok(Err(format!("Postgres refuses the data: {why}"))),
                Err(error) => {
                    warn!(%error, command = %command.ticket, "a command failed alone");
                    failures += 1;
                    if failures >= TRIES_ALONE && self.takes_writes().await {
                        return Ok(Err("Postgres fails at this command, and at no other".to_owned()));
                    }
                    self.wait(&mut delays).await?;
                }
            }
        }
    }

    /// One transaction for all, again and again while Postgres is away or others are in the way.
    async fn together(&self, batch: &[&Command]) -> Result<Result<Vec<Verdict>, Error>, Stopped> {
        let mut keys = Keys::of(batch.iter().copied());
        let mut delays = Delays::reconnect();
        let (mut away, mut collisions) = (false, 0);
        loop {
            match self.attempt(batch, &mut keys).await {
                Ok(mut verdicts) => {
                    if away {
                        info!(batch = batch.len(), "Postgres is back, the batch is applied");
                    }
                    self.mark_unheard(batch, &mut verdicts).await;
                    return Ok(Ok(verdicts));
                }
                // Somebody else was first: the next fold sees the row.
                Err(Error::Taken { .. } | Error::Contention(_)) if collisions < COLLISIONS => collisions += 1,
                Err(error) if error.is_transient() => {
                    if !away {
                        warn!(%error, batch = batch.len(), "the batch is kept until Postgres is back");
                    }
                    away = true;
                    self.wait(&mut delays).await?;
                }
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    async fn attempt(&self, batch: &[&Command], keys: &mut Keys) -> Result<Vec<Verdict>, Error> {
        let mut connection = self.pool.get().await?;
        let connection: &mut AsyncPgConnection = &mut connection;
        let now = self.clock.now();
        let mut folded = None;
        let done = connection
            .transaction(async |connection: &mut AsyncPgConnection| {
                let mut state = load(connection, keys, now).await?;
                let verdicts: Vec<Verdict> =
                    batch.iter().map(|command| decide(&mut state, command)).collect();
                let saved = save(connection, &state).await;
                folded = Some(state);
                saved.map(|()| verdicts)
            })
            .await;
        if let (Err(Error::Taken { .. }), Some(state)) = (&done, &folded) {
            keys.add_names(state);
        }
        done
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
        match self.pool.bounded(async |connection| leave_unclaimed(connection, &tickets).await).await {
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
        let Ok(mut connection) = self.pool.get().await else { return false };
        let connection: &mut AsyncPgConnection = &mut connection;
        let probe = "insert into outbox (kind, event) values ('probe', '{}')";
        let probe = connection.transaction(async |connection: &mut AsyncPgConnection| {
            diesel::sql_query(probe).execute(connection).await?;
            Err::<(), _>(diesel::result::Error::RollbackTransaction)
        });
        probe.await == Err(diesel::result::Error::RollbackTransaction)
    }

    async fn wait(&self, delays: &mut Delays) -> Result<(), Stopped> {
        if shutdown::pause(&self.stop, delays.next_delay()).await { Ok(()) } else { Err(Stopped) }
    }
}
