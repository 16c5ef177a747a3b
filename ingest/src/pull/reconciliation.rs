//! Reconciliation: finds active users that are missing in Okta after all pages have been read, and decides whether they
//! are archived.

use database::pulls::{PullRow, RunRow};
use database::schema::pull_missing;
use database::{Error, Pool};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::store::{Lease, Unwritten, count, owned};

/// Active users that are linked or were created by SCIM, and that the run has seen neither by external id nor by name.
/// Users that have changed since the run began are excluded: they may have joined the group since.
const COMPARE: &str = "insert into pull_missing (run_id, user_id, version) select $1, u.id, u.version from users u \
    where u.tenant_id = $2 and u.archived_at is null and (u.external_id is not null or u.linked_at is not null or u.origin = 'scim') \
    and u.modified_at < $3 \
    and not exists (select 1 from pull_seen s where s.run_id = $1 and s.external_id = u.external_id) \
    and not exists (select 1 from pull_seen s where s.run_id = $1 and s.user_name_key = u.user_name_key) \
    on conflict do nothing";
/// Okta users without a unique external id, and whose name no user here has, cannot be identified.
const COUNT: &str = "select count(*) as roster, \
    count(*) filter (where external_id is not null or linked_at is not null or origin = 'scim') as linked, \
    (select count(*) from pull_missing where run_id = $1) as missing, \
    (select count(*) from pull_seen where run_id = $1) as provider_users, \
    (select count(*) from pull_seen s where s.run_id = $1 and not s.is_known and not exists \
        (select 1 from users u where u.tenant_id = $2 and u.user_name_key = s.user_name_key)) as unidentified \
    from users where tenant_id = $2 and archived_at is null";
const NOTE: &str = "update pull_runs set phase = 'archive', roster = $3, linked = $4, gone = $5 \
    where id = $1 and holder = $2 and state = 'running'";
const QUEUED: &str = "update pull_runs set archiving = archiving + $3 \
    where id = $1 and holder = $2 and state = 'running'";

/// The result of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
pub struct Compared {
    /// Active users.
    #[diesel(sql_type = BigInt)]
    pub roster: i64,
    /// Active users that are linked or were created by SCIM.
    #[diesel(sql_type = BigInt)]
    pub linked: i64,
    /// Linked users that are not in the Okta group.
    #[diesel(sql_type = BigInt)]
    pub missing: i64,
    /// Okta users in the group.
    #[diesel(sql_type = BigInt)]
    pub provider_users: i64,
    /// Okta users in the group that cannot be identified, and may be among the missing ones.
    #[diesel(sql_type = BigInt)]
    pub unidentified: i64,
}

/// The decision about the missing users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Only report: no user is missing, or the tenant has not enabled archiving.
    Report,
    /// Ask an operator for confirmation, for this reason.
    Ask(String),
    /// Archive them.
    Archive,
}

/// Decides about the missing users. Pure.
#[must_use]
pub fn check(pull: &PullRow, compared: Compared, confirmed: bool) -> Decision {
    let Compared { roster, linked, missing, provider_users, unidentified } = compared;
    if !pull.archive_missing || missing == 0 {
        return Decision::Report;
    }
    let finding = format!("{missing} of {roster} active users ({linked} of them linked) are missing in Okta");
    let limit = pull.limit_percent;
    if confirmed {
        Decision::Archive
    } else if provider_users == 0 {
        Decision::Ask(format!("{finding}; the group is empty"))
    } else if missing.saturating_mul(100) > roster.saturating_mul(limit.into()) {
        Decision::Ask(format!("{finding}, more than {limit} %"))
    } else if unidentified > 0 {
        let why = "have no unique external id and may be among them";
        Decision::Ask(format!("{finding}, but {unidentified} users in the group {why}"))
    } else {
        Decision::Archive
    }
}

/// Finds the missing users.
///
/// # Errors
/// [`Unwritten`].
pub async fn compare(pool: &Pool, lease: Lease, run: &RunRow) -> Result<Compared, Unwritten> {
    let compare = diesel::sql_query(COMPARE).bind::<SqlUuid, _>(lease.run);
    let compare = compare.bind::<SqlUuid, _>(run.tenant_id);
    let compare = compare.bind::<Timestamptz, _>(run.started_at.unwrap_or(run.due_at));
    let tally = diesel::sql_query(COUNT).bind::<SqlUuid, _>(lease.run).bind::<SqlUuid, _>(run.tenant_id);
    let mut connection = pool.get().await?;
    let connection: &mut AsyncPgConnection = &mut connection;
    connection
        .transaction(async |c: &mut AsyncPgConnection| {
            compare.execute(c).await?;
            let compared: Compared = tally.get_result(c).await?;
            let note = lease.own(NOTE).bind::<BigInt, _>(compared.roster);
            let note = note.bind::<BigInt, _>(compared.linked).bind::<BigInt, _>(compared.missing);
            owned(note.execute(c).await?)?;
            Ok(compared)
        })
        .await
}

