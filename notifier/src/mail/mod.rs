//! The mail itself: how it looks on the wire ([`message`]), where it goes ([`transport`]). What it says is `wording`'s.

pub mod dkim;
pub mod folder;
pub mod message;
pub mod server;
pub mod smtp;
pub mod transport;
