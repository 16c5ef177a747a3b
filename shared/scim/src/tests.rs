//! Tests of the SCIM core that involve several files: what clients send, what users of other servers complained about,
//! and properties that hold for any input. Unit tests are beside each file.

mod complaints;
mod differential;
mod discovery;
mod generate;
mod groups;
mod lenient_forms;
mod limits;
mod lists;
mod patches;
mod properties;
mod registered;
mod representation;
mod resources;
mod search_document;

use serde_json::{Value, json};

use super::{ENTERPRISE_URN, Error, GROUP_URN, Patch, Resource, ResourceType, ScimType, USER_URN};

/// The URN of the enterprise extension.
const URN: &str = ENTERPRISE_URN;

/// A body with the required attributes and the given members.
fn body(members: Value) -> Value {
    let mut body = json!({
        "schemas": [USER_URN],
        "userName": "ann@corp.example",
        "name": { "givenName": "Ann", "familyName": "Lee" },
        "emails": [{ "value": "ann@corp.example", "type": "work", "primary": true }],
    });
    let Value::Object(members) = members else { panic!("members must be an object") };
    body.as_object_mut().unwrap().extend(members);
    body
}

fn resource(members: Value) -> Resource {
    Resource::parse(ResourceType::user(), &body(members)).unwrap()
}

fn parsed(members: Value) -> Result<Resource, Error> {
    Resource::parse(ResourceType::user(), &body(members))
}

fn patched(current: &Resource, operations: Value) -> Result<Resource, Error> {
    let body = json!({ "schemas": [super::PATCH_URN], "Operations": operations });
    Patch::parse(&body)?.apply(ResourceType::user(), current)
}

fn patch(current: &Resource, operations: Value) -> Resource {
    patched(current, operations).unwrap()
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, Error>, scim_type: ScimType, named: &str) {
    let error = result.expect_err("must be rejected");
    assert_eq!((error.status, error.scim_type), (400, Some(scim_type)), "{error}");
    assert!(error.detail.contains(named), "{} should name {named}", error.detail);
}
