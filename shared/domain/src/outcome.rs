//! The outcome of a command: the verdict that is stored in `commands` and sent to a waiting client.

use serde::{Deserialize, Serialize};
use time::Duration;

use crate::ticket::Ticket;

/// How long after the verdict a client that did not receive it may repeat the request: longer than Okta retries. A
/// repeated request within this time may receive the first outcome; later, the same request is a new change.
pub const REPEATABLE_FOR: Duration = Duration::hours(1);

/// A verdict. A rejection is a verdict too; only a command that cannot be decided is an error of the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "camelCase")]
pub enum Outcome {
    /// The resource was created.
    Created {
        /// Its new state.
        record: scim::Record,
        /// How many members were left out because no such user exists (tenant setting `unknown_members`).
        #[serde(default, skip_serializing_if = "is_zero")]
        skipped_members: usize,
        /// The names of requested attributes that were left unchanged.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ignored: Vec<String>,
    },
    /// The resource was changed, or was already as requested.
    Updated {
        /// Its new state.
        record: scim::Record,
        /// How many members were left out because no such user exists (tenant setting `unknown_members`).
        #[serde(default, skip_serializing_if = "is_zero")]
        skipped_members: usize,
        /// The names of requested attributes that were left unchanged.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ignored: Vec<String>,
    },
    /// The resource was deleted.
    Deleted,
    /// The change was rejected, and nothing changed.
    Rejected {
        /// The reason, as sent to the SCIM client.
        error: scim::Error,
    },
    /// A later command was applied first. The change may be retried with a ticket after this one.
    Stale {
        /// The resource's current ticket.
        ticket: Ticket,
    },
}

impl Outcome {
    /// The HTTP status for the SCIM client.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Created { .. } => 201,
            Self::Updated { .. } => 200,
            Self::Deleted => 204,
            Self::Rejected { error } => error.status,
            Self::Stale { .. } => 409,
        }
    }

    /// The resource after the change.
    #[must_use]
    pub fn record(&self) -> Option<&scim::Record> {
        match self {
            Self::Created { record, .. } | Self::Updated { record, .. } => Some(record),
            Self::Deleted | Self::Rejected { .. } | Self::Stale { .. } => None,
        }
    }

    /// The outcome with nothing of the resource but an `active` of false, which a repeated create must know.
    #[must_use]
    pub fn without_resource(&self) -> Self {
        let bare = |record: &scim::Record| record.map_resource(scim::Resource::only_inactive);
        match self {
            Self::Created { record, skipped_members, ignored } => Self::Created {
                record: bare(record),
                skipped_members: *skipped_members,
                ignored: ignored.clone(),
            },
            Self::Updated { record, skipped_members, ignored } => Self::Updated {
                record: bare(record),
                skipped_members: *skipped_members,
                ignored: ignored.clone(),
            },
            other => other.clone(),
        }
    }

    /// The outcome with this resource.
    #[must_use]
    pub fn with_resource(mut self, resource: scim::Resource) -> Self {
        if let Self::Created { record, .. } | Self::Updated { record, .. } = &mut self {
            record.resource = resource;
        }
        self
    }

    /// The names of requested attributes that were left unchanged.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        match self {
            Self::Created { ignored, .. } | Self::Updated { ignored, .. } => ignored,
            Self::Deleted | Self::Rejected { .. } | Self::Stale { .. } => &[],
        }
    }

    /// Whether the change took effect.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        matches!(self, Self::Created { .. } | Self::Updated { .. } | Self::Deleted)
    }

    /// The name of the verdict in log lines.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Created { .. } => "created",
            Self::Updated { .. } => "updated",
            Self::Deleted => "deleted",
            Self::Rejected { .. } => "rejected",
            Self::Stale { .. } => "stale",
        }
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}
