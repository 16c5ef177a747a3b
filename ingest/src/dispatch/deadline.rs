//! Settles in Postgres whether the deadline or the worker came first. Ingest inserts rows of `commands` without a
//! verdict (`queued`, `expired`), and deletes `queued` rows of commands that were not queued. In rows with a verdict it
//! changes only the delivery state.

use std::time::Duration;

use database::schema::commands;
use database::{Constant, Error, Pool, verdicts};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::command::Command;
use domain::delivery::Delivery;
use domain::outcome::Outcome;
use domain::ticket::Ticket;
use platform::retry::Delays;
use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

/// How long a statement waits for Postgres.
const WAIT: Duration = Duration::from_secs(5);
/// How long recording that a command has expired is retried. After that the client has given up.
const PERSISTENCE: Duration = Duration::from_secs(300);

/// The time limit for a statement that starts now.
pub(super) fn bound() -> Instant {
    Instant::now() + WAIT
}

/// Records the command as expired. Returns whether the row was inserted, that is, whether there was no verdict yet.
///
/// # Errors
/// If Postgres does not respond in time. The row may be stored or not.
pub(super) async fn expire(pool: &Pool, command: &Command) -> Result<bool, Error> {
    insert(pool, CommandRow::of(command, Delivery::Expired)).await
}

/// Records the command as queued. Clients can ask for its outcome from now on.
///
/// # Errors
/// If Postgres does not respond in time. The row may be stored or not.
pub(super) async fn record_queued(pool: &Pool, command: &Command) -> Result<bool, Error> {
    insert(pool, CommandRow::of(command, Delivery::Queued)).await
}

/// Expires a command that could not be expired at its deadline, when the client got 429. Either the worker finds the
/// row, or the stored verdict stays undelivered for a repeated request. Retries for [`PERSISTENCE`].
///
/// Keeps only the fields of the row in memory: there may be many such commands while Postgres is unavailable.
pub(super) fn expire_later(pool: Pool, command: &Command) -> impl Future<Output = ()> + Send + use<> {
    let expired = CommandRow::of(command, Delivery::Expired);
    async move {
        let ticket = Ticket(expired.id);
        let until = Instant::now() + PERSISTENCE;
        let mut delays = Delays::reconnect();
        while Instant::now() < until {
            match expire_or_leave_undelivered(&pool, expired.clone()).await {
                Ok(()) => return,
                Err(_) => delays.pause().await,
            }
        }
        warn!(command = %ticket, "failed to settle a command: Postgres was unavailable for too long");
    }
}

async fn expire_or_leave_undelivered(pool: &Pool, expired: CommandRow) -> Result<(), Error> {
    let ticket = Ticket(expired.id);
    if insert(pool, expired).await? {
        return Ok(());
    }
    // If a repeated request has received it already, this is harmless: the verdict no longer holds then.
    let pool = pool.clone();
    let work = async move {
        pool.bounded(async |c| verdicts::mark_undelivered_if_replied(c, &[ticket]).await).await
    };
    within(bound(), work).await.map(drop)
}

/// Deletes the `queued` row of a command that is in no queue.
///
/// # Errors
/// If Postgres does not respond in time. The row may remain.
pub(super) async fn take_back(pool: &Pool, command: &Command) -> Result<(), Error> {
    let id = command.ticket.0;
    let queued =
        commands::table.filter(commands::id.eq(id)).filter(commands::delivery.eq(Delivery::Queued.as_str()));
    let delete = diesel::delete(queued);
    let pool = pool.clone();
    let work = async move { pool.bounded(async |c| Ok(delete.execute(c).await.map(drop)?)).await };
    within(bound(), work).await
}

/// A row of `commands` without a verdict.
#[derive(Clone, Insertable)]
#[diesel(table_name = commands)]
struct CommandRow {
    id: Uuid,
    tenant_id: Uuid,
    change: &'static str,
    resource_id: Uuid,
    actor: String,
    request_id: Uuid,
    fingerprint: String,
    delivery: &'static str,
    issued_at: OffsetDateTime,
}

