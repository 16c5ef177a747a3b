//! Complaints of users of other SCIM servers about pushing groups, one test each, with its row number in the list of
//! lessons, and an Okta Group Push conversation.

use std::collections::BTreeSet;

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::{Filter, Group, GroupPatch, MemberChange, selects_member};

/// Applies changes to a set, as the fold does.
pub(super) fn applied(members: &BTreeSet<Uuid>, changes: &[MemberChange]) -> BTreeSet<Uuid> {
    changes.iter().fold(members.clone(), |mut members, change| {
        match change {
            MemberChange::Add(ids) => members.extend(ids),
            MemberChange::Remove(ids) => members.retain(|id| !ids.contains(id)),
            MemberChange::Replace(ids) => members = ids.iter().copied().collect(),
            MemberChange::RemoveMatching(filter) => {
                members.retain(|id| !selects_member(filter, *id, "Ann").unwrap());
            }
        }
        members
    })
}

fn id(number: u128) -> String {
    Uuid::from_u128(number).to_string()
}

fn patch(operations: Value) -> Vec<MemberChange> {
    GroupPatch::parse(ResourceType::group(), &json!({ "Operations": operations })).unwrap().members
}

fn members(numbers: impl IntoIterator<Item = u128>) -> BTreeSet<Uuid> {
    numbers.into_iter().map(Uuid::from_u128).collect()
}

#[test]
fn row_04_a_remove_with_a_list_removes_only_the_listed_members_and_one_without_removes_all() {
    let before = members([1, 2, 3]);
    for listed in [json!([{ "value": id(2) }]), json!({ "value": id(2) }), json!([id(2)]), json!(id(2))] {
        let changes = patch(json!([{ "op": "Remove", "path": "members", "value": listed }]));
        assert_eq!(applied(&before, &changes), members([1, 3]), "{listed}");
    }
    let changes = patch(json!([{ "op": "remove", "path": "members" }]));
    assert_eq!(applied(&before, &changes), members([]));
}

/// A change states the difference, not the result, so that two changes can be applied in any order.
#[test]
fn row_12_changes_of_members_commute() {
    let one = patch(json!([{ "op": "add", "path": "members", "value": [{ "value": id(4) }] }]));
    let other = patch(json!([{ "op": "remove", "path": format!("members[value eq \"{}\"]", id(1)) }]));
    let before = members([1, 2, 3]);
    let expected = members([2, 3, 4]);
    assert_eq!(applied(&applied(&before, &one), &other), expected);
    assert_eq!(applied(&applied(&before, &other), &one), expected);
}

#[test]
fn row_13_adding_a_member_again_and_removing_an_absent_one_is_no_error() {
    let before = members([1, 2]);
    for operation in [
        json!({ "op": "add", "path": "members", "value": [{ "value": id(1) }] }),
        json!({ "op": "remove", "path": format!("members[value eq \"{}\"]", id(9)) }),
        json!({ "op": "remove", "path": "members", "value": [{ "value": id(9) }, { "value": "nobody" }] }),
        json!({ "op": "replace", "path": "members", "value": [{ "value": id(2) }, { "value": id(1) }] }),
    ] {
        assert_eq!(applied(&before, &patch(json!([operation]))), before, "{operation}");
    }
}

#[test]
fn row_14_a_member_that_is_not_an_id_becomes_nil_and_is_not_an_error() {
    let added =
        patch(json!([{ "op": "add", "path": "members", "value": [{ "value": id(1) }, { "value": "7" }] }]));
    assert_eq!(added, [MemberChange::Add(vec![Uuid::from_u128(1), Uuid::nil()])]);
}

#[test]
fn row_15_the_number_of_members_is_not_limited() {
    let many: Vec<Value> = (1..=100_000).map(|number| json!({ "value": id(number) })).collect();
    let body = json!({ "schemas": [GROUP_URN], "displayName": "Everybody", "members": many });
    assert_eq!(Group::parse(ResourceType::group(), &body).unwrap().members.len(), 100_000);
    let operations: Vec<Value> = (1..=256)
        .map(|number| json!({ "op": "remove", "path": format!("members[value eq \"{}\"]", id(number)) }))
        .chain([json!({ "op": "add", "path": "members", "value": many[..256] })])
        .collect();
    assert_eq!(patch(json!(operations)).len(), 257);
}

#[test]
fn okta_pushes_a_group() {
    let created = json!({ "schemas": [GROUP_URN], "displayName": "Night shift", "members": [] });
    let group = Group::parse(ResourceType::group(), &created).unwrap();
    assert_eq!((group.resource.display_name(), group.members.len()), (Some("Night shift"), 0));
    let renamed = json!({
        "schemas": [crate::PATCH_URN],
        "Operations": [{ "op": "replace", "value": { "id": id(7), "displayName": "Day shift" } }],
    });
    let renamed = GroupPatch::parse(ResourceType::group(), &renamed).unwrap();
    let after = renamed.attributes.unwrap().apply(ResourceType::group(), &group.resource).unwrap();
    assert_eq!((after.display_name(), renamed.members), (Some("Day shift"), vec![]));
    let changes = patch(json!([
        { "op": "remove", "path": format!("members[value eq \"{}\"]", id(1)) },
        { "op": "add", "path": "members", "value": [{ "value": id(4), "display": "ann@corp.example" }] },
    ]));
    assert_eq!(applied(&members([1, 2]), &changes), members([2, 4]));
    let again = json!({
        "schemas": [GROUP_URN], "id": id(7), "displayName": "Day shift", "meta": { "version": "W/\"1\"" },
        "members": [{ "value": id(2), "display": "bo", "type": "User", "$ref": "https://acme.example/Users/2" }],
    });
    let again = Group::parse(ResourceType::group(), &again).unwrap();
    assert_eq!((again.resource, again.members), (after, vec![Uuid::from_u128(2)]));
}

#[test]
fn a_filter_on_groups_uses_the_group_schema() {
    let filter = Filter::parse(&format!("{GROUP_URN}:displayName eq \"NIGHT SHIFT\"")).unwrap();
    let group = json!({ "displayName": "Night shift" });
    assert_eq!(filter.matches(ResourceType::group(), &group), Ok(true));
    assert!(filter.matches(ResourceType::user(), &group).is_err());
}
