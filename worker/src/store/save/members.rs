//! The rows of `group_members` that the fold changed.

use scim::folded_text;
use serde::Serialize;
use uuid::Uuid;

use crate::fold::State;

/// Deletes all but these members of emptied groups. A row without a user names a group that may have no members left.
pub(super) const KEEP: &str = "delete from group_members m where m.group_id in (select group_id from input) \
    and not exists (select from input i where i.group_id = m.group_id and i.user_id = m.user_id)";
pub(super) const DELETE: &str =
    "delete from group_members m using input i where m.group_id = i.group_id and m.user_id = i.user_id";
pub(super) const INSERT: &str = "insert into group_members (group_id, user_id, display, display_search) \
    select group_id, user_id, display, display_search from input order by group_id, user_id";
pub(super) const CALL: &str = "update group_members m set display = i.display, display_search = i.display_search \
    from input i where m.group_id = i.group_id and m.user_id = i.user_id";

/// A membership.
#[derive(Serialize)]
pub(super) struct Membership {
    group_id: Uuid,
    user_id: Option<Uuid>,
    display: Option<String>,
    display_search: Option<String>,
}

impl Membership {
    fn of(group_id: Uuid, user_id: Option<Uuid>) -> Self {
        Self { group_id, user_id, display: None, display_search: None }
    }

    fn called(group_id: Uuid, user_id: Uuid, display: Option<&str>) -> Self {
        let (display, display_search) = (display.map(str::to_owned), display.map(folded_text));
        Self { display, display_search, ..Self::of(group_id, Some(user_id)) }
    }
}

/// The changed memberships.
#[derive(Default)]
pub(super) struct MembershipChanges {
    /// Emptied groups with their remaining members.
    pub left: Vec<Membership>,
    /// Memberships removed from other groups.
    pub removed: Vec<Membership>,
    /// New memberships.
    pub added: Vec<Membership>,
    /// Remaining memberships whose `display` changed.
    pub recalled: Vec<Membership>,
}

pub(super) fn changes(state: &State) -> MembershipChanges {
    let mut changes = MembershipChanges::default();
    for (&group_id, members) in &state.members {
        let Some(slot) = state.groups.get(&group_id).filter(|slot| slot.current.is_some()) else { continue };
        let row = |user| Membership::of(group_id, Some(user));
        let called = |user| Membership::called(group_id, user, members.display(user));
        if members.emptied && slot.stored.is_some() {
            changes.left.push(Membership::of(group_id, None));
            changes.left.extend(members.kept().map(row));
        } else {
            changes.removed.extend(members.removed().map(row));
        }
        changes.added.extend(members.added().map(called));
        changes.recalled.extend(members.recalled().map(called));
    }
    changes
}
