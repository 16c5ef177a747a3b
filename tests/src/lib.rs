//! Building blocks for the end-to-end tests, the benchmarks and the chaos test.
//!
//! A test starts or shares a [`stack`] on private [`servers`]. It acts as an identity provider ([`okta`]), as a content
//! service ([`content`]), as a minimal HTTP client ([`plain`]), or as a broken one ([`raw`]). It injects faults
//! (methods of [`process::Service`] and [`servers::Servers`]) and inspects the tables ([`db`]), the queues ([`broker`])
//! and the mail ([`mailbox`], [`smtp`]). [`check`] has the invariants after every fault. Tests wait only by
//! [`eventually`].
//!
//! Environment: `ROLLCALL_E2E_BUILT` set uses the programs as they are instead of building them; `ROLLCALL_E2E_LOGS`
//! names a folder in which logs are kept; `ROLLCALL_E2E_OUTAGE` is how many seconds Postgres is down (8; RabbitMQ half
//! of it); `ROLLCALL_E2E_RECORD` set rewrites the recorded conversations ([`page`]).

#![expect(clippy::unwrap_used, reason = "the whole crate is test code: it panics on errors")]

// Services and servers under test.
pub mod haproxy;
pub mod process;
pub mod programs;
pub mod proxy;
mod reaper;
pub mod servers;
pub mod stack;
pub mod tenant;

// Clients.
pub mod answer;
pub mod content;
pub mod load;
pub mod okta;
pub mod okta_api;
pub mod plain;
pub mod raw;
pub mod rows;
pub mod strangers;

// Bulk data.
pub mod crowd;

// Inspection.
pub mod broker;
pub mod check;
pub mod db;
pub mod mailbox;
pub mod smtp;

// Randomized fault injection.
pub mod chaos;

// Attacks on the isolation of tenants.
pub mod siege;

// Recorded conversations.
pub mod page;

pub mod dkim;
mod eventually;

pub use answer::Answer;
pub use eventually::{eventually, holds_for};
pub use okta::Okta;
pub use stack::Stack;
pub use tenant::Tenant;
