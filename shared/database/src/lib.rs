//! The Postgres layer: the pool, the tables, the queries that several services share, and the errors. Writes are in
//! the crate that owns the table.

pub mod activity;
pub mod audit;
pub mod changes;
mod connect;
mod error;
pub mod grants;
pub mod groups;
pub mod keys;
mod limits;
pub mod list;
pub mod migrations;
mod pool;
pub mod pulls;
mod record;
pub mod reports;
pub mod schema;
mod schemas;
mod sqlstate;
mod statement;
pub mod tenants;
pub mod users;
pub mod verdicts;

pub use connect::check_url;
pub use error::Error;
pub use limits::Limits;
pub use pool::{Connection, Pool, watch};
pub use statement::{Constant, Rows};
