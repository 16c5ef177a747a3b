//! Settling in Postgres who was first, the deadline or the worker. What ingest may write in `commands`: its own
//! `abandoned` and `queued` marks, and the mark off an outcome that is claimed.
//!
//! Before it: a command whose reply did not come. After it: the verdict, or "try again".

use std::time::Duration;

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::command::Command;
use shared::outcome::Outcome;
use shared::postgres::schema::commands;
use shared::postgres::{Constant, Error, Pool, verdicts};
use shared::retry::Delays;
use shared::ticket::Ticket;
use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

/// How long settling waits for Postgres.
const WAIT: Duration = Duration::from_secs(5);
/// The state of a command whose client was told to try again before there was a verdict.
const ABANDONED: &str = "abandoned";
/// How long a command that could not be settled at its deadline is tried again: longer, and its client has given up.
const PERSISTENCE: Duration = Duration::from_secs(300);

/// When settling that begins now is given up.
pub(super) fn bound() -> Instant {
    Instant::now() + WAIT
}

/// Marks the command as abandoned; says whether the mark went in, that is, whether the worker has not decided yet.
///
/// # Errors
/// When Postgres does not answer in time: the mark may be there or not.
pub(super) async fn abandon(pool: &Pool, command: &Command) -> Result<bool, Error> {
    mark(pool, Mark::of(command, ABANDONED)).await
}

/// Marks the command as queued: its outcome can be asked for from now on.
///
/// # Errors
/// When Postgres does not answer in time: the mark may be there or not.
pub(super) async fn promise(pool: &Pool, command: &Command) -> Result<bool, Error> {
    mark(pool, Mark::of(command, "queued")).await
}

/// Settles what could not be settled at its deadline: the client was told to try again then. Either the worker finds the mark
/// after all, or the verdict that is there stays unclaimed for the repeated request. Tries as long as that is of use.
///
/// Of the command only what stands in its row is kept: while Postgres is away there may be many.
pub(super) fn settle_later(pool: Pool, command: &Command) -> impl Future<Output = ()> + Send + use<> {
    let abandoned = Mark::of(command, ABANDONED);
    async move {
        let ticket = Ticket(abandoned.id);
        let until = Instant::now() + PERSISTENCE;
        let mut delays = Delays::reconnect();
        while Instant::now() < until {
            match leave_behind(&pool, abandoned.clone()).await {
                Ok(()) => return,
                Err(_) => delays.pause().await,
            }
        }
        warn!(command = %ticket, "a command could not be settled: Postgres is away for too long");
    }
}

async fn leave_behind(pool: &Pool, abandoned: Mark) -> Result<(), Error> {
    let ticket = Ticket(abandoned.id);
    if mark(pool, abandoned).await? {
        return Ok(());
    }
    // One that was handed to a repeated request already is harmless: it is not the truth any more.
    let pool = pool.clone();
    let work = async move { pool.bounded(async |c| verdicts::leave_unclaimed(c, &[ticket]).await).await };
    within(bound(), work).await.map(drop)
}

/// Takes the mark back: the command did not get into any queue.
///
/// # Errors
/// When Postgres does not answer in time: the mark may stay.
pub(super) async fn take_back(pool: &Pool, command: &Command) -> Result<(), Error> {
    let id = command.ticket.0;
    let queued = commands::table.filter(commands::id.eq(id)).filter(commands::state.eq("queued"));
    let delete = diesel::delete(queued);
    let pool = pool.clone();
    let work = async move { pool.bounded(async |c| Ok(delete.execute(c).await.map(drop)?)).await };
    within(bound(), work).await
}

/// A row of `commands` before there is a verdict.
#[derive(Clone, Insertable)]
#[diesel(table_name = commands)]
struct Mark {
    id: Uuid,
    tenant_id: Uuid,
    change: &'static str,
    resource_id: Uuid,
    actor: String,
    request_id: Uuid,
    fingerprint: String,
    state: &'static str,
    issued_at: OffsetDateTime,
}

impl Mark {
    fn of(command: &Command, state: &'static str) -> Self {
        Self {
            id: command.ticket.0,
            tenant_id: command.tenant,
            change: command.change.name(),
            resource_id: command.resource,
            actor: command.actor.to_string(),
            request_id: command.request,
            fingerprint: command.fingerprint.as_str().to_owned(),
            state,
            issued_at: command.issued_at,
        }
    }
}

/// Says whether the mark went in.
async fn mark(pool: &Pool, mark: Mark) -> Result<bool, Error> {
    let insert = diesel::insert_into(commands::table).values(mark).on_conflict_do_nothing();
    let pool = pool.clone();
    let work = async move { pool.bounded(async |c| Ok(insert.execute(c).await?)).await };
    Ok(within(bound(), work).await? == 1)
}

/// The command's verdict, if it has one. What took effect is claimed: no outcome of this request stays unclaimed,
/// whichever of its tries it came from, or a later request on purpose would be handed it.
///
/// Read first: what is claimed without being told (Postgres did it, and its answer was lost) is handed to nobody any more, and a
/// repeated request would make a second resource. Once it is read it is told, whatever becomes of the claim.
///
/// # Errors
/// When Postgres does not answer in time: nothing was claimed.
pub(super) async fn claim(pool: &Pool, command: &Command, until: Instant) -> Result<Option<Outcome>, Error> {
    let (reading, ticket) = (pool.clone(), command.ticket);
    let read = async move { reading.bounded(async |c| verdicts::find(c, ticket).await).await };
    let Some(verdict) = within(until, read).await? else { return Ok(None) };
    // It goes on if Postgres does not answer now.
    let claiming = tokio::spawn(claim_read(
        pool.clone(),
        ticket,
        command.tenant,
        command.fingerprint.as_str().to_owned(),
    ));
    let claimed = tokio::time::timeout(WAIT, claiming).await;
    Ok(claimed.ok().and_then(Result::ok).flatten().or(Some(verdict)))
}

/// Claims a verdict that was read, and reads it again: if a repeated request was faster, the row says what was left for this one.
async fn claim_read(pool: Pool, ticket: Ticket, tenant: Uuid, fingerprint: String) -> Option<Outcome> {
    let claim = async |c: &mut AsyncPgConnection| {
        // Of a verdict that was stored late the worker must know that it was read here all the same.
        verdicts::claim(c, &[ticket]).await?;
        let own = diesel::alias!(commands as own);
        let took_effect =
            own.filter(own.field(commands::id).eq(ticket.0)).filter(own.field(commands::status).lt(300_i16));
        let unclaimed = commands::table
            .filter(Constant("commands.state = 'unclaimed'"))
            .filter(commands::tenant_id.eq(tenant))
            .filter(commands::fingerprint.eq(&fingerprint))
            .filter(diesel::dsl::exists(took_effect));
        diesel::update(unclaimed).set(commands::state.eq("claimed")).execute(c).await?;
        verdicts::find(c, ticket).await
    };
    let until = Instant::now() + PERSISTENCE;
    let mut delays = Delays::reconnect();
    while Instant::now() < until {
        match pool.bounded(claim).await {
            Ok(verdict) => return verdict,
            Err(_) => delays.pause().await,
        }
    }
    warn!(command = %ticket, "a verdict that was told stays for a repeated request: Postgres is away for too long");
    None
}

/// Waits for work until then. The work is not cut off in the middle: the pool bounds it and minds its connection.
async fn within<T: Send + 'static>(
    until: Instant,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    match tokio::time::timeout_at(until, tokio::spawn(work)).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::Unknown("the work panicked".to_owned())),
        Err(_) => Err(Error::Unavailable("it did not answer in time".to_owned())),
    }
}
