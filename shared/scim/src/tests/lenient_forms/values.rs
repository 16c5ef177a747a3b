//! Single values: in lists of one, of another type, without a time zone, empty.

use serde_json::json;

use super::*;
use crate::{Group, GroupPatch, parse_json};

#[test]
fn a_single_value_in_a_list_of_one_is_unwrapped() {
    for (key, path, value) in [
        ("title", "title".to_owned(), json!("Clerk")),
        ("active", "active".to_owned(), json!(false)),
        ("userName", "userName".to_owned(), json!("ann.lee@corp.example")),
        ("externalId", "externalId".to_owned(), json!("00u1")),
        ("name.familyName", "name.familyName".to_owned(), json!("Ray")),
        ("department", at("department"), json!("Sales")),
        ("remote", acme("remote"), json!(true)),
        ("hired", acme("hired"), json!("2026-01-02T03:04:05Z")),
    ] {
        for sent in [
            value.clone(),
            json!([value]),
            json!([{ "value": value }]),
            json!([{ "$ref": null, "value": value }]),
            json!([{ "Value": value, "type": null }]),
            json!({ "value": value }),
        ] {
            assert_taken(key, sent, &path, value.clone());
        }
        let two = json!([value, value]);
        assert_all_refused(key, two, "one value, not a list of 2");
        assert_all_refused(
            key,
            json!([{ "value": value }, { "value": value }]),
            "one value, not a list of 2",
        );
        assert_all_refused(key, json!([[value]]), path.rsplit(':').next().unwrap());
    }
    assert_taken("active", json!([{ "$ref": null, "value": "False" }]), "active", json!(false));
    let name = json!({ "familyName": "Ray", "givenName": "Bo" });
    assert_taken("name", json!([name]), "name", name.clone());
    assert_all_refused("name", json!([name, name]), "name must be an object");
    for manager in
        [json!(["7"]), json!([7]), json!([{ "value": ["7"] }]), json!([{ "$ref": null, "value": "7" }])]
    {
        assert_taken(&at("manager"), manager, &at("manager"), json!({ "value": "7" }));
    }
    assert_all_refused(&at("manager"), json!(["7", "8"]), "manager must be an object");
    for value in [json!(["h@corp.example"]), json!([{ "$ref": null, "value": "h@corp.example" }])] {
        for path in ["emails[type eq \"home\"].value", "emails[type eq \"home\"]"] {
            let none = parsed(json!({})).unwrap();
            let after = patched(&none, json!({ "op": "Add", "path": path, "value": value })).unwrap();
            let home = after.get("emails").unwrap()[1].clone();
            assert_eq!(home, json!({ "value": "h@corp.example", "type": "home" }), "{path} {value}");
        }
    }
}

#[test]
fn a_groups_name_in_a_list_of_one_is_unwrapped() {
    let group = ResourceType::group();
    let before = Group::parse(group, &json!({ "displayName": "Day shift" })).unwrap().resource;
    for sent in [json!(["Night shift"]), json!([{ "$ref": null, "value": "Night shift" }])] {
        let posted = Group::parse(group, &json!({ "displayName": sent })).unwrap().resource;
        assert_eq!(posted.display_name(), Some("Night shift"));
        for operation in [
            json!({ "op": "replace", "path": "displayName", "value": sent }),
            json!({ "op": "replace", "value": { "displayName": sent } }),
            json!({ "op": "replace", "path": GROUP_URN, "value": [{ "displayName": sent, "members": [] }] }),
        ] {
            let patch = GroupPatch::parse(group, &json!({ "Operations": [operation] })).unwrap();
            let after = patch.attributes.unwrap().apply(group, &before).unwrap();
            assert_eq!(
                (after.display_name(), after.get("members")),
                (Some("Night shift"), None),
                "{operation}"
            );
        }
    }
    let two = Group::parse(group, &json!({ "displayName": ["a", "b"] }));
    assert_refused(two, ScimType::InvalidValue, "displayName must be one value");
}

