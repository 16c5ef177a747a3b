//! `rollcall report`, `rollcall unlinked` and `rollcall activity`. Rows are read and written page by page.

use std::borrow::Cow;
use std::io::{BufWriter, ErrorKind, IsTerminal, Write};

use clap::{Args, ValueEnum};
use database::audit::Kind;
use database::reports::{Paged, goes_on};
use domain::report::{Filter, Format, Report};
use operations::reports::pages;
use operations::{Operator, reports};
use platform::visible;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::context::{CliContext, Failure};
use crate::output;

/// The arguments of `rollcall report`.
#[derive(Args)]
pub struct Arguments {
    /// One of: learners, assignments, locations, business_units, unlinked.
    #[arg(value_parser = named)]
    name: Report,
    /// The tenant's name. Optional if there is only one tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Only this location.
    #[arg(long)]
    location: Option<String>,
    /// Only this business unit.
    #[arg(long)]
    business_unit: Option<String>,
    /// Only assignments with this status: Completed, Incomplete, Overdue or "Grade Pending".
    #[arg(long)]
    status: Option<String>,
    /// The output format. --json is the same as --format json.
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
    /// Only changes to this user: the userName (case-insensitive; also of a rejected create) or the SCIM id.
    #[arg(long)]
    user: Option<String>,
    /// The start: 2026-01-31T06:00:00Z, 2026-01-31 (midnight UTC), or an age (30m, 12h, 7d). The log is kept for 30
    /// days.
    #[arg(long, default_value = "7d")]
    since: String,
    /// Show requests that were refused before they were queued, summed per minute: of keys that are expired, revoked
    /// or lack a scope, with an invalid body, or beyond a limit.
    #[arg(long, conflicts_with_all = ["user", "operators"])]
    refused: bool,
    /// Show the commands of operators that changed something.
    #[arg(long, conflicts_with = "user")]
    operators: bool,
    /// The output format, instead of a table. --json is the same as --format json.
    #[arg(long, value_enum)]
    format: Option<Written>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Written {
    Csv,
    Json,
    /// One JSON object a line.
    Jsonl,
}

impl From<Written> for Format {
    fn from(written: Written) -> Self {
        match written {
            Written::Csv => Self::Csv,
            Written::Json => Self::Json,
            Written::Jsonl => Self::JsonLines,
        }
    }
}

fn named(name: &str) -> Result<Report, String> {
    let names = || Report::ALL.map(Report::name).join(", ");
    Report::named(name).ok_or_else(|| format!("unknown report; must be one of: {}", names()))
}

/// Writes a report.
pub async fn report(context: &CliContext, arguments: Arguments) -> Result<(), Failure> {
    let Arguments { name, tenant, location, business_unit, status, format } = arguments;
    let filter = Filter { location, business_unit, status };
    let what = reports::report(&context.operator, tenant.as_deref(), name, filter).await?;
    let default = if context.json { Format::Json } else { Format::Csv };
    write(&context.operator, &what, format.map_or(default, Format::from)).await
}

/// Lists active accounts that are not linked to an identity provider: a bulk deactivation there would miss them.
pub async fn unlinked(context: &CliContext, arguments: Unlinked) -> Result<(), Failure> {
    let what = reports::unlinked(&context.operator.tenant(&arguments.tenant).await?);
    if context.json {
        return write(&context.operator, &what, Format::Json).await;
    }
    let columns = ["userName", "role", "createdAt", "reason", "id"];
    let empty = "every active account is linked to an identity provider";
    let count = table(&context.operator, &what, &columns, empty).await?;
    if count > 0 {
        say!(
            "\n{count} active accounts are not linked to an identity provider. Deactivating these users there may not deactivate them \
             here.\n\
             To link an account, assign the user to the app in the identity provider under the same userName, or set the externalId with \
             rollcall link."
        );
    }
    Ok(())
}

/// Shows the activity log, or a part of the audit trail.
pub async fn activity(context: &CliContext, arguments: Activity) -> Result<(), Failure> {
    let Activity { tenant, user, since, refused, operators, format } = arguments;
    let operator = &context.operator;
    let format = format.map(Format::from).or(context.json.then_some(Format::Json));
    if refused {
        let tenant = operator.tenant(&tenant).await?;
        let what = reports::audit(operator, tenant.id, tenant.name, Kind::Refusals, &since)?;
        let columns = ["minute", "key", "address", "method", "route", "status", "count", "detail"];
        return show(operator, &what, format, &columns, "no request was refused since then").await;
    }
    if operators {
        // A tenant that was removed still has a trail.
        let what = reports::audit(operator, Uuid::nil(), tenant, Kind::OperatorActions, &since)?;
        let columns = ["at", "action", "target", "state", "reason", "user", "host"];
        return show(operator, &what, format, &columns, "no command changed anything since then").await;
    }
    let tenant = operator.tenant(&tenant).await?;
    let what = reports::activity(operator, &tenant, user.as_deref(), &since).await?;
    let columns =
        ["at", "actor", "change", "attributes", "outcome", "status", "reason", "ignored", "resource"];
    show(operator, &what, format, &columns, "no changes were requested since then").await
}

/// Writes all rows in a format, or as a table.
async fn show(
    operator: &Operator,
    what: &impl Paged,
    format: Option<Format>,
    columns: &[&str],
    empty: &str,
) -> Result<(), Failure> {
    match format {
        Some(format) => write(operator, what, format).await,
        None => table(operator, what, columns, empty).await.map(drop),
    }
}

/// Writes all rows to the standard output. A closed pipe (`head`) is not an error. Progress of long outputs goes to the
/// standard error.
async fn write(operator: &Operator, what: &impl Paged, format: Format) -> Result<(), Failure> {
    let columns = what.columns();
    let is_shown = std::io::stdout().is_terminal();
    let mut out = BufWriter::new(std::io::stdout().lock());
    let (mut written, mut is_announced) = (0, false);
    let mut state = out.write_all(format.begin(columns).as_bytes());
    pages(operator, what, |page| {
        for row in page {
            if state.is_ok() {
                let row = format.row(columns, written, &row.object);
                let row = if is_shown { visible_row(format, &row) } else { row.into() };
                state = out.write_all(row.as_bytes());
            }
            written += 1;
        }
        if goes_on(page).is_some() && std::io::stderr().is_terminal() {
            eprint!("\r{written} rows");
            is_announced = true;
        }
        state.is_ok()
    })
    .await?;
    if is_announced {
        eprintln!("\r{written} rows");
    }
    match state.and_then(|()| out.write_all(format.end().as_bytes())).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::refused(format!("cannot write the rows: {error}")))
        }
        _ => Ok(()),
    }
}

/// A row as a terminal shows it: hidden characters are escapes.
fn visible_row(format: Format, row: &str) -> Cow<'_, str> {
    match (format, row.strip_suffix("\r\n")) {
        (Format::Csv, Some(row)) => format!("{}\r\n", visible::line(row)).into(),
        (Format::Csv, None) => visible::line(row),
        (Format::Json | Format::JsonLines, _) => visible::json(row),
    }
}

/// Prints all rows as a table with these columns and returns their number.
async fn table(
    operator: &Operator,
    what: &impl Paged,
    columns: &[&str],
    empty: &str,
) -> Result<usize, Failure> {
    let mut rows = Vec::new();
    pages(operator, what, |page| {
        rows.extend(page.iter().map(|row| cells(columns, &row.object)));
        true
    })
    .await?;
    let count = rows.len();
    output::table(columns, rows, empty);
    Ok(count)
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
