//! `rollcall tenant`.

use std::io::IsTerminal;

use clap::Subcommand;
use domain::settings::{DESCRIBED, LIMITS, LimitRow};
use operations::tenants::{self, Listed, Removed, TenantDetails};

use crate::context::{CliContext, Failure};
use crate::output;

/// The commands of `rollcall tenant`.
#[derive(Subcommand)]
pub enum Command {
    /// Add a tenant. Its name is its subdomain and the user name that its admin enters in Okta.
    Add {
        /// Lower-case letters, digits and hyphens, at most 63 characters.
        name: String,
    },
    /// List the tenants.
    List,
    /// Show a tenant and its settings.
    Show {
        /// The tenant's name.
        name: String,
    },
    /// Change settings. They are in force within two seconds.
    #[command(after_help = settings())]
    Set {
        /// The tenant's name.
        name: String,
        /// Settings with their values, such as unknown_members=skip.
        #[arg(required = true, value_name = "KEY=VALUE")]
        changes: Vec<String>,
    },
    /// Remove a tenant permanently, with its users and everything else that is stored for it. Its keys are revoked
    /// first.
    Remove {
        /// The tenant's name.
        name: String,
        /// Confirm the removal. On a terminal the name is asked for instead.
        #[arg(long)]
        yes: bool,
    },
}

/// The list of settings for `--help`.
fn settings() -> String {
    let lines: Vec<String> = DESCRIBED.iter().map(|(key, what)| format!("  {key}: {what}")).collect();
    let limit = |row: &LimitRow| format!("  {}: {} ({} to {})", row.key, row.what, row.least, row.most);
    let limits: Vec<String> = LIMITS.iter().map(limit).collect();
    format!("Settings:\n{}\n\nLimits:\n{}", lines.join("\n"), limits.join("\n"))
}

/// Runs the command.
pub async fn run(context: &CliContext, command: Command) -> Result<(), Failure> {
    let operator = &context.operator;
    match command {
        Command::Add { name } => add(context, &name).await?,
        Command::List => list(context, &tenants::list(operator).await?),
        Command::Show { name } => show(context, &tenants::show(&operator.tenant(&name).await?)),
        Command::Set { name, changes } => {
            let tenant = operator.tenant(&name).await?;
            show(context, &tenants::set(operator, &tenant, &changes).await?);
        }
        Command::Remove { name, yes } => remove(context, &name, yes).await?,
    }
    Ok(())
}

async fn add(context: &CliContext, name: &str) -> Result<(), Failure> {
    let added = tenants::add(&context.operator, name).await?;
    if context.json {
        output::json(&added);
    } else {
        say!("tenant {name} added; create an API key with `rollcall key add {name}`");
    }
    Ok(())
}

async fn remove(context: &CliContext, name: &str, yes: bool) -> Result<(), Failure> {
    let tenant = context.operator.tenant(name).await?;
    if !yes && !is_confirmed(&tenant.name) {
        return Err(Failure::usage(format!(
            "this deletes {} with all its users permanently; confirm with --yes, or type the name on a terminal",
            tenant.name
        )));
    }
    let is_shown = std::io::stderr().is_terminal();
    let progress = |rows: i64| {
        if is_shown {
            eprint!("\r{rows} rows deleted");
        }
    };
    let removed = tenants::remove(&context.operator, &tenant, progress).await;
    if is_shown {
        eprintln!();
    }
    let removed = removed?;
    if context.json {
        output::json(&removed);
    } else {
        let Removed { name, rows, dead_letters } = removed;
        say!("tenant {name} removed: {rows} rows and {dead_letters} dead letters deleted");
    }
    Ok(())
}

/// Whether the operator types the tenant's name.
fn is_confirmed(name: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    eprint!("This deletes the tenant with all its users permanently. Type its name to confirm: ");
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed).is_ok() && typed.trim() == name
}

fn list(context: &CliContext, all: &[Listed]) {
    if context.json {
        output::json(&all);
        return;
    }
    let row = |tenant: &Listed| {
        let added = output::moment(Some(tenant.created_at));
        vec![tenant.name.clone(), tenant.active_users.to_string(), added, tenant.id.to_string()]
    };
    let empty = "no tenants yet; add one with `rollcall tenant add NAME`";
    output::table(&["name", "active users", "added (UTC)", "id"], all.iter().map(row).collect(), empty);
}

fn show(context: &CliContext, tenant: &TenantDetails) {
    if context.json {
        output::json(tenant);
        return;
    }
    say!("name             {}\nid               {}", tenant.name, tenant.id);
    let is_limit = |key: &str| tenant.limits.iter().any(|limit| limit.name == key);
    for (key, value) in tenant.settings.iter().filter(|(key, _)| !is_limit(key)) {
        say!("{key:<16} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    for limit in &tenant.limits {
        let default = limit.default;
        let origin = if limit.is_set { format!("set (default {default})") } else { "default".to_owned() };
        say!("{:<20} {:<10} {origin}", limit.name, limit.value);
    }
}
