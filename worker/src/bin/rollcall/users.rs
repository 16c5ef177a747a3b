//! `rollcall user`. A user made by hand goes through the queue like all else.

use clap::{Args, Subcommand};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use shared::amqp::{Answer, Requester, topology};
use shared::command::{self, Actor, Change, Fingerprint, Origin, Role};
use shared::outcome::Outcome;
use shared::postgres::schema::users;
use shared::postgres::tenants::Tenant;
use shared::postgres::users::UserRow;
use shared::postgres::verdicts;
use shared::retry::Delays;
use shared::scim::{self, Record, Resource, ResourceType, USER_URN};
use shared::ticket::TicketClock;
use uuid::Uuid;

use crate::context::{Context, Failure};
use crate::output;

/// The commands of `rollcall user`.
#[derive(Subcommand)]
pub enum Command {
    /// Makes an account by hand: its owner gets a welcome mail.
    Add(New),
    /// Sets what somebody may do in the learning platform. No SCIM request undoes it.
    Role {
        /// The tenant's name.
        tenant: String,
        /// The userName, in any case, or the SCIM id.
        user: String,
        /// admin, manager, creator or learner.
        role: Role,
    },
    /// Shows an account.
    Show {
        /// The tenant's name.
        tenant: String,
        /// The userName, in any case, or the SCIM id.
        user: String,
    },
}

/// A user to be made.
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
    /// The sign-in name, where it is not the mail address.
    #[arg(long)]
    user_name: Option<String>,
    /// admin, manager, creator or learner.
    #[arg(long, default_value = "learner")]
    role: Role,
}

/// A text to which mail can be addressed, as far as that can be seen.
fn address(text: &str) -> Result<String, String> {
    let parts = text.split_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty());
    let is_odd = |c: char| c.is_whitespace() || c.is_control();
    match parts {
        Some((_, domain)) if !domain.contains('@') && !text.contains(is_odd) => Ok(text.to_owned()),
        _ => Err("it must be a mail address, such as ada@acme.example".to_owned()),
    }
}

/// Runs it.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Add(new) => add(context, new).await,
        Command::Role { tenant, user, role } => set_role(context, &tenant, &user, role).await,
        Command::Show { tenant, user } => show(context, &tenant, &user).await,
    }
}

async fn add(context: &Context, new: New) -> Result<(), Failure> {
    let tenant = context.tenant(&new.tenant).await?;
    let role = new.role;
    let command = create(context, &tenant, new)?;
    let record = applied(ask(context, &command).await?)?;
    let told = |name: &str| format!("user {name} added as {}, id {}", role.as_str(), record.id);
    tell(context, &record, role, told);
    Ok(())
}

/// The user after an operator's change.
fn applied(outcome: Outcome) -> Result<Record, Failure> {
    match outcome {
        Outcome::Created { record, .. } | Outcome::Updated { record, .. } => Ok(record),
        Outcome::Rejected { error } => Err(Failure::Refused(error.detail)),
        Outcome::Stale { .. } => Err(Failure::Refused(
            "the user is being changed by others at the same time: try again".to_owned(),
        )),
        Outcome::Deleted => Err(Failure::Refused("unexpected verdict: deleted".to_owned())),
    }
}

fn tell(context: &Context, record: &Record, role: Role, told: impl Fn(&str) -> String) {
    let name = record.resource.user_name();
    if context.json {
        output::json(&json!({ "id": record.id, "userName": name, "role": role }));
    } else {
        println!("{}", told(name));
    }
}

fn create(context: &Context, tenant: &Tenant, new: New) -> Result<command::Command, Failure> {
    let body = json!({
        "schemas": [USER_URN],
        "userName": new.user_name.as_ref().unwrap_or(&new.email),
        "name": { "givenName": new.given_name, "familyName": new.family_name },
        "emails": [{ "value": new.email, "type": "work", "primary": true }],
        "active": true,
    });
    let text = body.to_string();
    let refused = |error: scim::Error| Failure::Refused(error.detail);
    let body = scim::parse_json(text.as_bytes()).map_err(refused)?;
    let user = Resource::parse(ResourceType::user(), &body).map_err(refused)?;
    let change = Change::CreateUser { user, origin: Origin::Manual, role: Some(new.role) };
    Ok(command(context, tenant, shared::id::new(), "rollcall user add", text.as_bytes(), change))
}

/// An operator's change of a user, for the queue.
pub fn command(
    context: &Context,
    tenant: &Tenant,
    resource: Uuid,
    call: &str,
    body: &[u8],
    change: Change,
) -> command::Command {
    let (request, issued_at) = (shared::id::new(), context.clock.now());
    // By its request: the same call again is another change.
    let fingerprint = Fingerprint::of(tenant.id, call, &request.to_string(), body, None);
    command::Command {
        version: Actor::Operator.version(),
        ticket: TicketClock::new(context.clock.clone()).issue(),
        tenant: tenant.id,
        actor: Actor::Operator,
        request,
        fingerprint,
        issued_at,
        deadline: issued_at + context.deadline,
        resource,
        if_match: None,
        asynchronous: false,
        change,
    }
}

async fn set_role(context: &Context, tenant: &str, user: &str, role: Role) -> Result<(), Failure> {
    let tenant = context.tenant(tenant).await?;
    let id = context.user_id(&tenant, user).await?;
    let command = command(context, &tenant, id, "rollcall user role", &[], Change::SetRole { role });
    let record = applied(ask(context, &command).await?)?;
    tell(context, &record, role, |name| format!("user {name} is {} now", role.as_str()));
    Ok(())
}

