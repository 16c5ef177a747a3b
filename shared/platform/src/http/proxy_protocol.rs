//! The PROXY protocol, versions 1 and 2 (HAProxy, `doc/proxy-protocol.txt`): before the first request, a proxy says for
//! which client it relays the connection. Only trusted proxies are asked.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How a version 1 header begins.
const V1: &[u8] = b"PROXY ";
/// How a version 2 header begins.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The maximum length of a version 1 header, in bytes.
const LONGEST_V1: usize = 107;
/// The length of a version 2 header without addresses, in bytes.
const FIXED_V2: usize = 16;
/// The maximum length of a version 2 header with its extensions, in bytes.
const LONGEST_V2: usize = 2_048;
/// How long the rest of a header may take after its first bytes.
const REST: Duration = Duration::from_secs(5);

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
enum Beginning {
    /// Something else: the connection has no header.
    Other,
    /// Perhaps a header; more bytes are needed.
    Incomplete,
    Header {
        /// `None` if the proxy speaks for itself, or does not know the client.
        client: Option<SocketAddr>,
        /// In bytes.
        length: usize,
    },
    Invalid,
}

/// Reads the header, if there is one. Returns the client that it names, and the bytes that were read beyond it.
///
/// # Errors
/// If nothing is sent within `idle`, the header is invalid, or its rest takes too long.
pub(super) async fn read(
    stream: &mut TcpStream,
    idle: Duration,
) -> io::Result<(Option<SocketAddr>, Vec<u8>)> {
    timeout(idle, stream.readable()).await??;
    timeout(REST, read_header(stream)).await?
}

async fn read_header(stream: &mut TcpStream) -> io::Result<(Option<SocketAddr>, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(256);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok((None, bytes));
        }
        match beginning(&bytes) {
            Beginning::Other => return Ok((None, bytes)),
            Beginning::Incomplete => {}
            Beginning::Header { client, length } => return Ok((client, bytes.split_off(length))),
            Beginning::Invalid => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

fn beginning(bytes: &[u8]) -> Beginning {
    for (signature, parse) in [(V1, parse_v1 as fn(&[u8]) -> Beginning), (V2, parse_v2)] {
        if bytes.starts_with(signature) {
            return parse(bytes);
        }
        if signature.starts_with(bytes) {
            return Beginning::Incomplete;
        }
    }
    Beginning::Other
}

fn parse_v1(bytes: &[u8]) -> Beginning {
    let bounded = &bytes[..bytes.len().min(LONGEST_V1)];
    let Some(end) = bounded.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < LONGEST_V1 { Beginning::Incomplete } else { Beginning::Invalid };
    };
    let line = str::from_utf8(&bounded[V1.len()..end]).unwrap_or_default();
    let words: Vec<&str> = line.split(' ').collect();
    let client = match words[..] {
        ["UNKNOWN", ..] => None,
        ["TCP4", source, target, port, target_port] => {
            let client = address::<Ipv4Addr>(source, port);
            let Some(client) = client.filter(|_| address::<Ipv4Addr>(target, target_port).is_some()) else {
                return Beginning::Invalid;
            };
            Some(client)
        }
        ["TCP6", source, target, port, target_port] => {
            let client = address::<Ipv6Addr>(source, port);
            let Some(client) = client.filter(|_| address::<Ipv6Addr>(target, target_port).is_some()) else {
                return Beginning::Invalid;
            };
            Some(client)
        }
        _ => return Beginning::Invalid,
    };
    Beginning::Header { client, length: end + 2 }
}

fn address<A: std::str::FromStr + Into<IpAddr>>(address: &str, port: &str) -> Option<SocketAddr> {
    Some(SocketAddr::new(address.parse::<A>().ok()?.into(), port.parse().ok()?))
}

