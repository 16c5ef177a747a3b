//! The order of commands, versions, and stored verdicts.

use domain::command::{Command, IfMatch};
use domain::outcome::Outcome;
use uuid::Uuid;

use super::*;

#[test]
fn a_smaller_ticket_is_stale_and_changes_nothing() {
    let mut state = state();
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    outcome(&mut state, &put(5, "later"));
    assert_eq!(outcome(&mut state, &put(3, "earlier")), Outcome::Stale { ticket: ticket(5) });
    assert_eq!(state.user(TENANT, ADA).unwrap().resource["title"].as_str(), Some("later"));
}

#[test]
fn if_match_allows_a_change_of_the_named_version_only() {
    let mut state = state();
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    let wanted = |n, tag: &str| Command { if_match: Some(tag.parse::<IfMatch>().unwrap()), ..put(n, tag) };
    assert_eq!(status(&mut state, &wanted(2, "W/\"7\"")), 412);
    assert_eq!(status(&mut state, &wanted(3, "W/\"1\"")), 200);
    assert_eq!(status(&mut state, &wanted(4, "*")), 200);
}

#[test]
fn a_redelivered_command_returns_its_first_outcome() {
    let mut state = state();
    let first = outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    outcome(&mut state, &put(2, "x"));
    let again = decide(&mut state, &create(1, ADA, "ada@acme.example")).unwrap();
    assert_eq!(again, Decision::Redelivered(first));
    assert_eq!(kinds(&state), ["user.created", "user.updated"]);
}

#[test]
fn a_command_of_an_unknown_tenant_has_no_verdict() {
    assert!(decide(&mut state(), &Command { tenant: Uuid::nil(), ..put(1, "x") }).is_err());
}
