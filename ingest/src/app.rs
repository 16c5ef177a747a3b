//! What all requests share: the rims, the keys, the road.
//!
//! Before it: `main`, which has made the parts. After it: every handler.

use std::sync::Arc;

use shared::amqp::{Link, Publisher};
use shared::clock::Clock;
use shared::postgres::Pool;
use tokio::sync::Semaphore;

use crate::auth::Auth;
use crate::config::Config;
use crate::road::Road;
use crate::tenants::Tenants;

/// The most requests in hand at a time; one more is answered 429 at once.
const MAX_IN_FLIGHT: usize = 1_024;

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
    /// The time of day.
    pub clock: Clock,
    /// A permit for each request in hand.
    pub in_flight: Semaphore,
    /// A permit for each of them whose body is larger than most may be.
    pub large: Semaphore,
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
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
            large: Semaphore::new(MAX_LARGE),
            clock,
            pool,
            config,
        })
    }
}
