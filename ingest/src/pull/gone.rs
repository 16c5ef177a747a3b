//! Reconciliation: who is active here and gone at Okta, and whether they may be archived.
//!
//! Before it: everybody in the group has been seen. After it: a report, and commands for those who are archived.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use shared::postgres::Error;
use shared::postgres::pulls::{PullRow, RunRow};
use shared::postgres::schema::{pull_gone, users};
use uuid::Uuid;

use super::store::{Lease, Store, Unwritten, count, owned};

/// Those who are linked to Okta, and whom the run has seen neither by their external id nor by their name. Whoever has changed since
/// it began may have joined the group behind its back.
const COMPARE: &str = "insert into pull_gone (run_id, user_id, version) select $1, u.id, u.version from users u \
    where u.tenant_id = $2 and u.archived_at is null and u.external_id is not null and u.modified_at < $3 \
    and not exists (select 1 from pull_seen s where s.run_id = $1 and s.external_id = u.external_id) \
    and not exists (select 1 from pull_seen s where s.run_id = $1 and s.user_name_key = u.user_name_key) \
    on conflict do nothing";
const NOTE: &str = "update pull_runs set phase = 'archive', roster = $3, gone = $4 \
    where id = $1 and holder = $2 and state = 'running'";
const QUEUED: &str = "update pull_runs set archiving = archiving + $3 \
    where id = $1 and holder = $2 and state = 'running'";

/// What is to be done about those who are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: there is nobody, or the tenant wants a report alone.
    Report,
    /// More than the limit: an operator is asked.
    Ask,
    /// They are archived.
    Archive,
}

/// What is to be done. Pure.
#[must_use]
pub fn judge(pull: &PullRow, roster: i64, gone: i64, confirmed: bool) -> Verdict {
    let is_within = gone.saturating_mul(100) <= roster.saturating_mul(pull.limit_percent.into());
    match pull.archive_missing && gone > 0 {
        false => Verdict::Report,
        true if confirmed || is_within => Verdict::Archive,
        true => Verdict::Ask,
    }
}

impl Store {
    /// Finds who is gone; returns how many are active here, and how many of them are gone.
    ///
    /// # Errors
    /// [`Unwritten`].
    pub async fn compare(&self, lease: Lease, run: &RunRow) -> Result<(i64, i64), Unwritten> {
        let compare = diesel::sql_query(COMPARE).bind::<SqlUuid, _>(lease.run);
        let compare = compare.bind::<SqlUuid, _>(run.tenant_id);
        let compare = compare.bind::<Timestamptz, _>(run.started_at.unwrap_or(run.due_at));
        let living =
            users::table.filter(users::tenant_id.eq(run.tenant_id)).filter(users::archived_at.is_null());
        let gone = pull_gone::table.filter(pull_gone::run_id.eq(lease.run));
        let mut connection = self.0.get().await?;
        let connection: &mut AsyncPgConnection = &mut connection;
        connection
            .transaction(async |c: &mut AsyncPgConnection| {
                compare.execute(c).await?;
                let roster: i64 = living.count().get_result(c).await?;
                let gone: i64 = gone.count().get_result(c).await?;
                let note = lease.own(NOTE).bind::<BigInt, _>(roster).bind::<BigInt, _>(gone);
                owned(note.execute(c).await?)?;
                Ok((roster, gone))
            })
            .await
    }

    /// Some of those who are gone and for whom no command was queued yet: ids and versions.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn to_archive(&self, run: Uuid, most: i64) -> Result<Vec<(Uuid, i64)>, Error> {
        let rest = pull_gone::table.filter(pull_gone::run_id.eq(run)).filter(pull_gone::queued.eq(false));
        let rest =
            rest.order(pull_gone::user_id).limit(most).select((pull_gone::user_id, pull_gone::version));
        self.0.bounded(async |c| Ok(rest.load(c).await?)).await
    }

    /// Notes that commands for these were queued.
    ///
    /// # Errors
    /// [`Unwritten`].
    pub async fn note_archiving(&self, lease: Lease, queued: &[(Uuid, i64)]) -> Result<(), Unwritten> {
        let ids: Vec<Uuid> = queued.iter().map(|(id, _)| *id).collect();
        let of_run = pull_gone::table.filter(pull_gone::run_id.eq(lease.run));
        let mark =
            diesel::update(of_run.filter(pull_gone::user_id.eq_any(ids))).set(pull_gone::queued.eq(true));
        let note = lease.own(QUEUED).bind::<BigInt, _>(count(queued.len()));
        let mut connection = self.0.get().await?;
        let connection: &mut AsyncPgConnection = &mut connection;
        connection
            .transaction(async |c: &mut AsyncPgConnection| {
                owned(note.execute(c).await?)?;
                mark.execute(c).await?;
                Ok(())
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use time::OffsetDateTime;

    use super::*;

    fn pull(archive_missing: bool, limit_percent: i16) -> PullRow {
        PullRow {
            tenant_id: Uuid::nil(),
            okta_url: String::new(),
            group_id: String::new(),
            token: Vec::new(),
            map: Value::Null,
            archive_missing,
            limit_percent,
            set_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn archiving_is_opt_in_and_asks_above_the_limit() {
        for (opted_in, limit, roster, gone, confirmed, expected) in [
            (false, 20, 100, 1, false, Verdict::Report),
            (false, 20, 100, 100, true, Verdict::Report),
            (true, 20, 100, 0, false, Verdict::Report),
            (true, 20, 100, 20, false, Verdict::Archive),
            (true, 20, 100, 21, false, Verdict::Ask),
            (true, 20, 100, 21, true, Verdict::Archive),
            (true, 20, 4, 1, false, Verdict::Ask),
            (true, 0, 100_000, 1, false, Verdict::Ask),
            (true, 100, 3, 3, false, Verdict::Archive),
        ] {
            assert_eq!(
                judge(&pull(opted_in, limit), roster, gone, confirmed),
                expected,
                "{gone} of {roster}"
            );
        }
    }
}
