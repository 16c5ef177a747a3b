//! Building mail ([`message`]) and sending it ([`transport`]). Its content comes from the crate `wording`.

pub mod dkim;
pub mod failure;
pub mod folder;
pub mod message;
pub mod server;
pub mod smtp;
pub mod transport;
