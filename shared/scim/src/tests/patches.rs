//! Tests of PATCH (RFC 7644 §3.5.2): accepted and rejected operations, and the keywords of the errors.

use serde_json::json;

use super::*;

#[test]
fn okta_deactivates_without_a_path() {
    let after = patch(&resource(json!({})), json!([{ "op": "replace", "value": { "active": false } }]));
    assert_eq!(after, resource(json!({ "active": false })));
}

#[test]
fn a_read_only_attribute_in_a_value_is_ignored_and_as_a_path_rejected() {
    let before = resource(json!({}));
    let value = json!({
        "id": "x", "meta": { "version": "1" }, "groups": [{ "value": "g" }], "schemas": [USER_URN], "password": "p",
        "roles": [{ "value": "admin" }], "shoeSize": 44, "not a path": 1, "emails[": 1, "name.shoeSize": 1,
        "name": { "shoeSize": 44 }, (URN): { "shoeSize": 44 },
    });
    assert_eq!(patch(&before, json!([{ "op": "replace", "value": value }])), before);
}

#[test]
fn attributes_that_are_not_stored_are_accepted_by_path_too() {
    let before = resource(json!({}));
    for operation in [
        json!({ "op": "replace", "path": "password", "value": "p" }),
        json!({ "op": "add", "path": "roles", "value": [{ "value": "admin" }] }),
        json!({ "op": "add", "path": "roles[primary eq \"True\"].value", "value": "admin" }),
        json!({ "op": "remove", "path": "roles" }),
    ] {
        assert_eq!(patch(&before, json!([operation])), before, "{operation}");
    }
}

#[test]
fn each_error_has_the_keyword_of_the_rfc() {
    use ScimType::{InvalidFilter, InvalidPath, InvalidSyntax, InvalidValue, Mutability, NoTarget};
    let before = resource(json!({ "phoneNumbers": [{ "value": "1", "type": "work" }] }));
    for (operation, scim_type, named) in [
        (json!({ "op": "replace", "path": "id", "value": "x" }), Mutability, "id"),
        (json!({ "op": "replace", "path": "meta.version", "value": "x" }), Mutability, "meta.version"),
        (json!({ "op": "add", "path": "groups", "value": [{ "value": "g" }] }), Mutability, "groups"),
        (json!({ "op": "remove", "path": "schemas" }), Mutability, "schemas"),
        (json!({ "op": "remove", "path": "userName" }), Mutability, "userName"),
        (json!({ "op": "remove", "path": "name" }), Mutability, "name.familyName"),
        (json!({ "op": "remove", "path": "name.givenName" }), Mutability, "name.givenName"),
        (json!({ "op": "remove", "path": "emails" }), Mutability, "emails"),
        (json!({ "op": "remove", "path": "emails[type eq \"work\"]" }), Mutability, "emails"),
        (json!({ "op": "remove", "path": "emails.value" }), Mutability, "emails"),
        (json!({ "op": "remove", "path": USER_URN }), Mutability, USER_URN),
        (json!({ "op": "remove" }), NoTarget, "path"),
        (
            json!({ "op": "replace", "path": "phoneNumbers[type eq \"fax\"]", "value": { "value": "2" } }),
            NoTarget,
            "phoneNumbers",
        ),
        (
            json!({ "op": "replace", "path": "phoneNumbers[value eq \"9\"].type", "value": "fax" }),
            NoTarget,
            "phoneNumbers",
        ),
        (
            json!({ "op": "replace", "path": "phoneNumbers[value sw \"9\"].value", "value": "2" }),
            NoTarget,
            "phoneNumbers",
        ),
        (
            json!({ "op": "add", "path": "phoneNumbers[type eq \"a\" and type eq \"b\"].value", "value": "2" }),
            NoTarget,
            "phoneNumbers",
        ),
        (json!({ "op": "replace", "path": "title[value eq \"x\"]", "value": "x" }), InvalidPath, "title"),
        (
            json!({ "op": "replace", "path": "emails[shoe eq \"work\"].shoe", "value": "x" }),
            InvalidFilter,
            "shoe",
        ),
        (json!({ "op": "replace", "path": format!("{URN}[shoe eq \"x\"]"), "value": "x" }), InvalidPath, URN),
        (json!({ "op": "replace", "path": "a b", "value": "x" }), InvalidPath, "path"),
        (json!({ "op": "replace", "path": 7, "value": "x" }), InvalidPath, "path"),
        (
            json!({ "op": "replace", "path": "emails[shoe eq \"x\"].value", "value": "x" }),
            InvalidFilter,
            "shoe",
        ),
        (json!({ "op": "replace", "path": "ims[shoe eq \"x\"].value", "value": "x" }), InvalidFilter, "shoe"),
        (
            json!({ "op": "replace", "path": "emails[type xx \"x\"].value", "value": "x" }),
            InvalidFilter,
            "path",
        ),
        (json!({ "op": "remove", "path": "active" }), Mutability, "active"),
        (json!({ "op": "replace", "path": "active", "value": "perhaps" }), InvalidValue, "active"),
        (json!({ "op": "replace", "path": "title", "value": true }), InvalidValue, "title"),
        (json!({ "op": "replace", "path": "name", "value": "Ann" }), InvalidValue, "name"),
        (
            json!({ "op": "replace", "path": "name.givenName", "value": {"a": 1} }),
            InvalidValue,
            "name.givenName",
        ),
        (json!({ "op": "replace", "path": "name.givenName", "value": "" }), InvalidValue, "name.givenName"),
        (json!({ "op": "replace", "path": "userName", "value": "" }), InvalidValue, "userName"),
        (json!({ "op": "replace", "path": "emails", "value": [] }), InvalidValue, "emails"),
        (json!({ "op": "replace", "path": URN, "value": "Sales" }), InvalidValue, URN),
        (json!({ "op": "replace", "value": "x" }), InvalidValue, "value"),
        (json!({ "op": "replace", "path": "title" }), InvalidValue, "value"),
        (json!({ "op": "move", "path": "title", "value": "x" }), InvalidSyntax, "op"),
        (json!({ "path": "title", "value": "x" }), InvalidSyntax, "op"),
        (json!("replace"), InvalidSyntax, "operation"),
    ] {
        assert_refused(patched(&before, json!([operation])), scim_type, named);
    }
}

