//! The leaver rule: a deactivation always succeeds, and the response names the attributes that were left out.

use domain::command::{Change, Command, IfMatch};
use domain::outcome::Outcome;
use scim::Misfit;
use serde_json::{Value, json};
use uuid::Uuid;

use super::tenants::{state_with_badges, with_badge};
use super::*;

/// A state with Ada, and with Bob, whose userName Ada may request.
fn roster() -> State {
    let mut state = state();
    assert_eq!(status(&mut state, &create(1, ADA, "ada@acme.example")), 201);
    assert_eq!(status(&mut state, &create(2, BOB, "bob@acme.example")), 201);
    state.events.clear();
    state
}

/// The PUT as ingest parses it.
fn put_of(n: u128, body: &Value) -> Command {
    let change = match scim::leaver::read(ResourceType::user(), body).unwrap() {
        (user, None) => Change::ReplaceUser { user },
        (user, Some(misfit)) => Change::LeaveUser { user, misfit },
    };
    command(n, ADA, change)
}

fn patch_of(n: u128, operations: &Value) -> Command {
    let patch = Patch::parse(&json!({ "Operations": operations })).unwrap();
    command(n, ADA, Change::PatchUser { patch })
}

/// Asserts that Ada is archived, and that the outcome names these attributes as ignored.
#[track_caller]
fn assert_left(state: &mut State, command: &Command, ignored: &[&str]) {
    // As it is read from the queue.
    let queued = serde_json::to_vec(command).unwrap();
    let command: Command = serde_json::from_slice(&queued).unwrap();
    let outcome = outcome(state, &command);
    assert!(matches!(outcome, Outcome::Updated { .. }), "{outcome:?}");
    assert_eq!(outcome.ignored(), ignored);
    let row = state.user(TENANT, ADA).unwrap();
    assert_eq!(row.archived_at, Some(NOW));
    let resource = row.record().unwrap().resource;
    assert_eq!(
        (&*row.user_name, resource.primary_email(), resource.given_name()),
        ("ada@acme.example", Some("ada@acme.example"), Some("Ada"))
    );
    assert_eq!(outcome.record(), row.record().ok().as_ref(), "the answer shows what is stored");
}

#[test]
fn a_deactivating_patch_ignores_operations_that_fail() {
    for (operation, ignored) in [
        (json!({ "op": "remove", "path": "emails" }), "emails"),
        (json!({ "op": "remove", "path": "userName" }), "userName"),
        (json!({ "op": "replace", "value": { "name": { "givenName": "" } } }), "name.givenName"),
        (json!({ "op": "replace", "path": "id", "value": "x" }), "id"),
        (json!({ "op": "remove" }), "Operations"),
        (json!({ "op": "replace", "path": "userName", "value": "BOB@acme.example" }), "userName"),
        (json!({ "op": "replace", "value": { "userName": "bob@acme.example" } }), "userName"),
        (json!({ "op": "add", "path": "companyName", "value": "Acme" }), "companyName"),
    ] {
        let leave = json!({ "op": "Replace", "path": "active", "value": "False" });
        for operations in [json!([operation, leave]), json!([leave, operation])] {
            let mut state = roster();
            assert_left(&mut state, &patch_of(3, &operations), &[ignored]);
            assert_eq!(kinds(&state), ["user.archived"]);
            // The same again, then without the deactivation.
            assert_left(&mut state, &patch_of(4, &operations), &[ignored]);
            assert_left(&mut state, &patch_of(5, &json!([operation])), &[ignored]);
            assert_eq!(kinds(&state), ["user.archived"], "nothing has changed since");
        }
    }
}

#[test]
fn without_deactivation_such_operations_are_rejected_and_change_nothing() {
    for (operation, expected) in [
        (json!({ "op": "remove", "path": "emails" }), 400),
        (json!({ "op": "replace", "path": "id", "value": "x" }), 400),
        (json!({ "op": "remove" }), 400),
        (json!({ "op": "replace", "path": "userName", "value": "bob@acme.example" }), 409),
    ] {
        let mut state = roster();
        let title = json!({ "op": "add", "path": "title", "value": "Countess" });
        assert_eq!(status(&mut state, &patch_of(3, &json!([title, operation]))), expected, "{operation}");
        assert_eq!(state.user(TENANT, ADA).unwrap().resource.get("title"), None);
        assert_eq!(kinds(&state), [""; 0]);
    }
}

#[test]
fn an_unknown_attribute_alone_changes_neither_version_nor_time() {
    let mut state = roster();
    let before = state.user(TENANT, ADA).unwrap().clone();
    let unknown = json!([{ "op": "replace", "path": "companyName", "value": "Acme" }]);
    let outcome = outcome(&mut state, &patch_of(3, &unknown));
    assert_eq!((outcome.status(), outcome.ignored()), (200, &["companyName".to_owned()][..]));
    let after = state.user(TENANT, ADA).unwrap();
    assert_eq!(
        (after.version, after.modified_at, &after.resource),
        (before.version, before.modified_at, &before.resource)
    );
    assert!(state.events.is_empty());
}

