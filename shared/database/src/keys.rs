//! Reading API keys.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
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
}

impl Key {
    /// Whether it is valid at this time.
    #[must_use]
    pub fn is_alive(&self, now: OffsetDateTime) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

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
}
