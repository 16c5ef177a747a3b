//! The verdict of a command in `commands`: read by whoever lost the reply and whoever asks later, left for a repeated request
//! where nobody heard it.

use std::collections::HashSet;

use diesel::dsl::exists;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Error;
use super::schema::commands;
use super::statement::Constant;
use crate::command::Fingerprint;
use crate::outcome::Outcome;
use crate::ticket::Ticket;

/// What is known of a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What it asks for: the name of its `Change`.
    pub change: String,
    /// The resource, or the id that it was to have.
    pub resource: Option<Uuid>,
    /// What came of it; `None` while nothing has.
    pub outcome: Option<Outcome>,
    /// When it came to that.
    pub decided_at: Option<OffsetDateTime>,
}

/// The verdict of a command, if it has one.
///
/// # Errors
/// See [`Error`].
pub async fn find(connection: &mut AsyncPgConnection, ticket: Ticket) -> Result<Option<Outcome>, Error> {
    let query = commands::table.filter(commands::id.eq(ticket.0)).select(commands::outcome);
    let stored: Option<Option<Value>> = query.first(connection).await.optional()?;
    stored.flatten().map(decode).transpose()
}

/// Whether a request with this fingerprint has set somebody's role.
///
/// # Errors
/// See [`Error`].
pub async fn has_set_role(
    connection: &mut AsyncPgConnection,
    tenant: Uuid,
    fingerprint: &Fingerprint,
) -> Result<bool, Error> {
    let done = commands::table
        .filter(commands::tenant_id.eq(tenant))
        .filter(commands::fingerprint.eq(fingerprint.as_str()))
        .filter(Constant("commands.change = 'user.role' and commands.status = 200"));
    Ok(diesel::select(exists(done)).get_result(connection).await?)
}

/// Beside a stored outcome: whether the command was an asynchronous one.
pub const IS_ASYNCHRONOUS: &str = "asynchronous";

/// What was asked for asynchronously by one of the tenant's API keys: its outcome is there for whoever fetches it, or is still to come.
/// Changes by an operator, by a pull, or by an event of the learning platform were not, nor what was answered at once. (Workers before
/// this version did not say which are.)
const ASYNCHRONOUS: &str = "commands.actor ~ '^[0-9a-f]{8}-' and commands.state in ('queued', 'claimed') \
    and coalesce(commands.outcome ->> 'asynchronous', 'true') = 'true'";

/// What is known of a tenant's asynchronous request, if there is one with this ticket.
///
/// # Errors
/// See [`Error`].
pub async fn asynchronous(
    connection: &mut AsyncPgConnection,
    tenant: Uuid,
    ticket: Ticket,
) -> Result<Option<Verdict>, Error> {
    let query = commands::table
        .filter(commands::id.eq(ticket.0))
        .filter(commands::tenant_id.eq(tenant))
        .filter(Constant(ASYNCHRONOUS))
        .select((commands::change, commands::resource_id, commands::outcome, commands::decided_at));
    type Columns = (String, Option<Uuid>, Option<Value>, Option<OffsetDateTime>);
    let stored: Option<Columns> = query.first(connection).await.optional()?;
    let verdict = stored.map(|(change, resource, outcome, decided_at)| {
        Ok(Verdict { change, resource, outcome: outcome.map(decode).transpose()?, decided_at })
    });
    verdict.transpose()
}

/// Leaves these verdicts, as far as they took effect, for a repeated request, unless ingest has read them meanwhile. Returns
/// those that were marked.
///
/// # Errors
/// See [`Error`].
pub async fn leave_unclaimed(
    connection: &mut AsyncPgConnection,
    tickets: &[Ticket],
) -> Result<HashSet<Ticket>, Error> {
    let ids: Vec<Uuid> = tickets.iter().map(|ticket| ticket.0).collect();
    let unread = commands::table
        .filter(commands::id.eq_any(ids))
        .filter(commands::state.eq("decided"))
        .filter(commands::status.lt(300_i16));
    let update = diesel::update(unread).set(commands::state.eq("unclaimed")).returning(commands::id);
    let marked: Vec<Uuid> = update.get_results(connection).await?;
    Ok(marked.into_iter().map(Ticket).collect())
}

/// Leaves these verdicts for a repeated request, as far as they took effect, though it was noted that they were told: they were not.
///
/// # Errors
/// See [`Error`].
pub async fn unclaim(connection: &mut AsyncPgConnection, tickets: &[Ticket]) -> Result<(), Error> {
    let ids: Vec<Uuid> = tickets.iter().map(|ticket| ticket.0).collect();
    let told = commands::table
        .filter(commands::id.eq_any(ids))
        .filter(commands::state.eq_any(["decided", "claimed"]))
        .filter(commands::status.lt(300_i16));
    diesel::update(told).set(commands::state.eq("unclaimed")).execute(connection).await?;
    Ok(())
}

/// Whoever asked for these has been told: none of them is left for a repeated request.
///
/// # Errors
/// See [`Error`].
pub async fn claim(connection: &mut AsyncPgConnection, tickets: &[Ticket]) -> Result<(), Error> {
    let ids: Vec<Uuid> = tickets.iter().map(|ticket| ticket.0).collect();
    let told = commands::table.filter(commands::id.eq_any(ids)).filter(commands::state.eq("decided"));
    diesel::update(told).set(commands::state.eq("claimed")).execute(connection).await?;
    Ok(())
}

/// A verdict as it was stored.
///
/// # Errors
/// [`Error::Refused`] if something else was stored there.
pub fn decode(stored: Value) -> Result<Outcome, Error> {
    serde_json::from_value(stored)
        .map_err(|_| Error::Refused("a stored verdict has another shape than expected".to_owned()))
}
