//! Undelivered outcomes and retried requests.

use domain::command::{Change, IfMatch, Role};
use domain::outcome::{Outcome, REPEATABLE_FOR};
use uuid::Uuid;

use super::*;

#[test]
fn an_abandoned_create_is_applied_and_returned_to_the_retry() {
    let mut state = state();
    let gone =
        Entry { stored: true, changed: false, outcome: None, delivery: Delivery::Replied, command: None };
    state.verdicts.insert(ticket(1), gone);
    let first = decide(&mut state, &create(1, ADA, "ada@acme.example")).unwrap();
    assert!(matches!(first, Decision::Undelivered(Outcome::Created { .. })));
    let repeated = outcome(&mut state, &create(2, Uuid::from_u128(2), "ada@acme.example"));
    assert!(matches!(repeated, Outcome::Created { record, .. } if record.id == ADA));
    assert_eq!(
        status(&mut state, &create(3, Uuid::from_u128(3), "ada@acme.example")),
        409,
        "returned only once"
    );
    assert_eq!(kinds(&state), ["user.created"]);
}

#[test]
fn a_late_retry_leaves_the_outcome_undelivered() {
    let mut state = state();
    decide(&mut state, &late(create(1, ADA, "ada@acme.example"))).unwrap();
    let repeat = decide(&mut state, &late(create(2, Uuid::from_u128(2), "ada@acme.example"))).unwrap();
    assert!(matches!(repeat, Decision::Undelivered(Outcome::Created { .. })));
    assert_eq!(
        status(&mut state, &create(3, Uuid::from_u128(3), "ada@acme.example")),
        201,
        "still undelivered"
    );
}

#[test]
fn an_undelivered_update_is_returned_only_while_it_still_holds() {
    let mut state = state();
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    decide(&mut state, &late(put(2, "late"))).unwrap();
    let version = state.user(TENANT, ADA).unwrap().version;
    assert_eq!(status(&mut state, &put(3, "late")), 200);
    assert_eq!(state.user(TENANT, ADA).unwrap().version, version, "returned, not applied again");

    decide(&mut state, &late(put(4, "late again"))).unwrap();
    outcome(&mut state, &put(5, "from another client"));
    outcome(&mut state, &put(6, "late again"));
    assert_eq!(
        state.user(TENANT, ADA).unwrap().resource["title"].as_str(),
        Some("late again"),
        "applied as a new change"
    );
}

#[test]
fn a_late_retry_of_an_update_leaves_it_undelivered_too() {
    let mut state = state();
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    let etag = state.user(TENANT, ADA).unwrap().record().unwrap().etag();
    let put = |n| Command { if_match: Some(IfMatch::Tags(vec![etag.clone()])), ..put(n, "late") };
    decide(&mut state, &late(put(2))).unwrap();
    decide(&mut state, &late(put(3))).unwrap();
    let version = state.user(TENANT, ADA).unwrap().version;
    assert_eq!(status(&mut state, &put(4)), 200, "not 412 for its own change");
    assert_eq!(state.user(TENANT, ADA).unwrap().version, version);
}

#[test]
fn an_undelivered_group_is_returned_to_the_retry_with_the_count_of_skipped_members() {
    let mut state = state();
    skip_unknown(&mut state);
    let first = Uuid::from_u128(1);
    decide(&mut state, &late(make(1, first, "Readers", &[Uuid::nil()]))).unwrap();
    let repeated = outcome(&mut state, &make(2, Uuid::from_u128(2), "Readers", &[Uuid::nil()]));
    assert!(matches!(repeated, Outcome::Created { record, skipped_members: 1, .. } if record.id == first));
    // Two groups may have the same name: a third POST creates another one.
    let third = outcome(&mut state, &make(3, Uuid::from_u128(3), "Readers", &[Uuid::nil()]));
    assert!(matches!(third, Outcome::Created { record, .. } if record.id == Uuid::from_u128(3)));
}

#[test]
fn an_undelivered_change_of_a_group_is_returned_with_the_group_as_it_is_now() {
    let mut state = state_with_people();
    outcome(&mut state, &make(1, READERS, "Readers", &[BOB]));
    decide(&mut state, &late(members(2, &[MemberChange::Add(vec![ADA])]))).unwrap();
    outcome(&mut state, &command(3, BOB, Change::DeleteUser));
    let handed = outcome(&mut state, &members(4, &[MemberChange::Add(vec![ADA])]));
    assert!(matches!(handed, Outcome::Updated { record, .. } if record.version == 3));
    assert_eq!(state.row::<GroupRow>(TENANT, READERS).unwrap().version, 3, "returned, not applied again");
}

/// Applies the command without delivering its outcome.
fn undelivered(state: &mut State, command: &Command) {
    assert!(decide(state, &late(command.clone())).unwrap().outcome().is_applied());
}

