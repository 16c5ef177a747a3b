//! Applies changes to a group: its row, its memberships, and its events.

use database::groups::GroupRow;
use domain::command::Command;
use domain::event::{Event, GroupData, GroupEvent};
use domain::outcome::Outcome;
use scim::{Applied, Displays, Error, Group, GroupPatch, MemberChange, Record, Resource, ResourceType};
use uuid::Uuid;

use super::Row;
use super::State;
use super::members::{self, Changed, Members};
use super::row::{self, Refused, types};

/// Memberships have rows of their own. A resource that contains members was not produced by `Group::parse`.
pub(super) fn has_members(resource: &Resource) -> bool {
    resource.members().keys().any(|name| name.eq_ignore_ascii_case("members"))
}

/// POST.
pub(super) fn create(state: &mut State, command: &Command, group: &Group) -> Result<Outcome, Refused> {
    if state.groups.contains_key(&command.resource) {
        return Err(Error::uniqueness("a Group with this id already exists").into());
    }
    let nobody = (Members::of_new(&[].into()), 0);
    let all = [MemberChange::Add(group.members.clone())];
    let Changed { members, count, skipped, .. } =
        members::apply(state, command.tenant, nobody, &all, &group.displays)?;
    let mut row = GroupRow {
        id: command.resource,
        tenant_id: command.tenant,
        resource: serde_json::Value::Null,
        member_count: count,
        version: 1,
        ticket: command.ticket.0,
        created_at: state.now,
        modified_at: state.now,
    };
    fill(&mut row, &types(state, command)?.group, &group.resource)?;
    let record = row::record(&row)?;
    record_event(state, command, &row, GroupEvent::Created, row.version);
    state.members.insert(row.id, members);
    state.put(row);
    Ok(Outcome::Created { record, skipped_members: skipped, ignored: Vec::new() })
}

/// PUT: replaces the attributes and the members.
pub(super) fn replace(state: &mut State, command: &Command, group: &Group) -> Result<Outcome, Refused> {
    let (row, stored) = row::in_order::<GroupRow>(state, command)?;
    let resource = group.resource.clone().replacing(&types(state, command)?.group, &stored.resource)?;
    let exactly = [MemberChange::Replace(group.members.clone())];
    let applied = Applied { resource, ignored: Vec::new() };
    change(state, command, row, &stored, applied, (&exactly, &group.displays))
}

/// PATCH: applies the operations on attributes and on members.
pub(super) fn patch(state: &mut State, command: &Command, patch: &GroupPatch) -> Result<Outcome, Refused> {
    let (row, stored) = row::in_order::<GroupRow>(state, command)?;
    let applied = match &patch.attributes {
        Some(attributes) => {
            scim::leaver::patched(attributes, &types(state, command)?.group, &stored.resource)?
        }
        None => Applied { resource: stored.resource.clone(), ignored: Vec::new() },
    };
    if has_members(&applied.resource) {
        return Err(Error::invalid_path("members cannot be changed as an attribute").into());
    }
    change(state, command, row, &stored, applied, (&patch.members, &patch.displays))
}

/// DELETE: deletes the group with its memberships.
pub(super) fn delete(state: &mut State, command: &Command) -> Result<Outcome, Refused> {
    let (mut row, _) = row::in_order::<GroupRow>(state, command)?;
    state.remove::<GroupRow>(row.id);
    state.members.remove(&row.id);
    row.member_count = 0;
    record_event(state, command, &row, GroupEvent::Deleted, row.version + 1);
    Ok(Outcome::Deleted)
}

/// Removes a deleted user from all groups. Each of these groups changes.
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
        record_event(state, command, &row, GroupEvent::Updated, row.version);
        state.put(row);
    }
}

/// Applies attributes and members. A change without effect keeps version and modification time. So does a change to a
/// member's `display`: resending it is not a change of the group (RFC 7644 §3.5.2.1).
fn change(
    state: &mut State,
    command: &Command,
    mut row: GroupRow,
    stored: &Record,
    Applied { resource, ignored }: Applied,
    (changes, displays): (&[MemberChange], &Displays),
) -> Result<Outcome, Refused> {
    let before = (state.members.get(&row.id).cloned().unwrap_or_default(), row.member_count);
    let Changed { members, count, skipped, is_change, is_recalled } =
        members::apply(state, command.tenant, before, changes, displays)?;
    if is_change || is_recalled {
        state.members.insert(row.id, members);
    }
    if resource != stored.resource || is_change {
        fill(&mut row, &types(state, command)?.group, &resource)?;
        row.member_count = count;
        row.count_change(state.now);
        record_event(state, command, &row, GroupEvent::Updated, row.version);
    }
    let record = row::record(&row)?;
    state.put(row);
    Ok(Outcome::Updated { record, skipped_members: skipped, ignored })
}

/// Writes a resource to its row.
fn fill(row: &mut GroupRow, resource_type: &ResourceType, resource: &Resource) -> Result<(), Error> {
    resource.require(resource_type)?;
    row.resource =
        serde_json::to_value(resource).map_err(|_| Error::internal("the group could not be stored"))?;
    Ok(())
}

fn record_event(state: &mut State, command: &Command, row: &GroupRow, kind: GroupEvent, version: i64) {
    let data = GroupData { id: row.id, members: row.member_count };
    let event = Event::group(kind, &data, version, state.cause(command));
    state.events.push(event);
}
