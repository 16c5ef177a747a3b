//! `rollcall schema`: the extension schemas that a tenant registers (RFC 7643 §7).
//!
//! Before it: a file with one schema. After it: the table `schemas`, from which ingest and the workers make the tenant's
//! resource types anew all the time. A command that changes it returns when the change is in force.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::{Args, Subcommand, ValueEnum};
use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};
use shared::postgres::Connection;
use shared::postgres::schema::{groups, schemas, users};
use shared::postgres::tenants::{MAX_AGE, Tenant};
use shared::scim::schema::Schema;
use shared::scim::{self, Types};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use worker::backfill;
use worker::store::locks;

use crate::context::{Context, Failure};
use crate::output;

/// The commands of `rollcall schema`.
#[derive(Subcommand)]
pub enum Command {
    /// Registers an extension schema, or puts a newer definition in the place of a registered one. Returns when it is in
    /// force: a request that begins then is read by it. (An ingest that cannot reach PostgreSQL goes on with the schemas that
    /// it knew, for at most ten minutes.)
    #[command(allow_missing_positional = true)]
    Add(New),
    /// Lists the schemas that a tenant registered.
    List {
        /// The tenant's name; may be left out where there is only one.
        tenant: Option<String>,
    },
    /// Shows a registered schema, in the form that `add` takes.
    #[command(allow_missing_positional = true)]
    Show(Registered),
    /// Takes a schema back; returns when that is in force, as `add` does. The values that users and groups have under it stay stored, and are shown again when it is
    /// added again, in a definition that they fit.
    #[command(allow_missing_positional = true)]
    Remove(Registered),
}

/// A schema to be registered.
#[derive(Args)]
pub struct New {
    /// The tenant's name; may be left out where there is only one.
    #[arg(value_name = "TENANT", conflicts_with = "named")]
    tenant: Option<String>,
    /// A JSON file with one schema in the form of RFC 7643 §7.
    #[arg(required = true)]
    file: PathBuf,
    /// The tenant's name, too.
    #[arg(long = "tenant", value_name = "NAME")]
    named: Option<String>,
    /// What the schema extends.
    #[arg(long, ignore_case = true, default_value = "User")]
    resource_type: Extended,
}

/// A schema that is registered.
#[derive(Args)]
pub struct Registered {
    /// The tenant's name; may be left out where there is only one.
    tenant: Option<String>,
    /// The schema's URN, in any case.
    #[arg(required = true)]
    urn: String,
}

/// What a schema extends.
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
struct Row {
    id: String,
    resource_type: String,
    definition: Value,
    created_at: OffsetDateTime,
    removed_at: Option<OffsetDateTime>,
}

/// Runs it.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Add(new) => add(context, &new).await,
        Command::List { tenant } => list(context, tenant.as_deref()).await,
        Command::Show(which) => show(context, &which).await,
        Command::Remove(which) => remove(context, &which).await,
    }
}

async fn add(context: &Context, new: &New) -> Result<(), Failure> {
    let tenant = context.tenant_or_only(new.tenant.as_deref().or(new.named.as_deref())).await?;
    let schema = read(&new.file)?;
    let extended = new.resource_type.as_str();
    let now = context.clock.now();
    let mut connection = context.pool.get().await?;
    let work = async |connection: &mut Connection| keep(connection, &tenant, extended, &schema, now).await;
    let replaced = connection.transaction(work).await?;
    drop(connection);
    in_force(context).await?;
    if context.json {
        output::json(&json!({
            "tenant": tenant.name, "id": schema.id, "resource_type": extended, "replaced": replaced,
        }));
    } else {
        let what = if replaced { "has a new definition" } else { "is registered" };
        println!("schema {} {what} for the {extended}s of {}", schema.id, tenant.name);
    }
    Ok(())
}

/// Waits until a change that was committed just now is in force. A worker folds each batch by the schemas that it reads then, and every
/// ingest has read them anew by the end of the wait: a request that begins after it is parsed by them.
async fn in_force(context: &Context) -> Result<(), Failure> {
    let until = Instant::now() + MAX_AGE;
    catch_up(context).await?;
    sleep_until(until).await;
    Ok(())
}

/// What is stored under the schema is filtered by from now on, or no more.
async fn catch_up(context: &Context) -> Result<(), Failure> {
    const STEP: usize = 10_000;
    let told = AtomicUsize::new(0);
    let progress = |rows: usize| {
        if told.fetch_max(rows / STEP, Ordering::Relaxed) < rows / STEP {
            eprintln!("{rows} users and groups are ready for filters");
        }
    };
    backfill::all(&context.pool, &CancellationToken::new(), progress).await?;
    Ok(())
}

fn read(file: &Path) -> Result<Schema, Failure> {
    let shown = file.display();
    let bytes = std::fs::read(file).map_err(|e| Failure::Usage(format!("{shown} cannot be read: {e}")))?;
    let definition = scim::parse_json(&bytes).and_then(|definition| Schema::parse(&definition));
    definition.map_err(|error| Failure::Refused(format!("{shown}: {}", error.detail)))
}

