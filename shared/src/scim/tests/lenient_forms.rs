//! Values, names and URNs in forms that clients send and the RFCs do not have: every way to write an attribute takes each of
//! them alike, and what is kept is the RFC's form.

use serde_json::json;

use super::*;
use crate::scim::schema::Schema;
use crate::scim::{Filter, Group, GroupPatch, Projection, Record, Types, parse_json};

const ACME: &str = "urn:example:params:scim:schemas:extension:acme:2.0:User";
/// The URNs that stand for the enterprise extension's.
const DRAFTS: [&str; 6] = [
    "urn:scim:schemas:extension:enterprise:1.0",
    "urn:scim:schemas:extension:enterprise:2.0",
    "urn:scim:schemas:extension:enterprise:2.0:User",
    "urn:ietf:params:scim:schemas:extension:enterprise:1.0",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0",
    "URN:SCIM:Schemas:Extension:Enterprise:2.0:USER",
];

fn types() -> Types {
    let schema =
        |id: &str, attributes: Value| Schema::parse(&json!({ "id": id, "attributes": attributes })).unwrap();
    let acme = json!([
        { "name": "tags", "multiValued": true },
        { "name": "codes", "multiValued": true, "caseExact": true },
        { "name": "levels", "type": "integer", "multiValued": true },
        { "name": "level", "type": "integer" },
        { "name": "score", "type": "decimal" },
        { "name": "remote", "type": "boolean" },
        { "name": "hired", "type": "dateTime" },
        { "name": "days", "type": "dateTime", "multiValued": true },
        { "name": "shared" },
        { "name": "division" },
        { "name": "seat", "type": "complex", "subAttributes": [{ "name": "value" }, { "name": "floor", "type": "integer" }] },
    ]);
    let other = json!([{ "name": "shared" }]);
    let other_urn = "urn:example:params:scim:schemas:extension:other:2.0:User";
    Types::with([("User", schema(ACME, acme)), ("User", schema(other_urn, other))]).unwrap()
}

fn parsed(members: Value) -> Result<Resource, Error> {
    Resource::parse(&types().user, &body(members))
}

fn patched(before: &Resource, operation: Value) -> Result<Resource, Error> {
    let patch = Patch::parse(&json!({ "Operations": [operation] }))?.without_unkept(&types().user);
    // As the worker reads it.
    let travelled: Patch = serde_json::from_str(&serde_json::to_string(&patch).unwrap()).unwrap();
    assert_eq!(travelled, patch);
    travelled.apply(&types().user, before)
}

/// What comes of an attribute written by POST or PUT, and by PATCH with and without a path.
fn written(key: &str, sent: &Value) -> Vec<Result<Resource, Error>> {
    let none = parsed(json!({})).unwrap();
    let mut all = vec![parsed(json!({ key: sent }))];
    for op in ["add", "Replace"] {
        all.push(patched(&none, json!({ "op": op, "path": key, "value": sent })));
        all.push(patched(&none, json!({ "op": op, "value": { key: sent } })));
        all.push(patched(&none, json!({ "op": op, "value": [{ key: sent }] })));
    }
    all
}

#[track_caller]
fn assert_taken(key: &str, sent: Value, path: &str, expected: Value) {
    for after in written(key, &sent) {
        let after = after.unwrap_or_else(|error| panic!("{key} = {sent}: {error}"));
        let kept = after.get(path).cloned().unwrap_or_default();
        assert_eq!(kept, expected, "{key} = {sent}");
        let urns =
            if path.starts_with(URN) { json!([USER_URN, URN]) } else { after.members()["schemas"].clone() };
        assert_eq!(after.members()["schemas"], urns, "{key} = {sent}");
    }
}

#[track_caller]
fn assert_all_refused(key: &str, sent: Value, named: &str) {
    for after in written(key, &sent) {
        assert_refused(after, ScimType::InvalidValue, named);
    }
}

