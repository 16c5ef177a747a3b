//! Which mail a person gets, and above all which mail they do not get. Pure: no clock, no database, no queue.
//! Before it: [`crate::apply`] has loaded what is known; after it: [`crate::apply`] saves the effects.

use shared::command::Origin;
use shared::event::{ContentEvent, UserEvent};
use shared::settings::{AssignmentMail, Mail, Welcome};
use uuid::Uuid;
use wording::Kind;

use crate::intake::What;

/// Why nothing is sent: provisioning is silent.
pub const SILENT: &str = "created by the identity provider (SCIM): provisioning is silent";
/// Why nothing is sent: the person is archived.
pub const ARCHIVED: &str = "the user is archived";
/// Why what was to be sent is not: the person was archived. A first mail of which this is said goes out if they come back.
pub const WITHDRAWN: &str = "the user was archived before it went out";
/// Why nothing is sent: the person is gone.
pub const DELETED: &str = "the user was deleted";

/// Why nothing is sent: the tenant wants no welcomes.
pub const UNWELCOMED: &str = "the company has welcome mail switched off";
/// Why nothing is sent: the person said so.
pub const UNSUBSCRIBED: &str = "the user wants no more mail about assignments";
/// Why what was to be sent is not: there is nothing left to say.
pub const COMPLETED: &str = "all that it was about is completed";
/// Why no mail of its own is sent: another one, that was waiting, says it too.
pub const GATHERED: &str = "told in a mail that was waiting to be sent";

/// Why nothing is sent: each of these kinds is sent once.
fn had(kind: Kind) -> &'static str {
    if kind == Kind::Welcome {
        "already had the welcome mail"
    } else {
        "already had the first-assignment mail"
    }
}

/// A user whom the tenant has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Whether the account is deactivated.
    pub archived: bool,
    /// Where they are (IANA).
    pub timezone: Option<String>,
    /// Whether they want no more mail about assignments than the first.
    pub unsubscribed: bool,
}

/// The kinds of mail that the ledger holds for a user; those that cannot have reached them (suppressed, failed) left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mailed {
    /// A welcome.
    pub welcome: bool,
    /// A first assignment.
    pub first_assignment: bool,
    /// Mails about assignments that nobody has tried to send yet: they can say more.
    pub waiting: Vec<(Kind, Uuid)>,
    /// A mail about a first assignment that was withdrawn when they were archived, and cannot have reached them.
    pub withdrawn: Option<Uuid>,
}

impl Mailed {
    fn has(&self, kind: Kind) -> bool {
        match kind {
            Kind::Welcome => self.welcome,
            Kind::FirstAssignment => self.first_assignment,
            Kind::Assignment | Kind::Digest => false,
        }
    }

    /// Notes one more; with its id if it can still say more.
    pub fn add(&mut self, kind: Kind, waiting: Option<Uuid>) {
        match kind {
            Kind::Welcome => self.welcome = true,
            Kind::FirstAssignment => self.first_assignment = true,
            Kind::Assignment | Kind::Digest => {}
        }
        self.waiting.extend(waiting.filter(|_| kind != Kind::Welcome).map(|id| (kind, id)));
    }

    /// The mail that was withdrawn, if it would be the first.
    fn revivable(&self) -> Option<Uuid> {
        self.withdrawn.filter(|_| !self.first_assignment)
    }

    fn waits(&self, kind: Kind) -> Option<Uuid> {
        self.waiting.iter().find(|(waiting, _)| *waiting == kind).map(|(_, id)| *id)
    }
}

/// What an event leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A mail is to be sent.
    Send(Kind),
    /// A mail that waits says this too.
    Gather(Kind, Uuid),
    /// A mail about a first assignment that was withdrawn is to be sent after all.
    Revive(Uuid),
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

/// Decides. `user` is `None` if the tenant has no such user; another tenant's is none of its. `chosen` is `None` if what the
/// tenant chose cannot be read: then the event waits.
#[must_use]
pub fn decide(what: &What, user: Option<&User>, mailed: &Mailed, chosen: Option<&Mail>) -> Vec<Effect> {
    let Some(chosen) = chosen else { return vec![Effect::Park] };
    match (what, user) {
        (What::User(UserEvent::Created, data), _) => {
            let silent = (data.origin == Origin::Scim).then_some(SILENT);
            let unwelcomed = (chosen.welcome == Welcome::None).then_some(UNWELCOMED);
            vec![mail(Kind::Welcome, silent.or(unwelcomed), user, mailed), Effect::Unpark]
        }
        (What::User(UserEvent::Restored, _), Some(User { archived: false, .. })) => {
            mailed.revivable().map(Effect::Revive).into_iter().chain([Effect::Unpark]).collect()
        }
        (What::User(UserEvent::Restored, _), _) => vec![Effect::Unpark],
        // Events may come late and out of order: what the roster says now is what counts.
        (What::User(UserEvent::Archived | UserEvent::Deleted, _), Some(User { archived: false, .. })) => {
            vec![]
        }
        (What::User(UserEvent::Archived | UserEvent::Deleted, _), Some(_)) => vec![Effect::Cancel(WITHDRAWN)],
        (What::User(UserEvent::Archived | UserEvent::Deleted, _), None) => vec![Effect::Cancel(DELETED)],
        (What::User(UserEvent::Updated | UserEvent::Linked, _), _) => vec![],
        (What::Content(_), None) => vec![Effect::Park],
        (What::Content(ContentEvent::Assigned(_)), Some(_)) => {
            match (user, mailed.revivable()) {
                // They came back, and we have not heard of it yet.
                (Some(User { archived: false, .. }), Some(id)) => {
                    vec![Effect::Assign, Effect::Revive(id), Effect::Gather(Kind::FirstAssignment, id)]
                }
                _ => vec![Effect::Assign, assignment(user, mailed, chosen.assignment_mail)],
            }
        }
        (What::Content(ContentEvent::Completed(_)), Some(_)) => vec![Effect::Complete],
    }
}

/// The first assignment is mailed always; what comes while its mail waits stands in it; for the rest the tenant chose.
fn assignment(user: Option<&User>, mailed: &Mailed, chosen: AssignmentMail) -> Effect {
    let kind = match chosen {
        _ if !mailed.first_assignment || mailed.waits(Kind::FirstAssignment).is_some() => {
            Kind::FirstAssignment
        }
        AssignmentMail::First => Kind::FirstAssignment,
        AssignmentMail::Every => Kind::Assignment,
        AssignmentMail::Digest => Kind::Digest,
    };
    if kind.is_optional() && user.is_some_and(|user| user.unsubscribed && !user.archived) {
        return Effect::Suppress(kind, UNSUBSCRIBED);
    }
    match (mailed.waits(kind), user) {
        (Some(id), Some(User { archived: false, .. })) => Effect::Gather(kind, id),
        _ => mail(kind, None, user, mailed),
    }
}

/// To send or not to send, for the first reason that holds.
fn mail(kind: Kind, silent: Option<&'static str>, user: Option<&User>, mailed: &Mailed) -> Effect {
    let gone = match user {
        None => Some(DELETED),
        Some(User { archived: true, .. }) => Some(ARCHIVED),
        Some(_) => None,
    };
    let had = mailed.has(kind).then(|| had(kind));
    silent.or(gone).or(had).map_or(Effect::Send(kind), |reason| Effect::Suppress(kind, reason))
}

#[cfg(test)]
mod tests;
