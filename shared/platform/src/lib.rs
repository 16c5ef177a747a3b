//! The parts that every service needs and that are independent of SCIM and of Rollcall's data: configuration, health,
//! the HTTP server, logs, retries, secrets, shutdown, TLS, and text for terminals.

pub mod clock;
pub mod config;
pub mod headers;
pub mod health;
pub mod http;
pub mod id;
pub mod log;
pub mod network;
pub mod plaintext;
pub mod private_file;
pub mod redact;
pub mod retry;
pub mod secret;
pub mod shutdown;
pub mod tls;
pub mod visible;
