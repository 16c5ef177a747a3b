//! What the pull brings, and that it leaves to SCIM what is SCIM's.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::command::{Actor, Change, Command};
use shared::outcome::Outcome;
use shared::pull::Supplement;
use time::macros::date;

use super::*;
use crate::fold::Row;

const OKTA_ID: &str = "00u1";

fn supplement() -> Supplement {
    Supplement {
        external_id: OKTA_ID.to_owned(),
        login: "Ada@ACME.example".to_owned(),
        hire_date: Some(Some(date!(2024 - 02 - 29))),
        region: Some(Some("EMEA".to_owned())),
        custom_fields: BTreeMap::from([("Shirt".to_owned(), json!("M"))]),
    }
}

fn pulled(n: u128, supplement: Supplement) -> Command {
    let command = command(n, ADA, Change::SupplementUser { supplement });
    Command { version: Actor::Pull.version(), actor: Actor::Pull, asynchronous: true, ..command }
}

fn ada(state: &State) -> shared::postgres::users::UserRow {
    state.user(TENANT, ADA).unwrap().clone()
}

#[test]
fn a_pull_sets_what_scim_does_not_carry_and_links_who_is_not_linked() {
    let mut state = state_with_people();
    let before = ada(&state);
    assert_eq!(status(&mut state, &pulled(10, supplement())), 200);
    let after = ada(&state);
    assert_eq!((after.hire_date, after.region.as_deref()), (Some(date!(2024 - 02 - 29)), Some("EMEA")));
    assert_eq!(after.custom_fields, Some(json!({ "Shirt": "M" })));
    assert_eq!(
        (after.external_id.as_deref(), &after.resource["externalId"]),
        (Some(OKTA_ID), &json!(OKTA_ID))
    );
    assert_eq!(kinds(&state), ["user.updated", "user.linked"]);
    let mut rest = after.resource.clone();
    rest.as_object_mut().unwrap().remove("externalId");
    assert_eq!(rest, before.resource, "all else is SCIM's");
    assert_eq!((after.ticket, after.version), (before.ticket, before.version + 1));
}

#[test]
fn no_change_of_scims_is_stale_by_a_pull_and_none_undoes_it() {
    let mut state = state_with_people();
    outcome(&mut state, &pulled(20, supplement()));
    assert_eq!(status(&mut state, &put(10, "Countess")), 200, "sent before the pull, and applied after it");
    assert_eq!(ada(&state).hire_date, Some(date!(2024 - 02 - 29)));
    assert_eq!(status(&mut state, &pulled(30, Supplement { region: Some(None), ..supplement() })), 200);
    assert_eq!((ada(&state).region, ada(&state).job_title.as_deref()), (None, Some("Countess")));
}

#[test]
fn a_pull_that_brings_nothing_new_says_nothing_and_yet_is_not_undone_by_an_older_one() {
    let mut state = state_with_people();
    outcome(&mut state, &pulled(10, supplement()));
    let (mut before, told) = (ada(&state), state.events.len());
    assert_eq!(status(&mut state, &pulled(12, supplement())), 200);
    before.pull_ticket = Some(ticket(12).0);
    assert_eq!((ada(&state), state.events.len()), (before, told));
    let older = pulled(11, Supplement { region: Some(Some("APAC".to_owned())), ..supplement() });
    assert!(matches!(outcome(&mut state, &older), Outcome::Stale { .. }));
}

#[test]
fn an_older_pull_does_not_undo_a_later_one() {
    let mut state = state_with_people();
    outcome(&mut state, &pulled(11, supplement()));
    let older = pulled(10, Supplement { region: Some(Some("APAC".to_owned())), ..supplement() });
    assert!(matches!(outcome(&mut state, &older), Outcome::Stale { .. }));
    assert_eq!(ada(&state).region.as_deref(), Some("EMEA"));
}

#[test]
fn what_is_not_told_stays_and_what_is_told_to_be_none_goes() {
    let mut state = state_with_people();
    outcome(&mut state, &pulled(10, supplement()));
    let told = Supplement {
        hire_date: None,
        region: None,
        custom_fields: BTreeMap::from([("Shirt".to_owned(), Value::Null), ("Desk".to_owned(), json!(7))]),
        ..supplement()
    };
    outcome(&mut state, &pulled(11, told));
    let after = ada(&state);
    assert_eq!((after.hire_date, after.region.as_deref()), (Some(date!(2024 - 02 - 29)), Some("EMEA")));
    assert_eq!(after.custom_fields, Some(json!({ "Desk": 7 })));
    let none = BTreeMap::from([("Desk".to_owned(), Value::Null)]);
    outcome(&mut state, &pulled(12, Supplement { custom_fields: none, ..supplement() }));
    assert_eq!(ada(&state).custom_fields, None);
}

#[test]
fn nobody_is_linked_who_is_somebody_else() {
    let mut state = state_with_people();
    // Linked to another person.
    outcome(&mut state, &patch(5, json!({ "externalId": "00u2" })));
    assert_eq!(status(&mut state, &pulled(10, supplement())), 409);
    outcome(&mut state, &patch(6, json!({ "externalId": null })));
    // By another name.
    let renamed = Supplement { login: "eve@acme.example".to_owned(), ..supplement() };
    assert_eq!(status(&mut state, &pulled(11, renamed)), 409);
    // Where another account is linked to the person.
    let mut bob = state.user(TENANT, BOB).unwrap().clone();
    bob.external_id = Some(OKTA_ID.to_owned());
    state.put(bob);
    assert_eq!(status(&mut state, &pulled(12, supplement())), 409);
    assert_eq!((ada(&state).external_id.clone(), ada(&state).hire_date), (None, None));
    let elsewhere = Command { resource: BOB, tenant: OTHER, ..pulled(13, supplement()) };
    assert_eq!(status(&mut state, &elsewhere), 404);
    assert_eq!(ada(&state).ticket(), ticket(6));
}
