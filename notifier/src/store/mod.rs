//! The notifier's tables, a file each, and what it reads of the roster.

pub mod assignments;
pub mod ledger;
pub mod parked;
pub mod queue;
pub mod received;
pub mod roster;
