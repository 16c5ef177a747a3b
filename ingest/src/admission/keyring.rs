//! Looks up API keys through a read-through cache. While Postgres is unavailable, a cached key stays valid for ten
//! minutes. A revoked key is rejected within two seconds.

use std::sync::Arc;

use database::keys::{self, Key};
use database::{Error, Pool};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::read_through::{Found, ReadThrough};

/// The maximum number of keys in the cache.
const CAPACITY: usize = 10_000;

/// SHA-256 of a presented key: a wrong key never hits the cache entry of the right one.
pub(super) type Digest = [u8; 32];

/// The digest of a key.
pub(super) fn digest(presented: &str) -> Digest {
    Sha256::digest(presented).into()
}

/// The API keys.
pub(super) struct Keyring {
    pool: Pool,
    keys: ReadThrough<Digest, Arc<Key>>,
}

impl Keyring {
    pub(super) fn new(pool: Pool) -> Self {
        Self { pool, keys: ReadThrough::new("an API key", CAPACITY) }
    }

    /// The cached key for this digest. It may have been revoked since; [`Keyring::find`] checks.
    pub(super) fn known(&self, digest: &Digest) -> Option<Arc<Key>> {
        self.keys.known(digest)
    }

    /// The presented key; `None` if it is wrong or revoked. The caller must check whether it has expired.
    pub(super) async fn find(&self, presented: &str) -> Found<Arc<Key>> {
        let Some(prefix) = keys::prefix(presented) else { return Ok(None) };
        let digest = digest(presented);
        self.keys.find(digest, || key_of(self.pool.clone(), digest, prefix.to_owned())).await
    }
}

/// Reads the key, if it exists, is not revoked, and has this digest.
async fn key_of(pool: Pool, digest: Digest, prefix: String) -> Result<Option<Arc<Key>>, Error> {
    let found = pool.bounded(async |connection| keys::by_prefix(connection, &prefix).await).await?;
    let hex = hex::encode(digest);
    let is_the_one = |key: &Key| bool::from(key.sha256.as_bytes().ct_eq(hex.as_bytes()));
    Ok(found.filter(|key| is_the_one(key) && key.revoked_at.is_none()).map(Arc::new))
}
