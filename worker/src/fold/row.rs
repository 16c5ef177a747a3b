//! What users and groups have in common: the order of commands, a version, and outcomes that may be returned to a
//! retried request.

use std::sync::Arc;

use domain::command::{Change, Command};
use domain::outcome::Outcome;
use domain::ticket::Ticket;
use scim::{Record, Types};

use super::State;
use super::state::Row;
use crate::sabotage;
use domain::delivery::Delivery;

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
pub(super) fn turn<R: Row>(row: &R, command: &Command) -> Result<Ticket, Refused> {
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
    let ticket = turn(&row, command)?;
    row.set_ticket(ticket);
    let record = record(&row)?;
    if command.if_match.as_ref().is_some_and(|accepted| !accepted.allows(&record.etag())) {
        let detail = format!("the version of the {} does not match If-Match; read it again", R::NAME);
        return Err(scim::Error::precondition_failed(detail).into());
    }
    Ok((row, record))
}

/// The outcome of an earlier attempt of the same request, if it was not delivered and still holds. It shows the
/// resource as it is now. A late command also receives it, but leaves it undelivered.
pub(super) fn repeat_outcome<R: Row>(state: &mut State, command: &Command, late: bool) -> Option<Outcome> {
    let first = state.undelivered(command)?;
    let outcome = state.verdicts.get(&first)?.outcome.clone()?;
    let (made, skipped_members, ignored) = match outcome {
        Outcome::Created { record, skipped_members, ignored }
        | Outcome::Updated { record, skipped_members, ignored } => (record, skipped_members, ignored),
        _ => return None,
    };
    let mut row = state.row::<R>(command.tenant, made.id)?.clone();
    let is_create = matches!(command.change, Change::CreateUser { .. } | Change::CreateGroup { .. });
    if !is_true(&row, &made, is_create, first) {
        return None;
    }
    let record = row.read().ok()?;
    row.set_ticket(row.ticket().max(command.ticket));
    state.put(row);
    let outcome = if is_create {
        Outcome::Created { record, skipped_members, ignored }
    } else {
        Outcome::Updated { record, skipped_members, ignored }
    };
    // A late retry leaves the outcome undelivered: a create where it is, any other change under the new ticket.
    let passes_on = late && !is_create;
    if passes_on || !late {
        state.deliver_earlier_attempts(command);
        if is_create {
            state.give_away(first);
        }
    }
    let delivery = match (late, passes_on) {
        (false, _) => Delivery::Replied,
        (true, true) => Delivery::Undelivered,
        (true, false) => Delivery::Delivered,
    };
    state.settle(command, outcome.clone(), delivery);
    Some(outcome)
}

/// Whether the outcome of an earlier attempt still holds. A created (or reactivated) resource must exist and have the
/// `active` state that the create gave it: if the user was deactivated since, the retry reactivates them. Any other
/// change must be the last one.
fn is_true<R: Row>(row: &R, made: &Record, is_create: bool, first: Ticket) -> bool {
    if is_create {
        row.is_as_active_as(made) || sabotage::ignores_deactivation()
    } else {
        row.ticket() == first
    }
}
