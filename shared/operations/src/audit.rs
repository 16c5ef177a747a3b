//! The operators' part of the audit trail. A writing verb is recorded before it runs, and its result after it, so that
//! a verb that was interrupted is recorded too.

use database::schema::operator_actions::dsl;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::{Error, Operator};

/// A writing verb, and who runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The verb, such as `key revoke`.
    pub verb: String,
    /// The tenant's name, if the verb is about one.
    pub tenant: Option<String>,
    /// What it is about: ids, public parts of keys, names of settings. It must not contain personal data.
    pub target: String,
    /// The user of the operating system.
    pub os_user: String,
    /// The name of the machine.
    pub host: String,
}

/// An action that has begun.
#[derive(Debug)]
#[must_use = "the result of an action is recorded by `end`"]
pub struct Begun {
    action: Action,
    run: Uuid,
}

impl Action {
    /// Records that the action begins.
    ///
    /// # Errors
    /// Those of the database. The verb must not run then.
    pub async fn begin(self, operator: &Operator) -> Result<Begun, Error> {
        let begun = self.begun();
        begun.record(operator, "begun", None).await?;
        Ok(begun)
    }

    /// The action without a record of its begin, for verbs that run before the table exists.
    pub fn begun(self) -> Begun {
        Begun { action: self, run: platform::id::new() }
    }
}

impl Begun {
    /// Records the result: `None` if the verb succeeded, else the kind of the error.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn end(self, operator: &Operator, failure: Option<&str>) -> Result<(), Error> {
        let state = if failure.is_some() { "failed" } else { "succeeded" };
        self.record(operator, state, failure).await
    }

    async fn record(&self, operator: &Operator, state: &str, reason: Option<&str>) -> Result<(), Error> {
        let Action { verb, tenant, target, os_user, host } = &self.action;
        let mut connection = operator.pool.get().await?;
        let row = (
            dsl::id.eq(platform::id::new()),
            dsl::run.eq(self.run),
            dsl::action.eq(verb),
            dsl::tenant.eq(tenant.as_deref()),
            dsl::target.eq(target),
            dsl::os_user.eq(os_user),
            dsl::host.eq(host),
            dsl::state.eq(state),
            dsl::reason.eq(reason),
        );
        diesel::insert_into(dsl::operator_actions).values(row).execute(&mut connection).await?;
        Ok(())
    }
}
