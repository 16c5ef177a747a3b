//! The SCIM server: turns HTTP requests of an identity provider into commands, and outcomes into HTTP responses.
//!
//! A request passes [`router`] and [`http`] (request id, body, form of the response), [`admission`] (key, tenant,
//! share), then [`endpoints`] or [`events`]. A read is answered from Postgres. A change becomes a command that
//! [`dispatch`] sends to a worker; the response is its outcome, or 429 at the deadline. In the background, [`pull`]
//! fetches from Okta the data that SCIM does not carry.

pub mod admission;
pub mod app;
pub mod config;
pub mod detached;
pub mod dispatch;
pub mod endpoints;
pub mod event_backlog;
pub mod event_intake;
pub mod events;
pub mod headcount;
pub mod http;
pub mod keyed_semaphore;
pub mod pull;
pub mod rate_limit;
pub mod read_through;
pub mod reads;
pub mod refusals;
pub mod reports;
pub mod roles;
pub mod router;
pub mod tenants;
pub mod unsubscribe;
