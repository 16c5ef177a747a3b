//! The accounts with an externalId, limited to as many as are needed to match a POST.
//!
//! A constant that was mapped by mistake may be the externalId of thousands of users. It only matters whether there are
//! none, one, or more, so at most two active and two archived accounts are loaded.

use std::collections::BTreeSet;

use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Array, Bool, Text, Uuid as SqlUuid};
use uuid::Uuid;

/// A condition on `users`: the row holds one of these externalIds, or the externalId of an archived account with one of
/// these userNames. The latter is evidence only if no other account shares it.
#[derive(Debug, Clone)]
pub(super) struct Holders {
    tenants: Vec<Uuid>,
    external_ids: Vec<String>,
    name_tenants: Vec<Uuid>,
    names: Vec<String>,
}

impl Holders {
    /// From tenants with externalIds, and tenants with userName keys.
    pub(super) fn of(external_ids: &BTreeSet<(Uuid, String)>, names: &BTreeSet<(Uuid, String)>) -> Self {
        let (tenants, external_ids) = external_ids.iter().cloned().unzip();
        let (name_tenants, names) = names.iter().cloned().unzip();
        Self { tenants, external_ids, name_tenants, names }
    }
}

impl QueryFragment<Pg> for Holders {
    /// As an array, so that Postgres finds the rows by primary key.
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("users.id = any(array(select h.id from (select * from unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.tenants)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.external_ids)?;
        out.push_sql(
            ") as posted (tenant_id, external_id) \
             union select n.tenant_id, n.external_id from unnest(",
        );
        out.push_bind_param::<Array<SqlUuid>, _>(&self.name_tenants)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.names)?;
        out.push_sql(
            ") as named (tenant_id, key) join users n on n.tenant_id = named.tenant_id and n.user_name_key = named.key \
             where n.archived_at is not null and n.external_id is not null) wanted cross join lateral (\
             (select u.id from users u where u.tenant_id = wanted.tenant_id and u.external_id = wanted.external_id \
              and u.external_id is not null and u.archived_at is null limit 2) union all \
             (select u.id from users u where u.tenant_id = wanted.tenant_id and u.external_id = wanted.external_id \
              and u.external_id is not null and u.archived_at is not null limit 2)) h))",
        );
        Ok(())
    }
}

impl QueryId for Holders {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Expression for Holders {
    type SqlType = Bool;
}

impl<T> AppearsOnTable<T> for Holders {}
impl<T> SelectableExpression<T> for Holders {}

impl<GB> ValidGrouping<GB> for Holders {
    type IsAggregate = is_aggregate::No;
}
