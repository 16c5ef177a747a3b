//! What a change does to a user. Before: `decide`, and `row` for the order. After: the row, the events, and the groups that
//! a deleted user leaves.

mod columns;
mod supplement;
mod tell;

use shared::command::{Actor, Command, Origin, Role};
use shared::outcome::Outcome;
use shared::postgres::users::UserRow;
use shared::scim::{Applied, Error, Misfit, Patch, Record, Resource, user_name_key};
use shared::settings::OnDuplicate;
use uuid::Uuid;

pub(super) use supplement::supplement;

use super::State;
use super::group;
use super::row::{self, Refused, Row, types};

/// POST by an identity provider: a new user, or one who is known and inactive, brought back under the same id.
pub(super) fn provision(
    state: &mut State,
    command: &Command,
    user: &Resource,
    late: bool,
) -> Result<Outcome, Refused> {
    match known(state, command.tenant, user).cloned() {
        // Whoever sent it has been told to try again, and may have had another answer since: an old POST left in a queue
        // must not bring back somebody.
        Some(known) if late && known.archived_at.is_some() => Err(Refused::Stale(known.ticket())),
        Some(known) => restore(state, command, known, user),
        None => create(state, command, user, Origin::Scim, Role::default()),
    }
}

/// A new user.
pub(super) fn create(
    state: &mut State,
    command: &Command,
    user: &Resource,
    origin: Origin,
    role: Role,
) -> Result<Outcome, Refused> {
    let row = columns::created(state, command, user, origin, role)?;
    if state.is_name_taken(row.tenant_id, &row.user_name_key, row.id) || state.users.contains_key(&row.id) {
        return Err(name_taken().into());
    }
    let record = row::record(&row)?;
    tell::created(state, command, &row);
    state.put(row);
    Ok(Outcome::Created { record, skipped_members: 0, ignored: Vec::new() })
}

/// PUT: the whole resource; `active` stays as it is where the client left it out (an archived user does not come back by
/// omission). What is no whole resource is taken by the leaver's rule alone.
pub(super) fn replace(
    state: &mut State,
    command: &Command,
    user: &Resource,
    misfit: Option<&Misfit>,
) -> Result<Outcome, Refused> {
    let (row, stored) = row::in_order::<UserRow>(state, command)?;
    let active = user.active().or(stored.resource.active()).unwrap_or(true);
    let sent = user.clone().with_active(active);
    let applied = sent.put(&types(state, command)?.user, &stored.resource, misfit)?;
    let (record, ignored) = change(state, command, row, &stored, applied)?;
    Ok(Outcome::Updated { record, skipped_members: 0, ignored })
}

/// PATCH: the operations on the resource.
pub(super) fn patch(state: &mut State, command: &Command, patch: &Patch) -> Result<Outcome, Refused> {
    let (row, stored) = row::in_order::<UserRow>(state, command)?;
    let applied = patch.applied(&types(state, command)?.user, &stored.resource)?;
    let (record, ignored) = change(state, command, row, &stored, applied)?;
    Ok(Outcome::Updated { record, skipped_members: 0, ignored })
}

/// What the person may do in the learning platform. It is no part of the SCIM resource, and no SCIM request undoes it.
pub(super) fn set_role(state: &mut State, command: &Command, role: Role) -> Result<Outcome, Refused> {
    let (mut row, stored) = row::in_order::<UserRow>(state, command)?;
    if row.role == role.as_str() {
        state.put(row);
        return Ok(Outcome::Updated { record: stored, skipped_members: 0, ignored: Vec::new() });
    }
    let before = row.clone();
    role.as_str().clone_into(&mut row.role);
    row.count_change(state.now);
    tell::changed(state, command, &before, &row);
    let record = row::record(&row)?;
    state.put(row);
    Ok(Outcome::Updated { record, skipped_members: 0, ignored: Vec::new() })
}

/// DELETE: the user, and the memberships with them.
pub(super) fn delete(state: &mut State, command: &Command) -> Result<Outcome, Refused> {
    let (row, _) = row::in_order::<UserRow>(state, command)?;
    tell::deleted(state, command, &row);
    state.remove::<UserRow>(row.id);
    group::leave_all(state, command, row.id);
    Ok(Outcome::Deleted)
}

