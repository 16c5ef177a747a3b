//! The AMQP rim: the topology as data, one lasting link to the broker, and what is done over it.

pub mod dead;
mod link;
mod publisher;
mod repair;
mod requester;
mod subscription;
pub mod topology;

pub use link::{Link, connect_once};
pub use publisher::{Message, Publisher};
pub use requester::{Answer, Requester};
pub use subscription::{Batch, Handle, Subscription, Unfinished, consume};

/// What can go wrong between us and the broker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The broker cannot be reached, or blocks publishers (memory or disk alarm).
    #[error("RabbitMQ is not available: {0}")]
    Unavailable(String),
    /// The queue is full, or the broker refused the message.
    #[error("RabbitMQ refused the message: the queue is full")]
    Refused,
    /// No queue takes the message.
    #[error("no queue takes a message routed to {0}")]
    Unroutable(String),
    /// Something at the broker has our name and other properties than ours: somebody else declared it.
    #[error(
        "{what} exists with other properties than Rollcall's ({said}): delete it at the broker, and it is declared again"
    )]
    Mismatch {
        /// What.
        what: &'static str,
        /// The broker's complaint.
        said: String,
    },
}

impl From<lapin::Error> for Error {
    fn from(error: lapin::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}