fn at(attribute: &str) -> String {
    format!("{URN}:{attribute}")
}

fn acme(attribute: &str) -> String {
    format!("{ACME}:{attribute}")
}

#[test]
fn draft_urns_lead_to_the_enterprise_extension() {
    for draft in DRAFTS {
        assert_taken(draft, json!({ "department": "Sales" }), &at("department"), json!("Sales"));
        assert_taken(draft, json!([{ "Department": ["Sales"] }]), &at("department"), json!("Sales"));
        assert_taken(draft, json!({ "manager": "7" }), &at("manager"), json!({ "value": "7" }));
        for separator in [":", "."] {
            let department = format!("{draft}{separator}department");
            assert_taken(&department, json!("Sales"), &at("department"), json!("Sales"));
            assert_taken(
                &format!("{draft}{separator}manager.value"),
                json!("7"),
                &at("manager.value"),
                json!("7"),
            );
        }
        let before = parsed(json!({ (URN): { "department": "Sales", "division": "West" } })).unwrap();
        let after =
            patched(&before, json!({ "op": "remove", "path": format!("{draft}:department") })).unwrap();
        assert_eq!((after.department(), after.division()), (None, Some("West")), "{draft}");
        let after = patched(&before, json!({ "op": "remove", "path": draft })).unwrap();
        assert_eq!(after.members().get(URN), None, "{draft}");
        let sent = json!({ "schemas": ["urn:scim:schemas:core:1.0", draft], (draft): { "costCenter": "1" } });
        assert_eq!(parsed(sent).unwrap().cost_center(), Some("1"), "{draft}");
    }
}

#[test]
fn a_draft_urn_beside_the_rfcs_adds_to_it_and_gives_way() {
    for draft in DRAFTS {
        let value = json!({
            (draft): { "department": "Draft", "costCenter": "1" }, (URN): { "department": "Sales", "division": "West" },
            "department": "Plain", "organization": "Acme",
        });
        let none = parsed(json!({})).unwrap();
        let expected =
            json!({ "department": "Sales", "division": "West", "costCenter": "1", "organization": "Acme" });
        for after in [parsed(value.clone()), patched(&none, json!({ "op": "add", "value": value }))] {
            assert_eq!(after.unwrap().members().get(URN), Some(&expected), "{draft}");
        }
    }
}

#[test]
fn draft_urns_of_the_core_schema_lead_to_it() {
    for draft in ["urn:scim:schemas:core:1.0", "urn:scim:schemas:core:2.0", "urn:scim:schemas:core:2.0:User"]
    {
        assert_taken(draft, json!({ "title": "Clerk" }), "title", json!("Clerk"));
        assert_taken(&format!("{draft}:title"), json!("Clerk"), "title", json!("Clerk"));
        let phones = json!([{ "value": "1", "type": "home" }]);
        assert_taken(
            &format!("{draft}:phoneNumbers[type eq \"home\"].value"),
            json!("1"),
            "phoneNumbers",
            phones,
        );
        let schemas = json!({ "schemas": [draft] });
        assert!(parsed(schemas).is_ok(), "{draft}");
    }
    assert_refused(parsed(json!({ "schemas": [DRAFTS[0]] })), ScimType::InvalidValue, "schemas");
    let group = json!({ "schemas": ["urn:scim:schemas:core:1.0"], "urn:scim:schemas:core:1.0:displayName": "Night shift",
        "urn:scim:schemas:core:2.0:Group": [{ "members": [] }] });
    let group = Group::parse(ResourceType::group(), &group).unwrap();
    assert_eq!(group.resource.get("displayName"), Some(&json!("Night shift")));
    assert_eq!(group.resource.get("members"), None);
}

