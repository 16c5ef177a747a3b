//! Tests of PATCH on multi-valued attributes (RFC 7644 §3.5.2; RFC 7643 §2.4).

use serde_json::json;

use super::*;
use crate::schema::MAX_VALUES;

fn phones(phones: Value) -> Resource {
    resource(json!({ "phoneNumbers": phones }))
}

#[track_caller]
fn assert_phones(after: &Resource, expected: &Value) {
    assert_eq!(after.get("phoneNumbers").unwrap_or(&json!([])), expected);
}

#[test]
fn add_appends_to_and_replace_replaces_the_list() {
    let before = phones(json!([{ "value": "1", "type": "work" }]));
    let value = json!([{ "value": "2", "type": "home" }]);
    let added = patch(&before, json!([{ "op": "add", "path": "phoneNumbers", "value": value }]));
    assert_phones(&added, &json!([{ "value": "1", "type": "work" }, { "value": "2", "type": "home" }]));
    let replaced = patch(&before, json!([{ "op": "replace", "path": "phoneNumbers", "value": value }]));
    assert_phones(&replaced, &value);
    let single = patch(&before, json!([{ "op": "replace", "path": "phoneNumbers", "value": value[0] }]));
    assert_phones(&single, &value);
}

#[test]
fn add_merges_into_an_existing_value_of_the_same_type() {
    let before = phones(json!([{ "value": "1", "type": "work" }]));
    let value = json!({ "value": "1", "type": "work", "display": "Desk" });
    let after = patch(&before, json!([{ "op": "add", "path": "phoneNumbers", "value": value }]));
    assert_phones(&after, &json!([value]));
}

#[test]
fn a_new_primary_value_replaces_the_old_one() {
    let before =
        phones(json!([{ "value": "1", "type": "work", "primary": true }, { "value": "2", "type": "home" }]));
    let expected = json!([
        { "value": "1", "type": "work", "primary": false },
        { "value": "2", "type": "home", "primary": true },
    ]);
    for operation in [
        json!({ "op": "replace", "path": "phoneNumbers[type eq \"home\"].primary", "value": "True" }),
        json!({ "op": "add", "path": "phoneNumbers[type eq \"home\"]", "value": { "primary": true } }),
        json!({ "op": "replace", "path": "phoneNumbers[type eq \"home\"]", "value": { "value": "2", "primary": true } }),
        json!({ "op": "add", "path": "phoneNumbers", "value": { "value": "2", "type": "home", "primary": true } }),
    ] {
        assert_phones(&patch(&before, json!([operation])), &expected);
    }
    // Of two new primary values the first wins; `lenient_forms` tests this for every form.
    let two = json!([{ "value": "1", "primary": true }, { "value": "2", "primary": true }]);
    let both = patch(&before, json!([{ "op": "replace", "path": "phoneNumbers", "value": two }]));
    assert_phones(&both, &json!([{ "value": "1", "primary": true }, { "value": "2", "primary": false }]));
}

#[test]
fn a_filter_selects_the_changed_values() {
    let before = phones(json!([
        { "value": "1", "type": "work", "display": "Desk" },
        { "value": "2", "type": "home" },
    ]));
    let sub = json!([{ "op": "replace", "path": "phoneNumbers[TYPE Eq \"WORK\"].value", "value": "3" }]);
    assert_phones(
        &patch(&before, sub),
        &json!([{ "value": "3", "type": "work", "display": "Desk" }, { "value": "2", "type": "home" }]),
    );
    let whole =
        json!([{ "op": "replace", "path": "phoneNumbers[type eq \"work\"]", "value": { "value": "3" } }]);
    assert_phones(
        &patch(&before, whole),
        &json!([{ "value": "3", "type": "work" }, { "value": "2", "type": "home" }]),
    );
    let removed = json!([{ "op": "remove", "path": "phoneNumbers[value eq \"1\" or value eq \"2\"]" }]);
    assert_phones(&patch(&before, removed), &json!([]));
    let cleared = json!([{ "op": "replace", "path": "phoneNumbers[type eq \"work\"].value", "value": "" },
                         { "op": "remove", "path": "phoneNumbers[type eq \"work\"].display" }]);
    assert_phones(&patch(&before, cleared), &json!([{ "value": "2", "type": "home" }]));
}

#[test]
fn an_empty_value_creates_no_element() {
    let before = resource(json!({}));
    let empty = json!([{ "op": "replace", "path": "phoneNumbers[type eq \"work\"].value", "value": "" }]);
    assert_eq!(patch(&before, empty), before);
}

#[test]
fn without_a_filter_every_value_gets_the_sub_attribute() {
    let before = phones(json!([{ "value": "1" }, { "value": "2" }]));
    let after = patch(&before, json!([{ "op": "replace", "path": "phoneNumbers.type", "value": "work" }]));
    assert_phones(&after, &json!([{ "value": "1", "type": "work" }, { "value": "2", "type": "work" }]));
    let made =
        patch(&resource(json!({})), json!([{ "op": "add", "path": "phoneNumbers.value", "value": "1" }]));
    assert_phones(&made, &json!([{ "value": "1" }]));
}

#[test]
fn the_number_of_values_is_limited() {
    let many: Vec<Value> = (0..=MAX_VALUES).map(|number| json!({ "value": number.to_string() })).collect();
    assert_refused(parsed(json!({ "phoneNumbers": many })), ScimType::InvalidValue, "phoneNumbers");
    let full = phones(json!(many[..MAX_VALUES]));
    let over = patched(&full, json!([{ "op": "add", "path": "phoneNumbers", "value": "new" }]));
    assert_refused(over, ScimType::InvalidValue, "phoneNumbers");
}
