//! Tests of extension schemas that a tenant registered: every characteristic is enforced.

use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::*;
use crate::schema::Schema;
use crate::{Filter, Projection, Record, Types, search_document};

const ACME: &str = "urn:example:params:scim:schemas:extension:acme:2.0:User";

fn types() -> Types {
    let schema = json!({ "id": ACME, "attributes": [
        { "name": "badge", "required": true, "caseExact": true },
        { "name": "hired", "type": "dateTime", "mutability": "immutable" },
        { "name": "level", "type": "integer", "mutability": "readOnly" },
        { "name": "pin", "mutability": "writeOnly", "returned": "never" },
        { "name": "notes", "returned": "request" },
        { "name": "tags", "multiValued": true },
        { "name": "desk", "type": "complex", "subAttributes": [
            { "name": "room", "required": true },
            { "name": "code", "mutability": "immutable" },
            { "name": "seen", "type": "dateTime", "mutability": "readOnly" },
            { "name": "key", "mutability": "writeOnly", "returned": "never" },
        ] },
        { "name": "cards", "type": "complex", "multiValued": true, "subAttributes": [
            { "name": "value", "returned": "always" },
            { "name": "type" },
            { "name": "serial", "mutability": "immutable" },
        ] },
    ] });
    Types::with([("User", Schema::parse(&schema).unwrap())]).unwrap()
}

fn parsed(acme: Value) -> Result<Resource, Error> {
    Resource::parse(&types().user, &body(json!({ (ACME): acme })))
}

fn acme(resource: &Resource) -> Value {
    resource.members().get(ACME).cloned().unwrap_or_default()
}

fn patched(before: &Resource, operation: Value) -> Result<Resource, Error> {
    Patch::parse(&json!({ "Operations": [operation] }))?.apply(&types().user, before)
}

fn whole() -> Value {
    json!({
        "badge": "B7", "hired": "2026-01-02T03:04:05+01:00", "pin": "1234", "notes": "quiet", "tags": ["a", "b"],
        "desk": { "room": "12", "code": "x", "key": "k" }, "cards": [{ "value": "1", "type": "door", "serial": "s" }],
    })
}

#[test]
fn attributes_are_stored_by_their_characteristics() {
    let mut sent = whole();
    sent["level"] = json!(7);
    sent["shoe"] = json!(44);
    sent["desk"]["seen"] = json!("2026-01-02T03:04:05Z");
    let resource = parsed(sent).unwrap();
    assert_eq!(acme(&resource), whole());
    assert_eq!(resource.members()["schemas"], json!([USER_URN, ACME]));
    for (wrong, named) in [
        (json!({ "badge": true }), "badge must be a string"),
        (json!({ "badge": "x", "hired": "yesterday" }), "hired must be a date and time"),
        (json!({ "badge": "x", "tags": [true] }), "tags must be a string"),
        (json!({ "badge": "x", "desk": "12" }), "desk must be an object"),
        (json!({ "badge": "x", "cards": [{ "value": {"a": 1} }] }), "cards.value must be a string"),
    ] {
        assert_refused(parsed(wrong), ScimType::InvalidValue, named);
    }
}

#[test]
fn required_attributes_of_a_present_extension_are_enforced() {
    assert!(parsed(json!({})).is_ok());
    assert!(Resource::parse(&types().user, &body(json!({}))).is_ok());
    assert_refused(
        parsed(json!({ "tags": ["a"] })),
        ScimType::InvalidValue,
        &format!("{ACME}:badge is required"),
    );
    let desk = json!({ "badge": "x", "desk": { "code": "c" } });
    assert_refused(parsed(desk), ScimType::InvalidValue, "desk.room is required");
    let before = parsed(whole()).unwrap();
    let removed = patched(&before, json!({ "op": "remove", "path": format!("{ACME}:badge") }));
    assert_refused(removed, ScimType::Mutability, "badge is required");
    let none = Resource::parse(&types().user, &body(json!({}))).unwrap();
    let tags = json!({ "op": "add", "path": format!("{ACME}:tags"), "value": "a" });
    assert_refused(patched(&none, tags), ScimType::InvalidValue, "badge is required");
    let both = json!({ "op": "add", "value": { (ACME): { "tags": "a", "badge": "x" } } });
    assert_eq!(acme(&patched(&none, both).unwrap()), json!({ "tags": ["a"], "badge": "x" }));
}

