//! Decides one command against the state: deduplication and the handling of late commands. `row` holds the ordering
//! rules, `user` and `group` the changes.

use std::borrow::Cow;

use domain::command::{Change, Command, Origin};
use domain::outcome::Outcome;
use scim::{Error, Group, Misfit, Resource, ResourceType, Types};
use time::{Duration, OffsetDateTime};

use super::State;
use super::row::Refused;
use super::{group, repeated, user};
use crate::sabotage;
use domain::delivery::Delivery;

/// How long before the deadline a reply must be sent. A command decided later counts as late, since the reply may miss
/// the deadline.
const REPLY_MARGIN: Duration = Duration::seconds(1);

/// The verdict of a command, and whether to reply after the commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Reply with this verdict.
    Reply(Outcome),
    /// The command was late: the verdict is stored, and the client has been asked to retry.
    Undelivered(Outcome),
    /// The command was decided before and redelivered: reply with the same verdict, even if it was delivered before.
    Redelivered(Outcome),
}

impl Decision {
    /// The verdict.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        match self {
            Self::Reply(outcome) | Self::Undelivered(outcome) | Self::Redelivered(outcome) => outcome,
        }
    }
}

/// Whether a reply sent now may miss the deadline. An asynchronous command is never late, because its outcome can be
/// fetched at any time.
#[must_use]
pub fn is_late(command: &Command, now: OffsetDateTime) -> bool {
    !command.asynchronous && now > command.deadline - REPLY_MARGIN
}

/// Decides a command and applies it to the state.
///
/// # Errors
/// The reason why the command can never be decided. It becomes a dead letter.
pub fn decide(state: &mut State, command: &Command) -> Result<Decision, String> {
    let Some(tenant) = state.tenants.get(&command.tenant) else {
        return Err("the command's tenant does not exist".to_owned());
    };
    let entry = state.verdicts.get(&command.ticket);
    let decided =
        entry.and_then(|entry| entry.outcome.clone()).filter(|_| !sabotage::ignores_stored_verdicts());
    if let Some(outcome) = decided {
        // Redelivery after a crash between the commit and the acknowledgement.
        return Ok(Decision::Redelivered(outcome));
    }
    let change = match validated(&tenant.types, &command.change) {
        Ok(change) => Ok(change),
        Err(Invalid::Misfit(error)) => Err(error),
        Err(Invalid::NoCommand(reason)) => return Err(reason),
    };
    // A row without a verdict: the deadline passed and ingest recorded that, or ingest queued an asynchronous request.
    let late = !command.asynchronous && entry.is_some() || is_late(command, state.now);
    if let Some(outcome) = repeated::outcome(state, command, late) {
        return Ok(if late { Decision::Undelivered(outcome) } else { Decision::Reply(outcome) });
    }
    let outcome = match change {
        Ok(_) if late && repeated::has_created(state, command) => {
            Outcome::Rejected { error: repeated::created() }
        }
        Ok(change) => apply(state, command, &change, late).unwrap_or_else(Outcome::from),
        Err(error) => Outcome::Rejected { error },
    };
    let delivery = match &outcome {
        _ if command.asynchronous => Delivery::Delivered,
        // A deletion is not repeated: the second request finds nothing.
        outcome if late && outcome.record().is_some() => Delivery::Undelivered,
        _ => Delivery::Replied,
    };
    if !late && !command.asynchronous && !matches!(outcome, Outcome::Stale { .. }) {
        // The outcomes of earlier requests no longer hold, and must not be returned if they happen to hold again later.
        repeated::deliver_earlier(state, command);
    }
    state.record_verdict(command, outcome.clone(), delivery);
    Ok(if late { Decision::Undelivered(outcome) } else { Decision::Reply(outcome) })
}

/// Why a resource does not match the tenant's schemas.
enum Invalid {
    /// The message was not sent by ingest and can never be decided.
    NoCommand(String),
    /// It matched the schemas that the tenant had when it was sent.
    Misfit(Error),
}

/// The change, with its resource validated against the tenant's schemas. A foreign publisher may have skipped
/// validation, and ingest may have used schemas that have changed since.
fn validated<'a>(types: &Types, change: &'a Change) -> Result<Cow<'a, Change>, Invalid> {
    let user = |user| parsed(&types.user, ResourceType::user(), user);
    let group = |group: &Group| {
        if group::has_members(&group.resource) {
            let reason = "invalid command: a group's resource must not contain members";
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

/// A PUT of a user with its validation errors. The leaver rule may still accept it.
fn put(types: &Types, sent: &Resource, misfit: Option<&Misfit>) -> Result<Change, Invalid> {
    let read = as_sent(sent).map(|body| scim::leaver::read(&types.user, &body))?;
    match (read, misfit) {
        (Ok((user, None)), None) => Ok(Change::ReplaceUser { user }),
        (Ok((user, found)), Some(misfit)) => {
            Ok(Change::LeaveUser { user, misfit: misfit.clone().and(found) })
        }
        // A resource that does not even match the type without extensions makes the command invalid.
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
        .map_err(|_| Invalid::NoCommand("invalid command: the resource is not JSON".to_owned()))
}

/// Parses the resource by the tenant's type. If it does not even match the type without extensions, the command is
/// invalid.
fn parsed(own: &ResourceType, plain: &ResourceType, resource: &Resource) -> Result<Resource, Invalid> {
    let no_command = |reason: &str| Invalid::NoCommand(format!("invalid command: {reason}"));
    let as_sent = as_sent(resource)?;
    Resource::parse(own, &as_sent).map_err(|error| match Resource::parse(plain, &as_sent) {
        Ok(_) => Invalid::Misfit(error),
        Err(error) => no_command(&error.detail),
    })
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
