//! Everything that the database holds about a user, for a request for access (GDPR, article 15).

use database::tenants::Tenant;
use diesel::QueryableByName;
use diesel::sql_types::{Bool, Jsonb, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::command::name_digest;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Error, Operator};

/// `$1`: the tenant, `$2`: the user, `$3`: the hash of the user's name. Left out is what is derived from other columns.
const EXPORT: &str = "select jsonb_build_object(
  'user', (select to_jsonb(u) - 'search' - 'search_version' from users u where u.tenant_id = $1 and u.id = $2),
  'groups', (select jsonb_agg(jsonb_build_object('id', g.id, 'displayName', g.display_name, 'display', m.display))
    from group_members m join groups g on g.id = m.group_id where g.tenant_id = $1 and m.user_id = $2),
  'assignments', (select jsonb_agg(to_jsonb(a) order by a.assigned_at) from assignments a
    where a.tenant_id = $1 and a.user_id = $2),
  'mail', (select jsonb_agg(to_jsonb(n) order by n.decided_at) from notifications n
    where n.tenant_id = $1 and n.user_id = $2),
  'unsubscribed', (select to_jsonb(o) from unsubscribed o where o.tenant_id = $1 and o.user_id = $2),
  'activity', (select jsonb_agg(to_jsonb(c) order by c.id) from commands c
    where c.tenant_id = $1 and (c.resource_id = $2 or c.name_digest = $3)),
  'recentResources', (select jsonb_agg(to_jsonb(r) order by r.command) from recent_resources r
    join commands c on c.id = r.command where c.tenant_id = $1 and c.resource_id = $2),
  'parkedEvents', (select jsonb_agg(to_jsonb(p) order by p.parked_at) from parked_events p
    where p.tenant_id = $1 and p.user_id = $2),
  'pull', (select jsonb_agg(to_jsonb(s)) from pull_seen s join pull_runs r on r.id = s.run_id
    join users u on u.tenant_id = r.tenant_id and (s.user_name_key = u.user_name_key or s.external_id = u.external_id)
    where r.tenant_id = $1 and u.id = $2),
  'missingInPull', (select jsonb_agg(to_jsonb(m)) from pull_missing m join pull_runs r on r.id = m.run_id
    where r.tenant_id = $1 and m.user_id = $2),
  'erasure', (select to_jsonb(e) from erasures e where e.tenant_id = $1 and e.user_id = $2)) as found";

const KNOWN: &str = "select exists (select 1 from assignments where tenant_id = $1 and user_id = $2)
  or exists (select 1 from notifications where tenant_id = $1 and user_id = $2)
  or exists (select 1 from parked_events where tenant_id = $1 and user_id = $2)
  or exists (select 1 from unsubscribed where tenant_id = $1 and user_id = $2)
  or exists (select 1 from erasures where tenant_id = $1 and user_id = $2)
  or exists (select 1 from commands where tenant_id = $1 and resource_id = $2) as is_known";

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Jsonb)]
    found: Value,
}

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = Bool)]
    is_known: bool,
}

/// Everything that is stored about a user, given by userName (case-insensitive) or id, by table. Rows have the names of
/// their columns. Dead letters and mail that was delivered are not in the database.
///
/// # Errors
/// [`Error::Refused`] if nothing is stored about such a user.
pub async fn export(operator: &Operator, tenant: &Tenant, user: &str) -> Result<Value, Error> {
    let id = operator.user_id(tenant, user).await?;
    let mut connection = operator.pool.get().await?;
    let query = |name: String| {
        diesel::sql_query(EXPORT).bind::<SqlUuid, _>(tenant.id).bind::<SqlUuid, _>(id).bind::<Text, _>(name)
    };
    let found: Found = query(String::new()).get_result(&mut connection).await?;
    let found = match found.found["user"]["user_name"].as_str() {
        Some(name) => query(name_digest(tenant.id, name)).get_result::<Found>(&mut connection).await?,
        None => found,
    };
    let mut export =
        json!({ "tenant": tenant.name, "id": id, "exportedAt": scim::timestamp(operator.clock.now()) });
    let mut is_known = false;
    for (name, value) in found.found.as_object().into_iter().flatten() {
        is_known |= !value.is_null();
        let is_list = !matches!(name.as_str(), "user" | "unsubscribed" | "erasure");
        export[name] = if value.is_null() && is_list { json!([]) } else { value.clone() };
    }
    match is_known {
        true => Ok(export),
        false => {
            Err(Error::Refused(format!("{} has no such user, and nothing is stored about one", tenant.name)))
        }
    }
}

/// Whether anything is stored about a user without an account.
pub(super) async fn is_known(operator: &Operator, tenant: &Tenant, id: Uuid) -> Result<bool, Error> {
    let mut connection = operator.pool.get().await?;
    let query = diesel::sql_query(KNOWN).bind::<SqlUuid, _>(tenant.id).bind::<SqlUuid, _>(id);
    Ok(query.get_result::<Known>(&mut connection).await?.is_known)
}
