//! Unit tests of the fold. This module holds the fixtures.

mod asynchronous;
mod groups;
mod known;
mod late;
mod leavers;
mod members;
mod order;
mod shared_ids;
mod supplement;
mod tenants;
mod users;

use std::sync::Arc;

use database::groups::GroupRow;
use database::tenants::Tenant;
use domain::command::{Actor, Change, Command, Fingerprint, Origin, VERSION};
use domain::event::Event;
use domain::outcome::Outcome;
use domain::settings::{ExternalId, Settings, UnknownMembers};
use domain::ticket::Ticket;
use scim::{Displays, Group, GroupPatch, MemberChange, Patch, Resource, ResourceType};
use serde_json::json;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Decision, Entry, Members, State, decide};
use domain::delivery::Delivery;

const NOW: OffsetDateTime = datetime!(2026-01-01 10:00 UTC);
const TENANT: Uuid = Uuid::from_u128(0xacce);
const OTHER: Uuid = Uuid::from_u128(0x0ddd);
const ADA: Uuid = Uuid::from_u128(0xada);
const BOB: Uuid = Uuid::from_u128(0xb0b);
const READERS: Uuid = Uuid::from_u128(0x6ead);

fn state() -> State {
    let mut state = State::new(NOW);
    for (id, name) in [(TENANT, "acme"), (OTHER, "other")] {
        let tenant =
            Tenant { id, name: name.to_owned(), settings: Settings::default(), types: Arc::default() };
        state.tenants.insert(id, tenant);
    }
    state
}

/// The state with Ada and Bob in it.
fn state_with_people() -> State {
    let mut state = state();
    for (id, name) in [(ADA, "ada"), (BOB, "bob")] {
        let person = create(0, id, &format!("{name}@acme.example"));
        decide(&mut state, &Command { ticket: Ticket(Uuid::from_u128(id.as_u128())), ..person }).unwrap();
    }
    state.events.clear();
    state
}

fn skip_unknown(state: &mut State) {
    let tenant = state.tenants.get_mut(&TENANT).unwrap();
    tenant.settings.unknown_members = UnknownMembers::Skip;
}

fn unique_external_ids(state: &mut State) {
    let tenant = state.tenants.get_mut(&TENANT).unwrap();
    tenant.settings.external_id = ExternalId::Unique;
}

/// The n-th ticket, with gaps for tickets in between.
fn ticket(n: u128) -> Ticket {
    Ticket(Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0000 + (n << 8)))
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
        asynchronous: false,
        change,
    }
}

fn create(n: u128, id: Uuid, name: &str) -> Command {
    let change = Change::CreateUser { user: user(name, None), origin: Origin::Scim, role: None };
    // Each attempt of a request gets a new id, so the id is not part of the fingerprint.
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

/// POST of a group.
fn make(n: u128, id: Uuid, name: &str, members: &[Uuid]) -> Command {
    let group = Group { resource: called(name), members: members.to_vec(), displays: Displays::new() };
    let made = command(n, id, Change::CreateGroup { group });
    Command { fingerprint: Fingerprint::of(TENANT, "POST", "/Groups", name.as_bytes(), None), ..made }
}

fn called(name: &str) -> Resource {
    Resource::parse(ResourceType::group(), &json!({ "displayName": name })).unwrap()
}

/// PATCH of the members of `READERS`.
fn members(n: u128, changes: &[MemberChange]) -> Command {
    let patch = GroupPatch { attributes: None, members: changes.to_vec(), displays: Displays::new() };
    command(n, READERS, Change::PatchGroup { patch })
}

/// Member count and version of `READERS`, and which of Ada and Bob are members.
fn readers(state: &State) -> (i64, i64, Vec<Uuid>) {
    let row = state.row::<GroupRow>(TENANT, READERS).unwrap();
    let members: &Members = &state.members[&READERS];
    let is_in = [ADA, BOB].into_iter().filter(|id| members.contains(*id)).collect();
    (row.member_count, row.version, is_in)
}
