//! Erases a user: deletes the account by the same command as a client's DELETE, waits until the notifier has erased the
//! rest, and removes dead letters about the user. Also for users who were deleted before.

use amqp::{Message, Publisher, topology};
use database::schema::{erasures, users};
use database::tenants::Tenant;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use domain::command::{Change, Origin};
use domain::event::{Cause, Event, MEDIA_TYPE, UserData, UserEvent};
use domain::outcome::Outcome;
use domain::ticket::TicketClock;
use platform::retry::Delays;
use scim::Resource;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{ask, export};
use crate::commands::command;
use crate::dead_letters::{self, Selection, Subject};
use crate::{Error, Operator, moments};

/// What was erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// The user's id.
    pub id: Uuid,
    /// Whether there was an account; otherwise it had been deleted before.
    pub account: bool,
    /// How many assignments were deleted, earlier erasures included.
    pub assignments: i64,
    /// From how many entries of the mail ledger the content was removed.
    pub mails: i64,
    /// How many parked events were deleted.
    pub events: i64,
    /// How many dead letters were removed.
    pub dead_letters: u64,
    /// When the notifier was done.
    #[serde(with = "moments")]
    pub erased_at: OffsetDateTime,
}

/// The columns of `erasures`.
type Row = (OffsetDateTime, i64, i64, i64);

/// Erases a user, given by userName (case-insensitive) or id.
///
/// # Errors
/// [`Error::Refused`] if nothing is stored about such a user, [`Error::Late`] if a worker or a notifier does not answer
/// in time; then the same call may be repeated.
pub async fn erase(operator: &Operator, tenant: &Tenant, user: &str) -> Result<Erased, Error> {
    let id = operator.user_id(tenant, user).await?;
    let account: Option<Value> = {
        let mut connection = operator.pool.get().await?;
        let own = users::table.filter(users::tenant_id.eq(tenant.id).and(users::id.eq(id)));
        own.select(users::resource).first(&mut connection).await.optional()?
    };
    if account.is_none() && !export::is_known(operator, tenant, id).await? {
        return Err(Error::Refused(format!(
            "{} has no such user, and nothing is stored about one",
            tenant.name
        )));
    }
    let names = account.as_ref().map(names).unwrap_or_default();
    let before = noted(operator, tenant, id).await?.map(|row| row.0);
    let deletion = command(operator, tenant, id, "rollcall user erase", &[], Change::DeleteUser);
    let account = match ask(operator, &deletion).await? {
        Outcome::Deleted => true,
        Outcome::Rejected { error } if error.status == 404 => {
            announce(operator, tenant, id).await?;
            false
        }
        Outcome::Rejected { error } => return Err(Error::Refused(error.detail)),
        _ => return Err(Error::Refused("the user is being changed concurrently; try again".to_owned())),
    };
    let (erased_at, assignments, mails, events) = wait(operator, tenant, id, before).await?;
    let subject = Subject { tenant: tenant.id, tenant_name: tenant.name.clone(), user: Some(id), names };
    let dead_letters = dead_letters::remove(operator, &Selection::About(subject), |_| {}).await?;
    Ok(Erased { id, account, assignments, mails, events, dead_letters, erased_at })
}

/// The texts that identify a person in a message that does not have their id.
fn names(resource: &Value) -> Vec<String> {
    let Ok(user) = serde_json::from_value::<Resource>(resource.clone()) else { return Vec::new() };
    let emails = user.get("emails").and_then(Value::as_array).into_iter().flatten();
    let emails = emails.filter_map(|email| email["value"].as_str());
    let named = [Some(user.user_name()), user.external_id()].into_iter().flatten().chain(emails);
    named.filter(|name| !name.is_empty()).map(str::to_lowercase).collect()
}

/// Publishes the event of a deletion that happened before, for the notifier.
async fn announce(operator: &Operator, tenant: &Tenant, id: Uuid) -> Result<(), Error> {
    let data = UserData { id, origin: Origin::Scim, active: false, role: None };
    let cause = Cause {
        tenant: &tenant.name,
        command: TicketClock::new(operator.clock.clone()).issue(),
        request: platform::id::new(),
        at: operator.clock.now(),
    };
    let event = Event::user(UserEvent::Deleted, &data, 0, cause);
    let body = serde_json::to_vec(&event).expect("an event is made of strings and JSON");
    let message = Message::json(topology::EVENTS, &event.kind, &event.id, MEDIA_TYPE, body);
    Ok(Publisher::new(operator.link().await?).publish(&[message]).await?)
}

async fn noted(operator: &Operator, tenant: &Tenant, id: Uuid) -> Result<Option<Row>, Error> {
    let mut connection = operator.pool.get().await?;
    let row = erasures::table.find((tenant.id, id));
    let columns = (erasures::erased_at, erasures::assignments, erasures::mails, erasures::events);
    Ok(row.select(columns).first(&mut connection).await.optional()?)
}

/// Waits until a notifier has erased the user after `before`.
async fn wait(
    operator: &Operator,
    tenant: &Tenant,
    id: Uuid,
    before: Option<OffsetDateTime>,
) -> Result<Row, Error> {
    let done = async {
        let mut delays = Delays::reconnect();
        loop {
            match noted(operator, tenant, id).await? {
                Some(row) if Some(row.0) != before => return Ok(row),
                _ => delays.pause().await,
            }
        }
    };
    let late = |_| {
        Err(Error::Late(format!(
            "the account is deleted, but no notifier erased assignments and mail of {id} within {} s; it will when it runs; \
             repeat the command with this id to check",
            operator.deadline.as_secs()
        )))
    };
    tokio::time::timeout(operator.deadline, done).await.unwrap_or_else(late)
}
