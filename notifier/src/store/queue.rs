//! `notifications` as the sender's queue: lease what is due, record the attempts. Times are computed by Postgres.

mod attempt;
mod lease;
mod sql;

pub use self::attempt::{Attempt, AttemptResult, record_attempt};
pub use self::lease::{Leased, LeasedMail, Person, Quota, Waiting, lease_due, waiting};
