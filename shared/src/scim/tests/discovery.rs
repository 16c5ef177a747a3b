//! Discovery (RFC 7644 §4) tells the truth: what it offers is what is kept.

use serde_json::json;

use super::*;
use crate::scim::{discovery, list_response};

const BASE: &str = "https://acme.example/scim/v2";

#[test]
fn only_what_is_kept_is_offered() {
    let user = discovery::schema(BASE, &USER_URN.to_uppercase()).unwrap();
    let names: Vec<&str> =
        user["attributes"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    for absent in ["roles", "password", "groups", "id", "meta", "schemas", "externalId"] {
        assert!(!names.contains(&absent), "{absent}");
    }
    for present in ["userName", "name", "emails", "active", "x509Certificates"] {
        assert!(names.contains(&present), "{present}");
    }
}

#[test]
fn a_row_of_the_table_shows_its_characteristics() {
    let user = discovery::schema(BASE, USER_URN).unwrap();
    let expected = json!({
        "name": "userName", "type": "string", "multiValued": false, "required": true, "caseExact": false,
        "mutability": "readWrite", "returned": "default", "uniqueness": "server",
        "description": "The name to sign in with; unique whatever its case",
    });
    assert_eq!(user["attributes"][0], expected);
    assert_eq!(user["meta"]["location"], json!(format!("{BASE}/Schemas/{USER_URN}")));
}

#[test]
fn lists_and_look_ups_agree() {
    for (list, look_up) in [
        (discovery::schemas(BASE), discovery::schema as fn(&str, &str) -> Option<Value>),
        (discovery::resource_types(BASE), discovery::resource_type),
    ] {
        let resources = list["Resources"].as_array().unwrap();
        assert_eq!(list["totalResults"], json!(resources.len()));
        for resource in resources {
            let id = resource["id"].as_str().unwrap();
            assert_eq!(look_up(BASE, &id.to_lowercase()).as_ref(), Some(resource));
        }
        assert_eq!(look_up(BASE, "urn:example:nothing"), None);
    }
}

#[test]
fn the_configuration_says_what_the_services_do() {
    let config = discovery::service_provider_config(BASE);
    assert_eq!(config["patch"]["supported"], json!(true));
    assert_eq!(config["filter"], json!({ "supported": true, "maxResults": discovery::MAX_RESULTS }));
    let schemes = config["authenticationSchemes"].as_array().unwrap();
    assert_eq!(schemes.iter().filter(|scheme| scheme["primary"] == json!(true)).count(), 1);
}

#[test]
fn the_numbers_of_a_list_are_integers() {
    let list = list_response(vec![json!({})], 12, 3);
    assert_eq!(
        (&list["totalResults"], &list["startIndex"], &list["itemsPerPage"]),
        (&json!(12), &json!(3), &json!(1))
    );
}
