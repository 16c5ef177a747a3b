//! Why a dispatch ends without a verdict, and how its client is answered.

use domain::settings::Reached;
use domain::ticket::TooFarAhead;

use crate::http::response::Refusal;

/// Why a dispatch ended without a verdict.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// The command was not queued.
    #[error("the command was not queued: {0}")]
    NotQueued(amqp::Error),
    /// The change waited too long for a permit.
    #[error("earlier changes of the tenant took too long")]
    NotStarted,
    /// The deadline passed before there was a verdict.
    #[error("no verdict by the deadline")]
    Late {
        /// Whether the broker has confirmed the command. If so, it will get a verdict.
        is_queued: bool,
    },
    /// The asynchronous request could not be recorded.
    #[error("failed to record the asynchronous request: {0}")]
    NotRecorded(database::Error),
    /// The tenant has as many asynchronous changes queued as it may.
    #[error("{0}")]
    Full(Reached),
    /// A later change was applied first, and there is no time or client for another attempt.
    #[error("a later change was applied first")]
    Overtaken,
    /// The resource carries a ticket of a service whose clock is too far ahead of this one's.
    #[error("clock skew: the ticket of the resource's last change is too far ahead: {0}")]
    Unordered(TooFarAhead),
    /// A bug.
    #[error("the dispatch failed: {0}")]
    Broken(&'static str),
}

impl From<Unanswered> for Refusal {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NotQueued(error) => Self::not_queued(&error),
            Unanswered::NotRecorded(error) => Self::not_recorded(&error),
            Unanswered::Full(reached) => Self::try_again(format!(
                "{reached}: too many asynchronous changes are queued; nothing was queued; try again"
            )),
            Unanswered::NotStarted => Self::try_again(
                "other changes of this tenant took too long; nothing was queued and nothing was changed; try again",
            ),
            Unanswered::Late { is_queued: true } => Self::try_again(
                "the change is queued but was not applied in time; send the same request again to get its outcome",
            ),
            Unanswered::Late { is_queued: false } => Self::try_again(
                "the change was not applied in time and may be queued or not; send the same request again to get its outcome",
            ),
            Unanswered::Overtaken => Self::try_again(
                "another change of the same resource was applied first; this one was not applied; try again",
            ),
            Unanswered::Unordered(_) => Self::try_again(
                "the last change of the resource is dated ahead of this server's clock; nothing was changed; try again",
            ),
            Unanswered::Broken(cause) => Self::bug(cause),
        }
    }
}
