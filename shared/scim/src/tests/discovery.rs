//! Tests of discovery (RFC 7644 §4): it must describe what the services actually do.

use serde_json::json;

use super::*;
use crate::discovery::Discovery;
use crate::schema::Schema;
use crate::{Types, discovery, list_response};

const BASE: &str = "https://acme.example/scim/v2";
const ACME: &str = "urn:example:params:scim:schemas:extension:acme:2.0:Group";

fn types() -> Types {
    let schema = Schema::parse(&json!({ "id": ACME, "attributes": [{ "name": "costCenter" }] })).unwrap();
    Types::with([("Group", schema)]).unwrap()
}

#[test]
fn only_stored_attributes_are_described() {
    let user = discovery::schema(BASE, &Types::default(), &USER_URN.to_uppercase()).unwrap();
    let names: Vec<&str> =
        user["attributes"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    for absent in ["roles", "password", "id", "meta", "schemas", "externalId"] {
        assert!(!names.contains(&absent), "{absent}");
    }
    for present in ["userName", "name", "emails", "active", "x509Certificates", "groups"] {
        assert!(names.contains(&present), "{present}");
    }
}

#[test]
fn an_attribute_is_described_with_its_characteristics() {
    let user = discovery::schema(BASE, &Types::default(), USER_URN).unwrap();
    let expected = json!({
        "name": "userName", "type": "string", "multiValued": false, "required": true, "caseExact": false,
        "mutability": "readWrite", "returned": "default", "uniqueness": "server",
        "description": "The name used to sign in; unique and case-insensitive",
    });
    assert_eq!(user["attributes"][0], expected);
    assert_eq!(user["meta"]["location"], json!(format!("{BASE}/Schemas/{USER_URN}")));
    let rows = user["attributes"].as_array().unwrap();
    let required: Vec<_> =
        rows.iter().filter(|row| row["required"] == true).map(|row| &row["name"]).collect();
    assert_eq!(required, ["userName", "name", "emails"], "attributes with a default are not required");
}

#[test]
fn a_look_up_returns_the_same_resource_as_the_list() {
    let types = &types();
    for (list, look_up) in [
        (discovery::schemas(BASE, types), discovery::schema as fn(&str, &Types, &str) -> Option<Value>),
        (discovery::resource_types(BASE, types), discovery::resource_type),
    ] {
        let resources = list["Resources"].as_array().unwrap();
        assert_eq!(list["totalResults"], json!(resources.len()));
        for resource in resources {
            let id = resource["id"].as_str().unwrap();
            assert_eq!(look_up(BASE, types, &id.to_lowercase()).as_ref(), Some(resource));
        }
        assert_eq!(look_up(BASE, types, "urn:example:nothing"), None);
    }
}

#[test]
fn the_configuration_matches_the_services() {
    let config = discovery::service_provider_config(BASE, 1_048_576, Discovery::Full);
    assert_eq!(
        config["bulk"],
        json!({ "supported": true, "maxOperations": 1000, "maxPayloadSize": 1_048_576 })
    );
    assert_eq!((&config["sort"]["supported"], &config["etag"]["supported"]), (&json!(true), &json!(true)));
    let pagination = json!({
        "cursor": true, "index": true, "defaultPaginationMethod": "index", "defaultPageSize": 100, "maxPageSize": 200,
        "cursorTimeout": 3600,
    });
    assert_eq!(config["pagination"], pagination);
    let event = "urn:ietf:params:scim:event:misc:asyncresp";
    assert_eq!(config["securityEvents"], json!({ "asyncRequest": "request", "eventUris": [event] }));
    assert_eq!(config["patch"]["supported"], json!(true));
    assert_eq!(config["filter"], json!({ "supported": true, "maxResults": discovery::MAX_RESULTS }));
    let schemes = config["authenticationSchemes"].as_array().unwrap();
    assert_eq!(schemes.iter().filter(|scheme| scheme["primary"] == json!(true)).count(), 1);
}

#[test]
fn a_tenant_can_omit_extensions_that_strict_clients_reject() {
    let full = discovery::service_provider_config(BASE, 1_048_576, Discovery::Full);
    let core = discovery::service_provider_config(BASE, 1_048_576, Discovery::Core);
    let mut expected = full;
    expected.as_object_mut().unwrap().remove("securityEvents").expect("the full configuration has it");
    assert_eq!(core, expected, "nothing else is omitted");
}

#[test]
fn the_numbers_of_a_list_are_integers() {
    let list = list_response(vec![json!({})], 12, Some(3), None);
    assert_eq!(
        (&list["totalResults"], &list["startIndex"], &list["itemsPerPage"]),
        (&json!(12), &json!(3), &json!(1))
    );
    assert_eq!(list.get("nextCursor"), None);
}

#[test]
fn a_page_by_cursor_has_no_start_index() {
    let list = list_response(vec![], 12, None, Some("abc".to_owned()));
    assert_eq!((list.get("startIndex"), &list["nextCursor"]), (None, &json!("abc")));
    assert_eq!(list_response(vec![], 12, None, None).get("nextCursor"), None);
}

#[test]
fn a_registered_schema_is_listed_with_its_resource_type() {
    let types = types();
    let group = discovery::resource_type(BASE, &types, "group").unwrap();
    assert_eq!(group["schemaExtensions"], json!([{ "schema": ACME, "required": false }]));
    let user = discovery::resource_type(BASE, &types, "User").unwrap();
    assert_eq!(user["schemaExtensions"], json!([{ "schema": URN, "required": false }]));
    let shown = discovery::schema(BASE, &types, ACME).unwrap();
    assert_eq!(shown["attributes"][0]["name"], json!("costCenter"));
    let urns: Vec<Value> = discovery::schemas(BASE, &types)["Resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|schema| schema["id"].clone())
        .collect();
    assert_eq!(urns, [USER_URN, URN, GROUP_URN, ACME]);
}
