//! The rows of `commands` that the fold wrote verdicts to.

use database::verdicts;
use domain::command::Command;
use domain::outcome::Outcome;
use domain::ticket::Ticket;
use scim::{ScimType, known_names};
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::fold::{Entry, State};

pub(super) const INSERT: &str = "insert into commands (id, tenant_id, change, resource_id, actor, request_id, \
    fingerprint, delivery, status, outcome, attributes, ignored, name_digest, issued_at, decided_at) select id, tenant_id, \
    change, resource_id, actor, request_id, fingerprint, delivery, status, outcome, attributes, ignored, name_digest, \
    issued_at, decided_at from input order by id";

pub(super) const UPDATE: &str = "update commands c set delivery = i.delivery, status = i.status, \
    outcome = jsonb_build_object('asynchronous', c.outcome -> 'asynchronous') || i.outcome, \
    resource_id = coalesce(i.resource_id, c.resource_id), attributes = coalesce(i.attributes, c.attributes), \
    ignored = coalesce(i.ignored, c.ignored), \
    name_digest = coalesce(i.name_digest, c.name_digest), decided_at = coalesce(c.decided_at, i.decided_at) \
    from input i where c.id = i.id";

pub(super) const INSERT_RESOURCES: &str = "insert into recent_resources (command, resource) \
    select command, resource from input order by command on conflict do nothing";

/// The rows that a batch writes.
pub(super) struct CommandChanges<'a> {
    /// Rows that ingest inserted first, and rows whose outcome was passed on to a retry.
    pub changed: Vec<VerdictColumns>,
    /// All other rows.
    pub new: Vec<NewRow>,
    /// The resources as the commands left them.
    pub resources: Vec<RecentResource<'a>>,
}

/// A row of `recent_resources`.
#[derive(Serialize)]
pub(super) struct RecentResource<'a> {
    command: Uuid,
    resource: &'a scim::Resource,
}

/// A new row.
#[derive(Serialize)]
pub(super) struct NewRow {
    tenant_id: Uuid,
    change: &'static str,
    actor: String,
    request_id: Uuid,
    fingerprint: String,
    #[serde(with = "time::serde::rfc3339")]
    issued_at: OffsetDateTime,
    #[serde(flatten)]
    verdict: VerdictColumns,
}

/// The columns that a verdict fills.
#[derive(Serialize)]
pub(super) struct VerdictColumns {
    id: Uuid,
    /// The affected resource. For a create that reactivated a user this is not the id that the command proposed.
    resource_id: Option<Uuid>,
    delivery: &'static str,
    status: Option<u16>,
    outcome: Option<Value>,
    attributes: Option<Vec<String>>,
    ignored: Option<Vec<String>>,
    name_digest: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    decided_at: OffsetDateTime,
}

pub(super) fn changes(state: &State) -> CommandChanges<'_> {
    let mut changes = CommandChanges { changed: Vec::new(), new: Vec::new(), resources: Vec::new() };
    for (ticket, entry) in state.verdicts.iter().filter(|(_, entry)| entry.changed) {
        let synchronous = entry.command.as_ref().filter(|command| !command.asynchronous);
        let record = synchronous.and(entry.outcome.as_ref()).and_then(Outcome::record);
        changes
            .resources
            .extend(record.map(|record| RecentResource { command: ticket.0, resource: &record.resource }));
        let verdict = verdict(*ticket, entry, state);
        if entry.stored {
            changes.changed.push(verdict);
        } else if let Some(command) = &entry.command {
            changes.new.push(NewRow {
                tenant_id: command.tenant,
                change: command.change.name(),
                actor: command.actor.to_string(),
                request_id: command.request,
                fingerprint: command.fingerprint.as_str().to_owned(),
                issued_at: command.issued_at,
                verdict,
            });
        }
    }
    changes
}

fn verdict(ticket: Ticket, entry: &Entry, state: &State) -> VerdictColumns {
    let named = entry.command.as_ref().and_then(|command| {
        let types = &state.tenants.get(&command.tenant)?.types;
        let ignored = entry.outcome.as_ref().map(Outcome::ignored).unwrap_or_default();
        let ignored = known_names(command.change.resource_type(types), ignored);
        Some((command.change.attributes(types), ignored))
    });
    let (attributes, ignored) = named.unwrap_or_default();
    let answered = match &entry.outcome {
        Some(Outcome::Created { record, .. } | Outcome::Updated { record, .. }) => Some(record.id),
        _ => None,
    };
    VerdictColumns {
        id: ticket.0,
        resource_id: answered.or(entry.command.as_ref().map(|command| command.resource)),
        delivery: entry.delivery.as_str(),
        status: entry.outcome.as_ref().map(Outcome::status),
        outcome: entry.outcome.as_ref().and_then(|outcome| stored(outcome, entry.command.as_ref(), &ignored)),
        attributes: Some(attributes).filter(|names| !names.is_empty()),
        ignored: Some(ignored).filter(|names| !names.is_empty()),
        // The hash of a deleted user's name must not come back with a late request, nor after the tenant was removed.
        name_digest: entry
            .command
            .as_ref()
            .filter(|command| state.tenants.contains_key(&command.tenant) && !is_unknown(entry))
            .and_then(Command::name_digest),
        decided_at: state.now,
    }
}

/// The outcome without the names in a value filter, which are the client's text, if that is what was rejected.
fn without_filter(outcome: &Outcome) -> Option<Outcome> {
    match outcome {
        Outcome::Rejected { error } if error.scim_type == Some(ScimType::InvalidFilter) => {
            let error = scim::Error::invalid_filter("the value filter of a path is not supported");
            Some(Outcome::Rejected { error })
        }
        _ => None,
    }
}

/// Whether the resource does not exist.
pub(super) fn is_unknown(entry: &Entry) -> bool {
    entry.outcome.as_ref().is_some_and(|outcome| outcome.status() == 404)
}

/// The outcome, with a flag that tells whether it can be fetched (see `verdicts::asynchronous`). Only then it holds the
/// resource; that of all others is in `recent_resources`. Like the column, it names only attributes of the schemas.
fn stored(outcome: &Outcome, command: Option<&Command>, ignored: &[String]) -> Option<Value> {
    let is_asynchronous = command.is_some_and(|command| command.asynchronous);
    let hidden = without_filter(outcome);
    let outcome = hidden.as_ref().unwrap_or(outcome);
    let mut stored = match is_asynchronous {
        true => serde_json::to_value(outcome),
        false => serde_json::to_value(outcome.without_resource()),
    }
    .ok()?;
    if command.is_some() {
        let members = stored.as_object_mut()?;
        members.insert(verdicts::IS_ASYNCHRONOUS.to_owned(), Value::Bool(is_asynchronous));
        if let Some(names) = members.get_mut("ignored") {
            *names = json!(ignored);
        }
    }
    Some(stored)
}
