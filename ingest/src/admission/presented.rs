//! A presented API key in the form in which it is looked up and compared.

use database::keys::{Key, PREFIX_LENGTH, prefix};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// The public part of a key.
pub(super) type Prefix = [u8; PREFIX_LENGTH];

/// A presented key in the form in which it is compared: its public part and its SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Presented {
    pub(super) prefix: Prefix,
    sha256: [u8; 32],
}

impl Presented {
    /// `None` if it does not have the form of our keys.
    pub(super) fn of(key: &str) -> Option<Self> {
        let prefix = prefix(key)?.as_bytes().try_into().ok()?;
        Some(Self { prefix, sha256: Sha256::digest(key).into() })
    }

    /// Whether it is this key, in a time that does not depend on how much of it is right.
    pub(super) fn is(&self, key: &Key) -> bool {
        key.sha256.as_bytes().ct_eq(hex::encode(self.sha256).as_bytes()).into()
    }
}

/// The public part as text.
pub(super) fn text(prefix: &Prefix) -> &str {
    std::str::from_utf8(prefix).expect("public parts are letters and digits in ASCII")
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn presented_key_is_compared_as_a_whole() {
        let whole = "rck_abcdefABCD12secret";
        let key = Key {
            id: Uuid::nil(),
            tenant: Uuid::nil(),
            tenant_name: "acme".to_owned(),
            prefix: "abcdefABCD12".to_owned(),
            sha256: hex::encode(Sha256::digest(whole)),
            scopes: Vec::new(),
            created_at: datetime!(2026-01-01 0:00 UTC),
            expires_at: None,
            revoked_at: None,
            networks: Vec::new(),
        };
        for (presented, is_right) in
            [(whole, true), ("rck_abcdefABCD12Secret", false), ("rck_abcdefABCD12secret ", false)]
        {
            let presented = Presented::of(presented).unwrap();
            assert_eq!((text(&presented.prefix), presented.is(&key)), ("abcdefABCD12", is_right));
        }
        assert_eq!(Presented::of("rck_abcdef\0BCD12secret"), None);
    }
}
