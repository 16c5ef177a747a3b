//! Members of groups, where the store loads only those that the batch names.

use scim::Filter;

use super::groups::loaded;
use super::*;
use crate::fold::{MAX_SEARCHED, Person};

const NOBODY: Uuid = Uuid::nil();

fn add(ids: &[Uuid]) -> MemberChange {
    MemberChange::Add(ids.to_vec())
}

fn remove(ids: &[Uuid]) -> MemberChange {
    MemberChange::Remove(ids.to_vec())
}

fn replace(ids: &[Uuid]) -> MemberChange {
    MemberChange::Replace(ids.to_vec())
}

fn matching(filter: &str) -> MemberChange {
    MemberChange::RemoveMatching(Filter::parse(filter).unwrap())
}

/// Memberships to insert, memberships to delete, and whether the group was emptied.
fn difference(state: &State) -> (Vec<Uuid>, Vec<Uuid>, bool) {
    let members = &state.members[&READERS];
    (members.added().collect(), members.removed().collect(), members.emptied)
}

#[test]
fn adding_and_removing_touches_only_the_named_users() {
    let mut state = state_with_people();
    loaded(&mut state, 100_000, &[BOB]);
    assert_eq!(status(&mut state, &members(2, &[add(&[ADA, BOB]), remove(&[BOB])])), 200);
    assert_eq!(readers(&state), (100_000, 2, vec![ADA]), "one added, one removed");
    assert_eq!(difference(&state), (vec![ADA], vec![BOB], false));
    assert_eq!(status(&mut state, &members(3, &[add(&[BOB])])), 200);
    assert_eq!(difference(&state), (vec![ADA], vec![], false), "the removal is undone");
    assert_eq!(readers(&state), (100_001, 3, vec![ADA, BOB]));
}

#[test]
fn replacing_sets_exactly_these_members() {
    let mut state = state_with_people();
    loaded(&mut state, 100_000, &[BOB]);
    assert_eq!(status(&mut state, &members(2, &[replace(&[BOB, ADA, BOB])])), 200);
    assert_eq!(readers(&state), (2, 2, vec![ADA, BOB]));
    assert_eq!(difference(&state), (vec![ADA], vec![], true), "Bob's row stays");
    assert_eq!(state.members[&READERS].kept().collect::<Vec<_>>(), [ADA, BOB]);
}

#[test]
fn replacing_by_the_same_number_of_other_members_is_a_change() {
    let mut state = state_with_people();
    loaded(&mut state, 1, &[BOB]);
    assert_eq!(status(&mut state, &members(2, &[replace(&[ADA])])), 200);
    assert_eq!(readers(&state), (1, 2, vec![ADA]));
    // The same in two steps that leave the count unchanged.
    assert_eq!(status(&mut state, &members(3, &[remove(&[ADA]), add(&[BOB])])), 200);
    assert_eq!(readers(&state), (1, 3, vec![BOB]));
}

#[test]
fn an_unknown_member_is_rejected_by_position_before_anything_changes() {
    let mut state = state_with_people();
    loaded(&mut state, 1, &[BOB]);
    for changes in [vec![remove(&[BOB]), add(&[ADA, NOBODY])], vec![replace(&[ADA, READERS])]] {
        let Outcome::Rejected { error } = outcome(&mut state, &members(2, &changes)) else {
            panic!("accepted")
        };
        assert_eq!(
            (error.status, error.detail.as_str()),
            (400, "there is no User with the id in members[1]")
        );
        assert_eq!(readers(&state), (1, 1, vec![BOB]));
        state.verdicts.clear();
    }
    let many = members(3, &[add(&[NOBODY; 12])]);
    let Outcome::Rejected { error } = outcome(&mut state, &many) else { panic!("accepted") };
    assert!(error.detail.ends_with("members[9] and 2 more"), "{}", error.detail);
    assert_eq!(status(&mut state, &make(4, Uuid::from_u128(4), "Others", &[NOBODY])), 400);
}

#[test]
fn a_tenant_can_choose_to_skip_and_count_unknown_members() {
    let mut state = state_with_people();
    skip_unknown(&mut state);
    loaded(&mut state, 1, &[BOB]);
    let changes = [add(&[NOBODY, ADA, READERS]), remove(&[NOBODY])];
    let updated = outcome(&mut state, &members(2, &changes));
    assert!(matches!(updated, Outcome::Updated { skipped_members: 2, .. }), "{updated:?}");
    assert_eq!(readers(&state), (2, 2, vec![ADA, BOB]));
}

#[test]
fn a_user_created_earlier_in_the_batch_can_be_a_member() {
    let mut state = state();
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    assert_eq!(status(&mut state, &make(2, READERS, "Readers", &[ADA])), 201);
    assert_eq!(readers(&state), (1, 1, vec![ADA]));
}

#[test]
fn a_user_not_changed_by_the_batch_is_found_by_name() {
    let mut state = state();
    let carol = Uuid::from_u128(0xca1);
    state.people.insert(carol, Person { tenant: TENANT, display: "Carol".to_owned() });
    assert_eq!(status(&mut state, &make(1, READERS, "Readers", &[carol])), 201);
    assert_eq!(status(&mut state, &members(2, &[matching("display eq \"carol\"")])), 200);
    assert_eq!(state.row::<GroupRow>(TENANT, READERS).unwrap().member_count, 0);
}

