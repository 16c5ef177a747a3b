//! Warns 30, 14 and 3 days before an API key expires: a line in the log and an event, once per key and warning,
//! whatever the number of workers and restarts.

use database::schema::outbox;
use database::{Error, Pool};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use domain::event::ExpiringKey;
use platform::clock::Clock;
use platform::shutdown;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

/// How often to look for keys.
const EVERY: std::time::Duration = std::time::Duration::from_secs(60);

/// Records the warnings that are due at `$1`, and returns them. A key that begins with less than 30 days gets the
/// warning that fits. Of several workers one inserts the row; the others wait for its commit and insert nothing.
/// Times are in hours, since a day of the session's time zone may have 23.
const RECORD: &str = "with due as (
        select k.id, k.prefix, k.expires_at, t.name as tenant, d.days
        from api_keys k join tenants t on t.id = k.tenant_id
        cross join lateral (select (case when k.expires_at <= $1 + interval '72 hours' then 3
            when k.expires_at <= $1 + interval '336 hours' then 14 else 30 end)::smallint as days) d
        where k.revoked_at is null and k.expires_at > $1 and k.expires_at <= $1 + interval '720 hours'
            and not exists (select from key_warnings w where w.key_id = k.id and w.days = d.days)
        order by k.expires_at, k.id limit 500
    ), recorded as (
        insert into key_warnings (key_id, days, expires_at, warned_at) select id, days, expires_at, $1 from due
        order by id on conflict do nothing returning key_id
    )
    select due.* from due join recorded on recorded.key_id = due.id order by due.expires_at, due.id";

/// A key that expires soon.
#[derive(QueryableByName)]
struct DueRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    prefix: String,
    #[diesel(sql_type = Timestamptz)]
    expires_at: OffsetDateTime,
    #[diesel(sql_type = Text)]
    tenant: String,
    #[diesel(sql_type = SmallInt)]
    days: i16,
}

/// Looks at the start and then periodically, until `stop`.
pub async fn run(pool: Pool, clock: Clock, stop: CancellationToken) {
    loop {
        if let Err(error) = look(&pool, clock.now()).await {
            warn!(%error, "failed to look for API keys that expire soon");
        }
        if !shutdown::pause(&stop, EVERY).await {
            return;
        }
    }
}

/// Looks once. The warnings and their events are one transaction; the relay publishes the events. Returns how many
/// warnings were given.
///
/// # Errors
/// See [`Error`].
pub async fn look(pool: &Pool, now: OffsetDateTime) -> Result<usize, Error> {
    let given = pool
        .bounded(async |connection| {
            connection
                .transaction(async |connection: &mut AsyncPgConnection| record(connection, now).await)
                .await
        })
        .await?;
    for (tenant, key) in &given {
        warn!(
            tenant,
            key.id = %key.id,
            key.prefix = key.prefix,
            key.expires_at = scim::timestamp(key.expires_at),
            days_left = key.days_left,
            "an API key expires soon; add a new one and give it to the client"
        );
    }
    Ok(given.len())
}

async fn record(
    connection: &mut AsyncPgConnection,
    now: OffsetDateTime,
) -> Result<Vec<(String, ExpiringKey)>, Error> {
    let due: Vec<DueRow> = sql_query(RECORD).bind::<Timestamptz, _>(now).load(connection).await?;
    let mut given = Vec::with_capacity(due.len());
    let mut events = Vec::with_capacity(due.len());
    for DueRow { id, prefix, expires_at, tenant, days } in due {
        let key = ExpiringKey::new(id, prefix, expires_at, now);
        let event = key.event(&tenant, days, now);
        let kind = event.kind.clone();
        let event = serde_json::to_value(event).map_err(|_| diesel::result::Error::RollbackTransaction)?;
        events.push((outbox::kind.eq(kind), outbox::event.eq(event)));
        given.push((tenant, key));
    }
    if !events.is_empty() {
        diesel::insert_into(outbox::table).values(events).execute(connection).await?;
    }
    Ok(given)
}
