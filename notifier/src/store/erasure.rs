//! Erases what the notifier's tables hold about deleted users. What stays has ids only: the decisions about mail, and
//! `erasures`, by which later events about these users are recognized.

use database::schema::erasures;
use database::{Error, Rows};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::Serialize;
use uuid::Uuid;

/// A user to erase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ErasedRow {
    /// The tenant.
    pub tenant_id: Uuid,
    /// The user.
    pub user_id: Uuid,
}

/// The row is written first: another notifier that erases the same users waits for it.
const NOTE: &str = "insert into erasures (tenant_id, user_id)
  select distinct tenant_id, user_id from input order by tenant_id, user_id
  on conflict (tenant_id, user_id) do update set erased_at = now()";

const ASSIGNMENTS: &str = ", gone as (delete from assignments a using input i
    where a.tenant_id = i.tenant_id and a.user_id = i.user_id returning a.tenant_id, a.user_id)
  update erasures e set assignments = e.assignments + g.n
  from (select tenant_id, user_id, count(*) as n from gone group by 1, 2) g
  where e.tenant_id = g.tenant_id and e.user_id = g.user_id";

/// Ids of events are the content service's own, and may contain names. Our own do not.
const RECEIVED: &str = "delete from received_events r using (
    select n.tenant_id, n.event_source as source, n.event_id as id from notifications n join input i
      on n.tenant_id = i.tenant_id and n.user_id = i.user_id where n.event_source not like 'urn:rollcall%'
    union select p.tenant_id, p.source, p.id from parked_events p join input i
      on p.tenant_id = i.tenant_id and p.user_id = i.user_id) as known
  where r.tenant_id = known.tenant_id and r.source = known.source and r.id = known.id";

const PARKED: &str = ", gone as (delete from parked_events p using input i
    where p.tenant_id = i.tenant_id and p.user_id = i.user_id returning p.tenant_id, p.user_id)
  update erasures e set events = e.events + g.n
  from (select tenant_id, user_id, count(*) as n from gone group by 1, 2) g
  where e.tenant_id = g.tenant_id and e.user_id = g.user_id";

const MAILS: &str = ", gone as (update notifications n set context = '{}', event_source = 'urn:rollcall:erased',
      event_id = n.id::text, last_attempt = null
    from input i where n.tenant_id = i.tenant_id and n.user_id = i.user_id and n.event_source <> 'urn:rollcall:erased'
    returning n.tenant_id, n.user_id)
  update erasures e set mails = e.mails + g.n
  from (select tenant_id, user_id, count(*) as n from gone group by 1, 2) g
  where e.tenant_id = g.tenant_id and e.user_id = g.user_id";

const UNSUBSCRIBED: &str = "delete from unsubscribed o using input i
  where o.tenant_id = i.tenant_id and o.user_id = i.user_id";

/// The statements in order.
const STATEMENTS: [&str; 6] = [NOTE, ASSIGNMENTS, RECEIVED, PARKED, MAILS, UNSUBSCRIBED];

/// Erases users, within the caller's transaction.
///
/// # Errors
/// See [`Error`].
pub async fn erase(connection: &mut AsyncPgConnection, users: &[ErasedRow]) -> Result<(), Error> {
    if !users.is_empty() {
        for statement in STATEMENTS {
            Rows::new("erasures", users, statement)?.execute(connection).await?;
        }
    }
    Ok(())
}

/// Which of these users of these tenants were erased.
///
/// # Errors
/// See [`Error`].
pub async fn erased(
    connection: &mut AsyncPgConnection,
    tenants: &[Uuid],
    users: &[Uuid],
) -> Result<Vec<(Uuid, Uuid)>, Error> {
    let query = erasures::table
        .filter(erasures::tenant_id.eq_any(tenants).and(erasures::user_id.eq_any(users)))
        .select((erasures::tenant_id, erasures::user_id));
    Ok(query.load(connection).await?)
}

/// Erases again, within the caller's transaction, some users who were erased in the last two hours: a notifier that
/// had read the roster just before the deletion may have saved an event about them just after. Returns the last one,
/// after which to continue.
///
/// # Errors
/// See [`Error`].
pub async fn erase_again(
    connection: &mut AsyncPgConnection,
    after: Option<ErasedRow>,
) -> Result<Option<ErasedRow>, Error> {
    let mut query = erasures::table
        .filter(
            erasures::erased_at
                .gt(diesel::dsl::sql::<diesel::sql_types::Timestamptz>("now() - interval '2 hours'")),
        )
        .order((erasures::tenant_id, erasures::user_id))
        .limit(500)
        .into_boxed();
    if let Some(ErasedRow { tenant_id, user_id }) = after {
        query = query.filter(
            erasures::tenant_id
                .gt(tenant_id)
                .or(erasures::tenant_id.eq(tenant_id).and(erasures::user_id.gt(user_id))),
        );
    }
    let rows: Vec<(Uuid, Uuid)> =
        query.select((erasures::tenant_id, erasures::user_id)).load(connection).await?;
    let rows: Vec<ErasedRow> =
        rows.into_iter().map(|(tenant_id, user_id)| ErasedRow { tenant_id, user_id }).collect();
    if !rows.is_empty() {
        // Without the note, which would make them recent for ever.
        for statement in &STATEMENTS[1..] {
            Rows::new("erasures", &rows, statement)?.execute(connection).await?;
        }
    }
    Ok(rows.last().copied())
}
