//! Inserts users by the hundred thousand directly as rows, for measurements on large tenants.

use std::time::Duration;

use uuid::Uuid;

use crate::db::Db;

/// The number of users of a large tenant.
pub const LARGE: usize = 100_000;
/// The maximum ratio between the times of the last and the first page of [`LARGE`], by position.
pub const MAX_BY_POSITION: f64 = 3.0;
/// The maximum ratio between the times of a late and an early page, by cursor.
pub const MAX_BY_CURSOR: f64 = 1.5;
/// The number of rows per statement.
const CHUNK: usize = 5_000;
/// One in this many rows is a manual account that is not linked.
const UNLINKED: usize = 21;

/// The median.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// The number of rows for this many users in an unfiltered list.
#[must_use]
pub fn rows_of(listed: usize) -> usize {
    listed + listed.div_ceil(UNLINKED - 1)
}

/// Inserts users for these tenants: as many as an unfiltered list should return, and unlinked ones between them. The
/// tenants' rows are interleaved, and no statistics are collected.
///
/// # Panics
/// If Postgres rejects them.
pub async fn insert(db: &Db, tenants: &[(Uuid, usize)]) {
    let most = tenants.iter().map(|(_, listed)| rows_of(*listed)).max().unwrap_or_default();
    for first in (1..=most).step_by(CHUNK) {
        for (tenant, listed) in tenants {
            let last = rows_of(*listed).min(first + CHUNK - 1);
            if first <= last {
                db.execute(&people(*tenant, first, last)).await;
            }
        }
    }
}

fn people(tenant: Uuid, first: usize, last: usize) -> String {
    format!(
        "insert into users (id, tenant_id, user_name_key, origin, resource, search, version, search_version, ticket, \
           created_ticket, created_at, modified_at) \
         select id, '{tenant}', name, case when is_linked then 'scim' else 'manual' end, resource, resource, 1, 1, id, id, \
           now(), now() \
         from generate_series({first}, {last}) n, \
           lateral (select ('0197' || lpad(to_hex(n), 8, '0') || '70008000' || left(md5('{tenant}' || n), 12))::uuid as id, \
             'person-' || n || '@crowd.example' as name, n % {UNLINKED} > 0 as is_linked) p, \
           lateral (select jsonb_strip_nulls(jsonb_build_object('userName', name, 'externalId', case when is_linked then '00u' || n end, 'active', true, \
             'displayName', 'Given Family', 'title', 'Engineer', \
             'name', jsonb_build_object('givenName', 'Given' || n, 'familyName', 'Family' || n), \
             'emails', jsonb_build_array(jsonb_build_object('value', name, 'type', 'work', 'primary', true)), \
             'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User', \
             jsonb_build_object('department', 'Department ' || n % 200, 'employeeNumber', 'E-' || n))) as resource) r"
    )
}
