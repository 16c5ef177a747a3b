//! The notifier's tables, one module each, and its queries on tenants and users.

pub mod assignments;
pub mod erasure;
pub mod key_mails;
pub mod ledger;
pub mod mail_content;
pub mod parked;
pub mod queue;
pub mod received;
pub mod retention;
pub mod roster;