#[test]
fn members_are_removed_by_their_own_names() {
    let mut state = state_with_people();
    outcome(&mut state, &make(1, READERS, "Readers", &[ADA, BOB]));
    assert_eq!(status(&mut state, &members(2, &[matching("display sw \"ADA\"")])), 200);
    assert_eq!(readers(&state), (1, 2, vec![BOB]));
    assert_eq!(
        status(&mut state, &members(3, &[matching("display sw \"ada\"")])),
        200,
        "no match is not an error"
    );
    assert_eq!(readers(&state), (1, 2, vec![BOB]));
    assert_eq!(status(&mut state, &members(4, &[matching("type eq \"User\"")])), 200);
    assert_eq!(readers(&state), (0, 3, vec![]));
}

#[test]
fn a_filter_on_too_many_members_is_rejected() {
    let mut state = state_with_people();
    loaded(&mut state, MAX_SEARCHED + 1, &[BOB]);
    let search = [matching("display sw \"a\"")];
    let Outcome::Rejected { error } = outcome(&mut state, &members(2, &search)) else { panic!("accepted") };
    assert_eq!((error.status, error.scim_type), (400, Some(scim::ScimType::TooMany)));
    // After a replace all members are known.
    assert_eq!(status(&mut state, &members(3, &[replace(&[ADA, BOB]), search[0].clone()])), 200);
    assert_eq!(readers(&state), (1, 2, vec![BOB]));
}

/// A PATCH with this change and these `display` values.
fn calling(n: u128, change: MemberChange, names: &[(Uuid, &str)]) -> Command {
    let displays = names.iter().map(|(id, name)| (*id, (*name).to_owned())).collect();
    let patch = GroupPatch { attributes: None, members: vec![change], displays };
    command(n, READERS, Change::PatchGroup { patch })
}

/// The `display` values of Ada and Bob.
fn displays(state: &State) -> [Option<&str>; 2] {
    [ADA, BOB].map(|id| state.members[&READERS].display(id))
}

#[test]
fn a_member_has_the_clients_display_unless_it_is_the_users_own_name() {
    let mut state = state_with_people();
    loaded(&mut state, 0, &[]);
    let named = [(ADA, "The Countess"), (BOB, "bob@acme.example"), (NOBODY, "Nobody")];
    assert_eq!(status(&mut state, &calling(2, add(&[ADA, BOB]), &named)), 200);
    assert_eq!(
        displays(&state),
        [Some("The Countess"), None],
        "a display equal to the user's name is not stored"
    );
    // An added member keeps a display that is not sent; a replaced list drops it.
    assert_eq!(status(&mut state, &members(3, &[add(&[ADA])])), 200);
    assert_eq!(displays(&state), [Some("The Countess"), None]);
    assert_eq!(status(&mut state, &calling(4, replace(&[ADA, BOB]), &[(BOB, "Bobby")])), 200);
    assert_eq!(displays(&state), [None, Some("Bobby")]);
    assert_eq!(status(&mut state, &members(5, &[remove(&[BOB]), add(&[BOB])])), 200);
    assert_eq!(displays(&state), [None, None], "a member who is added again has no earlier display");
}

#[test]
fn a_display_is_no_change_of_the_group_and_is_written_only_if_it_differs() {
    let mut state = state_with_people();
    loaded(&mut state, 2, &[ADA, BOB]);
    state.members.get_mut(&READERS).unwrap().displays.insert(BOB, "Bobby".to_owned());
    let recalled = |state: &State| state.members[&READERS].recalled().collect::<Vec<_>>();
    assert_eq!(status(&mut state, &calling(2, replace(&[ADA, BOB]), &[(BOB, "Bobby")])), 200);
    assert_eq!(recalled(&state), [] as [Uuid; 0]);
    assert_eq!(status(&mut state, &calling(3, add(&[ADA]), &[(ADA, "The Countess"), (BOB, "")])), 200);
    assert_eq!((recalled(&state), displays(&state)), (vec![ADA, BOB], [Some("The Countess"), None]));
    assert_eq!(readers(&state), (2, 1, vec![ADA, BOB]));
    assert_eq!(kinds(&state), [""; 0]);
    assert_eq!(difference(&state), (vec![], vec![], false), "no membership is added or removed");
    // Restored to its value before the batch: nothing is written.
    assert_eq!(status(&mut state, &calling(4, add(&[ADA]), &[(ADA, ""), (BOB, "Bobby")])), 200);
    assert_eq!(recalled(&state), [] as [Uuid; 0]);
    // A user who is not a member has no display.
    assert_eq!(status(&mut state, &calling(5, remove(&[BOB]), &[(BOB, "Robert")])), 200);
    assert_eq!((recalled(&state), displays(&state)), (vec![], [None, None]));
}

#[test]
fn a_later_change_can_set_the_display_of_a_member_added_in_the_same_batch() {
    let mut state = state_with_people();
    loaded(&mut state, 0, &[]);
    assert_eq!(status(&mut state, &members(2, &[add(&[ADA])])), 200);
    assert_eq!(status(&mut state, &calling(3, add(&[ADA]), &[(ADA, "The Countess")])), 200);
    assert_eq!((difference(&state).0, displays(&state)[0]), (vec![ADA], Some("The Countess")));
}

#[test]
fn members_are_removed_by_the_clients_display() {
    let mut state = state_with_people();
    outcome(&mut state, &make(1, READERS, "Readers", &[]));
    outcome(&mut state, &calling(2, add(&[ADA, BOB]), &[(BOB, "The Countess")]));
    assert_eq!(status(&mut state, &members(3, &[matching("display eq \"the countess\"")])), 200);
    assert_eq!(readers(&state).2, [ADA]);
    assert_eq!(status(&mut state, &members(4, &[matching("display sw \"bob\"")])), 200);
    assert_eq!(readers(&state).2, [ADA]);
}
