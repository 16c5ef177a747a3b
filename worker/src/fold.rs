//! The fold applies the commands of a batch, in order, to the rows they touch. It is pure: no clock, no database, no
//! queue. [`crate::store::load`] provides the state, [`crate::store::save`] stores the result.

mod decide;
mod group;
mod members;
mod repeated;
mod row;
mod state;
#[cfg(test)]
mod tests;
mod user;

pub use decide::{Decision, decide, is_late};
pub use members::{MAX_SEARCHED, Members};
pub use state::{EarlierRequests, Entry, Person, Row, Slot, State};
