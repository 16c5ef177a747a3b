//! Tests of groups: what clients send, and the resulting changes of the members.

use serde_json::json;

use super::MemberChange::{Add, Remove, RemoveMatching, Replace};
use super::*;
use crate::{GROUP_URN, ScimType};

const A: &str = "0192aaaa-0000-7000-8000-00000000000a";
const B: &str = "0192aaaa-0000-7000-8000-00000000000b";

fn ids(texts: &[&str]) -> Vec<Uuid> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn parsed(members: Value) -> Result<Group, Error> {
    let mut body = json!({ "schemas": [GROUP_URN], "displayName": "Night shift" });
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    Group::parse(ResourceType::group(), &body)
}

fn patch(operations: Value) -> Result<GroupPatch, Error> {
    GroupPatch::parse(ResourceType::group(), &json!({ "Operations": operations }))
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, Error>, scim_type: ScimType, named: &str) {
    let error = result.expect_err("must be rejected");
    assert_eq!((error.status, error.scim_type), (400, Some(scim_type)), "{error}");
    assert!(error.detail.contains(named), "{} should name {named}", error.detail);
}

#[test]
fn a_group_is_split_into_attributes_and_members() {
    let both = ids(&[A, B]);
    for (members, expected) in [
        (
            json!({ "members": [{ "value": A }, { "VALUE": B, "display": "Bo", "type": "User", "$ref": "x" }] }),
            both.clone(),
        ),
        (json!({ "MEMBERS": [A, B] }), both.clone()),
        (json!({ "members": { "value": A } }), ids(&[A])),
        (json!({ "members": A }), ids(&[A])),
        (json!({ (format!("{GROUP_URN}:members")): [{ "value": A }] }), ids(&[A])),
        (json!({ (GROUP_URN): { "members": [{ "value": A }], "shoeSize": 44 } }), ids(&[A])),
        (json!({ "members": [{ "value": A }, { "value": A }] }), ids(&[A, A])),
        (
            json!({ "members": [{ "value": A.to_uppercase() }, "7", A.replace('-', "")] }),
            vec![Uuid::nil(); 3],
        ),
        (json!({ "members": [] }), vec![]),
        (json!({ "members": null }), vec![]),
        (json!({ "members.display": "x", "members[": 1, "members.shoe": 1, "id": 7, "meta": {} }), vec![]),
        (json!({}), vec![]),
    ] {
        let group = parsed(members.clone()).unwrap_or_else(|error| panic!("{members}: {error}"));
        assert_eq!(group.members, expected, "{members}");
        let resource = json!({ "schemas": [GROUP_URN], "displayName": "Night shift" });
        assert_eq!(serde_json::to_value(&group.resource).unwrap(), resource, "{members}");
    }
}

#[test]
fn an_invalid_group_is_rejected_with_the_position_and_without_its_values() {
    use ScimType::{InvalidSyntax, InvalidValue};
    for (members, scim_type, named) in [
        (json!({ "displayName": "" }), InvalidValue, "displayName"),
        (
            json!({ "members": [{ "value": A }, { "value": 7 }] }),
            InvalidValue,
            "members[1].value must be a string",
        ),
        (json!({ "members": [{ "display": "Ann" }] }), InvalidValue, "members[0].value is required"),
        (json!({ "members": [7] }), InvalidValue, "members[0] must be"),
        (json!({ "members": [[A]] }), InvalidValue, "members[0] must be"),
        (json!({ "members": true }), InvalidValue, "members[0] must be"),
        (json!({ "members": [{ "value": A, "Value": B }] }), InvalidSyntax, "given twice"),
        (json!({ "members": [A], "Members": [] }), InvalidSyntax, "given twice"),
        (json!({ "schemas": ["urn:x"] }), InvalidValue, "schemas"),
    ] {
        assert_refused(parsed(members), scim_type, named);
    }
    assert_refused(Group::parse(ResourceType::group(), &json!([])), InvalidSyntax, "object");
}

