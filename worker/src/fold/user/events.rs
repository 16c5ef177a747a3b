//! The events of a user's change.

use database::users::UserRow;
use domain::command::{Command, Origin};
use domain::event::{Event, UserData, UserEvent};
use serde_json::Value;

use crate::fold::State;

/// `user.created`.
pub(super) fn created(state: &mut State, command: &Command, row: &UserRow) {
    record(state, command, row, UserEvent::Created, row.version);
}

/// `user.archived` or `user.restored` if `active` changed; `user.updated` if anything else did. Also `user.linked` if
/// an identity provider took over the account or gave it its externalId.
pub(super) fn changed(state: &mut State, command: &Command, before: &UserRow, after: &UserRow) {
    match (before.archived_at, after.archived_at) {
        (None, Some(_)) => record(state, command, after, UserEvent::Archived, after.version),
        (Some(_), None) => record(state, command, after, UserEvent::Restored, after.version),
        _ => {}
    }
    let supplemented = |row: &UserRow| (row.hire_date, row.region.clone(), row.custom_fields.clone());
    if without_active(&before.resource) != without_active(&after.resource)
        || supplemented(before) != supplemented(after)
        || before.role != after.role
    {
        record(state, command, after, UserEvent::Updated, after.version);
    }
    let is_linked = |row: &UserRow| row.external_id.is_some() || row.linked_at.is_some();
    let is_named = before.external_id.is_none() && after.external_id.is_some();
    if is_named || !is_linked(before) && is_linked(after) {
        record(state, command, after, UserEvent::Linked, after.version);
    }
}

/// `user.deleted`.
pub(super) fn deleted(state: &mut State, command: &Command, row: &UserRow) {
    record(state, command, row, UserEvent::Deleted, row.version + 1);
}

fn without_active(resource: &Value) -> Value {
    let mut rest = resource.clone();
    if let Some(attributes) = rest.as_object_mut() {
        attributes.remove("active");
    }
    rest
}

fn record(state: &mut State, command: &Command, row: &UserRow, kind: UserEvent, version: i64) {
    let origin = if row.origin == Origin::Manual.as_str() { Origin::Manual } else { Origin::Scim };
    let data =
        UserData { id: row.id, origin, active: row.archived_at.is_none(), role: row.role.parse().ok() };
    let event = Event::user(kind, &data, version, state.cause(command));
    state.events.push(event);
}
