//! Quarantine for possible poison messages. A crash raises the delivery count of every message the worker held, so most
//! of them are harmless. Each is applied in isolation, with the attempt recorded beforehand and deleted afterwards. A
//! remaining attempt proves that a worker died while it held only this command.

use amqp::dead::Attempt;
use database::{Error, verdicts};
use diesel::sql_types::{Jsonb, Text, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::outcome::Outcome;
use domain::ticket::Ticket;
use serde_json::{Value, json};

/// A command with this many earlier deliveries is applied in isolation. A single redelivery may be caused by any
/// worker's exit.
pub const MIN_DELIVERIES: u64 = 2;
/// How many workers must die while applying a command in isolation before it is dead-lettered. A single death may be a
/// coincidence: an operator's `kill -9`, or a pause longer than the broker's heartbeat timeout.
pub const MAX_DEATHS: usize = 2;
/// The reason in its dead letter.
pub const POISON: &str = "workers died while applying this command in isolation";

const ENTER: &str = "insert into quarantine (ticket, attempts) values ($1, $2) \
    on conflict (ticket) do update set attempts = quarantine.attempts || excluded.attempts returning attempts";

const WITHDRAW: &str = "update quarantine set attempts = (select coalesce(jsonb_agg(a order by n), '[]') \
    from jsonb_array_elements(attempts) with ordinality as each (a, n) where a ->> 'worker' <> $2) where ticket = $1";

#[derive(QueryableByName)]
struct Entered {
    #[diesel(sql_type = Jsonb)]
    attempts: Value,
}

/// What quarantine says about a command.
#[derive(Debug)]
pub enum Quarantine {
    /// It may be attempted in isolation. These earlier attempts failed.
    Attempt(Vec<Attempt>),
    /// Workers died, but after the command was committed.
    Decided(Outcome),
    /// [`MAX_DEATHS`] workers died while applying it.
    Poison(Vec<Attempt>),
}

/// Records an attempt before the command is applied in isolation.
///
/// # Errors
/// See [`Error`].
pub async fn enter(
    connection: &mut AsyncPgConnection,
    ticket: Ticket,
    attempt: &Attempt,
) -> Result<Quarantine, Error> {
    let query = sql_query(ENTER).bind::<SqlUuid, _>(ticket.0).bind::<Jsonb, _>(json!([attempt]));
    let entered: Entered = query.get_result(connection).await?;
    let mut attempts: Vec<Attempt> = serde_json::from_value(entered.attempts)
        .map_err(|_| Error::Refused("a stored attempt has an unexpected format".to_owned()))?;
    attempts.pop();
    // Attempts of this worker itself, which is alive: they could not be deleted.
    attempts.retain(|earlier| earlier.worker != attempt.worker);
    if attempts.len() < MAX_DEATHS {
        return Ok(Quarantine::Attempt(attempts));
    }
    Ok(match verdicts::find(connection, ticket).await? {
        Some(outcome) => Quarantine::Decided(outcome),
        None => Quarantine::Poison(attempts),
    })
}

/// Deletes all recorded attempts of a command after it was applied.
///
/// # Errors
/// See [`Error`].
pub async fn leave(connection: &mut AsyncPgConnection, ticket: Ticket) -> Result<(), Error> {
    let query = sql_query("delete from quarantine where ticket = $1").bind::<SqlUuid, _>(ticket.0);
    Ok(query.execute(connection).await.map(drop)?)
}

/// Deletes this worker's recorded attempts of a command; those of workers that died remain.
///
/// # Errors
/// See [`Error`].
pub async fn withdraw(connection: &mut AsyncPgConnection, ticket: Ticket, worker: &str) -> Result<(), Error> {
    let query = sql_query(WITHDRAW).bind::<SqlUuid, _>(ticket.0).bind::<Text, _>(worker);
    Ok(query.execute(connection).await.map(drop)?)
}
