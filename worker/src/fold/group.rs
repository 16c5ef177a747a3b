//! What a change does to a group. Before: `decide`, `row` for the order, `members` for who is in it. After: the row, the
//! memberships, the events.

use shared::command::Command;
use shared::event::{Event, GroupData, GroupEvent};
use shared::outcome::Outcome;
use shared::postgres::groups::GroupRow;
use shared::scim::{Applied, Error, Group, GroupPatch, MemberChange, Record, Resource, ResourceType};
use uuid::Uuid;

use super::State;
use super::members::{self, Changed, Members};
use super::row::{self, Refused, Row, types};

/// Members stand in rows of their own: a resource that holds some did not come by way of `Group::parse`.
pub(super) fn has_members(resource: &Resource) -> bool {
    resource.members().keys().any(|name| name.eq_ignore_ascii_case("members"))
}

/// POST.
pub(super) fn create(state: &mut State, command: &Command, group: &Group) -> Result<Outcome, Refused> {
    if state.groups.contains_key(&command.resource) {
        return Err(Error::uniqueness("there is a Group with this id already").into());
    }
    let nobody = (Members::of_new(&[].into()), 0);
    let all = [MemberChange::Add(group.members.clone())];
    let Changed { members, count, skipped, .. } = members::apply(state, command.tenant, nobody, &all)?;
    let mut row = GroupRow {
        id: command.resource,
        tenant_id: command.tenant,
        display_name: String::new(),
        external_id: None,
        resource: serde_json::Value::Null,
        member_count: count,
        version: 1,
        ticket: command.ticket.0,
        created_at: state.now,
        modified_at: state.now,
    };
    fill(&mut row, &types(state, command)?.group, &group.resource)?;
    let record = row::record(&row)?;
    tell(state, command, &row, GroupEvent::Created, row.version);
    state.members.insert(row.id, members);
    state.put(row);
    Ok(Outcome::Created { record, skipped_members: skipped, ignored: Vec::new() })
}

/// PUT: the whole group, with exactly these members.
pub(super) fn replace(state: &mut State, command: &Command, group: &Group) -> Result<Outcome, Refused> {
    let (row, stored) = row::in_order::<GroupRow>(state, command)?;
    let resource = group.resource.clone().replacing(&types(state, command)?.group, &stored.resource)?;
    let exactly = [MemberChange::Replace(group.members.clone())];
    let applied = Applied { resource, ignored: Vec::new() };
    change(state, command, row, &stored, applied, &exactly)
}

/// PATCH: the operations on the attributes and those on the members.
pub(super) fn patch(state: &mut State, command: &Command, patch: &GroupPatch) -> Result<Outcome, Refused> {
    let (row, stored) = row::in_order::<GroupRow>(state, command)?;
    let applied = match &patch.attributes {
        Some(attributes) => attributes.applied(&types(state, command)?.group, &stored.resource)?,
        None => Applied { resource: stored.resource.clone(), ignored: Vec::new() },
    };
    if has_members(&applied.resource) {
        return Err(Error::invalid_path("members cannot be changed as an attribute").into());
    }
    change(state, command, row, &stored, applied, &patch.members)
}

/// DELETE: the memberships go with the row.
pub(super) fn delete(state: &mut State, command: &Command) -> Result<Outcome, Refused> {
    let (mut row, _) = row::in_order::<GroupRow>(state, command)?;
    state.remove::<GroupRow>(row.id);
    state.members.remove(&row.id);
    row.member_count = 0;
    tell(state, command, &row, GroupEvent::Deleted, row.version + 1);
    Ok(Outcome::Deleted)
}

/// A user is deleted: every group that they were in has changed.
pub(super) fn leave_all(state: &mut State, command: &Command, user: Uuid) {
    let left = state.members.iter_mut().filter_map(|(group, members)| {
        let change = members.set(user, false);
        (change != 0).then_some((*group, change))
    });
    let mut left: Vec<(Uuid, i64)> = left.collect();
    left.sort_unstable();
    for (group, change) in left {
        let Some(mut row) = state.row::<GroupRow>(command.tenant, group).cloned() else { continue };
        row.member_count += change;
        row.count_change(state.now);
        tell(state, command, &row, GroupEvent::Updated, row.version);
        state.put(row);
    }
}

/// Puts attributes and members in their places. What changes nothing keeps version and time.
fn change(
    state: &mut State,
    command: &Command,
    mut row: GroupRow,
    stored: &Record,
    Applied { resource, ignored }: Applied,
    changes: &[MemberChange],
) -> Result<Outcome, Refused> {
    let before = (state.members.get(&row.id).cloned().unwrap_or_default(), row.member_count);
    let Changed { members, count, skipped, is_change } =
        members::apply(state, command.tenant, before, changes)?;
    if resource != stored.resource || is_change {
        fill(&mut row, &types(state, command)?.group, &resource)?;
        row.member_count = count;
        row.count_change(state.now);
        tell(state, command, &row, GroupEvent::Updated, row.version);
        state.members.insert(row.id, members);
    }
    let record = row::record(&row)?;
    state.put(row);
    Ok(Outcome::Updated { record, skipped_members: skipped, ignored })
}

/// Puts a resource into its row.
fn fill(row: &mut GroupRow, resource_type: &ResourceType, resource: &Resource) -> Result<(), Error> {
    resource.require(resource_type)?;
    row.display_name = resource.display_name().unwrap_or_default().to_owned();
    row.external_id = resource.external_id().map(str::to_owned);
    row.resource =
        serde_json::to_value(resource).map_err(|_| Error::internal("the group could not be stored"))?;
    Ok(())
}

fn tell(state: &mut State, command: &Command, row: &GroupRow, kind: GroupEvent, version: i64) {
    let data = GroupData { id: row.id, members: row.member_count };
    let event = Event::group(kind, &data, version, state.cause(command));
    state.events.push(event);
}
