//! Leases the mail that is due.

use std::time::Duration;

use database::Error;
use database::schema::notifications;
use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Bool, Double, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use domain::settings::Limits;
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::sql::{CHOOSE, GIVE_BACK, LEASE, RATES, WAITING};
use crate::decide::{COMPLETED, DELETED, UNSUBSCRIBED, WITHDRAWN};
use crate::store::assignments;
use crate::store::mail_content::MailContent;

/// A tenant with mail that is waiting.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct Waiting {
    /// The tenant.
    #[diesel(sql_type = SqlUuid)]
    pub tenant_id: Uuid,
    /// Whether one of its mails is due now, within its rate limit.
    #[diesel(sql_type = Bool)]
    pub is_due: bool,
}

/// How many mails may be leased for a tenant now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The tenant.
    pub tenant: Uuid,
    /// The maximum number of mails.
    pub mails: i32,
}

/// A mail that was looked at.
#[derive(QueryableByName)]
struct Looked {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    /// It waits for the user's first-assignment mail.
    #[diesel(sql_type = Bool)]
    is_put_off: bool,
}

/// The result of a look at the mail that is due.
pub struct Leased {
    /// The mails leased by this notifier, or suppressed instead.
    pub mails: Vec<LeasedMail>,
    /// Whether mails were put off until the first-assignment mails of their users: others may be due behind them.
    pub has_put_off: bool,
}

/// A mail leased by this notifier, or suppressed instead.
#[derive(Clone, QueryableByName)]
pub struct LeasedMail {
    /// The row's id.
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    /// Whose.
    #[diesel(sql_type = SqlUuid)]
    pub tenant_id: Uuid,
    /// The recipient's id.
    #[diesel(sql_type = SqlUuid)]
    pub user_id: Uuid,
    /// Its kind.
    #[diesel(sql_type = Text)]
    pub kind: String,
    /// Why it was suppressed, if it was.
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    /// The id of the event that caused it.
    #[diesel(sql_type = Text)]
    pub event_id: String,
    /// Its content, see [`MailContent`].
    #[diesel(sql_type = Jsonb)]
    pub context: Value,
    /// The number of attempts, including this one.
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    /// The original due time, used as the Date header.
    #[diesel(sql_type = Timestamptz)]
    pub dated_at: OffsetDateTime,
    /// Whether this is the last attempt, because the time for retries is over.
    #[diesel(sql_type = Bool)]
    pub is_last: bool,
    /// The tenant's name.
    #[diesel(sql_type = Text)]
    pub tenant: String,
    /// What the tenant chose, see [`domain::settings::Settings`].
    #[diesel(sql_type = Jsonb)]
    pub settings: Value,
    #[diesel(sql_type = Nullable<Text>)]
    locale: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    timezone: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    given_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    family_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    display_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    user_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    email: Option<String>,
}

/// The user's attributes. Not `Debug`, because they are personal data.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// SCIM's `name.givenName`.
    pub given_name: String,
    /// SCIM's `name.familyName`.
    pub family_name: String,
    /// SCIM's `displayName`.
    pub display_name: Option<String>,
    /// SCIM's `userName`.
    pub user_name: String,
    /// SCIM's primary email.
    pub email: String,
    /// SCIM's `locale`.
    pub locale: Option<String>,
    /// SCIM's `timezone`.
    pub timezone: Option<String>,
}

impl LeasedMail {
    /// The recipient.
    #[must_use]
    pub fn person(&self) -> Person {
        Person {
            given_name: self.given_name.clone().unwrap_or_default(),
            family_name: self.family_name.clone().unwrap_or_default(),
            display_name: self.display_name.clone(),
            user_name: self.user_name.clone().unwrap_or_default(),
            email: self.email.clone().unwrap_or_default(),
            locale: self.locale.clone(),
            timezone: self.timezone.clone(),
        }
    }
}

/// The next tenants with mail that is waiting, in the order of their ids, after this one. At most `limit`.
///
/// # Errors
/// See [`Error`].
pub async fn waiting(
    connection: &mut AsyncPgConnection,
    after: Uuid,
    limit: usize,
) -> Result<Vec<Waiting>, Error> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let waiting = diesel::sql_query(WAITING).bind::<SqlUuid, _>(after).bind::<BigInt, _>(limit);
    Ok(waiting.get_results(connection).await?)
}

