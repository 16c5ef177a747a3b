//! Repeated requests. A client that did not receive the outcome of its change sends the same request again: the second
//! command receives the outcome of the first, if it still holds.

use database::groups::GroupRow;
use database::users::UserRow;
use domain::command::{Change, Command};
use domain::delivery::Delivery;
use domain::outcome::{Outcome, REPEATABLE_FOR};
use domain::ticket::Ticket;
use scim::Record;
use time::{Duration, OffsetDateTime};

use super::State;
use super::state::Row;
use crate::sabotage;

/// How soon after the verdict on a create its receipt is written. A request that is repeated later, without a receipt
/// for the first, comes from a client that was asked to repeat it: a create is decided at least a second before its
/// deadline, or it counts as late.
const RECEIPT_WITHIN: Duration = Duration::seconds(1);

/// The outcome of an earlier request, if the command may receive it.
pub(super) fn outcome(state: &mut State, command: &Command, late: bool) -> Option<Outcome> {
    match &command.change {
        _ if command.asynchronous => None,
        Change::CreateUser { .. }
        | Change::ReplaceUser { .. }
        | Change::LeaveUser { .. }
        | Change::PatchUser { .. }
        | Change::SetRole { .. } => outcome_of::<UserRow>(state, command, late),
        Change::CreateGroup { .. } | Change::ReplaceGroup { .. } | Change::PatchGroup { .. } => {
            outcome_of::<GroupRow>(state, command, late)
        }
        Change::DeleteUser | Change::DeleteGroup | Change::SupplementUser { .. } => None,
    }
}

/// The outcome of an earlier request, if it was not delivered and still holds. It shows the resource as it is now. A
/// late command also receives it, but leaves it undelivered.
fn outcome_of<R: Row>(state: &mut State, command: &Command, late: bool) -> Option<Outcome> {
    let first = earlier(state, command).max()?;
    let outcome = state.verdicts.get(&first)?.outcome.clone()?;
    let (made, skipped_members, ignored) = match outcome {
        Outcome::Created { record, skipped_members, ignored }
        | Outcome::Updated { record, skipped_members, ignored } => (record, skipped_members, ignored),
        _ => return None,
    };
    let mut row = state.row::<R>(command.tenant, made.id)?.clone();
    let is_create = matches!(command.change, Change::CreateUser { .. } | Change::CreateGroup { .. });
    if !still_holds(&row, &made, is_create, first) {
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
    // A late command leaves the outcome undelivered: a create where it is, any other change under the new ticket.
    let passes_on = late && !is_create;
    if passes_on || !late {
        deliver_earlier(state, command);
        if is_create {
            give_away(state, first);
        }
    }
    let delivery = match (late, passes_on) {
        (false, _) => Delivery::Replied,
        (true, true) => Delivery::Undelivered,
        (true, false) => Delivery::Delivered,
    };
    state.record_verdict(command, outcome.clone(), delivery);
    Some(outcome)
}

/// Whether the outcome of an earlier request still holds. A created (or reactivated) resource must exist and have the
/// `active` state that the create gave it: if the user was deactivated since, the repeated request reactivates them. Any
/// other change must be the last one.
fn still_holds<R: Row>(row: &R, made: &Record, is_create: bool, first: Ticket) -> bool {
    if is_create {
        row.is_as_active_as(made) || sabotage::ignores_deactivation()
    } else {
        row.ticket() == first
    }
}

/// The earlier commands of the same request whose outcome this command may receive. They are not older than the hour in
/// which requests are repeated. Each was not delivered, or cannot have been delivered before the deadline that preceded
/// this request.
fn earlier(state: &State, command: &Command) -> impl Iterator<Item = Ticket> {
    let request = (command.tenant, command.fingerprint.clone());
    let undelivered = state.undelivered.get(&request).into_iter().flatten();
    let without_receipt = state.without_receipt.get(&request).into_iter().flatten();
    let without_receipt =
        without_receipt.filter(|(_, decided_at)| command.issued_at >= **decided_at + RECEIPT_WITHIN);
    let expected = |(_, decided_at): &(&Ticket, &OffsetDateTime)| state.now - **decided_at < REPEATABLE_FOR;
    undelivered.chain(without_receipt).filter(expected).map(|(ticket, _)| *ticket)
}

/// Marks all earlier commands of the request as delivered, because the request is answered now.
pub(super) fn deliver_earlier(state: &mut State, command: &Command) {
    let request = (command.tenant, command.fingerprint.clone());
    let tickets: Vec<Ticket> = earlier(state, command).collect();
    for ticket in tickets {
        for requests in [&mut state.undelivered, &mut state.without_receipt] {
            requests.get_mut(&request).and_then(|requests| requests.remove(&ticket));
        }
        if let Some(entry) = state.verdicts.get_mut(&ticket) {
            (entry.delivery, entry.changed) = (Delivery::Delivered, true);
        }
    }
}

/// Passes the result of a create on to the repeated request. The first becomes a 409, so that only one reports 201.
fn give_away(state: &mut State, create: Ticket) {
    if let Some(entry) = state.verdicts.get_mut(&create) {
        (entry.outcome, entry.changed) = (Some(Outcome::Rejected { error: created() }), true);
    }
}

/// Whether a later command of the same request has created the group. This one must not create a second group. (A user
/// is found by userName instead.)
pub(super) fn has_created(state: &State, command: &Command) -> bool {
    let created = state.made.get(&(command.tenant, command.fingerprint.clone()));
    matches!(command.change, Change::CreateGroup { .. })
        && created.is_some_and(|later| *later > command.ticket)
}

/// 409 for a create whose repeated request created the resource.
pub(super) fn created() -> scim::Error {
    scim::Error::uniqueness("a retry of this request has created the resource")
}
