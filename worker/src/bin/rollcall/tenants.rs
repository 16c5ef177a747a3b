//! `rollcall tenant`.

use clap::Subcommand;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use diesel_async::{AsyncConnection, RunQueryDsl};
use serde_json::{Value, json};
use shared::postgres::Connection;
use shared::postgres::schema::{tenants, users};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::context::{Context, Failure};
use crate::{output, settings};

/// The commands of `rollcall tenant`.
#[derive(Subcommand)]
pub enum Command {
    /// Adds a company. Its name is its subdomain, and the user name that its admin types into Okta.
    Add {
        /// Lower-case letters, digits and hyphens, at most 63.
        name: String,
    },
    /// Lists the companies.
    List,
    /// Shows a company and its settings.
    Show {
        /// The tenant's name.
        name: String,
    },
    /// Changes settings; they are in force within a second.
    #[command(after_help = settings::help())]
    Set {
        /// The tenant's name.
        name: String,
        /// Settings and their values, as in unknown_members=skip.
        #[arg(required = true, value_name = "KEY=VALUE")]
        changes: Vec<String>,
    },
}

/// Runs it.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Add { name } => add(context, &name).await,
        Command::List => list(context).await,
        Command::Show { name } => show(context, &name).await,
        Command::Set { name, changes } => set(context, &name, &changes).await,
    }
}

async fn add(context: &Context, name: &str) -> Result<(), Failure> {
    if !is_subdomain(name) {
        return Err(Failure::Usage(
            "the tenant's name must be a subdomain: lower-case letters, digits and inner hyphens, at most 63"
                .to_owned(),
        ));
    }
    let (id, mut connection) = (shared::id::new(), context.pool.get().await?);
    let row = (tenants::id.eq(id), tenants::name.eq(name), tenants::created_at.eq(context.clock.now()));
    match diesel::insert_into(tenants::table).values(row).execute(&mut connection).await {
        Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {
            return Err(Failure::Refused(format!("there is a tenant {name} already")));
        }
        done => done?,
    };
    if context.json {
        output::json(&json!({ "id": id, "name": name }));
    } else {
        println!("tenant {name} added; its admin needs a key: rollcall key add {name}");
    }
    Ok(())
}

fn is_subdomain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !name.is_empty()
        && name.len() <= 63
        && name.chars().all(|c| plain(c) || c == '-')
        && name.starts_with(plain)
        && name.ends_with(plain)
}

async fn list(context: &Context) -> Result<(), Failure> {
    let mut connection = context.pool.get().await?;
    let all: Vec<(Uuid, String, OffsetDateTime)> = tenants::table
        .order(tenants::name)
        .select((tenants::id, tenants::name, tenants::created_at))
        .load(&mut connection)
        .await?;
    let living = users::archived_at.is_null();
    let counts: Vec<(Uuid, i64)> = users::table
        .filter(living)
        .group_by(users::tenant_id)
        .select((users::tenant_id, diesel::dsl::count_star()))
        .load(&mut connection)
        .await?;
    let people = |id: Uuid| counts.iter().find(|(tenant, _)| *tenant == id).map_or(0, |(_, count)| *count);
    if context.json {
        let object = |(id, name, at): &(Uuid, String, OffsetDateTime)| json!({ "id": id, "name": name, "created_at": output::rfc3339(Some(*at)), "active_users": people(*id) });
        output::json(&Value::Array(all.iter().map(object).collect()));
    } else {
        let row = |(id, name, at): &(Uuid, String, OffsetDateTime)| {
            vec![name.clone(), people(*id).to_string(), output::moment(Some(*at)), id.to_string()]
        };
        let empty = "no tenants yet: rollcall tenant add NAME";
        output::table(&["name", "active users", "added (UTC)", "id"], all.iter().map(row).collect(), empty);
    }
    Ok(())
}

async fn show(context: &Context, name: &str) -> Result<(), Failure> {
    let tenant = context.tenant(name).await?;
    let settings = settings::shown(&tenant.settings);
    if context.json {
        output::json(&json!({ "id": tenant.id, "name": tenant.name, "settings": settings }));
    } else {
        println!("name             {}\nid               {}", tenant.name, tenant.id);
        for (key, value) in &settings {
            println!("{key:<16} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
    }
    Ok(())
}

async fn set(context: &Context, name: &str, changes: &[String]) -> Result<(), Failure> {
    let tenant = context.tenant(name).await?;
    let mut connection = context.pool.get().await?;
    let work = async |connection: &mut Connection| {
        let own = tenants::table.find(tenant.id);
        // Two operators who change different settings at once both get theirs.
        let stored: Value = own.select(tenants::settings).for_no_key_update().first(connection).await?;
        let changed = settings::changed(stored, changes)?;
        diesel::update(own).set(tenants::settings.eq(changed)).execute(connection).await?;
        Ok::<(), Failure>(())
    };
    connection.transaction(work).await?;
    drop(connection);
    show(context, name).await
}
