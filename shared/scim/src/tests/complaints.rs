//! Complaints of users of other SCIM servers, one test each, with its row number in the list of lessons. Rows about
//! members are in `groups.rs`, rows that concern more than this module in the end-to-end tests.

use serde_json::json;

use super::*;
use crate::{Filter, list_response, user_name_key};

#[test]
fn row_01_booleans_sent_as_strings_are_stored_as_booleans() {
    for (sent, stored) in [(json!("False"), false), (json!("true"), true), (json!(false), false)] {
        assert_eq!(resource(json!({ "active": sent })).active(), Some(stored));
        let by_path =
            patch(&resource(json!({})), json!([{ "op": "replace", "path": "active", "value": sent }]));
        assert_eq!(by_path.active(), Some(stored));
        let by_key = patch(&resource(json!({})), json!([{ "op": "Replace", "value": { "active": sent } }]));
        assert_eq!(by_key.active(), Some(stored));
    }
    let parsed = resource(json!({ "emails": [{ "value": "a@b.example", "primary": "True" }] }));
    assert_eq!(parsed.get("emails"), Some(&json!([{ "value": "a@b.example", "primary": true }])));
}

#[test]
fn row_02_operations_are_case_insensitive_and_add_replaces_a_single_value() {
    let before = resource(json!({ "title": "Clerk" }));
    for op in ["add", "Add", "ADD", "replace", "Replace"] {
        let after = patch(&before, json!([{ "op": op, "path": "title", "value": "Judge" }]));
        assert_eq!(after.title(), Some("Judge"));
    }
    for op in ["remove", "Remove"] {
        assert_eq!(patch(&before, json!([{ "op": op, "path": "title" }])).title(), None);
    }
}

#[test]
fn row_03_every_key_of_a_value_without_a_path_is_a_path() {
    let after = patch(
        &resource(json!({})),
        json!([{ "op": "Replace", "value": {
            "displayName": "Ann B. Lee",
            "name.middleName": "B.",
            (format!("{URN}:department")): "Sales",
            (format!("{URN}.division")): "West",
            (URN): { "costCenter": "4130", "manager.displayName": "Bo Ek" },
            "emails[type eq \"work\"].value": "lee@corp.example",
            "phoneNumbers[type eq \"mobile\"].value": "+1 555 0100",
        } }]),
    );
    assert_eq!(after.display_name(), Some("Ann B. Lee"));
    assert_eq!(after.text("name.middleName"), Some("B."));
    assert_eq!(after.given_name(), Some("Ann"));
    assert_eq!((after.department(), after.division()), (Some("Sales"), Some("West")));
    assert_eq!((after.cost_center(), after.manager_name()), (Some("4130"), Some("Bo Ek")));
    assert_eq!(after.primary_email(), Some("lee@corp.example"));
    assert_eq!(after.get("phoneNumbers"), Some(&json!([{ "type": "mobile", "value": "+1 555 0100" }])));
}

#[test]
fn row_04_a_remove_with_a_list_removes_only_the_listed_values() {
    let before = resource(json!({ "entitlements": [{ "value": "a" }, { "value": "b" }, { "value": "c" }] }));
    for listed in [json!([{ "value": "b" }]), json!({ "value": "b" }), json!(["b"]), json!("b")] {
        let after = patch(&before, json!([{ "op": "Remove", "path": "entitlements", "value": listed }]));
        assert_eq!(after.get("entitlements"), Some(&json!([{ "value": "a" }, { "value": "c" }])));
    }
    let none = patch(&before, json!([{ "op": "remove", "path": "entitlements", "value": [] }]));
    assert_eq!(none, before);
    let all = patch(&before, json!([{ "op": "remove", "path": "entitlements" }]));
    assert_eq!(all.get("entitlements"), None);
}

#[test]
fn row_05_a_missing_value_that_the_filter_describes_is_created() {
    for op in ["add", "replace"] {
        let path = "emails[type eq \"home\" and primary eq true].value";
        let after =
            patch(&resource(json!({})), json!([{ "op": op, "path": path, "value": "ann@home.example" }]));
        let expected = json!([
            { "value": "ann@corp.example", "type": "work", "primary": false },
            { "value": "ann@home.example", "type": "home", "primary": true },
        ]);
        assert_eq!(after.get("emails"), Some(&expected));
    }
}

