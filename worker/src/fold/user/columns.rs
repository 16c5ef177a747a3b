//! The row of a user: its resource, and the columns beside it.

use database::users::UserRow;
use domain::command::{Command, Origin, Role};
use scim::{Error, Resource, ResourceType, user_name_key};
use time::OffsetDateTime;

use crate::fold::State;
use crate::fold::row::types;

/// The row of a new user.
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
        role: role.as_str().to_owned(),
        origin: origin.as_str().to_owned(),
        archived_at: None,
        hire_date: None,
        region: None,
        custom_fields: None,
        pull_ticket: None,
        linked_at: None,
        resource: serde_json::Value::Null,
        version: 1,
        ticket: command.ticket.0,
        created_at: state.now,
        modified_at: state.now,
    };
    resource.require(&types(state, command)?.user)?;
    fill(&mut row, &types(state, command)?.user, &resource, state.now)?;
    Ok(row)
}

/// Writes a resource to its row.
///
/// # Errors
/// If an active user lacks a required attribute. An inactive user may lack it, so that missing data never blocks
/// deactivation.
pub(super) fn fill(
    row: &mut UserRow,
    resource_type: &ResourceType,
    resource: &Resource,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let active = resource.active().unwrap_or(true);
    if active {
        resource.require(resource_type)?;
    }
    // A userName that is unchanged keeps its key, which an earlier version may have computed differently.
    if row.user_name != resource.user_name() {
        row.user_name = resource.user_name().to_owned();
        row.user_name_key = user_name_key(resource.user_name());
    }
    row.external_id = owned(resource.external_id());
    row.archived_at = if active { None } else { row.archived_at.or(Some(now)) };
    row.resource =
        serde_json::to_value(resource).map_err(|_| Error::internal("the user could not be stored"))?;
    Ok(())
}
