//! The AMQP layer: the topology as data, a permanent link to the broker, and publishing, requesting and consuming over
//! it.

pub mod dead;
pub mod later;
mod link;
mod publisher;
mod repair;
mod requester;
mod subscription;
pub mod topology;

pub use link::{Link, connect_once};
pub use publisher::{Message, Publisher};
pub use requester::{RequestResult, Requester};
pub use subscription::{Acknowledger, Batch, Handle, Subscription, Unfinished, consume};

/// An error of the broker or of the connection to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The broker cannot be reached, or blocks publishers (memory or disk alarm).
    #[error("RabbitMQ is unavailable: {0}")]
    Unavailable(String),
    /// The queue is full, or the broker refused the message.
    #[error("RabbitMQ refused the message: the queue is full")]
    Refused,
    /// No queue is bound for the message.
    #[error("no queue is bound for the routing key {0}")]
    Unroutable(String),
    /// A queue or an exchange with one of our names has other properties: another program declared it.
    #[error(
        "{what} exists with other properties than Rollcall's ({said}): delete it at the broker, and Rollcall declares it again"
    )]
    Mismatch {
        /// The queue or exchange.
        what: &'static str,
        /// The broker's error message.
        said: String,
    },
}

impl From<lapin::Error> for Error {
    fn from(error: lapin::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}
