//! Selects the rows of reports, of the unlinked accounts and of the activity log, and reads them page by page.

use database::activity::{self, ActivityOf};
use database::audit::{AuditOf, Kind};
use database::reports::{Paged, ReportOf, ReportRow, goes_on};
use database::tenants::Tenant;
use domain::report::{Filter, Report, since};
use uuid::Uuid;

use crate::{Error, Operator};

/// A report over the tenant of this name; without a name, over the only tenant.
///
/// # Errors
/// [`Error::Argument`] if the report does not support the filter; those of [`Operator::tenant_or_only`].
pub async fn report(
    operator: &Operator,
    tenant: Option<&str>,
    report: Report,
    filter: Filter,
) -> Result<ReportOf, Error> {
    filter.check(report).map_err(unsupported)?;
    let tenant = operator.tenant_or_only(tenant).await?.id;
    Ok(ReportOf { tenant, report, filter })
}

/// The complaint of a filter begins with the filter's name.
fn unsupported(complaint: String) -> Error {
    let names = ["location", "business_unit", "status"];
    let named =
        names.into_iter().find_map(|name| Some((name, complaint.strip_prefix(name)?.strip_prefix(' ')?)));
    match named {
        Some((name, problem)) => Error::Argument { name, problem: problem.to_owned() },
        None => Error::Invalid(complaint),
    }
}

/// The active accounts that are not linked to an identity provider: a bulk deactivation there would miss them.
#[must_use]
pub fn unlinked(tenant: &Tenant) -> ReportOf {
    ReportOf { tenant: tenant.id, report: Report::Unlinked, filter: Filter::default() }
}

/// The activity log since a time, which is given as in [`since`]. With a userName or an id, only changes to that user.
///
/// # Errors
/// [`Error::Refused`] if there was no such user, [`Error::Argument`] if the time is invalid.
pub async fn activity(
    operator: &Operator,
    tenant: &Tenant,
    user: Option<&str>,
    start: &str,
) -> Result<ActivityOf, Error> {
    let resources = match user {
        None => None,
        Some(user) => Some(about(operator, tenant, user).await?),
    };
    let since =
        since(start, operator.clock.now()).map_err(|problem| Error::Argument { name: "since", problem })?;
    Ok(ActivityOf { tenant: tenant.id, resources, since })
}

/// A part of the audit trail since a time, which is given as in [`since`].
///
/// # Errors
/// [`Error::Argument`] if the time is invalid.
pub fn audit(
    operator: &Operator,
    tenant: Uuid,
    tenant_name: String,
    kind: Kind,
    start: &str,
) -> Result<AuditOf, Error> {
    let since =
        since(start, operator.clock.now()).map_err(|problem| Error::Argument { name: "since", problem })?;
    Ok(AuditOf { tenant, tenant_name, kind, since })
}

/// The ids of the tenant's users that have, had, or were to have this userName.
async fn about(operator: &Operator, tenant: &Tenant, user: &str) -> Result<Vec<Uuid>, Error> {
    let mut connection = operator.pool.get().await?;
    let known = activity::about(&mut connection, tenant.id, user).await?;
    if known.is_empty() {
        return Err(Error::Refused(format!(
            "{} has no such user, and the log has no change of a user with this name (requests that ingest rejects before queueing, \
             such as one without a required attribute, are not logged)",
            tenant.name
        )));
    }
    Ok(known)
}

/// Passes the pages to `each` one by one, until the last page or until `each` returns `false`.
///
/// # Errors
/// Those of the database.
pub async fn pages(
    operator: &Operator,
    what: &impl Paged,
    mut each: impl FnMut(&[ReportRow]) -> bool,
) -> Result<(), Error> {
    let mut after = None;
    loop {
        let mut connection = operator.pool.get().await?;
        let page = what.page(&mut connection, after.as_deref()).await?;
        drop(connection);
        after = goes_on(&page).map(str::to_owned);
        if !each(&page) || after.is_none() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsupported_filter_is_named() {
        let filter = Filter { business_unit: Some(String::new()), ..Filter::default() };
        let complaint = filter.check(Report::Learners).unwrap_err();
        let said = unsupported(complaint.clone());
        assert!(matches!(said, Error::Argument { name: "business_unit", .. }), "{said:?}");
        assert_eq!(said.to_string(), complaint);
    }
}
