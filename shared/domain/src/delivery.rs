//! The delivery state of a command's verdict: the column `commands.delivery`.

/// Whether a client has received the verdict of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// An asynchronous request that has no verdict yet. Set by ingest before it publishes the command.
    Queued,
    /// The deadline passed before there was a verdict, and the client got 429. Set by ingest.
    Expired,
    /// The verdict was sent to ingest in a reply, or is a late rejection, deletion or stale command, which no repeated
    /// request receives. Set by the worker. A receipt tells that the client of a create received it.
    Replied,
    /// No client received the verdict, so it is kept for a repeated request. Set by the worker, and by ingest when a
    /// client disconnects or has received 429 before the verdict.
    Undelivered,
    /// A client has the verdict or can fetch it, or a repeated request has taken its place. Set by the worker and by
    /// ingest.
    Delivered,
}

impl Delivery {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Queued, Self::Expired, Self::Replied, Self::Undelivered, Self::Delivered];

    /// The text in the column.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Expired => "expired",
            Self::Replied => "replied",
            Self::Undelivered => "undelivered",
            Self::Delivered => "delivered",
        }
    }

    /// The state with this text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|delivery| delivery.as_str() == text)
    }
}
