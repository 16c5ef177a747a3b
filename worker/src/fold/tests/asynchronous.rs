//! Commands that nobody waits for.

use serde_json::json;

use super::*;

fn asynchronous(command: Command) -> Command {
    Command { asynchronous: true, ..command }
}

/// ingest took it, and wrote its row.
fn queued(state: &mut State, n: u128) {
    let entry =
        Entry { stored: true, changed: false, outcome: None, standing: Standing::Decided, command: None };
    state.inbox.insert(ticket(n), entry);
}

#[test]
fn a_queued_command_is_applied_however_late_and_is_never_unclaimed() {
    let mut state = state();
    queued(&mut state, 1);
    let command = asynchronous(late(create(1, ADA, "ada@acme.example")));
    let decision = decide(&mut state, &command).unwrap();
    assert!(matches!(decision, Decision::Reply(Outcome::Created { .. })), "{decision:?}");
    let entry = &state.inbox[&ticket(1)];
    assert!(entry.stored && entry.changed && entry.standing == Standing::Claimed && entry.outcome.is_some());
    assert!(state.unclaimed.is_empty());
}

#[test]
fn one_that_was_overtaken_is_applied_just_after() {
    let mut state = state_with_people();
    outcome(&mut state, &put(5, "later"));
    assert_eq!(status(&mut state, &asynchronous(put(3, "earlier, but its turn is now"))), 200);
    let row = state.user(TENANT, ADA).unwrap();
    assert_eq!(row.job_title.as_deref(), Some("earlier, but its turn is now"));
    assert_eq!(row.ticket, ticket(5).after().0);
    assert_eq!(status(&mut state, &put(6, "the next")), 200, "those who wait are not held up by it");

    outcome(&mut state, &make(7, READERS, "Readers", &[]));
    outcome(&mut state, &members(9, &[MemberChange::Add(vec![ADA])]));
    assert_eq!(status(&mut state, &asynchronous(members(8, &[MemberChange::Add(vec![BOB])]))), 200);
    assert_eq!(readers(&state), (2, 3, vec![ADA, BOB]));
    assert_eq!(status(&mut state, &asynchronous(command(4, ADA, Change::DeleteUser))), 204);
}

#[test]
fn one_that_was_overtaken_brings_back_nobody_who_was_deactivated_since() {
    let mut state = state();
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    outcome(&mut state, &patch(5, json!({ "active": false })));
    for old in [create(3, BOB, "ada@acme.example"), patch(4, json!({ "active": true, "title": "T" }))] {
        let stale = Outcome::Stale { ticket: ticket(5).after() };
        assert_eq!(outcome(&mut state, &asynchronous(old)), stale);
        assert!(state.user(TENANT, ADA).unwrap().archived_at.is_some());
    }
    assert_eq!(status(&mut state, &asynchronous(patch(2, json!({ "title": "T" })))), 200);
    let restored = outcome(&mut state, &asynchronous(create(7, BOB, "ada@acme.example")));
    assert!(matches!(restored, Outcome::Created { record, .. } if record.id == ADA));
}

#[test]
fn nothing_is_handed_out_to_one() {
    let mut state = state();
    decide(&mut state, &late(create(1, ADA, "ada@acme.example"))).unwrap();
    assert_eq!(status(&mut state, &asynchronous(create(2, BOB, "ada@acme.example"))), 409);
    assert_eq!(status(&mut state, &create(3, BOB, "ada@acme.example")), 201, "still unclaimed");
}

#[test]
fn a_redelivered_one_repeats_its_outcome() {
    let mut state = state();
    queued(&mut state, 1);
    let command = asynchronous(create(1, ADA, "ada@acme.example"));
    let first = outcome(&mut state, &command);
    assert_eq!(decide(&mut state, &command).unwrap(), Decision::Repeated(first));
}
