//! Grants the roles of the services what [`RELATIONS`] lists, and revokes everything else on these relations. The roles
//! belong to the server, and several databases may share them; the grants belong to one database.

mod rights;

use std::collections::BTreeSet;

use diesel::QueryableByName;
use diesel::sql_types::{Array, Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use tracing::info;

use super::Error;
pub use rights::{RELATIONS, Relation, Right, Role};

/// Creates a role. Another database of the same server may create it at the same time.
const CREATE: &str = "do $$ begin create role ROLE nologin; \
    exception when duplicate_object or unique_violation or insufficient_privilege then null; end $$";
const EXISTING_ROLES: &str = "select rolname::text as name from pg_roles where rolname = any($1)";
/// The columns of all relations that may be meant; without a column, the relation itself.
const COLUMNS: &str = "select n.nspname::text as schema, c.relname::text as relation, \
    coalesce(a.attname::text, '') as col, '' as role, '' as privilege \
    from pg_class c join pg_namespace n on n.oid = c.relnamespace \
    cross join lateral (select null as attname union all select attname from pg_attribute \
      where attrelid = c.oid and attnum > 0 and not attisdropped) a \
    where c.relkind in ('r', 'p', 'v') and n.nspname = any($1)";
/// What the roles hold on them.
const HELD: &str = "with relations as (select c.oid, n.nspname, c.relname, c.relacl from pg_class c \
      join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p', 'v') and n.nspname = any($1)), \
    held as (select r.nspname, r.relname, '' as col, a.grantee, a.privilege_type \
        from relations r, aclexplode(r.relacl) a \
      union all select r.nspname, r.relname, t.attname::text, a.grantee, a.privilege_type from relations r \
        join pg_attribute t on t.attrelid = r.oid and t.attacl is not null, aclexplode(t.attacl) a) \
    select h.nspname::text as schema, h.relname::text as relation, h.col, o.rolname::text as role, \
      lower(h.privilege_type) as privilege from held h join pg_roles o on o.oid = h.grantee where o.rolname = any($2)";
/// The schemas that a role may not use yet.
const UNUSABLE: &str = "select n.nspname::text as schema, '' as relation, '' as col, r.rolname::text as role, \
    'usage' as privilege from pg_namespace n, pg_roles r where n.nspname = any($1) and r.rolname = any($2) \
    and not has_schema_privilege(r.oid, n.oid, 'usage')";
/// Whether the database user may change the schema: it owns the tables or, before there are any, the database; or it
/// may create tables and has none of the services' roles.
const OWNS: &str = "select coalesce((select pg_has_role(c.relowner, 'usage') from pg_class c \
      where c.oid = to_regclass('__diesel_schema_migrations')), \
    pg_has_role(d.datdba, 'usage') or (coalesce(has_schema_privilege(current_schema(), 'create'), false) and \
      not exists (select from pg_roles r where r.rolname = any($1) and pg_has_role(r.oid, 'usage')))) as yes \
    from pg_database d where d.datname = current_database()";

/// A privilege on a relation, or on one of its columns if `col` is not empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, QueryableByName)]
struct Grant {
    #[diesel(sql_type = Text)]
    schema: String,
    #[diesel(sql_type = Text)]
    relation: String,
    #[diesel(sql_type = Text)]
    col: String,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Text)]
    privilege: String,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Bool)]
    yes: bool,
}

impl Grant {
    /// The statement; `verb` is `grant` or `revoke`, `whom` is `to` or `from`.
    fn statement(&self, verb: &str, whom: &str) -> String {
        let Self { schema, relation, col, role, privilege } = self;
        let columns = if col.is_empty() { String::new() } else { format!(" ({})", quoted(col)) };
        let object = match relation.as_str() {
            "" => format!("schema {}", quoted(schema)),
            name => format!("{}.{}", quoted(schema), quoted(name)),
        };
        format!("{verb} {privilege}{columns} on {object} {whom} {}", quoted(role))
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn names() -> Vec<&'static str> {
    Role::ALL.iter().map(|role| role.name()).collect()
}

/// Creates missing roles, if the user may, and brings their privileges up to date. Statements are sent only for
/// differences. Returns the roles that do not exist: an administrator may create them later.
///
/// # Errors
/// See [`Error`].
pub(super) async fn apply(connection: &mut AsyncPgConnection) -> Result<Vec<&'static str>, Error> {
    for role in missing(connection).await? {
        connection.batch_execute(&CREATE.replace("ROLE", role)).await?;
    }
    let missing = missing(connection).await?;
    let differences = differences(connection).await?;
    if !differences.is_empty() {
        // Several statements in one text are one transaction.
        let statements = differences.join("; ");
        connection.batch_execute(&statements).await?;
        info!(statements = differences.len(), "brought the privileges of the services' roles up to date");
    }
    Ok(missing)
}

