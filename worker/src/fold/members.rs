//! Who is in a group: what is known of it, and what the batch changes. A membership is never loaded as a whole for changes
//! that name people by id: the presence of those named is enough. Before: `crate::store`. After: `group`.

use std::collections::{BTreeMap, BTreeSet};

use shared::scim::{Displays, Error, MemberChange};
use shared::settings::UnknownMembers;
use uuid::Uuid;

use super::State;

/// The most members of a group among whom some are looked for by anything but their ids.
pub const MAX_SEARCHED: i64 = 10_000;
/// The most positions that a refusal names.
const MAX_NAMED: usize = 10;

/// What is known of a group's members, and what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// Who is a member in the database, of those whom the batch names.
    pub stored: BTreeSet<Uuid>,
    /// Whether those are all.
    pub is_whole: bool,
    /// Whether whoever is a member in the database and is not in `changes` is none any more.
    pub emptied: bool,
    /// Who was added (`true`) or removed (`false`) since.
    pub changes: BTreeMap<Uuid, bool>,
    /// What the client calls those of `stored` that it does not call by their own names.
    pub displays: BTreeMap<Uuid, String>,
    /// What it calls members since, or that it calls them nothing any more.
    pub renamed: BTreeMap<Uuid, Option<String>>,
}

impl Members {
    /// Those of a group that is not in the database.
    #[must_use]
    pub fn of_new(ids: &BTreeSet<Uuid>) -> Self {
        let mut members = Self { emptied: true, ..Self::default() };
        members.changes.extend(ids.iter().map(|id| (*id, true)));
        members
    }

    /// Whether somebody is a member; right for those alone whom the batch names.
    #[must_use]
    pub fn contains(&self, id: Uuid) -> bool {
        self.changes.get(&id).copied().unwrap_or_else(|| !self.emptied && self.stored.contains(&id))
    }

    /// Who is to be inserted.
    pub fn added(&self) -> impl Iterator<Item = Uuid> {
        let stored = |id: &Uuid| self.stored.contains(id);
        self.kept().filter(move |id| !stored(id))
    }

    /// Who is to be deleted, if the group was not emptied.
    pub fn removed(&self) -> impl Iterator<Item = Uuid> {
        self.changes.iter().filter(|(id, is_in)| !**is_in && self.stored.contains(id)).map(|(id, _)| *id)
    }

    /// What the client calls a member; nothing if it is the person's own name.
    #[must_use]
    pub fn display(&self, id: Uuid) -> Option<&str> {
        self.renamed.get(&id).map_or_else(|| self.displays.get(&id), Option::as_ref).map(String::as_str)
    }

    /// Members who stay, and are called otherwise than the database says.
    pub fn recalled(&self) -> impl Iterator<Item = Uuid> {
        let stays = |id: &Uuid| self.stored.contains(id) && self.contains(*id);
        self.renamed.keys().copied().filter(move |id| stays(id) && self.is_recalled(*id))
    }

    fn is_recalled(&self, id: Uuid) -> bool {
        self.display(id) != self.displays.get(&id).map(String::as_str)
    }

    /// Who is a member by a change: of an emptied group, all who are.
    pub fn kept(&self) -> impl Iterator<Item = Uuid> {
        self.changes.iter().filter(|(_, is_in)| **is_in).map(|(id, _)| *id)
    }

    /// All who are members, as far as that is known.
    fn all(&self) -> Option<Vec<Uuid>> {
        if self.emptied {
            return Some(self.kept().collect());
        }
        let named: BTreeSet<Uuid> = self.stored.iter().chain(self.changes.keys()).copied().collect();
        self.is_whole.then(|| named.into_iter().filter(|id| self.contains(*id)).collect())
    }

    /// Makes somebody a member, or none; tells by how many there are more.
    pub(super) fn set(&mut self, id: Uuid, is_in: bool) -> i64 {
        if self.contains(id) == is_in {
            return 0;
        }
        self.changes.insert(id, is_in);
        if !is_in {
            // Whoever comes back is called what they are called then.
            self.call(id, None);
        }
        if is_in { 1 } else { -1 }
    }

    /// Makes these the members, and nobody else. If they are that already, nothing is changed.
    fn replace(&mut self, ids: &BTreeSet<Uuid>, count: i64) -> i64 {
        let new_count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        if new_count == count && ids.iter().all(|id| self.contains(*id)) {
            return count;
        }
        self.emptied = true;
        self.changes = ids.iter().map(|id| (*id, true)).collect();
        let gone = |id: &&Uuid| !ids.contains(id);
        self.renamed.extend(self.displays.keys().filter(gone).map(|id| (*id, None)));
        new_count
    }

