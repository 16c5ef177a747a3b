//! Outcomes that nobody heard, and the repeated request.

use shared::command::{Change, IfMatch, Role};
use shared::outcome::{Outcome, REPEATABLE_FOR};
use uuid::Uuid;

use super::*;

#[test]
fn an_abandoned_create_is_applied_unheard_and_handed_to_the_repeated_request() {
    let mut state = state();
    let gone =
        Entry { stored: true, changed: false, outcome: None, standing: Standing::Decided, command: None };
    state.inbox.insert(ticket(1), gone);
    let first = decide(&mut state, &create(1, ADA, "ada@acme.example")).unwrap();
    assert!(matches!(first, Decision::Unheard(Outcome::Created { .. })));
    let repeated = outcome(&mut state, &create(2, Uuid::from_u128(2), "ada@acme.example"));
    assert!(matches!(repeated, Outcome::Created { record, .. } if record.id == ADA));
    assert_eq!(
        status(&mut state, &create(3, Uuid::from_u128(3), "ada@acme.example")),
        409,
        "handed out once"
    );
    assert_eq!(kinds(&state), ["user.created"]);
}

#[test]
fn a_late_repeat_hands_nothing_out() {
    let mut state = state();
    decide(&mut state, &late(create(1, ADA, "ada@acme.example"))).unwrap();
    let repeat = decide(&mut state, &late(create(2, Uuid::from_u128(2), "ada@acme.example"))).unwrap();
    assert!(matches!(repeat, Decision::Unheard(Outcome::Created { .. })));
    assert_eq!(
        status(&mut state, &create(3, Uuid::from_u128(3), "ada@acme.example")),
        201,
        "still unclaimed"
    );
}

#[test]
fn an_unheard_update_is_handed_out_only_while_it_is_the_truth() {
    let mut state = state();
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    decide(&mut state, &late(put(2, "late"))).unwrap();
    let version = state.user(TENANT, ADA).unwrap().version;
    assert_eq!(status(&mut state, &put(3, "late")), 200);
    assert_eq!(state.user(TENANT, ADA).unwrap().version, version, "handed out, not applied again");

    decide(&mut state, &late(put(4, "late again"))).unwrap();
    outcome(&mut state, &put(5, "somebody else's"));
    outcome(&mut state, &put(6, "late again"));
    assert_eq!(
        state.user(TENANT, ADA).unwrap().job_title.as_deref(),
        Some("late again"),
        "applied as a new change"
    );
}

