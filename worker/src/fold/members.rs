//! The members of a group: what is loaded, and what the batch changes. For changes that name users by id, only the
//! memberships of those users are loaded, not the whole group.

use std::collections::{BTreeMap, BTreeSet};

use domain::settings::UnknownMembers;
use scim::{Displays, Error, MemberChange};
use uuid::Uuid;

use super::State;

/// The largest group whose members can be searched by anything but their ids.
pub const MAX_SEARCHED: i64 = 10_000;
/// The maximum number of positions that an error names.
const MAX_NAMED: usize = 10;

/// The known members of a group, and the changes to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// The members in the database, of the users that the batch names.
    pub stored: BTreeSet<Uuid>,
    /// Whether `stored` contains all members.
    pub is_whole: bool,
    /// Whether all members in the database that are not in `changes` are removed.
    pub emptied: bool,
    /// Users added (`true`) or removed (`false`) since loading.
    pub changes: BTreeMap<Uuid, bool>,
    /// The client's `display` for members of `stored`, where it differs from the user's own name.
    pub displays: BTreeMap<Uuid, String>,
    /// `display` values set since loading; `None` where one was removed.
    pub renamed: BTreeMap<Uuid, Option<String>>,
}

impl Members {
    /// The members of a group that is not in the database.
    #[must_use]
    pub fn of_new(ids: &BTreeSet<Uuid>) -> Self {
        let mut members = Self { emptied: true, ..Self::default() };
        members.changes.extend(ids.iter().map(|id| (*id, true)));
        members
    }

    /// Whether a user is a member. Only valid for users that the batch names.
    #[must_use]
    pub fn contains(&self, id: Uuid) -> bool {
        self.changes.get(&id).copied().unwrap_or_else(|| !self.emptied && self.stored.contains(&id))
    }

    /// Memberships to insert.
    pub fn added(&self) -> impl Iterator<Item = Uuid> {
        let stored = |id: &Uuid| self.stored.contains(id);
        self.kept().filter(move |id| !stored(id))
    }

    /// Memberships to delete, if the group was not emptied.
    pub fn removed(&self) -> impl Iterator<Item = Uuid> {
        self.changes.iter().filter(|(id, is_in)| !**is_in && self.stored.contains(id)).map(|(id, _)| *id)
    }

    /// The client's `display` for a member; `None` if it is the user's own name.
    #[must_use]
    pub fn display(&self, id: Uuid) -> Option<&str> {
        self.renamed.get(&id).map_or_else(|| self.displays.get(&id), Option::as_ref).map(String::as_str)
    }

    /// Remaining members whose `display` differs from the database.
    pub fn recalled(&self) -> impl Iterator<Item = Uuid> {
        let stays = |id: &Uuid| self.stored.contains(id) && self.contains(*id);
        self.renamed.keys().copied().filter(move |id| stays(id) && self.is_recalled(*id))
    }

    fn is_recalled(&self, id: Uuid) -> bool {
        self.display(id) != self.displays.get(&id).map(String::as_str)
    }

    /// Users added by a change. In an emptied group these are all members.
    pub fn kept(&self) -> impl Iterator<Item = Uuid> {
        self.changes.iter().filter(|(_, is_in)| **is_in).map(|(id, _)| *id)
    }

    /// All members, if they are known.
    fn all(&self) -> Option<Vec<Uuid>> {
        if self.emptied {
            return Some(self.kept().collect());
        }
        let named: BTreeSet<Uuid> = self.stored.iter().chain(self.changes.keys()).copied().collect();
        self.is_whole.then(|| named.into_iter().filter(|id| self.contains(*id)).collect())
    }

    /// Adds or removes a member. Returns the change of the member count.
    pub(super) fn set(&mut self, id: Uuid, is_in: bool) -> i64 {
        if self.contains(id) == is_in {
            return 0;
        }
        self.changes.insert(id, is_in);
        if !is_in {
            // A member who is added again gets the `display` sent then.
            self.call(id, None);
        }
        if is_in { 1 } else { -1 }
    }

    /// Replaces the members. If these are the current members already, nothing changes.
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

    /// Sets a member's `display`; `None` means the user's own name. This is not a change of the group.
    fn call(&mut self, id: Uuid, display: Option<&str>) {
        if self.display(id) != display {
            self.renamed.insert(id, display.map(str::to_owned));
        }
    }
}

/// The result of changes to the members.
pub(super) struct Changed {
    /// The members now.
    pub members: Members,
    /// The number of members.
    pub count: i64,
    /// The number of ids that were skipped because no such user exists.
    pub skipped: usize,
    /// Whether the set of members changed.
    pub is_change: bool,
    /// Whether a `display` changed.
    pub is_recalled: bool,
}

/// Applies changes to the members of a group in order. An error rejects all of them.
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
                // A replaced list is exact: a `display` that is not sent is removed.
                for id in ids.iter().filter(|id| !displays.contains_key(id)) {
                    changed.members.call(*id, None);
                }
            }
            MemberChange::RemoveMatching(filter) => {
                let all = changed.members.all().ok_or_else(too_many)?;
                for id in all {
                    let own = || state.display(tenant, id);
                    let display = changed.members.display(id).or_else(own).unwrap_or_default();
                    if scim::selects_member(filter, id, display)? {
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
        // A client that sends back the `display` it was shown sets nothing, so that the value follows the user's name.
        let is_own = display.is_empty() || state.display(tenant, *id) == Some(display);
        changed.members.call(*id, (!is_own).then_some(display));
    }
    changed.is_recalled = changed.members.renamed != called;
    // With an equal count, the set differs only if a new member is in it. (Several changes may cancel out.)
    changed.is_change = changed.count != count || new.iter().any(|id| changed.members.contains(*id));
    Ok(changed)
}

impl Changed {
    /// The ids that belong to users. The tenant's settings decide whether unknown ids are skipped or rejected.
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

/// 400 by position: the error does not repeat values of the request.
fn no_users(positions: &[usize]) -> Error {
    let named: Vec<String> = positions.iter().take(MAX_NAMED).map(|n| format!("members[{n}]")).collect();
    let more = match positions.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Error::invalid_value(format!("there is no User with the id in {}{more}", named.join(", ")))
}

/// 400: the filter would have to examine all members.
fn too_many() -> Error {
    Error::too_many(format!(
        "the group has more than {MAX_SEARCHED} members; remove members by value instead"
    ))
}
