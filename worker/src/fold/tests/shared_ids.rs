//! An externalId that several users share (RFC 7643 §3.1 leaves uniqueness to the client), and tenants that require
//! unique ones.

use serde_json::{Value, json};

use super::known::{inactive, post, with};
use super::*;

/// PATCH of a user's attributes.
fn patch_of(n: u128, id: Uuid, value: Value) -> Command {
    command(n, id, patch(n, value).change)
}

/// A step in the history of Ada and Bob.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Leaves(Uuid),
    Returns(Uuid),
    /// Bob receives Ada's externalId.
    Taken,
}

/// All orders in which both are deactivated and restored.
fn comings_and_goings() -> Vec<Vec<Step>> {
    use Step::{Leaves, Returns};
    let (ada, bob) = ([Leaves(ADA), Returns(ADA)], [Leaves(BOB), Returns(BOB)]);
    // The positions of Ada's two steps among the four.
    [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
        .map(|(first, second)| {
            let (mut ada, mut bob) = (ada.iter(), bob.iter());
            let steps = (0..4).map(|n| if n == first || n == second { ada.next() } else { bob.next() });
            steps.map(|step| *step.unwrap()).collect()
        })
        .to_vec()
}

/// Runs the steps with these initial externalIds. After [`Step::Taken`], Bob is posted with `resent`.
fn go_through(steps: &[Step], [ada, bob]: [&str; 2], resent: &str) {
    let mut state = state();
    let name = |id| if id == ADA { "ada" } else { "bob" };
    for (n, id, external_id) in [(1, ADA, ada), (2, BOB, bob)] {
        let attributes = json!({ "userName": name(id), "externalId": external_id });
        let made =
            with(n, id, &attributes, |user| Change::CreateUser { user, origin: Origin::Scim, role: None });
        assert_eq!(status(&mut state, &made), 201, "{steps:?}");
    }
    let mut bobs = bob;
    for (n, step) in (10..).zip(steps) {
        match *step {
            Step::Leaves(id) => {
                assert_eq!(
                    status(&mut state, &patch_of(n, id, json!({ "active": false }))),
                    200,
                    "{steps:?}"
                );
            }
            Step::Taken => {
                assert_eq!(
                    status(&mut state, &patch_of(n, BOB, json!({ "externalId": ada }))),
                    200,
                    "{steps:?}"
                );
                bobs = resent;
            }
            Step::Returns(id) => {
                let external_id = if id == ADA { ada } else { bobs };
                let answer = outcome(
                    &mut state,
                    &post(n, &json!({ "userName": name(id), "externalId": external_id })),
                );
                let Outcome::Created { record, .. } = answer else { panic!("{steps:?}: {answer:?}") };
                assert_eq!((record.id, record.resource.external_id()), (id, Some(external_id)), "{steps:?}");
            }
        }
    }
    assert_eq!(state.users_of(TENANT).count(), 2, "{steps:?}");
    assert!(state.users_of(TENANT).all(|row| row.archived_at.is_none()), "{steps:?}");
}

#[test]
fn two_users_who_share_an_external_id_leave_and_return_in_every_order() {
    for steps in comings_and_goings() {
        go_through(&steps, ["x", "x"], "x");
    }
}

#[test]
fn two_users_leave_and_return_in_every_order_after_one_took_the_others_external_id() {
    for steps in comings_and_goings() {
        for at in 0..=steps.len() {
            let mut steps = steps.clone();
            steps.insert(at, Step::Taken);
            go_through(&steps, ["x", "y"], "x");
            // The client resends the old value.
            go_through(&steps, ["x", "y"], "y");
        }
    }
}

#[test]
fn an_external_id_of_an_active_user_restores_no_user_with_another_name() {
    let mut state = inactive(&[(7, "old", Some("x"))]);
    assert_eq!(status(&mut state, &post(50, &json!({ "userName": "now" }))), 201);
    let now = state.users_of(TENANT).find(|row| row.user_name == "now").unwrap().id;
    assert_eq!(status(&mut state, &patch_of(51, now, json!({ "externalId": "x" }))), 200);
    let third = outcome(&mut state, &post(100, &json!({ "userName": "third", "externalId": "x" })));
    assert!(matches!(third, Outcome::Created { record, .. } if record.id == Uuid::from_u128(100)));
    // The userName still matches.
    let old = outcome(&mut state, &post(101, &json!({ "userName": "old", "externalId": "x" })));
    assert!(matches!(old, Outcome::Created { record, .. } if record.id == Uuid::from_u128(7)));
    assert!(state.assigned_external_ids.is_empty(), "uniqueness is not checked");
}

#[test]
fn a_late_post_creates_no_second_account_after_its_retry_created_one_that_was_renamed() {
    let mut state = state();
    let posted = json!({ "userName": "ada", "externalId": "x" });
    outcome(&mut state, &post(5, &posted));
    outcome(&mut state, &patch_of(6, Uuid::from_u128(5), json!({ "userName": "countess" })));
    assert_eq!(outcome(&mut state, &late(post(3, &posted))), Outcome::Stale { ticket: ticket(6) });
    // A late first POST of another user with the same externalId is applied.
    assert_eq!(status(&mut state, &late(post(8, &json!({ "userName": "bob", "externalId": "x" })))), 201);
}

#[test]
fn with_unique_external_ids_no_change_gives_one_to_two_active_users() {
    let mut state = state();
    unique_external_ids(&mut state);
    outcome(&mut state, &post(1, &json!({ "userName": "ada", "externalId": "x" })));
    outcome(&mut state, &post(2, &json!({ "userName": "bob", "externalId": "y" })));
    let eve = json!({ "userName": "eve", "externalId": "x", "active": false });
    let eve = with(3, Uuid::from_u128(3), &eve, |user| Change::CreateUser {
        user,
        origin: Origin::Manual,
        role: None,
    });
    assert_eq!(status(&mut state, &eve), 201);
    let [bob, eve] = [2, 3].map(Uuid::from_u128);
    let put = |n, id, attributes: Value| with(n, id, &attributes, |user| Change::ReplaceUser { user });
    let before = state.clone();
    for refused in [
        post(10, &json!({ "userName": "new", "externalId": "x" })),
        patch_of(11, bob, json!({ "externalId": "x" })),
        put(12, bob, json!({ "userName": "bob", "externalId": "x" })),
        patch_of(13, eve, json!({ "active": true })),
        post(14, &json!({ "userName": "eve", "externalId": "x" })),
        put(15, eve, json!({ "userName": "eve", "externalId": "x", "active": true })),
    ] {
        let Outcome::Rejected { error } = outcome(&mut state, &refused) else { panic!("{refused:?}") };
        assert_eq!((error.status, error.scim_type), (409, Some(scim::ScimType::Uniqueness)));
        assert!(error.detail.contains("externalId"), "{}", error.detail);
    }
    assert!(
        state.assigned_external_ids.contains(&(TENANT, "x".to_owned())),
        "the store must load its holders"
    );
    let rows = |state: &State| state.users_of(TENANT).cloned().collect::<Vec<_>>();
    assert_eq!(rows(&state), rows(&before));
    // Allowed: deactivation, an unchanged externalId, and one that no active user holds.
    for taken in [
        patch_of(20, bob, json!({ "active": false, "externalId": "x" })),
        patch_of(21, bob, json!({ "active": true, "externalId": "y" })),
        put(22, bob, json!({ "userName": "bob", "externalId": "y", "title": "Boss" })),
        patch_of(23, Uuid::from_u128(1), json!({ "active": false })),
        patch_of(24, eve, json!({ "active": true })),
    ] {
        assert_eq!(status(&mut state, &taken), 200, "{taken:?}");
    }
}

#[test]
fn external_ids_shared_before_the_setting_block_no_other_change() {
    let mut state = state();
    for (n, name) in [(1, "ada"), (2, "bob")] {
        assert_eq!(status(&mut state, &post(n, &json!({ "userName": name, "externalId": "x" }))), 201);
    }
    unique_external_ids(&mut state);
    let bob = Uuid::from_u128(2);
    assert_eq!(status(&mut state, &patch_of(10, bob, json!({ "title": "Boss" }))), 200);
    assert_eq!(status(&mut state, &patch_of(11, bob, json!({ "externalId": "x", "title": "Lady" }))), 200);
    assert_eq!(status(&mut state, &patch_of(12, bob, json!({ "active": false }))), 200);
    assert_eq!(status(&mut state, &patch_of(13, bob, json!({ "active": true }))), 409);
}

#[test]
fn external_ids_are_unique_per_tenant() {
    let mut state = state();
    unique_external_ids(&mut state);
    outcome(&mut state, &post(1, &json!({ "userName": "ada", "externalId": "x" })));
    let elsewhere = Command { tenant: OTHER, ..post(2, &json!({ "userName": "ada", "externalId": "x" })) };
    assert_eq!(status(&mut state, &elsewhere), 201);
}
