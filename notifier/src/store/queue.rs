//! `notifications` as the sender's queue: claim what is due, settle the outcome. Times are computed by Postgres.

mod claim;
mod settle;
mod sql;

pub use self::claim::{Claim, Person, claim};
pub use self::settle::{Attempt, Settlement, settle};
