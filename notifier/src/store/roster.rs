//! The notifier's queries on tenants, their settings, users, and the users' mail in the ledger.

use std::collections::{HashMap, HashSet};

use database::schema::{notifications, tenants, unsubscribed, users};
use database::{Constant, Error};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::command::Origin;
use domain::settings::{ContentLinks, Limits, Mail, Settings};
use serde_json::Value;
use uuid::Uuid;
use wording::Kind;

use super::erasure;
use crate::decide::{Mailed, User, WITHDRAWN};

/// Mail that has reached its recipient, may have reached them, or is still to be sent.
const COUNTS: &str = "(notifications.state not in ('suppressed', 'failed') or notifications.sent_at is not null or notifications.in_doubt)";
/// Mail that cannot have reached its recipient.
const NOWHERE: &str = "(notifications.sent_at is null and not notifications.in_doubt)";

/// The ids of the existing tenants among these names, and which links their content may have.
///
/// # Errors
/// See [`Error`].
pub async fn tenants(
    connection: &mut AsyncPgConnection,
    names: &[&str],
) -> Result<HashMap<String, (Uuid, ContentLinks)>, Error> {
    let query = tenants::table.filter(tenants::name.eq_any(names));
    let rows = query.select((tenants::name, tenants::id, tenants::settings)).load(connection).await?;
    let read =
        |(name, id, stored): (String, Uuid, Value)| (name, (id, Settings::stored(id, &stored).content_links));
    Ok(rows.into_iter().map(read).collect())
}

/// A tenant's limits.
///
/// # Errors
/// See [`Error`].
pub async fn limits(connection: &mut AsyncPgConnection, tenant: Uuid) -> Result<Limits, Error> {
    let query = tenants::table.find(tenant).select(tenants::settings);
    let stored: Option<Value> = query.first(connection).await.optional()?;
    Ok(stored.map(|stored| Settings::stored(tenant, &stored).limits).unwrap_or_default())
}

/// The state of a batch's users, and their tenants' settings.
#[derive(Debug, Default)]
pub struct People {
    users: HashMap<(Uuid, Uuid), User>,
    mailed: HashMap<Uuid, Mailed>,
    chosen: HashMap<Uuid, Mail>,
    erased: HashSet<(Uuid, Uuid)>,
}

impl People {
    /// Loads users of these tenants, by id.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn load(
        connection: &mut AsyncPgConnection,
        tenants: &[Uuid],
        ids: &[Uuid],
    ) -> Result<Self, Error> {
        let mut people = Self { chosen: chosen(connection, tenants).await?, ..Self::default() };
        let query = users::table.filter(users::id.eq_any(ids)).select((
            users::tenant_id,
            users::id,
            users::origin,
            users::archived_at.is_not_null(),
            users::timezone,
        ));
        for (tenant, id, origin, archived, timezone) in
            query.load::<(Uuid, Uuid, String, bool, Option<String>)>(connection).await?
        {
            let origin = Origin::stored(&origin);
            people.users.insert((tenant, id), User { origin, archived, timezone, unsubscribed: false });
        }
        let query = unsubscribed::table
            .filter(unsubscribed::tenant_id.eq_any(tenants).and(unsubscribed::user_id.eq_any(ids)))
            .select((unsubscribed::tenant_id, unsubscribed::user_id));
        for key in query.load::<(Uuid, Uuid)>(connection).await? {
            if let Some(user) = people.users.get_mut(&key) {
                user.unsubscribed = true;
            }
        }
        people.erased = erasure::erased(connection, tenants, ids).await?.into_iter().collect();
        let withdrawn = notifications::state
            .eq("suppressed")
            .and(notifications::kind.eq(Kind::FirstAssignment.as_str()))
            .and(notifications::reason.eq(WITHDRAWN));
        let query = notifications::table
            .filter(notifications::user_id.eq_any(ids).and(Constant(COUNTS).or(withdrawn)))
            .order((notifications::decided_at, notifications::id))
            .select((
                notifications::user_id,
                notifications::kind,
                notifications::id,
                notifications::state.eq("suppressed").and(Constant(NOWHERE)),
                notifications::state.eq("pending").and(notifications::attempts.eq(0)),
            ));
        for (user, kind, id, withdrawn, untried) in
            query.load::<(Uuid, String, Uuid, bool, bool)>(connection).await?
        {
            match Kind::stored(&kind) {
                Some(_) if withdrawn => people.withdrawn(user, id),
                Some(kind) => people.mail(user, kind, untried.then_some(id)),
                None => {}
            }
        }
        Ok(people)
    }

    /// A user of a tenant; users of other tenants are not found.
    #[must_use]
    pub fn user(&self, tenant: Uuid, id: Uuid) -> Option<&User> {
        self.users.get(&(tenant, id))
    }

    /// Whether this user was deleted and erased.
    #[must_use]
    pub fn is_erased(&self, tenant: Uuid, id: Uuid) -> bool {
        !self.users.contains_key(&(tenant, id)) && self.erased.contains(&(tenant, id))
    }

    /// The mail that the ledger holds for a user.
    pub fn mailed(&mut self, id: Uuid) -> &Mailed {
        self.mailed.entry(id).or_default()
    }

    /// A tenant's mail settings; `None` for an unknown tenant.
    pub fn chosen(&self, tenant: Uuid) -> Option<&Mail> {
        self.chosen.get(&tenant)
    }

    /// Records that a mail of this kind is in the ledger, with its id if assignments can still be added to it.
    pub fn mail(&mut self, user: Uuid, kind: Kind, waiting: Option<Uuid>) {
        self.mailed.entry(user).or_default().add(kind, waiting);
    }

    /// Records a withdrawn first-assignment mail.
    fn withdrawn(&mut self, user: Uuid, id: Uuid) {
        self.mailed.entry(user).or_default().withdrawn = Some(id);
    }
}

async fn chosen(connection: &mut AsyncPgConnection, ids: &[Uuid]) -> Result<HashMap<Uuid, Mail>, Error> {
    let query = tenants::table.filter(tenants::id.eq_any(ids)).select((tenants::id, tenants::settings));
    let read = |(id, stored): (Uuid, Value)| (id, Settings::stored(id, &stored).mail);
    Ok(query.load(connection).await?.into_iter().map(read).collect())
}
