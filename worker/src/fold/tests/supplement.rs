//! The pull sets only attributes that SCIM does not carry.

use std::collections::BTreeMap;

use domain::command::{Actor, Change, Command};
use domain::outcome::Outcome;
use domain::pull::Supplement;
use serde_json::{Value, json};
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

fn ada(state: &State) -> database::users::UserRow {
    state.user(TENANT, ADA).unwrap().clone()
}

#[test]
fn a_pull_sets_attributes_that_scim_does_not_carry_and_links_the_account() {
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
    assert_eq!(rest, before.resource, "the SCIM attributes are unchanged");
    assert_eq!((after.ticket, after.version), (before.ticket, before.version + 1));
}

#[test]
fn a_pull_makes_no_scim_change_stale_and_no_scim_change_undoes_it() {
    let mut state = state_with_people();
    outcome(&mut state, &pulled(20, supplement()));
    assert_eq!(status(&mut state, &put(10, "Countess")), 200, "sent before the pull, and applied after it");
    assert_eq!(ada(&state).hire_date, Some(date!(2024 - 02 - 29)));
    assert_eq!(status(&mut state, &pulled(30, Supplement { region: Some(None), ..supplement() })), 200);
    assert_eq!((ada(&state).region, ada(&state).resource["title"].as_str()), (None, Some("Countess")));
}

#[test]
fn a_pull_without_news_emits_no_event_but_makes_older_pulls_stale() {
    let mut state = state_with_people();
    outcome(&mut state, &pulled(10, supplement()));
    let (mut before, events) = (ada(&state), state.events.len());
    assert_eq!(status(&mut state, &pulled(12, supplement())), 200);
    before.pull_ticket = Some(ticket(12).0);
    assert_eq!((ada(&state), state.events.len()), (before, events));
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
fn a_pull_keeps_attributes_it_omits_and_clears_those_it_sets_to_null() {
    let mut state = state_with_people();
    outcome(&mut state, &pulled(10, supplement()));
    let changed = Supplement {
        hire_date: None,
        region: None,
        custom_fields: BTreeMap::from([("Shirt".to_owned(), Value::Null), ("Desk".to_owned(), json!(7))]),
        ..supplement()
    };
    outcome(&mut state, &pulled(11, changed));
    let after = ada(&state);
    assert_eq!((after.hire_date, after.region.as_deref()), (Some(date!(2024 - 02 - 29)), Some("EMEA")));
    assert_eq!(after.custom_fields, Some(json!({ "Desk": 7 })));
    let none = BTreeMap::from([("Desk".to_owned(), Value::Null)]);
    outcome(&mut state, &pulled(12, Supplement { custom_fields: none, ..supplement() }));
    assert_eq!(ada(&state).custom_fields, None);
}

#[test]
fn a_pull_does_not_link_another_person() {
    let mut state = state_with_people();
    // The account is linked to another Okta user.
    outcome(&mut state, &patch(5, json!({ "externalId": "00u2" })));
    assert_eq!(status(&mut state, &pulled(10, supplement())), 409);
    outcome(&mut state, &patch(6, json!({ "externalId": null })));
    // The userName differs.
    let renamed = Supplement { login: "eve@acme.example".to_owned(), ..supplement() };
    assert_eq!(status(&mut state, &pulled(11, renamed)), 409);
    // Another account is linked to this Okta user.
    let mut bob = state.user(TENANT, BOB).unwrap().clone();
    bob.external_id = Some(OKTA_ID.to_owned());
    state.put(bob);
    assert_eq!(status(&mut state, &pulled(12, supplement())), 409);
    assert_eq!((ada(&state).external_id.clone(), ada(&state).hire_date), (None, None));
    let elsewhere = Command { resource: BOB, tenant: OTHER, ..pulled(13, supplement()) };
    assert_eq!(status(&mut state, &elsewhere), 404);
    assert_eq!(ada(&state).ticket(), ticket(6));
}
