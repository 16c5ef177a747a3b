//! Applies changes to a user: its row, its events, and the groups of a deleted user.

mod columns;
mod events;
mod existing;
mod supplement;

use database::users::UserRow;
use domain::command::{Actor, Command, Origin, Role};
use domain::outcome::Outcome;
use domain::settings::OnDuplicate;
use scim::{Applied, Error, Misfit, Patch, Record, Resource, leaver, user_name_key};

pub(super) use supplement::supplement;

use super::Row;
use super::State;
use super::group;
use super::row::{self, Refused, types};

/// POST by an identity provider: creates a user, or reactivates a known inactive one under the same id.
pub(super) fn provision(
    state: &mut State,
    command: &Command,
    user: &Resource,
    late: bool,
) -> Result<Outcome, Refused> {
    let overtaken = existing::overtaken(state, command, user).filter(|_| late);
    match (existing::find(state, command.tenant, user).cloned(), overtaken) {
        // The client was asked to retry, and may have received another answer since. A delayed POST must not reactivate
        // a user or create a second account.
        (Some(known), _) if late && known.archived_at.is_some() => Err(Refused::Stale(known.ticket())),
        (Some(known), _) => restore(state, command, known, user),
        (None, Some(ticket)) => Err(Refused::Stale(ticket)),
        (None, None) => create(state, command, user, Origin::Scim, Role::default()),
    }
}

/// Creates a user.
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
    existing::check_external_id(state, None, &row)?;
    let record = row::record(&row)?;
    events::created(state, command, &row);
    state.put(row);
    Ok(Outcome::Created { record, skipped_members: 0, ignored: Vec::new() })
}

/// PUT: replaces the resource. If the client omits `active`, it keeps its value, so that an omission never reactivates
/// an archived user. An incomplete resource is accepted by the leaver rule only.
pub(super) fn replace(
    state: &mut State,
    command: &Command,
    user: &Resource,
    misfit: Option<&Misfit>,
) -> Result<Outcome, Refused> {
    let (row, stored) = row::in_order::<UserRow>(state, command)?;
    let active = user.active().or(stored.resource.active()).unwrap_or(true);
    let sent = user.clone().with_active(active);
    let applied = leaver::put(sent, &types(state, command)?.user, &stored.resource, misfit)?;
    let (record, ignored) = change(state, command, row, &stored, applied)?;
    Ok(Outcome::Updated { record, skipped_members: 0, ignored })
}

/// PATCH: applies the operations to the resource.
pub(super) fn patch(state: &mut State, command: &Command, patch: &Patch) -> Result<Outcome, Refused> {
    let (row, stored) = row::in_order::<UserRow>(state, command)?;
    let applied = leaver::patched(patch, &types(state, command)?.user, &stored.resource)?;
    let (record, ignored) = change(state, command, row, &stored, applied)?;
    Ok(Outcome::Updated { record, skipped_members: 0, ignored })
}

/// Sets the role in the learning platform. The role is not part of the SCIM resource, and no SCIM request changes it.
pub(super) fn set_role(state: &mut State, command: &Command, role: Role) -> Result<Outcome, Refused> {
    let (mut row, stored) = row::in_order::<UserRow>(state, command)?;
    if row.role == role.as_str() {
        state.put(row);
        return Ok(Outcome::Updated { record: stored, skipped_members: 0, ignored: Vec::new() });
    }
    let before = row.clone();
    role.as_str().clone_into(&mut row.role);
    row.count_change(state.now);
    events::changed(state, command, &before, &row);
    let record = row::record(&row)?;
    state.put(row);
    Ok(Outcome::Updated { record, skipped_members: 0, ignored: Vec::new() })
}

/// DELETE: deletes the user with the memberships.
pub(super) fn delete(state: &mut State, command: &Command) -> Result<Outcome, Refused> {
    let (row, _) = row::in_order::<UserRow>(state, command)?;
    events::deleted(state, command, &row);
    state.remove::<UserRow>(row.id);
    group::leave_all(state, command, row.id);
    Ok(Outcome::Deleted)
}

/// POST of a known user: applied as a PUT, unless the user is active and the tenant's setting `on_duplicate` is not
/// `update`.
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
            existing::external_id_taken().into()
        });
    }
    let ticket = row::ticket_for(&row, command)?;
    let stored = row::record(&row)?;
    row.set_ticket(ticket);
    let sent = user.clone().with_active(user.active().unwrap_or(true));
    let applied = leaver::put(sent, &types(state, command)?.user, &stored.resource, None)?;
    let (record, ignored) = change(state, command, row, &stored, applied)?;
    Ok(Outcome::Created { record, skipped_members: 0, ignored })
}

/// Writes a resource to its row. A change without effect keeps version and modification time. The first change by an
/// identity provider links a manually created account, since the provider has found it and will deactivate it too.
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
            // An overtaken asynchronous command must not reactivate a user who was deactivated since.
            return Err(Refused::Stale(row.ticket()));
        }
        row.count_change(state.now);
        existing::check_external_id(state, Some(&before), &row)?;
    }
    if matches!(command.actor, Actor::Key(_))
        && row.origin == Origin::Manual.as_str()
        && row.linked_at.is_none()
    {
        row.linked_at = Some(state.now);
        if row.version == before.version && row.external_id.is_none() {
            // The event needs its own position in the order of the account's events.
            row.count_change(state.now);
        }
    }
    events::changed(state, command, &before, &row);
    let record = row::record(&row)?;
    state.put(row);
    Ok((record, ignored))
}

/// The change with a free userName. By the leaver rule a taken userName does not block deactivation.
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

/// 409: the userName is taken.
fn name_taken() -> Error {
    Error::uniqueness("another user has this userName")
}
