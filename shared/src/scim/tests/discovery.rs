//! Discovery (RFC 7644 §4) tells the truth: what it offers is what is kept.

use serde_json::json;

use super::*;
use crate::scim::schema::Schema;
use crate::scim::{Types, discovery, list_response};
use crate::settings::Discovery;

const BASE: &str = "https://acme.example/scim/v2";
const ACME: &str = "urn:example:params:scim:schemas:extension:acme:2.0:Group";

fn types() -> Types {
    let schema = Schema::parse(&json!({ "id": ACME, "attributes": [{ "name": "costCenter" }] })).unwrap();
    Types::with([("Group", schema)]).unwrap()
}

#[test]
fn only_what_is_kept_is_offered() {
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
fn a_row_of_the_table_shows_its_characteristics() {
    let user = discovery::schema(BASE, &Types::default(), USER_URN).unwrap();
    let expected = json!({
        "name": "userName", "type": "string", "multiValued": false, "required": true, "caseExact": false,
        "mutability": "readWrite", "returned": "default", "uniqueness": "server",
        "description": "The name to sign in with; unique whatever its case",
    });
    assert_eq!(user["attributes"][0], expected);
    assert_eq!(user["meta"]["location"], json!(format!("{BASE}/Schemas/{USER_URN}")));
    let rows = user["attributes"].as_array().unwrap();
    let required: Vec<_> =
        rows.iter().filter(|row| row["required"] == true).map(|row| &row["name"]).collect();
    assert_eq!(required, ["userName", "name", "emails"], "what need not be sent is not required");
}

#[test]
fn lists_and_look_ups_agree() {
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
fn the_configuration_says_what_the_services_do() {
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
fn a_tenant_may_have_what_strict_clients_do_not_know_left_out() {
    let full = discovery::service_provider_config(BASE, 1_048_576, Discovery::Full);
    let core = discovery::service_provider_config(BASE, 1_048_576, Discovery::Core);
    let mut expected = full;
    expected.as_object_mut().unwrap().remove("securityEvents").expect("it is in the full one");
    assert_eq!(core, expected, "nothing else is left out");
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
fn a_page_by_cursor_has_no_position() {
    let list = list_response(vec![], 12, None, Some("abc".to_owned()));
    assert_eq!((list.get("startIndex"), &list["nextCursor"]), (None, &json!("abc")));
    assert_eq!(list_response(vec![], 12, None, None).get("nextCursor"), None);
}

#[test]
fn what_a_tenant_registered_is_shown_with_its_type() {
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
