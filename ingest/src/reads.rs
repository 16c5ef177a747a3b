//! Shares of the database connections for reads of SCIM clients. A tenant that reads as much as it can leaves
//! connections for the others, and searches leave connections for everything else.
//!
//! A lookup finds its rows by an index: one resource, Okta's own filters, a whole list. A search is any other list, which
//! reads all of a tenant's resources.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use uuid::Uuid;

use crate::http::response::Refusal;
use crate::keyed_semaphore::{KeyedPermit, KeyedSemaphore};

/// One in this many connections is the unit of the shares.
const PART: usize = 4;
/// How long a lookup waits for its permit.
const LOOKUP_WAIT: Duration = Duration::from_secs(5);
/// How long a search waits for its permit.
const SEARCH_WAIT: Duration = Duration::from_secs(2);

/// The shares.
pub struct Reads {
    /// A permit for each lookup, by tenant.
    lookups: KeyedSemaphore<Uuid>,
    /// A permit for each search, by tenant.
    searches: KeyedSemaphore<Uuid>,
    /// A permit for each search.
    all_searches: Arc<Semaphore>,
    /// A permit for each page of a report or of the activity log.
    pages: Arc<Semaphore>,
}

/// The permit of a read. Dropping this releases it.
#[expect(dead_code, reason = "held until they are dropped")]
pub struct ReadPermit(KeyedPermit, Option<OwnedSemaphorePermit>);

impl Reads {
    /// The shares of this many connections. Of eight, a tenant gets six for lookups and two for searches; all tenants
    /// together get four for searches, and two for pages of reports.
    #[must_use]
    pub fn new(connections: usize) -> Self {
        let part = (connections / PART).max(1);
        let pages = Arc::new(Semaphore::new(part));
        // Of two connections, one is for everything else.
        let all_searches = match connections {
            ..=2 => pages.clone(),
            _ => Arc::new(Semaphore::new((connections / 2).max(1))),
        };
        Self {
            lookups: KeyedSemaphore::new(connections.saturating_sub(part).max(1)),
            searches: KeyedSemaphore::new(part),
            all_searches,
            pages,
        }
    }

    /// The permits for pages of reports and of the activity log.
    #[must_use]
    pub fn pages(&self) -> Arc<Semaphore> {
        self.pages.clone()
    }

    /// Waits for a permit for a lookup.
    ///
    /// # Errors
    /// 429 if the tenant has too many in progress.
    pub async fn lookup(&self, tenant: Uuid) -> Result<ReadPermit, Refusal> {
        match timeout(LOOKUP_WAIT, self.lookups.acquire(tenant)).await {
            Ok(permit) => Ok(ReadPermit(permit, None)),
            Err(_) => Err(Refusal::try_again("this tenant has too many reads in progress; try again")),
        }
    }

    /// Waits for a permit for a search.
    ///
    /// # Errors
    /// 429 if the tenant, or all tenants together, have too many in progress.
    pub async fn search(&self, tenant: Uuid) -> Result<ReadPermit, Refusal> {
        let acquire = async {
            // In this order, so that a tenant has few searches among all that wait.
            let own = self.searches.acquire(tenant).await;
            let all = self.all_searches.clone().acquire_owned().await;
            ReadPermit(own, Some(all.expect("the semaphore is never closed")))
        };
        timeout(SEARCH_WAIT, acquire).await.map_err(|_| {
            Refusal::try_again(
                "too many searches are in progress; try again, or use a filter that an index answers",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::task::unconstrained;

    use super::*;

    /// How many searches a tenant may begin at once.
    fn searches(reads: &Reads, tenant: u128) -> Vec<ReadPermit> {
        // Without tokio's own limit on what a task may do at a time.
        let begin = || unconstrained(reads.search(Uuid::from_u128(tenant))).now_or_never()?.ok();
        std::iter::from_fn(begin).take(1_000).collect()
    }

    #[tokio::test]
    async fn searches_and_reports_leave_connections_for_everything_else() {
        for connections in [2, 3, 4, 5, 7, 8, 16, 200] {
            let reads = Reads::new(connections);
            let mine = searches(&reads, 1);
            assert_eq!(mine.len(), (connections / 4).max(1), "of {connections}");
            let others: Vec<_> = (2..10).flat_map(|tenant| searches(&reads, tenant)).collect();
            let pages = std::iter::from_fn(|| reads.pages().try_acquire_owned().ok()).collect::<Vec<_>>();
            let used = mine.len() + others.len() + pages.len();
            assert!(used < connections, "{used} of {connections}");
        }
    }

    #[tokio::test]
    async fn lookups_of_a_tenant_leave_connections_for_the_others() {
        let reads = Reads::new(8);
        let tenant = Uuid::from_u128(1);
        let mine: Vec<_> = std::iter::from_fn(|| reads.lookup(tenant).now_or_never()).take(100).collect();
        assert_eq!(mine.len(), 6);
        assert!(reads.lookup(Uuid::from_u128(2)).now_or_never().is_some());
        assert!(reads.search(tenant).now_or_never().is_some(), "searches have their own permits");
    }

    #[tokio::test]
    async fn search_that_waits_too_long_is_refused() {
        let reads = Reads::new(8);
        let held = searches(&reads, 1);
        assert!(reads.search(Uuid::from_u128(1)).await.is_err());
        drop(held);
        assert_eq!(searches(&reads, 1).len(), 2);
    }
}
