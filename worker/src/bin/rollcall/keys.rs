//! `rollcall key`. A key is shown once, when it is made; the database has its SHA-256.

use clap::{Subcommand, ValueEnum};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use rand::distr::{Alphanumeric, SampleString};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::postgres::keys::{MARK, PREFIX_LENGTH};
use shared::postgres::schema::{api_keys, key_uses};
use time::{Duration, OffsetDateTime};

use crate::context::{Context, Failure};
use crate::output;

/// The length of the secret part, in characters of 62 kinds: 238 bits.
const SECRET_LENGTH: usize = 40;

/// The commands of `rollcall key`.
#[derive(Subcommand)]
pub enum Command {
    /// Makes a key and shows it, once. A tenant may have several, so that one can be replaced without a gap.
    Add {
        /// The tenant's name.
        tenant: String,
        /// What the key opens, separated by commas.
        #[arg(long, value_delimiter = ',', default_value = "scim")]
        scope: Vec<Scope>,
        /// Lets the key end after so many days.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
        expires_in: Option<u16>,
    },
    /// Lists a tenant's keys, by their public part.
    List {
        /// The tenant's name.
        tenant: String,
    },
    /// Revokes a key: it is refused everywhere within a second.
    Revoke {
        /// The tenant's name.
        tenant: String,
        /// The key's public part, as `rollcall key list` shows it.
        key: String,
    },
}

/// What a key opens.
#[derive(Clone, Copy, ValueEnum)]
pub enum Scope {
    /// SCIM, for the identity provider.
    Scim,
    /// The intake of content events.
    Events,
    /// Reports.
    Reports,
    /// The activity log.
    Activity,
}

impl Scope {
    fn as_str(self) -> &'static str {
        match self {
            Self::Scim => "scim",
            Self::Events => "events",
            Self::Reports => "reports",
            Self::Activity => "activity",
        }
    }
}

/// Runs it.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Add { tenant, scope, expires_in } => add(context, &tenant, &scope, expires_in).await,
        Command::List { tenant } => list(context, &tenant).await,
        Command::Revoke { tenant, key } => revoke(context, &tenant, &key).await,
    }
}

async fn add(context: &Context, tenant: &str, scopes: &[Scope], days: Option<u16>) -> Result<(), Failure> {
    let tenant = context.tenant(tenant).await?;
    let random = |length| Alphanumeric.sample_string(&mut rand::rng(), length);
    let (prefix, secret) = (random(PREFIX_LENGTH), random(SECRET_LENGTH));
    let key = format!("{MARK}{prefix}{secret}");
    let sha256: String = Sha256::digest(&key).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    scopes.sort_unstable();
    scopes.dedup();
    let now = context.clock.now();
    let expires_at = days.map(|days| now + Duration::days(days.into()));
    let row = (
        api_keys::id.eq(shared::id::new()),
        api_keys::tenant_id.eq(tenant.id),
        api_keys::prefix.eq(&prefix),
        api_keys::sha256.eq(sha256),
        api_keys::scopes.eq(&scopes),
        api_keys::created_at.eq(now),
        api_keys::expires_at.eq(expires_at),
    );
    let mut connection = context.pool.get().await?;
    diesel::insert_into(api_keys::table).values(row).execute(&mut connection).await?;
    if context.json {
        let expires_at = output::rfc3339(expires_at);
        output::json(&json!({
            "username": tenant.name, "api_key": key, "key": prefix, "scopes": scopes, "expires_at": expires_at,
        }));
    } else {
        println!("User name  {}\nAPI key    {key}\nScopes     {}", tenant.name, scopes.join(", "));
        println!("The key is not shown again; `rollcall key revoke {} {prefix}` ends it.", tenant.name);
    }
    Ok(())
}

type Row = (
    String,
    Vec<String>,
    OffsetDateTime,
    Option<OffsetDateTime>,
    Option<OffsetDateTime>,
    Option<OffsetDateTime>,
);

async fn list(context: &Context, tenant: &str) -> Result<(), Failure> {
    let tenant = context.tenant(tenant).await?;
    let mut connection = context.pool.get().await?;
    let rows: Vec<Row> = api_keys::table
        .left_join(key_uses::table.on(key_uses::key_id.eq(api_keys::id)))
        .filter(api_keys::tenant_id.eq(tenant.id))
        .order(api_keys::created_at)
        .select((
            api_keys::prefix,
            api_keys::scopes,
            api_keys::created_at,
            api_keys::expires_at,
            api_keys::revoked_at,
            key_uses::last_used_at.nullable(),
        ))
        .load(&mut connection)
        .await?;
    let now = context.clock.now();
    if context.json {
        let object = |row: &Row| {
            json!({
                "key": row.0, "scopes": row.1, "state": state(row, now), "created_at": output::rfc3339(Some(row.2)),
                "expires_at": output::rfc3339(row.3), "revoked_at": output::rfc3339(row.4),
                "last_used_at": output::rfc3339(row.5),
            })
        };
        output::json(&Value::Array(rows.iter().map(object).collect()));
        return Ok(());
    }
    let line = |row: &Row| {
        let (made, used) = (output::moment(Some(row.2)), output::moment(row.5));
        vec![row.0.clone(), state(row, now).to_owned(), row.1.join(","), made, output::moment(row.3), used]
    };
    let headings = ["key", "state", "scopes", "made (UTC)", "ends (UTC)", "last used (UTC)"];
    let empty = format!("{0} has no keys yet: rollcall key add {0}", tenant.name);
    output::table(&headings, rows.iter().map(line).collect(), &empty);
    Ok(())
}

fn state(row: &Row, now: OffsetDateTime) -> &'static str {
    match (row.3, row.4) {
        (_, Some(_)) => "revoked",
        (Some(end), None) if end <= now => "expired",
        _ => "alive",
    }
}

async fn revoke(context: &Context, tenant: &str, key: &str) -> Result<(), Failure> {
    let tenant = context.tenant(tenant).await?;
    // Whoever has the whole key at hand may paste it.
    let prefix = shared::postgres::keys::prefix(key).unwrap_or(key);
    let own = api_keys::table.filter(api_keys::tenant_id.eq(tenant.id)).filter(api_keys::prefix.eq(prefix));
    let mut connection = context.pool.get().await?;
    let known: i64 = own.count().get_result(&mut connection).await?;
    if known == 0 {
        return Err(Failure::Refused(format!(
            "{0} has no such key: rollcall key list {0} shows its keys",
            tenant.name
        )));
    }
    diesel::update(own.filter(api_keys::revoked_at.is_null()))
        .set(api_keys::revoked_at.eq(context.clock.now()))
        .execute(&mut connection)
        .await?;
    if context.json {
        output::json(&json!({ "key": prefix, "state": "revoked" }));
    } else {
        println!("key {prefix} of {} is revoked", tenant.name);
    }
    Ok(())
}
