//! How an attempt to send a mail fails.

/// Why a mail was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Rejected permanently.
    Refused(String),
    /// Failed temporarily.
    Again(String),
    /// The outcome is unknown: the server did not reply to the final dot.
    Unknown(&'static str),
}
