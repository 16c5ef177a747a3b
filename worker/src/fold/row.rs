//! What users and groups have in common: a place in the order of commands, a version, and an outcome that may have to be
//! handed to a repeated request. Before: `decide`. Beside: `user` and `group`, which know what a change does.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use shared::command::{Change, Command};
use shared::outcome::Outcome;
use shared::postgres;
use shared::postgres::groups::GroupRow;
use shared::postgres::users::UserRow;
use shared::scim::{self, Record, ResourceType, Types};
use shared::ticket::Ticket;
use time::OffsetDateTime;
use uuid::Uuid;

use super::State;
use super::state::{Slot, Standing};
use crate::sabotage;

/// A row that commands change one after the other.
pub trait Row: Clone + PartialEq + Sized {
    /// The resource type's name.
    const NAME: &'static str;

    /// All that were loaded or made.
    fn slots(state: &State) -> &BTreeMap<Uuid, Slot<Self>>;
    /// The same, to be changed.
    fn slots_mut(state: &mut State) -> &mut BTreeMap<Uuid, Slot<Self>>;
    /// The resource type as a tenant has it.
    fn resource_type(types: &Types) -> &ResourceType;

    /// `id`
    fn id(&self) -> Uuid;
    /// Whose it is.
    fn tenant(&self) -> Uuid;
    /// The command that was applied last.
    fn ticket(&self) -> Ticket;
    /// Moves it on.
    fn set_ticket(&mut self, ticket: Ticket);
    /// Counts a change. Time does not run backwards, though clocks differ.
    fn count_change(&mut self, now: OffsetDateTime);
    /// Whether it is as active as a create left it. What has no such state always is.
    fn is_as_active_as(&self, made: &Record) -> bool;
    /// The resource in it.
    ///
    /// # Errors
    /// [`postgres::Error::Refused`] if something else was stored there.
    fn read(&self) -> Result<Record, postgres::Error>;

    /// The resource in the form that filters compare.
    ///
    /// # Errors
    /// As [`Row::read`].
    fn folded(&self, types: &Types) -> Result<Map<String, Value>, postgres::Error> {
        Ok(scim::folded(Self::resource_type(types), &self.read()?.resource))
    }
}

macro_rules! row {
    ($row:ty, $name:literal, $slots:ident, $resource_type:ident, $is_as_active:expr) => {
        impl Row for $row {
            const NAME: &'static str = $name;

            fn slots(state: &State) -> &BTreeMap<Uuid, Slot<Self>> {
                &state.$slots
            }

            fn slots_mut(state: &mut State) -> &mut BTreeMap<Uuid, Slot<Self>> {
                &mut state.$slots
            }

            fn resource_type(types: &Types) -> &ResourceType {
                &types.$resource_type
            }

            fn id(&self) -> Uuid {
                self.id
            }

            fn tenant(&self) -> Uuid {
                self.tenant_id
            }

            fn ticket(&self) -> Ticket {
                Ticket(self.ticket)
            }

            fn set_ticket(&mut self, ticket: Ticket) {
                self.ticket = ticket.0;
            }

            fn count_change(&mut self, now: OffsetDateTime) {
                self.version += 1;
                self.modified_at = self.modified_at.max(now);
            }

            fn is_as_active_as(&self, made: &Record) -> bool {
                let is_as_active: fn(&Self, &Record) -> bool = $is_as_active;
                is_as_active(self, made)
            }

            fn read(&self) -> Result<Record, postgres::Error> {
                self.record()
            }
        }
    };
}

row!(UserRow, "User", users, user, |row, made| {
    row.archived_at.is_none() == made.resource.active().unwrap_or(true)
});
row!(GroupRow, "Group", groups, group, |_, _| true);

/// Why a change does not take effect.
#[derive(Debug)]
pub(super) enum Refused {
    /// The client is told.
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

/// The record of a row, for an outcome or to be changed.
pub(super) fn record<R: Row>(row: &R) -> Result<Record, scim::Error> {
    row.read().map_err(|_| scim::Error::internal(format!("the stored {} cannot be read", R::NAME)))
}

/// The ticket with which a command may be applied to a row: its own, if that is greater than the row's.
///
/// An asynchronous one takes effect whenever its turn comes: just after whatever was applied before. To those who asked for
/// both they were concurrent, since its completion is yet to come. (What it may not do then is bring somebody back:
/// `user::change`.)
pub(super) fn turn<R: Row>(row: &R, command: &Command) -> Result<Ticket, Refused> {
    match row.ticket() {
        last if command.ticket > last || sabotage::ignores_tickets() => Ok(command.ticket),
        last if command.asynchronous => Ok(last.after()),
        last => Err(Refused::Stale(last)),
    }
}

/// The row that the command may change, with the resource in it: it is there, it is the command's turn, its version is one
/// that the client accepts. It carries the ticket already with which it is changed.
pub(super) fn in_order<R: Row>(state: &State, command: &Command) -> Result<(R, Record), Refused> {
    let missing = || scim::Error::not_found(format!("there is no {} with this id", R::NAME));
    let mut row = state.row::<R>(command.tenant, command.resource).ok_or_else(missing)?.clone();
    let ticket = turn(&row, command)?;
    row.set_ticket(ticket);
    let record = record(&row)?;
    if command.if_match.as_ref().is_some_and(|accepted| !accepted.allows(&record.etag())) {
        let detail = format!("the {} has another version than If-Match asks for: read it again", R::NAME);
        return Err(scim::Error::precondition_failed(detail).into());
    }
    Ok((row, record))
}

/// The outcome of the same request's earlier try, if nobody heard it and it is still the truth; it shows the resource as it
/// is now. A command that is late itself repeats it but leaves it unclaimed.
pub(super) fn hand_out<R: Row>(state: &mut State, command: &Command, late: bool) -> Option<Outcome> {
    let first = state.unheard(command)?;
    let outcome = state.inbox.get(&first)?.outcome.clone()?;
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
    // What a late repetition finds stays unclaimed: a made resource where it is, a change with the ticket that it has now.
    let passes_on = late && !is_create;
    if passes_on || !late {
        state.claim_earlier_tries(command);
        if is_create {
            state.give_away(first);
        }
    }
    let standing = match (late, passes_on) {
        (false, _) => Standing::Decided,
        (true, true) => Standing::Unclaimed,
        (true, false) => Standing::Claimed,
    };
    state.settle(command, outcome.clone(), standing);
    Some(outcome)
}

/// Whether what an earlier try came to still holds. What was made (or brought back) is there and as active as the create left it,
/// whatever else became of it: who was deactivated since is to be brought back by the repetition. Any other change was the last one.
fn is_true<R: Row>(row: &R, made: &Record, is_create: bool, first: Ticket) -> bool {
    if is_create {
        row.is_as_active_as(made) || sabotage::ignores_deactivation()
    } else {
        row.ticket() == first
    }
}
