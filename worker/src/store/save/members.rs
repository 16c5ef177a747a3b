//! The rows of `group_members` that the fold added and removed.

use serde::Serialize;
use shared::scim::folded_text;
use uuid::Uuid;

use crate::fold::State;

/// Of emptied groups only these are kept; a row without a user names a group of which perhaps nobody is.
pub(super) const KEEP: &str = "delete from group_members m where m.group_id in (select group_id from input) \
    and not exists (select from input i where i.group_id = m.group_id and i.user_id = m.user_id)";
pub(super) const DELETE: &str =
    "delete from group_members m using input i where m.group_id = i.group_id and m.user_id = i.user_id";
pub(super) const INSERT: &str = "insert into group_members (group_id, user_id, display, display_folded) \
    select group_id, user_id, display, display_folded from input order by group_id, user_id";
pub(super) const CALL: &str = "update group_members m set display = i.display, display_folded = i.display_folded \
    from input i where m.group_id = i.group_id and m.user_id = i.user_id";

/// A membership.
#[derive(Serialize)]
pub(super) struct Membership {
    group_id: Uuid,
    user_id: Option<Uuid>,
    display: Option<String>,
    display_folded: Option<String>,
}

impl Membership {
    fn of(group_id: Uuid, user_id: Option<Uuid>) -> Self {
        Self { group_id, user_id, display: None, display_folded: None }
    }

    fn called(group_id: Uuid, user_id: Uuid, display: Option<&str>) -> Self {
        let (display, display_folded) = (display.map(str::to_owned), display.map(folded_text));
        Self { display, display_folded, ..Self::of(group_id, Some(user_id)) }
    }
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
    /// Those that stay, and whose members are called otherwise.
    pub recalled: Vec<Membership>,
}

pub(super) fn changes(state: &State) -> Changes {
    let mut changes = Changes::default();
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
