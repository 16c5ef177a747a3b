//! The rows of `group_members` that the fold added and removed.

use serde::Serialize;
use uuid::Uuid;

use crate::fold::State;

/// Of emptied groups only these are kept; a row without a user names a group of which perhaps nobody is.
pub(super) const KEEP: &str = "delete from group_members m where m.group_id in (select group_id from input) \
    and not exists (select from input i where i.group_id = m.group_id and i.user_id = m.user_id)";
pub(super) const DELETE: &str =
    "delete from group_members m using input i where m.group_id = i.group_id and m.user_id = i.user_id";
pub(super) const INSERT: &str = "insert into group_members (group_id, user_id) select group_id, user_id from input order by group_id, user_id";

/// A membership.
#[derive(Serialize)]
pub(super) struct Membership {
    group_id: Uuid,
    user_id: Option<Uuid>,
}

/// What became of the memberships.
#[derive(Default)]
pub(super) struct Changes {
    /// Emptied groups, with who is left in them.
    pub left: Vec<Membership>,
    /// Those that are gone from others.
    pub removed: Vec<Membership>,
    /// New ones.
    pub added: Vec<Membership>,
}

pub(super) fn changes(state: &State) -> Changes {
    let mut changes = Changes::default();
    for (&group_id, members) in &state.members {
        let Some(slot) = state.groups.get(&group_id).filter(|slot| slot.current.is_some()) else { continue };
        let row = |user| Membership { group_id, user_id: Some(user) };
        if members.emptied && slot.stored.is_some() {
            changes.left.push(Membership { group_id, user_id: None });
            changes.left.extend(members.kept().map(row));
        } else {
            changes.removed.extend(members.removed().map(row));
        }
        changes.added.extend(members.added().map(row));
    }
    changes
}
