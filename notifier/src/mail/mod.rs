//! The mail itself: what it says ([`words`]), how it looks on the wire ([`message`]), where it goes ([`transport`]).

pub mod folder;
pub mod message;
pub mod smtp;
pub mod transport;
pub mod words;
