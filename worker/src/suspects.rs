//! Commands that may be what workers die of. A crash counts for everything that the worker held, so most suspects are
//! innocent: each is applied by itself, under a mark that is taken off when the attempt has ended. Marks that are found
//! were left by workers that died with nothing but this command in hand.
//!
//! Before: [`crate::consumer`] tells suspects by their deliveries. After: [`crate::apply`].

use diesel::sql_types::{Jsonb, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};
use shared::amqp::dead::Attempt;
use shared::outcome::Outcome;
use shared::postgres::{Error, verdicts};
use shared::ticket::Ticket;

/// A command that was delivered so many times before is a suspect. Once is what any worker's end costs all that it held.
pub const SUSPICIOUS: u64 = 2;
/// So many workers must have died over a command by itself before it is given up. One may be a coincidence: an operator's
/// `kill -9`, or a pause that outlasted the broker's heartbeat.
pub const CONVICTED_BY: usize = 2;
/// Why it is given up.
pub const CONVICTED: &str = "workers died while they applied this command by itself";

const MARK: &str = "insert into suspects (ticket, attempts) values ($1, $2) \
    on conflict (ticket) do update set attempts = suspects.attempts || excluded.attempts returning attempts";

#[derive(QueryableByName)]
struct Marked {
    #[diesel(sql_type = Jsonb)]
    attempts: Value,
}

/// What the marks of a command say.
#[derive(Debug)]
pub enum Mark {
    /// It may be tried alone; so it was before, in vain.
    Suspect(Vec<Attempt>),
    /// Workers died over it, but not before it was committed.
    Decided(Outcome),
    /// [`CONVICTED_BY`] workers died over it.
    Convicted(Vec<Attempt>),
}

/// Marks a command before it is applied alone.
///
/// # Errors
/// See [`Error`].
pub async fn mark(
    connection: &mut AsyncPgConnection,
    ticket: Ticket,
    attempt: &Attempt,
) -> Result<Mark, Error> {
    let query = sql_query(MARK).bind::<SqlUuid, _>(ticket.0).bind::<Jsonb, _>(json!([attempt]));
    let marked: Marked = query.get_result(connection).await?;
    let mut attempts: Vec<Attempt> = serde_json::from_value(marked.attempts)
        .map_err(|_| Error::Refused("a stored mark has another shape than expected".to_owned()))?;
    attempts.pop();
    // Of this very worker, which lives: the mark could not be taken off.
    attempts.retain(|earlier| earlier.worker != attempt.worker);
    if attempts.len() < CONVICTED_BY {
        return Ok(Mark::Suspect(attempts));
    }
    Ok(match verdicts::find(connection, ticket).await? {
        Some(outcome) => Mark::Decided(outcome),
        None => Mark::Convicted(attempts),
    })
}

/// Takes all marks off a command: its attempt has ended.
///
/// # Errors
/// See [`Error`].
pub async fn unmark(connection: &mut AsyncPgConnection, ticket: Ticket) -> Result<(), Error> {
    let query = sql_query("delete from suspects where ticket = $1").bind::<SqlUuid, _>(ticket.0);
    Ok(query.execute(connection).await.map(drop)?)
}
