//! One command against the state. The rules of order and of late answers; what a change does to a user is in `user`.

use shared::command::{Change, Command, Fingerprint, Origin, Role};
use shared::outcome::Outcome;
use shared::postgres::users::UserRow;
use shared::scim::{self, Resource};
use shared::ticket::Ticket;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::State;
use super::user;

/// How long before the deadline ingest may still hear a reply: what is applied later counts as unheard.
const REPLY_MARGIN: Duration = Duration::seconds(1);

/// What to do about a command after the commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Reply with this verdict.
    Reply(Outcome),
    /// The verdict is stored, and whoever asked has been told to ask again.
    Unheard(Outcome),
    /// Decided before and delivered again: reply once more, whoever may have heard it.
    Repeated(Outcome),
}

impl Decision {
    /// The verdict.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        match self {
            Self::Reply(outcome) | Self::Unheard(outcome) | Self::Repeated(outcome) => outcome,
        }
    }
}

/// Whether a reply to a command that goes out now may come too late.
#[must_use]
pub fn is_late(command: &Command, now: OffsetDateTime) -> bool {
    now > command.deadline - REPLY_MARGIN
}

/// Decides a command and applies it to the state.
///
/// # Errors
/// The reason why it can never be decided: it belongs into the dead-letter queue.
pub fn decide(state: &mut State, command: &Command) -> Result<Decision, String> {
    if !state.tenants.contains_key(&command.tenant) {
        return Err("the command's tenant does not exist".to_owned());
    }
    let entry = state.inbox.get(&command.ticket);
    if let Some(outcome) = entry.and_then(|entry| entry.outcome.clone()) {
        // Applied before: redelivered after a crash between the commit and the acknowledgement.
        return Ok(Decision::Repeated(outcome));
    }
    // A row without a verdict: ingest gave up first, and said so in Postgres.
    let late = entry.is_some() || is_late(command, state.now);
    if let Some(outcome) = hand_out(state, command, late) {
        return Ok(if late { Decision::Unheard(outcome) } else { Decision::Reply(outcome) });
    }
    let outcome = apply(state, command).unwrap_or_else(|error| Outcome::Rejected { error });
    state.settle(command, outcome.clone(), late && outcome.is_applied());
    Ok(if late { Decision::Unheard(outcome) } else { Decision::Reply(outcome) })
}

/// The outcome of the same request's earlier try, if nobody heard it and it is still the truth. A command that is
/// late itself repeats it but leaves it unclaimed.
fn hand_out(state: &mut State, command: &Command, late: bool) -> Option<Outcome> {
    let mark: (Uuid, Fingerprint) = (command.tenant, command.fingerprint.clone());
    let first = *state.unclaimed.get(&mark)?;
    let outcome = state.inbox.get(&first)?.outcome.clone()?;
    let (Outcome::Created { record } | Outcome::Updated { record }) = &outcome else { return None };
    let mut row = state.user(command.tenant, record.id)?.clone();
    let outcome = match &command.change {
        Change::CreateUser { .. } if row.created_ticket == first.0 => {
            Outcome::Created { record: row.record().ok()? }
        }
        Change::ReplaceUser { .. } | Change::PatchUser { .. } if row.ticket == first.0 => outcome.clone(),
        _ => return None,
    };
    let is_create = matches!(command.change, Change::CreateUser { .. });
    row.ticket = row.ticket.max(command.ticket.0);
    if is_create && !late {
        // The resource is this command's now, should its outcome go unheard too.
        row.created_ticket = command.ticket.0;
    }
    state.put(row);
    state.settle(command, outcome.clone(), false);
    if !late {
        state.unclaimed.remove(&mark);
        if let Some(entry) = state.inbox.get_mut(&first) {
            entry.unclaimed = false;
            entry.changed = true;
            if is_create {
                // One resource was made: two answers of 201 would be two creates.
                entry.outcome = Some(Outcome::Rejected { error: user::name_taken() });
            }
        }
    }
    Some(outcome)
}

/// Applies a command that was not applied before.
fn apply(state: &mut State, command: &Command) -> Result<Outcome, scim::Error> {
    match &command.change {
        Change::CreateUser { user, origin, role } => {
            create(state, command, user, *origin, role.unwrap_or_default())
        }
        Change::ReplaceUser { user } => update(state, command, |current| user::replaced(current, user)),
        Change::PatchUser { patch } => update(state, command, |current| user::patched(current, patch)),
        Change::DeleteUser => delete(state, command),
    }
}

fn create(
    state: &mut State,
    command: &Command,
    user: &Resource,
    origin: Origin,
    role: Role,
) -> Result<Outcome, scim::Error> {
    let row = user::created(state, command, user, origin, role)?;
    if state.is_name_taken(row.tenant_id, &row.user_name_key, row.id) || state.users.contains_key(&row.id) {
        return Err(user::name_taken());
    }
    let record = row.record().map_err(|_| scim::Error::internal("the user could not be stored"))?;
    user::tell_created(state, command, &row);
    state.put(row);
    Ok(Outcome::Created { record })
}

fn update(
    state: &mut State,
    command: &Command,
    change: impl FnOnce(&Resource) -> Result<Resource, scim::Error>,
) -> Result<Outcome, scim::Error> {
    let before = match in_order(state, command)? {
        Ok(row) => row,
        Err(stale) => return Ok(stale),
    };
    let stored = before.record().map_err(|_| scim::Error::internal("the stored user cannot be read"))?;
    let resource = change(&stored.resource)?;
    let mut after = before.clone();
    after.ticket = command.ticket.0;
    if resource != stored.resource {
        user::row_columns(&mut after, &resource, state.now)?;
        after.version += 1;
        after.modified_at = state.now.max(before.modified_at);
        if state.is_name_taken(after.tenant_id, &after.user_name_key, after.id) {
            return Err(user::name_taken());
        }
        user::tell_changed(state, command, &before, &after);
    }
    let record = after.record().map_err(|_| scim::Error::internal("the user could not be stored"))?;
    state.put(after);
    Ok(Outcome::Updated { record })
}

fn delete(state: &mut State, command: &Command) -> Result<Outcome, scim::Error> {
    match in_order(state, command)? {
        Ok(row) => {
            user::tell_deleted(state, command, &row);
            state.remove(row.id);
            Ok(Outcome::Deleted)
        }
        Err(stale) => Ok(stale),
    }
}

/// The row that the command may change: it is there, its ticket is smaller, its version is one that the client accepts.
fn in_order(state: &State, command: &Command) -> Result<Result<UserRow, Outcome>, scim::Error> {
    let row = state.user(command.tenant, command.resource).ok_or_else(user::not_found)?;
    if command.ticket.0 <= row.ticket {
        return Ok(Err(Outcome::Stale { ticket: Ticket(row.ticket) }));
    }
    let etag = row.record().map_err(|_| scim::Error::internal("the stored user cannot be read"))?.etag();
    if command.if_match.as_ref().is_some_and(|accepted| !accepted.allows(&etag)) {
        return Err(scim::Error::precondition_failed(
            "the user has another version than If-Match asks for: read it again",
        ));
    }
    Ok(Ok(row.clone()))
}
