//! `rollcall schema`: the extension schemas that a tenant registers (RFC 7643 §7).
//!
//! The schemas are stored in the table `schemas`, which ingest and the workers reread continuously. A command that
//! changes it returns once the change is in force.

mod change;
mod rows;
mod steps;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::{Args, Subcommand, ValueEnum};
use database::tenants::{MAX_AGE, Tenant};
use diesel_async::AsyncPgConnection;
use scim::schema::Schema;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use worker::backfill;

use self::change::Change;
use self::rows::SchemaRow;
use crate::context::{CliContext, Failure};
use crate::output;

/// The commands of `rollcall schema`.
#[derive(Subcommand)]
pub enum Command {
    /// Register an extension schema, or replace its definition. Returns once the schema is in force: every request that
    /// begins afterwards is validated with it. (An ingest that cannot reach PostgreSQL keeps using its last known
    /// schemas for at most ten minutes.)
    #[command(allow_missing_positional = true)]
    Add(New),
    /// List the schemas of a tenant.
    List {
        /// The tenant's name. Optional if there is only one tenant.
        tenant: Option<String>,
    },
    /// Show a registered schema, in the form that `add` accepts.
    #[command(allow_missing_positional = true)]
    Show(Registered),
    /// Remove a schema. Returns once the removal is in force. Values of users and groups under it stay stored. They are
    /// shown again if the schema is added again with a compatible definition.
    #[command(allow_missing_positional = true)]
    Remove(Registered),
}

/// The arguments of `rollcall schema add`.
#[derive(Args)]
pub struct New {
    /// The tenant's name. Optional if there is only one tenant.
    #[arg(value_name = "TENANT", conflicts_with = "named")]
    tenant: Option<String>,
    /// A JSON file with one schema (RFC 7643 §7).
    #[arg(required = true)]
    file: PathBuf,
    /// The tenant's name, as an option.
    #[arg(long = "tenant", value_name = "NAME")]
    named: Option<String>,
    /// The resource type that the schema extends.
    #[arg(long, ignore_case = true, default_value = "User")]
    resource_type: Extended,
}

/// A registered schema.
#[derive(Args)]
pub struct Registered {
    /// The tenant's name. Optional if there is only one tenant.
    tenant: Option<String>,
    /// The schema's URN (case-insensitive).
    #[arg(required = true)]
    urn: String,
}

/// The resource type that a schema extends.
#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum Extended {
    /// Users.
    User,
    /// Groups.
    Group,
}

impl Extended {
    fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }
}

/// Runs the command.
pub async fn run(context: &CliContext, command: Command) -> Result<(), Failure> {
    match command {
        Command::Add(new) => add(context, &new).await,
        Command::List { tenant } => list(context, tenant.as_deref()).await,
        Command::Show(which) => show(context, &which).await,
        Command::Remove(which) => remove(context, &which).await,
    }
}

async fn add(context: &CliContext, new: &New) -> Result<(), Failure> {
    let tenant = context.operator.tenant_or_only(new.tenant.as_deref().or(new.named.as_deref())).await?;
    let schema = read(&new.file)?;
    let extended = new.resource_type.as_str();
    let change = Change { pool: &context.operator.pool, tenant: &tenant, now: context.operator.clock.now() };
    let replaced = change.add(extended, &schema).await?;
    in_force(context).await?;
    if context.json {
        output::json(&json!({
            "tenant": tenant.name, "id": schema.id, "resource_type": extended, "replaced": replaced,
        }));
    } else {
        let what = if replaced { "updated" } else { "registered" };
        say!("schema {} {what} for the {extended}s of {}", schema.id, tenant.name);
    }
    Ok(())
}

/// Waits until a committed change is in force. A worker reads the schemas for each batch, and every ingest rereads them
/// before the wait ends: a request that begins afterwards is parsed with them.
async fn in_force(context: &CliContext) -> Result<(), Failure> {
    let until = Instant::now() + MAX_AGE;
    catch_up(context).await?;
    sleep_until(until).await;
    Ok(())
}

