//! The mail ledger: lists and shows its entries, and sends a mail from it again. The ledger identifies users by id
//! only.

use database::schema::{notifications, tenants, unsubscribed, users};
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Timestamptz};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Error, Operator, moments};

/// The delivery states of a mail.
pub const STATES: [&str; 5] = ["pending", "sending", "sent", "suppressed", "failed"];

/// The kinds of mail that users can unsubscribe from.
pub const OPTIONAL: [&str; 2] = ["assignment", "digest"];

/// `event_source` of entries whose content was deleted because they were old.
const EMPTIED: &str = "urn:rollcall:erased";

/// Selects entries of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Only this tenant.
    pub tenant: Option<Uuid>,
    /// Only mail to this user.
    pub user: Option<Uuid>,
    /// Only this delivery state, one of [`STATES`].
    pub state: Option<String>,
    /// The maximum number of entries.
    pub limit: u16,
}

impl Default for Selection {
    fn default() -> Self {
        Self { tenant: None, user: None, state: None, limit: 50 }
    }
}

/// An entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its id.
    pub id: Uuid,
    /// The tenant's name.
    pub tenant: String,
    /// The user.
    pub user: Uuid,
    /// The kind of mail.
    pub kind: String,
    /// The delivery state.
    pub state: String,
    /// The reason for the state, or the last attempt's error.
    pub why: Option<String>,
    /// The number of attempts.
    pub attempts: i32,
    /// When it was decided to send or to suppress the mail.
    #[serde(with = "moments")]
    pub decided_at: OffsetDateTime,
    /// The time of the next attempt, if there is one.
    #[serde(with = "moments::option")]
    pub next_at: Option<OffsetDateTime>,
    /// When the mail was sent.
    #[serde(with = "moments::option")]
    pub sent_at: Option<OffsetDateTime>,
}

/// An entry with everything that the ledger holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MailDetails {
    /// The entry.
    #[serde(flatten)]
    pub entry: Entry,
    /// Whether the last attempt ended without an answer, so that the mail may have been sent.
    pub in_doubt: bool,
    /// The last attempt; null if there was none.
    pub last_attempt: Value,
    /// The event from which the mail was made.
    pub event: Event,
    /// The data that the mail was rendered from.
    pub says: Value,
}

/// An event, as CloudEvents identifies it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Its source.
    pub source: String,
    /// Its id, unique within the source.
    pub id: String,
}

/// A mail that is to be sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resent {
    /// Its id.
    pub id: Uuid,
    /// Its new state.
    pub state: &'static str,
}

/// A row of the ledger.
#[derive(Queryable, Selectable)]
#[diesel(table_name = notifications, check_for_backend(diesel::pg::Pg))]
struct LedgerRow {
    id: Uuid,
    user_id: Uuid,
    kind: String,
    state: String,
    reason: Option<String>,
    event_source: String,
    event_id: String,
    context: Value,
    attempts: i32,
    decided_at: OffsetDateTime,
    due_at: OffsetDateTime,
    sent_at: Option<OffsetDateTime>,
    in_doubt: bool,
    last_attempt: Option<Value>,
}

impl LedgerRow {
    fn shown(self, tenant: String) -> MailDetails {
        let last = || Some(self.last_attempt.as_ref()?.get("why")?.as_str()?.to_owned());
        let why = self.reason.or_else(last);
        let next_at = matches!(self.state.as_str(), "pending" | "sending").then_some(self.due_at);
        let entry = Entry {
            id: self.id,
            tenant,
            user: self.user_id,
            kind: self.kind,
            state: self.state,
            why,
            attempts: self.attempts,
            decided_at: self.decided_at,
            next_at,
            sent_at: self.sent_at,
        };
        MailDetails {
            entry,
            in_doubt: self.in_doubt,
            last_attempt: self.last_attempt.unwrap_or_default(),
            event: Event { source: self.event_source, id: self.event_id },
            says: self.context,
        }
    }
}

