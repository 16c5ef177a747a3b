//! Tests of registered schemas: parsing, errors that name the field, and allowed replacements.

use serde_json::{Value, json};

use super::*;
use crate::{ENTERPRISE_URN, GROUP_URN, ResourceType, Types, USER_URN};

const URN: &str = "urn:example:params:scim:schemas:extension:acme:2.0:User";

fn badge() -> Value {
    json!({
        "id": URN, "name": "Acme", "description": "Acme's attributes",
        "attributes": [
            { "name": "badge", "type": "string", "caseExact": true, "required": true, "mutability": "immutable" },
            { "name": "hired", "type": "dateTime" },
            { "name": "remote", "type": "boolean", "returned": "request" },
            { "name": "level", "type": "integer", "mutability": "readOnly" },
            { "name": "pin", "type": "string", "mutability": "writeOnly", "returned": "never" },
            { "name": "tags", "type": "string", "multiValued": true, "canonicalValues": ["a", "b"] },
            { "name": "seats", "type": "complex", "multiValued": true, "subAttributes": [
                { "name": "value", "type": "string", "required": true },
                { "name": "$ref", "type": "reference", "referenceTypes": ["external"] },
                { "name": "share", "type": "decimal" },
            ] },
        ],
    })
}

fn changed(pointer: &str, value: Value) -> Value {
    let mut definition = badge();
    match pointer.rsplit_once('/') {
        Some((parent, name)) => match definition.pointer_mut(parent).unwrap() {
            Value::Array(list) => list.push(value),
            parent => parent[name] = value,
        },
        None => definition = value,
    }
    definition
}

#[test]
fn a_definition_round_trips() {
    let schema = Schema::parse(&badge()).unwrap();
    assert_eq!(Schema::parse(&schema.definition()).unwrap(), schema);
    let badge = schema.attribute("BADGE").unwrap();
    assert!(badge.case_exact && badge.required && badge.mutability == Mutability::Immutable);
    assert!(schema.attribute("seats").unwrap().sub_attribute("$ref").unwrap().case_exact);
    let bare = Schema::parse(&json!({ "ID": URN, "Attributes": [{ "NAME": "x" }] })).unwrap();
    assert_eq!((&*bare.name, bare.attributes[0].data_type), ("User", DataType::String));
}

#[test]
fn a_built_in_schema_is_a_valid_definition() {
    let enterprise = &ResourceType::user().extensions[0];
    let definition = enterprise.definition().to_string().replace(ENTERPRISE_URN, URN);
    let again = Schema::parse(&serde_json::from_str(&definition).unwrap()).unwrap();
    assert_eq!(again.attributes, enterprise.attributes);
}

#[test]
fn an_invalid_definition_is_rejected_with_an_error_that_names_the_field() {
    let long = "x".repeat(65);
    let many: Vec<Value> = (0..=MAX_ATTRIBUTES).map(|n| json!({ "name": format!("a{n}") })).collect();
    for (pointer, value, named) in [
        ("", json!([]), "the definition must be an object"),
        ("/id", Value::Null, "id must be a URN"),
        ("/id", json!(7), "id must be a string"),
        ("/id", json!("https://acme.example/schema"), "id must be a URN"),
        ("/id", json!("urn:acme"), "id must be a URN"),
        ("/id", json!("urn:acme::x"), "id must be a URN"),
        ("/id", json!("urn:acme:x y"), "id must be a URN of letters"),
        ("/id", json!("urn:acme:x."), "id must be a URN of letters"),
        ("/id", json!(USER_URN), "id is reserved by SCIM"),
        ("/id", json!("URN:ietf:params:scim:schemas:core:2.0:Device"), "id is reserved by SCIM"),
        ("/id", json!(format!("urn:acme:{}", "x".repeat(250))), "id has more than the 255"),
        ("/name", json!(7), "name must be a string"),
        ("/shoe", json!(7), "shoe is not a field"),
        ("/attributes", json!([]), "attributes must list at least one"),
        ("/attributes", json!({}), "attributes must be a list"),
        ("/attributes", json!(many), "attributes has more than the 100"),
        ("/attributes", json!(["x"]), "attributes[0] must be an object"),
        ("/attributes/-", json!({ "name": "BADGE" }), "attributes[7].name is given twice"),
        ("/attributes/-", json!({ "type": "string" }), "attributes[7].name must start with a letter"),
        ("/attributes/-", json!({ "name": "1a" }), "attributes[7].name must start with a letter"),
        ("/attributes/-", json!({ "name": "a.b" }), "attributes[7].name must start with a letter"),
        ("/attributes/-", json!({ "name": "$ref" }), "attributes[7].name must start with a letter"),
        ("/attributes/-", json!({ "name": long }), "attributes[7].name has more than the 64"),
        (
            "/attributes/-",
            json!({ "name": "x", "multivalue": true }),
            "attributes[7].multivalue is not a field",
        ),
        ("/attributes/0/type", json!("text"), "attributes[0].type must be one of string, boolean"),
        ("/attributes/0/multiValued", json!("true"), "attributes[0].multiValued must be true or false"),
        ("/attributes/0/mutability", json!("fixed"), "attributes[0].mutability must be one of"),
        ("/attributes/0/returned", json!(true), "attributes[0].returned must be a string"),
        ("/attributes/0/uniqueness", json!("server"), "attributes[0].uniqueness must be none"),
        ("/attributes/0/uniqueness", json!("GLOBAL"), "attributes[0].uniqueness must be none"),
        ("/attributes/0/mutability", json!("readOnly"), "attributes[0].required must be false"),
        ("/attributes/0/mutability", json!("writeOnly"), "attributes[0].returned must be never"),
        ("/attributes/0/returned", json!("request"), "attributes[0].returned must be default or always"),
        (
            "/attributes/0/subAttributes",
            json!([{ "name": "x" }]),
            "attributes[0].subAttributes is only allowed",
        ),
        ("/attributes/0/referenceTypes", json!(["User"]), "attributes[0].referenceTypes is only allowed"),
        ("/attributes/1/canonicalValues", json!(["x"]), "attributes[1].canonicalValues is only allowed"),
        ("/attributes/0/canonicalValues", json!([7]), "attributes[0].canonicalValues must be strings"),
        (
            "/attributes/-",
            json!({ "name": "x", "type": "binary", "caseExact": false }),
            "caseExact must be true",
        ),
        ("/attributes/-", json!({ "name": "x", "type": "complex" }), "attributes[7].subAttributes must list"),
        (
            "/attributes/6/subAttributes/0/multiValued",
            json!(true),
            "subAttributes[0].multiValued must be false",
        ),
        (
            "/attributes/6/subAttributes/0/type",
            json!("complex"),
            "attributes[6].subAttributes[0].type cannot",
        ),
    ] {
        let definition = if pointer.is_empty() { value } else { changed(pointer, value) };
        let error = Schema::parse(&definition).expect_err(named);
        assert!(error.detail.contains(named), "{} should say {named}", error.detail);
    }
}

