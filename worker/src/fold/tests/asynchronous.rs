//! Asynchronous commands.

use serde_json::json;

use super::*;

fn asynchronous(command: Command) -> Command {
    Command { asynchronous: true, ..command }
}

/// An asynchronous request for which ingest has inserted the row.
fn queued(state: &mut State, n: u128) {
    let entry =
        Entry { stored: true, changed: false, outcome: None, delivery: Delivery::Replied, command: None };
    state.verdicts.insert(ticket(n), entry);
}

#[test]
fn a_queued_command_is_applied_even_when_late_and_is_never_undelivered() {
    let mut state = state();
    queued(&mut state, 1);
    let command = asynchronous(late(create(1, ADA, "ada@acme.example")));
    let decision = decide(&mut state, &command).unwrap();
    assert!(matches!(decision, Decision::Reply(Outcome::Created { .. })), "{decision:?}");
    let entry = &state.verdicts[&ticket(1)];
    assert!(
        entry.stored && entry.changed && entry.delivery == Delivery::Delivered && entry.outcome.is_some()
    );
    assert!(state.undelivered.is_empty());
}

#[test]
fn an_overtaken_asynchronous_command_is_applied_right_after_the_last_one() {
    let mut state = state_with_people();
    outcome(&mut state, &put(5, "later"));
    assert_eq!(status(&mut state, &asynchronous(put(3, "earlier, but applied now"))), 200);
    let row = state.user(TENANT, ADA).unwrap();
    assert_eq!(row.resource["title"].as_str(), Some("earlier, but applied now"));
    assert_eq!(row.ticket, ticket(5).after().0);
    assert_eq!(status(&mut state, &put(6, "the next")), 200, "synchronous commands are not blocked by it");

    outcome(&mut state, &make(7, READERS, "Readers", &[]));
    outcome(&mut state, &members(9, &[MemberChange::Add(vec![ADA])]));
    assert_eq!(status(&mut state, &asynchronous(members(8, &[MemberChange::Add(vec![BOB])]))), 200);
    assert_eq!(readers(&state), (2, 3, vec![ADA, BOB]));
    assert_eq!(status(&mut state, &asynchronous(command(4, ADA, Change::DeleteUser))), 204);
}

#[test]
fn an_overtaken_asynchronous_command_does_not_reactivate_a_user() {
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
fn an_asynchronous_command_receives_no_earlier_outcome() {
    let mut state = state();
    decide(&mut state, &late(create(1, ADA, "ada@acme.example"))).unwrap();
    assert_eq!(status(&mut state, &asynchronous(create(2, BOB, "ada@acme.example"))), 409);
    assert_eq!(status(&mut state, &create(3, BOB, "ada@acme.example")), 201, "still undelivered");
}

#[test]
fn a_redelivered_asynchronous_command_repeats_its_outcome() {
    let mut state = state();
    queued(&mut state, 1);
    let command = asynchronous(create(1, ADA, "ada@acme.example"));
    let first = outcome(&mut state, &command);
    assert_eq!(decide(&mut state, &command).unwrap(), Decision::Redelivered(first));
}
