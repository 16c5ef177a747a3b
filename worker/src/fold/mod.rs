//! The batch is a fold: commands applied one after the other to the rows that they touch. Pure: no clock, no database,
//! no queue. Before: [`crate::store::load`]. After: [`crate::store::save`].

mod decide;
mod state;
#[cfg(test)]
mod tests;
mod user;

pub use decide::{Decision, decide, is_late};
pub use state::{Entry, Slot, State};
pub use user::row_columns;
