//! `rollcall user`. Changes go through the command queue like all others.

use clap::{Args, Subcommand};
use domain::command::Role;
use operations::users::{self, Changed, address};
use serde_json::Value;

use crate::context::{CliContext, Failure};
use crate::output;

/// The facts about a user in the order in which they are shown.
const FACTS: [&str; 25] = [
    "id",
    "userName",
    "active",
    "archived_at",
    "role",
    "origin",
    "given_name",
    "family_name",
    "email",
    "external_id",
    "location",
    "business_unit",
    "department",
    "job_title",
    "manager_name",
    "employee_number",
    "locale",
    "timezone",
    "hire_date",
    "region",
    "custom_fields",
    "version",
    "ticket",
    "created_at",
    "modified_at",
];

/// The commands of `rollcall user`.
#[derive(Subcommand)]
pub enum Command {
    /// Create a user manually. The user receives a welcome mail.
    Add(New),
    /// Set a user's role in the learning platform. SCIM requests do not change it.
    Role {
        /// The tenant's name.
        tenant: String,
        /// The userName (case-insensitive) or the SCIM id.
        user: String,
        /// One of: admin, manager, creator, learner.
        role: Role,
    },
    /// Show a user.
    Show {
        /// The tenant's name.
        tenant: String,
        /// The userName (case-insensitive) or the SCIM id.
        user: String,
    },
    /// Write everything that is stored about a user as JSON, such as for a request for access.
    Export {
        /// The tenant's name.
        tenant: String,
        /// The userName (case-insensitive), or the SCIM id, also of a deleted user.
        user: String,
    },
    /// Delete a user permanently, with assignments, mail and everything else that is stored about them.
    Erase {
        /// The tenant's name.
        tenant: String,
        /// The userName (case-insensitive), or the SCIM id, also of a deleted user.
        user: String,
    },
}

/// The arguments of `rollcall user add`.
#[derive(Args)]
pub struct New {
    /// The tenant's name.
    tenant: String,
    /// The mail address.
    #[arg(long, value_parser = address)]
    email: String,
    /// The first name.
    #[arg(long)]
    given_name: String,
    /// The last name.
    #[arg(long)]
    family_name: String,
    /// The sign-in name, if it differs from the mail address.
    #[arg(long)]
    user_name: Option<String>,
    /// One of: admin, manager, creator, learner.
    #[arg(long, default_value = "learner")]
    role: Role,
}

/// Runs the command.
pub async fn run(context: &CliContext, command: Command) -> Result<(), Failure> {
    match command {
        Command::Add(new) => add(context, new).await,
        Command::Role { tenant, user, role } => set_role(context, &tenant, &user, role).await,
        Command::Show { tenant, user } => show(context, &tenant, &user).await,
        Command::Export { tenant, user } => export(context, &tenant, &user).await,
        Command::Erase { tenant, user } => erase(context, &tenant, &user).await,
    }
}

/// Always JSON: the values are too many and too large for a table.
async fn export(context: &CliContext, tenant: &str, user: &str) -> Result<(), Failure> {
    let tenant = context.operator.tenant(tenant).await?;
    output::json(&users::export(&context.operator, &tenant, user).await?);
    Ok(())
}

async fn erase(context: &CliContext, tenant: &str, user: &str) -> Result<(), Failure> {
    let tenant = context.operator.tenant(tenant).await?;
    let erased = users::erase(&context.operator, &tenant, user).await?;
    if context.json {
        output::json(&erased);
        return Ok(());
    }
    let account =
        if erased.account { "the account was deleted" } else { "the account had been deleted before" };
    say!("user {} erased: {account}", erased.id);
    say!("{} assignments deleted, {} mails emptied", erased.assignments, erased.mails);
    say!("{} waiting events and {} dead letters deleted", erased.events, erased.dead_letters);
    say!("What else may hold the user's data, such as backups: see the handbook, data-protection.md");
    Ok(())
}

async fn add(context: &CliContext, new: New) -> Result<(), Failure> {
    let tenant = context.operator.tenant(&new.tenant).await?;
    let New { email, given_name, family_name, user_name, role, .. } = new;
    let new = users::New { email, given_name, family_name, user_name, role };
    let added = users::add(&context.operator, &tenant, &new).await?;
    show_changed(context, &added, || {
        format!("user {} added as {}, id {}", added.user_name, role.as_str(), added.id)
    });
    Ok(())
}

async fn set_role(context: &CliContext, tenant: &str, user: &str, role: Role) -> Result<(), Failure> {
    let tenant = context.operator.tenant(tenant).await?;
    let changed = users::set_role(&context.operator, &tenant, user, role).await?;
    show_changed(context, &changed, || {
        format!("the role of user {} is now {}", changed.user_name, role.as_str())
    });
    Ok(())
}

fn show_changed(context: &CliContext, changed: &Changed, text: impl Fn() -> String) {
    if context.json {
        output::json(changed);
    } else {
        say!("{}", text());
    }
}

async fn show(context: &CliContext, tenant: &str, user: &str) -> Result<(), Failure> {
    let tenant = context.operator.tenant(tenant).await?;
    let user = users::show(&context.operator, &tenant, user).await?;
    if context.json {
        output::json(&user);
        return Ok(());
    }
    let user = output::object(&user);
    for name in FACTS {
        match &user[name] {
            Value::Null => {}
            Value::String(text) => say!("{name:<16} {text}"),
            value => say!("{name:<16} {value}"),
        }
    }
    Ok(())
}
