//! Who is in a group, of whom the store knows only those that the batch names.

use shared::scim::Filter;

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

/// Those to be inserted, and those to be deleted where the group is not emptied.
fn difference(state: &State) -> (Vec<Uuid>, Vec<Uuid>, bool) {
    let members = &state.members[&READERS];
    (members.added().collect(), members.removed().collect(), members.emptied)
}

#[test]
fn adding_and_removing_touches_only_those_who_are_named() {
    let mut state = state_with_people();
    loaded(&mut state, 100_000, &[BOB]);
    assert_eq!(status(&mut state, &members(2, &[add(&[ADA, BOB]), remove(&[BOB])])), 200);
    assert_eq!(readers(&state), (100_000, 2, vec![ADA]), "one came, one went");
    assert_eq!(difference(&state), (vec![ADA], vec![BOB], false));
    assert_eq!(status(&mut state, &members(3, &[add(&[BOB])])), 200);
    assert_eq!(difference(&state), (vec![ADA], vec![], false), "back before anybody noticed");
    assert_eq!(readers(&state), (100_001, 3, vec![ADA, BOB]));
}

#[test]
fn replacing_makes_exactly_these_the_members() {
    let mut state = state_with_people();
    loaded(&mut state, 100_000, &[BOB]);
    assert_eq!(status(&mut state, &members(2, &[replace(&[BOB, ADA, BOB])])), 200);
    assert_eq!(readers(&state), (2, 2, vec![ADA, BOB]));
    assert_eq!(difference(&state), (vec![ADA], vec![], true), "Bob's row stays");
    assert_eq!(state.members[&READERS].kept().collect::<Vec<_>>(), [ADA, BOB]);
}

#[test]
fn replacing_with_as_many_others_is_a_change() {
    let mut state = state_with_people();
    loaded(&mut state, 1, &[BOB]);
    assert_eq!(status(&mut state, &members(2, &[replace(&[ADA])])), 200);
    assert_eq!(readers(&state), (1, 2, vec![ADA]));
    // By two steps, neither of which changes how many there are in the end.
    assert_eq!(status(&mut state, &members(3, &[remove(&[ADA]), add(&[BOB])])), 200);
    assert_eq!(readers(&state), (1, 3, vec![BOB]));
}

#[test]
fn an_unknown_member_is_refused_by_position_before_anything_changes() {
    let mut state = state_with_people();
    loaded(&mut state, 1, &[BOB]);
    for changes in [vec![remove(&[BOB]), add(&[ADA, NOBODY])], vec![replace(&[ADA, READERS])]] {
        let Outcome::Rejected { error } = outcome(&mut state, &members(2, &changes)) else { panic!("taken") };
        assert_eq!(
            (error.status, error.detail.as_str()),
            (400, "there is no User with the id in members[1]")
        );
        assert_eq!(readers(&state), (1, 1, vec![BOB]));
        state.inbox.clear();
    }
    let many = members(3, &[add(&[NOBODY; 12])]);
    let Outcome::Rejected { error } = outcome(&mut state, &many) else { panic!("taken") };
    assert!(error.detail.ends_with("members[9] and 2 more"), "{}", error.detail);
    assert_eq!(status(&mut state, &make(4, Uuid::from_u128(4), "Others", &[NOBODY])), 400);
}

#[test]
fn a_tenant_may_have_unknown_members_left_out_and_counted() {
    let mut state = state_with_people();
    skip_unknown(&mut state);
    loaded(&mut state, 1, &[BOB]);
    let changes = [add(&[NOBODY, ADA, READERS]), remove(&[NOBODY])];
    let updated = outcome(&mut state, &members(2, &changes));
    assert!(matches!(updated, Outcome::Updated { skipped_members: 2, .. }), "{updated:?}");
    assert_eq!(readers(&state), (2, 2, vec![ADA, BOB]));
}

#[test]
fn somebody_made_earlier_in_the_batch_can_be_a_member() {
    let mut state = state();
    outcome(&mut state, &create(1, ADA, "ada@acme.example"));
    assert_eq!(status(&mut state, &make(2, READERS, "Readers", &[ADA])), 201);
    assert_eq!(readers(&state), (1, 1, vec![ADA]));
}

#[test]
fn somebody_who_is_not_changed_by_the_batch_is_known_by_name() {
    let mut state = state();
    let carol = Uuid::from_u128(0xca1);
    state.people.insert(carol, Person { tenant: TENANT, display: "Carol".to_owned() });
    assert_eq!(status(&mut state, &make(1, READERS, "Readers", &[carol])), 201);
    assert_eq!(status(&mut state, &members(2, &[matching("display eq \"carol\"")])), 200);
    assert_eq!(state.row::<GroupRow>(TENANT, READERS).unwrap().member_count, 0);
}

