//! The data that crosses the queue or is stored in rows: commands and their outcomes, events, tickets, tenant settings,
//! and the types of the pull and of reports.

pub mod command;
pub mod delivery;
pub mod event;
pub mod link;
pub mod outcome;
pub mod pull;
pub mod report;
pub mod settings;
pub mod ticket;
pub mod unsubscribe;
