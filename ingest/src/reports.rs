//! `GET /reports/{name}` and `GET /activity`: what the learning platform and its auditors may read, as JSON or CSV.
//!
//! Before it: a caller with the scope `reports` or `activity`. After it: rows from Postgres, a page at a time.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use shared::postgres::activity::{self, ActivityOf};
use shared::postgres::reports::ReportOf;
use shared::report::{Filter, RECENT, Report, since};
use shared::scim::Error;
use uuid::Uuid;

use crate::app::Shared;
use crate::auth::{Activity, Reports};
use crate::http::answer::{Answer, Refusal};
use crate::http::query::Query;
use crate::http::rows;

/// A report of the caller's tenant, of which `location`, `business_unit` and `status` say what to leave.
///
/// # Errors
/// 404 that names the reports that there are; 400 that names the parameter; 429 if it cannot be read now.
pub async fn report(
    Reports { key, place }: Reports,
    State(app): State<Shared>,
    name: Result<Path<String>, PathRejection>,
    query: Query,
    headers: HeaderMap,
) -> Answer {
    let Some(report) = name.ok().and_then(|Path(name)| Report::named(&name)) else {
        let names = Report::ALL.map(Report::name).join(", ");
        return Err(Error::not_found(format!("there is no such report; there is: {names}")).into());
    };
    let query = query.known(&["location", "business_unit", "status", "format"])?;
    let text = |name| Ok::<_, Error>(query.get(name)?.map(str::to_owned));
    let filter = Filter {
        location: text("location")?,
        business_unit: text("business_unit")?,
        status: text("status")?,
    };
    filter.check(report).map_err(|complaint| Error::invalid_value(format!("the parameter {complaint}")))?;
    let format = rows::format(&query, &headers)?;
    rows::answer(&app, place, report.name(), ReportOf { tenant: key.tenant, report, filter }, format).await
}

/// What was asked for in the caller's tenant, the oldest first. `user` (a userName or an id) and `since` (by default a week ago) say
/// what of it.
///
/// # Errors
/// As [`report`].
pub async fn activity(
    Activity { key, place }: Activity,
    State(app): State<Shared>,
    query: Query,
    headers: HeaderMap,
) -> Answer {
    let query = query.known(&["user", "since", "format"])?;
    let now = app.clock.now();
    let since = match query.get("since")? {
        None => now - RECENT,
        Some(text) => {
            since(text, now).map_err(|must| Error::invalid_value(format!("the parameter since {must}")))?
        }
    };
    let resources = match query.get("user")? {
        None => None,
        Some(user) => Some(about(&app, key.tenant, user).await?),
    };
    let format = rows::format(&query, &headers)?;
    let what = ActivityOf { tenant: key.tenant, resources, since };
    rows::answer(&app, place, "activity", what, format).await
}

async fn about(app: &Shared, tenant: Uuid, user: &str) -> Result<Vec<Uuid>, Refusal> {
    let known = app.pool.bounded(async |connection| activity::about(connection, tenant, user).await).await;
    let known = known.map_err(|error| Refusal::unread(&error))?;
    if known.is_empty() {
        return Err(Error::not_found(
            "there is no user of this name, and no change in the log was about one",
        )
        .into());
    }
    Ok(known)
}