    /// Calls a member something, or by the person's own name. It is no change of the group.
    fn call(&mut self, id: Uuid, display: Option<&str>) {
        if self.display(id) != display {
            self.renamed.insert(id, display.map(str::to_owned));
        }
    }
}

/// What came of changes to the members.
pub(super) struct Changed {
    /// Who is a member now.
    pub members: Members,
    /// How many.
    pub count: i64,
    /// How many were left out because there is no such user.
    pub skipped: usize,
    /// Whether anybody is a member now who was none before, or the other way round.
    pub is_change: bool,
    /// Whether members are called otherwise now.
    pub is_recalled: bool,
}

/// Applies changes in their sequence to the members of a group; refuses them all before anything changes.
pub(super) fn apply(
    state: &State,
    tenant: Uuid,
    (members, count): (Members, i64),
    changes: &[MemberChange],
    displays: &Displays,
) -> Result<Changed, Error> {
    let named = changes.iter().flat_map(|change| match change {
        MemberChange::Add(ids) | MemberChange::Replace(ids) => ids.as_slice(),
        MemberChange::Remove(_) | MemberChange::RemoveMatching(_) => &[],
    });
    let new: Vec<Uuid> = named.filter(|id| !members.contains(**id)).copied().collect();
    let called = members.renamed.clone();
    let mut changed = Changed { members, count, skipped: 0, is_change: false, is_recalled: false };
    for change in changes {
        match change {
            MemberChange::Add(ids) => {
                for id in changed.known(state, tenant, ids)? {
                    changed.count += changed.members.set(id, true);
                }
            }
            MemberChange::Remove(ids) => {
                for id in ids {
                    changed.count += changed.members.set(*id, false);
                }
            }
            MemberChange::Replace(ids) => {
                let ids = changed.known(state, tenant, ids)?;
                changed.count = changed.members.replace(&ids, changed.count);
                // Exactly these, as they are sent: what is not said of them here is not said any more.
                for id in ids.iter().filter(|id| !displays.contains_key(id)) {
                    changed.members.call(*id, None);
                }
            }
            MemberChange::RemoveMatching(filter) => {
                let all = changed.members.all().ok_or_else(too_many)?;
                for id in all {
                    let own = || state.display(tenant, id);
                    let display = changed.members.display(id).or_else(own).unwrap_or_default();
                    if filter.selects_member(id, display)? {
                        changed.count += changed.members.set(id, false);
                    }
                }
            }
        }
    }
    for (id, display) in displays {
        if !changed.members.contains(*id) {
            continue;
        }
        // A client that puts back what it was shown says nothing: the name follows the person's.
        let is_own = display.is_empty() || state.display(tenant, *id) == Some(display);
        changed.members.call(*id, (!is_own).then_some(display));
    }
    changed.is_recalled = changed.members.renamed != called;
    // As many as before are others only if one of them is new. (By a detour one may come back to where one was.)
    changed.is_change = changed.count != count || new.iter().any(|id| changed.members.contains(*id));
    Ok(changed)
}

impl Changed {
    /// Those of these ids that are a user's; the tenant chose what to do about the others.
    fn known(&mut self, state: &State, tenant: Uuid, ids: &[Uuid]) -> Result<BTreeSet<Uuid>, Error> {
        let is_known = |id: &Uuid| state.display(tenant, *id).is_some();
        let unknown: Vec<usize> = (0..).zip(ids).filter(|(_, id)| !is_known(id)).map(|(n, _)| n).collect();
        let skips = state.tenants.get(&tenant).map(|tenant| tenant.settings.unknown_members);
        if !unknown.is_empty() && skips != Some(UnknownMembers::Skip) {
            return Err(no_users(&unknown));
        }
        self.skipped += unknown.len();
        Ok(ids.iter().filter(|id| is_known(id)).copied().collect())
    }
}

/// 400, by position: a value that came with the request is not repeated.
fn no_users(positions: &[usize]) -> Error {
    let named: Vec<String> = positions.iter().take(MAX_NAMED).map(|n| format!("members[{n}]")).collect();
    let more = match positions.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Error::invalid_value(format!("there is no User with the id in {}{more}", named.join(", ")))
}

/// 400: they would all have to be looked at.
fn too_many() -> Error {
    Error::too_many(format!(
        "the group has more than {MAX_SEARCHED} members: they can be removed by their value only"
    ))
}
