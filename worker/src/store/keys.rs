//! The keys of the rows a batch touches. They decide which rows to load and how to lock them.

use std::collections::BTreeSet;

use domain::command::{Change, Command};
use scim::{MemberChange, Resource, user_name_key};
use uuid::Uuid;

use crate::fold::State;

/// The keys of a batch, sorted: all workers take locks in the same order.
#[derive(Debug, Clone, Default)]
pub struct RowKeys {
    pub(super) tickets: BTreeSet<Uuid>,
    pub(super) tenants: BTreeSet<Uuid>,
    pub(super) fingerprints: BTreeSet<String>,
    /// Users that are changed.
    pub(super) users: BTreeSet<Uuid>,
    /// Users that are deleted. Everything that references them is locked too.
    pub(super) deleted: BTreeSet<Uuid>,
    /// The userNames that must be free.
    pub(super) names: BTreeSet<(Uuid, String)>,
    /// The externalIds by which a POST may match an existing account, and those that must be free.
    pub(super) external_ids: BTreeSet<(Uuid, String)>,
    /// Requests that create groups: tenant and fingerprint. A retry must find the result of the first attempt.
    pub(super) group_creates: BTreeSet<(Uuid, String)>,
    /// Groups that are changed.
    pub(super) groups: BTreeSet<Uuid>,
    /// Users that are added as members.
    pub(super) members: BTreeSet<Uuid>,
    /// Pairs of a group and a user whose membership must be known.
    pub(super) pairs: BTreeSet<(Uuid, Uuid)>,
    /// Groups whose members are searched by something other than their ids.
    pub(super) searched: BTreeSet<Uuid>,
}

impl RowKeys {
    /// The keys of these commands.
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
                // Linking must find other holders of the externalId.
                self.external_ids.insert((command.tenant, supplement.external_id.clone()));
            }
            Change::DeleteUser => {
                self.users.insert(id);
                self.deleted.insert(id);
            }
            Change::CreateGroup { group } => {
                self.group_creates.insert((command.tenant, command.fingerprint.as_str().to_owned()));
                self.add_members(id, &group.members);
            }
            Change::ReplaceGroup { group } => {
                self.add_members(id, &group.members);
            }
            Change::PatchGroup { patch } => {
                for change in &patch.members {
                    self.add_change(id, change);
                }
                // A member whose `display` is set may already be in the group.
                let called: Vec<Uuid> = patch.displays.keys().copied().collect();
                self.add_members(id, &called);
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

    /// Adds the unique externalIds that a fold assigned. Returns whether any of them was not locked and loaded. (A
    /// PUT's externalId is not locked in advance: whether it matters depends on the tenant's setting.)
    pub fn add_external_ids(&mut self, state: &State) -> bool {
        let before = self.external_ids.len();
        self.external_ids.extend(state.assigned_external_ids.iter().cloned());
        self.external_ids.len() > before
    }

    /// Adds the userNames that a fold produced, so that the next fold loads their holders: the userName of a PATCH is
    /// known only after it is applied.
    pub fn add_names(&mut self, state: &State) {
        let rows = state.users.values().filter_map(|slot| slot.current.as_ref());
        self.names.extend(rows.map(|row| (row.tenant_id, row.user_name_key.clone())));
    }
}
