//! A tenant with random users and groups in a separate database, as stored and as shown.

use std::collections::{BTreeMap, HashMap};

use database::groups::GroupRow;
use database::users::UserRow;
use database::{Error, Pool, Rows, migrations};
use diesel::sql_query;
use diesel_async::RunQueryDsl;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use scim::{Computed, Record, Related, ResourceType, Types, folded_text, search_document, user_name_key};
use serde_json::{Value, json};
use tests::servers::Servers;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::generate::{self, Drawn};

/// The base URL.
pub const BASE: &str = "https://rollcall.example/scim/v2";

const USERS: usize = 120;
const GROUPS: usize = 40;

const INSERT_USERS: &str = "insert into users (id, tenant_id, user_name_key, role, origin, archived_at, resource, search, \
    search_version, version, ticket, created_ticket, created_at, modified_at) select id, tenant_id, user_name_key, role, \
    origin, archived_at, resource, search, version, version, ticket, ticket, created_at, modified_at from input";
const INSERT_GROUPS: &str = "insert into groups (id, tenant_id, resource, search, search_version, member_count, version, \
    ticket, created_at, modified_at) select id, tenant_id, resource, search, version, member_count, version, ticket, \
    created_at, modified_at from input";
const INSERT_MEMBERS: &str = "insert into group_members (group_id, user_id, display, display_search) \
     select group_id, user_id, display, display_search from input";

/// The resource type of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    User,
    Group,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::User, Self::Group];

    pub fn resource_type(self, types: &Types) -> &ResourceType {
        match self {
            Self::User => &types.user,
            Self::Group => &types.group,
        }
    }
}

/// The tenant.
pub struct Roster {
    pub pool: Pool,
    pub tenant: Uuid,
    pub types: Types,
    users: BTreeMap<Uuid, Value>,
    groups: BTreeMap<Uuid, Value>,
}

impl Roster {
    /// Fills a database with this tenant and another one with the same resources.
    pub async fn fill(runner: &mut TestRunner) -> Self {
        let urls = Servers::shared().await.place().await;
        let url = urls.get("DATABASE_URL");
        let pool = Pool::new(url, 2).unwrap();
        migrations::run(&pool).await.unwrap();
        let mut roster = Self {
            pool,
            tenant: platform::id::new(),
            types: generate::types(),
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
        };
        for tenant in [platform::id::new(), roster.tenant] {
            roster
                .run(&format!("insert into tenants (id, name) values ('{tenant}', 't{}')", tenant.simple()))
                .await;
            (roster.users, roster.groups) = roster.insert(tenant, runner).await;
        }
        roster.run("vacuum analyze").await;
        roster
    }

    /// The resources ordered by id, as filters see them.
    pub fn shown(&self, kind: Kind) -> impl Iterator<Item = (Uuid, &Value)> {
        let shown = match kind {
            Kind::User => &self.users,
            Kind::Group => &self.groups,
        };
        shown.iter().map(|(id, shown)| (*id, shown))
    }

    pub async fn run(&self, statement: &str) {
        let run = async |c: &mut _| Ok::<_, Error>(sql_query(statement).execute(c).await?);
        self.pool.bounded(run).await.unwrap();
    }

    /// Replaces stored values by ones of unexpected shape.
    pub async fn bend(&self) {
        let shapes = [
            r#"{"a": {"b": [1, "x", null]}}"#,
            "[[1], [], null, {}]",
            "12",
            "1e300",
            "true",
            "null",
            r#""x""#,
            "[]",
        ];
        for (n, shape) in shapes.iter().enumerate() {
            let bent = format!(
                "(select jsonb_object_agg(key, case when jsonb_typeof(value) = 'object' and key like 'urn:%' \
                 then (select jsonb_object_agg(k, '{shape}'::jsonb) from jsonb_object_keys(value) k) \
                 else '{shape}'::jsonb end) from jsonb_each(search))"
            );
            for table in ["users", "groups"] {
                let rows = format!("id in (select id from {table} order by id offset {n} * 4 limit 4)");
                self.run(&format!("update {table} set search = {bent} where {rows}")).await;
            }
        }
        self.run("update users set search = '[]' where id in (select id from users limit 1)").await;
    }