/// The values that a client sends after failing to look up an id.
const BLANKS: &str = r#"["", " ", {}, [""], [null], [{}], [[]], [" \t"], {"value": ""}, {"value": null}, [{"value": ""}],
    [{"value": null}], [{"value": "  "}], [{"value": []}], [{"value": {}}], [{"VALUE": "", "display": ""}],
    [{"value": "", "type": "User"}],
    ["0192aaaa-0000-7000-8000-00000000000a", ""], [{"value": "0192aaaa-0000-7000-8000-00000000000a"}, {"value": ""}],
    [{"value": "0192aaaa-0000-7000-8000-00000000000a"}, null], [{}, {"value": "0192aaaa-0000-7000-8000-00000000000a"}]]"#;

#[test]
fn a_blank_member_is_rejected_everywhere_and_removes_no_members() {
    let blanks: Vec<Value> = serde_json::from_str(BLANKS).unwrap();
    let one = format!("members[value eq \"{A}\"]");
    let urn = format!("{GROUP_URN}:members");
    for blank in blanks {
        for key in ["members", "MEMBERS", &urn] {
            assert_refused(parsed(json!({ key: blank })), ScimType::InvalidValue, "members[");
        }
        assert_refused(
            parsed(json!({ GROUP_URN: { "members": blank } })),
            ScimType::InvalidValue,
            "members[",
        );
        for op in ["add", "replace"] {
            for operation in [
                json!({ "op": op, "path": "members", "value": blank }),
                json!({ "op": op, "path": urn, "value": blank }),
                json!({ "op": op, "path": one, "value": blank }),
                json!({ "op": op, "value": { "members": blank } }),
                json!({ "op": op, "value": { urn.clone(): blank } }),
                json!({ "op": op, "path": GROUP_URN, "value": { "members": blank } }),
            ] {
                assert_refused(patch(json!([operation])), ScimType::InvalidValue, "members[");
            }
        }
        for operation in [
            json!({ "op": "add", "path": "members.value", "value": blank }),
            json!({ "op": "remove", "path": "members", "value": blank }),
            json!({ "op": "remove", "path": "members.value", "value": blank }),
        ] {
            assert_refused(patch(json!([operation])), ScimType::InvalidValue, "members[");
        }
    }
}

#[test]
fn an_unknown_part_of_members_is_ignored_and_reported() {
    let before = parsed(json!({})).unwrap().resource;
    for (path, name) in [
        (format!("members[value eq \"{A}\"].shoe"), "members.shoe"),
        ("members.shoe".to_owned(), "members.shoe"),
        ("shoeSize".to_owned(), "shoeSize"),
        (format!("{GROUP_URN}:shoe"), &*format!("{GROUP_URN}:shoe")),
        ("urn:example:1.0:Group:shoe".to_owned(), "urn:example:1.0:Group:shoe"),
    ] {
        for op in ["add", "replace", "remove"] {
            let read = patch(json!([{ "op": op, "path": path, "value": "x" }])).unwrap();
            assert_eq!(read.members, [], "{op} {path}");
            let applied =
                crate::leaver::patched(&read.attributes.unwrap(), ResourceType::group(), &before).unwrap();
            assert_eq!((&applied.resource, applied.ignored), (&before, vec![name.to_owned()]), "{op} {path}");
        }
    }
}

#[test]
fn a_hundred_thousand_members_are_parsed() {
    let members: Vec<Value> = (0..100_000_u128).map(|n| json!({ "value": Uuid::from_u128(n + 1) })).collect();
    assert_eq!(parsed(json!({ "members": members })).unwrap().members.len(), 100_000);
    let added = patch(json!([{ "op": "add", "path": "members", "value": members }])).unwrap();
    assert!(matches!(&added.members[..], [Add(ids)] if ids.len() == 100_000));
}

