//! Every rule of who gets which mail, in tables.

use shared::event::{Assigned, Assignment, Completed, Completion, Content, ContentKind, UserData, UserRef};
use time::OffsetDateTime;

use super::*;

const LIVES: Option<User> = Some(User { archived: false, timezone: None, unsubscribed: false });
const SLEEPS: Option<User> = Some(User { archived: true, timezone: None, unsubscribed: false });
const NOTHING: Mailed =
    Mailed { welcome: false, first_assignment: false, waiting: Vec::new(), withdrawn: None };
const WELCOMED: Mailed =
    Mailed { welcome: true, first_assignment: false, waiting: Vec::new(), withdrawn: None };
const ASSIGNED: Mailed =
    Mailed { welcome: true, first_assignment: true, waiting: Vec::new(), withdrawn: None };

fn user(kind: UserEvent, origin: Origin) -> What {
    What::User(kind, UserData { id: Uuid::nil(), origin, active: true, role: None })
}

fn assigned() -> What {
    What::Content(ContentEvent::Assigned(Assigned {
        user: UserRef { id: Uuid::nil() },
        assignment: Assignment { id: "a".to_owned(), assigned_at: OffsetDateTime::UNIX_EPOCH, due_by: None },
        content: Content {
            id: "c".to_owned(),
            kind: ContentKind::Lesson,
            title: "Fire safety".to_owned(),
            url: "https://learn.example/c".to_owned(),
        },
    }))
}

fn completed() -> What {
    let assignment = Completion {
        id: "a".to_owned(),
        completed_at: OffsetDateTime::UNIX_EPOCH,
        score: None,
        grade_pending: false,
    };
    What::Content(ContentEvent::Completed(Completed { user: UserRef { id: Uuid::nil() }, assignment }))
}

#[test]
fn every_rule_holds() {
    use Effect::{Assign, Cancel, Complete, Park, Send, Suppress, Unpark};
    use Kind::{FirstAssignment, Welcome};
    use Origin::{Manual, Scim};
    use UserEvent::{Archived, Created, Deleted, Linked, Restored, Updated};
    let had_first = Suppress(FirstAssignment, "already had the first-assignment mail");
    for (rule, what, user, mailed, expected) in [
        ("scim is silent", user(Created, Scim), LIVES, NOTHING, vec![Suppress(Welcome, SILENT), Unpark]),
        (
            "scim is silent, archived or not",
            user(Created, Scim),
            SLEEPS,
            NOTHING,
            vec![Suppress(Welcome, SILENT), Unpark],
        ),
        ("manual is welcomed", user(Created, Manual), LIVES, NOTHING, vec![Send(Welcome), Unpark]),
        (
            "manual is welcomed once",
            user(Created, Manual),
            LIVES,
            WELCOMED,
            vec![Suppress(Welcome, "already had the welcome mail"), Unpark],
        ),
        (
            "the archived are not welcomed",
            user(Created, Manual),
            SLEEPS,
            NOTHING,
            vec![Suppress(Welcome, ARCHIVED), Unpark],
        ),
        (
            "the deleted are not welcomed",
            user(Created, Manual),
            None,
            NOTHING,
            vec![Suppress(Welcome, DELETED), Unpark],
        ),
        ("an update needs no mail", user(Updated, Manual), LIVES, NOTHING, vec![]),
        ("a link needs no mail", user(Linked, Manual), LIVES, NOTHING, vec![]),
        ("archiving cancels", user(Archived, Scim), SLEEPS, WELCOMED, vec![Cancel(WITHDRAWN)]),
        ("late news of archiving does not cancel", user(Archived, Scim), LIVES, WELCOMED, vec![]),
        ("archived, and deleted since", user(Archived, Scim), None, WELCOMED, vec![Cancel(DELETED)]),
        ("deleting cancels", user(Deleted, Scim), None, WELCOMED, vec![Cancel(DELETED)]),
        ("restoring lets the waiting go on", user(Restored, Scim), LIVES, NOTHING, vec![Unpark]),
        ("the first assignment", assigned(), LIVES, NOTHING, vec![Assign, Send(FirstAssignment)]),
        (
            "a welcome is no first assignment",
            assigned(),
            LIVES,
            WELCOMED,
            vec![Assign, Send(FirstAssignment)],
        ),
        ("the second assignment", assigned(), LIVES, ASSIGNED, vec![Assign, had_first]),
        (
            "the archived get none, but the assignment stands",
            assigned(),
            SLEEPS,
            NOTHING,
            vec![Assign, Suppress(FirstAssignment, ARCHIVED)],
        ),
        ("assigned to nobody known", assigned(), None, NOTHING, vec![Park]),
        ("completed", completed(), LIVES, NOTHING, vec![Complete]),
        ("completed by the archived", completed(), SLEEPS, NOTHING, vec![Complete]),
        ("completed by nobody known", completed(), None, NOTHING, vec![Park]),
    ] {
        assert_eq!(decide(&what, user.as_ref(), &mailed, Some(&Mail::default())), expected, "{rule}");
    }
}

