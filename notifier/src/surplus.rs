//! Bounds the parked events of each tenant (`parked_events_max`): those that have waited longest become dead letters.
//! Ingest refuses events about unknown users before that, so they come over AMQP, or several at once.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use amqp::Publisher;
use database::Error;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use domain::settings::Limits;
use platform::shutdown::pause;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::parking::letter;
use crate::shared_state::SharedState;
use crate::store::{parked, received, roster};

/// How often the tenants that have parked events are checked.
const LOOK: Duration = Duration::from_secs(1);
/// The maximum number of dead letters in one transaction.
const STEP: i64 = 200;

/// Checks the tenants that have parked events, until stopped.
pub async fn run(shared: Arc<SharedState>, publisher: Arc<Publisher>, stop: CancellationToken) {
    let mut complained = false;
    while pause(&stop, LOOK).await {
        let tenants = std::mem::take(&mut *shared.parking.lock().unwrap_or_else(PoisonError::into_inner));
        for tenant in tenants {
            match bound(&shared, &publisher, tenant).await {
                Ok(()) => complained = false,
                Err(error) => {
                    // Outages are logged by the tasks that watch Postgres and RabbitMQ.
                    if !error.is_transient() && !complained {
                        warn!(%error, tenant.id = %tenant, "failed to bound the parked events of a tenant: retrying");
                        complained = true;
                    }
                    shared.parking.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant);
                }
            }
        }
    }
}

/// Makes dead letters until the tenant has no more parked events than it may.
async fn bound(shared: &SharedState, publisher: &Publisher, tenant: Uuid) -> Result<(), Error> {
    let limits = shared.pool.bounded(async |connection| roster::limits(connection, tenant).await).await?;
    loop {
        let transaction = async |connection: &mut AsyncPgConnection| {
            connection
                .transaction(async |connection| step(shared, publisher, connection, tenant, &limits).await)
                .await
        };
        let dead = shared.pool.bounded(transaction).await?;
        if dead == 0 {
            return Ok(());
        }
        let reached = limits.parked_events_max();
        warn!(tenant.id = %tenant, events = dead, %reached, "sent parked events to the dead-letter queue");
    }
}

/// Returns the number of dead letters.
async fn step(
    shared: &SharedState,
    publisher: &Publisher,
    connection: &mut AsyncPgConnection,
    tenant: Uuid,
    limits: &Limits,
) -> Result<usize, Error> {
    let most = i64::from(limits.parked_events_max.get());
    let rows = parked::lock_surplus(connection, tenant, most, STEP).await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let reason = format!("too many events waited for unknown users ({})", limits.parked_events_max());
    let now = shared.clock.now();
    let letters: Vec<_> = rows.iter().map(|row| letter(row, &reason, now)).collect();
    publisher.publish(&letters).await.map_err(|error| Error::Unavailable(error.to_string()))?;
    for row in &rows {
        let key = row.key();
        parked::delete(connection, &key).await?;
        // Allows an operator to move the event from the dead-letter queue back into the queue.
        received::forget(connection, &key).await?;
    }
    Ok(rows.len())
}
