//! What a server allows its clients.

use std::time::Duration;

use super::forwarded::TrustedProxies;

/// The limits of a server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The maximum number of connections of one address (of a /64 for IPv6) on which no request was admitted yet. An
    /// address with admitted requests may have sixteen times as many of those.
    pub connections_per_address: usize,
    /// The proxies whose word about the client's address is believed.
    pub trusted_proxies: TrustedProxies,
    /// How long clients may take.
    pub times: Times,
}

/// How long clients may take to send and to read.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// To send a request's header. Idle connections are kept as long.
    pub header: Duration,
    /// The same while there are many connections.
    pub header_if_crowded: Duration,
    /// To send a body.
    pub body: Duration,
    /// Between two parts of a body.
    pub silence: Duration,
    /// To read 16 KiB of the answers, or all of them.
    pub reading: Duration,
    /// The pause before a stranger's pipelined request, after the first few.
    pub pace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let trusted_proxies = TrustedProxies::default();
        Self { connections_per_address: 256, trusted_proxies, times: Times::default() }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(75),
            header_if_crowded: Duration::from_secs(5),
            body: Duration::from_secs(30),
            silence: Duration::from_secs(10),
            reading: Duration::from_secs(60),
            pace: Duration::from_secs(1),
        }
    }
}
