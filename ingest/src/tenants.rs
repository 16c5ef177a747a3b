//! A read-through cache of tenants: their settings and resource types.

use std::sync::Arc;

use database::tenants::{Tenant, by_ids};
use database::{Error, Pool};
use uuid::Uuid;

use crate::http::response::Refusal;
use crate::read_through::{Presence, ReadThrough};

/// The maximum number of cached tenants.
const CAPACITY: usize = 10_000;

/// The tenants. Clones share the cache.
#[derive(Clone)]
pub struct Tenants {
    pool: Pool,
    tenants: ReadThrough<Uuid, Arc<Tenant>>,
}

impl Tenants {
    /// An empty cache.
    #[must_use]
    pub fn new(pool: Pool, presence: Presence) -> Self {
        Self { pool, tenants: ReadThrough::new("a tenant", CAPACITY, presence) }
    }

    /// Reads this tenant again before it is used.
    pub fn forget(&self, id: Uuid) {
        self.tenants.forget(|tenant| tenant.id == id);
    }

    /// Reads all tenants again before they are used.
    pub fn doubt(&self) {
        self.tenants.doubt();
    }

    /// The tenant with this id. The value is at most [`MAX_AGE`](database::tenants::MAX_AGE) old, or ten
    /// minutes while Postgres is away.
    ///
    /// # Errors
    /// 429 if it is not cached and cannot be read.
    pub async fn find(&self, id: Uuid) -> Result<Arc<Tenant>, Refusal> {
        match self.tenants.find(id, || read(self.pool.clone(), id)).await {
            Ok(Some(tenant)) => Ok(tenant),
            Ok(None) => Err(Refusal::bug("the API key's tenant does not exist")),
            Err(_) => Err(Refusal::try_again("the tenant cannot be read at the moment; try again")),
        }
    }
}

async fn read(pool: Pool, id: Uuid) -> Result<Option<Arc<Tenant>>, Error> {
    let found = pool.bounded(async |connection| by_ids(connection, &[id]).await).await?;
    Ok(found.into_iter().next().map(Arc::new))
}
