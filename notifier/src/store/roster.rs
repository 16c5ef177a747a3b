//! What the notifier reads of the roster: tenants by name, users by id, and what the ledger has for them.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::postgres::Error;
use shared::postgres::schema::{notifications, tenants, users};
use uuid::Uuid;
use wording::Kind;

use crate::decide::{Mailed, User};

/// The ids of those of these tenants that there are, by name.
///
/// # Errors
/// See [`Error`].
pub async fn tenants(
    connection: &mut AsyncPgConnection,
    names: &[&str],
) -> Result<HashMap<String, Uuid>, Error> {
    let query = tenants::table.filter(tenants::name.eq_any(names)).select((tenants::name, tenants::id));
    Ok(query.load::<(String, Uuid)>(connection).await?.into_iter().collect())
}

/// What is known of the people whom a batch is about.
#[derive(Debug, Default)]
pub struct People {
    users: HashMap<(Uuid, Uuid), User>,
    mailed: HashMap<Uuid, Mailed>,
}

impl People {
    /// Loads these people, by id.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn load(connection: &mut AsyncPgConnection, ids: &[Uuid]) -> Result<Self, Error> {
        let query = users::table.filter(users::id.eq_any(ids)).select((
            users::tenant_id,
            users::id,
            users::archived_at.is_not_null(),
        ));
        let rows = query.load::<(Uuid, Uuid, bool)>(connection).await?;
        let users =
            rows.into_iter().map(|(tenant, id, archived)| ((tenant, id), User { archived })).collect();
        let query = notifications::table
            .filter(
                notifications::user_id.eq_any(ids).and(notifications::state.ne_all(["suppressed", "failed"])),
            )
            .select((notifications::user_id, notifications::kind));
        let mut people = Self { users, mailed: HashMap::new() };
        for (user, kind) in query.load::<(Uuid, String)>(connection).await? {
            if let Some(kind) = Kind::stored(&kind) {
                people.mail(user, kind);
            }
        }
        Ok(people)
    }

    /// A tenant's user; another tenant's is unknown to it.
    #[must_use]
    pub fn user(&self, tenant: Uuid, id: Uuid) -> Option<User> {
        self.users.get(&(tenant, id)).copied()
    }

    /// What the ledger has for a user.
    #[must_use]
    pub fn mailed(&self, id: Uuid) -> Mailed {
        self.mailed.get(&id).copied().unwrap_or_default()
    }

    /// Notes that a mail of this kind is in the ledger now.
    pub fn mail(&mut self, user: Uuid, kind: Kind) {
        self.mailed.entry(user).or_default().add(kind);
    }
}
