//! `rollcall schema`: the extension schemas that a tenant registers (RFC 7643 §7).
//!
//! The schemas are stored in the table `schemas`, which ingest and the workers reread continuously. A command that
//! changes it returns once the change is in force.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::{Args, Subcommand, ValueEnum};
use database::Connection;
use database::schema::{groups, schemas, users};
use database::tenants::{MAX_AGE, Tenant};
use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use scim::schema::Schema;
use scim::{self, Types};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use worker::backfill;
use worker::store::locks;

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

/// A row of the table.
#[derive(Queryable, Selectable)]
#[diesel(table_name = schemas)]
struct SchemaRow {
    id: String,
    resource_type: String,
    definition: Value,
    created_at: OffsetDateTime,
    removed_at: Option<OffsetDateTime>,
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
    let now = context.operator.clock.now();
    let mut connection = context.operator.pool.get().await?;
    let work = async |connection: &mut Connection| keep(connection, &tenant, extended, &schema, now).await;
    let replaced = connection.transaction(work).await?;
    drop(connection);
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

/// Stores the schema. Returns whether it replaced a registered one.
async fn keep(
    connection: &mut AsyncPgConnection,
    tenant: &Tenant,
    extended: &str,
    schema: &Schema,
    now: OffsetDateTime,
) -> Result<bool, Failure> {
    // Serialized with other changes, and while no worker folds the tenant's resources.
    locks::hold_alone(connection, tenant.id).await?;
    let mut others = every(connection, tenant).await?;
    let place = others.iter().position(|row| row.id.eq_ignore_ascii_case(&schema.id));
    let old = place.map(|place| others.remove(place));
    let replaces = old.as_ref().is_some_and(|old| old.removed_at.is_none());
    let old = match old {
        Some(old) if !is_used(connection, tenant, &old.id).await? => {
            // No stored value has to match the new definition.
            diesel::delete(schemas::table.find((tenant.id, old.id))).execute(connection).await?;
            None
        }
        old => old,
    };
    others.retain(|row| row.removed_at.is_none());
    let limits = &tenant.settings.limits;
    if others.len() >= usize::try_from(limits.schemas_max.get()).unwrap_or(usize::MAX) {
        return Err(Failure::refused(format!("{}: remove a schema first", limits.schemas_max())));
    }
    check(schema, extended, old.as_ref(), &others)?;
    let definition = schema.definition();
    if let Some(old) = old {
        if old.removed_at.is_some() {
            mark(connection, tenant, &schema.id).await?;
        }
        let change = (schemas::definition.eq(definition), schemas::removed_at.eq(None::<OffsetDateTime>));
        diesel::update(schemas::table.find((tenant.id, old.id))).set(change).execute(connection).await?;
        return Ok(replaces);
    }
    let row = (
        schemas::tenant_id.eq(tenant.id),
        schemas::id.eq(&*schema.id),
        schemas::resource_type.eq(extended),
        schemas::definition.eq(definition),
        schemas::created_at.eq(now),
    );
    diesel::insert_into(schemas::table).values(row).execute(connection).await?;
    Ok(replaces)
}

/// Whether a user or a group has values under the schema.
async fn is_used(connection: &mut AsyncPgConnection, tenant: &Tenant, urn: &str) -> Result<bool, Failure> {
    let by_user = users::table.filter(users::tenant_id.eq(tenant.id)).filter(users::resource.has_key(urn));
    let by_group =
        groups::table.filter(groups::tenant_id.eq(tenant.id)).filter(groups::resource.has_key(urn));
    let used = diesel::select(diesel::dsl::exists(by_user).or(diesel::dsl::exists(by_group)));
    Ok(used.get_result(connection).await?)
}

/// Marks the search documents of resources with values under the schema as out of date.
async fn mark(connection: &mut AsyncPgConnection, tenant: &Tenant, urn: &str) -> Result<(), Failure> {
    macro_rules! mark {
        ($table:ident) => {
            let own = $table::table.filter($table::tenant_id.eq(tenant.id));
            let having = own.filter($table::resource.has_key(urn));
            diesel::update(having).set($table::search_version.eq(0)).execute(connection).await?;
        };
    }
    mark!(users);
    mark!(groups);
    Ok(())
}

/// Checks that the schema is compatible with the other schemas and with the definition that it replaces.
fn check(
    schema: &Schema,
    extended: &str,
    old: Option<&SchemaRow>,
    others: &[SchemaRow],
) -> Result<(), Failure> {
    let refused = |error: scim::Error| Failure::refused(format!("{}: {}", schema.id, error.detail));
    if let Some(old) = old {
        if old.resource_type != extended {
            return Err(Failure::refused(format!(
                "{} is registered for {}s; a schema extends one resource type only",
                schema.id, old.resource_type
            )));
        }
        schema.can_replace(&Schema::parse(&old.definition).map_err(refused)?).map_err(refused)?;
    }
    let mut together = vec![(extended, schema.clone())];
    for row in others {
        together.push((&row.resource_type, Schema::parse(&row.definition).map_err(refused)?));
    }
    Types::with(together).map_err(refused)?;
    Ok(())
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
    let mut rows = every(connection, tenant).await?;
    rows.retain(|row| row.removed_at.is_none());
    Ok(rows)
}

/// All schemas, including removed ones.
async fn every(connection: &mut AsyncPgConnection, tenant: &Tenant) -> Result<Vec<SchemaRow>, Failure> {
    let own = schemas::table.filter(schemas::tenant_id.eq(tenant.id)).select(SchemaRow::as_select());
    Ok(own.order((schemas::created_at, schemas::id)).load(connection).await?)
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
    output::json(&row.ok_or_else(|| unknown(&tenant))?.definition);
    Ok(())
}

async fn remove(context: &CliContext, which: &Registered) -> Result<(), Failure> {
    let tenant = context.operator.tenant_or_only(which.tenant.as_deref()).await?;
    let mut connection = context.operator.pool.get().await?;
    let now = context.operator.clock.now();
    let work = async |connection: &mut Connection| {
        locks::hold_alone(connection, tenant.id).await?;
        let row = find(connection, &tenant, &which.urn).await?.ok_or_else(|| unknown(&tenant))?;
        let own = schemas::table.find((tenant.id, &row.id));
        diesel::update(own).set(schemas::removed_at.eq(Some(now))).execute(connection).await?;
        mark(connection, &tenant, &row.id).await?;
        Ok::<SchemaRow, Failure>(row)
    };
    let row = connection.transaction(work).await?;
    drop(connection);
    in_force(context).await?;
    if context.json {
        output::json(&json!({ "tenant": tenant.name, "id": row.id, "removed": true }));
    } else {
        say!("schema {} of {} removed", row.id, tenant.name);
        say!("Values under it stay stored but are not shown. Adding the schema again restores them.");
    }
    Ok(())
}

fn unknown(tenant: &Tenant) -> Failure {
    Failure::refused(format!("{0} has no such schema; see `rollcall schema list {0}`", tenant.name))
}