#[test]
fn values_of_another_type_are_converted_if_lossless() {
    let large = "123456789012345678901234567890";
    for (key, path, sent, kept) in [
        ("employeeNumber", at("employeeNumber"), json!(5), json!("5")),
        ("employeeNumber", at("employeeNumber"), json!(5.0), json!("5")),
        ("externalId", "externalId".to_owned(), json!(12345), json!("12345")),
        ("externalId", "externalId".to_owned(), json!(9_007_199_254_740_993_i64), json!("9007199254740993")),
        ("externalId", "externalId".to_owned(), json!(u64::MAX), json!("18446744073709551615")),
        ("userName", "userName".to_owned(), json!(123), json!("123")),
        ("title", "title".to_owned(), json!(-2.5), json!("-2.5")),
        ("name.middleName", "name.middleName".to_owned(), json!(7), json!("7")),
        (
            "emails[type eq \"work\"].display",
            "emails".to_owned(),
            json!(7),
            json!([
                { "value": "ann@corp.example", "type": "work", "primary": true, "display": "7" }
            ]),
        ),
        ("phoneNumbers", "phoneNumbers".to_owned(), json!([5_550_100]), json!([{ "value": "5550100" }])),
        ("level", acme("level"), json!("3"), json!(3)),
        ("level", acme("level"), json!(3.0), json!(3)),
        ("level", acme("level"), json!("3e0"), json!(3)),
        ("level", acme("level"), json!("9007199254740993"), json!(9_007_199_254_740_993_i64)),
        ("score", acme("score"), json!("2.5"), json!(2.5)),
        ("score", acme("score"), json!("3"), json!(3)),
        ("remote", acme("remote"), json!("True"), json!(true)),
    ] {
        assert_taken(key, sent, &path, kept);
    }
    for (key, sent, named) in [
        ("level", json!(1.5), "level must be an integer"),
        ("level", json!("1.5"), "level must be an integer"),
        ("level", json!(large), "level must be an integer"),
        ("level", json!("many"), "level must be an integer"),
        ("level", json!(true), "level must be an integer"),
        ("score", json!("0.1234567890123456789"), "score must be a number"),
        ("score", json!("2,5"), "score must be a number"),
        ("remote", json!(1), "remote must be a boolean"),
        ("title", json!(true), "title must be a string"),
        ("title", json!(1e300), "title must be a string"),
        ("profileUrl", json!(7), "profileUrl must be a string"),
        ("hired", json!(1_700_000_000), "hired must be a string"),
    ] {
        assert_all_refused(key, sent, named);
    }
    let body = body(json!({})).to_string();
    let body = format!("{},\"externalId\":{large}}}", body.strip_suffix('}').unwrap());
    let read = Resource::parse(ResourceType::user(), &parse_json(body.as_bytes()).unwrap()).unwrap();
    assert_eq!(read.external_id(), Some(large));
    let too_long = json!("x".repeat(501));
    assert_all_refused("userName", json!([too_long]), "500");
}

#[test]
fn a_date_time_without_a_zone_is_in_utc() {
    for (sent, kept) in [
        ("2019-12-20T04:40:00", "2019-12-20T04:40:00Z"),
        ("2019-12-20T04:40:00.25", "2019-12-20T04:40:00.25Z"),
        ("2019-12-20T04:40:00+02:00", "2019-12-20T04:40:00+02:00"),
    ] {
        assert_taken("hired", json!(sent), &acme("hired"), json!(kept));
        assert_taken(&acme("days"), json!([sent, { "value": sent }]), &acme("days"), json!([kept]));
    }
    for sent in ["2019-12-20", "2019-12-20T04:40", "04:40:00", "2019-12-20T25:00:00", "today"] {
        assert_all_refused("hired", json!(sent), "hired must be a date and time");
    }
}