#[test]
fn paths_stay_unambiguous() {
    let with = |urns: &[&str]| {
        let schemas = urns.iter().map(|urn| {
            let (kind, urn) = urn.split_once(' ').unwrap();
            (kind, Schema::parse(&changed("/id", json!(urn))).unwrap())
        });
        Types::with(schemas.collect::<Vec<_>>())
    };
    let types = with(&["User urn:acme:a", "Group urn:acme:b", "User urn:acme:ab"]).unwrap();
    assert_eq!((types.user.extensions.len(), types.group.extensions.len()), (3, 1));
    assert_eq!(with(&[]).unwrap(), Types::default());
    let enterprise = format!("User {ENTERPRISE_URN}");
    let below = format!("Group {ENTERPRISE_URN}:more");
    for refused in [
        vec!["User urn:acme:a", "User URN:ACME:A"],
        vec!["User urn:acme:a", "Group urn:acme:a"],
        vec!["User urn:acme:a", "User urn:acme:a:b"],
        vec!["User urn:acme:a.b", "Group urn:acme:a"],
        vec!["User urn:ietf:params:scim:schemas:extension:enterprise"],
        vec![&enterprise],
        vec![&below],
        vec!["Device urn:acme:a"],
    ] {
        assert!(with(&refused).is_err(), "{refused:?}");
    }
    let many: Vec<String> = (0..21).map(|n| format!("Group urn:acme:s{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(with(&many[..20]).is_ok() && with(&many).is_err());
    assert!(with(&[&format!("User {GROUP_URN}x").replace("core", "own")]).is_ok());
}

#[test]
fn a_definition_may_grow_but_not_change_stored_attributes() {
    let old = Schema::parse(&badge()).unwrap();
    let replaces =
        |pointer: &str, value: Value| Schema::parse(&changed(pointer, value)).unwrap().can_replace(&old);
    for (pointer, value) in [
        ("/name", json!("Other")),
        ("/attributes/-", json!({ "name": "more" })),
        ("/attributes/6/subAttributes/-", json!({ "name": "more" })),
        ("/attributes/0/required", json!(false)),
        ("/attributes/0/mutability", json!("readWrite")),
        ("/attributes/1/returned", json!("request")),
        ("/attributes/5/canonicalValues", json!(["c"])),
    ] {
        assert_eq!(replaces(pointer, value), Ok(()), "{pointer}");
    }
    for (pointer, value, named) in [
        ("/id", json!("urn:acme:a"), "id cannot change"),
        ("/attributes", json!([{ "name": "badge", "caseExact": true }]), "hired is in use"),
        ("/attributes/0/name", json!("Badge"), "badge is in use"),
        ("/attributes/0/caseExact", json!(false), "badge is in use; its caseExact"),
        ("/attributes/1/type", json!("string"), "hired is in use; its type"),
        ("/attributes/1/required", json!(true), "hired is in use; its required"),
        ("/attributes/1/multiValued", json!(true), "hired is in use; its multiValued"),
        ("/attributes/1/returned", json!("never"), "hired is in use; its returned"),
        (
            "/attributes/6/subAttributes",
            json!([{ "name": "value", "required": true }]),
            "seats.$ref is in use",
        ),
        ("/attributes/-", json!({ "name": "more", "required": true }), "more is new"),
    ] {
        let error = replaces(pointer, value).expect_err(named);
        assert!(error.detail.contains(named), "{} should say {named}", error.detail);
    }
}
