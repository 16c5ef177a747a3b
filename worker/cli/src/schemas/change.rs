//! Registers, replaces and removes a schema, in steps: each is a short transaction, and none waits while it holds what
//! others need. Tenants go on meanwhile, this one too.
//!
//! Stored values must fit the definition. A compatible definition replaces another one at once. Any other may only
//! replace a definition without values, and the values of all rows cannot be checked at one moment. So the old schema
//! is removed first: nobody stores a value under it from then on, and a check after that is final. If a step fails, the
//! same command can be repeated.

use database::schema::{schemas, tenants};
use database::tenants::Tenant;
use database::{Connection, Pool};
use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use scim::Types;
use scim::schema::Schema;
use time::OffsetDateTime;

use super::rows::SchemaRow;
use super::steps;
use crate::context::Failure;

/// How often to begin again because another command changed the tenant's schemas.
const TRIES: usize = 5;

/// A change of a tenant's schemas.
pub(super) struct Change<'a> {
    pub pool: &'a Pool,
    pub tenant: &'a Tenant,
    pub now: OffsetDateTime,
}

/// What to write to the row of a schema.
enum Step<'a> {
    /// Inserts it, in place of the row with this id.
    Insert(&'a Schema, &'a str, Option<&'a str>),
    /// Replaces the definition in the row with this id.
    Update(&'a Schema, &'a str),
    /// Removes the schema, or restores it.
    Remove(&'a str, bool),
}

impl Change<'_> {
    /// Registers a schema that extends this resource type. Returns whether it replaced a registered one.
    pub(super) async fn add(&self, extended: &str, schema: &Schema) -> Result<bool, Failure> {
        for _ in 0..TRIES {
            if let Some(replaced) = self.try_add(extended, schema).await? {
                return Ok(replaced);
            }
        }
        Err(self.interrupted())
    }

    /// `None` if another command changed the schemas meanwhile.
    async fn try_add(&self, extended: &str, schema: &Schema) -> Result<Option<bool>, Failure> {
        let seen = self.every().await?;
        let is_it = |row: &&SchemaRow| row.id.eq_ignore_ascii_case(&schema.id);
        let old = seen.iter().find(is_it);
        let others: Vec<&SchemaRow> =
            seen.iter().filter(|row| row.removed_at.is_none() && !is_it(row)).collect();
        let limits = &self.tenant.settings.limits;
        if others.len() >= usize::try_from(limits.schemas_max.get()).unwrap_or(usize::MAX) {
            return Err(Failure::refused(format!("{}: remove a schema first", limits.schemas_max())));
        }
        check_with(schema, extended, &others)?;
        let Some(old) = old else {
            let is_done = self.step(&seen, Step::Insert(schema, extended, None)).await?;
            return Ok(is_done.then_some(false));
        };
        let is_registered = old.removed_at.is_none();
        let unfit = match check_against(schema, extended, old) {
            Ok(()) if old.id == schema.id => {
                if !self.step(&seen, Step::Update(schema, &old.id)).await? {
                    return Ok(None);
                }
                self.mark(&old.id).await?;
                return Ok(Some(is_registered));
            }
            Ok(()) => Failure::refused(format!("{} is registered as {}, with values", schema.id, old.id)),
            Err(unfit) => unfit,
        };
        if !is_registered {
            return self.replace_unused(&seen, old, extended, schema, unfit).await;
        }
        if self.is_used(&old.id).await? {
            return Err(unfit);
        }
        if !self.step(&seen, Step::Remove(&old.id, true)).await? {
            return Ok(None);
        }
        steps::wait_for_batches(self.pool, self.tenant).await?;
        let seen = self.every().await?;
        let done = self.replace_unused(&seen, old, extended, schema, unfit).await;
        if !matches!(done, Ok(Some(_))) {
            let seen = self.every().await?;
            self.step(&seen, Step::Remove(&old.id, false)).await?;
        }
        Ok(done?.map(|_| true))
    }

    /// Replaces a removed schema by one that does not fit its values, if it has none.
    async fn replace_unused(
        &self,
        seen: &[SchemaRow],
        old: &SchemaRow,
        extended: &str,
        schema: &Schema,
        unfit: Failure,
    ) -> Result<Option<bool>, Failure> {
        if self.is_used(&old.id).await? {
            return Err(unfit);
        }
        let is_done = self.step(seen, Step::Insert(schema, extended, Some(&old.id))).await?;
        Ok(is_done.then_some(false))
    }

    /// Removes a registered schema. Returns its row.
    pub(super) async fn remove(&self, urn: &str) -> Result<SchemaRow, Failure> {
        for _ in 0..TRIES {
            let seen = self.every().await?;
            let is_it = |row: &&SchemaRow| row.removed_at.is_none() && row.id.eq_ignore_ascii_case(urn);
            let row = seen.iter().find(is_it).ok_or_else(|| unknown(self.tenant))?;
            if self.step(&seen, Step::Remove(&row.id, true)).await? {
                self.mark(&row.id).await?;
                return Ok(row.clone());
            }
        }
        Err(self.interrupted())
    }

    async fn every(&self) -> Result<Vec<SchemaRow>, Failure> {
        every(&mut *self.pool.get().await?, self.tenant).await
    }

    async fn is_used(&self, urn: &str) -> Result<bool, Failure> {
        steps::is_used(self.pool, self.tenant, urn).await
    }

    /// Marks the search documents of the schema's values as out of date, once no batch is left that read the tenant's
    /// schemas before the change.
    async fn mark(&self, urn: &str) -> Result<(), Failure> {
        steps::wait_for_batches(self.pool, self.tenant).await?;
        steps::mark(self.pool, self.tenant, urn).await
    }

    /// Writes a row, unless the schemas are not those that were `seen`. Returns whether it was written.
    async fn step(&self, seen: &[SchemaRow], step: Step<'_>) -> Result<bool, Failure> {
        let mut connection = self.pool.get().await?;
        let work = async |connection: &mut Connection| {
            // Serializes changes of schemas; neither readers nor changes of users wait for this lock.
            let own = tenants::table.find(self.tenant.id).select(tenants::id).for_no_key_update();
            own.execute(connection).await?;
            if every(connection, self.tenant).await? != seen {
                return Ok::<bool, Failure>(false);
            }
            self.write(connection, &step).await?;
            Ok(true)
        };
        connection.transaction(work).await
    }

    async fn write(&self, connection: &mut AsyncPgConnection, step: &Step<'_>) -> Result<(), Failure> {
        let row = |id: &str| schemas::table.find((self.tenant.id, id.to_owned()));
        match *step {
            Step::Insert(schema, extended, old) => {
                if let Some(old) = old {
                    diesel::delete(row(old)).execute(connection).await?;
                }
                let new = (
                    schemas::tenant_id.eq(self.tenant.id),
                    schemas::id.eq(&*schema.id),
                    schemas::resource_type.eq(extended),
                    schemas::definition.eq(schema.definition()),
                    schemas::created_at.eq(self.now),
                );
                diesel::insert_into(schemas::table).values(new).execute(connection).await?;
            }
            Step::Update(schema, id) => {
                let none = None::<OffsetDateTime>;
                let change = (schemas::definition.eq(schema.definition()), schemas::removed_at.eq(none));
                diesel::update(row(id)).set(change).execute(connection).await?;
            }
            Step::Remove(id, is_removed) => {
                let removed_at = is_removed.then_some(self.now);
                diesel::update(row(id)).set(schemas::removed_at.eq(removed_at)).execute(connection).await?;
            }
        }
        Ok(())
    }

    fn interrupted(&self) -> Failure {
        let name = &self.tenant.name;
        Failure::refused(format!(
            "the schemas of {name} were changed by other commands at the same time; repeat it"
        ))
    }
}