/// Rewrites the search documents, so that filters see the values under the schema, or no longer see them.
async fn catch_up(context: &CliContext) -> Result<(), Failure> {
    const STEP: usize = 10_000;
    let reported = AtomicUsize::new(0);
    let progress = |rows: usize| {
        if reported.fetch_max(rows / STEP, Ordering::Relaxed) < rows / STEP {
            eprintln!("rewrote the search documents of {rows} users and groups");
        }
    };
    backfill::all(&context.operator.pool, &CancellationToken::new(), progress).await?;
    Ok(())
}

fn read(file: &Path) -> Result<Schema, Failure> {
    let shown = file.display();
    let bytes = std::fs::read(file).map_err(|e| Failure::usage(format!("{shown} cannot be read: {e}")))?;
    let definition = scim::parse_json(&bytes).and_then(|definition| Schema::parse(&definition));
    definition.map_err(|error| Failure::refused(format!("{shown}: {}", error.detail)))
}

/// The tenant's schema with this URN (case-insensitive).
async fn find(
    connection: &mut AsyncPgConnection,
    tenant: &Tenant,
    urn: &str,
) -> Result<Option<SchemaRow>, Failure> {
    Ok(all(connection, tenant).await?.into_iter().find(|row| row.id.eq_ignore_ascii_case(urn)))
}

/// The schemas in force, in the order of registration.
async fn all(connection: &mut AsyncPgConnection, tenant: &Tenant) -> Result<Vec<SchemaRow>, Failure> {
    let mut rows = change::every(connection, tenant).await?;
    rows.retain(|row| row.removed_at.is_none());
    Ok(rows)
}

async fn list(context: &CliContext, tenant: Option<&str>) -> Result<(), Failure> {
    let tenant = context.operator.tenant_or_only(tenant).await?;
    let rows = all(&mut *context.operator.pool.get().await?, &tenant).await?;
    if context.json {
        let object = |row: &SchemaRow| {
            json!({
                "id": row.id, "resource_type": row.resource_type, "attributes": attributes(row),
                "created_at": output::rfc3339(Some(row.created_at)),
            })
        };
        output::json(&Value::Array(rows.iter().map(object).collect()));
        return Ok(());
    }
    let line = |row: &SchemaRow| {
        let names = attributes(row).join(", ");
        vec![row.id.clone(), row.resource_type.clone(), output::moment(Some(row.created_at)), names]
    };
    let empty = format!("{0} has no schemas yet; add one with `rollcall schema add {0} FILE`", tenant.name);
    output::table(&["urn", "extends", "added (UTC)", "attributes"], rows.iter().map(line).collect(), &empty);
    Ok(())
}

fn attributes(row: &SchemaRow) -> Vec<&str> {
    let all = row.definition["attributes"].as_array().into_iter().flatten();
    all.filter_map(|attribute| attribute["name"].as_str()).collect()
}

async fn show(context: &CliContext, which: &Registered) -> Result<(), Failure> {
    let tenant = context.operator.tenant_or_only(which.tenant.as_deref()).await?;
    let row = find(&mut *context.operator.pool.get().await?, &tenant, &which.urn).await?;
    output::json(&row.ok_or_else(|| change::unknown(&tenant))?.definition);
    Ok(())
}

async fn remove(context: &CliContext, which: &Registered) -> Result<(), Failure> {
    let tenant = context.operator.tenant_or_only(which.tenant.as_deref()).await?;
    let change = Change { pool: &context.operator.pool, tenant: &tenant, now: context.operator.clock.now() };
    let row = change.remove(&which.urn).await?;
    in_force(context).await?;
    if context.json {
        output::json(&json!({ "tenant": tenant.name, "id": row.id, "removed": true }));
    } else {
        say!("schema {} of {} removed", row.id, tenant.name);
        say!("Values under it stay stored but are not shown. Adding the schema again restores them.");
    }
    Ok(())
}
