//! Lists: simple lists in the form of complex ones, several primary values, duplicates.

use serde_json::json;

use super::*;

#[test]
fn simple_lists_are_accepted_in_the_form_of_complex_ones() {
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
fn only_the_first_of_several_primary_values_stays_primary() {
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
    // An added primary value replaces the existing one; of two added ones the first wins.
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
fn values_with_the_same_value_and_type_are_merged() {
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
