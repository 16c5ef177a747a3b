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

/// The maximum number of keys.
const MAX_KEYS: usize = 8;

/// The keys that create and check links. Of several, the first signs and all are accepted, so that the key can be
/// rotated.
#[derive(Clone)]
pub struct Key(Vec<Hmac<Sha256>>);

/// Why a text is not a key, or a list of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must have at least {LEAST} random bytes, e.g. from openssl rand -hex 32; of several keys, separated by commas, each must, and there may be {MAX_KEYS}"
)]
pub struct TooShort;

impl std::str::FromStr for Key {
    type Err = TooShort;

    fn from_str(text: &str) -> Result<Self, TooShort> {
        let key = |text: &str| {
            let bytes = Some(text.trim().as_bytes()).filter(|bytes| bytes.len() >= LEAST).ok_or(TooShort)?;
            Hmac::new_from_slice(bytes).map_err(|_| TooShort)
        };
        let keys: Vec<_> = text.split(',').map(key).collect::<Result<_, _>>()?;
        if keys.len() > MAX_KEYS { Err(TooShort) } else { Ok(Self(keys)) }
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
        token.extend(over(&self.0[0], &token).finalize().into_bytes());
        URL_SAFE_NO_PAD.encode(token)
    }

    /// The tenant and the user of a valid token.
    #[must_use]
    pub fn read(&self, token: &str) -> Option<(Uuid, Uuid)> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (ids, tag) = bytes.split_at_checked(IDS)?;
        // Each in constant time.
        self.0.iter().find(|key| over(key, ids).verify_slice(tag).is_ok())?;
        let (tenant, user) = ids.split_at(IDS / 2);
        Some((Uuid::from_slice(tenant).ok()?, Uuid::from_slice(user).ok()?))
    }
}

fn over(key: &Hmac<Sha256>, ids: &[u8]) -> Hmac<Sha256> {
    let mut mac = key.clone();
    mac.update(PURPOSE);
    mac.update(ids);
    mac
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
    fn of_several_keys_the_first_signs_and_all_are_accepted() {
        let text = |byte: char| byte.to_string().repeat(LEAST);
        let rotating: Key = format!("{}, {}", text('b'), text('a')).parse().unwrap();
        let [old, new] = [key(b'a'), key(b'b')].map(|key| key.token(TENANT, USER));
        assert_eq!(rotating.token(TENANT, USER), new);
        for token in [old, new] {
            assert_eq!(rotating.read(&token), Some((TENANT, USER)));
        }
        assert_eq!(rotating.read(&key(b'c').token(TENANT, USER)), None);
        assert!(format!("{},short", text('a')).parse::<Key>().is_err());
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
