//! What the pull brings to a user: the attributes that SCIM does not carry, and the `externalId` of an account without one.
//! Before: `decide`. After: the row, `user.updated` where anything changed.

use serde_json::{Map, Value};
use shared::command::Command;
use shared::outcome::Outcome;
use shared::postgres::users::UserRow;
use shared::pull::Supplement;
use shared::scim::{Error, Record, Resource, user_name_key};
use shared::ticket::Ticket;

use super::{columns, tell};
use crate::fold::State;
use crate::fold::row::{self, Refused, Row, types};

/// Sets what the pull knows. In an order of its own (`pull_ticket`): the row's ticket stays, so that no change of SCIM's becomes
/// stale by it.
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
        Some(_) => return Err(Error::uniqueness("the User is linked to somebody else at Okta").into()),
        None => link(state, command, &mut after, supplement)?,
    }
    let is_new = after != before;
    // Also where it brings nothing new: an older one that comes later does.
    after.pull_ticket = Some(command.ticket.0);
    if is_new {
        after.count_change(state.now);
        tell::changed(state, command, &before, &after);
    }
    let record: Record = row::record(&after)?;
    state.put(after);
    Ok(Outcome::Updated { record, skipped_members: 0, ignored: Vec::new() })
}

/// Puts what is told into its columns.
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

/// Gives an account its `externalId`: one that still has the name by which it was found, if nobody else is linked to that person.
fn link(state: &State, command: &Command, row: &mut UserRow, supplement: &Supplement) -> Result<(), Refused> {
    if row.user_name_key != user_name_key(&supplement.login) {
        return Err(Error::uniqueness("the User has another userName by now").into());
    }
    let id = Some(&*supplement.external_id);
    if state.users_of(row.tenant_id).any(|other| other.id != row.id && other.external_id.as_deref() == id) {
        return Err(Error::uniqueness("another User is linked to this person at Okta").into());
    }
    let unreadable = || Error::internal("the stored User cannot be read");
    let mut resource = row.resource.clone();
    let attributes = resource.as_object_mut().ok_or_else(unreadable)?;
    attributes.insert("externalId".to_owned(), Value::from(&*supplement.external_id));
    let resource: Resource = serde_json::from_value(resource).map_err(|_| unreadable())?;
    columns::fill(row, &types(state, command)?.user, &resource, state.now)?;
    Ok(())
}
