//! `GET /reports/{name}` and `GET /activity`: reports and the activity log for the learning platform and its auditors,
//! as JSON or CSV. Rows are read from Postgres a page at a time.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use database::activity::{self, ActivityOf};
use database::audit::{AuditOf, Kind};
use database::reports::ReportOf;
use domain::report::{Filter, RECENT, Report, since};
use scim::Error;
use uuid::Uuid;

use crate::admission::{Activity, Held, Permit, Reports};
use crate::app::Shared;
use crate::http::query::Query;
use crate::http::response::{HandlerResult, Refusal};
use crate::http::rows;

/// A report of the caller's tenant, filtered by `location`, `business_unit` and `status`.
///
/// # Errors
/// 404 that lists the reports; 400 that names the parameter; 429 if the report cannot be read now.
pub async fn report(
    Reports { key, permit, .. }: Reports,
    State(app): State<Shared>,
    name: Result<Path<String>, PathRejection>,
    query: Query,
    headers: HeaderMap,
) -> HandlerResult {
    let Some(report) = name.ok().and_then(|Path(name)| Report::named(&name)) else {
        let names = Report::ALL.map(Report::name).join(", ");
        return Err(Error::not_found(format!("no such report; the reports are: {names}")).into());
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
    let held = held(&app, key.tenant, permit)?;
    app.rows.respond(held, report.name(), ReportOf { tenant: key.tenant, report, filter }, format).await
}

/// The change requests of the caller's tenant, oldest first, filtered by `user` (a userName or an id) and `since` (by
/// default a week ago). With `refused=true` the refused requests, with `operators=true` the operators' commands.
///
/// # Errors
/// As [`report`].
pub async fn activity(
    Activity { key, permit, .. }: Activity,
    State(app): State<Shared>,
    query: Query,
    headers: HeaderMap,
) -> HandlerResult {
    let query = query.known(&["user", "since", "format", "refused", "operators"])?;
    let now = app.clock.now();
    let since = match query.get("since")? {
        None => now - RECENT,
        Some(text) => {
            since(text, now).map_err(|must| Error::invalid_value(format!("the parameter since {must}")))?
        }
    };
    let format = rows::format(&query, &headers)?;
    if let Some(kind) = audited(&query)? {
        let (tenant, tenant_name) = (key.tenant, key.tenant_name.clone());
        let what = AuditOf { tenant, tenant_name, kind, since };
        let held = held(&app, key.tenant, permit)?;
        return app.rows.respond(held, "audit", what, format).await;
    }
    let resources = match query.get("user")? {
        None => None,
        Some(user) => Some(about(&app, key.tenant, user).await?),
    };
    let what = ActivityOf { tenant: key.tenant, resources, since };
    let held = held(&app, key.tenant, permit)?;
    app.rows.respond(held, "activity", what, format).await
}

/// The permits of a response, which holds some pages in memory while its client does not read.
fn held(app: &Shared, tenant: Uuid, permit: Permit) -> Result<Held, Error> {
    Ok(Held::default().and(permit).and(app.admission.admit_answer(tenant, rows::HELD_BYTES)?))
}

/// The requested part of the audit trail: `refused=true` or `operators=true`.
fn audited(query: &Query) -> Result<Option<Kind>, Error> {
    let is_set = |name| match query.get(name)? {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Error::invalid_value(format!("the parameter {name} must be true or false"))),
    };
    match (is_set("refused")?, is_set("operators")?, query.get("user")?) {
        (false, false, _) => Ok(None),
        (true, false, None) => Ok(Some(Kind::Refusals)),
        (false, true, None) => Ok(Some(Kind::OperatorActions)),
        _ => Err(Error::invalid_value("only one of the parameters user, refused and operators can be used")),
    }
}

async fn about(app: &Shared, tenant: Uuid, user: &str) -> Result<Vec<Uuid>, Refusal> {
    let known = app.pool.bounded(async |connection| activity::about(connection, tenant, user).await).await;
    let known = known.map_err(|error| Refusal::unread(&error))?;
    if known.is_empty() {
        return Err(Error::not_found(
            "no such user, and the activity log has no changes of a user with this name",
        )
        .into());
    }
    Ok(known)
}
