//! Rewrites the search documents of rows that are out of date: an earlier version wrote them, or their
//! tenant has registered or removed a schema since. Also renews the keys of userNames and truncates times to
//! milliseconds. Works in small batches and skips locked rows. Version and ticket stay, because the resource itself
//! does not change.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use database::groups::GroupRow;
use database::schema::{groups, users};
use database::tenants::Tenant;
use database::users::UserRow;
use database::{Constant, Error, Limits, Pool, Rows, tenants};
use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use platform::shutdown;
use scim::user_name_key;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::fold::Row;

/// How often to check for rows that are out of date.
const EVERY: Duration = Duration::from_secs(60);
/// How long to wait after a failure.
const AGAIN: Duration = Duration::from_secs(30);
/// The maximum number of rows in one transaction. Changes of these rows wait for it.
const LIMIT: i64 = 50;

/// The columns that are written to a row.
#[derive(Serialize)]
struct Searchable {
    id: Uuid,
    tenant_id: Uuid,
    search: Map<String, Value>,
    search_version: i64,
    user_name_key: Option<String>,
}

/// A row whose search document can be out of date.
trait Behind: Row + Send {
    const TABLE: &'static str;
    const UPDATE: &'static str;

    /// The next rows after this id that are out of date, locked.
    fn behind(
        connection: &mut AsyncPgConnection,
        after: Uuid,
    ) -> impl Future<Output = Result<Vec<Self>, Error>> + Send;
    fn version(&self) -> i64;
    /// The key of the userName, if it has one.
    fn user_name_key(&self) -> Option<String>;
}

/// A row keeps its old key if another user has taken the new one.
const UPDATE_USERS: &str = "update users r set search = i.search, search_version = i.search_version, \
    created_at = date_trunc('milliseconds', r.created_at), modified_at = date_trunc('milliseconds', r.modified_at), \
    user_name_key = case when i.user_name_key is null or exists (select from users o where o.tenant_id = r.tenant_id \
        and o.user_name_key = i.user_name_key and o.id <> r.id) then r.user_name_key else i.user_name_key end \
    from input i where r.id = i.id";
const UPDATE_GROUPS: &str =
    "update groups r set search = i.search, search_version = i.search_version from input i where r.id = i.id";

macro_rules! behind {
    ($row:ty, $table:ident, $update:ident, $user_name_key:expr) => {
        impl Behind for $row {
            const TABLE: &'static str = stringify!($table);
            const UPDATE: &'static str = $update;

            async fn behind(connection: &mut AsyncPgConnection, after: Uuid) -> Result<Vec<Self>, Error> {
                let behind = $table::table
                    .filter(Constant("search_version <> version"))
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

/// Runs a pass at the start and then periodically, until `stop`: an older worker may still be writing rows.
pub async fn run(pool: Pool, stop: CancellationToken) {
    loop {
        let pause = match all(&pool, &stop, |_| {}).await {
            Ok(0) => EVERY,
            Ok(rows) => {
                info!(rows, "rewrote search documents");
                EVERY
            }
            Err(error) => {
                warn!(%error, "failed to rewrite all search documents");
                AGAIN
            }
        };
        if !shutdown::pause(&stop, pause).await {
            return;
        }
    }
}

/// One pass over all rows that are out of date. Returns the number of rows written; `progress` receives interim counts.
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

/// One batch without a statement timeout, since no client waits for it.
async fn some_unlimited<R: Behind>(
    connection: &mut AsyncPgConnection,
    after: Uuid,
) -> Result<(usize, Option<Uuid>), Error> {
    connection.batch_execute(&Limits::NONE.of_transaction()).await?;
    some::<R>(connection, after).await
}

/// One batch of rows after this id. Returns the number of rows written and the last id, or `None` at the end.
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
            // The tenant's workers report this too. Rows of other tenants are still rewritten.
            Err(error @ Error::Refused(_)) => warn!(%error, tenant.id = %id, "failed to read a tenant"),
            Err(error) => return Err(error),
        }
    }
    let mut documents: Vec<Searchable> = rows.iter().filter_map(|row| searchable(&tenants, row)).collect();
    // If several rows would get the same key, the first one gets it.
    let mut keys = HashSet::new();
    for row in &mut documents {
        row.user_name_key = row.user_name_key.take().filter(|key| keys.insert((row.tenant_id, key.clone())));
    }
    let written = Rows::new(R::TABLE, &documents, R::UPDATE)?.execute(connection).await?;
    Ok((written, Some(last)))
}

fn searchable<R: Behind>(tenants: &HashMap<Uuid, Tenant>, row: &R) -> Option<Searchable> {
    match row.search_document(&tenants.get(&row.tenant())?.types) {
        Ok(search) => Some(Searchable {
            id: row.id(),
            tenant_id: row.tenant(),
            search,
            search_version: row.version(),
            user_name_key: row.user_name_key(),
        }),
        Err(error) => {
            warn!(%error, resource.id = %row.id(), "failed to rewrite the search document of a {}", R::NAME);
            None
        }
    }
}
