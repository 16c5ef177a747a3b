//! The worker applies commands to Postgres. It takes a batch from the queue, folds it over the rows it touches, saves
//! the result in one transaction, then replies, acknowledges, and relays the events.

pub mod apply;
pub mod backfill;
pub mod cleaner;
pub mod complete;
pub mod consumer;
pub mod decode;
pub mod expiring_keys;
pub mod fold;
pub mod lanes;
pub mod parts;
pub mod quarantine;
pub mod relay;
pub mod retirement;
pub mod sabotage;
pub mod service;
pub mod status;
pub mod store;