#[test]
fn the_tenant_chooses_what_is_mailed_after_the_first_assignment() {
    use AssignmentMail::{Digest, Every, First};
    let had_first = Effect::Suppress(Kind::FirstAssignment, "already had the first-assignment mail");
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let waiting = |waiting: &[(Kind, Uuid)]| Mailed { waiting: waiting.to_vec(), ..ASSIGNED };
    let first = waiting(&[(Kind::FirstAssignment, one)]);
    let both = waiting(&[(Kind::Digest, one), (Kind::Assignment, two)]);
    for (rule, chosen, user, mailed, expected) in [
        ("first: no more after it", First, LIVES, ASSIGNED, had_first),
        (
            "first: in the mail that waits",
            First,
            LIVES,
            first.clone(),
            Effect::Gather(Kind::FirstAssignment, one),
        ),
        ("first: a digest that waits is of another time", First, LIVES, both.clone(), had_first),
        ("every: the first is the first", Every, LIVES, NOTHING, Effect::Send(Kind::FirstAssignment)),
        (
            "every: in the first that waits",
            Every,
            LIVES,
            first.clone(),
            Effect::Gather(Kind::FirstAssignment, one),
        ),
        ("every: another mail", Every, LIVES, ASSIGNED, Effect::Send(Kind::Assignment)),
        ("every: in the one that waits", Every, LIVES, both.clone(), Effect::Gather(Kind::Assignment, two)),
        (
            "every: not to the archived",
            Every,
            SLEEPS,
            both.clone(),
            Effect::Suppress(Kind::Assignment, ARCHIVED),
        ),
        ("digest: the first is the first", Digest, LIVES, WELCOMED, Effect::Send(Kind::FirstAssignment)),
        ("digest: one for the day", Digest, LIVES, ASSIGNED, Effect::Send(Kind::Digest)),
        ("digest: in the one for the day", Digest, LIVES, both, Effect::Gather(Kind::Digest, one)),
        (
            "digest: the archived's waits in vain",
            Digest,
            SLEEPS,
            first,
            Effect::Suppress(Kind::FirstAssignment, ARCHIVED),
        ),
    ] {
        let mail = Mail { assignment_mail: chosen, ..Mail::default() };
        assert_eq!(
            decide(&assigned(), user.as_ref(), &mailed, Some(&mail)),
            [Effect::Assign, expected],
            "{rule}"
        );
    }
}

#[test]
fn who_wants_no_more_gets_the_first_alone() {
    let user = Some(User { archived: false, timezone: None, unsubscribed: true });
    let waiting = Mailed { waiting: vec![(Kind::Digest, Uuid::from_u128(1))], ..ASSIGNED };
    for (chosen, mailed, expected) in [
        (AssignmentMail::Every, NOTHING, Effect::Send(Kind::FirstAssignment)),
        (AssignmentMail::Every, ASSIGNED, Effect::Suppress(Kind::Assignment, UNSUBSCRIBED)),
        (AssignmentMail::Digest, waiting, Effect::Suppress(Kind::Digest, UNSUBSCRIBED)),
    ] {
        let mail = Mail { assignment_mail: chosen, ..Mail::default() };
        assert_eq!(decide(&assigned(), user.as_ref(), &mailed, Some(&mail)), [Effect::Assign, expected]);
    }
}

#[test]
fn nobody_is_welcomed_where_the_tenant_wants_none() {
    let mail = Mail { welcome: Welcome::None, ..Mail::default() };
    for (origin, reason) in [(Origin::Manual, UNWELCOMED), (Origin::Scim, SILENT)] {
        let effects = decide(&user(UserEvent::Created, origin), LIVES.as_ref(), &NOTHING, Some(&mail));
        assert_eq!(effects[0], Effect::Suppress(Kind::Welcome, reason));
    }
}

#[test]
fn a_first_mail_that_was_withdrawn_goes_out_when_the_person_comes_back() {
    use Effect::{Assign, Gather, Revive, Suppress, Unpark};
    let id = Uuid::from_u128(1);
    let withdrawn = |mailed: Mailed| Mailed { withdrawn: Some(id), ..mailed };
    let had_first = Suppress(Kind::FirstAssignment, "already had the first-assignment mail");
    let restored = || user(UserEvent::Restored, Origin::Scim);
    for (rule, what, user, mailed, expected) in [
        ("they are back", restored(), LIVES, withdrawn(WELCOMED), vec![Revive(id), Unpark]),
        ("they left again", restored(), SLEEPS, withdrawn(NOTHING), vec![Unpark]),
        ("they had another first", restored(), LIVES, withdrawn(ASSIGNED), vec![Unpark]),
        (
            "told by an assignment that they are back",
            assigned(),
            LIVES,
            withdrawn(NOTHING),
            vec![Assign, Revive(id), Gather(Kind::FirstAssignment, id)],
        ),
        (
            "assigned while they are away",
            assigned(),
            SLEEPS,
            withdrawn(NOTHING),
            vec![Assign, Suppress(Kind::FirstAssignment, ARCHIVED)],
        ),
        ("another first came first", assigned(), LIVES, withdrawn(ASSIGNED), vec![Assign, had_first]),
    ] {
        assert_eq!(decide(&what, user.as_ref(), &mailed, Some(&Mail::default())), expected, "{rule}");
    }
}

#[test]
fn what_cannot_be_decided_yet_waits() {
    for what in [assigned(), completed(), user(UserEvent::Created, Origin::Manual)] {
        assert_eq!(decide(&what, LIVES.as_ref(), &NOTHING, None), [Effect::Park]);
    }
}
