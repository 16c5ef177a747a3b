//! Decides which mail a user receives, and which is suppressed. Pure: no clock, no database, no queue.

use domain::command::Origin;
use domain::event::{ContentEvent, UserEvent};
use domain::settings::{AssignmentMail, Mail, Welcome};
use uuid::Uuid;
use wording::Kind;

use crate::intake::What;

/// Suppressed: provisioning sends no mail.
pub const SILENT: &str = "created by the identity provider (SCIM): provisioning is silent";
/// Suppressed: the user is archived.
pub const ARCHIVED: &str = "the user is archived";
/// Cancelled while pending: the user was archived. A first-assignment mail with this reason is sent if the user is
/// restored.
pub const WITHDRAWN: &str = "the user was archived before it went out";
/// Suppressed: the user was deleted.
pub const DELETED: &str = "the user was deleted";

/// Suppressed: the tenant has switched off welcome mail.
pub const UNWELCOMED: &str = "the company has welcome mail switched off";
/// Suppressed: the user has unsubscribed.
pub const UNSUBSCRIBED: &str = "the user has unsubscribed from mail about assignments";
/// Cancelled while pending: all its assignments are completed.
pub const COMPLETED: &str = "all its assignments are completed";
/// Suppressed: another pending mail lists the assignment.
pub const GATHERED: &str = "added to another pending mail";

/// Suppressed: each of these kinds is sent only once.
fn had(kind: Kind) -> &'static str {
    if kind == Kind::Welcome {
        "already received the welcome mail"
    } else {
        "already received the first-assignment mail"
    }
}

/// A user of the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Who created the account.
    pub origin: Origin,
    /// Whether the account is deactivated.
    pub archived: bool,
    /// The user's time zone (IANA).
    pub timezone: Option<String>,
    /// Whether the user has unsubscribed from optional mail.
    pub unsubscribed: bool,
}

/// The mail that the ledger holds for a user, except mail that cannot have reached them (suppressed or failed).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mailed {
    /// Whether there is a welcome mail.
    pub welcome: bool,
    /// Whether there is a first-assignment mail.
    pub first_assignment: bool,
    /// Pending mails about assignments that have not been tried yet; assignments can still be added to them.
    pub waiting: Vec<(Kind, Uuid)>,
    /// A first-assignment mail that was withdrawn when the user was archived, and cannot have reached them.
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

    /// Records another mail, with its id if assignments can still be added to it.
    pub fn add(&mut self, kind: Kind, waiting: Option<Uuid>) {
        match kind {
            Kind::Welcome => self.welcome = true,
            Kind::FirstAssignment => self.first_assignment = true,
            Kind::Assignment | Kind::Digest => {}
        }
        self.waiting.extend(waiting.filter(|_| kind != Kind::Welcome).map(|id| (kind, id)));
    }

    /// The withdrawn first-assignment mail, unless another one has been sent.
    fn revivable(&self) -> Option<Uuid> {
        self.withdrawn.filter(|_| !self.first_assignment)
    }

    fn waits(&self, kind: Kind) -> Option<Uuid> {
        self.waiting.iter().find(|(waiting, _)| *waiting == kind).map(|(_, id)| *id)
    }
}

/// An effect of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a mail.
    Send(Kind),
    /// Add the assignment to a pending mail.
    Gather(Kind, Uuid),
    /// Send a withdrawn first-assignment mail after all.
    Revive(Uuid),
    /// Suppress a mail, for this reason.
    Suppress(Kind, &'static str),
    /// Save the assignment.
    Assign,
    /// Save the completion.
    Complete,
    /// Cancel the user's pending mail, for this reason.
    Cancel(&'static str),
    /// Park the event until the user exists.
    Park,
    /// Retry the user's parked events at once.
    Unpark,
    /// Erase what is stored about the user.
    Erase,
    /// Do nothing: the event is about content of a user who was erased.
    Drop,
}

/// Decides the effects of an event. `user` is `None` if the tenant has no such user (users of other tenants do not
/// count). `chosen` is `None` if the tenant's settings cannot be read; then the event is parked.
///
/// Of an event about a user only its type and the user's id are used, and the roster decides: whoever can publish to the
/// broker could claim another origin or state. An event that was published after its commit finds the user, unless the
/// user was deleted since.
#[must_use]
pub fn decide(what: &What, user: Option<&User>, mailed: &Mailed, chosen: Option<&Mail>) -> Vec<Effect> {
    let Some(chosen) = chosen else { return vec![Effect::Park] };
    match (what, user) {
        (What::User(UserEvent::Created, _), None) => vec![],
        (What::User(UserEvent::Created, _), Some(known)) => {
            let silent = (known.origin == Origin::Scim).then_some(SILENT);
            let unwelcomed = (chosen.welcome == Welcome::None).then_some(UNWELCOMED);
            vec![mail(Kind::Welcome, silent.or(unwelcomed), user, mailed), Effect::Unpark]
        }
        (What::User(UserEvent::Restored, _), Some(User { archived: false, .. })) => {
            mailed.revivable().map(Effect::Revive).into_iter().chain([Effect::Unpark]).collect()
        }
        (What::User(UserEvent::Restored, _), Some(_)) => vec![Effect::Unpark],
        (What::User(UserEvent::Restored, _), None) => vec![],
        // Events may be late or out of order, so the user's current state decides.
        (What::User(UserEvent::Archived | UserEvent::Deleted, _), Some(User { archived: false, .. })) => {
            vec![]
        }
        (What::User(UserEvent::Archived | UserEvent::Deleted, _), Some(_)) => vec![Effect::Cancel(WITHDRAWN)],
        (What::User(UserEvent::Archived, _), None) => vec![Effect::Cancel(DELETED)],
        (What::User(UserEvent::Deleted, _), None) => vec![Effect::Cancel(DELETED), Effect::Erase],
        (What::User(UserEvent::Updated | UserEvent::Linked, _), _) => vec![],
        (What::Content(_), None) => vec![Effect::Park],
        (What::Content(ContentEvent::Assigned(_)), Some(_)) => {
            match (user, mailed.revivable()) {
                // The user was restored, but that event has not arrived yet.
                (Some(User { archived: false, .. }), Some(id)) => {
                    vec![Effect::Assign, Effect::Revive(id), Effect::Gather(Kind::FirstAssignment, id)]
                }
                _ => vec![Effect::Assign, assignment(user, mailed, chosen.assignment_mail)],
            }
        }
        (What::Content(ContentEvent::Completed(_)), Some(_)) => vec![Effect::Complete],
    }
}

/// The first assignment is always mailed, together with further ones that arrive while that mail is pending. The
/// tenant's settings decide about later ones.
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

/// Sends or suppresses a mail; the first reason that applies is given.
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