/// Applies the create and answers its client, but loses the confirmation of that.
fn unmarked(state: &mut State, command: &Command) {
    assert_eq!(status(state, command), 201);
    let request = (command.tenant, command.fingerprint.clone());
    state.without_receipt.entry(request).or_default().insert(command.ticket, state.now);
}

fn is_active(state: &State) -> bool {
    state.user(TENANT, ADA).unwrap().archived_at.is_none()
}

/// The n-th attempt of one POST. Each is issued a little later than the one before.
fn post(n: u128) -> Command {
    let later = NOW + Duration::seconds(2 * i64::try_from(n).unwrap());
    Command {
        issued_at: later,
        ..create(n, if n == 1 { ADA } else { Uuid::from_u128(n) }, "ada@acme.example")
    }
}

#[test]
fn a_retried_create_restores_a_user_who_was_deactivated_since() {
    for left in [undelivered, unmarked] {
        let mut state = state();
        left(&mut state, &post(1));
        assert_eq!(status(&mut state, &patch(2, json!({ "active": false }))), 200);
        let Outcome::Created { record, .. } = outcome(&mut state, &post(3)) else { panic!("no 201") };
        assert_eq!((record.id, record.resource.active()), (ADA, Some(true)));
        assert!(is_active(&state));
        assert_eq!(status(&mut state, &post(4)), 409, "the outcome of the first attempt is used up");
        assert_eq!(kinds(&state), ["user.created", "user.archived", "user.restored"]);
    }
}

#[test]
fn a_late_retry_restores_no_user_and_leaves_that_to_the_next_retry() {
    let mut state = state();
    undelivered(&mut state, &post(1));
    outcome(&mut state, &patch(2, json!({ "active": false })));
    assert!(matches!(outcome(&mut state, &late(post(3))), Outcome::Stale { .. }));
    assert!(!is_active(&state));
    assert_eq!(status(&mut state, &post(4)), 201);
    assert!(is_active(&state));
}

#[test]
fn a_create_of_an_inactive_user_is_returned_while_the_user_is_inactive() {
    let inactive = |n: u128| {
        let change = Change::CreateUser {
            user: user("ada@acme.example", None).with_active(false),
            origin: Origin::Scim,
            role: None,
        };
        Command { change, ..post(n) }
    };
    for is_activated in [false, true] {
        let mut state = state();
        undelivered(&mut state, &inactive(1));
        if is_activated {
            outcome(&mut state, &patch(2, json!({ "active": true })));
        }
        let version = state.user(TENANT, ADA).unwrap().version;
        assert_eq!(status(&mut state, &inactive(3)), if is_activated { 409 } else { 201 });
        let row = state.user(TENANT, ADA).unwrap();
        assert_eq!((row.archived_at.is_none(), row.version), (is_activated, version), "unchanged");
    }
}

#[test]
fn no_outcome_is_returned_after_an_hour() {
    let readers = |n: u128| make(n, Uuid::from_u128(n), "Readers", &[]);
    for (wait, status_of_post, groups) in [
        (REPEATABLE_FOR - Duration::seconds(1), 201, 1),
        (REPEATABLE_FOR, 409, 2),
        (Duration::weeks(3), 409, 2),
    ] {
        for left in [undelivered, unmarked] {
            let mut state = state();
            left(&mut state, &post(1));
            left(&mut state, &readers(2));
            state.now += wait;
            let later = |command: Command| Command {
                issued_at: NOW + wait,
                deadline: NOW + wait + Duration::seconds(20),
                ..command
            };
            assert_eq!(status(&mut state, &later(post(3))), status_of_post, "after {wait}");
            assert_eq!(status(&mut state, &later(readers(4))), 201);
            assert_eq!(state.groups.len(), groups, "after {wait}");
        }
    }
}

#[test]
fn a_retry_of_an_undelivered_change_is_a_new_change_after_an_hour() {
    let role = |n| command(n, ADA, Change::SetRole { role: Role::Manager });
    let changes: [&dyn Fn(u128) -> Command; 3] =
        [&|n| put(n, "late"), &|n| patch(n, json!({ "title": "late" })), &role];
    for (wait, expected) in [(Duration::minutes(59), 200), (Duration::minutes(61), 412)] {
        for change in changes {
            let mut state = state();
            outcome(&mut state, &create(1, ADA, "ada@acme.example"));
            let etag = state.user(TENANT, ADA).unwrap().record().unwrap().etag();
            // A returned outcome ignores If-Match; a new change fails because the version has moved on.
            let change = |n| Command { if_match: Some(IfMatch::Tags(vec![etag.clone()])), ..change(n) };
            undelivered(&mut state, &change(2));
            state.now += wait;
            let deadline = NOW + wait + Duration::seconds(20);
            let again = Command { issued_at: NOW + wait, deadline, ..change(3) };
            assert_eq!(status(&mut state, &again), expected, "after {wait}");
        }
    }
}