fn parse_v2(bytes: &[u8]) -> Beginning {
    let Some(fixed) = bytes.first_chunk::<FIXED_V2>() else { return Beginning::Incomplete };
    let length = FIXED_V2 + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let (command, family) = (fixed[12], fixed[13]);
    if length > LONGEST_V2 || !matches!(command, 0x20 | 0x21) {
        return Beginning::Invalid;
    }
    let Some(body) = bytes.get(FIXED_V2..length) else { return Beginning::Incomplete };
    let client = match (command, family) {
        // LOCAL: the proxy's own check. Or it relays something other than TCP.
        (0x20, _) | (_, 0x00) => None,
        (_, 0x11) => {
            let Some(addresses) = body.first_chunk::<12>() else { return Beginning::Invalid };
            let [a, b, c, d, .., high, low, _, _] = *addresses;
            Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low])))
        }
        (_, 0x21) => {
            let Some(addresses) = body.first_chunk::<36>() else { return Beginning::Invalid };
            let source = addresses.first_chunk::<16>().expect("36 bytes begin with 16 bytes");
            let port = u16::from_be_bytes([addresses[32], addresses[33]]);
            Some(SocketAddr::new(Ipv6Addr::from(*source).into(), port))
        }
        // Unix sockets and UDP do not reach us.
        _ => return Beginning::Invalid,
    };
    Beginning::Header { client, length }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(client: Option<&str>, length: usize) -> Beginning {
        Beginning::Header { client: client.map(|text| text.parse().unwrap()), length }
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [V2, &[command, family], &length, body].concat()
    }

    #[test]
    fn version_1_names_the_client() {
        for (text, expected) in [
            ("PROXY TCP4 192.0.2.7 192.0.2.1 5555 443\r\nGET /", header(Some("192.0.2.7:5555"), 41)),
            ("PROXY TCP6 2001:db8::7 2001:db8::1 5555 443\r\n", header(Some("[2001:db8::7]:5555"), 45)),
            ("PROXY UNKNOWN\r\n", header(None, 15)),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", header(None, 35)),
            ("PROXY TCP4 192.0.2.7 192.0.2.1 5555 443", Beginning::Incomplete),
            ("PROXY TCP4 2001:db8::7 192.0.2.1 5555 443\r\n", Beginning::Invalid),
            ("PROXY TCP4 192.0.2.7 here 5555 443\r\n", Beginning::Invalid),
            ("PROXY TCP4 192.0.2.7 192.0.2.1 70000 443\r\n", Beginning::Invalid),
            ("PROXY TCP4 192.0.2.7\r\n", Beginning::Invalid),
            ("PROXY \r\n", Beginning::Invalid),
            ("P", Beginning::Incomplete),
            ("POST / HTTP/1.1\r\n", Beginning::Other),
            ("PROPFIND / HTTP/1.1\r\n", Beginning::Other),
            ("GET / HTTP/1.1\r\n", Beginning::Other),
        ] {
            assert_eq!(beginning(text.as_bytes()), expected, "{text}");
        }
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(200));
        assert_eq!(beginning(endless.as_bytes()), Beginning::Invalid);
    }

    #[test]
    fn version_2_names_the_client() {
        let four = [192, 0, 2, 7, 192, 0, 2, 1, 0x15, 0xb3, 1, 187];
        let with_extension = [&four[..], &[3, 0, 4, 1, 2, 3, 4]].concat();
        let mut six = [0; 36];
        six[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        six[32..34].copy_from_slice(&[0x15, 0xb3]);
        for (bytes, expected) in [
            (v2(0x21, 0x11, &four), header(Some("192.0.2.7:5555"), 28)),
            (v2(0x21, 0x11, &with_extension), header(Some("192.0.2.7:5555"), 35)),
            (v2(0x21, 0x21, &six), header(Some("[2001:db8::7]:5555"), 52)),
            (v2(0x20, 0x00, &[]), header(None, 16)),
            (v2(0x20, 0x11, &four), header(None, 28)),
            (v2(0x21, 0x00, &[]), header(None, 16)),
            (v2(0x21, 0x11, &four[..8]), Beginning::Invalid),
            (v2(0x21, 0x31, &[0; 216]), Beginning::Invalid),
            (v2(0x22, 0x11, &four), Beginning::Invalid),
            (v2(0x11, 0x11, &four), Beginning::Invalid),
            (v2(0x21, 0x11, &[0; 5_000]), Beginning::Invalid),
            (V2.to_vec(), Beginning::Incomplete),
            (v2(0x21, 0x11, &four)[..20].to_vec(), Beginning::Incomplete),
            (b"\r\n\r\nGET / HTTP/1.1\r\n".to_vec(), Beginning::Other),
        ] {
            assert_eq!(beginning(&bytes), expected, "{bytes:?}");
        }
    }
}