/// The account that a POST is about, if there is one: the one with the same externalId (of several an active one, else the
/// one with the same userName, else the oldest), else the one with the same userName, unless an identity provider knows it by another id.
fn known<'a>(state: &'a State, tenant: Uuid, user: &Resource) -> Option<&'a UserRow> {
    let (key, external_id) = (user_name_key(user.user_name()), user.external_id());
    let linked = state
        .users_of(tenant)
        .filter(|row| external_id.is_some() && row.external_id.as_deref() == external_id);
    let named = || {
        let mut rows = state.users_of(tenant);
        rows.find(|row| {
            let is_linked_elsewhere = external_id.is_some()
                && row.external_id.is_some()
                && row.external_id.as_deref() != external_id;
            row.user_name_key == key && !is_linked_elsewhere
        })
    };
    linked.min_by_key(|row| (row.archived_at.is_some(), row.user_name_key != key, row.id)).or_else(named)
}

/// A POST of somebody who is known: they come back as by a PUT, unless they were never gone (and the tenant's setting
/// `on_duplicate` does not take that for an update).
fn restore(
    state: &mut State,
    command: &Command,
    mut row: UserRow,
    user: &Resource,
) -> Result<Outcome, Refused> {
    let tenant = state.tenants.get(&command.tenant);
    let updates = tenant.is_some_and(|tenant| tenant.settings.on_duplicate == OnDuplicate::Update);
    if row.archived_at.is_none() && !updates {
        return Err(if row.user_name_key == user_name_key(user.user_name()) {
            name_taken().into()
        } else {
            Error::uniqueness("another user has this externalId").into()
        });
    }
    let ticket = row::turn(&row, command)?;
    let stored = row::record(&row)?;
    row.set_ticket(ticket);
    let sent = user.clone().with_active(user.active().unwrap_or(true));
    let applied = sent.put(&types(state, command)?.user, &stored.resource, None)?;
    let (record, ignored) = change(state, command, row, &stored, applied)?;
    Ok(Outcome::Created { record, skipped_members: 0, ignored })
}

/// Puts a resource into its row. What changes nothing keeps version and time. An account that was made by hand is linked from the
/// first change on that an identity provider makes to it: whoever changes it has found it, and will deactivate it too.
fn change(
    state: &mut State,
    command: &Command,
    mut row: UserRow,
    stored: &Record,
    applied: Applied,
) -> Result<(Record, Vec<String>), Refused> {
    let before = row.clone();
    let Applied { resource, ignored } = with_free_name(state, &row, stored, applied)?;
    if resource != stored.resource {
        columns::fill(&mut row, &types(state, command)?.user, &resource, state.now)?;
        let comes_back = before.archived_at.is_some() && row.archived_at.is_none();
        if comes_back && command.ticket < row.ticket() {
            // Asynchronous and overtaken: an old change left in a queue must not bring back who was deactivated since.
            return Err(Refused::Stale(row.ticket()));
        }
        row.count_change(state.now);
    }
    if matches!(command.actor, Actor::Key(_))
        && row.origin == Origin::Manual.as_str()
        && row.linked_at.is_none()
    {
        row.linked_at = Some(state.now);
        if row.version == before.version && row.external_id.is_none() {
            // Its event has a place of its own in the order of the account's events.
            row.count_change(state.now);
        }
    }
    tell::changed(state, command, &before, &row);
    let record = row::record(&row)?;
    state.put(row);
    Ok((record, ignored))
}

/// The change with a userName that is nobody else's: by the leaver's rule one that is taken keeps nobody from leaving.
fn with_free_name(
    state: &State,
    row: &UserRow,
    stored: &Record,
    applied: Applied,
) -> Result<Applied, Refused> {
    let name = applied.resource.user_name();
    if name == row.user_name || !state.is_name_taken(row.tenant_id, &user_name_key(name), row.id) {
        return Ok(applied);
    }
    Ok(applied.leaving("userName", &stored.resource, name_taken())?)
}

/// 409: the userName is somebody's.
fn name_taken() -> Error {
    Error::uniqueness("another user has this userName")
}
