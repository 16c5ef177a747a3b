//! HTTP to command, outcome to HTTP: the SCIM server that an identity provider talks to.
//!
//! A request passes [`router`] and [`http`] (its identity, its body, its form), [`auth`] (whose it is), then [`scim`] or
//! [`events`]. A read ends in Postgres. A change becomes a command and takes the [`road`]: to the queue, and back with
//! the outcome, or with "try again" when the deadline was first. Beside it [`pull`] fetches from Okta what SCIM does not carry.

pub mod app;
pub mod auth;
pub mod config;
pub mod detached;
pub mod events;
pub mod gate;
pub mod http;
pub mod pace;
pub mod pull;
pub mod recent;
pub mod reports;
pub mod road;
pub mod roles;
pub mod router;
pub mod scim;
pub mod tenants;
pub mod turns;
pub mod unsubscribe;
