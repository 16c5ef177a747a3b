//! The fold's rules, one by one.

use serde_json::json;
use shared::command::{Actor, Change, Command, Fingerprint, IfMatch, Origin, VERSION};
use shared::event::Event;
use shared::outcome::Outcome;
use shared::scim::{Patch, Resource, ResourceType};
use shared::ticket::Ticket;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Decision, Entry, State, decide};

const NOW: OffsetDateTime = datetime!(2026-01-01 10:00 UTC);
const TENANT: Uuid = Uuid::from_u128(0xacce);
const OTHER: Uuid = Uuid::from_u128(0x0ddd);
const ADA: Uuid = Uuid::from_u128(0xada);

fn state() -> State {
    let mut state = State::new(NOW);
    state.tenants.insert(TENANT, "acme".to_owned());
    state.tenants.insert(OTHER, "other".to_owned());
    state
}

/// The n-th ticket.
fn ticket(n: u128) -> Ticket {
    Ticket(Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0000 + n))
}

fn user(name: &str, title: Option<&str>) -> Resource {
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": name, "name": { "givenName": "Ada", "familyName": "Lovelace" },
        "emails": [{ "value": "ada@acme.example" }], "title": title
    });
    Resource::parse(ResourceType::user(), &body).unwrap()
}

fn command(n: u128, resource: Uuid, change: Change) -> Command {
    let content = serde_json::to_vec(&change).unwrap();
    Command {
        version: VERSION,
        ticket: ticket(n),
        tenant: TENANT,
        actor: Actor::Operator,
        request: Uuid::from_u128(n),
        fingerprint: Fingerprint::of(TENANT, "", &resource.to_string(), &content, None),
        issued_at: NOW,
        deadline: NOW + Duration::seconds(20),
        resource,
        if_match: None,
        change,
    }
}

fn create(n: u128, id: Uuid, name: &str) -> Command {
    let change = Change::CreateUser { user: user(name, None), origin: Origin::Scim, role: None };
    // The id is made anew for each try of a request: it is no part of its fingerprint.
    Command {
        fingerprint: Fingerprint::of(TENANT, "POST", "/Users", name.as_bytes(), None),
        ..command(n, id, change)
    }
}

fn put(n: u128, title: &str) -> Command {
    command(n, ADA, Change::ReplaceUser { user: user("ada@acme.example", Some(title)) })
}

fn patch(n: u128, value: serde_json::Value) -> Command {
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "replace", "value": value }]
    });
    command(n, ADA, Change::PatchUser { patch: Patch::parse(&body).unwrap() })
}

fn late(command: Command) -> Command {
    Command { deadline: NOW, ..command }
}

fn outcome(state: &mut State, command: &Command) -> Outcome {
    decide(state, command).unwrap().outcome().clone()
}

fn status(state: &mut State, command: &Command) -> u16 {
    outcome(state, command).status()
}

fn kinds(state: &State) -> Vec<&str> {
    state.events.iter().map(|event: &Event| event.kind.as_str()).collect()
}

#[test]
fn a_user_is_created_changed_archived_restored_and_deleted_each_with_its_event() {
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
fn a_name_is_taken_without_regard_to_case_but_only_within_its_tenant() {
    let mut state = state();
    assert_eq!(status(&mut state, &create(1, ADA, "ada@acme.example")), 201);
    assert_eq!(status(&mut state, &create(2, Uuid::from_u128(2), "ADA@acme.example")), 409);
    let elsewhere = Command { tenant: OTHER, ..create(3, Uuid::from_u128(3), "ada@acme.example") };
    assert_eq!(status(&mut state, &elsewhere), 201);
}

#[test]
fn a_rename_onto_a_taken_name_is_refused_and_changes_nothing() {
    let mut state = state();
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    outcome(&mut state, &create(2, Uuid::from_u128(2), "bob@acme.example"));
    assert_eq!(status(&mut state, &patch(3, json!({ "userName": "Bob@acme.example" }))), 409);
    assert_eq!(state.user(TENANT, ADA).unwrap().user_name, "ada@acme.example");
    assert_eq!(
        status(&mut state, &patch(4, json!({ "userName": "ADA@acme.example" }))),
        200,
        "its own name in other case"
    );
}

#[test]
fn another_tenants_user_is_not_found() {
    let mut state = state();
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    assert_eq!(status(&mut state, &Command { tenant: OTHER, ..put(2, "x") }), 404);
}

#[test]
fn a_smaller_ticket_is_stale_and_changes_nothing() {
    let mut state = state();
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    outcome(&mut state, &put(5, "later"));
    assert_eq!(outcome(&mut state, &put(3, "earlier")), Outcome::Stale { ticket: ticket(5) });
    assert_eq!(state.user(TENANT, ADA).unwrap().job_title.as_deref(), Some("later"));
}

#[test]
fn a_change_to_what_is_already_so_moves_the_ticket_but_not_the_version() {
    let mut state = state();
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    state.now += Duration::seconds(5);
    outcome(&mut state, &patch(2, json!({ "active": true })));
    let row = state.user(TENANT, ADA).unwrap();
    assert_eq!((row.version, row.modified_at, row.ticket), (1, NOW, ticket(2).0));
    assert_eq!(kinds(&state), ["user.created"]);
}

#[test]
fn if_match_lets_only_the_named_version_be_changed() {
    let mut state = state();
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    let wanted = |n, tag: &str| Command { if_match: Some(tag.parse::<IfMatch>().unwrap()), ..put(n, tag) };
    assert_eq!(status(&mut state, &wanted(2, "W/\"7\"")), 412);
    assert_eq!(status(&mut state, &wanted(3, "W/\"1\"")), 200);
    assert_eq!(status(&mut state, &wanted(4, "*")), 200);
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
fn a_replayed_command_returns_its_first_outcome() {
    let mut state = state();
    let first = outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    outcome(&mut state, &put(2, "x"));
    let again = decide(&mut state, &create(1, ADA, "ada@acme.example")).unwrap();
    assert_eq!(again, Decision::Repeated(first));
    assert_eq!(kinds(&state), ["user.created", "user.updated"]);
}

#[test]
fn a_command_of_an_unknown_tenant_has_no_verdict() {
    assert!(decide(&mut state(), &Command { tenant: Uuid::nil(), ..put(1, "x") }).is_err());
}

#[test]
fn an_abandoned_create_is_applied_unheard_and_handed_to_the_repeated_request() {
    let mut state = state();
    let gone = Entry { stored: true, changed: false, outcome: None, unclaimed: false, command: None };
    state.inbox.insert(ticket(1), gone);
    let first = decide(&mut state, &create(1, ADA, "ada@acme.example")).unwrap();
    assert!(matches!(first, Decision::Unheard(Outcome::Created { .. })));
    let repeated = outcome(&mut state, &create(2, Uuid::from_u128(2), "ada@acme.example"));
    assert!(matches!(repeated, Outcome::Created { record } if record.id == ADA));
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
