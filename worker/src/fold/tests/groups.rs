//! Changes to groups.

use serde_json::json;
use time::Duration;

use super::*;
use crate::fold::{Person, Slot};

#[test]
fn creating_renaming_and_deleting_a_group_emits_an_event_each() {
    let mut state = state_with_people();
    assert_eq!(status(&mut state, &make(1, READERS, "Readers", &[ADA])), 201);
    let group = Group { resource: called("Writers"), members: vec![ADA], displays: Displays::new() };
    assert_eq!(status(&mut state, &command(2, READERS, Change::ReplaceGroup { group })), 200);
    let row = state.row::<GroupRow>(TENANT, READERS).unwrap();
    assert_eq!((row.resource["displayName"].as_str(), row.version), (Some("Writers"), 2));
    assert_eq!(row.resource.get("members"), None, "members are stored in rows");
    assert_eq!(status(&mut state, &command(3, READERS, Change::DeleteGroup)), 204);
    assert_eq!(status(&mut state, &command(4, READERS, Change::DeleteGroup)), 404);
    assert_eq!(kinds(&state), ["group.created", "group.updated", "group.deleted"]);
    let versions: Vec<_> = state.events.iter().filter_map(|event| event.sequence.clone()).collect();
    assert!(versions.is_sorted(), "{versions:?}");
}

#[test]
fn two_groups_may_have_the_same_name() {
    let mut state = state();
    assert_eq!(status(&mut state, &make(1, Uuid::from_u128(1), "Readers", &[])), 201);
    assert_eq!(status(&mut state, &make(2, Uuid::from_u128(2), "Readers", &[])), 201);
}

#[test]
fn groups_and_users_of_other_tenants_are_not_found() {
    let mut state = state_with_people();
    outcome(&mut state, &make(1, READERS, "Readers", &[]));
    for foreign in [members(2, &[MemberChange::Add(vec![ADA])]), command(3, READERS, Change::DeleteGroup)] {
        assert_eq!(status(&mut state, &Command { tenant: OTHER, ..foreign }), 404);
    }
    let theirs = Command { tenant: OTHER, ..make(4, Uuid::from_u128(4), "Theirs", &[ADA]) };
    assert_eq!(status(&mut state, &theirs), 400);
    let carol = Uuid::from_u128(0xca1);
    state.people.insert(carol, Person { tenant: OTHER, display: "Carol".to_owned() });
    assert_eq!(status(&mut state, &members(5, &[MemberChange::Add(vec![carol])])), 400);
}

#[test]
fn a_change_without_effect_keeps_version_and_time_but_moves_the_ticket() {
    let mut state = state_with_people();
    outcome(&mut state, &make(1, READERS, "Readers", &[ADA]));
    state.now += Duration::seconds(5);
    let same = Group { resource: called("Readers"), members: vec![ADA, ADA], displays: Displays::new() };
    let changes = [
        members(2, &[MemberChange::Add(vec![ADA]), MemberChange::Remove(vec![BOB, Uuid::nil()])]),
        members(3, &[MemberChange::Replace(vec![ADA])]),
        members(4, &[MemberChange::Replace(vec![]), MemberChange::Add(vec![ADA])]),
        command(5, READERS, Change::ReplaceGroup { group: same }),
    ];
    for change in &changes {
        assert_eq!(status(&mut state, change), 200);
    }
    let row = state.row::<GroupRow>(TENANT, READERS).unwrap();
    assert_eq!((row.version, row.modified_at, row.ticket), (1, NOW, ticket(5).0));
    assert_eq!(kinds(&state), ["group.created"]);
}

