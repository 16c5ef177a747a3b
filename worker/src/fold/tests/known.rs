//! A POST of a known user: reactivates an inactive user, conflicts with an active one. Also the linking of accounts.

use serde_json::{Value, json};

use super::*;

/// A command with a user like Ada, except for these attributes.
pub(super) fn with(n: u128, id: Uuid, attributes: &Value, change: impl Fn(Resource) -> Change) -> Command {
    let mut body = serde_json::to_value(user("ada@acme.example", None)).unwrap();
    body.as_object_mut().unwrap().extend(attributes.as_object().unwrap().clone());
    command(n, id, change(Resource::parse(ResourceType::user(), &body).unwrap()))
}

pub(super) fn post(n: u128, attributes: &Value) -> Command {
    with(n, Uuid::from_u128(n), attributes, |user| Change::CreateUser {
        user,
        origin: Origin::Scim,
        role: None,
    })
}

/// A state with inactive accounts of these ids, userNames and externalIds.
pub(super) fn inactive(accounts: &[(u128, &str, Option<&str>)]) -> State {
    let mut state = state();
    for (id, name, external_id) in accounts {
        let attributes = json!({ "userName": name, "externalId": external_id, "active": false });
        let made = with(1, Uuid::from_u128(*id), &attributes, |user| Change::CreateUser {
            user,
            origin: Origin::Manual,
            role: None,
        });
        assert_eq!(status(&mut state, &Command { ticket: Ticket(Uuid::from_u128(*id)), ..made }), 201);
    }
    state.verdicts.clear();
    state.events.clear();
    state
}

#[test]
fn a_known_inactive_user_is_restored_under_the_same_id() {
    // The known accounts, the posted attributes, the account that is reactivated.
    type Case<'a> = (&'a [(u128, &'a str, Option<&'a str>)], Value, Option<u128>);
    let cases: &[Case<'_>] = &[
        (&[(7, "ada", Some("x"))], json!({ "userName": "ada", "externalId": "x" }), Some(7)),
        (&[(7, "ada", Some("x"))], json!({ "userName": "ADA" }), Some(7)),
        (&[(7, "ada", None)], json!({ "userName": "ada", "externalId": "x" }), Some(7)),
        (&[(7, "ada", None)], json!({ "userName": "ada" }), Some(7)),
        (&[(7, "old", Some("x"))], json!({ "userName": "new", "externalId": "x" }), Some(7)),
        // Another person with the same userName.
        (&[(7, "ada", Some("x"))], json!({ "userName": "ada", "externalId": "y" }), None),
        // The externalId of another archived user.
        (
            &[(7, "ada", Some("x")), (8, "bob", Some("y"))],
            json!({ "userName": "ada", "externalId": "y" }),
            None,
        ),
        // A shared externalId is not evidence, whether it is the account's own or the posted one.
        (
            &[(7, "ada", Some("x")), (8, "bob", Some("x"))],
            json!({ "userName": "ada", "externalId": "y" }),
            Some(7),
        ),
        (
            &[(7, "ada", Some("x")), (8, "bob", Some("y")), (9, "eve", Some("y"))],
            json!({ "userName": "ada", "externalId": "y" }),
            Some(7),
        ),
        // Among several holders the one with the same userName matches, otherwise none.
        (
            &[(7, "old", Some("x")), (8, "ada", Some("x"))],
            json!({ "userName": "Ada", "externalId": "x" }),
            Some(8),
        ),
        (
            &[(7, "old", Some("x")), (8, "older", Some("x"))],
            json!({ "userName": "ada", "externalId": "x" }),
            Some(100),
        ),
        // The userName takes precedence.
        (
            &[(7, "old", Some("x")), (8, "ada", None)],
            json!({ "userName": "ada", "externalId": "x" }),
            Some(8),
        ),
        // externalId is caseExact.
        (&[(7, "old", Some("X"))], json!({ "userName": "ada", "externalId": "x" }), Some(100)),
    ];
    for (known, posted, expected) in cases {
        let mut state = inactive(known);
        let answer = outcome(&mut state, &post(100, posted));
        match (&answer, expected) {
            (Outcome::Created { record, .. }, Some(id)) => {
                assert_eq!(record.id, Uuid::from_u128(*id), "{known:?} {posted}");
                assert_eq!(record.resource.active(), Some(true));
                assert_eq!(record.resource.user_name(), posted["userName"].as_str().unwrap());
                assert_eq!(state.user(TENANT, record.id).unwrap().ticket, ticket(100).0);
            }
            (Outcome::Rejected { error }, None) => assert_eq!(error.status, 409),
            _ => panic!("{known:?} {posted}: {answer:?}"),
        }
    }
}

#[test]
fn an_active_user_with_the_user_name_is_a_conflict_whatever_the_external_id() {
    for posted in [json!({ "externalId": "x" }), json!({ "externalId": "y" }), json!({})] {
        let mut state = state();
        outcome(&mut state, &post(1, &json!({ "externalId": "x" })));
        assert_eq!(status(&mut state, &post(2, &posted)), 409, "{posted}");
    }
}

#[test]
fn a_restored_user_keeps_role_and_origin_and_continues_its_versions() {
    let mut state = inactive(&[(7, "ada", None)]);
    let seven = Uuid::from_u128(7);
    outcome(&mut state, &post(100, &json!({ "userName": "ada", "externalId": "x", "title": "Countess" })));
    let row = state.user(TENANT, seven).unwrap();
    assert_eq!((row.origin.as_str(), row.version, row.archived_at), ("manual", 2, None));
    assert_eq!(kinds(&state), ["user.restored", "user.updated", "user.linked"]);
    assert_eq!(status(&mut state, &post(101, &json!({ "userName": "ada", "externalId": "x" }))), 409);
}

