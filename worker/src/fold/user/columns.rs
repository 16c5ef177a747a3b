//! The row of a user, with the columns that are copies of its attributes.

use shared::command::{Command, Origin, Role};
use shared::postgres::users::UserRow;
use shared::scim::{Error, Resource, ResourceType, user_name_key};
use time::OffsetDateTime;

use crate::fold::State;
use crate::fold::row::types;

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

/// Puts a resource into its row.
///
/// # Errors
/// When a required attribute is missing of somebody who is active: what was missing before keeps nobody from leaving.
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
    // A name that was given before keys were made as they are now keeps its key.
    if row.user_name != resource.user_name() {
        row.user_name = resource.user_name().to_owned();
        row.user_name_key = user_name_key(resource.user_name());
    }
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
