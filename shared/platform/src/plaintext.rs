//! Which connections to other machines may be unencrypted. TLS is the default: whatever would send passwords, keys or
//! personal data in clear must be allowed by its name in `ROLLCALL_ALLOW_PLAINTEXT`.

use std::net::IpAddr;
use std::str::FromStr;

/// The variable that allows it.
pub const VARIABLE: &str = "ROLLCALL_ALLOW_PLAINTEXT";

/// A protocol that can be unencrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// To RabbitMQ.
    Amqp,
    /// From clients, or the proxy in front of a service.
    Http,
    /// To the mail server, with a password.
    Smtp,
}

/// The protocols that may be unencrypted. By default there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed(Vec<Protocol>);

impl FromStr for Protocol {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "amqp" => Ok(Self::Amqp),
            "http" => Ok(Self::Http),
            "smtp" => Ok(Self::Smtp),
            _ => Err(()),
        }
    }
}

impl FromStr for Allowed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let protocols = text.split(',').map(|name| name.trim().to_ascii_lowercase().parse());
        let protocols: Result<_, ()> = protocols.collect();
        protocols.map(Self).map_err(|()| "must be names out of amqp, http and smtp, separated by commas")
    }
}

impl Allowed {
    /// Whether this protocol may be unencrypted.
    #[must_use]
    pub fn has(&self, protocol: Protocol) -> bool {
        self.0.contains(&protocol)
    }

    /// Checks the URL of RabbitMQ.
    ///
    /// # Errors
    /// If it is unencrypted, to another machine, and not allowed. The text does not repeat the URL.
    pub fn check_amqp(&self, url: &str) -> Result<(), String> {
        let is_plain =
            url::Url::parse(url).is_ok_and(|url| url.scheme() == "amqp" && !names_this_machine(&url));
        if is_plain && !self.has(Protocol::Amqp) {
            return Err(format!(
                "would send the password and all messages unencrypted to another machine: use amqps://, or set {VARIABLE}=amqp to allow it"
            ));
        }
        Ok(())
    }

    /// Checks the address that a service listens on.
    ///
    /// # Errors
    /// If other machines can reach it, and that is not allowed.
    pub fn check_listener(&self, address: IpAddr) -> Result<(), String> {
        if is_loopback(address) || self.has(Protocol::Http) {
            return Ok(());
        }
        Err(format!(
            "would serve unencrypted HTTP to other machines: put a proxy with TLS in front and set {VARIABLE}=http to allow it, or listen on 127.0.0.1"
        ))
    }
}

/// Whether a URL names this machine. A URL without a host does.
#[must_use]
pub fn names_this_machine(url: &url::Url) -> bool {
    url.host_str().is_none_or(|host| host.is_empty() || is_this_machine(host.trim_matches(['[', ']'])))
}

/// Whether a host, a name or an address, is this machine. Names are not resolved.
#[must_use]
pub fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback)
}

/// Whether an address is a loopback address, also if it is mapped into IPv6.
#[must_use]
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_this_machine_are_recognized() {
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST", true),
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("0.0.0.0", false),
            ("::", false),
            ("10.0.0.1", false),
            ("localhost.example", false),
            ("db", false),
        ] {
            assert_eq!(is_this_machine(host), expected, "{host}");
        }
    }

    #[test]
    fn a_broker_elsewhere_needs_tls_or_a_permission() {
        let (none, amqp) = (Allowed::default(), "smtp, AMQP".parse::<Allowed>().unwrap());
        for (url, passes) in [
            ("amqp://me:secret@127.0.0.1:5672/x", true),
            ("amqp://me:secret@[::1]/x", true),
            ("amqp://localhost", true),
            ("amqp:///x", true),
            ("amqps://me:secret@mq.example", true),
            ("amqp://me:secret@mq.example/x", false),
            ("AMQP://me:secret@mq.example/x", false),
            ("amqp://10.0.0.5", false),
        ] {
            let said = none.check_amqp(url);
            assert_eq!(said.is_ok(), passes, "{url}");
            assert!(amqp.check_amqp(url).is_ok(), "{url}");
            if let Err(said) = said {
                assert!(said.contains("ROLLCALL_ALLOW_PLAINTEXT=amqp") && !said.contains("secret"), "{said}");
            }
        }
    }

    #[test]
    fn a_listener_for_other_machines_needs_a_permission() {
        let (none, http) = (Allowed::default(), "http".parse::<Allowed>().unwrap());
        for (address, passes) in
            [("127.0.0.1", true), ("::1", true), ("0.0.0.0", false), ("::", false), ("192.0.2.1", false)]
        {
            let address = address.parse().unwrap();
            assert_eq!(none.check_listener(address).is_ok(), passes, "{address}");
            assert!(http.check_listener(address).is_ok(), "{address}");
        }
    }

    #[test]
    fn unknown_protocols_are_rejected() {
        for wrong in ["postgres", "amqp;http", "", "all"] {
            assert!(wrong.parse::<Allowed>().is_err(), "{wrong}");
        }
    }
}