#[test]
fn operations_on_members_are_translated() {
    let one = format!("members[value eq \"{A}\"]");
    let urn = format!("{GROUP_URN}:members");
    let junk = Uuid::nil();
    for (operation, expected) in [
        (
            json!({ "op": "add", "path": "members", "value": [{ "value": A, "display": "ann" }] }),
            vec![Add(ids(&[A]))],
        ),
        (json!({ "op": "Add", "path": "members", "value": { "value": A } }), vec![Add(ids(&[A]))]),
        (json!({ "op": "add", "path": "members", "value": A }), vec![Add(ids(&[A]))]),
        (json!({ "op": "add", "path": "Members.Value", "value": [A, B] }), vec![Add(ids(&[A, B]))]),
        (json!({ "op": "add", "path": urn, "value": [A] }), vec![Add(ids(&[A]))]),
        (json!({ "op": "add", "value": { "members": [A] } }), vec![Add(ids(&[A]))]),
        (json!({ "op": "add", "path": "", "value": { "members": [A] } }), vec![Add(ids(&[A]))]),
        (json!({ "op": "add", "value": { (urn.clone()): [A] } }), vec![Add(ids(&[A]))]),
        (json!({ "op": "add", "path": GROUP_URN, "value": { "members": [A] } }), vec![Add(ids(&[A]))]),
        (json!({ "op": "add", "path": "members", "value": [{ "value": "7" }] }), vec![Add(vec![junk])]),
        (json!({ "op": "add", "path": "members", "value": [] }), vec![]),
        (json!({ "op": "add", "path": "members", "value": null }), vec![]),
        (json!({ "op": "replace", "path": "members", "value": [A, B] }), vec![Replace(ids(&[A, B]))]),
        (json!({ "op": "replace", "path": "members", "value": [] }), vec![Replace(vec![])]),
        (json!({ "op": "replace", "path": "members", "value": null }), vec![Replace(vec![])]),
        (json!({ "op": "replace", "value": { "members": null } }), vec![Replace(vec![])]),
        (json!({ "op": "remove", "path": "members" }), vec![Replace(vec![])]),
        (json!({ "op": "remove", "path": urn }), vec![Replace(vec![])]),
        (json!({ "op": "remove", "path": "members", "value": null }), vec![Replace(vec![])]),
        (json!({ "op": "Remove", "path": "members", "value": [{ "value": A }] }), vec![Remove(ids(&[A]))]),
        (json!({ "op": "remove", "path": "members", "value": A }), vec![Remove(ids(&[A]))]),
        (json!({ "op": "remove", "path": "members.value", "value": [A] }), vec![Remove(ids(&[A]))]),
        (json!({ "op": "remove", "path": "members", "value": [] }), vec![]),
        (json!({ "op": "remove", "path": one }), vec![Remove(ids(&[A]))]),
        (json!({ "op": "remove", "path": one, "value": [{ "value": B }] }), vec![Remove(ids(&[A]))]),
        (json!({ "op": "remove", "path": format!("{urn}[value eq \"{A}\"]") }), vec![Remove(ids(&[A]))]),
        (
            json!({ "op": "remove", "path": format!("MEMBERS[VALUE eq \"{A}\" or (type eq \"user\" and value eq \"{B}\")]") }),
            vec![Remove(ids(&[A, B]))],
        ),
        (
            json!({ "op": "remove", "path": format!("members[value eq \"{A}\" and value eq \"{B}\"]") }),
            vec![],
        ),
        (json!({ "op": "add", "path": one, "value": { "value": A } }), vec![Add(ids(&[A]))]),
        (
            json!({ "op": "replace", "path": one, "value": [{ "value": A, "display": "Ann" }] }),
            vec![Add(ids(&[A]))],
        ),
        (json!({ "op": "replace", "path": one, "value": { "display": "Ann" } }), vec![]),
        (json!({ "op": "add", "path": one, "value": null }), vec![]),
        (json!({ "op": "replace", "path": one, "value": null }), vec![Remove(ids(&[A]))]),
        (
            json!({ "op": "replace", "value": { "members.display": "x", "members[value eq \"x\"].display": "y" } }),
            vec![],
        ),
    ] {
        let read = patch(json!([operation])).unwrap_or_else(|error| panic!("{operation}: {error}"));
        assert_eq!((&read.attributes, &read.members), (&None, &expected), "{operation}");
        let message = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<GroupPatch>(&message).unwrap(), read);
    }
}

