//! Names and URNs: draft URNs and omitted URNs in bodies, paths, filters and projections.

use serde_json::json;

use super::*;
use crate::{Filter, Group, Projection, Record};

/// Draft URNs of the enterprise extension.
const DRAFTS: [&str; 6] = [
    "urn:scim:schemas:extension:enterprise:1.0",
    "urn:scim:schemas:extension:enterprise:2.0",
    "urn:scim:schemas:extension:enterprise:2.0:User",
    "urn:ietf:params:scim:schemas:extension:enterprise:1.0",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0",
    "URN:SCIM:Schemas:Extension:Enterprise:2.0:USER",
];

#[test]
fn draft_urns_resolve_to_the_enterprise_extension() {
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
fn values_under_a_draft_urn_are_merged_and_the_rfcs_urn_takes_precedence() {
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
fn draft_urns_resolve_to_the_core_schema() {
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
fn unqualified_extension_attributes_resolve_if_unambiguous() {
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
fn unqualified_core_and_ambiguous_names_do_not_resolve_to_an_extension() {
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
fn filters_projections_and_paths_accept_the_same_forms() {
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
