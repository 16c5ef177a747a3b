//! One command against the state. The rules of the inbox and of late answers; the order is in `row`, what a change does in
//! `user` and `group`.

use std::borrow::Cow;

use shared::command::{Change, Command, Origin};
use shared::outcome::Outcome;
use shared::postgres::groups::GroupRow;
use shared::postgres::users::UserRow;
use shared::scim::{Error, Group, Misfit, Resource, ResourceType, Types};
use time::{Duration, OffsetDateTime};

use super::State;
use super::row::{self, Refused};
use super::state::{Standing, made_by_repetition};
use super::{group, user};
use crate::sabotage;

/// How long before the deadline ingest may still hear a reply: what is applied later counts as unheard.
const REPLY_MARGIN: Duration = Duration::seconds(1);

/// What to do about a command after the commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Reply with this verdict.
    Reply(Outcome),
    /// The verdict is stored, and whoever asked has been told to ask again.
    Unheard(Outcome),
    /// Decided before and delivered again: reply once more, whoever may have heard it.
    Repeated(Outcome),
}

impl Decision {
    /// The verdict.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        match self {
            Self::Reply(outcome) | Self::Unheard(outcome) | Self::Repeated(outcome) => outcome,
        }
    }
}

/// Whether a reply to a command that goes out now may come too late. Nobody waits for an asynchronous one: its outcome is
/// fetched whenever somebody likes.
#[must_use]
pub fn is_late(command: &Command, now: OffsetDateTime) -> bool {
    !command.asynchronous && now > command.deadline - REPLY_MARGIN
}

/// Decides a command and applies it to the state.
///
/// # Errors
/// The reason why it can never be decided: it belongs into the dead-letter queue.
pub fn decide(state: &mut State, command: &Command) -> Result<Decision, String> {
    let Some(tenant) = state.tenants.get(&command.tenant) else {
        return Err("the command's tenant does not exist".to_owned());
    };
    let entry = state.inbox.get(&command.ticket);
    let decided = entry.and_then(|entry| entry.outcome.clone()).filter(|_| !sabotage::ignores_inbox());
    if let Some(outcome) = decided {
        // Applied before: redelivered after a crash between the commit and the acknowledgement.
        return Ok(Decision::Repeated(outcome));
    }
    let change = match validated(&tenant.types, &command.change) {
        Ok(change) => Ok(change),
        Err(Invalid::Misfit(error)) => Err(error),
        Err(Invalid::NoCommand(reason)) => return Err(reason),
    };
    // A row without a verdict: ingest gave up first, and said so in Postgres. (Or it queued what nobody waits for.)
    let late = !command.asynchronous && entry.is_some() || is_late(command, state.now);
    if let Some(outcome) = hand_out(state, command, late) {
        return Ok(if late { Decision::Unheard(outcome) } else { Decision::Reply(outcome) });
    }
    let outcome = match change {
        Ok(_) if late && is_made_by_repetition(state, command) => {
            Outcome::Rejected { error: made_by_repetition() }
        }
        Ok(change) => apply(state, command, &change, late).unwrap_or_else(Outcome::from),
        Err(error) => Outcome::Rejected { error },
    };
    let standing = match &outcome {
        _ if command.asynchronous => Standing::Claimed,
        outcome if late && outcome.is_applied() => Standing::Unclaimed,
        _ => Standing::Decided,
    };
    if !late && !command.asynchronous && !matches!(outcome, Outcome::Stale { .. }) {
        // What its earlier tries came to was not the truth any more, and must not be handed out should it become so again.
        state.claim_earlier_tries(command);
    }
    state.settle(command, outcome.clone(), standing);
    Ok(if late { Decision::Unheard(outcome) } else { Decision::Reply(outcome) })
}

/// Whether a later try of the same request has made the group: one that was given up must not make another beside it. (A user
/// is found again by the userName.)
fn is_made_by_repetition(state: &State, command: &Command) -> bool {
    let made = state.made.get(&(command.tenant, command.fingerprint.clone()));
    matches!(command.change, Change::CreateGroup { .. }) && made.is_some_and(|made| *made > command.ticket)
}

/// Why a resource is none of the tenant's.
enum Invalid {
    /// Its sender is not ours: it can never be decided.
    NoCommand(String),
    /// It fitted the schemas that the tenant had when it was sent.
    Misfit(Error),
}

