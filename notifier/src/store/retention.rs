//! Deletes what tenants do not want to keep any longer: mail of the ledger, and completed assignments. Each statement
//! changes a limited number of rows, because a long one would hold its locks for long.

use database::Error;
use database::schema::tenants;
use diesel::prelude::*;
use diesel::sql_types::{Integer, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::settings::{Retention, Settings};
use serde_json::Value;
use uuid::Uuid;

/// Settled mail. What a living user gets only once is remembered, without its content.
const MAILS: &str = "delete from notifications where ctid = any(array(
  select n.ctid from notifications n where n.tenant_id = $1 and n.decided_at < now() - make_interval(days => $2)
    and n.state not in ('pending', 'sending')
    and (n.kind not in ('welcome', 'first_assignment')
      or n.state in ('suppressed', 'failed') and n.sent_at is null and not n.in_doubt
      or not exists (select 1 from users u where u.id = n.user_id and u.tenant_id = n.tenant_id))
  limit 5000))";

const CONTENTS: &str = "update notifications set context = '{}', event_source = 'urn:rollcall:erased',
    event_id = id::text, last_attempt = null
  where ctid = any(array(select ctid from notifications
    where tenant_id = $1 and decided_at < now() - make_interval(days => $2)
      and state not in ('pending', 'sending') and event_source <> 'urn:rollcall:erased' limit 5000))";

const ASSIGNMENTS: &str = "delete from assignments where ctid = any(array(
  select ctid from assignments where tenant_id = $1 and completed_at < now() - make_interval(days => $2)
    and not grade_pending limit 5000))";

const ERASURES: &str = "delete from erasures where ctid = any(array(
  select ctid from erasures where erased_at < now() - interval '400 days' limit 5000))";

/// How long each tenant keeps what.
///
/// # Errors
/// See [`Error`].
pub async fn chosen(connection: &mut AsyncPgConnection) -> Result<Vec<(Uuid, Retention)>, Error> {
    let rows: Vec<(Uuid, Value)> =
        tenants::table.select((tenants::id, tenants::settings)).load(connection).await?;
    Ok(rows.into_iter().map(|(id, stored)| (id, Settings::stored(id, &stored).retention)).collect())
}

/// Deletes some of a tenant's rows that are too old; returns how many.
///
/// # Errors
/// See [`Error`].
pub async fn delete_old(
    connection: &mut AsyncPgConnection,
    tenant: Uuid,
    chosen: &Retention,
) -> Result<usize, Error> {
    let mut deleted = 0;
    let tasks = [
        (MAILS, chosen.retain_mail_days),
        (CONTENTS, chosen.retain_mail_days),
        (ASSIGNMENTS, chosen.retain_assignments_days),
    ];
    for (statement, days) in tasks {
        let Some(days) = days.get() else { continue };
        let query = diesel::sql_query(statement).bind::<SqlUuid, _>(tenant).bind::<Integer, _>(days);
        deleted += query.execute(connection).await?;
    }
    Ok(deleted)
}

/// Deletes some notes about erased users that are too old; returns how many.
///
/// # Errors
/// See [`Error`].
pub async fn delete_old_erasures(connection: &mut AsyncPgConnection) -> Result<usize, Error> {
    Ok(diesel::sql_query(ERASURES).execute(connection).await?)
}