/// Lists entries, latest first.
///
/// # Errors
/// Those of the database.
pub async fn list(operator: &Operator, which: &Selection) -> Result<Vec<Entry>, Error> {
    let mut query = notifications::table
        .inner_join(tenants::table.on(tenants::id.eq(notifications::tenant_id)))
        .select((LedgerRow::as_select(), tenants::name))
        .order((notifications::decided_at.desc(), notifications::id))
        .limit(which.limit.into())
        .into_boxed();
    if let Some(tenant) = which.tenant {
        query = query.filter(notifications::tenant_id.eq(tenant));
    }
    if let Some(user) = which.user {
        query = query.filter(notifications::user_id.eq(user));
    }
    if let Some(state) = &which.state {
        query = query.filter(notifications::state.eq(state));
    }
    let mut connection = operator.pool.get().await?;
    let rows: Vec<(LedgerRow, String)> = query.load(&mut connection).await?;
    Ok(rows.into_iter().map(|(row, tenant)| row.shown(tenant).entry).collect())
}

/// Shows an entry.
///
/// # Errors
/// [`Error::Refused`] if there is no entry with this id.
pub async fn show(operator: &Operator, id: Uuid) -> Result<MailDetails, Error> {
    let mut connection = operator.pool.get().await?;
    let query = notifications::table
        .inner_join(tenants::table.on(tenants::id.eq(notifications::tenant_id)))
        .filter(notifications::id.eq(id))
        .select((LedgerRow::as_select(), tenants::name));
    let found: Option<(LedgerRow, String)> = query.first(&mut connection).await.optional()?;
    let (row, tenant) = found.ok_or_else(unknown)?;
    Ok(row.shown(tenant))
}

/// Makes the notifier send a pending mail now, or a sent or failed one again, with the same Message-ID.
///
/// # Errors
/// [`Error::Refused`] if there is no such mail, or it is being sent, was suppressed, or its user no longer gets mail.
pub async fn resend(operator: &Operator, id: Uuid) -> Result<Resent, Error> {
    let mut connection = operator.pool.get().await?;
    let active = users::table
        .filter(users::id.eq(notifications::user_id).and(users::tenant_id.eq(notifications::tenant_id)))
        .filter(users::archived_at.is_null());
    let stopped = unsubscribed::table
        .filter(unsubscribed::tenant_id.eq(notifications::tenant_id))
        .filter(unsubscribed::user_id.eq(notifications::user_id));
    let wanted = notifications::kind.ne_all(OPTIONAL).or(not(exists(stopped)));
    let ours = notifications::table.find(id).filter(exists(active)).filter(wanted);
    let ours = ours.filter(notifications::event_source.ne(EMPTIED));
    let now = || diesel::dsl::sql::<Timestamptz>("now()");
    let waits = ours.clone().filter(notifications::state.eq("pending"));
    // The mail keeps the Date of its first attempt.
    let dated = "case when attempts = 0 then now() else dated_at end";
    let at_once = (
        notifications::due_at.eq(now()),
        notifications::dated_at.eq(diesel::dsl::sql::<Nullable<Timestamptz>>(dated)),
    );
    let mut changed = diesel::update(waits).set(at_once).execute(&mut connection).await?;
    if changed == 0 {
        let set = (
            notifications::state.eq("pending"),
            notifications::due_at.eq(now()),
            // The 72 hours and the backoff start over. `attempts` is not 0, since a mail that was attempted takes no
            // more items.
            notifications::give_up_at.eq(None::<OffsetDateTime>),
            notifications::attempts.eq(1),
            notifications::reason.eq(None::<String>),
        );
        let ended = ours.filter(notifications::state.eq_any(["sent", "failed"]));
        changed = match diesel::update(ended)
            .set(set)
            .execute(&mut connection)
            .await
            .map_err(database::Error::from)
        {
            Err(database::Error::Taken { .. }) => {
                let what = "the user has received another mail of this kind since; only one is sent";
                return Err(Error::Refused(what.to_owned()));
            }
            changed => changed?,
        };
    }
    if changed == 0 {
        let row = notifications::table.find(id).select(notifications::state);
        let state: Option<String> = row.first(&mut connection).await.optional()?;
        return Err(match state.as_deref() {
            None => unknown(),
            Some("sending") => Error::Refused("this mail is being sent now".to_owned()),
            Some("suppressed") => {
                Error::Refused("this mail was suppressed; `rollcall mail show` shows the reason".to_owned())
            }
            Some(_) => Error::Refused(
                "the user is archived, deleted, or unsubscribed, or the content of the mail was deleted"
                    .to_owned(),
            ),
        });
    }
    Ok(Resent { id, state: "pending" })
}

fn unknown() -> Error {
    Error::Refused("there is no mail with this id; see `rollcall mail list`".to_owned())
}
