//! What users and groups have in common: the order of commands, and a version.

use std::sync::Arc;

use domain::command::Command;
use domain::outcome::Outcome;
use domain::ticket::Ticket;
use scim::{Record, Types};

use super::State;
use super::state::Row;
use crate::sabotage;

/// Why a change is not applied.
#[derive(Debug)]
pub(super) enum Refused {
    /// An error for the client.
    Rejected(scim::Error),
    /// A later command was applied before.
    Stale(Ticket),
}

impl From<scim::Error> for Refused {
    fn from(error: scim::Error) -> Self {
        Self::Rejected(error)
    }
}

impl From<Refused> for Outcome {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Rejected(error) => Self::Rejected { error },
            Refused::Stale(ticket) => Self::Stale { ticket },
        }
    }
}

/// The resource types of the command's tenant.
pub(super) fn types(state: &State, command: &Command) -> Result<Arc<Types>, scim::Error> {
    let tenant = state.tenants.get(&command.tenant);
    let types = tenant.map(|tenant| Arc::clone(&tenant.types));
    types.ok_or_else(|| scim::Error::internal("the tenant is not loaded"))
}

/// The record in a row.
pub(super) fn record<R: Row>(row: &R) -> Result<Record, scim::Error> {
    row.read().map_err(|_| scim::Error::internal(format!("the stored {} cannot be read", R::NAME)))
}

/// The ticket with which a command may change a row: its own, if it is greater than the row's.
///
/// An asynchronous command is not stale: it is applied right after the last one. Both were concurrent, since its
/// outcome was still pending. (It must not reactivate a user then, see `user::change`.)
pub(super) fn ticket_for<R: Row>(row: &R, command: &Command) -> Result<Ticket, Refused> {
    match row.ticket() {
        last if command.ticket > last || sabotage::ignores_tickets() => Ok(command.ticket),
        last if command.asynchronous => Ok(last.after()),
        last => Err(Refused::Stale(last)),
    }
}

/// The row that the command may change, with its resource. The row exists, the command is not stale, and `If-Match`
/// accepts the version. The row already carries the new ticket.
pub(super) fn in_order<R: Row>(state: &State, command: &Command) -> Result<(R, Record), Refused> {
    let missing = || scim::Error::not_found(format!("there is no {} with this id", R::NAME));
    let mut row = state.row::<R>(command.tenant, command.resource).ok_or_else(missing)?.clone();
    let ticket = ticket_for(&row, command)?;
    row.set_ticket(ticket);
    let record = record(&row)?;
    if command.if_match.as_ref().is_some_and(|accepted| !accepted.allows(&record.etag())) {
        let detail = format!("the version of the {} does not match If-Match; read it again", R::NAME);
        return Err(scim::Error::precondition_failed(detail).into());
    }
    Ok((row, record))
}
