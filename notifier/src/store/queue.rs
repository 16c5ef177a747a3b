//! `notifications` as the sender's queue: claim what is due, record the attempts. Times are computed by Postgres.

mod attempt;
mod claim;
mod sql;

pub use self::attempt::{Attempt, AttemptResult, record_attempt};
pub use self::claim::{Claim, Person, claim};