#[test]
fn row_06_a_partial_complex_value_keeps_the_other_sub_attributes() {
    let before = resource(
        json!({ (URN): { "department": "Sales", "manager": { "value": "7", "displayName": "Bo Ek" } } }),
    );
    let operations = [
        json!([{ "op": "replace", "path": "name", "value": { "familyName": "Ray" } }]),
        json!([{ "op": "replace", "value": { "name": { "familyName": "Ray" } } }]),
        json!([{ "op": "add", "path": "name", "value": { "familyName": "Ray" } }]),
        json!([{ "op": "replace", "path": "name.familyName", "value": "Ray" }]),
    ];
    for operations in operations {
        let after = patch(&before, operations);
        assert_eq!((after.given_name(), after.family_name()), (Some("Ann"), Some("Ray")));
    }
    for operations in [
        json!([{ "op": "replace", "path": URN, "value": { "manager": { "value": "8" }, "division": "West" } }]),
        json!([{ "op": "replace", "value": { (URN): { "manager": { "value": "8" }, "division": "West" } } }]),
    ] {
        let after = patch(&before, operations);
        assert_eq!((after.department(), after.division()), (Some("Sales"), Some("West")));
        let manager = json!({ "value": "8", "displayName": "Bo Ek" });
        assert_eq!(after.get(&format!("{URN}:manager")), Some(&manager));
    }
}

#[test]
fn row_07_every_form_of_an_extension_path_is_accepted() {
    let before = resource(json!({}));
    for (path, value) in [
        (format!("{URN}:manager"), json!("7")),
        (format!("{URN}.manager"), json!({ "value": "7" })),
        (format!("{URN}:manager.value"), json!("7")),
        (format!("{URN}.manager.value"), json!("7")),
        (URN.to_owned(), json!({ "manager": "7" })),
        (URN.to_lowercase(), json!({ "MANAGER": { "VALUE": "7" } })),
    ] {
        let after = patch(&before, json!([{ "op": "add", "path": path, "value": value }]));
        assert_eq!(after.manager_name(), Some("7"), "{path}");
        assert_eq!(after.get("schemas"), Some(&json!([USER_URN, URN])));
        let removed = patch(&after, json!([{ "op": "remove", "path": path }]));
        assert_eq!(removed, before, "{path}");
    }
}

/// As in Entra ID, a bare value replaces the whole manager, so that the old manager's name does not remain.
#[test]
fn row_07_a_manager_as_a_string_replaces_the_old_one_and_an_object_is_merged() {
    let with = |manager: Value| resource(json!({ (URN): { "department": "Sales", "manager": manager } }));
    let before = with(json!({ "value": "7", "displayName": "Bo Ek", "$ref": "../Users/7" }));
    let manager = format!("{URN}:manager");
    for op in ["add", "Replace"] {
        for operation in [
            json!({ "op": op, "path": manager, "value": "8" }),
            json!({ "op": op, "path": format!("{URN}.manager"), "value": "8" }),
            json!({ "op": op, "path": URN, "value": { "manager": "8" } }),
            json!({ "op": op, "value": { (manager.clone()): "8" } }),
            json!({ "op": op, "value": { (format!("{URN}.manager")): "8" } }),
            json!({ "op": op, "value": { (URN): { "manager": "8" } } }),
        ] {
            assert_eq!(patch(&before, json!([operation])), with(json!({ "value": "8" })), "{operation}");
        }
        for operation in [
            json!({ "op": op, "path": manager, "value": { "value": "8" } }),
            json!({ "op": op, "path": format!("{manager}.value"), "value": "8" }),
            json!({ "op": op, "value": { (manager.clone()): { "value": "8" } } }),
        ] {
            let after = with(json!({ "value": "8", "displayName": "Bo Ek", "$ref": "../Users/7" }));
            assert_eq!(patch(&before, json!([operation])), after, "{operation}");
        }
        let cleared = patch(&before, json!([{ "op": op, "path": manager, "value": "" }]));
        assert_eq!(cleared, resource(json!({ (URN): { "department": "Sales" } })));
    }
}