#[test]
fn an_immutable_attribute_can_be_set_once() {
    let before = parsed(json!({ "badge": "B7", "desk": { "room": "12" } })).unwrap();
    let hired = format!("{ACME}:hired");
    let set =
        patched(&before, json!({ "op": "add", "path": hired, "value": "2026-01-02T00:00:00Z" })).unwrap();
    let set =
        patched(&set, json!({ "op": "add", "path": format!("{ACME}:desk.code"), "value": "x" })).unwrap();
    assert_eq!(set.clone().replacing(&types().user, &before), Ok(set.clone()));
    assert_eq!(set.clone().replacing(&types().user, &set), Ok(set.clone()));
    for (operation, named) in [
        (json!({ "op": "replace", "path": hired, "value": "2027-01-02T00:00:00Z" }), "hired is immutable"),
        (json!({ "op": "replace", "value": { (hired.clone()): null } }), "hired is immutable"),
        (json!({ "op": "remove", "path": hired }), "hired is immutable"),
        (json!({ "op": "remove", "path": ACME }), "hired is immutable"),
        (
            json!({ "op": "replace", "path": format!("{ACME}:desk"), "value": { "code": "y" } }),
            "desk.code is immutable",
        ),
        (json!({ "op": "remove", "path": format!("{ACME}:desk") }), "desk.code is immutable"),
    ] {
        assert_refused(patched(&set, operation), ScimType::Mutability, named);
    }
    for (put, named) in [
        (json!({ "badge": "B7", "desk": { "room": "12", "code": "x" } }), "hired is immutable"),
        (
            json!({ "badge": "B7", "hired": "2026-01-02T00:00:00Z", "desk": { "room": "12" } }),
            "desk.code is immutable",
        ),
        (json!({}), "hired is immutable"),
    ] {
        assert_refused(parsed(put).unwrap().replacing(&types().user, &set), ScimType::Mutability, named);
    }
    let same =
        json!({ "badge": "B8", "hired": "2026-01-02T00:00:00Z", "desk": { "room": "13", "code": "x" } });
    assert!(parsed(same).unwrap().replacing(&types().user, &set).is_ok());
}

#[test]
fn attributes_not_returned_by_default_survive_a_put_of_the_representation() {
    let before = parsed(whole()).unwrap();
    let again = parsed(shown(None, None)).unwrap().replacing(&types().user, &before).unwrap();
    assert_eq!(acme(&again), whole());
    let other = json!({ "badge": "B7", "hired": whole()["hired"], "pin": "9", "desk": whole()["desk"] });
    let other = parsed(other).unwrap().replacing(&types().user, &before).unwrap();
    assert_eq!(acme(&other)["pin"], json!("9"));
    let removed = patched(&before, json!({ "op": "remove", "path": format!("{ACME}:pin") })).unwrap();
    assert_eq!(acme(&removed).get("pin"), None);
}

#[test]
fn values_under_a_removed_schema_are_kept_and_not_returned() {
    let before = parsed(whole()).unwrap();
    let without = ResourceType::user();
    let put = Resource::parse(without, &body(json!({}))).unwrap().replacing(without, &before).unwrap();
    let patch = json!({ "Operations": [{ "op": "replace", "path": "title", "value": "x" }] });
    let patched = Patch::parse(&patch).unwrap().apply(without, &before).unwrap();
    for after in [put, patched] {
        assert_eq!(acme(&after), whole(), "it is there when the schema is registered again");
        let (created, last_modified) = (OffsetDateTime::UNIX_EPOCH, OffsetDateTime::UNIX_EPOCH);
        let record = Record { id: Uuid::nil(), resource: after, created, last_modified, version: 1 };
        let shown = record.represent(without, "", None, &Projection::all());
        assert_eq!((shown.get(ACME), &shown["schemas"]), (None, &json!([USER_URN])));
        let again = record.represent(&types().user, "", None, &Projection::all());
        assert_eq!(again["schemas"], json!([USER_URN, ACME]));
    }
}

