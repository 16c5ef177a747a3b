//! Reading the verdict of a command from `commands`, for whoever lost the reply.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;

use super::Error;
use super::schema::commands;
use crate::outcome::Outcome;
use crate::ticket::Ticket;

/// The verdict of a command, if it has one.
///
/// # Errors
/// See [`Error`].
pub async fn find(connection: &mut AsyncPgConnection, ticket: Ticket) -> Result<Option<Outcome>, Error> {
    let query = commands::table.filter(commands::id.eq(ticket.0)).select(commands::outcome);
    let stored: Option<Option<Value>> = query.first(connection).await.optional()?;
    stored.flatten().map(decode).transpose()
}

/// A verdict as it was stored.
///
/// # Errors
/// [`Error::Refused`] if something else was stored there.
pub fn decode(stored: Value) -> Result<Outcome, Error> {
    serde_json::from_value(stored)
        .map_err(|_| Error::Refused("a stored verdict has another shape than expected".to_owned()))
}