/// Leases at most `limit` mails that are due, for the duration of `lease`, within the tenants' quotas and rate limits:
/// one of each tenant in turn, in the order of `quotas`. Assignments completed before the first attempt are removed.
///
/// # Errors
/// See [`Error`].
pub async fn lease_due(
    connection: &mut AsyncPgConnection,
    quotas: &[Quota],
    limit: usize,
    lease: Duration,
) -> Result<Leased, Error> {
    let tenants: Vec<Uuid> = quotas.iter().map(|quota| quota.tenant).collect();
    let numbers: Vec<i32> = quotas.iter().map(|quota| quota.mails).collect();
    let work = async |connection: &mut AsyncPgConnection| {
        diesel::sql_query(RATES).bind::<Array<SqlUuid>, _>(&tenants).execute(connection).await?;
        let choose = diesel::sql_query(CHOOSE)
            .bind::<Array<SqlUuid>, _>(&tenants)
            .bind::<Array<Integer>, _>(&numbers)
            .bind::<BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind::<Double, _>(f64::from(Limits::default().mails_per_minute.get()));
        let (put_off, chosen): (Vec<Looked>, Vec<Looked>) =
            choose.get_results::<Looked>(connection).await?.into_iter().partition(|mail| mail.is_put_off);
        let has_put_off = !put_off.is_empty();
        if chosen.is_empty() {
            return Ok(Leased { mails: Vec::new(), has_put_off });
        }
        let leasing = diesel::sql_query(LEASE)
            .bind::<Text, _>(DELETED)
            .bind::<Text, _>(WITHDRAWN)
            .bind::<Double, _>(lease.as_secs_f64())
            .bind::<Text, _>(UNSUBSCRIBED)
            .bind::<Array<SqlUuid>, _>(chosen.into_iter().map(|mail| mail.id).collect::<Vec<Uuid>>());
        let mut mails: Vec<LeasedMail> = leasing.get_results(connection).await?;
        leave_out_completed(connection, &mut mails).await?;
        let unsent = mails.iter().filter(|mail| mail.reason.is_some());
        let unsent: Vec<Uuid> = unsent.map(|mail| mail.tenant_id).collect();
        if !unsent.is_empty() {
            diesel::sql_query(GIVE_BACK).bind::<Array<SqlUuid>, _>(unsent).execute(connection).await?;
        }
        Ok(Leased { mails, has_put_off })
    };
    connection.transaction(work).await
}

/// Removes completed assignments from mails that have not been tried yet, and suppresses those that become empty.
async fn leave_out_completed(
    connection: &mut AsyncPgConnection,
    mails: &mut [LeasedMail],
) -> Result<(), Error> {
    let new = |mail: &&mut LeasedMail| mail.attempts == 1 && mail.reason.is_none();
    let mut said: Vec<(&mut LeasedMail, MailContent)> = mails
        .iter_mut()
        .filter(new)
        // An invalid context is reported when the mail is built.
        .filter_map(|mail| MailContent::deserialize(&mail.context).ok().map(|context| (mail, context)))
        .collect();
    let tenants: Vec<Uuid> = said.iter().map(|(mail, _)| mail.tenant_id).collect();
    let ids: Vec<String> = said.iter().flat_map(|(_, context)| context.assignments()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let completed = assignments::completed(connection, &tenants, &ids).await?;
    for (mail, context) in &mut said {
        if !context.leave_out(|id| completed.contains(&(mail.tenant_id, id.to_owned()))) {
            continue;
        }
        let row = notifications::table.find(mail.id);
        if context.items().is_empty() {
            let set = (notifications::state.eq("suppressed"), notifications::reason.eq(COMPLETED));
            diesel::update(row).set((set, notifications::attempts.eq(0))).execute(connection).await?;
            mail.reason = Some(COMPLETED.to_owned());
        } else {
            mail.context = serde_json::to_value(&*context).unwrap_or_default();
            diesel::update(row).set(notifications::context.eq(&mail.context)).execute(connection).await?;
        }
    }
    Ok(())
}
