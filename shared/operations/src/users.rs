//! Adds, shows, exports and erases users, and sets their roles. Changes go through the command queue like all others.

mod erase;
mod export;

use amqp::topology;
use database::schema::users;
use database::tenants::Tenant;
use database::users::UserRow;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use domain::command::{Change, Command, Origin, Role};
use domain::outcome::Outcome;
use scim::{Record, Resource, ResourceType, USER_URN};
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

pub use self::erase::{Erased, erase};
pub use self::export::export;
use crate::commands::{Asking, command};
use crate::{Error, Operator, moments};

/// A user to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct New {
    /// The mail address.
    pub email: String,
    /// The first name.
    pub given_name: String,
    /// The last name.
    pub family_name: String,
    /// The sign-in name, if it differs from the mail address.
    pub user_name: Option<String>,
    /// The role.
    pub role: Role,
}

/// A user after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The id.
    pub id: Uuid,
    /// The userName.
    #[serde(rename = "userName")]
    pub user_name: String,
    /// The role.
    pub role: Role,
}

/// A user with everything that is stored about them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are those of SCIM and of the columns, which are described there")]
pub struct UserDetails {
    pub id: Uuid,
    #[serde(rename = "userName")]
    pub user_name: String,
    pub active: bool,
    #[serde(with = "moments::option")]
    pub archived_at: Option<OffsetDateTime>,
    pub role: String,
    pub origin: String,
    pub given_name: Option<String>,
    pub family_name: Option<String>,
    pub email: Option<String>,
    pub external_id: Option<String>,
    pub location: Option<String>,
    pub business_unit: Option<String>,
    pub department: Option<String>,
    pub job_title: Option<String>,
    pub manager_name: Option<String>,
    pub employee_number: Option<String>,
    pub locale: Option<String>,
    pub timezone: Option<String>,
    pub hire_date: Option<String>,
    pub region: Option<String>,
    pub custom_fields: Option<Value>,
    pub version: i64,
    pub ticket: Uuid,
    #[serde(with = "moments")]
    pub created_at: OffsetDateTime,
    #[serde(with = "moments")]
    pub modified_at: OffsetDateTime,
    /// The SCIM resource as it is stored.
    pub resource: Value,
}

/// Checks that a text looks like a mail address.
///
/// # Errors
/// The expected form.
pub fn address(text: &str) -> Result<String, String> {
    let parts = text.split_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty());
    let is_odd = |c: char| c.is_whitespace() || c.is_control();
    match parts {
        Some((_, domain)) if !domain.contains('@') && !text.contains(is_odd) => Ok(text.to_owned()),
        _ => Err("must be a mail address, such as ada@acme.example".to_owned()),
    }
}

/// Creates a user manually. The user receives a welcome mail.
///
/// # Errors
/// [`Error::Refused`] if the user is rejected, [`Error::Late`] if no worker answers in time.
pub async fn add(operator: &Operator, tenant: &Tenant, new: &New) -> Result<Changed, Error> {
    address(&new.email).map_err(|problem| Error::Argument { name: "email", problem })?;
    let command = create(operator, tenant, new)?;
    changed(ask(operator, &command).await?, new.role)
}

/// Sets a user's role in the learning platform. The user is given by userName (case-insensitive) or id.
///
/// # Errors
/// [`Error::Refused`] if there is no such user, [`Error::Late`] if no worker answers in time.
pub async fn set_role(
    operator: &Operator,
    tenant: &Tenant,
    user: &str,
    role: Role,
) -> Result<Changed, Error> {
    let id = operator.user_id(tenant, user).await?;
    let command = command(operator, tenant, id, "rollcall user role", &[], Change::SetRole { role });
    changed(ask(operator, &command).await?, role)
}

/// The user after a change, or why the change failed.
fn changed(outcome: Outcome, role: Role) -> Result<Changed, Error> {
    match outcome {
        Outcome::Created { record, .. } | Outcome::Updated { record, .. } => {
            let Record { id, resource, .. } = record;
            Ok(Changed { id, user_name: resource.user_name().to_owned(), role })
        }
        Outcome::Rejected { error } => Err(Error::Refused(error.detail)),
        Outcome::Stale { .. } => {
            Err(Error::Refused("the user is being changed concurrently; try again".to_owned()))
        }
        Outcome::Deleted => Err(Error::Refused("unexpected verdict: deleted".to_owned())),
    }
}

fn create(operator: &Operator, tenant: &Tenant, new: &New) -> Result<Command, Error> {
    let body = json!({
        "schemas": [USER_URN],
        "userName": new.user_name.as_ref().unwrap_or(&new.email),
        "name": { "givenName": new.given_name, "familyName": new.family_name },
        "emails": [{ "value": new.email, "type": "work", "primary": true }],
        "active": true,
    });
    let text = body.to_string();
    let refused = |error: scim::Error| Error::Refused(error.detail);
    let body = scim::parse_json(text.as_bytes()).map_err(refused)?;
    let user = Resource::parse(ResourceType::user(), &body).map_err(refused)?;
    let change = Change::CreateUser { user, origin: Origin::Manual, role: Some(new.role) };
    Ok(command(operator, tenant, platform::id::new(), "rollcall user add", text.as_bytes(), change))
}

async fn ask(operator: &Operator, command: &Command) -> Result<Outcome, Error> {
    Asking::start(operator, topology::COMMANDS).await?.ask(operator, command).await
}

/// Shows a user, given by userName (case-insensitive) or id.
///
/// # Errors
/// [`Error::Refused`] if there is no such user.
pub async fn show(operator: &Operator, tenant: &Tenant, user: &str) -> Result<UserDetails, Error> {
    let own = users::table.filter(users::tenant_id.eq(tenant.id)).select(UserRow::as_select()).into_boxed();
    let wanted = match user.parse::<Uuid>() {
        Ok(id) => own.filter(users::id.eq(id)),
        Err(_) => own.filter(users::user_name_key.eq(scim::user_name_key(user))),
    };
    let mut connection = operator.pool.get().await?;
    let row: Option<UserRow> = wanted.first(&mut connection).await.optional()?;
    shown(row.ok_or_else(|| Error::Refused(format!("{} has no such user", tenant.name)))?)
}

fn shown(row: UserRow) -> Result<UserDetails, Error> {
    let user = row.record()?.resource;
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Ok(UserDetails {
        id: row.id,
        user_name: row.user_name,
        active: row.archived_at.is_none(),
        archived_at: row.archived_at,
        role: row.role,
        origin: row.origin,
        given_name: owned(user.given_name()),
        family_name: owned(user.family_name()),
        email: owned(user.primary_email()),
        external_id: row.external_id,
        location: owned(user.cost_center()),
        business_unit: owned(user.division()),
        department: owned(user.department()),
        job_title: owned(user.title()),
        manager_name: owned(user.manager_name()),
        employee_number: owned(user.employee_number()),
        locale: owned(user.locale().or(user.preferred_language())),
        timezone: owned(user.timezone()),
        hire_date: row.hire_date.map(|date| date.to_string()),
        region: row.region,
        custom_fields: row.custom_fields,
        version: row.version,
        ticket: row.ticket,
        created_at: row.created_at,
        modified_at: row.modified_at,
        resource: row.resource,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_addresses_are_validated() {
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