#[test]
fn a_group_is_ordered_and_versioned_like_a_user() {
    let mut state = state_with_people();
    outcome(&mut state, &make(1, READERS, "Readers", &[]));
    assert_eq!(status(&mut state, &members(5, &[MemberChange::Add(vec![ADA])])), 200);
    let stale = outcome(&mut state, &members(4, &[MemberChange::Remove(vec![ADA])]));
    assert_eq!(stale, Outcome::Stale { ticket: ticket(5) });
    let guarded = Command { if_match: "W/\"1\"".parse().ok(), ..members(6, &[MemberChange::Add(vec![BOB])]) };
    assert_eq!(status(&mut state, &guarded), 412);
    assert_eq!(readers(&state), (1, 2, vec![ADA]));
}

#[test]
fn deleting_a_user_changes_all_of_its_groups() {
    let mut state = state_with_people();
    let others = Uuid::from_u128(0x07e5);
    outcome(&mut state, &make(1, READERS, "Readers", &[ADA, BOB]));
    outcome(&mut state, &make(2, others, "Others", &[BOB]));
    state.now += Duration::seconds(5);
    assert_eq!(status(&mut state, &command(3, ADA, Change::DeleteUser)), 204);
    assert_eq!(readers(&state), (1, 2, vec![BOB]));
    let row = state.row::<GroupRow>(TENANT, READERS).unwrap();
    assert_eq!((row.modified_at, row.ticket), (state.now, ticket(1).0));
    assert_eq!(state.row::<GroupRow>(TENANT, others).unwrap().version, 1);
    assert_eq!(kinds(&state), ["group.created", "group.created", "user.deleted", "group.updated"]);
    assert_eq!(status(&mut state, &members(4, &[MemberChange::Add(vec![ADA])])), 400, "Ada is deleted");
}

#[test]
fn a_patch_of_attributes_is_validated_and_keeps_the_members() {
    let mut state = state_with_people();
    outcome(&mut state, &make(1, READERS, "Readers", &[ADA]));
    let patch = |value| {
        let body = json!({ "Operations": [{ "op": "replace", "value": value }] });
        GroupPatch {
            attributes: Some(Patch::parse(&body).unwrap()),
            members: Vec::new(),
            displays: Displays::new(),
        }
    };
    let rename = Change::PatchGroup { patch: patch(json!({ "displayName": "Writers" })) };
    assert_eq!(status(&mut state, &command(2, READERS, rename)), 200);
    assert_eq!(readers(&state), (1, 2, vec![ADA]));
    let smuggled = Change::PatchGroup { patch: patch(json!({ "members": [{ "value": BOB }] })) };
    assert_eq!(status(&mut state, &command(3, READERS, smuggled)), 400);
    assert_eq!(readers(&state), (1, 2, vec![ADA]));
}

#[test]
fn a_group_resource_that_contains_members_has_no_verdict() {
    let resource = serde_json::from_value(json!({ "displayName": "Readers", "members": [] })).unwrap();
    let group = Group { resource, members: Vec::new(), displays: Displays::new() };
    assert!(decide(&mut state(), &command(1, READERS, Change::CreateGroup { group })).is_err());
}

/// A group as the store loads it when the batch names some of its members.
pub(super) fn loaded(state: &mut State, count: i64, named: &[Uuid]) {
    outcome(state, &make(1, READERS, "Readers", &[]));
    let row = GroupRow { member_count: count, ..state.row::<GroupRow>(TENANT, READERS).unwrap().clone() };
    state.groups.insert(READERS, Slot::loaded(row));
    state.members.insert(READERS, Members { stored: named.iter().copied().collect(), ..Members::default() });
    state.events.clear();
}

#[test]
fn a_late_attempt_creates_no_second_group_after_its_retry_created_one() {
    let mut state = state();
    let first = make(1, Uuid::from_u128(1), "Readers", &[]);
    let second = make(2, Uuid::from_u128(2), "Readers", &[]);
    let second = Command { fingerprint: first.fingerprint.clone(), ..second };
    assert_eq!(status(&mut state, &second), 201);
    assert_eq!(status(&mut state, &late(first)), 409);
    assert_eq!(state.groups.len(), 1);
}
