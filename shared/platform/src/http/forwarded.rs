//! The client's address behind trusted proxies, from `Forwarded` (RFC 7239) or `X-Forwarded-For`.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::http::header::FORWARDED;
use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// What an invalid list is told.
const INVALID: &str = "must be IP addresses or networks separated by commas, such as 10.0.0.5,192.168.0.0/16";

/// The proxies whose word about the client's address is believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl FromStr for TrustedProxies {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let network = |text: &str| -> Result<IpNet, Self::Err> {
            let text = text.trim();
            let address = text.parse().map(|address: IpAddr| IpNet::from(address.to_canonical()));
            let network = address.or_else(|_| text.parse::<IpNet>()).map_err(|_| INVALID)?;
            // Any client could then choose its address.
            if network.prefix_len() == 0 {
                Err("must not contain all addresses")
            } else {
                Ok(network.trunc())
            }
        };
        text.split(',').map(network).collect::<Result<_, _>>().map(Self)
    }
}

impl TrustedProxies {
    /// Whether this is the address of a trusted proxy.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client's address. If the peer is a trusted proxy, this is the last address in its header that is not
    /// a trusted proxy's; the peer's own if there is no such header, if it is invalid, or if both headers disagree:
    /// then the proxy has passed on one that the client wrote.
    pub(super) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        if !self.contains(peer.ip()) {
            return peer;
        }
        let named = match (self.last(headers, &FORWARDED), self.last(headers, &X_FORWARDED_FOR)) {
            (Some(one), Some(other)) if one != other => None,
            (one, other) => one.or(other).flatten(),
        };
        named.map_or(peer, |address| SocketAddr::new(address, 0))
    }

    /// `None` if there is no such header, `Some(None)` if it names no address.
    fn last(&self, headers: &HeaderMap, name: &HeaderName) -> Option<Option<IpAddr>> {
        let lines: Vec<&[u8]> = headers.get_all(name).iter().map(axum::http::HeaderValue::as_bytes).collect();
        if lines.is_empty() {
            return None;
        }
        let list = lines.join(&b", "[..]);
        let list = str::from_utf8(&list).ok().and_then(|text| split(text, ','));
        let mut named = None;
        for element in list.into_iter().flatten().rev() {
            named = if *name == FORWARDED { forwarded_for(element) } else { node(element.trim()) };
            if named.is_none_or(|address| !self.contains(address)) {
                break;
            }
        }
        Some(named)
    }
}

/// The address of the parameter `for` of one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let parameters = split(element, ';')?;
    let mut values = parameters.into_iter().filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value.trim())
    });
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let unquoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    node(unquoted.unwrap_or(value))
}

/// An address with an optional port: `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]:80`, `2001:db8::1`.
fn node(text: &str) -> Option<IpAddr> {
    let address = text.parse().or_else(|_| text.parse().map(|socket: SocketAddr| socket.ip()));
    let address = address.ok().or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    address.map(|address| address.to_canonical())
}

/// Splits a list outside of its quoted strings; `None` if a quoted string does not end.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let pieces = text.split(|character| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match character {
            '"' if !was_escaped => is_quoted = !is_quoted,
            '\\' if is_quoted && !was_escaped => is_escaped = true,
            _ => {}
        }
        character == separator && !is_quoted
    });
    let pieces = pieces.collect();
    (!is_quoted).then_some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted() -> TrustedProxies {
        "10.0.0.0/8, 2001:db8:1::/48,192.0.2.10".parse().unwrap()
    }

    fn client(peer: &str, given: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, value.parse().unwrap());
        }
        trusted().client(SocketAddr::new(peer.parse().unwrap(), 0), &headers).ip().to_string()
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_trusted_proxy() {
        let (xff, forwarded) = ("x-forwarded-for", "forwarded");
        for (given, expected) in [
            (&[][..], "10.0.0.1"),
            (&[(xff, "198.51.100.7")], "198.51.100.7"),
            (&[(xff, "203.0.113.1, 198.51.100.7")], "198.51.100.7"),
            (&[(xff, "203.0.113.1, 198.51.100.7,10.1.1.1 , 192.0.2.10")], "198.51.100.7"),
            (&[(xff, "203.0.113.1"), (xff, "198.51.100.7:4711")], "198.51.100.7"),
            (&[(xff, "10.0.0.9")], "10.0.0.9"),
            (&[(xff, "2001:db8:2::7")], "2001:db8:2::7"),
            (&[(xff, "[2001:db8:2::7]:4711")], "2001:db8:2::7"),
            (&[(xff, "::ffff:198.51.100.7")], "198.51.100.7"),
            (&[(xff, "nonsense, 198.51.100.7")], "198.51.100.7"),
            (&[(xff, "198.51.100.7, nonsense")], "10.0.0.1"),
            (&[(xff, "198.51.100.7, unknown, 10.0.0.2")], "10.0.0.1"),
            (&[(xff, "")], "10.0.0.1"),
            (&[(forwarded, "for=198.51.100.7")], "198.51.100.7"),
            (
                &[(forwarded, "for=203.0.113.1, For=\"198.51.100.7:80\";proto=https;by=10.0.0.1")],
                "198.51.100.7",
            ),
            (&[(forwarded, "proto=http; for=\"[2001:db8:2::7]:4711\"")], "2001:db8:2::7"),
            (&[(forwarded, "for=198.51.100.7, for=10.2.2.2")], "198.51.100.7"),
            (&[(forwarded, "for=198.51.100.7;ext=\"a, for=203.0.113.9\\\", x\"")], "198.51.100.7"),
            (&[(forwarded, "for=\"198.51.100.7")], "10.0.0.1"),
            (&[(forwarded, "for=unknown")], "10.0.0.1"),
            (&[(forwarded, "for=_hidden, for=10.0.0.2")], "10.0.0.1"),
            (&[(forwarded, "proto=https")], "10.0.0.1"),
            (&[(forwarded, "for=198.51.100.7;for=203.0.113.1")], "10.0.0.1"),
            (&[(forwarded, "for=198.51.100.7"), (xff, "198.51.100.7")], "198.51.100.7"),
            (&[(forwarded, "for=203.0.113.66"), (xff, "198.51.100.7")], "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", given), expected, "{given:?}");
            assert_eq!(client("198.51.100.99", given), "198.51.100.99", "{given:?} from a stranger");
        }
        assert_eq!(client("::ffff:10.0.0.1", &[(xff, "198.51.100.7")]), "198.51.100.7");
    }

    #[test]
    fn invalid_lists_are_rejected() {
        for text in
            ["", "proxy.example", "10.0.0.0/33", "10.0.0.1;10.0.0.2", "10.0.0.1,", "0.0.0.0/0", "::/0"]
        {
            assert!(text.parse::<TrustedProxies>().is_err(), "{text}");
        }
        for text in ["10.0.0.1", "10.0.0.1/8, ::1", "fd00::/8"] {
            assert!(text.parse::<TrustedProxies>().is_ok(), "{text}");
        }
    }
}
