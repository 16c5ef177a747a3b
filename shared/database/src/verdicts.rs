//! The stored verdict of a command in `commands`. It is read when a reply was lost or an outcome is fetched later, and
//! left for a repeated request if it was not delivered. A receipt in `receipts` tells that the client of a create has it.

use std::collections::HashSet;

use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::sql_types::{Array, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Error;
use super::schema::{commands, recent_resources};
use super::statement::Constant;
use domain::command::Fingerprint;
use domain::delivery::Delivery;
use domain::outcome::Outcome;
use domain::ticket::Ticket;

/// The status of a deletion. Its verdict has no resource, and no repeated request receives it.
const DELETED: i16 = 204;

/// The stored state of a command.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredVerdict {
    /// The name of its `Change`.
    pub change: String,
    /// The resource; for a create, the id that it was to have.
    pub resource: Option<Uuid>,
    /// The outcome; `None` while it is pending.
    pub outcome: Option<Outcome>,
    /// When it was decided.
    pub decided_at: Option<OffsetDateTime>,
}

/// The verdict of a command, if it has one. For as long as a client may wait for it, it holds the resource as the change
/// left it.
///
/// # Errors
/// See [`Error`].
pub async fn find(connection: &mut AsyncPgConnection, ticket: Ticket) -> Result<Option<Outcome>, Error> {
    let query = commands::table
        .left_join(recent_resources::table)
        .filter(commands::id.eq(ticket.0))
        .select((commands::outcome, recent_resources::resource.nullable()));
    let stored: Option<(Option<Value>, Option<Value>)> = query.first(connection).await.optional()?;
    let Some((Some(outcome), resource)) = stored else { return Ok(None) };
    decode(outcome, resource).map(Some)
}

/// Whether a request with this fingerprint has set a role.
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

/// The member of a stored outcome that says whether the command was asynchronous.
pub const IS_ASYNCHRONOUS: &str = "asynchronous";

/// Selects asynchronous requests of the tenant's API keys, whose outcome can be fetched or is still pending. It
/// excludes changes by an operator, by a pull or by an event of the learning platform, and requests that were answered
/// at once. (Earlier workers did not store which requests are asynchronous.)
const ASYNCHRONOUS: &str = "commands.actor ~ '^[0-9a-f]{8}-' and commands.delivery in ('queued', 'delivered') \
    and coalesce(commands.outcome ->> 'asynchronous', 'true') = 'true'";

/// The state of a tenant's asynchronous request, if one has this ticket.
///
/// # Errors
/// See [`Error`].
pub async fn asynchronous(
    connection: &mut AsyncPgConnection,
    tenant: Uuid,
    ticket: Ticket,
) -> Result<Option<StoredVerdict>, Error> {
    let query = commands::table
        .filter(commands::id.eq(ticket.0))
        .filter(commands::tenant_id.eq(tenant))
        .filter(Constant(ASYNCHRONOUS))
        .select((commands::change, commands::resource_id, commands::outcome, commands::decided_at));
    type Columns = (String, Option<Uuid>, Option<Value>, Option<OffsetDateTime>);
    let stored: Option<Columns> = query.first(connection).await.optional()?;
    let verdict = stored.map(|(change, resource, outcome, decided_at)| {
        Ok(StoredVerdict {
            change,
            resource,
            outcome: outcome.map(|outcome| decode(outcome, None)).transpose()?,
            decided_at,
        })
    });
    verdict.transpose()
}

/// Leaves these verdicts for a repeated request, if they have a resource and ingest has not received them in the
/// meantime.
/// Returns those that were marked.
///
/// # Errors
/// See [`Error`].
pub async fn mark_undelivered_if_replied(
    connection: &mut AsyncPgConnection,
    tickets: &[Ticket],
) -> Result<HashSet<Ticket>, Error> {
    let ids: Vec<Uuid> = tickets.iter().map(|ticket| ticket.0).collect();
    let unread = commands::table
        .filter(commands::id.eq_any(ids))
        .filter(commands::delivery.eq(Delivery::Replied.as_str()))
        .filter(commands::status.lt(DELETED))
        .filter(Constant(NO_RECEIPT));
    let update = diesel::update(unread)
        .set(commands::delivery.eq(Delivery::Undelivered.as_str()))
        .returning(commands::id);
    let marked: Vec<Uuid> = update.get_results(connection).await?;
    Ok(marked.into_iter().map(Ticket).collect())
}

/// Leaves these verdicts for a repeated request, if they have a resource, even if they are wrongly recorded as delivered.
///
/// # Errors
/// See [`Error`].
pub async fn mark_undelivered(connection: &mut AsyncPgConnection, tickets: &[Ticket]) -> Result<(), Error> {
    let ids: Vec<Uuid> = tickets.iter().map(|ticket| ticket.0).collect();
    let applied = commands::table
        .filter(commands::id.eq_any(ids))
        .filter(commands::delivery.eq_any([Delivery::Replied.as_str(), Delivery::Delivered.as_str()]))
        .filter(commands::status.lt(DELETED));
    diesel::update(applied)
        .set(commands::delivery.eq(Delivery::Undelivered.as_str()))
        .execute(connection)
        .await?;
    Ok(())
}

/// Records that ingest read this verdict from `commands`, so that no repeated request receives it.
///
/// # Errors
/// See [`Error`].
pub async fn mark_delivered(connection: &mut AsyncPgConnection, ticket: Ticket) -> Result<(), Error> {
    let replied = commands::table
        .filter(commands::id.eq(ticket.0))
        .filter(commands::delivery.eq(Delivery::Replied.as_str()));
    diesel::update(replied)
        .set(commands::delivery.eq(Delivery::Delivered.as_str()))
        .execute(connection)
        .await?;
    Ok(())
}

/// Records that the clients of these creates received their verdicts, so that no repeated request receives them.
///
/// # Errors
/// See [`Error`].
pub async fn write_receipts(connection: &mut AsyncPgConnection, tickets: &[Ticket]) -> Result<(), Error> {
    let ids: Vec<Uuid> = tickets.iter().map(|ticket| ticket.0).collect();
    diesel::sql_query("insert into receipts select unnest($1) on conflict do nothing")
        .bind::<Array<SqlUuid>, _>(ids)
        .execute(connection)
        .await?;
    Ok(())
}

/// Selects the commands without a receipt. (`not exists` could become a join that reads all receipts.)
const NO_RECEIPT: &str = "(select r.command from receipts r where r.command = commands.id) is null";

/// Decodes a stored verdict, and the resource that is stored apart from it.
///
/// # Errors
/// [`Error::Refused`] if a stored value has an unexpected shape.
pub fn decode(outcome: Value, resource: Option<Value>) -> Result<Outcome, Error> {
    let unexpected = |_| Error::Refused("a stored verdict has an unexpected shape".to_owned());
    let outcome: Outcome = serde_json::from_value(outcome).map_err(unexpected)?;
    let resource = resource.map(serde_json::from_value).transpose().map_err(unexpected)?;
    Ok(match resource {
        Some(resource) => outcome.with_resource(resource),
        None => outcome,
    })
}
