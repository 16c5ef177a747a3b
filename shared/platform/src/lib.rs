//! What every service needs and that knows nothing of SCIM or of Rollcall's data: configuration, health, the HTTP server, the log,
//! retries, secrets, shutdown, TLS.

pub mod clock;
pub mod config;
pub mod health;
pub mod http;
pub mod id;
pub mod log;
pub mod redact;
pub mod retry;
pub mod secret;
pub mod shutdown;
pub mod tls;
