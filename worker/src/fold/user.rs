//! What a change does to a user: the row with its columns, and the events that tell of it.

use shared::command::{Command, Origin, Role};
use shared::event::{Cause, Event, UserData, UserEvent};
use shared::postgres::users::UserRow;
use shared::scim::{Error, Patch, Resource, ResourceType, user_name_key};
use time::OffsetDateTime;

use super::State;

/// The row of a user to be created.
pub(super) fn created(
    state: &State,
    command: &Command,
    user: &Resource,
    origin: Origin,
    role: Role,
) -> Result<UserRow, Error> {
    let resource = user.clone().with_active(user.active().unwrap_or(true));
    let mut row = UserRow {
        id: command.resource,
        tenant_id: command.tenant,
        user_name: String::new(),
        user_name_key: String::new(),
        external_id: None,
        given_name: String::new(),
        family_name: String::new(),
        display_name: None,
        email: String::new(),
        location: None,
        business_unit: None,
        department: None,
        job_title: None,
        manager_name: None,
        employee_number: None,
        locale: None,
        timezone: None,
        role: role.as_str().to_owned(),
        origin: origin.as_str().to_owned(),
        archived_at: None,
        resource: serde_json::Value::Null,
        version: 1,
        ticket: command.ticket.0,
        created_ticket: command.ticket.0,
        created_at: state.now,
        modified_at: state.now,
    };
    row_columns(&mut row, &resource, state.now)?;
    Ok(row)
}

/// PUT: the whole resource; `active` stays as it is where the client left it out (an archived user does not
/// come back by omission).
pub(super) fn replaced(current: &Resource, user: &Resource) -> Result<Resource, Error> {
    let active = user.active().or(current.active()).unwrap_or(true);
    Ok(user.clone().with_active(active))
}

/// PATCH: the operations on the resource.
pub(super) fn patched(current: &Resource, patch: &Patch) -> Result<Resource, Error> {
    patch.apply(ResourceType::user(), current)
}

/// Puts a resource into its row, with the columns that are copies of its attributes.
///
/// # Errors
/// When a required attribute is missing.
pub fn row_columns(row: &mut UserRow, resource: &Resource, now: OffsetDateTime) -> Result<(), Error> {
    resource.require(ResourceType::user())?;
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let active = resource.active().unwrap_or(true);
    row.user_name = resource.user_name().to_owned();
    row.user_name_key = user_name_key(resource.user_name());
    row.external_id = owned(resource.external_id());
    row.given_name = resource.given_name().unwrap_or_default().to_owned();
    row.family_name = resource.family_name().unwrap_or_default().to_owned();
    row.display_name = owned(resource.display_name());
    row.email = resource.primary_email().unwrap_or_default().to_owned();
    row.location = owned(resource.cost_center());
    row.business_unit = owned(resource.division());
    row.department = owned(resource.department());
    row.job_title = owned(resource.title());
    row.manager_name = owned(resource.manager_name());
    row.employee_number = owned(resource.employee_number());
    row.locale = owned(resource.locale().or(resource.preferred_language()));
    row.timezone = owned(resource.timezone());
    row.archived_at = if active { None } else { row.archived_at.or(Some(now)) };
    row.resource =
        serde_json::to_value(resource).map_err(|_| Error::internal("the user could not be stored"))?;
    Ok(())
}

/// 409: the userName is somebody's.
pub(super) fn name_taken() -> Error {
    Error::uniqueness("another user has this userName")
}

/// 404.
pub(super) fn not_found() -> Error {
    Error::not_found("there is no User with this id")
}

/// `user.created`.
pub(super) fn tell_created(state: &mut State, command: &Command, row: &UserRow) {
    tell(state, command, row, UserEvent::Created, row.version);
}

/// `user.archived` or `user.restored` where `active` changed; `user.updated` where anything else did.
pub(super) fn tell_changed(state: &mut State, command: &Command, before: &UserRow, after: &UserRow) {
    match (before.archived_at, after.archived_at) {
        (None, Some(_)) => tell(state, command, after, UserEvent::Archived, after.version),
        (Some(_), None) => tell(state, command, after, UserEvent::Restored, after.version),
        _ => {}
    }
    if without_active(&before.resource) != without_active(&after.resource) {
        tell(state, command, after, UserEvent::Updated, after.version);
    }
}

/// `user.deleted`.
pub(super) fn tell_deleted(state: &mut State, command: &Command, row: &UserRow) {
    tell(state, command, row, UserEvent::Deleted, row.version + 1);
}

fn without_active(resource: &serde_json::Value) -> serde_json::Value {
    let mut rest = resource.clone();
    if let Some(attributes) = rest.as_object_mut() {
        attributes.remove("active");
    }
    rest
}

fn tell(state: &mut State, command: &Command, row: &UserRow, kind: UserEvent, version: i64) {
    let origin = if row.origin == Origin::Manual.as_str() { Origin::Manual } else { Origin::Scim };
    let data = UserData { id: row.id, origin, active: row.archived_at.is_none() };
    let tenant = state.tenants.get(&command.tenant).map_or("", String::as_str);
    let cause = Cause { tenant, command: command.ticket, request: command.request, at: state.now };
    let event = Event::user(kind, &data, version, cause);
    state.events.push(event);
}
