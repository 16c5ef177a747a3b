//! Reading API keys.

use std::net::IpAddr;

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use platform::network::Network;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Error;
use super::schema::{api_keys, tenants};

/// A key as it is stored, with its tenant's name. The key itself is not stored.
#[derive(Debug, Clone, PartialEq, Queryable)]
pub struct Key {
    /// Its id.
    pub id: Uuid,
    /// Its tenant.
    pub tenant: Uuid,
    /// The tenant's name.
    pub tenant_name: String,
    /// Its public part.
    pub prefix: String,
    /// SHA-256 of the whole key, in hexadecimal.
    pub sha256: String,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// When it expires.
    pub expires_at: Option<OffsetDateTime>,
    /// When it was revoked.
    pub revoked_at: Option<OffsetDateTime>,
    /// The networks that it may be used from, in CIDR notation; empty: from anywhere.
    pub networks: Vec<String>,
}

impl Key {
    /// Whether it is valid at this time.
    #[must_use]
    pub fn is_alive(&self, now: OffsetDateTime) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether it may be used from this address; `None`: the address is unknown.
    #[must_use]
    pub fn admits(&self, address: Option<IpAddr>) -> bool {
        // A stored network that cannot be read contains nothing.
        let contains = |network: &String, address| {
            network.parse::<Network>().is_ok_and(|network| network.contains(address))
        };
        self.networks.is_empty()
            || address.is_some_and(|address| self.networks.iter().any(|network| contains(network, address)))
    }

    /// Whether it has this scope.
    #[must_use]
    pub fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|own| own == scope)
    }

    /// Whether it may use the endpoints of this scope. The endpoint of events takes two kinds, of which each has its
    /// scope: it checks every event.
    #[must_use]
    pub fn opens(&self, scope: &str) -> bool {
        self.has(scope) || (scope == EVENTS && self.has(ROLES))
    }
}

/// The scope for content events.
pub const EVENTS: &str = "events";
/// The scope for role events.
pub const ROLES: &str = "roles";
/// The start of every key, by which secret scanners recognize it.
pub const MARK: &str = "rck_";
/// The length of the public part, in characters.
pub const PREFIX_LENGTH: usize = 12;

/// The public part of a key, by which it is looked up; `None` if it is not one of our keys.
#[must_use]
pub fn prefix(key: &str) -> Option<&str> {
    let (prefix, secret) = key.strip_prefix(MARK)?.split_at_checked(PREFIX_LENGTH)?;
    (!secret.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(prefix)
}

/// The keys with these public parts, as far as they exist.
///
/// # Errors
/// See [`Error`].
pub async fn by_prefixes(connection: &mut AsyncPgConnection, prefixes: &[&str]) -> Result<Vec<Key>, Error> {
    let query = api_keys::table
        .inner_join(tenants::table.on(tenants::id.eq(api_keys::tenant_id)))
        .filter(api_keys::prefix.eq_any(prefixes))
        .select((
            api_keys::id,
            api_keys::tenant_id,
            tenants::name,
            api_keys::prefix,
            api_keys::sha256,
            api_keys::scopes,
            api_keys::created_at,
            api_keys::expires_at,
            api_keys::revoked_at,
            api_keys::networks,
        ));
    Ok(query.load(connection).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_part_is_the_start_of_a_key_of_ours() {
        for (key, expected) in [
            ("rck_abcdefABCD12secret", Some("abcdefABCD12")),
            ("rck_abcdefABCD12", None),
            ("rck_abc", None),
            ("abcdefABCD12secret", None),
            ("rck_abcdef\0BCD12secret", None),
            ("rck_abcdef%BCD12secret", None),
            ("rck_ébcdefABCD12secret", None),
            ("rck_abcdefABCD1ésecret", None),
        ] {
            assert_eq!(prefix(key), expected, "{key:?}");
        }
    }

    #[test]
    fn a_key_is_used_from_its_networks_only() {
        let key = |networks: &[&str]| Key {
            id: Uuid::nil(),
            tenant: Uuid::nil(),
            tenant_name: "acme".to_owned(),
            prefix: String::new(),
            sha256: String::new(),
            scopes: Vec::new(),
            created_at: OffsetDateTime::UNIX_EPOCH,
            expires_at: None,
            revoked_at: None,
            networks: networks.iter().map(|&network| network.to_owned()).collect(),
        };
        for (networks, address, expected) in [
            (&[][..], Some("203.0.113.7"), true),
            (&[], None, true),
            (&["203.0.113.0/24", "2001:db8::/32"], Some("203.0.113.7"), true),
            (&["203.0.113.0/24", "2001:db8::/32"], Some("::ffff:203.0.113.7"), true),
            (&["203.0.113.0/24", "2001:db8::/32"], Some("2001:db8::7"), true),
            (&["203.0.113.0/24", "2001:db8::/32"], Some("198.51.100.7"), false),
            (&["203.0.113.0/24"], None, false),
            (&["nonsense"], Some("203.0.113.7"), false),
        ] {
            let address = address.map(|text| text.parse().unwrap());
            assert_eq!(key(networks).admits(address), expected, "{networks:?} {address:?}");
        }
    }
}
