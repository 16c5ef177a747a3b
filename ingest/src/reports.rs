//! `GET /reports/{name}` and `GET /activity`: what the learning platform and its auditors may read, as JSON or CSV.
//!
//! Before it: a caller with the scope `reports` or `activity`. After it: rows from Postgres, a page at a time.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use shared::postgres::activity::ActivityOf;
use shared::postgres::reports::ReportOf;
use shared::postgres::users;
use shared::report::{Filter, Report};
use shared::scim::Error;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::app::Shared;
use crate::auth::{Activity, Reports};
use crate::http::answer::{Answer, Refusal};
use crate::http::query::Query;
use crate::http::rows;

/// How far back the activity log is shown where nobody says.
const RECENT: Duration = Duration::days(1);

/// A report of the caller's tenant.
///
/// # Errors
/// 404 that names the reports that there are; 400 that names the parameter; 429 if it cannot be read now.
pub async fn report(
    Reports { key, place }: Reports,
    State(app): State<Shared>,
    Path(name): Path<String>,
    query: Query,
    headers: HeaderMap,
) -> Answer {
    let Some(report) = Report::named(&name) else {
        let names = Report::ALL.map(Report::name).join(", ");
        return Err(Error::not_found(format!("there is no such report; there is: {names}")).into());
    };
    let text = |name| Ok::<_, Error>(query.get(name)?.map(str::to_owned));
    let filter = Filter {
        location: text("location")?,
        business_unit: text("business_unit")?.or(text("businessUnit")?),
        status: text("status")?,
    };
    filter.check(report).map_err(|complaint| Error::invalid_value(format!("the parameter {complaint}")))?;
    let format = rows::format(&query, &headers)?;
    rows::answer(&app.pool, place, report.name(), ReportOf { tenant: key.tenant, report, filter }, format)
        .await
}

/// What was asked for in the caller's tenant, the oldest first. `user` (a userName or an id) and `since` (RFC 3339; by default
/// a day ago) say what of it.
///
/// # Errors
/// As [`report`].
pub async fn activity(
    Activity { key, place }: Activity,
    State(app): State<Shared>,
    query: Query,
    headers: HeaderMap,
) -> Answer {
    let since = match query.get("since")? {
        None => app.clock.now() - RECENT,
        Some(text) => OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
            Error::invalid_value("the parameter since must be a time such as 2026-01-31T06:00:00Z")
        })?,
    };
    let resource = match query.get("user")? {
        None => None,
        Some(user) => Some(id_of(&app, key.tenant, user).await?),
    };
    let format = rows::format(&query, &headers)?;
    let what = ActivityOf { tenant: key.tenant, resource, since };
    rows::answer(&app.pool, place, "activity", what, format).await
}

async fn id_of(app: &Shared, tenant: uuid::Uuid, user: &str) -> Result<uuid::Uuid, Refusal> {
    let found = app.pool.bounded(async |connection| users::id_of(connection, tenant, user).await).await;
    let id = found.map_err(|error| Refusal::unread(&error))?;
    Ok(id.ok_or_else(|| Error::not_found("there is no user of this name"))?)
}
