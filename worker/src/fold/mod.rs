//! The batch is a fold: commands applied one after the other to the rows that they touch. Pure: no clock, no database,
//! no queue. Before: [`crate::store::load`]. After: [`crate::store::save`].

mod decide;
mod group;
mod members;
mod row;
mod state;
#[cfg(test)]
mod tests;
mod user;

pub use decide::{Decision, decide, is_late};
pub use members::{MAX_SEARCHED, Members};
pub use row::Row;
pub use state::{Entry, Person, Slot, Standing, State, Tries};
