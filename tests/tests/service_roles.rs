//! Each program runs with users of its own, who can do what the program does and nothing more: the roles of the database
//! and the users of the broker.

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;
use std::time::Duration;

use amqp::{dead, topology};
use database::grants::{self, RELATIONS, Role};
use database::{Limits, Pool};
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties, ExchangeKind};
use serde_json::{Value, json};
use tests::broker::header;
use tests::db::Db;
use tests::okta::person;
use tests::stack::Said;
use tests::{Stack, check, eventually, programs};

/// The broker's answer to a user without the permission.
const REFUSED: &str = "ACCESS_REFUSED";
const SOON: Duration = Duration::from_secs(20);

/// The program of a role, as servers.env names it.
fn program(role: Role) -> &'static str {
    match role {
        Role::Ingest => "ingest",
        Role::Worker => "worker",
        Role::Notifier => "notifier",
        Role::Operator => "operator",
    }
}

/// The columns of a table that a statement can set.
async fn columns(db: &Db, table: &str) -> Vec<String> {
    let query = format!(
        "select attname::text as name from pg_attribute where attrelid = '{table}'::regclass and attnum > 0 \
         and not attisdropped and attgenerated = '' and attidentity = '' order by attnum"
    );
    db.rows(&query).await.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

/// Asserts that a statement is refused for a missing privilege exactly if it is not `allowed`.
async fn expect(as_role: &Db, role: Role, statement: &str, allowed: bool) {
    let refusal = as_role.refusal(statement).await;
    match (&refusal, allowed) {
        (None, true) => {}
        (Some(why), false) if why.contains("42501") => {}
        _ => panic!("{role:?} may{} {statement}: {refusal:?}", if allowed { "" } else { " not" }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_comment_of_each_table_names_its_writers() {
    let stack = Stack::shared().await;
    let query = "select c.relname::text as name, obj_description(c.oid, 'pg_class') as comment from pg_class c \
        where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace";
    let tables = stack.db().rows(query).await;
    assert!(tables.len() > 20, "{tables:?}");
    for row in &tables {
        let name = row["name"].as_str().unwrap();
        let relation = RELATIONS.iter().find(|relation| relation.schema.is_none() && relation.name == name);
        let relation = relation.unwrap_or_else(|| panic!("{name} is missing in database::grants::RELATIONS"));
        let comment = row["comment"].as_str().unwrap_or_default();
        let by = comment.split_once("Written by ").map_or("", |(_, by)| by);
        for role in Role::ALL {
            let writes = relation.writers.iter().any(|(writer, _)| *writer == role);
            assert_eq!(writes, by.contains(role.writer()), "{role:?} writes {name}: {comment}");
        }
    }
    let exist: BTreeSet<&str> = tables.iter().map(|row| row["name"].as_str().unwrap()).collect();
    for relation in RELATIONS.iter().filter(|relation| relation.schema.is_none()) {
        assert!(exist.contains(relation.name), "there is no table {}", relation.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_can_do_what_is_granted_and_nothing_more() {
    let stack = Stack::shared().await;
    let db = stack.db();
    for role in Role::ALL {
        let as_role = Db::new(stack.urls.of(program(role), "DATABASE_URL"));
        for relation in RELATIONS {
            let name = format!("{}.{}", relation.schema.unwrap_or("public"), relation.name);
            let granted = relation.privileges(role);
            let may = |privilege| granted.contains(&(privilege, ""));
            expect(&as_role, role, &format!("select 1 from {name} where false"), may("select")).await;
            if relation.schema.is_some() {
                continue;
            }
            let columns = columns(&db, &name).await;
            let first = &columns[0];
            let insert = format!("insert into {name} ({first}) select null where false");
            expect(&as_role, role, &insert, may("insert")).await;
            expect(&as_role, role, &format!("delete from {name} where false"), may("delete")).await;
            for column in &columns {
                let update = format!("update {name} set {column} = null where false");
                let allowed = may("update") || granted.contains(&("update", column));
                expect(&as_role, role, &update, allowed).await;
            }
            expect(&as_role, role, &format!("truncate {name}"), false).await;
        }
        for statement in
            ["create table mine (x int)", "create role another", "create schema mine", "set role rollcall"]
        {
            expect(&as_role, role, statement, false).await;
        }
        let change = as_role.refusal("alter table users add column x int").await.unwrap_or_default();
        assert!(change.contains("42501"), "{role:?} changes the schema: {change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_restores_the_privileges() {
    let stack = Stack::own().await;
    let pool = Pool::with(&stack.database_url, 1, Limits::NONE).unwrap();
    let differences = async || grants::differences(&mut pool.get().await.unwrap()).await.unwrap();
    assert_eq!(differences().await, [""; 0]);
    let db = stack.db();
    db.execute("grant delete on users to rollcall_ingest").await;
    db.execute("grant update (role) on users to rollcall_operator").await;
    db.execute("revoke select on tenants from rollcall_notifier").await;
    assert_eq!(differences().await.len(), 3);
    let said = stack.rollcall(&["migrate"]).await.well();
    assert!(!said.err.contains("roles"), "{}", said.err);
    assert_eq!(differences().await, [""; 0]);
    let mut command = Command::new(programs::path("rollcall"));
    command.env_clear().env("DATABASE_URL", stack.urls.of("operator", "DATABASE_URL")).arg("migrate");
    let said = Said::by(command).await;
    assert!(said.code == Some(1) && said.err.contains("as its owner"), "{:?} {}", said.code, said.err);
}

/// After the revert the schema is that of another version.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_does_not_own_the_schema_waits_for_the_migration() {
    let stack = Stack::own().await;
    let okta = stack.tenant("waits").await.okta();
    let worker = &stack.workers[0];
    worker.kill();
    stack.rollcall(&["migrate", "--revert"]).await.well();
    worker.start();
    eventually("the worker says what it waits for", SOON, async || {
        worker.log().contains("waiting for `rollcall migrate`").then_some(())
    })
    .await;
    assert!(!worker.is_ready().await, "a worker is ready without its schema");
    stack.rollcall(&["migrate"]).await.well();
    worker.ready().await;
    okta.create(&person("ada@waits.example", "Ada", "W")).await.is(201);
    // As the owner, a worker still migrates by itself.
    worker.kill();
    stack.rollcall(&["migrate", "--revert"]).await.well();
    let pool = Pool::with(&stack.database_url, 1, Limits::NONE).unwrap();
    let migrated = database::migrations::run_if_owner(&pool).await.unwrap().unwrap();
    assert_eq!(migrated.applied.len(), 1);
    let pool = Pool::with(stack.urls.of("worker", "DATABASE_URL"), 1, Limits::NONE).unwrap();
    let migrated = database::migrations::run_if_owner(&pool).await.unwrap();
    assert_eq!(migrated, Some(database::migrations::Migrated::default()), "nothing is left to do");
}

/// A user of the broker.
struct User(Connection);

impl User {
    async fn new(stack: &Stack, name: &str) -> Self {
        let url = stack.urls.of(name, "AMQP_URL");
        Self(Connection::connect(url, ConnectionProperties::default()).await.unwrap())
    }

    /// Publishes a message; the error if the broker refuses it.
    async fn publish(&self, exchange: &str, key: &str, body: &Value, headers: FieldTable) -> Option<String> {
        let channel = self.0.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let properties = BasicProperties::default().with_delivery_mode(2).with_headers(headers);
        let (body, options) = (body.to_string(), BasicPublishOptions::default());
        let sent =
            channel.basic_publish(exchange.into(), key.into(), options, body.as_bytes(), properties).await;
        let confirmed = match sent {
            Ok(confirm) => confirm.await,
            Err(error) => Err(error),
        };
        // The broker says why on the channel, which lapin may report as closed by now.
        confirmed.err().map(|error| format!("{error}, {REFUSED}"))
    }

    /// Takes a message and puts it back; the error if the broker refuses that.
    async fn read(&self, queue: &str) -> Option<String> {
        let channel = self.0.create_channel().await.unwrap();
        let got = channel.basic_get(queue.into(), BasicGetOptions::default()).await;
        let refused = got.err().map(|error| error.to_string());
        let _ = channel.close(200, "done".into()).await;
        refused
    }

    async fn declare(&self, queue: &str) -> Option<String> {
        let channel = self.0.create_channel().await.unwrap();
        let options = QueueDeclareOptions::durable();
        let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await;
        declared.err().map(|error| error.to_string())
    }

    async fn delete(&self, queue: &str) -> Option<String> {
        let channel = self.0.create_channel().await.unwrap();
        let options = QueueDeleteOptions { if_empty: true, if_unused: true, ..QueueDeleteOptions::default() };
        channel.queue_delete(queue.into(), options).await.err().map(|error| error.to_string())
    }

    async fn bind(&self, queue: &str, key: &str) -> Option<String> {
        let channel = self.0.create_channel().await.unwrap();
        let (queue, exchange) = (queue.into(), topology::EVENTS.into());
        let options = QueueBindOptions::default();
        let bound = channel.queue_bind(queue, exchange, key.into(), options, FieldTable::default()).await;
        bound.err().map(|error| error.to_string())
    }

    async fn declare_exchange(&self, name: &str) -> Option<String> {
        let channel = self.0.create_channel().await.unwrap();
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let declared =
            channel.exchange_declare(name.into(), ExchangeKind::Topic, options, FieldTable::default()).await;
        declared.err().map(|error| error.to_string())
    }
}

fn refused(what: &str, error: Option<&String>) {
    assert!(error.is_some_and(|error| error.contains(REFUSED)), "{what}: {error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_the_broker_can_do_nothing_that_their_program_does_not() {
    let stack = Stack::own().await;
    let nothing = || (json!({}), FieldTable::default());
    let queues = [topology::COMMANDS, topology::BULK, topology::NOTIFIER, topology::ROLES, topology::DEAD];
    for (name, reads) in
        [("ingest", vec![topology::ROLES]), ("notifier", vec![topology::NOTIFIER]), ("content", vec![])]
    {
        let user = User::new(&stack, name).await;
        for queue in queues {
            let error = user.read(queue).await;
            if reads.contains(&queue) {
                // A queue with a single active consumer is locked for others, which is another error.
                let is_refused = error.as_ref().is_some_and(|error| error.contains(REFUSED));
                assert!(!is_refused, "{name} cannot read {queue}: {error:?}");
            } else {
                refused(&format!("{name} reads {queue}"), error.as_ref());
            }
            refused(&format!("{name} deletes {queue}"), user.delete(queue).await.as_ref());
            refused(&format!("{name} binds {queue}"), user.bind(queue, "#").await.as_ref());
        }
        refused(&format!("{name} declares a queue"), user.declare("rollcall.mine").await.as_ref());
        refused(
            &format!("{name} declares an exchange"),
            user.declare_exchange("rollcall.mine").await.as_ref(),
        );
        if name != "ingest" {
            let (body, headers) = nothing();
            let sent = user.publish("", topology::COMMANDS, &body, headers).await;
            refused(&format!("{name} sends a command"), sent.as_ref());
        }
        for kind in ["user.created", "user.archived", "group.created"] {
            let (body, headers) = nothing();
            let sent = user.publish(topology::EVENTS, kind, &body, headers).await;
            refused(&format!("{name} publishes {kind}"), sent.as_ref());
        }
    }
    let worker = User::new(&stack, "worker").await;
    // It may read the other queues: RabbitMQ requires that of whoever declares a queue with dead lettering.
    refused("worker reads dead letters", worker.read(topology::DEAD).await.as_ref());
    let (body, headers) = nothing();
    let content = User::new(&stack, "content").await;
    let letter = content.publish(topology::DEAD_LETTERS, topology::DEAD, &body, headers).await;
    refused("content publishes a dead letter", letter.as_ref());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_service_can_publish_its_events_and_no_others() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("content").await;
    let id = tenant.okta().create(&person("ada@content.example", "Ada", "C")).await.is(201).id();
    let content = User::new(&stack, "content").await;
    let mut assigned = tenant.content().assigned(&id, "Fire safety");
    assigned["tenant"] = json!("content");
    let sent = content.publish(topology::EVENTS, "content.assigned", &assigned, FieldTable::default()).await;
    assert_eq!(sent, None);
    stack.mailbox().first_to("ada@content.example").await;
    for kind in ["user.created", "role.changed", "contents.assigned", ""] {
        let sent = content.publish(topology::EVENTS, kind, &assigned, FieldTable::default()).await;
        refused(kind, sent.as_ref());
    }

    // Other events under a permitted routing key, also with a second key in the header CC, are not believed.
    let user = json!({ "id": id, "origin": "manual", "active": true });
    let forged = |kind: &str, data: Value| {
        json!({
            "specversion": "1.0", "type": kind, "source": if kind == "role.changed" { "/content" } else { "urn:rollcall" },
            "id": platform::id::new(), "tenant": "content", "data": data
        })
    };
    let role = forged("role.changed", json!({ "user": { "id": id }, "role": "admin" }));
    let created = forged("user.created", json!({ "user": user }));
    let mut copy = FieldTable::default();
    let key = AMQPValue::LongString("role.changed".into());
    copy.insert("CC".into(), AMQPValue::FieldArray(FieldArray::from(vec![key])));
    let sent = content.publish(topology::EVENTS, "content.assigned", &created, FieldTable::default()).await;
    assert_eq!(sent, None, "the broker knows only the routing key");
    let broker = stack.broker().await;
    let misrouted = async |count: usize| {
        eventually("they are dead-lettered", SOON, async || {
            let letters = broker.peek(topology::DEAD).await;
            let reasons = letters.iter().map(|letter| header(letter, dead::REASON));
            (reasons.filter(|reason| reason.contains("routing key")).count() >= count).then_some(())
        })
        .await;
    };
    misrouted(1).await;
    // Later versions of RabbitMQ check the second key too.
    if content.publish(topology::EVENTS, "content.other", &role, copy).await.is_none() {
        misrouted(2).await;
    }
    assert_eq!(stack.db().user(&id).await.unwrap()["role"], "learner");
    check::wait_until_idle(&stack).await;
    assert_eq!(stack.mailbox().mails().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roster_decides_about_mail_and_not_what_an_event_claims() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("forged").await;
    let okta = tenant.okta();
    let id = okta.create(&person("ada@forged.example", "Ada", "F")).await.is(201).id();
    let broker = stack.broker().await;
    let event = |kind: &str, user: &Value| {
        json!({
            "specversion": "1.0", "type": kind, "source": "urn:rollcall", "id": platform::id::new(),
            "tenant": "forged", "data": { "user": { "id": user, "origin": "manual", "active": true, "role": "admin" } }
        })
    };
    let nobody = json!(platform::id::new());
    for user in [&json!(id), &nobody] {
        for kind in ["user.created", "user.restored", "user.linked", "user.updated", "user.archived"] {
            broker.event(&event(kind, user)).await;
        }
    }
    // An event after them, which is applied.
    tenant.content().tell(&tenant.content().assigned(&id, "Fire safety")).await.is(202);
    stack.mailbox().first_to("ada@forged.example").await;
    check::wait_until_idle(&stack).await;
    assert_eq!(stack.mailbox().mails().len(), 1, "only the mail about the assignment");
    let welcomes: Vec<Value> =
        stack.db().ledger(&id).await.into_iter().filter(|line| line["kind"] == "welcome").collect();
    assert!(
        !welcomes.is_empty() && welcomes.iter().all(|line| line["state"] == "suppressed"),
        "{welcomes:?}"
    );
    assert!(stack.db().ledger(nobody.as_str().unwrap()).await.is_empty());
    // A manual user is still welcomed, once, and a claim that it was provisioned does not keep the mail back.
    let arguments = [
        "user",
        "add",
        "forged",
        "--email",
        "by.hand@forged.example",
        "--given-name",
        "B",
        "--family-name",
        "H",
    ];
    stack.rollcall_json(&arguments).await;
    stack.mailbox().first_to("by.hand@forged.example").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_env_that_others_could_have_written_is_refused() {
    let stack = Stack::shared().await;
    let place = stack.folder().join("checkout/deep");
    let run = stack.folder().join("checkout/.run");
    let file = run.join("servers.env");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::create_dir_all(&run).unwrap();
    let owner = format!("DATABASE_URL={}\nAMQP_URL={}\n", stack.database_url, stack.amqp_url);
    let operator = stack.urls.of("operator", "DATABASE_URL");
    std::fs::write(&file, format!("{owner}OPERATOR_DATABASE_URL={operator}\n")).unwrap();
    let set = |path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let rollcall = async |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = Command::new(programs::path("rollcall"));
        let environment = environment.iter().copied();
        command.env_clear().envs(environment).current_dir(&place).args(arguments);
        Said::by(command).await
    };
    set(&run, 0o711);
    set(&file, 0o600);
    let said = rollcall(&["tenant", "list"], &[]).await.well();
    assert_eq!(said.err.lines().filter(|line| line.contains("servers.env")).count(), 1, "{}", said.err);
    rollcall(&["migrate"], &[]).await.well();
    let said = rollcall(&["tenant", "list", "--json"], &[]).await.well();
    serde_json::from_str::<Value>(&said.out).unwrap();
    let refused = async |why: &str| {
        let said = rollcall(&["tenant", "list"], &[]).await;
        assert_eq!(said.code, Some(2), "{}{}", said.out, said.err);
        assert!(said.err.contains("servers.env") && said.err.contains(why), "{}", said.err);
        // What the environment names is used.
        let said =
            rollcall(&["tenant", "list"], &[("DATABASE_URL", operator), ("AMQP_URL", "amqp://127.0.0.1")])
                .await;
        assert!(!said.well().err.contains("servers.env"));
    };
    set(&file, 0o666);
    refused("it can be written by other users").await;
    set(&file, 0o600);
    set(&run, 0o777);
    refused("its folder can be written by other users").await;
    set(&run, 0o711);
    // Only root can give a file away.
    if chown(&file, Some(65_534), None).is_ok() {
        refused("it belongs to another user").await;
        chown(&file, Some(0), None).unwrap();
        chown(&run, Some(65_534), None).unwrap();
        refused("its folder belongs to another user").await;
    }
}
