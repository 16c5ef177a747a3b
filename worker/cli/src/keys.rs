//! `rollcall key`. A key is shown once, when it is created; the database stores its SHA-256.

use clap::{Subcommand, ValueEnum};
use operations::keys::{self, Lifetime, Listed, Networks};

use time::OffsetDateTime;

use crate::context::{CliContext, Failure};
use crate::output;

/// The commands of `rollcall key`.
#[derive(Subcommand)]
pub enum Command {
    /// Create an API key and show it once. A tenant may have several keys, so that one can be replaced without
    /// downtime.
    Add {
        /// The tenant's name.
        tenant: String,
        /// The scopes of the key, separated by commas.
        #[arg(long, value_delimiter = ',', default_value = "scim")]
        scope: Vec<Scope>,
        /// When the key expires: after days, weeks or years, such as 30d, 12w or 1y, or never.
        #[arg(long, value_name = "DURATION", default_value = "1y")]
        expires_in: Lifetime,
        /// Let the key be used from these networks only, separated by commas, such as 203.0.113.0/24,2001:db8::/32.
        #[arg(long, value_name = "NETWORKS", default_value = "any")]
        network: Networks,
    },
    /// Change the networks that a key may be used from. Every service follows within two seconds.
    Set {
        /// The tenant's name.
        tenant: String,
        /// The key's public part (see `rollcall key list`).
        key: String,
        /// The networks, separated by commas, such as 203.0.113.0/24,2001:db8::/32, or any.
        #[arg(long, value_name = "NETWORKS")]
        network: Networks,
    },
    /// List a tenant's keys by their public part.
    List {
        /// The tenant's name.
        tenant: String,
    },
    /// Revoke a key. Every service rejects it within two seconds.
    Revoke {
        /// The tenant's name.
        tenant: String,
        /// The key's public part (see `rollcall key list`).
        key: String,
    },
}

/// What a key gives access to.
#[derive(Clone, Copy, ValueEnum)]
pub enum Scope {
    /// SCIM, for the identity provider.
    Scim,
    /// Posting content events.
    Events,
    /// Posting role events, which make administrators.
    Roles,
    /// Reports.
    Reports,
    /// The activity log.
    Activity,
}

impl From<Scope> for keys::Scope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Scim => Self::Scim,
            Scope::Events => Self::Events,
            Scope::Roles => Self::Roles,
            Scope::Reports => Self::Reports,
            Scope::Activity => Self::Activity,
        }
    }
}

/// Runs the command.
pub async fn run(context: &CliContext, command: Command) -> Result<(), Failure> {
    match command {
        Command::Add { tenant, scope, expires_in, network } => {
            add(context, &tenant, scope, expires_in, &network).await
        }
        Command::Set { tenant, key, network } => set(context, &tenant, &key, &network).await,
        Command::List { tenant } => list(context, &tenant).await,
        Command::Revoke { tenant, key } => revoke(context, &tenant, &key).await,
    }
}

async fn add(
    context: &CliContext,
    tenant: &str,
    scopes: Vec<Scope>,
    lifetime: Lifetime,
    networks: &Networks,
) -> Result<(), Failure> {
    let tenant = context.operator.tenant(tenant).await?;
    let scopes: Vec<keys::Scope> = scopes.into_iter().map(keys::Scope::from).collect();
    let added = keys::add(&context.operator, &tenant, &scopes, lifetime, networks).await?;
    if context.json {
        output::json(&added);
    } else {
        say!(
            "User name  {}\nAPI key    {}\nScopes     {}\nNetworks   {}\nExpires    {}",
            added.username,
            added.api_key,
            added.scopes.join(", "),
            from(&added.networks),
            added.expires_at.map_or_else(|| end(None), |at| format!("{} UTC", end(Some(at))))
        );
        say!(
            "The key is not shown again. To revoke it: rollcall key revoke {} {}",
            added.username,
            added.key
        );
    }
    Ok(())
}

/// When a key expires.
fn end(expires_at: Option<OffsetDateTime>) -> String {
    expires_at.map_or_else(|| "never".to_owned(), |at| output::moment(Some(at)))
}

/// Where a key may be used from.
fn from(networks: &[String]) -> String {
    if networks.is_empty() { "any".to_owned() } else { networks.join(",") }
}

async fn set(context: &CliContext, tenant: &str, key: &str, networks: &Networks) -> Result<(), Failure> {
    let tenant = context.operator.tenant(tenant).await?;
    let changed = keys::set_networks(&context.operator, &tenant, key, networks).await?;
    if context.json {
        output::json(&changed);
    } else {
        say!("key {} of {} may be used from: {}", changed.key, tenant.name, from(&changed.networks));
    }
    Ok(())
}

async fn list(context: &CliContext, tenant: &str) -> Result<(), Failure> {
    let tenant = context.operator.tenant(tenant).await?;
    let keys = keys::list(&context.operator, &tenant).await?;
    if context.json {
        output::json(&keys);
        return Ok(());
    }
    let row = |key: &Listed| {
        vec![
            key.key.clone(),
            key.state.as_str().to_owned(),
            key.scopes.join(","),
            from(&key.networks),
            output::moment(Some(key.created_at)),
            end(key.expires_at),
            output::moment(key.last_used_at),
        ]
    };
    let headings = ["key", "state", "scopes", "from", "created (UTC)", "expires (UTC)", "last used (UTC)"];
    let empty = format!("{0} has no keys yet; add one with `rollcall key add {0}`", tenant.name);
    output::table(&headings, keys.iter().map(row).collect(), &empty);
    Ok(())
}

async fn revoke(context: &CliContext, tenant: &str, key: &str) -> Result<(), Failure> {
    let tenant = context.operator.tenant(tenant).await?;
    let revoked = keys::revoke(&context.operator, &tenant, key).await?;
    if context.json {
        output::json(&revoked);
    } else {
        say!("key {} of {} revoked", revoked.key, tenant.name);
    }
    Ok(())
}
