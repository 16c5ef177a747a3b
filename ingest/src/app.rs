//! What all requests share: the rims, the keys, the road.
//!
//! Before it: `main`, which has made the parts. After it: every handler.

use std::sync::Arc;

use shared::amqp::{Link, Publisher};
use shared::clock::Clock;
use shared::postgres::Pool;
use shared::scim::Error;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::auth::Auth;
use crate::config::Config;
use crate::detached::Detached;
use crate::gate::{Gate, Place};
use crate::http::answer::Refusal;
use crate::road::Road;
use crate::tenants::Tenants;

/// The requests in hand at a time, of all tenants.
const PLACES: usize = 1_024;
/// The room for the bodies of requests in hand, in KiB, of all tenants.
const ROOM: usize = 256 << 10;

/// Of so many connections to Postgres, one may be busy with a page of a report or of the activity log.
const PAGES_SHARE: usize = 4;

/// The handlers' state.
pub type Shared = Arc<App>;

/// The most bodies beyond the ordinary limit in hand at a time: each costs ten times its size while it is read.
const MAX_LARGE: usize = 4;

/// What all requests share.
pub struct App {
    /// The configuration.
    pub config: Config,
    /// Postgres.
    pub pool: Pool,
    /// Who may come in.
    pub auth: Auth,
    /// What the tenants chose.
    pub tenants: Tenants,
    /// Where changes go.
    pub road: Arc<Road>,
    /// Where events go.
    pub events: Publisher,
    /// What goes on when its client hangs up.
    pub detached: Detached,
    /// The time of day.
    pub clock: Clock,
    /// A place for each request in hand whose tenant is known. The others are bounded by how keys are judged.
    pub gate: Gate,
    /// A place for each KiB of their bodies.
    pub room: Gate,
    /// A permit for each of them whose body is larger than most may be.
    pub large: Semaphore,
    /// A permit for each page of rows that is being read.
    pub pages: Semaphore,
}

impl App {
    /// Puts the parts together. Call within a runtime.
    #[must_use]
    pub fn new(config: Config, pool: Pool, link: Link) -> Shared {
        let clock = Clock::System;
        Arc::new(Self {
            auth: Auth::new(pool.clone(), clock.clone()),
            tenants: Tenants::new(pool.clone()),
            road: Arc::new(Road::new(link.clone(), pool.clone(), clock.clone(), config.deadline)),
            events: Publisher::new(link),
            detached: Detached::default(),
            gate: Gate::new(PLACES),
            room: Gate::new(ROOM),
            pages: Semaphore::new((config.db_connections / PAGES_SHARE).max(1)),
            large: Semaphore::new(MAX_LARGE),
            clock,
            pool,
            config,
        })
    }

    /// A place for a request of this tenant.
    ///
    /// # Errors
    /// 429 if the tenant has as many in hand as there are places left.
    pub fn enter(&self, tenant: Uuid) -> Result<Place, Refusal> {
        self.gate.enter(tenant, 1).ok_or_else(|| {
            Refusal::try_again("this tenant has too many requests in hand: nothing was changed; try again")
        })
    }

    /// Room for a body of so many bytes.
    ///
    /// # Errors
    /// 429 if the bodies of the tenant take as much as there is left.
    pub fn make_room(&self, tenant: Uuid, size: usize) -> Result<Place, Error> {
        self.room.enter(tenant, size.div_ceil(1 << 10)).ok_or_else(|| {
            Error::too_many_requests("this tenant sends too much at a time: nothing was changed; try again")
        })
    }
}
