//! Catching up: rows whose `folded` was made by a version that did not know it as it is now, or before their tenant
//! registered a schema or took it back; with them a userName's key as it is made now, and instants as they are shown. Some at a time, and none that somebody is changing. Neither version nor ticket moves: nothing changed
//! but how filters see it.
//!
//! Before: an update of the services, or `rollcall schema add`. After: lists, which filter by `folded`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use serde::Serialize;
use serde_json::{Map, Value};
use shared::postgres::groups::GroupRow;
use shared::postgres::schema::{groups, users};
use shared::postgres::tenants::Tenant;
use shared::postgres::users::UserRow;
use shared::postgres::{Constant, Error, Limits, Pool, Rows, tenants};
use shared::scim::user_name_key;
use shared::shutdown;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::fold::Row;

/// How often to look.
const EVERY: Duration = Duration::from_secs(60);
/// How long to wait where it failed.
const AGAIN: Duration = Duration::from_secs(30);
/// The most rows in one transaction.
const LIMIT: i64 = 200;

/// What is written of a row.
#[derive(Serialize)]
struct Folded {
    id: Uuid,
    tenant_id: Uuid,
    folded: Map<String, Value>,
    folded_version: i64,
    user_name_key: Option<String>,
}

/// A row that can be behind.
trait Behind: Row + Send {
    const TABLE: &'static str;
    const UPDATE: &'static str;

    /// The next ones that are, after this id, locked.
    fn behind(
        connection: &mut AsyncPgConnection,
        after: Uuid,
    ) -> impl Future<Output = Result<Vec<Self>, Error>> + Send;
    fn version(&self) -> i64;
    /// The key of the userName, if it has one.
    fn user_name_key(&self) -> Option<String>;
}

/// A name that is somebody else's by now stays under its old key.
const UPDATE_USERS: &str = "update users r set folded = i.folded, folded_version = i.folded_version, \
    created_at = date_trunc('milliseconds', r.created_at), modified_at = date_trunc('milliseconds', r.modified_at), \
    user_name_key = case when i.user_name_key is null or exists (select from users o where o.tenant_id = r.tenant_id \
        and o.user_name_key = i.user_name_key and o.id <> r.id) then r.user_name_key else i.user_name_key end \
    from input i where r.id = i.id";
const UPDATE_GROUPS: &str =
    "update groups r set folded = i.folded, folded_version = i.folded_version from input i where r.id = i.id";

macro_rules! behind {
    ($row:ty, $table:ident, $update:ident, $user_name_key:expr) => {
        impl Behind for $row {
            const TABLE: &'static str = stringify!($table);
            const UPDATE: &'static str = $update;

            async fn behind(connection: &mut AsyncPgConnection, after: Uuid) -> Result<Vec<Self>, Error> {
                let behind = $table::table
                    .filter(Constant("folded_version <> version"))
                    .filter($table::id.gt(after))
                    .order($table::id)
                    .limit(LIMIT)
                    .select(Self::as_select());
                Ok(behind.for_no_key_update().skip_locked().load(connection).await?)
            }

            fn version(&self) -> i64 {
                self.version
            }

            fn user_name_key(&self) -> Option<String> {
                let key: fn(&Self) -> Option<String> = $user_name_key;
                key(self)
            }
        }
    };
}

behind!(UserRow, users, UPDATE_USERS, |row| Some(user_name_key(&row.user_name)));
behind!(GroupRow, groups, UPDATE_GROUPS, |_| None);

/// Catches up until `stop`, at the start and every now and then: an older worker may still be at work.
pub async fn run(pool: Pool, stop: CancellationToken) {
    loop {
        let pause = match all(&pool, &stop, |_| {}).await {
            Ok(0) => EVERY,
            Ok(rows) => {
                info!(rows, "made users and groups ready for filters");
                EVERY
            }
            Err(error) => {
                warn!(%error, "could not make all users and groups ready for filters");
                AGAIN
            }
        };
        if !shutdown::pause(&stop, pause).await {
            return;
        }
    }
}

/// One pass over all that are behind; tells how many rows it wrote, at the end and, by `progress`, every now and then.
///
/// # Errors
/// See [`Error`].
pub async fn all(pool: &Pool, stop: &CancellationToken, progress: impl Fn(usize)) -> Result<usize, Error> {
    let mut connection = pool.get().await?;
    let users = pass::<UserRow>(&mut connection, stop, &progress).await?;
    let groups = pass::<GroupRow>(&mut connection, stop, |rows| progress(users + rows)).await?;
    Ok(users + groups)
}

async fn pass<R: Behind>(
    connection: &mut AsyncPgConnection,
    stop: &CancellationToken,
    progress: impl Fn(usize),
) -> Result<usize, Error> {
    let (mut total, mut after) = (0, Some(Uuid::nil()));
    while let Some(last) = after.filter(|_| !stop.is_cancelled()) {
        let (rows, next) = connection
            .transaction(async |c: &mut AsyncPgConnection| some_unlimited::<R>(c, last).await)
            .await?;
        (total, after) = (total + rows, next);
        progress(total);
    }
    Ok(total)
}

/// Some of them, however long that takes: nobody waits for it.
async fn some_unlimited<R: Behind>(
    connection: &mut AsyncPgConnection,
    after: Uuid,
) -> Result<(usize, Option<Uuid>), Error> {
    connection.batch_execute(&Limits::NONE.of_transaction()).await?;
    some::<R>(connection, after).await
}

/// Some of them, after this id; tells how many rows were written, and where to go on.
async fn some<R: Behind>(
    connection: &mut AsyncPgConnection,
    after: Uuid,
) -> Result<(usize, Option<Uuid>), Error> {
    let rows = R::behind(connection, after).await?;
    let Some(last) = rows.last().map(R::id) else { return Ok((0, None)) };
    let ids: BTreeSet<Uuid> = rows.iter().map(R::tenant).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let mut tenants: HashMap<Uuid, Tenant> = HashMap::new();
    for id in ids {
        match tenants::by_ids(connection, &[id]).await {
            Ok(found) => tenants.extend(found.into_iter().map(|tenant| (tenant.id, tenant))),
            // Its own workers say so too; the others' rows are ready all the same.
            Err(error @ Error::Refused(_)) => warn!(%error, tenant.id = %id, "could not read a tenant"),
            Err(error) => return Err(error),
        }
    }
    let mut folded: Vec<Folded> = rows.iter().filter_map(|row| fold(&tenants, row)).collect();
    // Of several to whom one key would fall, the first gets it.
    let mut keys = HashSet::new();
    for row in &mut folded {
        row.user_name_key = row.user_name_key.take().filter(|key| keys.insert((row.tenant_id, key.clone())));
    }
    let written = Rows::new(R::TABLE, &folded, R::UPDATE)?.execute(connection).await?;
    Ok((written, Some(last)))
}

fn fold<R: Behind>(tenants: &HashMap<Uuid, Tenant>, row: &R) -> Option<Folded> {
    match row.folded(&tenants.get(&row.tenant())?.types) {
        Ok(folded) => Some(Folded {
            id: row.id(),
            tenant_id: row.tenant(),
            folded,
            folded_version: row.version(),
            user_name_key: row.user_name_key(),
        }),
        Err(error) => {
            warn!(%error, resource.id = %row.id(), "could not make a {} ready for filters", R::NAME);
            None
        }
    }
}
