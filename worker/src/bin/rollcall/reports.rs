//! `rollcall report`, `rollcall unlinked` and `rollcall activity`: rows without end, written a page at a time.

use std::io::{BufWriter, ErrorKind, IsTerminal, Write};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};
use shared::postgres::Pool;
use shared::postgres::activity::{self, ActivityOf};
use shared::postgres::reports::{Paged, ReportOf, Row, goes_on};
use shared::postgres::tenants::Tenant;
use shared::report::{Filter, Format, Report, since};
use uuid::Uuid;

use crate::context::{Context, Failure};
use crate::output;

/// The arguments of `rollcall report`.
#[derive(Args)]
pub struct Arguments {
    /// learners, assignments, locations, business_units or unlinked.
    #[arg(value_parser = named)]
    name: Report,
    /// The tenant's name; may be left out where there is only one.
    #[arg(long)]
    tenant: Option<String>,
    /// Of this location alone.
    #[arg(long)]
    location: Option<String>,
    /// Of this business unit alone.
    #[arg(long)]
    business_unit: Option<String>,
    /// Assignments with this status alone: Completed, Incomplete, Overdue or "Grade Pending".
    #[arg(long)]
    status: Option<String>,
    /// How the rows are written; --json is the same as --format json.
    #[arg(long, value_enum)]
    format: Option<Written>,
}

/// The arguments of `rollcall unlinked`.
#[derive(Args)]
pub struct Unlinked {
    /// The tenant's name.
    tenant: String,
}

/// The arguments of `rollcall activity`.
#[derive(Args)]
pub struct Activity {
    /// The tenant's name.
    tenant: String,
    /// About this user alone: the userName, in any case, also of one whose creation was refused; or the SCIM id.
    #[arg(long)]
    user: Option<String>,
    /// From then on: 2026-01-31T06:00:00Z, 2026-01-31 (midnight UTC), or how long ago (30m, 12h, 7d). The log is kept 30 days.
    #[arg(long, default_value = "7d")]
    since: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Written {
    Csv,
    Json,
}

fn named(name: &str) -> Result<Report, String> {
    let names = || Report::ALL.map(Report::name).join(", ");
    Report::named(name).ok_or_else(|| format!("there is no such report; there is: {}", names()))
}

/// Writes a report.
pub async fn report(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let Arguments { name: report, tenant, location, business_unit, status, format } = arguments;
    let filter = Filter { location, business_unit, status };
    filter.check(report).map_err(|complaint| {
        Failure::Usage(format!("--{}", complaint.replace("business_unit ", "business-unit ")))
    })?;
    let tenant = context.tenant_or_only(tenant.as_deref()).await?.id;
    let format = match format {
        Some(Written::Json) => Format::Json,
        None if context.json => Format::Json,
        Some(Written::Csv) | None => Format::Csv,
    };
    write(&context.pool, &ReportOf { tenant, report, filter }, format).await
}

/// Lists the accounts that a bulk deactivation would miss.
pub async fn unlinked(context: &Context, arguments: Unlinked) -> Result<(), Failure> {
    let tenant = context.tenant(&arguments.tenant).await?.id;
    let what = ReportOf { tenant, report: Report::Unlinked, filter: Filter::default() };
    if context.json {
        return write(&context.pool, &what, Format::Json).await;
    }
    let columns = ["userName", "role", "createdAt", "reason", "id"];
    let count =
        table(&context.pool, &what, &columns, "every active account is linked to an identity provider")
            .await?;
    if count > 0 {
        output::line(&format!(
            "\n{count} active accounts that no identity provider is known to own: deactivating these people there may change \
             nothing here.\n\
             Assign each to the app in the identity provider under the same userName, so that it finds the account and changes it, \
             or give them their externalId with rollcall link."
        ));
    }
    Ok(())
}

/// Shows the activity log.
pub async fn activity(context: &Context, arguments: Activity) -> Result<(), Failure> {
    let tenant = context.tenant(&arguments.tenant).await?;
    let resources = match arguments.user {
        None => None,
        Some(user) => Some(about(context, &tenant, &user).await?),
    };
    let since = since(&arguments.since, context.clock.now())
        .map_err(|must| Failure::Usage(format!("--since {must}")))?;
    let what = ActivityOf { tenant: tenant.id, resources, since };
    if context.json {
        return write(&context.pool, &what, Format::Json).await;
    }
    let columns =
        ["at", "actor", "change", "attributes", "outcome", "status", "reason", "ignored", "resource"];
    table(&context.pool, &what, &columns, "nothing was asked for since then").await.map(drop)
}

/// What is known of the tenant's user who is, or was to be, called so.
async fn about(context: &Context, tenant: &Tenant, user: &str) -> Result<Vec<Uuid>, Failure> {
    let mut connection = context.pool.get().await?;
    let known = activity::about(&mut connection, tenant.id, user).await?;
    if known.is_empty() {
        return Err(Failure::Refused(format!(
            "{} has no such user, and no change in the log was about one of this name (what is refused at the door, such as \
             a missing attribute, is not in it)",
            tenant.name
        )));
    }
    Ok(known)
}

/// Writes all rows to the standard output; whoever reads them may stop, as `head` does. Where they are many it tells on the
/// standard error how far it is.
async fn write(pool: &Pool, what: &impl Paged, format: Format) -> Result<(), Failure> {
    let columns = what.columns();
    let mut out = BufWriter::new(std::io::stdout().lock());
    let (mut written, mut is_told) = (0, false);
    let mut state = out.write_all(format.begin(columns).as_bytes());
    each_page(pool, what, |page| {
        for row in page {
            if state.is_ok() {
                state = out.write_all(format.row(columns, written, &row.object).as_bytes());
            }
            written += 1;
        }
        if goes_on(page).is_some() && std::io::stderr().is_terminal() {
            eprint!("\r{written} rows");
            is_told = true;
        }
        state.is_ok()
    })
    .await?;
    if is_told {
        eprintln!("\r{written} rows");
    }
    match state.and_then(|()| out.write_all(format.end().as_bytes())).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Refused(format!("the rows cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Shows all rows as a table with these columns; returns how many they are.
async fn table(pool: &Pool, what: &impl Paged, columns: &[&str], empty: &str) -> Result<usize, Failure> {
    let mut rows = Vec::new();
    each_page(pool, what, |page| {
        rows.extend(page.iter().map(|row| cells(columns, &row.object)));
        true
    })
    .await?;
    let count = rows.len();
    output::table(columns, rows, empty);
    Ok(count)
}

/// Hands out one page after the other, until the last one, or until `deal` wants no more.
async fn each_page(
    pool: &Pool,
    what: &impl Paged,
    mut deal: impl FnMut(&[Row]) -> bool,
) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let mut connection = pool.get().await?;
        let page = what.page(&mut connection, after.as_deref()).await?;
        drop(connection);
        after = goes_on(&page).map(str::to_owned);
        if !deal(&page) || after.is_none() {
            return Ok(());
        }
    }
}

fn cells(columns: &[&str], row: &str) -> Vec<String> {
    let row: Map<String, Value> = serde_json::from_str(row).unwrap_or_default();
    let cell = |name: &&str| match row.get(*name) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    columns.iter().map(cell).collect()
}
