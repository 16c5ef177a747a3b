//! End to end, from outside: the parts of which a test (or a bench, or an hour of chaos) is made.
//!
//! A test starts or shares a [`stack`] on private [`servers`], talks to it as an identity provider ([`okta`]), as a
//! content service ([`content`]), as plainly as can be ([`plain`]), or as nobody should ([`raw`]), hurts it (the methods of
//! [`process::Service`] and [`servers::Servers`]), and looks at what came of it: the tables ([`db`]), the queues ([`broker`]), the mail
//! ([`mailbox`], [`smtp`]). [`check`] is what must hold after every fault. The only waiting is [`eventually`].
//!
//! Environment: `ROLLCALL_E2E_BUILT` set takes the programs as they are instead of building them; `ROLLCALL_E2E_LOGS` names
//! a folder in which logs are kept; `ROLLCALL_E2E_OUTAGE` is how many seconds Postgres is away (8; RabbitMQ half of it);
//! `ROLLCALL_E2E_RECORD` set rewrites the recorded conversations ([`page`]) from what happens.

#![expect(clippy::unwrap_used, reason = "the whole crate is a test: what cannot go on panics")]

// Whom the tests talk to, and what they break.
pub mod haproxy;
pub mod process;
pub mod programs;
pub mod proxy;
mod reaper;
pub mod servers;
pub mod stack;
pub mod tenant;

// Who talks.
pub mod answer;
pub mod content;
pub mod load;
pub mod okta;
pub mod okta_api;
pub mod plain;
pub mod raw;
pub mod rows;

// Who is there already.
pub mod crowd;

// Where it shows.
pub mod broker;
pub mod check;
pub mod db;
pub mod mailbox;
pub mod smtp;

// All of it, at random, and judged.
pub mod chaos;

// All of it, as pages that a reader can follow.
pub mod page;

pub mod dkim;
mod eventually;

pub use answer::Answer;
pub use eventually::{eventually, holds_for};
pub use okta::Okta;
pub use stack::Stack;
pub use tenant::Tenant;