#[test]
fn the_structure_of_the_message_is_checked() {
    let operation = json!({ "op": "remove", "path": "title" });
    for body in [
        json!([]),
        json!({}),
        json!({ "Operations": [] }),
        json!({ "Operations": operation }),
        json!({ "schemas": "x", "Operations": [operation] }),
    ] {
        assert_refused(Patch::parse(&body), ScimType::InvalidSyntax, "");
    }
    let wrong = json!({ "schemas": [USER_URN], "Operations": [operation] });
    assert_refused(Patch::parse(&wrong), ScimType::InvalidValue, "schemas");
    let many = json!({ "Operations": vec![operation.clone(); 1001] });
    assert_eq!(Patch::parse(&many).unwrap_err().status, 413);
    let path = format!("emails[{}]", vec!["value pr"; 100].join(" or "));
    let costly = json!({ "Operations": vec![json!({ "op": "remove", "path": path }); 21] });
    assert_eq!(Patch::parse(&costly).unwrap_err().status, 413);
    assert!(Patch::parse(&json!({ "SCHEMAS": [], "operations": [operation] })).is_ok());
}

#[test]
fn a_patch_is_atomic_and_in_sequence() {
    let before = resource(json!({ "title": "Clerk" }));
    let swapped = patch(
        &before,
        json!([
            { "op": "remove", "path": "emails[type eq \"work\"]" },
            { "op": "add", "path": "emails", "value": [{ "value": "lee@corp.example" }] },
            { "op": "replace", "path": "title", "value": "Judge" },
            { "op": "remove", "path": "title" },
        ]),
    );
    assert_eq!(swapped.get("emails"), Some(&json!([{ "value": "lee@corp.example" }])));
    assert_eq!(swapped.title(), None);
    let failing =
        json!([{ "op": "remove", "path": "title" }, { "op": "replace", "path": "id", "value": "x" }]);
    assert_refused(patched(&before, failing), ScimType::Mutability, "id");
}

#[test]
fn a_patch_survives_serialization() {
    let body = json!({ "Operations": [
        { "op": "Replace", "path": "emails[type eq \"work\" and (value co \"@\" or not(primary pr))].value", "value": null },
        { "op": "Remove", "path": format!("{URN}:manager") },
        { "op": "ADD", "value": { "a": [1, { "b": null }] } },
    ] });
    let patch = Patch::parse(&body).unwrap();
    let message = serde_json::to_string(&patch).unwrap();
    assert_eq!(serde_json::from_str::<Patch>(&message).unwrap(), patch);
}