/// All schemas, including removed ones, in the order of registration.
pub(super) async fn every(
    connection: &mut AsyncPgConnection,
    tenant: &Tenant,
) -> Result<Vec<SchemaRow>, Failure> {
    let own = schemas::table.filter(schemas::tenant_id.eq(tenant.id)).select(SchemaRow::as_select());
    Ok(own.order((schemas::created_at, schemas::id)).load(connection).await?)
}

/// Checks that the schema is compatible with the definition that it replaces.
fn check_against(schema: &Schema, extended: &str, old: &SchemaRow) -> Result<(), Failure> {
    if old.resource_type != extended {
        return Err(Failure::refused(format!(
            "{} is registered for {}s; a schema extends one resource type only",
            schema.id, old.resource_type
        )));
    }
    let refused = |error| refused(schema, error);
    schema.can_replace(&Schema::parse(&old.definition).map_err(refused)?).map_err(refused)
}

/// Checks that the schema is compatible with the other schemas.
fn check_with(schema: &Schema, extended: &str, others: &[&SchemaRow]) -> Result<(), Failure> {
    let refused = |error| refused(schema, error);
    let mut together = vec![(extended, schema.clone())];
    for row in others {
        together.push((&row.resource_type, Schema::parse(&row.definition).map_err(refused)?));
    }
    Types::with(together).map(drop).map_err(refused)
}

fn refused(schema: &Schema, error: scim::Error) -> Failure {
    Failure::refused(format!("{}: {}", schema.id, error.detail))
}

/// The tenant has no such schema.
pub(super) fn unknown(tenant: &Tenant) -> Failure {
    Failure::refused(format!("{0} has no such schema; see `rollcall schema list {0}`", tenant.name))
}
