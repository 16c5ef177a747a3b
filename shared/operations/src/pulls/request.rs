//! Requests a run from the ingests, or confirms one that awaits confirmation.

use database::pulls::{self as rows, PullRow};
use database::schema::pull_requests;
use database::tenants::Tenant;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Error, Operator};

/// How long a request is kept.
const KEPT: time::Duration = time::Duration::days(30);

/// A run that was requested or confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Requested {
    /// The id of the run.
    pub id: Uuid,
    /// The state: it waits for an ingest.
    pub state: &'static str,
    /// The tenant.
    #[serde(skip)]
    pub tenant_id: Uuid,
    /// The tenant's name.
    #[serde(skip)]
    pub tenant: String,
    /// Whether it was confirmed: such a run continues after it asked for confirmation.
    #[serde(skip)]
    pub is_confirmed: bool,
}

impl Requested {
    fn new(tenant: &Tenant, id: Uuid, is_confirmed: bool) -> Self {
        Self { id, state: "waiting", tenant_id: tenant.id, tenant: tenant.name.clone(), is_confirmed }
    }
}

/// Requests a run of the tenant's pull.
///
/// # Errors
/// [`Error::Refused`] if the tenant has no pull.
pub async fn request(operator: &Operator, tenant: &Tenant) -> Result<Requested, Error> {
    configured(operator, tenant).await?;
    let id = insert(operator, tenant, None).await?;
    Ok(Requested::new(tenant, id, false))
}

/// Allows the tenant's last run to archive the users that are missing in Okta. With an id, only if that is the last
/// run.
///
/// # Errors
/// [`Error::Refused`] if the last run is another one, or does not await confirmation.
pub async fn confirm(operator: &Operator, tenant: &Tenant, run: Option<Uuid>) -> Result<Requested, Error> {
    let pull = configured(operator, tenant).await?;
    let name = &tenant.name;
    let last = rows::last_run(&mut *operator.pool.get().await?, tenant.id).await?;
    let asking = last.ok_or_else(|| Error::Refused(format!("{name} has had no pull yet")))?;
    if let Some(named) = run.filter(|named| *named != asking.id) {
        return Err(Error::Refused(format!("the last pull of {name} is {}, not {named}", asking.id)));
    }
    if asking.state != "asks" {
        return Err(Error::Refused(format!("the last pull of {name} does not await confirmation")));
    }
    if asking.set_at != Some(pull.set_at) {
        let why = "has been reconfigured since it asked for confirmation";
        return Err(Error::Refused(format!("the pull of {name} {why}; run `rollcall pull run {name}`")));
    }
    insert(operator, tenant, Some(asking.id)).await?;
    Ok(Requested::new(tenant, asking.id, true))
}

async fn configured(operator: &Operator, tenant: &Tenant) -> Result<PullRow, Error> {
    let pull = rows::find(&mut *operator.pool.get().await?, tenant.id).await?;
    let missing =
        || Error::Refused(format!("{0} has no pull; add one with `rollcall pull set {0}`", tenant.name));
    pull.ok_or_else(missing)
}

/// Inserts a request for the ingests.
async fn insert(operator: &Operator, tenant: &Tenant, confirms: Option<Uuid>) -> Result<Uuid, Error> {
    let (id, now) = (platform::id::new(), operator.clock.now());
    let mut connection = operator.pool.get().await?;
    let old = pull_requests::table.filter(pull_requests::requested_at.lt(now - KEPT));
    diesel::delete(old).execute(&mut connection).await?;
    let row = (
        pull_requests::id.eq(id),
        pull_requests::tenant_id.eq(tenant.id),
        pull_requests::confirms.eq(confirms),
        pull_requests::requested_at.eq::<OffsetDateTime>(now),
    );
    diesel::insert_into(pull_requests::table).values(row).execute(&mut connection).await?;
    Ok(id)
}
