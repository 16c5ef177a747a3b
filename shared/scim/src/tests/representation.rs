//! Tests of the representation of a record (RFC 7643 §3.1; RFC 7644 §3.9).

use serde_json::json;
use time::macros::datetime;
use uuid::Uuid;

use super::*;
use crate::{Computed, Filter, Projection, Record, Related};

const BASE: &str = "https://acme.example/scim/v2/";
const ID: &str = "01900000-0000-7000-8000-000000000001";

fn record(members: Value) -> Record {
    Record {
        id: Uuid::parse_str(ID).unwrap(),
        resource: resource(members),
        created: datetime!(2026-01-02 03:04:05.006_7 +1),
        last_modified: datetime!(2026-01-02 03:04:05 UTC),
        version: 3,
    }
}

fn shown(attributes: Option<&str>, excluded: Option<&str>) -> Value {
    let record = record(
        json!({ "title": "Clerk", (URN): { "department": "Sales", "manager": { "value": "7", "displayName": "Bo" } } }),
    );
    record.represent(ResourceType::user(), BASE, None, &Projection::parse(attributes, excluded).unwrap())
}

#[test]
fn a_representation_has_id_meta_and_defaults() {
    let shown = record(json!({})).represent(ResourceType::user(), BASE, None, &Projection::all());
    let location = format!("https://acme.example/scim/v2/Users/{ID}");
    let expected = body(json!({
        "id": ID,
        "active": true,
        "meta": {
            "resourceType": "User", "created": "2026-01-02T02:04:05.006Z", "lastModified": "2026-01-02T03:04:05.000Z",
            "location": location, "version": "W/\"3\"",
        },
    }));
    assert_eq!(shown, expected);
    assert_eq!(record(json!({})).location(ResourceType::user(), BASE), location);
}

#[test]
fn a_record_survives_storage() {
    let record = record(json!({ "active": false }));
    let stored = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&stored).unwrap(), record);
}

#[test]
fn attributes_selects_the_requested_and_the_always_returned_ones() {
    let always = |members: Value| {
        let mut expected = json!({ "schemas": [USER_URN, URN], "id": ID });
        expected.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        expected
    };
    for (attributes, expected) in [
        ("userName", json!({ "userName": "ann@corp.example" })),
        ("USERNAME, active", json!({ "userName": "ann@corp.example", "active": true })),
        ("name.givenName", json!({ "name": { "givenName": "Ann" } })),
        ("emails.value", json!({ "emails": [{ "value": "ann@corp.example" }] })),
        ("meta.version", json!({ "meta": { "version": "W/\"3\"" } })),
        (&format!("{URN}:department"), json!({ (URN): { "department": "Sales" } })),
        (&format!("{URN}:manager.value"), json!({ (URN): { "manager": { "value": "7" } } })),
        (URN, json!({ (URN): { "department": "Sales", "manager": { "value": "7", "displayName": "Bo" } } })),
        (&format!("{USER_URN}:title"), json!({ "title": "Clerk" })),
        ("shoeSize,password,!", json!({})),
    ] {
        assert_eq!(shown(Some(attributes), None), always(expected), "{attributes}");
    }
}

#[test]
fn excluded_attributes_are_omitted_unless_always_returned() {
    let whole = shown(None, None);
    for (excluded, gone) in [
        ("title", vec!["/title"]),
        ("id,schemas", vec![]),
        ("name.givenName,emails.type", vec!["/name/givenName", "/emails/0/type"]),
        ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value", vec!["manager/value"]),
        ("", vec![]),
    ] {
        let shown = shown(None, Some(excluded));
        assert_eq!(shown == whole, gone.is_empty(), "{excluded}");
        for pointer in gone {
            assert_eq!(shown.pointer(pointer), None, "{excluded}");
        }
        assert_eq!(shown["id"], whole["id"]);
    }
    assert_eq!(shown(None, Some(URN)).get(URN), None);
}

#[test]
fn attributes_and_excluded_attributes_cannot_be_combined() {
    assert_refused(Projection::parse(Some("a"), Some("b")), ScimType::InvalidValue, "attributes");
    assert!(Projection::parse(Some("a"), Some("")).is_ok());
}

#[test]
fn shows_tells_whether_an_attribute_is_part_of_the_response() {
    let user = ResourceType::user();
    let shows =
        |attributes, excluded, path| Projection::parse(attributes, excluded).unwrap().shows(user, path);
    assert!(shows(None, None, "emails"));
    assert!(!shows(None, Some("EMAILS"), "emails"));
    assert!(shows(Some("emails.value"), None, "emails"));
    assert!(!shows(Some("userName"), None, "emails"));
    assert!(!shows(None, None, "password"));
}

#[test]
fn computed_attributes_can_be_filtered() {
    let related =
        |number: u128, display: &str| Related { id: Uuid::from_u128(number), display: display.to_owned() };
    let user = record(json!({}));
    let groups = Computed::Groups(vec![related(1, "Night shift"), related(2, "Day shift")]);
    let user = Value::Object(user.whole(ResourceType::user(), BASE, Some(groups)));
    let group: Resource =
        serde_json::from_value(json!({ "schemas": [GROUP_URN], "displayName": "Night shift" })).unwrap();
    let group = Record { resource: group, ..record(json!({})) };
    let members = Computed::Members(vec![related(3, "Ann Lee"), related(4, "Bo Ek")]);
    let group = Value::Object(group.whole(ResourceType::group(), BASE, Some(members)));
    let (three, four) = (Uuid::from_u128(3), Uuid::from_u128(4));
    for (resource_type, resource, filter, expected) in [
        (ResourceType::user(), &user, r#"groups.display eq "NIGHT shift""#.to_owned(), true),
        (ResourceType::user(), &user, format!("groups eq \"{}\"", Uuid::from_u128(2)), true),
        (ResourceType::user(), &user, format!("groups[value eq \"{three}\"]"), false),
        (ResourceType::user(), &user, r#"groups.type eq "direct""#.to_owned(), true),
        (ResourceType::group(), &group, format!("members.value eq \"{three}\""), true),
        (ResourceType::group(), &group, format!("members eq \"{}\"", Uuid::from_u128(9)), false),
        (ResourceType::group(), &group, format!("members[value eq \"{four}\" and display sw \"bo\"]"), true),
        (ResourceType::group(), &group, format!("members[value eq \"{three}\"].display eq \"Bo Ek\""), false),
        (
            ResourceType::group(),
            &group,
            format!("members.$ref eq \"{}/Users/{three}\"", BASE.trim_end_matches('/')),
            true,
        ),
        (ResourceType::group(), &group, r#"meta.resourceType eq "Group""#.to_owned(), true),
    ] {
        let matches = Filter::parse(&filter).unwrap().matches(resource_type, resource);
        assert_eq!(matches, Ok(expected), "{filter}");
    }
}
