//! Reports by SQL: what a member of the role `rollcall_reporting` can and cannot read.

use serde_json::json;
use tests::Stack;
use tests::db::Db;
use tests::okta::person;

const VIEWS: [&str; 6] = ["learners", "assignments", "progress", "locations", "business_units", "unlinked"];

/// A reader of reports, created like an administrator does.
async fn reader(stack: &Stack, name: &str) -> Db {
    let make = format!("create role {name} login password 'reader' in role rollcall_reporting");
    stack.db().execute(&make).await;
    let (_, place) = stack.database_url.rsplit_once('@').unwrap();
    Db::new(&format!("postgres://{name}:reader@{place}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_reports_can_read_nothing_else() {
    let stack = Stack::shared().await;
    stack.tenant("by-sql").await.okta().create(&person("ada@by-sql.example", "Ada", "A")).await.is(201);
    let reader = reader(&stack, "reads_reports").await;
    for view in VIEWS {
        assert_eq!(reader.refusal(&format!("select * from reporting.{view}")).await, None, "{view}");
    }
    assert_eq!(reader.count("select 1 from reporting.learners where tenant = 'by-sql'").await, 1);

    let relations = "select format('%I.%I', schemaname, relname) as name from (\
        select schemaname, tablename as relname from pg_tables union all select schemaname, viewname from pg_views) r \
        where schemaname not in ('pg_catalog', 'information_schema', 'reporting')";
    let others = stack.db().rows(relations).await;
    assert!(others.len() > 15, "{others:?}");
    for other in others {
        let name = other["name"].as_str().unwrap();
        let refusal = reader.refusal(&format!("select 1 from {name}")).await.unwrap_or_default();
        assert!(refusal.contains("permission denied"), "{name}: {refusal}");
    }
    let change = "update reporting.learners set role = 'admin'";
    assert!(reader.refusal(change).await.is_some(), "a reader can change data");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_readers_condition_never_sees_an_archived_user() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("barred").await.okta();
    let gone = okta.create(&person("gone@barred.example", "Gone", "G")).await.is(201).id();
    okta.set_active(&gone, false).await.is(200);
    // With the lowest cost, so that Postgres would evaluate it first.
    stack
        .db()
        .execute(
            "create function peek(name text) returns boolean language plpgsql cost 0.0000001 as $$ begin \
             if name = 'gone@barred.example' then raise exception 'seen'; end if; return true; end $$",
        )
        .await;
    let reader = reader(&stack, "peeks_at_reports").await;
    for view in ["learners", "assignments", "unlinked"] {
        let asked = format!("select 1 from reporting.{view} where peek(user_name)");
        assert_eq!(reader.refusal(&asked).await, None, "{view}");
    }
    // It does see active users.
    okta.set_active(&gone, true).await.is(200);
    let seen = reader.refusal("select 1 from reporting.learners where peek(user_name)").await;
    assert!(seen.is_some_and(|error| error.contains("seen")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_learner_is_gone_in_the_same_transaction() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("same-transaction").await;
    let okta = tenant.okta();
    let id = okta.create(&person("ada@same.example", "Ada", "A")).await.is(201).id();
    // One statement sees one snapshot.
    let look = format!(
        "select (archived_at is null) as living, exists (select from reporting.learners l where l.id = u.id) as shown, \
         (select count(*) from reporting.progress p where p.id = u.id) as counted from users u where id = '{id}'"
    );
    let looks = async {
        let mut seen = Vec::new();
        while seen.last() != Some(&json!(false)) {
            let row = stack.db().one(&look).await;
            assert_eq!(row["living"], row["shown"], "{row}");
            assert_eq!(row["counted"] == 1, row["living"] == true, "{row}");
            seen.push(row["living"].clone());
        }
    };
    let archive = async {
        okta.set_active(&id, false).await.is(200);
    };
    futures_util::future::join(looks, archive).await;
}
