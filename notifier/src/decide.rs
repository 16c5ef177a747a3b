//! Which mail a person gets, and above all which mail they do not get. Pure: no clock, no database, no queue.
//! Before it: [`crate::apply`] has loaded what is known; after it: [`crate::apply`] saves the effects.

use shared::command::Origin;
use shared::event::{ContentEvent, UserEvent};
use wording::Kind;

use crate::intake::What;

/// Why nothing is sent: provisioning is silent.
pub const SILENT: &str = "created by the identity provider (SCIM): provisioning is silent";
/// Why nothing is sent: the person is archived.
pub const ARCHIVED: &str = "the user is archived";
/// Why nothing is sent: the person is gone.
pub const DELETED: &str = "the user was deleted";

/// Why nothing is sent: each kind is sent once.
fn had(kind: Kind) -> &'static str {
    match kind {
        Kind::Welcome => "already had the welcome mail",
        Kind::FirstAssignment => "already had the first-assignment mail",
    }
}

/// A user whom the tenant has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// Whether the account is deactivated.
    pub archived: bool,
}

/// The kinds of mail that the ledger holds for a user; those that never reached them (suppressed, failed) left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mailed {
    /// A welcome.
    pub welcome: bool,
    /// A first assignment.
    pub first_assignment: bool,
}

impl Mailed {
    fn has(self, kind: Kind) -> bool {
        match kind {
            Kind::Welcome => self.welcome,
            Kind::FirstAssignment => self.first_assignment,
        }
    }

    /// Notes one more.
    pub fn add(&mut self, kind: Kind) {
        match kind {
            Kind::Welcome => self.welcome = true,
            Kind::FirstAssignment => self.first_assignment = true,
        }
    }
}

/// What an event leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A mail is to be sent.
    Send(Kind),
    /// A mail is not sent, for this reason.
    Suppress(Kind, &'static str),
    /// The assignment is noted.
    Assign,
    /// The completion is noted.
    Complete,
    /// What is still pending for the user is not sent any more, for this reason.
    Cancel(&'static str),
    /// The event waits until the user is known.
    Park,
    /// The events that wait for the user are tried again at once.
    Unpark,
}

/// Decides. `user` is `None` if the tenant has no such user; another tenant's is none of its.
#[must_use]
pub fn decide(what: &What, user: Option<User>, mailed: Mailed) -> Vec<Effect> {
    match (what, user) {
        (What::User(UserEvent::Created, data), _) => {
            let silent = (data.origin == Origin::Scim).then_some(SILENT);
            vec![mail(Kind::Welcome, silent, user, mailed), Effect::Unpark]
        }
        (What::User(UserEvent::Restored, _), _) => vec![Effect::Unpark],
        // Events may come late and out of order: what the roster says now is what counts.
        (What::User(UserEvent::Archived | UserEvent::Deleted, _), Some(User { archived: false })) => vec![],
        (What::User(UserEvent::Archived | UserEvent::Deleted, _), Some(_)) => vec![Effect::Cancel(ARCHIVED)],
        (What::User(UserEvent::Archived | UserEvent::Deleted, _), None) => vec![Effect::Cancel(DELETED)],
        (What::User(UserEvent::Updated | UserEvent::Linked, _), _) => vec![],
        (What::Content(_), None) => vec![Effect::Park],
        (What::Content(ContentEvent::Assigned(_)), Some(_)) => {
            vec![Effect::Assign, mail(Kind::FirstAssignment, None, user, mailed)]
        }
        (What::Content(ContentEvent::Completed(_)), Some(_)) => vec![Effect::Complete],
    }
}

/// To send or not to send, for the first reason that holds.
fn mail(kind: Kind, silent: Option<&'static str>, user: Option<User>, mailed: Mailed) -> Effect {
    let gone = match user {
        None => Some(DELETED),
        Some(User { archived: true }) => Some(ARCHIVED),
        Some(User { archived: false }) => None,
    };
    let had = mailed.has(kind).then(|| had(kind));
    silent.or(gone).or(had).map_or(Effect::Send(kind), |reason| Effect::Suppress(kind, reason))
}

#[cfg(test)]
mod tests {
    use shared::event::{
        Assigned, Assignment, Completed, Completion, Content, ContentKind, UserData, UserRef,
    };
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;

    const LIVES: Option<User> = Some(User { archived: false });
    const SLEEPS: Option<User> = Some(User { archived: true });
    const NOTHING: Mailed = Mailed { welcome: false, first_assignment: false };
    const WELCOMED: Mailed = Mailed { welcome: true, first_assignment: false };
    const ASSIGNED: Mailed = Mailed { welcome: true, first_assignment: true };

    fn user(kind: UserEvent, origin: Origin) -> What {
        What::User(kind, UserData { id: Uuid::nil(), origin, active: true })
    }

    fn assigned() -> What {
        What::Content(ContentEvent::Assigned(Assigned {
            user: UserRef { id: Uuid::nil() },
            assignment: Assignment {
                id: "a".to_owned(),
                assigned_at: OffsetDateTime::UNIX_EPOCH,
                due_by: None,
            },
            content: Content {
                id: "c".to_owned(),
                kind: ContentKind::Lesson,
                title: "Fire safety".to_owned(),
                url: "https://learn.example/c".to_owned(),
            },
        }))
    }

    fn completed() -> What {
        let assignment =
            Completion { id: "a".to_owned(), completed_at: OffsetDateTime::UNIX_EPOCH, score: None };
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
            ("archiving cancels", user(Archived, Scim), SLEEPS, WELCOMED, vec![Cancel(ARCHIVED)]),
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
            assert_eq!(decide(&what, user, mailed), expected, "{rule}");
        }
    }
}