#[test]
fn an_empty_object_clears_like_every_other_empty_form() {
    let manager = at("manager");
    let before = parsed(json!({
        (URN): { "department": "Sales", "manager": { "value": "7", "displayName": "Bo Ek", "$ref": "../Users/7" } },
        (ACME): { "seat": { "value": "A1", "floor": 2 } },
    }))
    .unwrap();
    for empty in [
        json!(null),
        json!(""),
        json!([]),
        json!({}),
        json!([{}]),
        json!([null]),
        json!([""]),
        json!({ "value": "" }),
        json!({ "value": null }),
        json!({ "$ref": null, "value": [] }),
        json!([{ "value": "" }]),
        json!({ "value": null, "displayName": "" }),
    ] {
        for op in ["add", "replace"] {
            for (operation, place) in [
                (json!({ "op": op, "path": manager, "value": empty }), &manager),
                (json!({ "op": op, "value": { (manager.clone()): empty } }), &manager),
                (json!({ "op": op, "value": { (URN): { "manager": empty } } }), &manager),
                (json!({ "op": op, "value": { "manager": empty } }), &manager),
                (json!({ "op": op, "path": acme("seat"), "value": empty }), &acme("seat")),
            ] {
                let after = patched(&before, operation.clone()).unwrap();
                assert_eq!(after.get(place), None, "{operation}");
                assert_eq!(after.department(), Some("Sales"), "{operation}");
            }
        }
        let posted = parsed(json!({ (URN): { "department": "Sales", "manager": empty } })).unwrap();
        assert_eq!(posted, parsed(json!({ (URN): { "department": "Sales" } })).unwrap(), "{empty}");
    }
    // Clearing a part clears only that part.
    let part =
        patched(&before, json!({ "op": "replace", "path": manager, "value": { "displayName": null } }))
            .unwrap();
    assert_eq!(part.get(&manager), Some(&json!({ "value": "7", "$ref": "../Users/7" })));
    let all = patched(&before, json!({ "op": "replace", "path": URN, "value": {} })).unwrap();
    assert_eq!((all.members().get(URN), all.get(&acme("seat.floor"))), (None, Some(&json!(2))));
    // A user's required attributes cannot be cleared in any form.
    for empty in [json!(null), json!(""), json!([]), json!({})] {
        let nameless = patched(&before, json!({ "op": "replace", "path": "name", "value": empty }));
        assert_refused(nameless, ScimType::InvalidValue, "name.familyName is required");
    }
}

#[test]
fn a_deactivation_is_accepted_in_every_form() {
    let before = parsed(json!({ "title": "Clerk", (URN): { "department": "Sales" } })).unwrap();
    for leave in [
        json!({ "op": "Replace", "path": "active", "value": [{ "$ref": null, "value": "False" }] }),
        json!({ "op": "add", "path": "urn:scim:schemas:core:1.0:active", "value": ["false"] }),
        json!({ "op": "replace", "value": [{ "active": [false], "department": true }] }),
        json!({ "op": "replace", "value": { (USER_URN): [{ "active": { "value": "False" }, "title": ["a", "b"] }] } }),
    ] {
        let fails = json!({ "op": "remove", "path": "emails" });
        let patch = Patch::parse(&json!({ "Operations": [fails, leave] })).unwrap();
        let after = crate::leaver::patched(&patch, &types().user, &before).unwrap().resource;
        assert_eq!(after, before.clone().with_active(false), "{leave}");
    }
    let put =
        body(json!({ "active": [{ "value": "False" }], "emails": [], "department": "Art", "level": 1.5 }));
    let (sent, misfit) = crate::leaver::read(&types().user, &put).unwrap();
    let after = crate::leaver::put(sent, &types().user, &before, misfit.as_ref()).unwrap().resource;
    assert_eq!((after.active(), after.department()), (Some(false), Some("Art")));
    assert_eq!(after.get("emails"), before.get("emails"));
}
