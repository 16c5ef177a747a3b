//! Removes what `commands` holds about deleted users beside ids: hashes of their names, the resource in outcomes, and
//! reasons, which repeat names of attributes as the client sent them.

use database::Error;
use diesel::sql_types::{Array, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::command::{Actor, Change, name_digest};
use uuid::Uuid;

use super::commands::is_unknown;
use crate::fold::State;

/// `$1` to `$3`: the users, their tenants, and the hashes of their names. A hash is also in requests that were
/// rejected, whose proposed id is not the user's. Rows are locked in order, so that two transactions do not deadlock.
const FORGET: &str = "with gone as (select * from unnest($1, $2, $3) as g (user_id, tenant_id, name_digest)), \
  own as (select c.id, c.tenant_id, c.name_digest from gone g \
    join commands c on c.resource_id = g.user_id and c.tenant_id = g.tenant_id), \
  named as (select tenant_id, name_digest from own where name_digest is not null \
    union select tenant_id, name_digest from gone where name_digest <> ''), \
  touched as (select id from own \
    union select c.id from named n join commands c on c.name_digest = n.name_digest and c.tenant_id = n.tenant_id), \
  locked as (select id from commands where id in (select id from touched) order by id for update) \
  update commands c set name_digest = null, outcome = case \
      when c.id in (select id from own) and c.outcome -> 'error' ? 'detail' \
        then jsonb_set(c.outcome, '{error,detail}', '\"the user was deleted since\"') \
      when c.id in (select id from own) and c.outcome -> 'record' ? 'resource' \
        then jsonb_set(c.outcome, '{record,resource}', '{}') \
      else c.outcome end \
  from locked where c.id = locked.id";

const FORGET_RESOURCES: &str = "delete from recent_resources where command in (select c.id \
    from unnest($1, $2) as g (user_id, tenant_id) \
    join commands c on c.resource_id = g.user_id and c.tenant_id = g.tenant_id)";

/// The users that the batch deletes, with their tenants and the hashes of their names.
#[derive(Default)]
pub(super) struct Forgotten {
    users: Vec<Uuid>,
    tenants: Vec<Uuid>,
    names: Vec<String>,
}

impl Forgotten {
    /// Those of a batch: whom it deletes, and whom an operator erases after they were deleted.
    pub(super) fn of(state: &State) -> Self {
        let mut forgotten = Self::default();
        let gone = state.users.values().filter(|slot| slot.current.is_none());
        for user in gone.filter_map(|slot| slot.stored.as_ref()) {
            forgotten.add(user.tenant_id, user.id, name_digest(user.tenant_id, &user.user_name));
        }
        for entry in state.verdicts.values().filter(|entry| entry.changed && is_unknown(entry)) {
            let erasing = |change: &Change| matches!(change, Change::DeleteUser);
            let command = entry.command.as_ref().filter(|command| erasing(&command.change));
            if let Some(command) = command.filter(|command| command.actor == Actor::Operator) {
                forgotten.add(command.tenant, command.resource, String::new());
            }
        }
        forgotten
    }

    fn add(&mut self, tenant: Uuid, user: Uuid, name: String) {
        self.users.push(user);
        self.tenants.push(tenant);
        self.names.push(name);
    }
}

/// Forgets deleted users. To be called after the verdicts of the batch are saved.
pub(super) async fn forget(mut connection: &AsyncPgConnection, forgotten: &Forgotten) -> Result<(), Error> {
    if forgotten.users.is_empty() {
        return Ok(());
    }
    diesel::sql_query(FORGET)
        .bind::<Array<SqlUuid>, _>(&forgotten.users)
        .bind::<Array<SqlUuid>, _>(&forgotten.tenants)
        .bind::<Array<Text>, _>(&forgotten.names)
        .execute(&mut connection)
        .await?;
    diesel::sql_query(FORGET_RESOURCES)
        .bind::<Array<SqlUuid>, _>(&forgotten.users)
        .bind::<Array<SqlUuid>, _>(&forgotten.tenants)
        .execute(&mut connection)
        .await?;
    Ok(())
}