#[test]
fn extension_attributes_are_found_without_their_urn_where_one_has_them() {
    for name in ["department", "costCenter", "employeeNumber", "organization", "DEPARTMENT"] {
        let canonical = if name == "DEPARTMENT" { "department" } else { name };
        assert_taken(name, json!("x"), &at(canonical), json!("x"));
    }
    assert_taken("manager", json!("7"), &at("manager"), json!({ "value": "7" }));
    assert_taken("manager", json!([{ "$ref": null, "value": "7" }]), &at("manager"), json!({ "value": "7" }));
    assert_taken("manager.value", json!("7"), &at("manager"), json!({ "value": "7" }));
    assert_taken("manager.displayName", json!("Bo Ek"), &at("manager"), json!({ "displayName": "Bo Ek" }));
    assert_taken("level", json!("3"), &acme("level"), json!(3));
    assert_taken("seat.floor", json!("3"), &acme("seat"), json!({ "floor": 3 }));
    let before = parsed(json!({ (URN): { "department": "Sales", "manager": "7" } })).unwrap();
    let after = patched(&before, json!({ "op": "remove", "path": "department" })).unwrap();
    assert_eq!(after.department(), None);
    let after = patched(&before, json!({ "op": "remove", "path": "manager" })).unwrap();
    assert_eq!(after.get(&at("manager")), None);
}

#[test]
fn names_that_the_core_schema_or_several_extensions_have_are_not_taken_for_an_extensions() {
    for name in ["shared", "division", "name.department", "title.value", "nothing"] {
        let sent = json!({ name: "x", "title": "Clerk" });
        assert_eq!(parsed(sent).unwrap(), parsed(json!({ "title": "Clerk" })).unwrap(), "{name}");
        let none = parsed(json!({})).unwrap();
        let by_path = patched(&none, json!({ "op": "add", "path": name, "value": "x" }));
        assert!(by_path.is_err() || by_path == Ok(none), "{name}");
    }
    assert_taken("title", json!("Clerk"), "title", json!("Clerk"));
}

