//! Applies what the pull reads from Okta: attributes that SCIM does not carry, and the `externalId` of an account
//! without one.

use database::users::UserRow;
use domain::command::Command;
use domain::outcome::Outcome;
use domain::pull::Supplement;
use domain::ticket::Ticket;
use scim::{Error, Record, Resource, user_name_key};
use serde_json::{Map, Value};

use super::{columns, events};
use crate::fold::Row;
use crate::fold::State;
use crate::fold::row::{self, Refused, types};

/// Sets the pulled attributes. The pull has its own order (`pull_ticket`); the row's ticket stays, so that a pull never
/// makes a SCIM change stale.
pub(in crate::fold) fn supplement(
    state: &mut State,
    command: &Command,
    supplement: &Supplement,
) -> Result<Outcome, Refused> {
    let missing = || Error::not_found("there is no User with this id");
    let before = state.user(command.tenant, command.resource).ok_or_else(missing)?.clone();
    if let Some(last) = before.pull_ticket.map(Ticket).filter(|last| *last >= command.ticket) {
        return Err(Refused::Stale(last));
    }
    let mut after = before.clone();
    fill(&mut after, supplement);
    match &before.external_id {
        Some(id) if *id == supplement.external_id => {}
        Some(_) => return Err(Error::uniqueness("the User is linked to another Okta user").into()),
        None => link(state, command, &mut after, supplement)?,
    }
    let is_new = after != before;
    // Set even if nothing changed, so that an older pull that arrives later is stale.
    after.pull_ticket = Some(command.ticket.0);
    if is_new {
        after.count_change(state.now);
        events::changed(state, command, &before, &after);
    }
    let record: Record = row::record(&after)?;
    state.put(after);
    Ok(Outcome::Updated { record, skipped_members: 0, ignored: Vec::new() })
}

/// Writes the pulled values to their columns.
fn fill(row: &mut UserRow, supplement: &Supplement) {
    if let Some(hire_date) = supplement.hire_date {
        row.hire_date = hire_date;
    }
    if let Some(region) = &supplement.region {
        row.region.clone_from(region);
    }
    let mut fields = match row.custom_fields.take() {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    for (name, value) in &supplement.custom_fields {
        if value.is_null() {
            fields.remove(name);
        } else {
            fields.insert(name.clone(), value.clone());
        }
    }
    row.custom_fields = (!fields.is_empty()).then_some(Value::Object(fields));
}

/// Sets the `externalId` of an account, if it still has the userName by which it was found and no other account has
/// this id.
fn link(state: &State, command: &Command, row: &mut UserRow, supplement: &Supplement) -> Result<(), Refused> {
    if row.user_name_key != user_name_key(&supplement.login) {
        return Err(Error::uniqueness("the userName of the User has changed since").into());
    }
    let id = Some(&*supplement.external_id);
    if state.users_of(row.tenant_id).any(|other| other.id != row.id && other.external_id.as_deref() == id) {
        return Err(Error::uniqueness("another User is linked to this Okta user").into());
    }
    let unreadable = || Error::internal("the stored User cannot be read");
    let mut resource = row.resource.clone();
    let attributes = resource.as_object_mut().ok_or_else(unreadable)?;
    attributes.insert("externalId".to_owned(), Value::from(&*supplement.external_id));
    let resource: Resource = serde_json::from_value(resource).map_err(|_| unreadable())?;
    columns::fill(row, &types(state, command)?.user, &resource, state.now)?;
    Ok(())
}