#[test]
fn members_are_removed_by_what_they_are_called() {
    let mut state = state_with_people();
    outcome(&mut state, &make(1, READERS, "Readers", &[ADA, BOB]));
    assert_eq!(status(&mut state, &members(2, &[matching("display sw \"ADA\"")])), 200);
    assert_eq!(readers(&state), (1, 2, vec![BOB]));
    assert_eq!(status(&mut state, &members(3, &[matching("display sw \"ada\"")])), 200, "nobody is no error");
    assert_eq!(readers(&state), (1, 2, vec![BOB]));
    assert_eq!(status(&mut state, &members(4, &[matching("type eq \"User\"")])), 200);
    assert_eq!(readers(&state), (0, 3, vec![]));
}

#[test]
fn nobody_is_looked_for_by_name_among_too_many() {
    let mut state = state_with_people();
    loaded(&mut state, MAX_SEARCHED + 1, &[BOB]);
    let search = [matching("display sw \"a\"")];
    let Outcome::Rejected { error } = outcome(&mut state, &members(2, &search)) else { panic!("taken") };
    assert_eq!((error.status, error.scim_type), (400, Some(shared::scim::ScimType::TooMany)));
    // Of a group that is replaced first all are known.
    assert_eq!(status(&mut state, &members(3, &[replace(&[ADA, BOB]), search[0].clone()])), 200);
    assert_eq!(readers(&state), (1, 2, vec![BOB]));
}

/// A PATCH that adds Ada and Bob, or makes them the members, and calls them something.
fn calling(n: u128, change: MemberChange, names: &[(Uuid, &str)]) -> Command {
    let displays = names.iter().map(|(id, name)| (*id, (*name).to_owned())).collect();
    let patch = GroupPatch { attributes: None, members: vec![change], displays };
    command(n, READERS, Change::PatchGroup { patch })
}

/// What Ada and Bob are called.
fn displays(state: &State) -> [Option<&str>; 2] {
    [ADA, BOB].map(|id| state.members[&READERS].display(id))
}

#[test]
fn a_member_is_called_what_the_client_said_unless_that_is_the_persons_own_name() {
    let mut state = state_with_people();
    loaded(&mut state, 0, &[]);
    let named = [(ADA, "The Countess"), (BOB, "bob@acme.example"), (NOBODY, "Nobody")];
    assert_eq!(status(&mut state, &calling(2, add(&[ADA, BOB]), &named)), 200);
    assert_eq!(
        displays(&state),
        [Some("The Countess"), None],
        "a name that is sent back follows the person's"
    );
    // What is not sent stays with a member who is added again, and goes with a member of whom the whole is sent.
    assert_eq!(status(&mut state, &members(3, &[add(&[ADA])])), 200);
    assert_eq!(displays(&state), [Some("The Countess"), None]);
    assert_eq!(status(&mut state, &calling(4, replace(&[ADA, BOB]), &[(BOB, "Bobby")])), 200);
    assert_eq!(displays(&state), [None, Some("Bobby")]);
    assert_eq!(status(&mut state, &members(5, &[remove(&[BOB]), add(&[BOB])])), 200);
    assert_eq!(displays(&state), [None, None], "whoever comes back is called what they are called then");
}

#[test]
fn what_members_are_called_is_no_change_of_the_group_and_is_written_only_where_it_is_another() {
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
    assert_eq!(difference(&state), (vec![], vec![], false), "no membership is made or ended");
    // Back to what it was before the batch: nothing is written.
    assert_eq!(status(&mut state, &calling(4, add(&[ADA]), &[(ADA, ""), (BOB, "Bobby")])), 200);
    assert_eq!(recalled(&state), [] as [Uuid; 0]);
    // Whoever is none is called nothing.
    assert_eq!(status(&mut state, &calling(5, remove(&[BOB]), &[(BOB, "Robert")])), 200);
    assert_eq!((recalled(&state), displays(&state)), (vec![], [None, None]));
}

#[test]
fn somebody_who_came_in_the_same_batch_can_be_called_something_by_a_later_change() {
    let mut state = state_with_people();
    loaded(&mut state, 0, &[]);
    assert_eq!(status(&mut state, &members(2, &[add(&[ADA])])), 200);
    assert_eq!(status(&mut state, &calling(3, add(&[ADA]), &[(ADA, "The Countess")])), 200);
    assert_eq!((difference(&state).0, displays(&state)[0]), (vec![ADA], Some("The Countess")));
}

#[test]
fn members_are_removed_by_what_the_client_calls_them() {
    let mut state = state_with_people();
    outcome(&mut state, &make(1, READERS, "Readers", &[]));
    outcome(&mut state, &calling(2, add(&[ADA, BOB]), &[(BOB, "The Countess")]));
    assert_eq!(status(&mut state, &members(3, &[matching("display eq \"the countess\"")])), 200);
    assert_eq!(readers(&state).2, [ADA]);
    assert_eq!(status(&mut state, &members(4, &[matching("display sw \"bob\"")])), 200);
    assert_eq!(readers(&state).2, [ADA]);
}