/// The change with its resource held against the tenant's schemas: a sender that is not ours may not have done so, and ours
/// may have known the schemas of a moment ago.
fn validated<'a>(types: &Types, change: &'a Change) -> Result<Cow<'a, Change>, Invalid> {
    let user = |user| parsed(&types.user, ResourceType::user(), user);
    let group = |group: &Group| {
        if group::has_members(&group.resource) {
            let reason = "no command: a group's members stand beside its resource, not in it";
            return Err(Invalid::NoCommand(reason.to_owned()));
        }
        let resource = parsed(&types.group, ResourceType::group(), &group.resource)?;
        Ok(Group { resource, ..group.clone() })
    };
    Ok(match change {
        Change::CreateUser { user: sent, origin, role } => {
            Cow::Owned(Change::CreateUser { user: user(sent)?, origin: *origin, role: *role })
        }
        Change::ReplaceUser { user: sent } => Cow::Owned(put(types, sent, None)?),
        Change::LeaveUser { user: sent, misfit } => Cow::Owned(put(types, sent, Some(misfit))?),
        Change::CreateGroup { group: sent } => Cow::Owned(Change::CreateGroup { group: group(sent)? }),
        Change::ReplaceGroup { group: sent } => Cow::Owned(Change::ReplaceGroup { group: group(sent)? }),
        Change::PatchUser { .. }
        | Change::PatchGroup { .. }
        | Change::DeleteUser
        | Change::DeleteGroup
        | Change::SetRole { .. }
        | Change::SupplementUser { .. } => Cow::Borrowed(change),
    })
}

/// A PUT of a user, with what is wrong with it: the leaver's rule may take it all the same.
fn put(types: &Types, sent: &Resource, misfit: Option<&Misfit>) -> Result<Change, Invalid> {
    let read = as_sent(sent).map(|body| Resource::read(&types.user, &body))?;
    match (read, misfit) {
        (Ok((user, None)), None) => Ok(Change::ReplaceUser { user }),
        (Ok((user, found)), Some(misfit)) => {
            Ok(Change::LeaveUser { user, misfit: misfit.clone().and(found) })
        }
        // What does not even fit the type without extensions is no command.
        (read, _) => {
            parsed(ResourceType::user(), ResourceType::user(), sent)?;
            match read {
                Ok((user, Some(misfit))) => Ok(Change::LeaveUser { user, misfit }),
                Ok((user, None)) => Ok(Change::ReplaceUser { user }),
                Err(error) => Err(Invalid::Misfit(error)),
            }
        }
    }
}

fn as_sent(resource: &Resource) -> Result<serde_json::Value, Invalid> {
    serde_json::to_value(resource)
        .map_err(|_| Invalid::NoCommand("no command: its resource is no JSON".to_owned()))
}

/// The resource by the tenant's type. What does not even fit the type without extensions is no command.
fn parsed(own: &ResourceType, plain: &ResourceType, resource: &Resource) -> Result<Resource, Invalid> {
    let no_command = |reason: &str| Invalid::NoCommand(format!("no command: {reason}"));
    let as_sent = as_sent(resource)?;
    Resource::parse(own, &as_sent).map_err(|error| match Resource::parse(plain, &as_sent) {
        Ok(_) => Invalid::Misfit(error),
        Err(error) => no_command(&error.detail),
    })
}

/// What an earlier try of the same request came to, if that is still to be handed out.
fn hand_out(state: &mut State, command: &Command, late: bool) -> Option<Outcome> {
    match &command.change {
        _ if command.asynchronous => None,
        Change::CreateUser { .. }
        | Change::ReplaceUser { .. }
        | Change::LeaveUser { .. }
        | Change::PatchUser { .. }
        | Change::SetRole { .. } => row::hand_out::<UserRow>(state, command, late),
        Change::CreateGroup { .. } | Change::ReplaceGroup { .. } | Change::PatchGroup { .. } => {
            row::hand_out::<GroupRow>(state, command, late)
        }
        Change::DeleteUser | Change::DeleteGroup | Change::SupplementUser { .. } => None,
    }
}

/// Applies a command that was not applied before.
fn apply(state: &mut State, command: &Command, change: &Change, late: bool) -> Result<Outcome, Refused> {
    match change {
        Change::CreateUser { user, origin: Origin::Scim, role: None } => {
            user::provision(state, command, user, late)
        }
        Change::CreateUser { user, origin, role } => {
            user::create(state, command, user, *origin, role.unwrap_or_default())
        }
        Change::ReplaceUser { user } => user::replace(state, command, user, None),
        Change::LeaveUser { user, misfit } => user::replace(state, command, user, Some(misfit)),
        Change::PatchUser { patch } => user::patch(state, command, patch),
        Change::DeleteUser => user::delete(state, command),
        Change::SetRole { role } => user::set_role(state, command, *role),
        Change::SupplementUser { supplement } => user::supplement(state, command, supplement),
        Change::CreateGroup { group } => group::create(state, command, group),
        Change::ReplaceGroup { group } => group::replace(state, command, group),
        Change::PatchGroup { patch } => group::patch(state, command, patch),
        Change::DeleteGroup => group::delete(state, command),
    }
}
