//! The fold's rows in Postgres. Loads and locks them with a fixed number of queries and saves them with a fixed number
//! of statements, regardless of the batch's size.

mod keys;
mod load;
pub mod locks;
mod save;

pub use keys::RowKeys;
pub use load::{Loaded, load};
pub use save::save;