#[test]
fn an_immutable_part_is_fixed_while_values_are_added_and_removed() {
    let before = parsed(whole()).unwrap();
    let cards = format!("{ACME}:cards");
    for path in [format!("{cards}[type eq \"door\"].serial"), format!("{cards}.serial")] {
        for operation in
            [json!({ "op": "replace", "path": path, "value": "t" }), json!({ "op": "remove", "path": path })]
        {
            assert_refused(patched(&before, operation), ScimType::Mutability, "serial is immutable");
        }
        let same = json!({ "op": "replace", "path": path, "value": "s" });
        assert_eq!(patched(&before, same), Ok(before.clone()));
    }
    let added = json!({ "op": "add", "path": cards, "value": { "value": "2", "serial": "t" } });
    assert_eq!(acme(&patched(&before, added).unwrap())["cards"].as_array().unwrap().len(), 2);
    let removed = json!({ "op": "remove", "path": format!("{cards}[value eq \"1\"]") });
    assert_eq!(acme(&patched(&before, removed).unwrap()).get("cards"), None);
}

#[test]
fn a_read_only_attribute_can_never_be_written() {
    let before = parsed(whole()).unwrap();
    for path in [format!("{ACME}:level"), format!("{ACME}.level"), format!("{ACME}:desk.seen")] {
        for op in ["add", "replace", "remove"] {
            let operation = json!({ "op": op, "path": path, "value": "2026-01-02T03:04:05Z" });
            assert_refused(patched(&before, operation), ScimType::Mutability, "readOnly");
        }
    }
    let value = json!({ "level": 7, "desk": { "seen": "2026-01-02T03:04:05Z" } });
    for operation in [
        json!({ "op": "replace", "path": ACME, "value": value }),
        json!({ "op": "add", "value": { (ACME): value } }),
        json!({ "op": "add", "path": format!("{ACME}:desk"), "value": value["desk"] }),
    ] {
        assert_eq!(patched(&before, operation), Ok(before.clone()));
    }
}

#[test]
fn lists_of_simple_values_change_value_by_value() {
    let before = parsed(whole()).unwrap();
    let tags = format!("{ACME}:tags");
    for (operation, expected) in [
        (json!({ "op": "add", "path": tags, "value": ["b", "c"] }), json!(["a", "b", "c"])),
        (json!({ "op": "add", "path": tags, "value": "c" }), json!(["a", "b", "c"])),
        (json!({ "op": "remove", "path": tags, "value": ["a"] }), json!(["b"])),
        (json!({ "op": "replace", "path": tags, "value": ["c", ""] }), json!(["c"])),
        (json!({ "op": "remove", "path": tags }), Value::Null),
    ] {
        let after = acme(&patched(&before, operation.clone()).unwrap());
        assert_eq!(after.get("tags").cloned().unwrap_or_default(), expected, "{operation}");
    }
    // Simple values have no sub-attributes but `value`.
    let selected = json!({ "op": "remove", "path": format!("{tags}[type eq \"a\"]") });
    assert_refused(patched(&before, selected), ScimType::InvalidFilter, "type");
}

fn shown(attributes: Option<&str>, excluded: Option<&str>) -> Value {
    let now = OffsetDateTime::UNIX_EPOCH;
    let resource = parsed(whole()).unwrap();
    let record = Record { id: Uuid::nil(), resource, created: now, last_modified: now, version: 1 };
    let projection = Projection::parse(attributes, excluded).unwrap();
    record.represent(&types().user, "https://acme.example/scim/v2", None, &projection)[ACME].clone()
}

