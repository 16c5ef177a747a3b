//! The link that unsubscribes a user from mail about assignments (RFC 8058). It identifies the user, and is
//! authenticated with a key. The notifier puts it into mail, and ingest accepts it; both have the same key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// The path in front of the token.
pub const PATH: &str = "/unsubscribe/";
/// The minimum length of a key, in bytes.
const LEAST: usize = 32;
/// The purpose of the token, so that no other use of the key creates one.
const PURPOSE: &[u8] = b"rollcall.unsubscribe.1";
/// The length of a tenant's id and a user's id.
const IDS: usize = 32;

/// The key that creates and checks links.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

/// Why a text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must have at least {LEAST} random bytes, e.g. from openssl rand -hex 32")]
pub struct TooShort;

impl std::str::FromStr for Key {
    type Err = TooShort;

    fn from_str(text: &str) -> Result<Self, TooShort> {
        if text.len() < LEAST {
            return Err(TooShort);
        }
        Hmac::new_from_slice(text.as_bytes()).map(Self).map_err(|_| TooShort)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// The link for a tenant's user, below ingest's URL.
    #[must_use]
    pub fn link(&self, base: &str, tenant: Uuid, user: Uuid) -> String {
        format!("{}{PATH}{}", base.trim_end_matches('/'), self.token(tenant, user))
    }

    fn token(&self, tenant: Uuid, user: Uuid) -> String {
        let mut token = [*tenant.as_bytes(), *user.as_bytes()].concat();
        token.extend(self.over(&token).finalize().into_bytes());
        URL_SAFE_NO_PAD.encode(token)
    }

    /// The tenant and the user of a valid token.
    #[must_use]
    pub fn read(&self, token: &str) -> Option<(Uuid, Uuid)> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (ids, tag) = bytes.split_at_checked(IDS)?;
        // In constant time.
        self.over(ids).verify_slice(tag).ok()?;
        let (tenant, user) = ids.split_at(IDS / 2);
        Some((Uuid::from_slice(tenant).ok()?, Uuid::from_slice(user).ok()?))
    }

    fn over(&self, ids: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(PURPOSE);
        mac.update(ids);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: Uuid = Uuid::from_u128(7);
    const USER: Uuid = Uuid::from_u128(9);

    fn key(byte: u8) -> Key {
        String::from_utf8(vec![byte; LEAST]).unwrap().parse().unwrap()
    }

    #[test]
    fn a_link_identifies_the_user_and_only_the_key_creates_it() {
        let link = key(b'a').link("https://scim.example/", TENANT, USER);
        let token = link.strip_prefix("https://scim.example/unsubscribe/").unwrap();
        assert_eq!(key(b'a').read(token), Some((TENANT, USER)));
        assert_eq!(key(b'b').read(token), None);
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{token}");
    }

    #[test]
    fn a_modified_token_is_invalid() {
        let token = key(b'a').token(TENANT, USER);
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert_eq!(key(b'a').read(&URL_SAFE_NO_PAD.encode(changed)), None, "byte {place}");
        }
        for wrong in ["", "AAAA", "%%%", &token[..token.len() - 4], &format!("{token}AAAA")] {
            assert_eq!(key(b'a').read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_short_key_is_rejected_and_no_key_is_shown() {
        assert_eq!("short".parse::<Key>().err(), Some(TooShort));
        assert!(!format!("{:?}", key(b'a')).contains("aaaa"));
    }
}