#[test]
fn display_names_of_members_are_collected_by_id() {
    let one = format!("members[value eq \"{A}\"]");
    let [a, b] = [A, B].map(|text| text.parse::<Uuid>().unwrap());
    let called = |pairs: &[(Uuid, &str)]| -> Displays {
        pairs.iter().map(|(id, display)| (*id, (*display).to_owned())).collect()
    };
    let members = json!([{ "value": A, "display": "Ann" }, { "VALUE": B, "Display": "Bo" }, { "value": "7", "display": "Cy" }]);
    let both = called(&[(a, "Ann"), (b, "Bo")]);
    assert_eq!(parsed(json!({ "members": members })).unwrap().displays, both);
    for (operation, expected) in [
        (json!({ "op": "add", "path": "members", "value": members }), both.clone()),
        (json!({ "op": "replace", "value": { "members": members } }), both),
        (
            json!({ "op": "add", "path": one, "value": { "value": A, "display": "Ann" } }),
            called(&[(a, "Ann")]),
        ),
        (json!({ "op": "replace", "path": format!("{one}.display"), "value": "Ann" }), called(&[(a, "Ann")])),
        (json!({ "op": "replace", "value": { (format!("{one}.display")): "Ann" } }), called(&[(a, "Ann")])),
        (json!({ "op": "remove", "path": format!("{one}.display") }), called(&[(a, "")])),
        (json!({ "op": "replace", "path": format!("{one}.display"), "value": null }), called(&[(a, "")])),
        (json!({ "op": "add", "path": "members", "value": [{ "value": A, "display": 7 }, B] }), called(&[])),
        (
            json!({ "op": "remove", "path": "members", "value": [{ "value": A, "display": "Ann" }] }),
            called(&[]),
        ),
    ] {
        let read = patch(json!([operation])).unwrap_or_else(|error| panic!("{operation}: {error}"));
        assert_eq!(read.displays, expected, "{operation}");
        let message = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<GroupPatch>(&message).unwrap(), read);
    }
    // A worker of the previous version does not support the field, so it is sent only if a client set a display name.
    let plain = patch(json!([{ "op": "add", "path": "members", "value": [A] }])).unwrap();
    assert!(!serde_json::to_string(&plain).unwrap().contains("displays"));
}