#[test]
fn row_13_retries_change_nothing_and_succeed() {
    let before = resource(json!({ "addresses": [{ "locality": "Oslo", "type": "home", "primary": true }] }));
    for operation in [
        json!({ "op": "add", "path": "emails", "value": [{ "value": "ann@corp.example", "type": "work", "primary": true }] }),
        json!({ "op": "add", "path": "emails", "value": [{ "value": "ann@corp.example" }] }),
        json!({ "op": "add", "path": "addresses", "value": { "locality": "Oslo", "type": "home", "primary": true } }),
        json!({ "op": "add", "path": "userName", "value": "ann@corp.example" }),
        json!({ "op": "remove", "path": "title" }),
        json!({ "op": "remove", "path": "name.middleName" }),
        json!({ "op": "remove", "path": "phoneNumbers" }),
        json!({ "op": "remove", "path": "emails[type eq \"home\"]" }),
        json!({ "op": "remove", "path": "emails[type eq \"home\"].value" }),
        json!({ "op": "remove", "path": format!("{URN}:manager") }),
        json!({ "op": "remove", "path": URN }),
    ] {
        assert_eq!(patch(&before, json!([operation])), before, "{operation}");
    }
}

#[test]
fn row_18_null_and_empty_clear_an_attribute_and_absent_keeps_it() {
    let before = resource(json!({
        "title": "Clerk",
        "phoneNumbers": [{ "value": "1" }],
        "name": { "givenName": "Ann", "familyName": "Lee", "middleName": "B." },
    }));
    for empty in [json!(null), json!(""), json!([])] {
        let value = json!({ "title": empty, "phoneNumbers": empty, "name": { "middleName": empty } });
        let after = patch(&before, json!([{ "op": "replace", "value": value }]));
        assert_eq!(after, resource(json!({})));
        let operations = ["title", "phoneNumbers", "name.middleName"]
            .map(|path| json!({ "op": "replace", "path": path, "value": empty }));
        assert_eq!(patch(&before, json!(operations)), resource(json!({})));
    }
    assert_eq!(patch(&before, json!([{ "op": "replace", "value": {} }])), before);
}

#[test]
fn row_08_user_names_are_case_insensitive_and_case_preserving() {
    let user = resource(json!({ "userName": "Ann@Corp.example" }));
    assert_eq!(user.user_name(), "Ann@Corp.example");
    assert_eq!(user_name_key(user.user_name()), user_name_key("aNN@CORP.example"));
    assert!(is_found(&user, r#"userName eq "ANN@corp.EXAMPLE""#));
    assert_ne!(user_name_key(user.user_name()), user_name_key("ann@other.example"));
}

#[test]
fn row_10_deactivated_users_are_found_by_active() {
    let put = resource(json!({ "active": false }));
    let by_patch = patch(&resource(json!({})), json!([{ "op": "replace", "value": { "active": "False" } }]));
    for user in [put, by_patch] {
        assert!(is_found(&user, "active eq false") && is_found(&user, r#"active eq "False""#));
        assert!(is_found(&user, r#"userName eq "ann@corp.example""#));
        assert!(!is_found(&user, "active eq true"));
    }
}

#[test]
fn row_11_a_rename_changes_only_the_user_name() {
    let before = resource(json!({ "externalId": "00u1", "title": "Clerk" }));
    let after =
        patch(&before, json!([{ "op": "replace", "value": { "id": "x", "userName": "lee@corp.example" } }]));
    assert_eq!(
        after,
        resource(json!({ "externalId": "00u1", "title": "Clerk", "userName": "lee@corp.example" }))
    );
    assert!(!is_found(&after, r#"userName eq "ann@corp.example""#));
}

#[test]
fn row_16_the_numbers_of_a_page_are_always_integers() {
    for list in [list_response(vec![], 0, Some(1), None), list_response(vec![json!({})], 9, Some(3), None)] {
        for name in ["totalResults", "startIndex", "itemsPerPage"] {
            assert!(list[name].is_i64() || list[name].is_u64(), "{name}");
        }
        assert!(list["Resources"].is_array());
    }
}

#[test]
fn row_20_an_invalid_filter_is_rejected() {
    let user = serde_json::to_value(resource(json!({}))).unwrap();
    for filter in [
        "",
        "userName",
        "userName eq",
        "userName = \"a\"",
        "shoeSize eq 44",
        "active gt true",
        "name eq \"x\"",
    ] {
        let matches = Filter::parse(filter).and_then(|filter| filter.matches(ResourceType::user(), &user));
        assert_refused(matches, ScimType::InvalidFilter, "filter");
    }
}

fn is_found(user: &Resource, filter: &str) -> bool {
    let user = serde_json::to_value(user).unwrap();
    Filter::parse(filter).unwrap().matches(ResourceType::user(), &user).unwrap()
}