/// Writes the row; whether there was one.
async fn keep(
    connection: &mut AsyncPgConnection,
    tenant: &Tenant,
    extended: &str,
    schema: &Schema,
    now: OffsetDateTime,
) -> Result<bool, Failure> {
    // One at a time, and while no worker folds the tenant's resources.
    locks::hold_alone(connection, tenant.id).await?;
    let mut others = every(connection, tenant).await?;
    let place = others.iter().position(|row| row.id.eq_ignore_ascii_case(&schema.id));
    let old = place.map(|place| others.remove(place));
    let replaces = old.as_ref().is_some_and(|old| old.removed_at.is_none());
    let old = match old {
        Some(old) if !is_used(connection, tenant, &old.id).await? => {
            // No value has to fit the new one.
            diesel::delete(schemas::table.find((tenant.id, old.id))).execute(connection).await?;
            None
        }
        old => old,
    };
    others.retain(|row| row.removed_at.is_none());
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

/// Marks what has values under the schema as to be made ready for filters anew.
async fn mark(connection: &mut AsyncPgConnection, tenant: &Tenant, urn: &str) -> Result<(), Failure> {
    macro_rules! mark {
        ($table:ident) => {
            let own = $table::table.filter($table::tenant_id.eq(tenant.id));
            let having = own.filter($table::resource.has_key(urn));
            diesel::update(having).set($table::folded_version.eq(0)).execute(connection).await?;
        };
    }
    mark!(users);
    mark!(groups);
    Ok(())
}

/// Whether it can stand beside the others, and in the place of the old one.
fn check(schema: &Schema, extended: &str, old: Option<&Row>, others: &[Row]) -> Result<(), Failure> {
    let refused = |error: scim::Error| Failure::Refused(format!("{}: {}", schema.id, error.detail));
    if let Some(old) = old {
        if old.resource_type != extended {
            return Err(Failure::Refused(format!(
                "{} is registered for {}s, and a schema extends one resource type",
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

/// The tenant's schema of this URN, whatever its case.
async fn find(
    connection: &mut AsyncPgConnection,
    tenant: &Tenant,
    urn: &str,
) -> Result<Option<Row>, Failure> {
    Ok(all(connection, tenant).await?.into_iter().find(|row| row.id.eq_ignore_ascii_case(urn)))
}

/// Those that are in force, in the order in which they were registered.
async fn all(connection: &mut AsyncPgConnection, tenant: &Tenant) -> Result<Vec<Row>, Failure> {
    let mut rows = every(connection, tenant).await?;
    rows.retain(|row| row.removed_at.is_none());
    Ok(rows)
}

/// The same with those that were taken back.
async fn every(connection: &mut AsyncPgConnection, tenant: &Tenant) -> Result<Vec<Row>, Failure> {
    let own = schemas::table.filter(schemas::tenant_id.eq(tenant.id)).select(Row::as_select());
    Ok(own.order((schemas::created_at, schemas::id)).load(connection).await?)
}

async fn list(context: &Context, tenant: Option<&str>) -> Result<(), Failure> {
    let tenant = context.tenant_or_only(tenant).await?;
    let rows = all(&mut *context.pool.get().await?, &tenant).await?;
    if context.json {
        let object = |row: &Row| {
            json!({
                "id": row.id, "resource_type": row.resource_type, "attributes": attributes(row),
                "created_at": output::rfc3339(Some(row.created_at)),
            })
        };
        output::json(&Value::Array(rows.iter().map(object).collect()));
        return Ok(());
    }
    let line = |row: &Row| {
        let names = attributes(row).join(", ");
        vec![row.id.clone(), row.resource_type.clone(), output::moment(Some(row.created_at)), names]
    };
    let empty = format!("{0} has registered no schemas: rollcall schema add {0} FILE", tenant.name);
    output::table(&["urn", "extends", "added (UTC)", "attributes"], rows.iter().map(line).collect(), &empty);
    Ok(())
}

fn attributes(row: &Row) -> Vec<&str> {
    let all = row.definition["attributes"].as_array().into_iter().flatten();
    all.filter_map(|attribute| attribute["name"].as_str()).collect()
}

async fn show(context: &Context, which: &Registered) -> Result<(), Failure> {
    let tenant = context.tenant_or_only(which.tenant.as_deref()).await?;
    let row = find(&mut *context.pool.get().await?, &tenant, &which.urn).await?;
    output::json(&row.ok_or_else(|| unknown(&tenant))?.definition);
    Ok(())
}

async fn remove(context: &Context, which: &Registered) -> Result<(), Failure> {
    let tenant = context.tenant_or_only(which.tenant.as_deref()).await?;
    let mut connection = context.pool.get().await?;
    let now = context.clock.now();
    let work = async |connection: &mut Connection| {
        locks::hold_alone(connection, tenant.id).await?;
        let row = find(connection, &tenant, &which.urn).await?.ok_or_else(|| unknown(&tenant))?;
        let own = schemas::table.find((tenant.id, &row.id));
        diesel::update(own).set(schemas::removed_at.eq(Some(now))).execute(connection).await?;
        mark(connection, &tenant, &row.id).await?;
        Ok::<Row, Failure>(row)
    };
    let row = connection.transaction(work).await?;
    drop(connection);
    in_force(context).await?;
    if context.json {
        output::json(&json!({ "tenant": tenant.name, "id": row.id, "removed": true }));
    } else {
        println!("schema {} of {} is removed", row.id, tenant.name);
        println!("The values under it stay stored and are shown no more; adding it again brings them back.");
    }
    Ok(())
}

fn unknown(tenant: &Tenant) -> Failure {
    Failure::Refused(format!(
        "{0} has no such schema: rollcall schema list {0} shows its schemas",
        tenant.name
    ))
}