#[test]
fn a_filter_on_more_than_the_id_is_evaluated_by_the_fold() {
    for (path, display, is_selected) in [
        (r#"members[display eq "ANN"]"#, "Ann", true),
        (r#"members[display sw "b"]"#, "Ann", false),
        (r#"members[type eq "User"]"#, "Ann", true),
        (r#"members[type eq "Group"]"#, "Ann", false),
        (r#"members[not (value eq "0192aaaa-0000-7000-8000-00000000000a")]"#, "Ann", false),
        (r#"members[value sw "0192"]"#, "Ann", true),
        (r#"members[value pr]"#, "Ann", true),
    ] {
        let read = patch(json!([{ "op": "remove", "path": path }])).unwrap();
        let [RemoveMatching(filter)] = &read.members[..] else { panic!("{path}: {read:?}") };
        assert_eq!(selects_member(filter, A.parse().unwrap(), display), Ok(is_selected), "{path}");
        let message = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<GroupPatch>(&message).unwrap(), read);
    }
}

#[test]
fn one_operation_is_split_into_attributes_and_members() {
    let read = patch(json!([
        { "op": "replace", "value": { "id": A, "displayName": "Day shift", "members": [B] } },
        { "op": "add", "path": GROUP_URN, "value": { "externalId": "x", "members": A } },
        { "op": "replace", "path": "externalId", "value": "7" },
    ]))
    .unwrap();
    assert_eq!(read.members, [Replace(ids(&[B])), Add(ids(&[A]))]);
    let before = parsed(json!({})).unwrap().resource;
    let after = read.attributes.unwrap().apply(ResourceType::group(), &before).unwrap();
    let expected = json!({ "schemas": [GROUP_URN], "displayName": "Day shift", "externalId": "7" });
    assert_eq!(serde_json::to_value(after).unwrap(), expected);
}

#[test]
fn each_error_has_the_keyword_of_the_rfc() {
    use ScimType::{InvalidFilter, InvalidPath, InvalidSyntax, InvalidValue, Mutability, NoTarget};
    let one = format!("members[value eq \"{A}\"]");
    for (operation, scim_type, named) in [
        (json!({ "op": "replace", "path": one, "value": { "value": B } }), Mutability, "members.value"),
        (json!({ "op": "add", "path": one, "value": [A, B] }), Mutability, "members.value"),
        (
            json!({ "op": "replace", "path": "members[type eq \"User\"]", "value": A }),
            Mutability,
            "members.value",
        ),
        (
            json!({ "op": "replace", "path": format!("{one}.value"), "value": B }),
            Mutability,
            "members.value is immutable",
        ),
        (
            json!({ "op": "replace", "path": format!("{one}.display"), "value": 7 }),
            InvalidValue,
            "members.display must be a string",
        ),
        (
            json!({ "op": "replace", "path": "members[type eq \"User\"].display", "value": "x" }),
            InvalidFilter,
            "members.display",
        ),
        (
            json!({ "op": "add", "path": "members", "value": [{ "value": A, "display": "x".repeat(4_097) }] }),
            InvalidValue,
            "members[0].display",
        ),
        (json!({ "op": "replace", "path": "members.value", "value": A }), Mutability, "members.value"),
        (json!({ "op": "remove", "path": "members.value" }), Mutability, "members.value"),
        (
            json!({ "op": "add", "path": "members.type", "value": "User" }),
            Mutability,
            "members.type is immutable",
        ),
        (
            json!({ "op": "add", "path": "members.display", "value": "x" }),
            Mutability,
            "members.display can only be set for one member",
        ),
        (json!({ "op": "remove", "path": "members[$ref eq \"x\"]" }), InvalidFilter, "$ref"),
        (json!({ "op": "remove", "path": "members[not ($ref pr)]" }), InvalidFilter, "$ref"),
        (json!({ "op": "remove", "path": "members[shoe eq \"x\"]" }), InvalidFilter, "shoe"),
        (json!({ "op": "remove", "path": "members[value eq true]" }), InvalidFilter, "value"),
        (json!({ "op": "remove", "path": "members[value eq" }), InvalidFilter, "path"),
        (json!({ "op": "remove", "path": "members[shoe eq \"x\"].shoe" }), InvalidFilter, "shoe"),
        (json!({ "op": "remove", "path": "members.value[value pr]" }), InvalidPath, "members.value"),
        (
            json!({ "op": "add", "path": "members", "value": [{ "display": "Ann" }] }),
            InvalidValue,
            "members[0].value",
        ),
        (json!({ "op": "add", "path": "members" }), InvalidValue, "value"),
        (json!({ "op": "add", "value": { "members": [A], "MEMBERS": [B] } }), InvalidSyntax, "given twice"),
        (json!({ "op": "remove" }), NoTarget, "path"),
        (json!({ "op": "move", "path": "members" }), InvalidSyntax, "op"),
    ] {
        assert_refused(patch(json!([operation])), scim_type, named);
    }
    let before = parsed(json!({})).unwrap().resource;
    let attributes = patch(json!([{ "op": "add", "path": "id", "value": "x" }])).unwrap().attributes.unwrap();
    assert_refused(attributes.apply(ResourceType::group(), &before), Mutability, "id");
}

#[test]
fn filters_evaluated_for_every_member_are_limited() {
    let many =
        |count: usize| json!(vec![json!({ "op": "remove", "path": "members[display eq \"x\"]" }); count]);
    assert!(patch(many(20)).is_ok());
    assert_eq!(patch(many(21)).unwrap_err().status, 413);
    let keys: serde_json::Map<String, Value> =
        (0..21).map(|n| (format!("members[display eq \"{n}\"]"), Value::Null)).collect();
    assert_eq!(patch(json!([{ "op": "replace", "value": keys }])).unwrap_err().status, 413);
}
