//! After the commit: verdicts that stand in `commands` too late for anybody to have heard them.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::postgres::Error;
use shared::postgres::schema::commands;
use shared::ticket::Ticket;
use uuid::Uuid;

/// Marks these verdicts as unclaimed, unless ingest has read them meanwhile. Returns those that were marked.
///
/// # Errors
/// See [`Error`].
pub async fn leave_unclaimed(
    connection: &mut AsyncPgConnection,
    tickets: &[Ticket],
) -> Result<HashSet<Ticket>, Error> {
    let ids: Vec<Uuid> = tickets.iter().map(|ticket| ticket.0).collect();
    let unread = commands::table.filter(commands::id.eq_any(ids)).filter(commands::state.eq("decided"));
    let update = diesel::update(unread).set(commands::state.eq("unclaimed")).returning(commands::id);
    let marked: Vec<Uuid> = update.get_results(connection).await?;
    Ok(marked.into_iter().map(Ticket).collect())
}
