//! Looks up API keys by their public part. A row that is cached is read again twice a second, and at once if the tenant
//! has changed; while Postgres is away it stays valid for ten minutes. Rows that are not cached are looked up apart from
//! these (see [`Lookups`]), so that unknown keys never delay known ones.

use std::sync::Arc;
use std::time::Instant;

use database::keys::{self, Key};
use database::{Error, Pool};
use uuid::Uuid;

use super::lookups::Lookups;
use super::presented::{Prefix, text};
use crate::read_through::{Found, Presence, ReadThrough};

/// The maximum number of rows in the cache. Only keys that exist have one.
const CAPACITY: usize = 10_000;

/// The API keys.
#[derive(Clone)]
pub(super) struct Keyring {
    pool: Pool,
    rows: ReadThrough<Prefix, Arc<Key>>,
    lookups: Lookups,
}

impl Keyring {
    /// Reads through `pool`. Must be called within a Tokio runtime.
    pub(super) fn new(pool: Pool, presence: Presence) -> Self {
        let rows = ReadThrough::new("an API key", CAPACITY, presence);
        Self { lookups: Lookups::start(pool.clone()), pool, rows }
    }

    /// The cached key with this public part. It may have been revoked since; [`Keyring::find`] checks.
    pub(super) fn known(&self, prefix: &Prefix) -> Option<Arc<Key>> {
        self.rows.known(prefix)
    }

    /// The key with this public part, even if it is revoked or has expired.
    pub(super) async fn find(&self, prefix: &Prefix) -> Found<Arc<Key>> {
        if self.rows.known(prefix).is_some() {
            return self.rows.find(*prefix, || read(self.pool.clone(), *prefix)).await;
        }
        let began = Instant::now();
        let found = self.lookups.find(*prefix).await?;
        if let Some(key) = &found {
            self.rows.note(*prefix, key.clone(), began);
        }
        Ok(found)
    }

    /// Reads the keys of this tenant again before they are used.
    pub(super) fn forget(&self, tenant: Uuid) {
        self.rows.forget(|key| key.tenant == tenant);
    }

    /// Reads all keys again before they are used.
    pub(super) fn doubt(&self) {
        self.rows.doubt();
    }
}

async fn read(pool: Pool, prefix: Prefix) -> Result<Option<Arc<Key>>, Error> {
    let found = pool.bounded(async |c| keys::by_prefixes(c, &[text(&prefix)]).await).await?;
    Ok(found.into_iter().next().map(Arc::new))
}