/// The result of a comparison by a process that crashed afterwards.
///
/// # Errors
/// See [`Error`].
pub async fn compared(pool: &Pool, run: &RunRow) -> Result<Compared, Error> {
    let tally = diesel::sql_query(COUNT).bind::<SqlUuid, _>(run.id).bind::<SqlUuid, _>(run.tenant_id);
    let now: Compared = pool.bounded(async |c| Ok(tally.get_result(c).await?)).await?;
    let [roster, linked] = [run.roster, run.linked].map(Option::unwrap_or_default);
    Ok(Compared { roster, linked, ..now })
}

/// The ids and versions of up to `most` missing users whose archive commands are not queued yet.
///
/// # Errors
/// See [`Error`].
pub async fn to_archive(pool: &Pool, run: Uuid, most: i64) -> Result<Vec<(Uuid, i64)>, Error> {
    let rest =
        pull_missing::table.filter(pull_missing::run_id.eq(run)).filter(pull_missing::queued.eq(false));
    let rest =
        rest.order(pull_missing::user_id).limit(most).select((pull_missing::user_id, pull_missing::version));
    pool.bounded(async |c| Ok(rest.load(c).await?)).await
}

/// Records that the archive commands of these users are queued.
///
/// # Errors
/// [`Unwritten`].
pub async fn note_archiving(pool: &Pool, lease: Lease, queued: &[(Uuid, i64)]) -> Result<(), Unwritten> {
    let ids: Vec<Uuid> = queued.iter().map(|(id, _)| *id).collect();
    let of_run = pull_missing::table.filter(pull_missing::run_id.eq(lease.run));
    let mark =
        diesel::update(of_run.filter(pull_missing::user_id.eq_any(ids))).set(pull_missing::queued.eq(true));
    let note = lease.own(QUEUED).bind::<BigInt, _>(count(queued.len()));
    let mut connection = pool.get().await?;
    let connection: &mut AsyncPgConnection = &mut connection;
    connection
        .transaction(async |c: &mut AsyncPgConnection| {
            owned(note.execute(c).await?)?;
            mark.execute(c).await?;
            Ok(())
        })
        .await
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
        for (opted_in, limit, roster, missing, confirmed, expected) in [
            (false, 20, 100, 1, false, "report"),
            (false, 20, 100, 100, true, "report"),
            (true, 20, 100, 0, false, "report"),
            (true, 20, 100, 20, false, "archive"),
            (true, 20, 100, 21, false, "ask"),
            (true, 20, 100, 21, true, "archive"),
            (true, 20, 4, 1, false, "ask"),
            (true, 0, 100_000, 1, false, "ask"),
            (true, 100, 3, 3, false, "archive"),
        ] {
            let compared = Compared { roster, linked: roster, missing, provider_users: 1, unidentified: 0 };
            let verdict = check(&pull(opted_in, limit), compared, confirmed);
            assert_eq!(word(&verdict), expected, "{missing} of {roster}");
        }
    }

    #[test]
    fn doubtful_results_ask_whatever_the_limit() {
        let sound = Compared { roster: 100, linked: 100, missing: 10, provider_users: 90, unidentified: 0 };
        for (compared, why) in [
            (Compared { provider_users: 0, ..sound }, "empty"),
            (Compared { unidentified: 1, ..sound }, "external id"),
        ] {
            let Decision::Ask(said) = check(&pull(true, 100), compared, false) else {
                panic!("{compared:?}")
            };
            assert!(said.contains(why), "{said}");
            assert_eq!(check(&pull(true, 100), compared, true), Decision::Archive, "{compared:?}");
            assert_eq!(check(&pull(false, 100), compared, false), Decision::Report, "{compared:?}");
        }
    }

    fn word(verdict: &Decision) -> &'static str {
        match verdict {
            Decision::Report => "report",
            Decision::Ask(_) => "ask",
            Decision::Archive => "archive",
        }
    }
}