#[test]
fn returned_is_enforced_for_sub_attributes_too() {
    let cards = json!([{ "value": "1" }]);
    let desk = json!({ "room": "12", "code": "x" });
    let mut by_default = whole();
    by_default.as_object_mut().unwrap().retain(|name, _| name != "pin" && name != "notes");
    by_default["desk"] = desk.clone();
    assert_eq!(shown(None, None), by_default);
    for (attributes, expected) in [
        ("userName", json!({ "cards": cards })),
        (&*format!("{ACME}:pin"), json!({ "cards": cards })),
        (&*format!("{ACME}:notes"), json!({ "cards": cards, "notes": "quiet" })),
        (&*format!("{ACME}:desk"), json!({ "cards": cards, "desk": desk })),
        (&*format!("{ACME}:desk.key"), json!({ "cards": cards })),
        (&*format!("{ACME}:cards.type"), json!({ "cards": [{ "value": "1", "type": "door" }] })),
    ] {
        assert_eq!(shown(Some(attributes), None), expected, "{attributes}");
    }
    assert_eq!(shown(None, Some(ACME)), json!({ "cards": cards }));
    let without = shown(None, Some(&format!("{ACME}:cards,{ACME}:desk.code")));
    assert_eq!((&without["cards"], &without["desk"]), (&cards, &json!({ "room": "12" })));
}

#[test]
fn filters_support_registered_attributes_and_reveal_no_secret() {
    let resource = parsed(whole()).unwrap();
    let value = serde_json::to_value(&resource).unwrap();
    let matches = |text: String| Filter::parse(&text).unwrap().matches(&types().user, &value);
    for (filter, expected) in [
        ("badge eq \"B7\"", true),
        ("badge eq \"b7\"", false),
        ("hired eq \"2026-01-02T02:04:05Z\"", true),
        ("hired lt \"2026-01-02T02:04:05.001Z\"", true),
        ("notes eq \"QUIET\"", true),
        ("tags eq \"B\"", true),
        ("desk.room pr", true),
        ("cards[type eq \"DOOR\"].serial eq \"S\"", true),
        ("level pr", false),
    ] {
        assert_eq!(matches(format!("{ACME}:{filter}")), Ok(expected), "{filter}");
    }
    for filter in ["pin pr", "pin eq \"1234\"", "desk.key sw \"k\"", "hired co \"2026\"", "level eq \"x\""] {
        assert_refused(matches(format!("{ACME}:{filter}")), ScimType::InvalidFilter, "filter");
    }
    let folded = search_document(&types().user, &resource);
    assert_eq!(folded[ACME].get("pin"), None);
    assert_eq!(folded[ACME]["desk"], json!({ "room": "12", "code": "x" }));
    assert_eq!(folded[ACME]["badge"], json!("B7"));
}

#[test]
fn a_value_that_lacks_a_required_part_other_than_value_is_rejected() {
    let definition = json!({ "id": ACME, "attributes": [{ "name": "sites", "type": "complex", "multiValued": true,
        "subAttributes": [{ "name": "code", "required": true }, { "name": "label" }] }] });
    let types = Types::with([("User", Schema::parse(&definition).unwrap())]).unwrap();
    let sites = |sites: Value| Resource::parse(&types.user, &body(json!({ (ACME): { "sites": sites } })));
    assert!(sites(json!([{ "code": "a" }, { "code": "b", "label": "B" }])).is_ok());
    assert_refused(sites(json!([{ "code": "a" }, { "label": "B" }])), ScimType::InvalidValue, "sites.code");
}

#[test]
fn binary_is_base64() {
    let definition = json!({ "id": ACME, "attributes": [{ "name": "seal", "type": "binary" }] });
    let types = Types::with([("User", Schema::parse(&definition).unwrap())]).unwrap();
    let seal = |seal: &str| Resource::parse(&types.user, &body(json!({ (ACME): { "seal": seal } })));
    for good in ["YWJj", "YWI=", "YQ==", "YQ", "-_-_", "YWJj\r\nYWJj"] {
        assert!(seal(good).is_ok(), "{good}");
    }
    for bad in ["!!!", "YWJjY", "a b c d e", "=YWJj"] {
        assert_refused(seal(bad), ScimType::InvalidValue, "seal must be base64");
    }
}
