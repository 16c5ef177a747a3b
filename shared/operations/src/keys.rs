//! Creates, lists and revokes API keys. The database stores a key's SHA-256; the key itself is returned once, when it
//! is created.

mod terms;

use database::keys::{MARK, PREFIX_LENGTH};
use database::schema::{api_keys, key_uses};
use database::tenants::Tenant;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use rand::distr::{Alphanumeric, SampleString};
use serde::Serialize;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::{Error, Operator, moments};

pub use self::terms::{Lifetime, Networks};

/// The length of the secret part: 40 characters of 62 kinds are 238 bits.
const SECRET_LENGTH: usize = 40;

/// What a key gives access to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// SCIM, for the identity provider.
    Scim,
    /// Posting content events.
    Events,
    /// Posting role events, which make administrators.
    Roles,
    /// Reports.
    Reports,
    /// The activity log.
    Activity,
}

impl Scope {
    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scim => "scim",
            Self::Events => "events",
            Self::Roles => "roles",
            Self::Reports => "reports",
            Self::Activity => "activity",
        }
    }
}

/// A key that was created.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Added {
    /// The user name that belongs to it: the tenant's name.
    pub username: String,
    /// The whole key. It cannot be read again.
    pub api_key: String,
    /// Its public part.
    pub key: String,
    /// Its scopes, sorted.
    pub scopes: Vec<&'static str>,
    /// When it expires; `None`: never.
    #[serde(with = "moments::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// The networks that it may be used from; empty: from anywhere.
    pub networks: Vec<String>,
}

/// Whether a key is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is valid.
    Alive,
    /// It has expired.
    Expired,
    /// It was revoked.
    Revoked,
}

impl State {
    fn of(
        expires_at: Option<OffsetDateTime>,
        revoked_at: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Self {
        match (expires_at, revoked_at) {
            (_, Some(_)) => Self::Revoked,
            (Some(end), None) if end <= now => Self::Expired,
            _ => Self::Alive,
        }
    }

    /// As it is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// A key in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its public part.
    pub key: String,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// The networks that it may be used from; empty: from anywhere.
    pub networks: Vec<String>,
    /// Whether it is valid.
    pub state: State,
    /// When it was created.
    #[serde(with = "moments")]
    pub created_at: OffsetDateTime,
    /// When it expires or expired; `None`: never.
    #[serde(with = "moments::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// When it was revoked.
    #[serde(with = "moments::option")]
    pub revoked_at: Option<OffsetDateTime>,
    /// When it was used last.
    #[serde(with = "moments::option")]
    pub last_used_at: Option<OffsetDateTime>,
}

/// A key that was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Revoked {
    /// Its public part.
    pub key: String,
    /// [`State::Revoked`].
    pub state: State,
}

/// The networks of a key were changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Its public part.
    pub key: String,
    /// The networks that it may be used from; empty: from anywhere.
    pub networks: Vec<String>,
}

/// Creates a key with these scopes, this lifetime, and these networks.
///
/// # Errors
/// [`Error::Refused`] if the tenant has as many keys as it may, and those of the database.
pub async fn add(
    operator: &Operator,
    tenant: &Tenant,
    scopes: &[Scope],
    lifetime: Lifetime,
    networks: &Networks,
) -> Result<Added, Error> {
    let random = |length| Alphanumeric.sample_string(&mut rand::rng(), length);
    let (prefix, secret) = (random(PREFIX_LENGTH), random(SECRET_LENGTH));
    let key = format!("{MARK}{prefix}{secret}");
    let sha256 = hex::encode(Sha256::digest(&key));
    let mut scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    scopes.sort_unstable();
    scopes.dedup();
    let now = operator.clock.now();
    let expires_at = lifetime.get().map(|lifetime| now + lifetime);
    let networks = networks.stored();
    let row = (
        api_keys::id.eq(platform::id::new()),
        api_keys::tenant_id.eq(tenant.id),
        api_keys::prefix.eq(&prefix),
        api_keys::sha256.eq(sha256),
        api_keys::scopes.eq(&scopes),
        api_keys::created_at.eq(now),
        api_keys::expires_at.eq(expires_at),
        api_keys::networks.eq(&networks),
    );
    let mut connection = operator.pool.get().await?;
    let limits = &tenant.settings.limits;
    let own =
        api_keys::table.filter(api_keys::tenant_id.eq(tenant.id)).filter(api_keys::revoked_at.is_null());
    let keys: i64 = own.count().get_result(&mut connection).await?;
    if keys >= i64::from(limits.keys_max.get()) {
        return Err(Error::Refused(format!("{}: revoke a key first", limits.keys_max())));
    }
    diesel::insert_into(api_keys::table).values(row).execute(&mut connection).await?;
    Ok(Added { username: tenant.name.clone(), api_key: key, key: prefix, scopes, expires_at, networks })
}