#[test]
fn a_single_value_in_a_list_of_one_is_that_value() {
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
fn a_groups_name_in_a_list_of_one_is_that_name() {
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
fn plain_lists_are_taken_in_the_form_of_complex_ones() {
    for sent in [
        json!(["1", "2"]),
        json!([{ "value": "1" }, { "value": "2" }]),
        json!([{ "$ref": null, "value": "1" }, "2", { "value": null }, {}]),
        json!([1, { "VALUE": 2 }]),
    ] {
        for key in [acme("tags"), "tags".to_owned(), acme("tags.value")] {
            assert_taken(&key, sent.clone(), &acme("tags"), json!(["1", "2"]));
        }
    }
    assert_taken(&acme("tags"), json!({ "value": "1" }), &acme("tags"), json!(["1"]));
    assert_taken(&acme("levels"), json!([{ "value": "1" }, 2.0]), &acme("levels"), json!([1, 2]));
    assert_all_refused(&acme("tags"), json!([{ "type": "x" }]), "tags must be a string");
    assert_all_refused(&acme("tags"), json!([["1"]]), "tags must be a string");

    let before = parsed(json!({ (ACME): { "tags": ["1", "2", "3"] } })).unwrap();
    for (operation, tags) in [
        (
            json!({ "op": "add", "path": acme("tags"), "value": [{ "value": "4" }] }),
            json!(["1", "2", "3", "4"]),
        ),
        (json!({ "op": "add", "path": "tags", "value": [{ "value": "3" }] }), json!(["1", "2", "3"])),
        (json!({ "op": "replace", "path": "tags", "value": [{ "value": "4" }] }), json!(["4"])),
        (
            json!({ "op": "remove", "path": "tags", "value": [{ "value": "2" }, { "value": "9" }] }),
            json!(["1", "3"]),
        ),
        (json!({ "op": "Remove", "path": acme("tags"), "value": "2" }), json!(["1", "3"])),
        (json!({ "op": "remove", "path": "tags[value eq \"2\"]" }), json!(["1", "3"])),
        (json!({ "op": "remove", "path": "tags[value eq 2]" }), json!(["1", "3"])),
        (json!({ "op": "remove", "path": "tags[value eq \"1\" or value sw \"3\"].value" }), json!(["2"])),
        (json!({ "op": "remove", "path": "tags[value eq \"9\"]" }), json!(["1", "2", "3"])),
        (json!({ "op": "replace", "path": "tags[value eq \"2\"]", "value": "4" }), json!(["1", "4", "3"])),
        (
            json!({ "op": "replace", "path": "tags[value eq \"2\"].value", "value": [{ "value": "4" }] }),
            json!(["1", "4", "3"]),
        ),
        (json!({ "op": "replace", "path": "tags[value eq \"2\"]", "value": "3" }), json!(["1", "3"])),
        (json!({ "op": "replace", "path": "tags[value eq \"2\"]", "value": null }), json!(["1", "3"])),
        (json!({ "op": "add", "path": "tags[value eq \"4\"]", "value": "4" }), json!(["1", "2", "3", "4"])),
        (json!({ "op": "add", "value": { "tags[value eq \"4\"].value": "4" } }), json!(["1", "2", "3", "4"])),
        (json!({ "op": "remove", "path": "tags" }), Value::Null),
    ] {
        let after =
            patched(&before, operation.clone()).unwrap_or_else(|error| panic!("{operation}: {error}"));
        assert_eq!(after.get(&acme("tags")).cloned().unwrap_or_default(), tags, "{operation}");
    }
    for (path, scim_type) in [
        ("tags[value eq \"9\"]", ScimType::NoTarget),
        ("tags[type eq \"9\"]", ScimType::InvalidFilter),
        ("level[value eq \"9\"]", ScimType::InvalidPath),
    ] {
        let after = patched(&before, json!({ "op": "replace", "path": path, "value": "4" }));
        assert_refused(after, scim_type, "");
    }
}

#[test]
fn values_of_another_type_are_converted_where_nothing_is_lost() {
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
fn a_date_and_time_without_a_zone_is_in_utc() {
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
fn an_empty_object_clears_as_every_other_empty_form() {
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
    // A part that is cleared is that part alone.
    let part =
        patched(&before, json!({ "op": "replace", "path": manager, "value": { "displayName": null } }))
            .unwrap();
    assert_eq!(part.get(&manager), Some(&json!({ "value": "7", "$ref": "../Users/7" })));
    let all = patched(&before, json!({ "op": "replace", "path": URN, "value": {} })).unwrap();
    assert_eq!((all.members().get(URN), all.get(&acme("seat.floor"))), (None, Some(&json!(2))));
    // What a person must have cannot be cleared in any form.
    for empty in [json!(null), json!(""), json!([]), json!({})] {
        let nameless = patched(&before, json!({ "op": "replace", "path": "name", "value": empty }));
        assert_refused(nameless, ScimType::InvalidValue, "name.familyName is required");
    }
}

#[test]
fn a_leaver_leaves_in_whatever_form_it_is_said() {
    let before = parsed(json!({ "title": "Clerk", (URN): { "department": "Sales" } })).unwrap();
    for leave in [
        json!({ "op": "Replace", "path": "active", "value": [{ "$ref": null, "value": "False" }] }),
        json!({ "op": "add", "path": "urn:scim:schemas:core:1.0:active", "value": ["false"] }),
        json!({ "op": "replace", "value": [{ "active": [false], "department": true }] }),
        json!({ "op": "replace", "value": { (USER_URN): [{ "active": { "value": "False" }, "title": ["a", "b"] }] } }),
    ] {
        let fails = json!({ "op": "remove", "path": "emails" });
        let patch = Patch::parse(&json!({ "Operations": [fails, leave] })).unwrap();
        let after = patch.applied(&types().user, &before).unwrap().resource;
        assert_eq!(after, before.clone().with_active(false), "{leave}");
    }
    let put =
        body(json!({ "active": [{ "value": "False" }], "emails": [], "department": "Art", "level": 1.5 }));
    let (sent, misfit) = Resource::read(&types().user, &put).unwrap();
    let after = sent.put(&types().user, &before, misfit.as_ref()).unwrap().resource;
    assert_eq!((after.active(), after.department()), (Some(false), Some("Art")));
    assert_eq!(after.get("emails"), before.get("emails"));
}

#[test]
fn of_several_primary_values_the_first_stays_one() {
    let email = |value: &str, primary: Value| json!({ "value": value, "primary": primary });
    let sent = json!([
        email("a@corp.example", json!(false)),
        email("b@corp.example", json!(true)),
        email("c@corp.example", json!("True"))
    ]);
    let kept = json!([
        email("a@corp.example", json!(false)),
        email("b@corp.example", json!(true)),
        email("c@corp.example", json!(false))
    ]);
    assert_eq!(parsed(json!({ "emails": sent })).unwrap().get("emails"), Some(&kept));
    let before = parsed(json!({})).unwrap();
    for operation in [
        json!({ "op": "replace", "path": "emails", "value": sent }),
        json!({ "op": "replace", "value": { "emails": sent } }),
    ] {
        assert_eq!(patched(&before, operation).unwrap().get("emails"), Some(&kept));
    }
    // An added one takes it from the one that is there; of two added ones the first does.
    for value in [
        json!({ "emails": sent }),
        json!({ "emails": [sent[1], sent[0], { "value": "ann@corp.example", "type": "work", "primary": true }] }),
    ] {
        let after = patched(&before, json!({ "op": "add", "value": value })).unwrap();
        assert_eq!(after.primary_email(), Some("b@corp.example"));
        let emails = after.get("emails").unwrap().as_array().unwrap();
        assert_eq!(emails.iter().filter(|email| email["primary"] == true).count(), 1);
    }
    let everywhere = json!({ "op": "replace", "path": "emails.primary", "value": true });
    let three = parsed(json!({ "emails": sent })).unwrap();
    assert_eq!(patched(&three, everywhere).unwrap().primary_email(), Some("a@corp.example"));
}

#[test]
fn the_same_value_of_the_same_type_is_there_once() {
    let sent = json!([
        { "value": "1", "type": "work", "display": "One" },
        { "value": "2", "type": "work" },
        { "value": "1", "type": "Work", "primary": true, "display": "Uno" },
        { "value": "1", "type": "home" },
    ]);
    let kept = json!([
        { "value": "1", "type": "work", "display": "One", "primary": true },
        { "value": "2", "type": "work" },
        { "value": "1", "type": "home" },
    ]);
    assert_taken("phoneNumbers", sent.clone(), "phoneNumbers", kept.clone());
    let before = parsed(json!({ "phoneNumbers": kept })).unwrap();
    let again = patched(&before, json!({ "op": "add", "path": "phoneNumbers", "value": sent })).unwrap();
    assert_eq!(again.get("phoneNumbers").unwrap().as_array().unwrap().len(), 3);
    let retyped = patched(
        &before,
        json!({ "op": "replace", "path": "phoneNumbers[type eq \"home\"].type", "value": "work" }),
    );
    assert_eq!(retyped.unwrap().get("phoneNumbers").unwrap().as_array().unwrap().len(), 2);
    let oslo = json!({ "locality": "Oslo", "type": "home" });
    assert_taken(
        "addresses",
        json!([oslo, oslo, { "locality": "OSLO", "type": "home", "primary": true }]),
        "addresses",
        json!([{ "locality": "Oslo", "type": "home", "primary": true }]),
    );
    let two = json!([oslo, { "locality": "Oslo", "type": "work" }]);
    assert_taken("addresses", two.clone(), "addresses", two);
    assert_taken(&acme("tags"), json!(["a", "b", "A", { "value": "b" }]), &acme("tags"), json!(["a", "b"]));
    assert_taken(&acme("codes"), json!(["a", "A", "a"]), &acme("codes"), json!(["a", "A"]));
    assert_taken(&acme("levels"), json!([1, "1", 1.0, 2]), &acme("levels"), json!([1, 2]));
    assert_taken(
        &acme("days"),
        json!(["2026-01-02T03:04:05", "2026-01-02T04:04:05+01:00"]),
        &acme("days"),
        json!(["2026-01-02T03:04:05Z"]),
    );
}

#[test]
fn filters_projections_and_paths_understand_the_same_forms() {
    let user = parsed(json!({
        "externalId": "12345",
        (URN): { "department": "Sales", "employeeNumber": "5", "manager": "7" },
        (ACME): { "tags": ["1", "2"], "level": 3, "score": 2.5, "hired": "2019-12-20T04:40:00Z", "remote": true },
    }))
    .unwrap();
    let shown = serde_json::to_value(&user).unwrap();
    let matches = |filter: &str| Filter::parse(filter)?.matches(&types().user, &shown);
    for (filter, expected) in [
        ("department eq \"sales\"", true),
        ("urn:scim:schemas:extension:enterprise:2.0:department eq \"sales\"", true),
        ("urn:scim:schemas:extension:enterprise:1.0:manager.value eq \"7\"", true),
        ("manager eq 7", true),
        ("manager.displayName pr", false),
        ("urn:scim:schemas:core:1.0:userName sw \"ann\"", true),
        ("employeeNumber eq 5", true),
        ("employeeNumber eq 5.0", true),
        ("employeeNumber ne 5", false),
        ("externalId eq 12345", true),
        ("externalId eq 123456789012345678901234567890", false),
        ("level eq \"3\"", true),
        ("level gt \"2.5\"", true),
        ("level lt \"123456789012345678901234567890\"", true),
        ("score eq \"2.50\"", true),
        ("remote eq \"True\"", true),
        ("hired eq \"2019-12-20T04:40:00\"", true),
        ("hired gt \"2019-12-20T04:40:00.5\"", false),
        ("tags eq 1", true),
        ("tags.value eq \"1\"", true),
        ("tags[value eq \"1\"]", true),
        ("tags[value eq \"1\" and value eq \"2\"]", false),
        ("tags[value sw \"1\" or value pr].value eq \"2\"", true),
        ("not (tags[value eq \"9\"])", true),
        ("schemas[value eq \"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User\"]", true),
    ] {
        assert_eq!(matches(filter), Ok(expected), "{filter}");
    }
    for filter in [
        "hired eq \"2019-12-20\"",
        "level eq \"many\"",
        "remote eq 1",
        "title eq true",
        "shared eq \"x\"",
        "title[value eq \"x\"]",
        "tags[type eq \"1\"]",
        "tags.type eq \"1\"",
    ] {
        assert_refused(matches(filter), ScimType::InvalidFilter, "filter");
    }
    let (created, last_modified) = (time::OffsetDateTime::UNIX_EPOCH, time::OffsetDateTime::UNIX_EPOCH);
    let record = Record { id: uuid::Uuid::nil(), resource: user, created, last_modified, version: 1 };
    for name in ["department", "urn:scim:schemas:extension:enterprise:2.0:department"] {
        let projection = Projection::parse(Some(name), None).unwrap();
        let shown = record.represent(&types().user, "", None, &projection);
        assert_eq!(shown[URN], json!({ "department": "Sales" }), "{name}");
        let projection = Projection::parse(None, Some(name)).unwrap();
        let shown = record.represent(&types().user, "", None, &projection);
        assert_eq!(
            (shown[URN].get("department"), &shown[URN]["employeeNumber"]),
            (None, &json!("5")),
            "{name}"
        );
    }
}