#[test]
fn removing_the_last_part_removes_its_parent() {
    let before = resource(
        json!({ (URN): { "manager": { "value": "7" } }, "ims": [{ "value": "x", "type": "xmpp" }] }),
    );
    let after = patch(
        &before,
        json!([
            { "op": "remove", "path": format!("{URN}:manager.value") },
            { "op": "remove", "path": "ims[type eq \"xmpp\"].value" },
        ]),
    );
    assert_eq!(after, resource(json!({})));
}

#[test]
fn an_already_missing_attribute_does_not_prevent_a_deactivation() {
    let mut incomplete = body(json!({}));
    incomplete.as_object_mut().unwrap().remove("name");
    let incomplete: Resource = serde_json::from_value(incomplete).unwrap();
    let after = patch(&incomplete, json!([{ "op": "replace", "value": { "active": false } }]));
    assert_eq!(after.active(), Some(false));
}

#[test]
fn errors_repeat_no_personal_value() {
    let before = resource(json!({}));
    for operation in [
        json!({ "op": "replace", "path": "emails[shoe eq \"ann@corp.example\"].value", "value": "ann@corp.example" }),
        json!({ "op": "replace", "path": "emails[value eq \"ann@corp.example", "value": "x" }),
        json!({ "op": "replace", "path": "active", "value": "ann@corp.example" }),
        json!({ "op": "replace", "path": "userName", "value": "ann@corp.example".repeat(50) }),
        json!({ "op": "replace", "path": "name", "value": "ann@corp.example" }),
    ] {
        let error = patched(&before, json!([operation])).unwrap_err();
        assert!(!error.detail.contains("ann"), "{}", error.detail);
    }
}

const TWO: &str = r#"[{ "value": "home@corp.example", "type": "home" },
    { "value": "work@corp.example", "type": "work", "primary": true }]"#;

#[test]
fn an_empty_primary_value_does_not_replace_the_old_one() {
    let two: Value = serde_json::from_str(TWO).unwrap();
    let before = resource(json!({ "emails": two }));
    for operation in [
        json!({ "op": "Replace", "path": "emails[type eq \"other\"].primary", "value": "True" }),
        json!({ "op": "add", "path": "emails[type eq \"other\"].primary", "value": true }),
        json!({ "op": "add", "value": { "emails": [{ "value": "", "type": "other", "primary": true }] } }),
        json!({ "op": "add", "path": "emails", "value": [{ "type": "other", "primary": true }] }),
    ] {
        assert_eq!(patch(&before, json!([operation])), before, "{operation}");
    }
    // Entra ID sends `primary` of a new value before its `value`.
    let new = |sub: &str, value: Value| json!({ "op": "Add", "path": format!("emails[type eq \"other\"].{sub}"), "value": value });
    let after = patch(&before, json!([new("primary", json!("True")), new("value", json!("o@corp.example"))]));
    assert_eq!(after.primary_email(), Some("o@corp.example"));
    let primaries = after.get("emails").unwrap().as_array().unwrap().iter();
    assert_eq!(primaries.filter(|email| email["primary"] == true).count(), 1);
}

#[test]
fn an_incomplete_replacement_is_merged() {
    let two: Value = serde_json::from_str(TWO).unwrap();
    let before = resource(json!({ "emails": two }));
    let home = json!([{ "op": "replace", "path": "emails[type eq \"home\"]", "value": { "primary": true } }]);
    let after = patch(&before, home);
    assert_eq!(after.primary_email(), Some("home@corp.example"));
    assert_eq!(after.get("emails").unwrap().as_array().unwrap().len(), 2);
}

#[test]
fn values_of_a_list_are_compared_by_the_attributes_case_exact() {
    let before = resource(json!({ "phoneNumbers": [{ "value": "Ext-7", "type": "work" }] }));
    let add =
        json!([{ "op": "add", "path": "phoneNumbers", "value": [{ "value": "ext-7", "type": "WORK" }] }]);
    assert_eq!(patch(&before, add), before);
    let remove = json!([{ "op": "remove", "path": "phoneNumbers", "value": [{ "value": "EXT-7" }] }]);
    assert_eq!(patch(&before, remove), resource(json!({})));
    let one = resource(json!({ "x509Certificates": [{ "value": "MIIB" }] }));
    let other = json!([{ "op": "add", "path": "x509Certificates", "value": [{ "value": "miib" }] }]);
    assert_eq!(patch(&one, other).get("x509Certificates").unwrap().as_array().unwrap().len(), 2);
}

