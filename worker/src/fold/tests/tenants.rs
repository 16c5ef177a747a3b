//! Attributes of a tenant's own schemas.

use scim::Types;
use scim::schema::Mutability;
use serde_json::{Value, json};

use super::*;

/// A state in which the tenant's users and groups also have an immutable `badge`.
pub(super) fn state_with_badges() -> State {
    let mut state = state();
    let mut types = Types::default();
    for schema in [&mut types.user.schema, &mut types.group.schema] {
        let like = |attribute: &&scim::schema::Attribute| attribute.name == "displayName";
        let mut badge = schema.attributes.iter().find(like).unwrap().clone();
        badge.name = "badge".into();
        badge.mutability = Mutability::Immutable;
        badge.required = false;
        schema.attributes.push(badge);
    }
    state.tenants.get_mut(&TENANT).unwrap().types = Arc::new(types);
    state
}

/// The resource with a badge, as it is sent.
pub(super) fn with_badge(resource: &Resource, badge: &Value) -> Resource {
    let mut body = serde_json::to_value(resource).unwrap();
    body["badge"] = badge.clone();
    serde_json::from_value(body).unwrap()
}

#[test]
fn a_resource_is_parsed_by_its_tenants_schemas() {
    let mut state = state_with_badges();
    let badged = with_badge(&user("ada@acme.example", None), &json!("7"));
    let made = |n, tenant| {
        let change = Change::CreateUser { user: badged.clone(), origin: Origin::Scim, role: None };
        Command { tenant, ..command(n, Uuid::from_u128(n), change) }
    };
    for (n, tenant, expected) in [(1, TENANT, Some("7")), (2, OTHER, None)] {
        let Outcome::Created { record, .. } = outcome(&mut state, &made(n, tenant)) else {
            panic!("rejected")
        };
        assert_eq!(record.resource.text("badge"), expected);
    }
}

#[test]
fn an_immutable_attribute_keeps_its_first_value() {
    let mut state = state_with_badges();
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    outcome(&mut state, &make(2, READERS, "Readers", &[]));
    for (n, badge, expected) in
        [(10, json!("7"), 200), (20, json!("8"), 400), (30, Value::Null, 400), (40, json!("7"), 200)]
    {
        let user = with_badge(&user("ada@acme.example", None), &badge);
        let group = Group {
            resource: with_badge(&called("Readers"), &badge),
            members: Vec::new(),
            displays: Displays::new(),
        };
        assert_eq!(status(&mut state, &command(n, ADA, Change::ReplaceUser { user })), expected, "{badge}");
        let change = Change::ReplaceGroup { group };
        assert_eq!(status(&mut state, &command(n + 1, READERS, change)), expected, "{badge}");
    }
}
