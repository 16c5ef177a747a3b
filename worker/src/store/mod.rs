//! The fold's rows in Postgres: loaded and locked by a fixed number of queries, saved by a fixed number of statements,
//! whatever the batch's size. Before and after: [`crate::fold`].

mod keys;
mod load;
pub mod locks;
mod save;

pub use keys::Keys;
pub use load::load;
pub use save::save;
