//! The user that the targets apply their input to. It has attributes of every type.

use std::sync::LazyLock;

use serde_json::{Value, json};
use scim::{Resource, ResourceType};

/// The user's representation.
pub static SHOWN: LazyLock<Value> = LazyLock::new(|| {
    let mut shown = body();
    shown["id"] = json!("0192f7a0-0000-7000-8000-000000000001");
    shown["meta"] = json!({
        "resourceType": "User",
        "created": "2026-11-02T09:00:00.000Z",
        "lastModified": "2026-11-03T10:11:12.345Z",
        "location": "https://acme.example/scim/v2/Users/0192f7a0-0000-7000-8000-000000000001",
        "version": "W/\"7\"",
    });
    shown["groups"] =
        json!([{ "value": "0192f7a0-0000-7000-8000-000000000002", "display": "Analysts", "type": "direct" }]);
    shown
});

/// The same user as it is stored.
pub static USER: LazyLock<Resource> =
    LazyLock::new(|| Resource::parse(ResourceType::user(), &body()).expect("the user below fits the schema"));

fn body() -> Value {
    json!({
        "schemas": [
            "urn:ietf:params:scim:schemas:core:2.0:User",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        ],
        "externalId": "00u1",
        "userName": "Ada@acme.example",
        "name": { "givenName": "Ada", "familyName": "Lovelace", "formatted": "Ada Lovelace" },
        "displayName": "Ada Lovelace",
        "title": "Analyst",
        "profileUrl": "https://acme.example/ada",
        "active": true,
        "emails": [
            { "value": "ada@acme.example", "type": "work", "primary": true },
            { "value": "ada@home.example", "type": "home" },
        ],
        "phoneNumbers": [{ "value": "+44 1", "type": "work" }, { "value": "+44 2", "type": "mobile" }],
        "addresses": [{ "locality": "London", "country": "GB", "type": "home", "primary": true }],
        "x509Certificates": [{ "value": "MIIB" }],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
            "department": "Engines",
            "manager": { "value": "0192f7a0-0000-7000-8000-000000000003", "displayName": "Charles Babbage" },
        },
    })
}
