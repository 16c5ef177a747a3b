//! Changes to users.

use domain::command::{Change, Command};
use serde_json::json;
use time::Duration;
use uuid::Uuid;

use super::*;

#[test]
fn creating_changing_archiving_restoring_and_deleting_a_user_emits_an_event_each() {
    let mut state = state();
    assert_eq!(status(&mut state, &create(1, ADA, "ada@acme.example")), 201);
    assert_eq!(status(&mut state, &put(2, "Countess")), 200);
    assert_eq!(status(&mut state, &patch(3, json!({ "active": false }))), 200);
    assert_eq!(state.user(TENANT, ADA).unwrap().archived_at, Some(NOW));
    assert_eq!(status(&mut state, &patch(4, json!({ "active": true, "title": "Analyst" }))), 200);
    assert_eq!(state.user(TENANT, ADA).unwrap().archived_at, None);
    assert_eq!(status(&mut state, &command(5, ADA, Change::DeleteUser)), 204);
    assert_eq!(status(&mut state, &put(6, "Gone")), 404);
    let expected =
        ["user.created", "user.updated", "user.archived", "user.restored", "user.updated", "user.deleted"];
    assert_eq!(kinds(&state), expected);
    let versions: Vec<_> = state.events.iter().filter_map(|event| event.sequence.clone()).collect();
    assert!(versions.is_sorted(), "{versions:?}");
}

#[test]
fn a_user_name_is_unique_in_its_tenant_regardless_of_case() {
    let mut state = state();
    assert_eq!(status(&mut state, &create(1, ADA, "ada@acme.example")), 201);
    assert_eq!(status(&mut state, &create(2, Uuid::from_u128(2), "ADA@acme.example")), 409);
    let elsewhere = Command { tenant: OTHER, ..create(3, Uuid::from_u128(3), "ada@acme.example") };
    assert_eq!(status(&mut state, &elsewhere), 201);
}

#[test]
fn a_rename_to_a_taken_user_name_is_rejected_and_changes_nothing() {
    let mut state = state();
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    outcome(&mut state, &create(2, Uuid::from_u128(2), "bob@acme.example"));
    assert_eq!(status(&mut state, &patch(3, json!({ "userName": "Bob@acme.example" }))), 409);
    assert_eq!(state.user(TENANT, ADA).unwrap().user_name, "ada@acme.example");
    assert_eq!(
        status(&mut state, &patch(4, json!({ "userName": "ADA@acme.example" }))),
        200,
        "its own name in another case"
    );
}

#[test]
fn another_tenants_user_is_not_found() {
    let mut state = state();
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    assert_eq!(status(&mut state, &Command { tenant: OTHER, ..put(2, "x") }), 404);
}

#[test]
fn a_change_without_effect_moves_the_ticket_but_not_the_version() {
    let mut state = state();
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    state.now += Duration::seconds(5);
    outcome(&mut state, &patch(2, json!({ "active": true })));
    let row = state.user(TENANT, ADA).unwrap();
    assert_eq!((row.version, row.modified_at, row.ticket), (1, NOW, ticket(2).0));
    assert_eq!(kinds(&state), ["user.created"]);
}

#[test]
fn a_put_without_active_leaves_an_archived_user_archived() {
    let mut state = state();
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    outcome(&mut state, &patch(2, json!({ "active": false })));
    outcome(&mut state, &put(3, "x"));
    assert!(state.user(TENANT, ADA).unwrap().archived_at.is_some());
}

#[test]
fn roles_sent_over_scim_are_neither_stored_nor_an_error() {
    let mut state = state();
    let mut body = serde_json::to_value(user("ada@acme.example", None)).unwrap();
    body["roles"] = json!([{ "value": "admin", "primary": true }]);
    let user = serde_json::from_value(body).unwrap();
    let change = Change::CreateUser { user, origin: Origin::Scim, role: None };
    assert_eq!(status(&mut state, &command(1, ADA, change)), 201);
    let value = json!({ "roles": [{ "value": "creator" }], "title": "Countess" });
    assert_eq!(status(&mut state, &patch(2, value)), 200);
    let row = state.user(TENANT, ADA).unwrap();
    assert_eq!((row.role.as_str(), row.resource.get("roles")), ("learner", None));
    assert_eq!(row.resource["title"].as_str(), Some("Countess"));
}

#[test]
fn an_invalid_resource_has_no_verdict_and_unknown_attributes_are_left_out() {
    let mut state = state();
    let sent = |body| Change::ReplaceUser { user: serde_json::from_value(body).unwrap() };
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    assert!(decide(&mut state, &command(2, ADA, sent(json!({ "userName": "ada" })))).is_err());
    let mut body = serde_json::to_value(user("ada@acme.example", Some("Countess"))).unwrap();
    body["shoeSize"] = json!(38);
    assert_eq!(status(&mut state, &command(3, ADA, sent(body))), 200);
    assert_eq!(state.user(TENANT, ADA).unwrap().resource.get("shoeSize"), None);
}

#[test]
fn the_time_of_a_batch_is_in_whole_milliseconds() {
    let state = State::new(NOW + Duration::nanoseconds(1_999_999));
    assert_eq!(state.now, NOW + Duration::milliseconds(1));
}
