//! Judging a presented key. A key that was right is honoured for ten minutes while Postgres is away; a revoked one is
//! refused within a second.
//!
//! Before it: the credentials. After it: whoever asked.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use shared::postgres::keys::{self, Key};
use shared::postgres::{Error, Pool};
use subtle::ConstantTimeEq;

use crate::recent::{Found, Recent};

/// The most keys that are remembered.
const CAPACITY: usize = 10_000;

/// SHA-256 of a key as it was presented: a wrong key never meets the entry of the right one.
pub(super) type Digest = [u8; 32];

/// The digest of a key.
pub(super) fn digest(presented: &str) -> Digest {
    Sha256::digest(presented).into()
}

/// The keys.
pub(super) struct Keyring {
    pool: Pool,
    keys: Recent<Digest, Arc<Key>>,
}

impl Keyring {
    pub(super) fn new(pool: Pool) -> Self {
        Self { pool, keys: Recent::new("an API key", CAPACITY) }
    }

    /// The key that was presented, if it was right lately. Whether it still is, [`Keyring::find`] tells.
    pub(super) fn known(&self, digest: &Digest) -> Option<Arc<Key>> {
        self.keys.known(digest)
    }

    /// The key that was presented; `None` if it opens nothing. It may have expired: ask it.
    pub(super) async fn find(&self, presented: &str) -> Found<Arc<Key>> {
        let Some(prefix) = keys::prefix(presented) else { return Ok(None) };
        let digest = digest(presented);
        self.keys.find(digest, || key_of(self.pool.clone(), digest, prefix.to_owned())).await
    }
}

/// The key, if it is there, not revoked, and the very one that was presented.
async fn key_of(pool: Pool, digest: Digest, prefix: String) -> Result<Option<Arc<Key>>, Error> {
    let found = pool.bounded(async |connection| keys::by_prefix(connection, &prefix).await).await?;
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let is_the_one = |key: &Key| bool::from(key.sha256.as_bytes().ct_eq(hex.as_bytes()));
    Ok(found.filter(|key| is_the_one(key) && key.revoked_at.is_none()).map(Arc::new))
}
