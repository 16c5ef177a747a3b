//! Outcomes that nobody heard, and the repeated request.

use shared::command::{Change, IfMatch};
use shared::outcome::Outcome;
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