type KeyRow = (
    String,
    Vec<String>,
    Vec<String>,
    OffsetDateTime,
    Option<OffsetDateTime>,
    Option<OffsetDateTime>,
    Option<OffsetDateTime>,
);

/// Lists a tenant's keys, oldest first.
///
/// # Errors
/// Those of the database.
pub async fn list(operator: &Operator, tenant: &Tenant) -> Result<Vec<Listed>, Error> {
    let mut connection = operator.pool.get().await?;
    let rows: Vec<KeyRow> = api_keys::table
        .left_join(key_uses::table.on(key_uses::key_id.eq(api_keys::id)))
        .filter(api_keys::tenant_id.eq(tenant.id))
        .order(api_keys::created_at)
        .select((
            api_keys::prefix,
            api_keys::scopes,
            api_keys::networks,
            api_keys::created_at,
            api_keys::expires_at,
            api_keys::revoked_at,
            key_uses::last_used_at.nullable(),
        ))
        .load(&mut connection)
        .await?;
    let now = operator.clock.now();
    let listed = |(key, scopes, networks, created_at, expires_at, revoked_at, last_used_at): KeyRow| {
        let state = State::of(expires_at, revoked_at, now);
        Listed { key, scopes, networks, state, created_at, expires_at, revoked_at, last_used_at }
    };
    Ok(rows.into_iter().map(listed).collect())
}

/// Revokes a key, given by its public part or whole. Every ingest rejects it within a second.
///
/// # Errors
/// [`Error::Refused`] if the tenant has no such key.
pub async fn revoke(operator: &Operator, tenant: &Tenant, key: &str) -> Result<Revoked, Error> {
    let prefix = public_part(key);
    let own = api_keys::table.filter(api_keys::tenant_id.eq(tenant.id)).filter(api_keys::prefix.eq(prefix));
    let mut connection = operator.pool.get().await?;
    let known: i64 = own.count().get_result(&mut connection).await?;
    if known == 0 {
        return Err(no_such_key(tenant));
    }
    diesel::update(own.filter(api_keys::revoked_at.is_null()))
        .set(api_keys::revoked_at.eq(operator.clock.now()))
        .execute(&mut connection)
        .await?;
    Ok(Revoked { key: prefix.to_owned(), state: State::Revoked })
}

/// Changes the networks that a key, given by its public part or whole, may be used from. Every service follows within
/// two seconds.
///
/// # Errors
/// [`Error::Refused`] if the tenant has no such key.
pub async fn set_networks(
    operator: &Operator,
    tenant: &Tenant,
    key: &str,
    networks: &Networks,
) -> Result<Changed, Error> {
    let (prefix, networks) = (public_part(key), networks.stored());
    let own = api_keys::table.filter(api_keys::tenant_id.eq(tenant.id)).filter(api_keys::prefix.eq(prefix));
    let mut connection = operator.pool.get().await?;
    let changed = diesel::update(own).set(api_keys::networks.eq(&networks)).execute(&mut connection).await?;
    if changed == 0 {
        return Err(no_such_key(tenant));
    }
    Ok(Changed { key: prefix.to_owned(), networks })
}

/// An operator may pass the whole key.
fn public_part(key: &str) -> &str {
    database::keys::prefix(key).unwrap_or(key)
}

fn no_such_key(tenant: &Tenant) -> Error {
    Error::Refused(format!("{0} has no such key; see `rollcall key list {0}`", tenant.name))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_revoked_key_is_shown_as_revoked_even_if_it_has_expired() {
        let (before, now, later) =
            (datetime!(2026-01-30 0:00 UTC), datetime!(2026-01-31 0:00 UTC), datetime!(2026-02-01 0:00 UTC));
        for (expires_at, revoked_at, expected) in [
            (None, None, State::Alive),
            (Some(later), None, State::Alive),
            (Some(now), None, State::Expired),
            (Some(before), Some(before), State::Revoked),
            (None, Some(before), State::Revoked),
        ] {
            assert_eq!(State::of(expires_at, revoked_at, now), expected);
        }
    }
}