#[test]
fn a_post_with_active_false_leaves_an_inactive_user_inactive() {
    let mut state = inactive(&[(7, "ada", Some("x"))]);
    let posted = json!({ "userName": "ada", "externalId": "x", "active": false });
    assert_eq!(status(&mut state, &post(100, &posted)), 201);
    assert!(state.user(TENANT, Uuid::from_u128(7)).unwrap().archived_at.is_some());
    assert_eq!(kinds(&state), [""; 0]);
}

#[test]
fn a_delayed_post_does_not_reactivate_a_user_who_was_deactivated_since() {
    let mut state = state();
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    outcome(&mut state, &patch(5, json!({ "active": false })));
    assert_eq!(outcome(&mut state, &post(3, &json!({}))), Outcome::Stale { ticket: ticket(5) });
    assert!(state.user(TENANT, ADA).unwrap().archived_at.is_some());
}

#[test]
fn a_late_post_does_not_reactivate_a_user() {
    let mut state = inactive(&[(7, "ada", None)]);
    let posted = json!({ "userName": "ada" });
    let first = outcome(&mut state, &late(post(100, &posted)));
    assert_eq!(first, Outcome::Stale { ticket: Ticket(Uuid::from_u128(7)) });
    assert!(state.user(TENANT, Uuid::from_u128(7)).unwrap().archived_at.is_some());
    assert_eq!(status(&mut state, &post(101, &posted)), 201, "the retry does");
}

#[test]
fn an_operators_new_account_does_not_reactivate_a_user() {
    let mut state = inactive(&[(7, "ada", None)]);
    let made = with(100, ADA, &json!({ "userName": "ada" }), |user| Change::CreateUser {
        user,
        origin: Origin::Manual,
        role: None,
    });
    assert_eq!(status(&mut state, &made), 409);
}

#[test]
fn an_undelivered_reactivation_is_returned_to_the_retry() {
    let mut state = inactive(&[(7, "ada", None)]);
    let posted = json!({ "userName": "ada" });
    let first = post(100, &posted);
    let repeated = Command { fingerprint: first.fingerprint.clone(), ..post(101, &posted) };
    // Decided in time, but the commit hung.
    let decided = outcome(&mut state, &first);
    state.record_verdict(&first, decided, Delivery::Undelivered);
    let answer = outcome(&mut state, &repeated);
    assert!(matches!(answer, Outcome::Created { record, .. } if record.id == Uuid::from_u128(7)));
    assert_eq!(kinds(&state), ["user.restored"]);
}

#[test]
fn an_account_that_gets_its_external_id_is_linked_once() {
    let mut state = state();
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    state.events.clear();
    outcome(&mut state, &patch(2, json!({ "externalId": "x" })));
    outcome(&mut state, &patch(3, json!({ "externalId": "y" })));
    assert_eq!(kinds(&state), ["user.updated", "user.linked", "user.updated"]);
    let replaced = |n, attributes| with(n, ADA, &attributes, |user| Change::ReplaceUser { user });
    outcome(&mut state, &replaced(4, json!({})));
    outcome(&mut state, &replaced(5, json!({ "externalId": "z" })));
    assert_eq!(kinds(&state)[3..], ["user.updated", "user.updated", "user.linked"]);
}

#[test]
fn an_account_made_by_hand_is_linked_by_the_first_change_of_an_identity_provider() {
    let mut state = state();
    let made = with(1, ADA, &json!({ "userName": "ada@acme.example" }), |user| Change::CreateUser {
        user,
        origin: Origin::Manual,
        role: None,
    });
    outcome(&mut state, &made);
    outcome(&mut state, &patch(2, json!({ "title": "Countess" })));
    assert_eq!(state.user(TENANT, ADA).unwrap().linked_at, None, "an operator does not link an account");
    state.events.clear();
    // Okta's PUT repeats what it read, which contains no externalId.
    let stored = state.user(TENANT, ADA).unwrap().record().unwrap().resource;
    let found = command(3, ADA, Change::ReplaceUser { user: stored });
    outcome(&mut state, &Command { actor: Actor::Key(Uuid::nil()), ..found });
    let row = state.user(TENANT, ADA).unwrap();
    assert_eq!((row.linked_at, row.version, row.origin.as_str()), (Some(NOW), 3, "manual"));
    assert_eq!(kinds(&state), ["user.linked"]);
    outcome(&mut state, &Command { actor: Actor::Key(Uuid::nil()), ..patch(4, json!({ "title": "Lady" })) });
    assert_eq!(kinds(&state), ["user.linked", "user.updated"]);
}

#[test]
fn an_account_with_an_external_id_is_already_linked_and_a_change_without_effect_changes_nothing() {
    let mut state = state();
    let made = json!({ "userName": "ada@acme.example", "externalId": "x" });
    let made = with(1, ADA, &made, |user| Change::CreateUser { user, origin: Origin::Manual, role: None });
    outcome(&mut state, &made);
    state.events.clear();
    let stored = state.user(TENANT, ADA).unwrap().record().unwrap().resource;
    let found = command(2, ADA, Change::ReplaceUser { user: stored });
    outcome(&mut state, &Command { actor: Actor::Key(Uuid::nil()), ..found });
    let row = state.user(TENANT, ADA).unwrap();
    assert_eq!((row.linked_at, row.version), (Some(NOW), 1), "it stays linked if it loses its externalId");
    assert_eq!(kinds(&state), [""; 0]);
}
