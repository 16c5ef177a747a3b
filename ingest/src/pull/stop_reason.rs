//! Why a run stopped without a result.

use tracing::warn;

use super::store::Unwritten;

/// Why a run stopped without a result.
#[derive(Debug, thiserror::Error)]
pub enum StopReason {
    /// The run is released and continues in another process or later.
    #[error("the run is released")]
    Released,
    /// Another process with another secret key may be able to continue.
    #[error(
        "the token cannot be decrypted: ROLLCALL_SECRET_KEY has changed since the pull was set; run `rollcall pull set` \
         again, or give every ingest the same key"
    )]
    Undecryptable,
    /// Postgres failed in a way that may be permanent, such as an internal error or a missing privilege.
    #[error("{0}")]
    DatabaseFailed(database::Error),
    /// The link to the next page has expired.
    #[error("{0} rejects its own links to the next page (400 Bad Request)")]
    Expired(&'static str),
    /// The run failed.
    #[error("{0}")]
    Failed(String),
}

impl From<Unwritten> for StopReason {
    fn from(unwritten: Unwritten) -> Self {
        match unwritten {
            Unwritten::Lost => Self::Released,
            Unwritten::Postgres(error) => error.into(),
        }
    }
}

impl From<database::Error> for StopReason {
    /// The stored progress is complete: when Postgres is available again, the run resumes from it.
    fn from(error: database::Error) -> Self {
        match error {
            error @ (database::Error::Unknown(_) | database::Error::Unfit(_)) => Self::DatabaseFailed(error),
            error if error.is_transient() => {
                warn!(%error, "Postgres is unavailable; pull released until it is back");
                Self::Released
            }
            // A retry would fail too, and would request the same page again and again.
            error => Self::Failed(error.to_string()),
        }
    }
}