    /// Inserts users, groups and memberships of a tenant; returns their representations.
    async fn insert(
        &self,
        tenant: Uuid,
        runner: &mut TestRunner,
    ) -> (BTreeMap<Uuid, Value>, BTreeMap<Uuid, Value>) {
        let mut draw = |kind, n| generate::resource(kind, n).new_tree(runner).unwrap().current();
        let users: Vec<Drawn> = (0..USERS).map(|n| draw(Kind::User, n)).collect();
        let groups: Vec<Drawn> = (0..GROUPS).map(|n| draw(Kind::Group, n)).collect();
        let users: Vec<UserRow> = users.into_iter().map(|drawn| self.user(tenant, drawn)).collect();
        let chosen: Vec<Vec<usize>> = groups.iter().map(|drawn| drawn.members.clone()).collect();
        let groups: Vec<GroupRow> = groups.into_iter().map(|drawn| self.group(tenant, drawn)).collect();

        let (mut members, mut groups_of) =
            (HashMap::<Uuid, Vec<Related>>::new(), HashMap::<Uuid, Vec<Related>>::new());
        let mut rows = Vec::new();
        for (group, chosen) in groups.iter().zip(chosen) {
            for user in users.iter().enumerate().filter(|(n, _)| chosen.contains(n)).map(|(_, user)| user) {
                // Every third membership has a display from the client: the name of another user.
                let called = (rows.len() % 3 == 0).then(|| users[rows.len() % users.len()].user_name.clone());
                let folded = called.as_deref().map(folded_text);
                rows.push(json!({ "group_id": group.id, "user_id": user.id, "display": called, "display_search": folded }));
                let display = called.unwrap_or_else(|| user.display().to_owned());
                members.entry(group.id).or_default().push(Related { id: user.id, display });
                groups_of
                    .entry(user.id)
                    .or_default()
                    .push(Related { id: group.id, display: group_name(group) });
            }
        }
        self.store(
            "users",
            users.iter().map(|row| self.stored(Kind::User, row.record().unwrap(), json!(row))),
            INSERT_USERS,
        )
        .await;
        self.store(
            "groups",
            groups.iter().map(|row| self.stored(Kind::Group, row.record().unwrap(), json!(row))),
            INSERT_GROUPS,
        )
        .await;
        self.store("group_members", rows.into_iter(), INSERT_MEMBERS).await;

        let related = |of: &mut HashMap<Uuid, Vec<Related>>, id| {
            let mut related = of.remove(&id).unwrap_or_default();
            related.sort_by_key(|related| related.id);
            related
        };
        let shown_users = users.iter().map(|row| {
            let computed = Computed::Groups(related(&mut groups_of, row.id));
            let shown = row.record().unwrap().whole(&self.types.user, BASE, Some(computed));
            (row.id, Value::Object(shown))
        });
        let shown_users = shown_users.collect();
        let shown_groups = groups.iter().map(|row| {
            let computed = Computed::Members(related(&mut members, row.id));
            let shown = row.record().unwrap().whole(&self.types.group, BASE, Some(computed));
            (row.id, Value::Object(shown))
        });
        (shown_users, shown_groups.collect())
    }

    /// The row with its search document, as the worker stores it.
    fn stored(&self, kind: Kind, record: Record, mut row: Value) -> Value {
        row["search"] = Value::Object(search_document(kind.resource_type(&self.types), &record.resource));
        row
    }

    async fn store(&self, table: &'static str, rows: impl Iterator<Item = Value>, statement: &'static str) {
        let rows: Vec<Value> = rows.collect();
        let insert = Rows::new(table, &rows, statement).unwrap();
        let run = async |c: &mut _| Ok::<_, Error>(insert.execute(c).await?);
        self.pool.bounded(run).await.unwrap();
    }

    fn user(&self, tenant: Uuid, drawn: Drawn) -> UserRow {
        let resource = &drawn.resource;
        let text = |text: Option<&str>| text.map(str::to_owned);
        UserRow {
            id: platform::id::new(),
            tenant_id: tenant,
            user_name: resource.user_name().to_owned(),
            user_name_key: user_name_key(resource.user_name()),
            external_id: text(resource.external_id()),
            role: "learner".to_owned(),
            origin: "scim".to_owned(),
            hire_date: None,
            region: None,
            custom_fields: None,
            pull_ticket: None,
            linked_at: None,
            archived_at: None,
            resource: json!(resource),
            version: drawn.version,
            ticket: platform::id::new(),
            created_at: instant(drawn.created),
            modified_at: instant(drawn.modified),
        }
    }

    fn group(&self, tenant: Uuid, drawn: Drawn) -> GroupRow {
        let resource = &drawn.resource;
        GroupRow {
            id: platform::id::new(),
            tenant_id: tenant,
            resource: json!(resource),
            member_count: i64::try_from(drawn.members.len()).unwrap(),
            version: drawn.version,
            ticket: platform::id::new(),
            created_at: instant(drawn.created),
            modified_at: instant(drawn.modified),
        }
    }
}

fn group_name(group: &GroupRow) -> String {
    group.resource["displayName"].as_str().unwrap_or_default().to_owned()
}

/// A time this many milliseconds after the start of 2026.
fn instant(milliseconds: i64) -> OffsetDateTime {
    time::macros::datetime!(2026-01-01 0:00 UTC) + Duration::milliseconds(milliseconds)
}
