//! The tenants whose keys came in lately: what they chose, and their resource types.
//!
//! Before it: a key. After it: every handler that reads or writes a resource.

use std::sync::Arc;

use shared::postgres::tenants::{Tenant, by_ids};
use shared::postgres::{Error, Pool};
use uuid::Uuid;

use crate::http::answer::Refusal;
use crate::recent::{Away, Recent};

/// The most tenants that are remembered.
const CAPACITY: usize = 10_000;

/// The tenants.
pub struct Tenants {
    pool: Pool,
    tenants: Recent<Uuid, Arc<Tenant>>,
}

impl Tenants {
    /// None known yet.
    #[must_use]
    pub fn new(pool: Pool) -> Self {
        Self { pool, tenants: Recent::new("a tenant", CAPACITY) }
    }

    /// The tenant with this id, as it was [`MAX_AGE`](shared::postgres::tenants::MAX_AGE) ago at the earliest, or while Postgres is
    /// away ten minutes.
    ///
    /// # Errors
    /// 429 if it is not known and cannot be read.
    pub async fn find(&self, id: Uuid) -> Result<Arc<Tenant>, Refusal> {
        match self.tenants.find(id, || read(self.pool.clone(), id)).await {
            Ok(Some(tenant)) => Ok(tenant),
            Ok(None) => Err(Refusal::bug("a key without a tenant")),
            Err(Away) => Err(Refusal::try_again("the tenant cannot be read at the moment; try again")),
        }
    }
}

async fn read(pool: Pool, id: Uuid) -> Result<Option<Arc<Tenant>>, Error> {
    let found = pool.bounded(async |connection| by_ids(connection, &[id]).await).await?;
    Ok(found.into_iter().next().map(Arc::new))
}