/// Whether the database user may migrate the schema.
///
/// # Errors
/// See [`Error`].
pub(super) async fn owns_schema(connection: &mut AsyncPgConnection) -> Result<bool, Error> {
    let answer: Answer =
        diesel::sql_query(OWNS).bind::<Array<Text>, _>(names()).get_result(connection).await?;
    Ok(answer.yes)
}

/// The statements that bring the privileges of the existing roles up to date; none if they are.
///
/// # Errors
/// See [`Error`].
pub async fn differences(connection: &mut AsyncPgConnection) -> Result<Vec<String>, Error> {
    let here = diesel::sql_query("select current_schema()::text as name");
    let here = here.get_result::<Name>(connection).await?.name;
    let mut schemas: Vec<&str> = RELATIONS.iter().filter_map(|relation| relation.schema).collect();
    schemas.push(&here);
    let columns = diesel::sql_query(COLUMNS).bind::<Array<Text>, _>(&schemas);
    let exist: BTreeSet<Grant> = columns.load(connection).await?.into_iter().collect();
    let roles: Vec<String> = existing(connection).await?;
    let held = diesel::sql_query(HELD).bind::<Array<Text>, _>(&schemas).bind::<Array<Text>, _>(&roles);
    let is_ours = |grant: &Grant| RELATIONS.iter().any(|relation| is_same(relation, grant, &here));
    let held: BTreeSet<Grant> = held.load(connection).await?.into_iter().filter(is_ours).collect();
    let wanted: BTreeSet<Grant> = wanted(&roles, &here).filter(|grant| exists(&exist, grant)).collect();
    let unusable = diesel::sql_query(UNUSABLE).bind::<Array<Text>, _>(&schemas);
    let unusable: Vec<Grant> = unusable.bind::<Array<Text>, _>(&roles).load(connection).await?;
    let needed =
        |usage: &&Grant| wanted.iter().any(|grant| grant.schema == usage.schema && grant.role == usage.role);
    let usages = unusable.iter().filter(needed).map(|usage| usage.statement("grant", "to"));
    let revokes = held.difference(&wanted).map(|grant| grant.statement("revoke", "from"));
    let grants = wanted.difference(&held).map(|grant| grant.statement("grant", "to"));
    Ok(revokes.chain(usages).chain(grants).collect())
}

fn is_same(relation: &Relation, grant: &Grant, here: &str) -> bool {
    relation.name == grant.relation && relation.schema.unwrap_or(here) == grant.schema
}

/// Whether the schema, which may be that of another version, has the relation and the column.
fn exists(columns: &BTreeSet<Grant>, grant: &Grant) -> bool {
    columns.contains(&Grant { role: String::new(), privilege: String::new(), ..grant.clone() })
}

fn wanted<'a>(roles: &'a [String], here: &'a str) -> impl Iterator<Item = Grant> + 'a {
    let of_roles = Role::ALL.into_iter().filter(|role| roles.iter().any(|name| name == role.name()));
    let pairs = of_roles.flat_map(|role| RELATIONS.iter().map(move |relation| (role, relation)));
    pairs.flat_map(move |(role, relation)| {
        let privileges = relation.privileges(role).into_iter();
        privileges.map(move |(privilege, column)| Grant {
            schema: relation.schema.unwrap_or(here).to_owned(),
            relation: relation.name.to_owned(),
            col: column.to_owned(),
            role: role.name().to_owned(),
            privilege: privilege.to_owned(),
        })
    })
}

async fn existing(connection: &mut AsyncPgConnection) -> Result<Vec<String>, Error> {
    let query = diesel::sql_query(EXISTING_ROLES).bind::<Array<Text>, _>(names());
    Ok(query.load::<Name>(connection).await?.into_iter().map(|role| role.name).collect())
}

async fn missing(connection: &mut AsyncPgConnection) -> Result<Vec<&'static str>, Error> {
    let existing = existing(connection).await?;
    Ok(names().into_iter().filter(|name| !existing.iter().any(|role| role == name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_quote_every_name() {
        let grant = |relation: &str, col: &str| Grant {
            schema: "public".to_owned(),
            relation: relation.to_owned(),
            col: col.to_owned(),
            role: "rollcall_ingest".to_owned(),
            privilege: "update".to_owned(),
        };
        assert_eq!(
            grant("com\"mands", "delivery").statement("grant", "to"),
            "grant update (\"delivery\") on \"public\".\"com\"\"mands\" to \"rollcall_ingest\""
        );
        let revoked = grant("commands", "").statement("revoke", "from");
        assert_eq!(revoked, "revoke update on \"public\".\"commands\" from \"rollcall_ingest\"");
        assert_eq!(
            grant("", "").statement("grant", "to"),
            "grant update on schema \"public\" to \"rollcall_ingest\""
        );
    }
}
