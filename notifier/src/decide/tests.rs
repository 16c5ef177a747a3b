//! The mail rules, as tables.

use domain::event::{Assigned, Assignment, Completed, Completion, Content, ContentKind, UserData, UserRef};
use time::OffsetDateTime;

use super::*;

const LIVES: Option<User> =
    Some(User { origin: Origin::Scim, archived: false, timezone: None, unsubscribed: false });
const SLEEPS: Option<User> =
    Some(User { origin: Origin::Scim, archived: true, timezone: None, unsubscribed: false });
/// Created by hand.
const BY_HAND: Option<User> =
    Some(User { origin: Origin::Manual, archived: false, timezone: None, unsubscribed: false });
const BY_HAND_SLEEPS: Option<User> =
    Some(User { origin: Origin::Manual, archived: true, timezone: None, unsubscribed: false });
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
fn events_lead_to_the_expected_effects() {
    use Effect::{Assign, Cancel, Complete, Erase, Park, Send, Suppress, Unpark};
    use Kind::{FirstAssignment, Welcome};
    use Origin::{Manual, Scim};
    use UserEvent::{Archived, Created, Deleted, Linked, Restored, Updated};
    let had_first = Suppress(FirstAssignment, "already received the first-assignment mail");
    for (rule, what, user, mailed, expected) in [
        (
            "SCIM sends no welcome",
            user(Created, Scim),
            LIVES,
            NOTHING,
            vec![Suppress(Welcome, SILENT), Unpark],
        ),
        (
            "SCIM sends no welcome to an archived user either",
            user(Created, Scim),
            SLEEPS,
            NOTHING,
            vec![Suppress(Welcome, SILENT), Unpark],
        ),
        ("a manual user is welcomed", user(Created, Manual), BY_HAND, NOTHING, vec![Send(Welcome), Unpark]),
        (
            "the roster decides, not what the event says",
            user(Created, Manual),
            LIVES,
            NOTHING,
            vec![Suppress(Welcome, SILENT), Unpark],
        ),
        ("and also for a manual user", user(Created, Scim), BY_HAND, NOTHING, vec![Send(Welcome), Unpark]),
        (
            "a manual user is welcomed once",
            user(Created, Manual),
            BY_HAND,
            WELCOMED,
            vec![Suppress(Welcome, "already received the welcome mail"), Unpark],
        ),
        (
            "an archived user is not welcomed",
            user(Created, Manual),
            BY_HAND_SLEEPS,
            NOTHING,
            vec![Suppress(Welcome, ARCHIVED), Unpark],
        ),
        ("nothing follows from a user that does not exist", user(Created, Manual), None, NOTHING, vec![]),
        ("nor from its restoration", user(Restored, Manual), None, NOTHING, vec![]),
        ("an update sends no mail", user(Updated, Manual), LIVES, NOTHING, vec![]),
        ("a link sends no mail", user(Linked, Manual), LIVES, NOTHING, vec![]),
        ("archiving cancels", user(Archived, Scim), SLEEPS, WELCOMED, vec![Cancel(WITHDRAWN)]),
        ("a late archived event does not cancel", user(Archived, Scim), LIVES, WELCOMED, vec![]),
        ("archived, then deleted", user(Archived, Scim), None, WELCOMED, vec![Cancel(DELETED)]),
        ("deleting cancels and erases", user(Deleted, Scim), None, WELCOMED, vec![Cancel(DELETED), Erase]),
        ("restoring unparks waiting events", user(Restored, Scim), LIVES, NOTHING, vec![Unpark]),
        ("the first assignment", assigned(), LIVES, NOTHING, vec![Assign, Send(FirstAssignment)]),
        (
            "a welcome does not count as a first-assignment mail",
            assigned(),
            LIVES,
            WELCOMED,
            vec![Assign, Send(FirstAssignment)],
        ),
        ("the second assignment", assigned(), LIVES, ASSIGNED, vec![Assign, had_first]),
        (
            "archived: no mail, but the assignment is saved",
            assigned(),
            SLEEPS,
            NOTHING,
            vec![Assign, Suppress(FirstAssignment, ARCHIVED)],
        ),
        ("assigned to an unknown user", assigned(), None, NOTHING, vec![Park]),
        ("completed", completed(), LIVES, NOTHING, vec![Complete]),
        ("completed by an archived user", completed(), SLEEPS, NOTHING, vec![Complete]),
        ("completed by an unknown user", completed(), None, NOTHING, vec![Park]),
    ] {
        assert_eq!(decide(&what, user.as_ref(), &mailed, Some(&Mail::default())), expected, "{rule}");
    }
}