#[test]
fn a_deactivating_put_may_omit_everything_else() {
    let whole = serde_json::to_value(user("ada@acme.example", None)).unwrap();
    let with = |name: &str, value: Value| {
        let mut body = whole.clone();
        body["active"] = json!(false);
        body[name] = value;
        body
    };
    for (body, ignored) in [
        (json!({ "active": "False" }), vec!["userName", "name", "emails"]),
        (json!({ "userName": "ada@acme.example", "active": false }), vec!["name", "emails"]),
        (json!({ "userName": "bob@acme.example", "active": false }), vec!["name", "emails", "userName"]),
        (with("userName", json!("bob@acme.example")), vec!["userName"]),
        (with("emails", json!([])), vec!["emails"]),
        (with("emails", json!(true)), vec!["emails"]),
        (with("name", json!({ "givenName": "", "familyName": "Lovelace" })), vec!["name.givenName"]),
    ] {
        let mut state = roster();
        assert_left(&mut state, &put_of(3, &body), &ignored);
        assert_left(&mut state, &put_of(4, &body), &ignored);
        assert_eq!(kinds(&state), ["user.archived"], "{body}");
    }
}

#[test]
fn an_incomplete_put_that_leaves_the_user_active_is_rejected() {
    let mut state = roster();
    let sent = json!({ "userName": "ada@acme.example", "title": "Countess" });
    let Outcome::Rejected { error } = outcome(&mut state, &put_of(3, &sent)) else { panic!("accepted") };
    assert_eq!((error.status, &*error.detail), (400, "name.familyName is required"));
    assert_eq!(state.user(TENANT, ADA).unwrap().resource.get("title"), None);
    // The same PUT of an inactive user is accepted.
    outcome(&mut state, &patch(4, json!({ "active": false })));
    assert_left(&mut state, &put_of(5, &sent), &["name", "emails"]);
}

#[test]
fn a_tenants_own_schema_does_not_block_deactivation() {
    let mut state = state_with_badges();
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    let sent = |badge: &Value, active: bool| {
        let user = with_badge(&user("ada@acme.example", None), badge).with_active(active);
        Change::ReplaceUser { user }
    };
    outcome(&mut state, &command(2, ADA, sent(&json!("7"), true)));
    // The first value violates immutability, the second matched an earlier schema.
    for (n, badge) in [(3, json!("8")), (5, json!(true))] {
        assert_eq!(status(&mut state, &command(n, ADA, sent(&badge, true))), 400);
        assert_left(&mut state, &command(n + 1, ADA, sent(&badge, false)), &["badge"]);
        assert_eq!(state.user(TENANT, ADA).unwrap().resource["badge"], "7");
    }
}

#[test]
fn a_post_of_a_user_who_stays_archived_ignores_what_fails() {
    let mut state = state_with_badges();
    let post = |n, badge: &str, active| {
        let user = with_badge(&user("ada@acme.example", None), &json!(badge)).with_active(active);
        command(n, Uuid::from_u128(n), Change::CreateUser { user, origin: Origin::Scim, role: None })
    };
    assert_eq!(status(&mut state, &Command { resource: ADA, ..post(1, "7", false) }), 201);
    assert_eq!(status(&mut state, &post(2, "8", true)), 400, "a badge is immutable");
    let again = outcome(&mut state, &post(3, "8", false));
    assert_eq!((again.status(), again.ignored()), (201, &["badge".to_owned()][..]));
    let row = state.user(TENANT, ADA).unwrap();
    assert_eq!((&row.resource["badge"], row.archived_at.is_some()), (&json!("7"), true));
}

#[test]
fn the_ignored_attributes_are_returned_to_a_retry_too() {
    let mut state = roster();
    let leave = json!([{ "op": "replace", "value": { "active": false, "emails": [] } }]);
    let outcome_of_first = outcome(&mut state, &late(patch_of(3, &leave)));
    assert_eq!(outcome_of_first.ignored(), ["emails"]);
    assert_eq!(outcome(&mut state, &patch_of(4, &leave)), outcome_of_first);
}

#[test]
fn a_deactivation_still_requires_the_user_and_the_version() {
    let mut state = roster();
    let leave = json!([{ "op": "replace", "value": { "active": false, "emails": [] } }]);
    let other = Some(IfMatch::Tags(vec!["W/\"7\"".to_owned()]));
    assert_eq!(status(&mut state, &Command { if_match: other, ..patch_of(3, &leave) }), 412);
    assert_eq!(status(&mut state, &Command { resource: Uuid::from_u128(9), ..patch_of(4, &leave) }), 404);
    assert_eq!(state.user(TENANT, ADA).unwrap().archived_at, None);
}

#[test]
fn a_command_has_version_3_only_if_it_needs_the_leaver_rule() {
    let misfit = Misfit { error: scim::Error::invalid_value("emails is required"), attributes: vec![] };
    let user = user("ada@acme.example", None);
    for (change, version) in [
        (put_of(1, &serde_json::to_value(&user).unwrap()).change, 1),
        (patch_of(1, &json!([{ "op": "remove", "path": "emails" }])).change, 1),
        (patch_of(1, &json!([{ "op": "remove" }])).change, 3),
        (Change::LeaveUser { user, misfit }, 3),
    ] {
        assert_eq!(change.version(), version, "{change:?}");
    }
}
