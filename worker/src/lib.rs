//! Applies commands to Postgres: takes a batch from the queue, folds it over the rows that it touches, saves all in
//! one transaction, then replies, acknowledges, and relays the events.

pub mod apply;
pub mod backfill;
pub mod cleaner;
pub mod consumer;
pub mod fold;
pub mod inbox;
pub mod relay;
pub mod sabotage;
pub mod service;
pub mod status;
pub mod store;
pub mod suspects;