#[test]
fn the_tenants_settings_decide_about_mail_after_the_first_assignment() {
    use AssignmentMail::{Digest, Every, First};
    let had_first = Effect::Suppress(Kind::FirstAssignment, "already received the first-assignment mail");
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let waiting = |waiting: &[(Kind, Uuid)]| Mailed { waiting: waiting.to_vec(), ..ASSIGNED };
    let first = waiting(&[(Kind::FirstAssignment, one)]);
    let both = waiting(&[(Kind::Digest, one), (Kind::Assignment, two)]);
    for (rule, chosen, user, mailed, expected) in [
        ("first: no later mail", First, LIVES, ASSIGNED, had_first),
        (
            "first: added to the pending mail",
            First,
            LIVES,
            first.clone(),
            Effect::Gather(Kind::FirstAssignment, one),
        ),
        (
            "first: a pending digest from an earlier setting is not used",
            First,
            LIVES,
            both.clone(),
            had_first,
        ),
        ("every: the first assignment", Every, LIVES, NOTHING, Effect::Send(Kind::FirstAssignment)),
        (
            "every: added to the pending first mail",
            Every,
            LIVES,
            first.clone(),
            Effect::Gather(Kind::FirstAssignment, one),
        ),
        ("every: another mail", Every, LIVES, ASSIGNED, Effect::Send(Kind::Assignment)),
        (
            "every: added to the pending mail",
            Every,
            LIVES,
            both.clone(),
            Effect::Gather(Kind::Assignment, two),
        ),
        (
            "every: not to an archived user",
            Every,
            SLEEPS,
            both.clone(),
            Effect::Suppress(Kind::Assignment, ARCHIVED),
        ),
        ("digest: the first assignment", Digest, LIVES, WELCOMED, Effect::Send(Kind::FirstAssignment)),
        ("digest: one a day", Digest, LIVES, ASSIGNED, Effect::Send(Kind::Digest)),
        ("digest: added to the pending digest", Digest, LIVES, both, Effect::Gather(Kind::Digest, one)),
        (
            "digest: not to an archived user",
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
fn an_unsubscribed_user_gets_only_the_first_assignment_mail() {
    let user = Some(User { origin: Origin::Scim, archived: false, timezone: None, unsubscribed: true });
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
fn no_welcome_mail_if_the_tenant_has_switched_it_off() {
    let mail = Mail { welcome: Welcome::None, ..Mail::default() };
    for (person, reason) in [(BY_HAND, UNWELCOMED), (LIVES, SILENT)] {
        let created = user(UserEvent::Created, Origin::Manual);
        let effects = decide(&created, person.as_ref(), &NOTHING, Some(&mail));
        assert_eq!(effects[0], Effect::Suppress(Kind::Welcome, reason));
    }
}

#[test]
fn a_withdrawn_first_mail_is_sent_when_the_user_is_restored() {
    use Effect::{Assign, Gather, Revive, Suppress, Unpark};
    let id = Uuid::from_u128(1);
    let withdrawn = |mailed: Mailed| Mailed { withdrawn: Some(id), ..mailed };
    let had_first = Suppress(Kind::FirstAssignment, "already received the first-assignment mail");
    let restored = || user(UserEvent::Restored, Origin::Scim);
    for (rule, what, user, mailed, expected) in [
        ("restored", restored(), LIVES, withdrawn(WELCOMED), vec![Revive(id), Unpark]),
        ("archived again", restored(), SLEEPS, withdrawn(NOTHING), vec![Unpark]),
        ("another first mail was sent", restored(), LIVES, withdrawn(ASSIGNED), vec![Unpark]),
        (
            "an assignment arrives before the restored event",
            assigned(),
            LIVES,
            withdrawn(NOTHING),
            vec![Assign, Revive(id), Gather(Kind::FirstAssignment, id)],
        ),
        (
            "assigned while archived",
            assigned(),
            SLEEPS,
            withdrawn(NOTHING),
            vec![Assign, Suppress(Kind::FirstAssignment, ARCHIVED)],
        ),
        (
            "assigned after another first mail",
            assigned(),
            LIVES,
            withdrawn(ASSIGNED),
            vec![Assign, had_first],
        ),
    ] {
        assert_eq!(decide(&what, user.as_ref(), &mailed, Some(&Mail::default())), expected, "{rule}");
    }
}

#[test]
fn events_are_parked_if_the_settings_cannot_be_read() {
    for what in [assigned(), completed(), user(UserEvent::Created, Origin::Manual)] {
        assert_eq!(decide(&what, LIVES.as_ref(), &NOTHING, None), [Effect::Park]);
    }
}