async fn ask(context: &Context, command: &command::Command) -> Result<Outcome, Failure> {
    Asking::start(context, topology::COMMANDS).await?.ask(context, command).await
}

/// How often a command is sent again because another change of the same user was applied before it.
const OVERTAKEN: usize = 3;

/// The way to the workers, for many commands.
pub struct Asking(Requester);

impl Asking {
    /// Connects to this queue.
    pub async fn start(context: &Context, queue: &'static str) -> Result<Self, Failure> {
        Ok(Self(Requester::new(context.link().await?, queue)))
    }

    /// What comes of a command. One that was overtaken is sent again with a later ticket: the two were concurrent.
    pub async fn ask(&self, context: &Context, command: &command::Command) -> Result<Outcome, Failure> {
        let tickets = TicketClock::new(context.clock.clone());
        let mut command = command.clone();
        for _ in 0..OVERTAKEN {
            match self.ask_once(context, &command).await? {
                Outcome::Stale { ticket } => tickets.observe(ticket).map_err(|error| {
                    Failure::Refused(format!(
                        "nothing was changed: the user's last change was made by a service whose clock is ahead of this one's ({error}); compare the machines' clocks"
                    ))
                })?,
                outcome => return Ok(outcome),
            }
            command.ticket = tickets.issue();
            command.issued_at = context.clock.now();
            command.deadline = command.issued_at + context.deadline;
        }
        self.ask_once(context, &command).await
    }

    async fn ask_once(&self, context: &Context, command: &command::Command) -> Result<Outcome, Failure> {
        let body = serde_json::to_vec(command).expect("a command is made of strings, numbers and JSON");
        let answer = async {
            match self.0.ask(&command.ticket.to_string(), "application/json", body).await {
                Answer::Reply(reply) => serde_json::from_slice(&reply).map_err(|_| {
                    Failure::Refused(
                        "the worker's reply is not understood: are the versions the same?".to_owned(),
                    )
                }),
                Answer::NotQueued(error) => Err(error.into()),
                Answer::Lost => read_verdict(context, command).await,
            }
        };
        let late = |_| {
            Err(Failure::Late(format!(
                "no worker answered within {} s; the change is queued, as command {}, and will be applied",
                context.deadline.as_secs(),
                command.ticket
            )))
        };
        tokio::time::timeout(context.deadline, answer).await.unwrap_or_else(late)
    }
}

async fn read_verdict(context: &Context, command: &command::Command) -> Result<Outcome, Failure> {
    let mut delays = Delays::reconnect();
    loop {
        let found =
            context.pool.bounded(async |connection| verdicts::find(connection, command.ticket).await).await;
        if let Ok(Some(outcome)) = found {
            return Ok(outcome);
        }
        delays.pause().await;
    }
}

async fn show(context: &Context, tenant: &str, user: &str) -> Result<(), Failure> {
    let tenant = context.tenant(tenant).await?;
    let own = users::table.filter(users::tenant_id.eq(tenant.id)).select(UserRow::as_select()).into_boxed();
    let wanted = match user.parse::<Uuid>() {
        Ok(id) => own.filter(users::id.eq(id)),
        Err(_) => own.filter(users::user_name_key.eq(scim::user_name_key(user))),
    };
    let mut connection = context.pool.get().await?;
    let row: Option<UserRow> = wanted.first(&mut connection).await.optional()?;
    let row = row.ok_or_else(|| Failure::Refused(format!("{} has no such user", tenant.name)))?;
    let facts = facts(&row);
    if context.json {
        let object = facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        output::json(&Value::Object(object));
    } else {
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let known = facts.into_iter().filter(|(name, value)| !value.is_null() && *name != "resource");
        for (name, value) in known {
            println!("{name:<16} {}", text(value));
        }
    }
    Ok(())
}

fn facts(row: &UserRow) -> Vec<(&'static str, Value)> {
    vec![
        ("id", json!(row.id)),
        ("userName", json!(row.user_name)),
        ("active", json!(row.archived_at.is_none())),
        ("archived_at", output::rfc3339(row.archived_at)),
        ("role", json!(row.role)),
        ("origin", json!(row.origin)),
        ("given_name", json!(row.given_name)),
        ("family_name", json!(row.family_name)),
        ("email", json!(row.email)),
        ("external_id", json!(row.external_id)),
        ("location", json!(row.location)),
        ("business_unit", json!(row.business_unit)),
        ("department", json!(row.department)),
        ("job_title", json!(row.job_title)),
        ("manager_name", json!(row.manager_name)),
        ("employee_number", json!(row.employee_number)),
        ("locale", json!(row.locale)),
        ("timezone", json!(row.timezone)),
        ("hire_date", json!(row.hire_date.map(|date| date.to_string()))),
        ("region", json!(row.region)),
        ("custom_fields", json!(row.custom_fields)),
        ("version", json!(row.version)),
        ("ticket", json!(row.ticket)),
        ("created_at", output::rfc3339(Some(row.created_at))),
        ("modified_at", output::rfc3339(Some(row.modified_at))),
        ("resource", row.resource.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one() {
        for (text, is_one) in [
            ("ada@acme.example", true),
            ("ada+x@localhost", true),
            ("ada", false),
            ("@acme.example", false),
            ("ada@", false),
            ("a@b@c", false),
            ("a b@c.example", false),
            ("x@y.example\r\nBcc: z@y.example", false),
        ] {
            assert_eq!(address(text).is_ok(), is_one, "{text:?}");
        }
    }
}