#[test]
fn an_attribute_with_a_default_that_is_sent_empty_is_unchanged() {
    let before = resource(json!({ "active": false }));
    for value in [json!(null), json!(""), json!([]), json!({})] {
        let by_path = json!([{ "op": "replace", "path": "active", "value": value }]);
        assert_eq!(patch(&before, by_path), before);
        let beside = json!([{ "op": "replace", "value": { "active": value, "title": "Judge" } }]);
        let after = patch(&before, beside);
        assert_eq!((after.active(), after.title()), (Some(false), Some("Judge")));
    }
}

#[test]
fn unknown_attributes_are_ignored_by_path_too_and_reported() {
    let before = resource(json!({}));
    let custom = "urn:ietf:params:scim:schemas:extension:CustomExtensionName:2.0:User";
    for (path, name) in [
        ("companyName".to_owned(), "companyName"),
        ("name.nickname2".to_owned(), "name.nickname2"),
        ("foo.bar".to_owned(), "foo.bar"),
        ("foo[bar eq \"x\"].baz".to_owned(), "foo.baz"),
        ("emails[type eq \"work\"].shoe".to_owned(), "emails.shoe"),
        ("emails.shoe".to_owned(), "emails.shoe"),
        (format!("{custom}:tag"), &*format!("{custom}:tag")),
        (format!("{custom}.tag"), &*format!("{custom}.tag")),
        (custom.to_owned(), custom),
        (format!("{URN}:shoe"), &*format!("{URN}:shoe")),
        (format!("{USER_URN}:shoe"), &*format!("{USER_URN}:shoe")),
    ] {
        for op in ["Add", "Replace", "Remove"] {
            let operations = json!([{ "op": op, "path": path, "value": "x" }, { "op": "add", "path": "title", "value": "T" }]);
            let patch = Patch::parse(&json!({ "Operations": operations })).unwrap();
            let applied = crate::leaver::patched(&patch, ResourceType::user(), &before).unwrap();
            assert_eq!(applied.resource, resource(json!({ "title": "T" })), "{op} {path}");
            assert_eq!(applied.ignored, [name], "{op} {path}");
            let alone = patched(&before, json!([{ "op": op, "path": path, "value": "x" }]));
            assert_eq!(alone.as_ref(), Ok(&before), "{op} {path}");
        }
    }
}

#[test]
fn values_that_are_not_stored_are_removed_before_serialization() {
    let body = json!({ "Operations": [
        { "op": "replace", "path": "password", "value": "secret-1" },
        { "op": "add", "path": "roles[value eq \"secret-2\"].value", "value": "secret-3" },
        { "op": "remove", "path": "roles", "value": [{ "value": "secret-4" }] },
        { "op": "add", "path": "shoe.size", "value": "secret-5" },
        { "op": "add", "path": "urn:example:x:1.0:User:shoe", "value": "secret-6" },
        { "op": "add", "value": { "password": "secret-7", "title": "T", "roles[primary eq \"True\"].value": "secret-8",
            (USER_URN): { "password": "secret-9", "nickName": "N" }, (URN): { "shoe": "secret-10", "department": "D" } } },
        { "op": "add", "path": USER_URN, "value": { "Password": "secret-11", "locale": "en" } },
        { "op": "add", "value": { (format!("{USER_URN}:password")): "secret-12", "emails[type eq \"work\"].value": "w@corp.example" } },
    ] });
    let patch = Patch::parse(&body).unwrap().without_unkept(ResourceType::user());
    let message = serde_json::to_string(&patch).unwrap();
    assert!(!message.contains("secret"), "{message}");
    for kept in ["\"T\"", "\"N\"", "\"D\"", "\"en\"", "w@corp.example"] {
        assert!(message.contains(kept), "{kept} in {message}");
    }
    // Ignored attributes are still reported.
    let again: Patch = serde_json::from_str(&message).unwrap();
    let applied = crate::leaver::patched(&again, ResourceType::user(), &resource(json!({}))).unwrap();
    assert_eq!(applied.ignored, ["shoe.size", "urn:example:x:1.0:User:shoe"]);
}
