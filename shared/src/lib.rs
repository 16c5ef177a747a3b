//! The words that Rollcall's services share, from the leaves up.
//!
//! Imports run downward only: services → the rims ([`amqp`], [`postgres`], never each other) → the
//! envelope ([`command`], [`outcome`], [`event`], [`pull`], [`report`], [`settings`], [`ticket`]) → [`scim`] → leaves.

// Leaves: they know nothing of Rollcall.
pub mod clock;
pub mod config;
pub mod health;
pub mod http;
pub mod id;
pub mod redact;
pub mod retry;
pub mod secret;
pub mod shutdown;
pub mod telemetry;
pub mod tls;

// SCIM itself: no queue, no database.
pub mod scim;

// What crosses the queue.
pub mod command;
pub mod event;
pub mod outcome;
pub mod pull;
pub mod report;
pub mod settings;
pub mod ticket;
pub mod unsubscribe;

// The rims.
pub mod amqp;
pub mod postgres;
