//! What came of a command: the verdict that is stored in `commands` and answered to whoever waits.

use serde::{Deserialize, Serialize};
use time::Duration;

use crate::scim;
use crate::ticket::Ticket;

/// How long after its verdict a request may be repeated by a client that did not hear of it: for as long as Okta tries again,
/// and longer. A repetition within this time may be handed the first try's outcome; after it, the same request is a new change.
pub const REPEATABLE_FOR: Duration = Duration::hours(1);

/// A verdict. A rejection is one too: only what could not be decided is an error of the worker's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "camelCase")]
pub enum Outcome {
    /// The resource was made.
    Created {
        /// As it is now.
        record: scim::Record,
        /// How many members were left out because there is no such user (tenant setting `unknown_members`).
        #[serde(default, skip_serializing_if = "is_zero")]
        skipped_members: usize,
    },
    /// The resource was changed, or already was as asked.
    Updated {
        /// As it is now.
        record: scim::Record,
        /// How many members were left out because there is no such user (tenant setting `unknown_members`).
        #[serde(default, skip_serializing_if = "is_zero")]
        skipped_members: usize,
    },
    /// The resource is gone.
    Deleted,
    /// The change was refused, and nothing was changed.
    Rejected {
        /// Why, as the SCIM client is told.
        error: scim::Error,
    },
    /// A later command was applied before: with a ticket past this one the change may be tried again.
    Stale {
        /// The ticket that the resource carries.
        ticket: Ticket,
    },
}

impl Outcome {
    /// The HTTP status that a SCIM client is answered.
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

    /// The resource as the change left it.
    #[must_use]
    pub fn record(&self) -> Option<&scim::Record> {
        match self {
            Self::Created { record, .. } | Self::Updated { record, .. } => Some(record),
            Self::Deleted | Self::Rejected { .. } | Self::Stale { .. } => None,
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
