//! Matches a POST to an existing account, and decides who holds an externalId. The store loads only as many holders of
//! an externalId as this needs.
//!
//! An externalId is the client's own (RFC 7643 §3.1), so several users may share one. The userName, which is unique, is
//! compared first; an externalId identifies an account only if a single user holds it. With [`ExternalId::Unique`] a
//! tenant requires that no two active users share one.

use database::users::UserRow;
use domain::command::Command;
use domain::settings::ExternalId;
use domain::ticket::Ticket;
use scim::{Error, Resource, user_name_key};
use uuid::Uuid;

use crate::fold::Row;
use crate::fold::State;

/// The account that a POST refers to, if any: the one with its userName, unless that account belongs to another person.
/// If no account has the userName, the only archived account with its externalId. If externalIds are unique, also the
/// active account that holds it.
pub(super) fn find<'a>(state: &'a State, tenant: Uuid, user: &Resource) -> Option<&'a UserRow> {
    let key = user_name_key(user.user_name());
    let named = state.users_of(tenant).find(|row| row.user_name_key == key);
    if let Some(named) = named {
        return (!is_somebody_else(state, named, user.external_id())).then_some(named);
    }
    let holders = || holders(state, tenant, user.external_id());
    let mut archived = holders().filter(|row| row.archived_at.is_some());
    match holders().find(|row| row.archived_at.is_none()) {
        Some(active) => is_unique(state, tenant).then_some(active),
        None => archived.next().filter(|_| archived.next().is_none()),
    }
}

/// Whether the account with the posted userName belongs to another person, judging by two different externalIds. A new
/// hire who receives the userName of a leaver must not receive their role and history. An externalId that does not
/// identify a single user is not evidence: a stored one that others share, or a posted one that an active account or
/// several accounts hold.
fn is_somebody_else(state: &State, named: &UserRow, posted: Option<&str>) -> bool {
    let (Some(stored), Some(posted)) = (named.external_id.as_deref(), posted) else { return false };
    let holders = |id| holders(state, named.tenant_id, Some(id));
    let is_shared = holders(stored).any(|row| row.id != named.id);
    let is_taken = holders(posted).any(|row| row.archived_at.is_none()) || holders(posted).count() > 1;
    stored != posted && !is_shared && !is_taken
}

/// The last change to an account with the externalId of a POST, if it is later than the POST. A retry of the POST may
/// have created that account, and a PATCH may have renamed it: a delayed POST must not create a second account.
pub(super) fn overtaken(state: &State, command: &Command, user: &Resource) -> Option<Ticket> {
    let tickets = holders(state, command.tenant, user.external_id()).map(Row::ticket);
    tickets.filter(|ticket| *ticket > command.ticket).max()
}

/// Checks whether an active user may have the externalId that a change assigns, or that a reactivation brings back. An
/// unchanged externalId is not checked, because the tenant may have chosen unique ones later. Notes a unique one in the
/// state, because it must be locked.
///
/// # Errors
/// 409 if the tenant's externalIds are unique and another active user has this one.
pub(super) fn check_external_id(
    state: &mut State,
    before: Option<&UserRow>,
    after: &UserRow,
) -> Result<(), Error> {
    let is_new = |before: &UserRow| before.archived_at.is_some() || before.external_id != after.external_id;
    let is_assigned = after.archived_at.is_none() && before.is_none_or(is_new);
    let Some(id) = after.external_id.as_deref().filter(|_| is_assigned) else { return Ok(()) };
    if !is_unique(state, after.tenant_id) {
        return Ok(());
    }
    state.assigned_external_ids.insert((after.tenant_id, id.to_owned()));
    let is_other = |row: &UserRow| row.id != after.id && row.archived_at.is_none();
    if holders(state, after.tenant_id, Some(id)).any(is_other) {
        return Err(external_id_taken());
    }
    Ok(())
}

/// 409: the externalId is taken.
pub(super) fn external_id_taken() -> Error {
    Error::uniqueness("another user has this externalId")
}

/// The loaded accounts with an externalId.
fn holders<'a>(state: &'a State, tenant: Uuid, id: Option<&str>) -> impl Iterator<Item = &'a UserRow> {
    state.users_of(tenant).filter(move |row| id.is_some() && row.external_id.as_deref() == id)
}

fn is_unique(state: &State, tenant: Uuid) -> bool {
    state.tenants.get(&tenant).is_some_and(|tenant| tenant.settings.external_id == ExternalId::Unique)
}
