//! People by the hundred thousand, written as rows: what is measured of a large roster needs no requests that made it.

use std::time::Duration;

use uuid::Uuid;

use crate::db::Db;

/// How many people a large company has.
pub const LARGE: usize = 100_000;
/// How much longer the last page of [`LARGE`] may take than the first one, by position.
pub const MAX_BY_POSITION: f64 = 3.0;
/// How much longer a late page may take than an early one, by cursor.
pub const MAX_BY_CURSOR: f64 = 1.5;
/// Rows written by one statement.
const CHUNK: usize = 5_000;
/// Every so many rows one is of an account that was made by hand and is not linked.
const UNLINKED: usize = 21;

/// The middle one.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// How many rows hold this many people whom a list without a filter shows.
#[must_use]
pub fn rows_of(listed: usize) -> usize {
    listed + listed.div_ceil(UNLINKED - 1)
}

/// Writes people of these tenants, for each as many that a list without a filter shows, and unlinked ones between them. The
/// tenants' rows lie side by side, and no statistics are taken.
///
/// # Panics
/// When Postgres refuses them.
pub async fn settle(db: &Db, tenants: &[(Uuid, usize)]) {
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
        "insert into users (id, tenant_id, user_name, user_name_key, external_id, given_name, family_name, display_name, \
           email, department, job_title, origin, resource, folded, version, folded_version, ticket, created_ticket, \
           created_at, modified_at) \
         select id, '{tenant}', name, name, case when is_linked then '00u' || n end, 'Given' || n, 'Family' || n, \
           'Given Family', name, 'Department ' || n % 200, 'Engineer', case when is_linked then 'scim' else 'manual' end, \
           resource, resource, 1, 1, id, id, now(), now() \
         from generate_series({first}, {last}) n, \
           lateral (select ('0197' || lpad(to_hex(n), 8, '0') || '70008000' || left(md5('{tenant}' || n), 12))::uuid as id, \
             'person-' || n || '@crowd.example' as name, n % {UNLINKED} > 0 as is_linked) p, \
           lateral (select jsonb_build_object('userName', name, 'externalId', '00u' || n, 'active', true, \
             'displayName', 'Given Family', 'title', 'Engineer', \
             'name', jsonb_build_object('givenName', 'Given' || n, 'familyName', 'Family' || n), \
             'emails', jsonb_build_array(jsonb_build_object('value', name, 'type', 'work', 'primary', true)), \
             'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User', \
             jsonb_build_object('department', 'Department ' || n % 200, 'employeeNumber', 'E-' || n)) as resource) r"
    )
}
