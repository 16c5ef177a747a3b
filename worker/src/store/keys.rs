//! What a batch touches: which rows to load, and how firmly to lock them. Before: the commands. After: `load`.

use std::collections::BTreeSet;

use shared::command::{Change, Command};
use shared::scim::{MemberChange, Resource, user_name_key};
use uuid::Uuid;

use crate::fold::State;

/// What a batch touches, sorted: locks are taken in one order by all workers.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    pub(super) tickets: BTreeSet<Uuid>,
    pub(super) tenants: BTreeSet<Uuid>,
    pub(super) fingerprints: BTreeSet<String>,
    /// Users who are changed.
    pub(super) users: BTreeSet<Uuid>,
    /// Users who are deleted: all that refers to them is touched too.
    pub(super) deleted: BTreeSet<Uuid>,
    /// Names that must be free.
    pub(super) names: BTreeSet<(Uuid, String)>,
    /// Those by which a POST may find somebody who is known already.
    pub(super) external_ids: BTreeSet<(Uuid, String)>,
    /// Requests that make groups: a repeated one must find what came of the first.
    pub(super) group_creates: BTreeSet<String>,
    /// Groups that are changed.
    pub(super) groups: BTreeSet<Uuid>,
    /// Users who are to be members.
    pub(super) members: BTreeSet<Uuid>,
    /// Groups and users of whom it matters whether the one is in the other.
    pub(super) pairs: BTreeSet<(Uuid, Uuid)>,
    /// Groups whose members are looked for by something other than their ids.
    pub(super) searched: BTreeSet<Uuid>,
}

impl Keys {
    /// What these commands name.
    #[must_use]
    pub fn of<'a>(batch: impl IntoIterator<Item = &'a Command>) -> Self {
        let mut keys = Self::default();
        for command in batch {
            keys.tickets.insert(command.ticket.0);
            keys.tenants.insert(command.tenant);
            keys.fingerprints.insert(command.fingerprint.as_str().to_owned());
            keys.add(command);
        }
        keys
    }

    fn add(&mut self, command: &Command) {
        let id = command.resource;
        match &command.change {
            Change::CreateUser { user, .. } => {
                self.users.insert(id);
                self.add_name(command.tenant, user);
                let external_id = user.external_id().map(|id| (command.tenant, id.to_owned()));
                self.external_ids.extend(external_id);
            }
            Change::ReplaceUser { user } | Change::LeaveUser { user, .. } => {
                self.users.insert(id);
                self.add_name(command.tenant, user);
            }
            Change::PatchUser { .. } | Change::SetRole { .. } => {
                self.users.insert(id);
            }
            Change::SupplementUser { supplement } => {
                self.users.insert(id);
                // Linking must find who else has the externalId.
                self.external_ids.insert((command.tenant, supplement.external_id.clone()));
            }
            Change::DeleteUser => {
                self.users.insert(id);
                self.deleted.insert(id);
            }
            Change::CreateGroup { group } => {
                self.group_creates.insert(command.fingerprint.as_str().to_owned());
                self.add_members(id, &group.members);
            }
            Change::ReplaceGroup { group } => {
                self.add_members(id, &group.members);
            }
            Change::PatchGroup { patch } => {
                for change in &patch.members {
                    self.add_change(id, change);
                }
            }
            Change::DeleteGroup => {}
        }
        if !command.change.is_about_user() {
            self.groups.insert(id);
        }
    }

    fn add_name(&mut self, tenant: Uuid, user: &Resource) {
        self.names.insert((tenant, user_name_key(user.user_name())));
    }

    fn add_change(&mut self, group: Uuid, change: &MemberChange) {
        match change {
            MemberChange::Add(ids) | MemberChange::Replace(ids) => self.add_members(group, ids),
            MemberChange::Remove(ids) => self.pairs.extend(ids.iter().map(|id| (group, *id))),
            MemberChange::RemoveMatching(_) => {
                self.searched.insert(group);
            }
        }
    }

    fn add_members(&mut self, group: Uuid, ids: &[Uuid]) {
        self.members.extend(ids);
        self.pairs.extend(ids.iter().map(|id| (group, *id)));
    }

    /// Adds the names that a fold came to, so that the next one sees who has them: a PATCH does not show its
    /// userName before it is applied.
    pub fn add_names(&mut self, state: &State) {
        let rows = state.users.values().filter_map(|slot| slot.current.as_ref());
        self.names.extend(rows.map(|row| (row.tenant_id, row.user_name_key.clone())));
    }
}