impl CommandRow {
    fn of(command: &Command, delivery: Delivery) -> Self {
        Self {
            id: command.ticket.0,
            tenant_id: command.tenant,
            change: command.change.name(),
            resource_id: command.resource,
            actor: command.actor.to_string(),
            request_id: command.request,
            fingerprint: command.fingerprint.as_str().to_owned(),
            delivery: delivery.as_str(),
            issued_at: command.issued_at,
        }
    }
}

/// Returns whether the row was inserted.
async fn insert(pool: &Pool, row: CommandRow) -> Result<bool, Error> {
    let insert = diesel::insert_into(commands::table).values(row).on_conflict_do_nothing();
    let pool = pool.clone();
    let work = async move { pool.bounded(async |c| Ok(insert.execute(c).await?)).await };
    Ok(within(bound(), work).await? == 1)
}

/// The command's verdict, if there is one. If the change took effect, this records all undelivered outcomes of the
/// request as delivered, from whichever attempt: a later, intentional request must not receive one of them.
///
/// The verdict is read before it is recorded as delivered. If it were recorded first and Postgres's response were lost,
/// no request would receive it, and a repeated request would create a second resource. Once read, it is returned even
/// if recording that fails.
///
/// # Errors
/// If Postgres does not respond in time. Nothing was recorded.
pub(super) async fn deliver(
    pool: &Pool,
    command: &Command,
    until: Instant,
) -> Result<Option<Outcome>, Error> {
    let (reading, ticket) = (pool.clone(), command.ticket);
    let read = async move { reading.bounded(async |c| verdicts::find(c, ticket).await).await };
    let Some(verdict) = within(until, read).await? else { return Ok(None) };
    // The task continues if Postgres does not respond in time.
    let delivering = tokio::spawn(deliver_read(
        pool.clone(),
        ticket,
        command.tenant,
        command.fingerprint.as_str().to_owned(),
    ));
    let delivered = tokio::time::timeout(WAIT, delivering).await;
    Ok(delivered.ok().and_then(Result::ok).flatten().or(Some(verdict)))
}

/// Records that a verdict was delivered, and reads it again: if a repeated request received it first, the row then holds
/// the outcome that this request receives.
async fn deliver_read(pool: Pool, ticket: Ticket, tenant: Uuid, fingerprint: String) -> Option<Outcome> {
    let deliver = async |c: &mut AsyncPgConnection| {
        // The worker must see that a verdict stored after the deadline was read here.
        verdicts::mark_delivered(c, ticket).await?;
        let own = diesel::alias!(commands as own);
        let took_effect =
            own.filter(own.field(commands::id).eq(ticket.0)).filter(own.field(commands::status).lt(300_i16));
        let undelivered = commands::table
            .filter(Constant("commands.delivery = 'undelivered'"))
            .filter(commands::tenant_id.eq(tenant))
            .filter(commands::fingerprint.eq(&fingerprint))
            .filter(diesel::dsl::exists(took_effect));
        diesel::update(undelivered)
            .set(commands::delivery.eq(Delivery::Delivered.as_str()))
            .execute(c)
            .await?;
        verdicts::find(c, ticket).await
    };
    let until = Instant::now() + PERSISTENCE;
    let mut delays = Delays::reconnect();
    while Instant::now() < until {
        match pool.bounded(deliver).await {
            Ok(verdict) => return verdict,
            Err(_) => delays.pause().await,
        }
    }
    warn!(command = %ticket, "failed to deliver a returned verdict; a repeated request may receive it again");
    None
}

/// Waits for work until `until`. The work is not cancelled: the pool limits its time and cleans up its connection.
async fn within<T: Send + 'static>(
    until: Instant,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    match tokio::time::timeout_at(until, tokio::spawn(work)).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::Unknown("the work panicked".to_owned())),
        Err(_) => Err(Error::Unavailable("Postgres did not respond in time".to_owned())),
    }
}
