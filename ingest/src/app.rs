//! The state that handlers share. An extractor requests only the part that it needs (`FromRef`).

use std::sync::Arc;

use amqp::{Link, Publisher};
use axum::extract::FromRef;
use database::Pool;
use platform::clock::Clock;
use tokio::sync::Semaphore;

use crate::admission::Admission;
use crate::config::Config;
use crate::detached::Detached;
use crate::dispatch::Dispatcher;
use crate::event_intake::EventIntake;
use crate::headcount::Headcounts;
use crate::http::base_url::Site;
use crate::http::rows::RowReader;
use crate::reads::Reads;
use crate::refusals::Refusals;

/// The maximum number of bodies in flight that exceed the ordinary limit: parsing one takes ten times its size in
/// memory.
const MAX_LARGE: usize = 4;

/// The handlers' state.
pub type Shared = Arc<App>;

/// What handlers share.
pub struct App {
    /// The configuration.
    pub config: Config,
    /// The database.
    pub pool: Pool,
    /// Admits requests.
    pub admission: Admission,
    /// Dispatches changes to the workers.
    pub dispatcher: Arc<Dispatcher>,
    /// Publishes events.
    pub events: Publisher,
    /// Admits events within the tenants' limits.
    pub intake: EventIntake,
    /// Counts the tenants' users.
    pub headcounts: Headcounts,
    /// Work that continues when its client disconnects.
    pub detached: Detached,
    /// The clock.
    pub clock: Clock,
    /// A permit for each request whose body may exceed the ordinary limit.
    pub large: Semaphore,
    /// Reads reports and the activity log.
    pub rows: RowReader,
    /// Records refused requests.
    pub refusals: Refusals,
    /// The shares of connections for reads.
    pub reads: Reads,
}

impl App {
    /// Builds the state. Must be called within a Tokio runtime.
    #[must_use]
    pub fn new(config: Config, pool: Pool, link: Link) -> Shared {
        let (clock, reads) = (Clock::System, Reads::new(config.db_connections));
        Arc::new(Self {
            admission: Admission::new(pool.clone(), clock.clone()),
            dispatcher: Arc::new(Dispatcher::new(link.clone(), pool.clone(), clock.clone(), config.deadline)),
            events: Publisher::new(link.clone()),
            intake: EventIntake::new(link),
            headcounts: Headcounts::default(),
            detached: Detached::default(),
            refusals: Refusals::new(pool.clone(), clock.clone()),
            rows: RowReader::new(pool.clone(), reads.pages()),
            reads,
            large: Semaphore::new(MAX_LARGE),
            clock,
            pool,
            config,
        })
    }
}

impl FromRef<Shared> for Admission {
    fn from_ref(app: &Shared) -> Self {
        app.admission.clone()
    }
}

impl FromRef<Shared> for Site {
    fn from_ref(app: &Shared) -> Self {
        Self { public_url: app.config.public_url.clone(), listen: app.config.listen }
    }
}