#[test]
fn a_late_repeat_of_an_update_leaves_it_unclaimed_too() {
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
fn an_unheard_group_is_handed_to_the_repeated_request_with_what_was_left_out() {
    let mut state = state();
    skip_unknown(&mut state);
    let first = Uuid::from_u128(1);
    decide(&mut state, &late(make(1, first, "Readers", &[Uuid::nil()]))).unwrap();
    let repeated = outcome(&mut state, &make(2, Uuid::from_u128(2), "Readers", &[Uuid::nil()]));
    assert!(matches!(repeated, Outcome::Created { record, skipped_members: 1, .. } if record.id == first));
    // There may be two groups of a name: a third POST makes another.
    let third = outcome(&mut state, &make(3, Uuid::from_u128(3), "Readers", &[Uuid::nil()]));
    assert!(matches!(third, Outcome::Created { record, .. } if record.id == Uuid::from_u128(3)));
}

#[test]
fn an_unheard_change_of_a_group_is_shown_as_the_group_is_now() {
    let mut state = state_with_people();
    outcome(&mut state, &make(1, READERS, "Readers", &[BOB]));
    decide(&mut state, &late(members(2, &[MemberChange::Add(vec![ADA])]))).unwrap();
    outcome(&mut state, &command(3, BOB, Change::DeleteUser));
    let handed = outcome(&mut state, &members(4, &[MemberChange::Add(vec![ADA])]));
    assert!(matches!(handed, Outcome::Updated { record, .. } if record.version == 3));
    assert_eq!(state.row::<GroupRow>(TENANT, READERS).unwrap().version, 3, "handed out, not applied again");
}

/// A state in which this command took effect, and nobody heard of it.
fn unheard(state: &mut State, command: &Command) {
    assert!(decide(state, &late(command.clone())).unwrap().outcome().is_applied());
}

/// A state in which this create took effect and its client was told, but the mark that says so was lost.
fn unmarked(state: &mut State, command: &Command) {
    assert_eq!(status(state, command), 201);
    let request = (command.tenant, command.fingerprint.clone());
    state.untold.entry(request).or_default().insert(command.ticket, state.now);
}

fn is_active(state: &State) -> bool {
    state.user(TENANT, ADA).unwrap().archived_at.is_none()
}

/// The n-th try of one POST, a little later than those before.
fn post(n: u128) -> Command {
    let later = NOW + Duration::seconds(2 * i64::try_from(n).unwrap());
    Command {
        issued_at: later,
        ..create(n, if n == 1 { ADA } else { Uuid::from_u128(n) }, "ada@acme.example")
    }
}

#[test]
fn a_create_whose_user_was_deactivated_since_is_a_new_change_that_restores() {
    for left in [unheard, unmarked] {
        let mut state = state();
        left(&mut state, &post(1));
        assert_eq!(status(&mut state, &patch(2, json!({ "active": false }))), 200);
        let Outcome::Created { record, .. } = outcome(&mut state, &post(3)) else { panic!("no 201") };
        assert_eq!((record.id, record.resource.active()), (ADA, Some(true)));
        assert!(is_active(&state));
        assert_eq!(status(&mut state, &post(4)), 409, "of the first try nothing is left to be handed out");
        assert_eq!(kinds(&state), ["user.created", "user.archived", "user.restored"]);
    }
}

#[test]
fn a_late_repetition_restores_nobody_and_leaves_that_to_the_next() {
    let mut state = state();
    unheard(&mut state, &post(1));
    outcome(&mut state, &patch(2, json!({ "active": false })));
    assert!(matches!(outcome(&mut state, &late(post(3))), Outcome::Stale { .. }));
    assert!(!is_active(&state));
    assert_eq!(status(&mut state, &post(4)), 201);
    assert!(is_active(&state));
}

#[test]
fn a_create_of_somebody_inactive_is_handed_out_while_they_are_inactive() {
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
        unheard(&mut state, &inactive(1));
        if is_activated {
            outcome(&mut state, &patch(2, json!({ "active": true })));
        }
        let version = state.user(TENANT, ADA).unwrap().version;
        assert_eq!(status(&mut state, &inactive(3)), if is_activated { 409 } else { 201 });
        let row = state.user(TENANT, ADA).unwrap();
        assert_eq!((row.archived_at.is_none(), row.version), (is_activated, version), "nothing changes");
    }
}

#[test]
fn nothing_is_handed_out_after_the_hour() {
    let readers = |n: u128| make(n, Uuid::from_u128(n), "Readers", &[]);
    for (wait, status_of_post, groups) in [
        (REPEATABLE_FOR - Duration::seconds(1), 201, 1),
        (REPEATABLE_FOR, 409, 2),
        (Duration::weeks(3), 409, 2),
    ] {
        for left in [unheard, unmarked] {
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
fn a_change_that_nobody_heard_is_a_new_one_after_the_hour() {
    let role = |n| command(n, ADA, Change::SetRole { role: Role::Manager });
    let changes: [&dyn Fn(u128) -> Command; 3] =
        [&|n| put(n, "late"), &|n| patch(n, json!({ "title": "late" })), &role];
    for (wait, expected) in [(Duration::minutes(59), 200), (Duration::minutes(61), 412)] {
        for change in changes {
            let mut state = state();
            outcome(&mut state, &create(1, ADA, "ada@acme.example"));
            let etag = state.user(TENANT, ADA).unwrap().record().unwrap().etag();
            // What is handed out was accepted; applied anew, the version is another one.
            let change = |n| Command { if_match: Some(IfMatch::Tags(vec![etag.clone()])), ..change(n) };
            unheard(&mut state, &change(2));
            state.now += wait;
            let deadline = NOW + wait + Duration::seconds(20);
            let again = Command { issued_at: NOW + wait, deadline, ..change(3) };
            assert_eq!(status(&mut state, &again), expected, "after {wait}");
        }
    }
}
