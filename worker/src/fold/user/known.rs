//! Whom a POST is about, and whose an externalId is. Before: the rows that the store loaded, of the holders of one externalId
//! no more than it takes to decide. After: `user`, which restores, creates or refuses.
//!
//! An externalId is the client's own (RFC 7643 §3.1): several people may have one. So the userName, which is unique, is looked
//! at first, and an externalId leads to somebody only where it is one person's alone. A tenant may want more
//! ([`ExternalId::Unique`]): then no two active people have one.

use shared::command::Command;
use shared::postgres::users::UserRow;
use shared::scim::{Error, Resource, user_name_key};
use shared::settings::ExternalId;
use shared::ticket::Ticket;
use uuid::Uuid;

use crate::fold::State;
use crate::fold::row::Row;

/// The account that a POST is about, if there is one: the one with its userName, unless that is somebody else's; where nobody
/// has the name, the archived one that alone has its externalId. Where externalIds are unique also the active one that has it.
pub(super) fn known<'a>(state: &'a State, tenant: Uuid, user: &Resource) -> Option<&'a UserRow> {
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

/// Whether the account of a POST's userName is another person's, by two different externalIds: a new hire who is given the
/// name of somebody who left must not be given their role and history. An id that does not stand for one person says
/// nothing: the account's own that others have too, or the posted one that an active account or several have.
fn is_somebody_else(state: &State, named: &UserRow, posted: Option<&str>) -> bool {
    let (Some(stored), Some(posted)) = (named.external_id.as_deref(), posted) else { return false };
    let holders = |id| holders(state, named.tenant_id, Some(id));
    let is_shared = holders(stored).any(|row| row.id != named.id);
    let is_taken = holders(posted).any(|row| row.archived_at.is_none()) || holders(posted).count() > 1;
    stored != posted && !is_shared && !is_taken
}

/// The last change to an account with the externalId of a POST, if it came after the POST. A repetition of the POST may have
/// made that account, and a PATCH have renamed it since: an old POST must not make another beside it.
pub(super) fn overtaken(state: &State, command: &Command, user: &Resource) -> Option<Ticket> {
    let tickets = holders(state, command.tenant, user.external_id()).map(Row::ticket);
    tickets.filter(|ticket| *ticket > command.ticket).max()
}

/// Makes sure that an active person may have the externalId that a change gives them, or comes back with. What was so before
/// the change is not looked at: a tenant may have chosen unique ones later.
///
/// # Errors
/// 409 where the tenant's externalIds are unique, and another active person has it.
pub(super) fn claim(state: &mut State, before: Option<&UserRow>, after: &UserRow) -> Result<(), Error> {
    let is_new = |before: &UserRow| before.archived_at.is_some() || before.external_id != after.external_id;
    let is_claim = after.archived_at.is_none() && before.is_none_or(is_new);
    let Some(id) = after.external_id.as_deref().filter(|_| is_claim) else { return Ok(()) };
    if !is_unique(state, after.tenant_id) {
        return Ok(());
    }
    state.claimed.insert((after.tenant_id, id.to_owned()));
    let is_other = |row: &UserRow| row.id != after.id && row.archived_at.is_none();
    if holders(state, after.tenant_id, Some(id)).any(is_other) {
        return Err(external_id_taken());
    }
    Ok(())
}

/// 409: the externalId is somebody's.
pub(super) fn external_id_taken() -> Error {
    Error::uniqueness("another user has this externalId")
}

/// Those of the loaded accounts that have an externalId.
fn holders<'a>(state: &'a State, tenant: Uuid, id: Option<&str>) -> impl Iterator<Item = &'a UserRow> {
    state.users_of(tenant).filter(move |row| id.is_some() && row.external_id.as_deref() == id)
}

fn is_unique(state: &State, tenant: Uuid) -> bool {
    state.tenants.get(&tenant).is_some_and(|tenant| tenant.settings.external_id == ExternalId::Unique)
}
