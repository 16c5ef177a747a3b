//! The Postgres rim: the pool, the tables, the reads that several services share, the errors.
//! Writes stand in the one crate that owns the table.

pub mod activity;
mod connect;
mod error;
pub mod groups;
pub mod keys;
mod limits;
pub mod list;
pub mod migrations;
mod pool;
pub mod pulls;
pub mod reports;
pub mod schema;
mod schemas;
mod sqlstate;
mod statement;
pub mod tenants;
pub mod users;
pub mod verdicts;

pub use error::Error;
pub use limits::Limits;
pub use pool::{Connection, Pool, watch};
pub use statement::{Constant, Rows};
