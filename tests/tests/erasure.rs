//! A deleted user is forgotten: a mark that was put into everything about a person is searched in every table, queue
//! and log afterwards. What stays is listed in deploy/handbook/data-protection.md. Also: export, retention, and the
//! removal of a tenant.

use std::collections::BTreeMap;
use std::time::Duration;

use amqp::topology;
use domain::command::name_digest;
use serde_json::{Value, json};
use tests::okta::person;
use tests::okta_api::{self, OktaApi};
use tests::stack::Options;
use tests::tenant::Tenant;
use tests::{Stack, check, eventually, holds_for};

const SOON: Duration = Duration::from_secs(30);
/// The mark: in no other text.
const MARK: &str = "quaxolotl";
/// The queues that can be read. `rollcall.roles` has a single active consumer, and must be empty.
const QUEUES: [&str; 4] = [topology::COMMANDS, topology::BULK, topology::NOTIFIER, topology::DEAD];
const BADGE: &str = "urn:example:params:scim:schemas:extension:badge:2.0:User";

/// Where one of the texts is found: tables, queues and files. The mail folder is the person's own mailbox.
async fn found(stack: &Stack, texts: &[String]) -> Vec<String> {
    let (db, broker, mut places) = (stack.db(), stack.broker().await, Vec::new());
    let tables = db
        .rows(
            "select table_schema || '.' || table_name as name from information_schema.tables \
             where table_schema not in ('pg_catalog', 'information_schema')",
        )
        .await;
    assert!(tables.len() > 25, "{tables:?}");
    assert_eq!(broker.ready(topology::ROLES).await, 0);
    for text in texts {
        for table in tables.iter().map(|table| table["name"].as_str().unwrap()) {
            let query = format!("select 1 from {table} t where t::text ilike '%{text}%'");
            if db.count(&query).await > 0 {
                places.push(format!("table {table}"));
            }
        }
        for queue in QUEUES {
            for message in broker.peek(queue).await {
                let headers = format!("{:?}", message.properties).to_lowercase();
                if headers.contains(text)
                    || String::from_utf8_lossy(&message.data).to_lowercase().contains(text)
                {
                    places.push(format!("queue {queue}"));
                }
            }
        }
        let mut folders = vec![stack.folder().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.extend((!path.ends_with("mail")).then_some(path));
                } else if String::from_utf8_lossy(&std::fs::read(&path).unwrap())
                    .to_lowercase()
                    .contains(text)
                {
                    places.push(format!("file {}", path.file_name().unwrap().display()));
                }
            }
        }
    }
    places.sort();
    places.dedup();
    places
}

/// The mark, and the hashes of the names that a person had.
fn traces(tenant: &Tenant) -> Vec<String> {
    let names = ["quaxolotl@erase.example", "quaxolotl.two@erase.example", "quaxolotl.taken@erase.example"];
    let digests = names.map(|name| name_digest(tenant.id, name));
    [&[MARK.to_owned()], &digests[..]].concat()
}

/// A person with the mark in every attribute, in whatever clients and services send about them.
async fn a_life(stack: &Stack, tenant: &Tenant) -> String {
    let (okta, content, db) = (tenant.okta(), tenant.content(), stack.db());
    let mut body = person("quaxolotl@erase.example", "Quaxolotl", "Quaxolotl");
    body["externalId"] = json!("00u-quaxolotl");
    body["title"] = json!("Quaxolotl");
    body["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"] =
        json!({ "department": "quaxolotl", "manager": { "value": "quaxolotl", "displayName": "Quaxolotl" } });
    body[BADGE] = json!({ "badge": "quaxolotl" });
    let id = okta.create(&body).await.is(201).id();
    // Rejected requests, an ignored path, keys that no schema knows, a new name, an asynchronous request.
    okta.create(&body).await.is(409);
    okta.create(&person("bob@erase.example", "Bob", "B")).await.is(201);
    let taken = json!([{ "op": "replace", "path": "userName", "value": "bob@erase.example" }]);
    okta.patch(&id, taken).await.is(409);
    let odd = json!([{ "op": "replace", "value": { "quaxolotl": 1, "emails[value eq \"quaxolotl\"].quaxolotl": "x" } }]);
    okta.patch(&id, odd).await;
    okta.patch(&id, json!([{ "op": "remove", "path": "quaxolotl" }])).await;
    okta.patch(&id, json!([{ "op": "replace", "path": "active.quaxolotl", "value": 1 }])).await;
    body["userName"] = json!("quaxolotl.two@erase.example");
    okta.put(&id, &body).await.is(200);
    let later = json!({ "Operations": [{ "op": "replace", "path": "nickName", "value": "Quaxolotl" }] });
    let later = okta.request("PATCH", &format!("/Users/{id}")).header("Prefer", "respond-async").json(&later);
    okta.send(later).await.is(202);
    let group = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "All",
        "members": [{ "value": id, "display": "quaxolotl" }],
    });
    okta.with_body("POST", "/Groups", &group).await.is(201);

    // Content: a first assignment, a second, a completion; the mail of the second unsubscribes.
    let assigned = |nth: u32| {
        let mut event = content.assigned(&id, &format!("Quaxolotl {nth}"));
        event["id"] = json!(format!("quaxolotl-{nth}"));
        event["data"]["assignment"]["id"] = json!(format!("quaxolotl-{nth}"));
        event["data"]["content"]["url"] = json!("https://learn.example/quaxolotl");
        event
    };
    for nth in 1..=2_u32 {
        content.tell(&assigned(nth)).await.is(202);
        eventually(format!("mail {nth} is sent"), SOON, async || {
            let sent = db.ledger(&id).await.iter().filter(|line| line["state"] == "sent").count();
            (sent >= nth as usize).then_some(())
        })
        .await;
    }
    content.tell(&content.completed(&assigned(1))).await.is(202);
    let mails = stack.mailbox().mails();
    let (_, rest) = mails
        .iter()
        .find_map(|mail| mail.text.split_once("https://scim.example/unsubscribe/"))
        .expect("the second mail can be unsubscribed from");
    let token = rest.split_whitespace().next().unwrap();
    let link = format!("{}/unsubscribe/{token}", stack.origin());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    assert!(http.post(link).send().await.unwrap().status().is_success());

    // An event that waits, and dead letters: one by the id, one by the name, one of a neighbour.
    let mut waits = assigned(3);
    waits["data"]["assignment"]["assignedAt"] = json!("2026-11-02T09:00:00Z");
    db.execute(&format!(
        "insert into parked_events (tenant_id, source, id, user_id, event, parked_at, due_at) \
         values ('{}', '/content', 'quaxolotl-3', '{id}', '{waits}', now(), now() + interval '1 day')",
        tenant.id
    ))
    .await;
    let broker = stack.broker().await;
    let mut link = assigned(4);
    link["data"]["content"]["url"] = json!("https://quaxolotl@learn.example/");
    broker.event(&link).await;
    let unreadable = json!({ "tenant": tenant.id, "version": 99, "change": { "user": { "userName": "Quaxolotl.two@erase.example" } } });
    broker.command(unreadable.to_string().as_bytes()).await;
    eventually("both are dead letters", SOON, async || {
        (broker.ready(topology::DEAD).await == 2).then_some(())
    })
    .await;
    check::wait_until_idle(stack).await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_erased_user_is_found_but_ids() {
    let environment = vec![
        ("ROLLCALL_UNSUBSCRIBE_KEY", "k".repeat(32)),
        ("ROLLCALL_PUBLIC_URL", "https://scim.example".to_owned()),
    ];
    let stack = Stack::start(Options { environment, ..Options::default() }).await;
    let tenant = stack.tenant("erase").await;
    tenant.set(&stack, &["assignment_mail=every"]).await;
    let badge =
        json!({ "id": BADGE, "name": "Badge", "attributes": [{ "name": "badge", "type": "string" }] });
    // Not in the folder that is searched: it has no mark, but neither has it anything to do there.
    let file = stack.folder().join("badge.json");
    std::fs::write(&file, badge.to_string()).unwrap();
    stack.rollcall(&["schema", "add", "erase", file.to_str().unwrap()]).await.well();
    let id = a_life(&stack, &tenant).await;
    let mut pulled = okta_api::user("erase", 0);
    pulled["id"] = json!("00u-quaxolotl");
    pulled["profile"]["login"] = json!("quaxolotl.two@erase.example");
    pulled["profile"]["region"] = json!("Quaxolotl");
    let api = OktaApi::start(vec![pulled]).await;
    api.set(&stack, "erase", &[]).await;
    stack.rollcall(&["pull", "run", "erase"]).await.well();
    check::wait_until_idle(&stack).await;

    // The mark is where the page says.
    let places = found(&stack, &traces(&tenant)).await;
    for place in [
        "users",
        "group_members",
        "commands",
        "recent_resources",
        "assignments",
        "notifications",
        "parked_events",
        "received_events",
    ] {
        assert!(places.contains(&format!("table public.{place}")), "{place}: {places:?}");
    }
    assert!(places.contains(&format!("queue {}", topology::DEAD)), "{places:?}");
    assert!(!places.iter().any(|place| place.starts_with("file")), "{places:?}");
    let export = stack.rollcall_json(&["user", "export", "erase", "quaxolotl.two@erase.example"]).await;
    for (list, least) in
        [("groups", 1), ("assignments", 2), ("mail", 2), ("activity", 5), ("parkedEvents", 1)]
    {
        assert!(export[list].as_array().is_some_and(|rows| rows.len() >= least), "{list}: {export:#}");
    }
    assert_eq!((&export["user"]["region"], &export["id"]), (&json!("Quaxolotl"), &json!(id)));
    assert!(export["unsubscribed"].is_object(), "{export:#}");

    let erased = stack.rollcall_json(&["user", "erase", "erase", "Quaxolotl.two@erase.example"]).await;
    assert_eq!(
        (&erased["id"], &erased["account"], &erased["assignments"]),
        (&json!(id), &json!(true), &json!(2))
    );
    assert_eq!((&erased["events"], &erased["dead_letters"]), (&json!(1), &json!(2)), "{erased}");
    check::wait_until_idle(&stack).await;
    // What comes later does not bring it back.
    let content = tenant.content();
    content.tell(&content.assigned(&id, "Quaxolotl, late")).await.is(202);
    tenant.okta().put(&id, &person("quaxolotl@erase.example", "Quaxolotl", "Q")).await.is(404);
    check::wait_until_idle(&stack).await;
    let is_forgotten = holds_for(Duration::from_secs(2), async || {
        stack.db().count(&format!("select 1 from parked_events where user_id = '{id}'")).await == 0
    });
    assert!(is_forgotten.await);
    assert_eq!(found(&stack, &traces(&tenant)).await, [] as [String; 0]);
    assert_eq!(stack.db().count("select 1 from unsubscribed").await, 0);

    // The log still tells by the id who did what; the name is forgotten. Bob is not.
    let log = stack.rollcall_json(&["activity", "erase", "--user", &id]).await;
    assert!(log.as_array().unwrap().iter().any(|row| row["change"] == "user.delete"), "{log:#}");
    let by_name = stack.rollcall(&["activity", "erase", "--user", "quaxolotl@erase.example"]).await;
    assert_eq!(by_name.code, Some(1), "{}", by_name.out);
    stack.rollcall(&["user", "show", "erase", "bob@erase.example"]).await.well();

    // Again by the id: nothing is left. An unknown id is refused.
    let again = stack.rollcall_json(&["user", "erase", "erase", &id]).await;
    assert_eq!((&again["account"], &again["dead_letters"]), (&json!(false), &json!(0)));
    for verb in ["erase", "export"] {
        let nobody = stack.rollcall(&["user", verb, "erase", "0192aaaa-0000-7000-8000-000000000001"]).await;
        assert_eq!(
            (nobody.code, nobody.err.contains("no such user")),
            (Some(1), true),
            "{verb}: {}",
            nobody.err
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_over_scim_erases_and_old_data_is_deleted_by_the_settings() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("erase").await;
    let (okta, content, db) = (tenant.okta(), tenant.content(), stack.db());
    let mut ids = Vec::new();
    for name in ["quaxolotl", "old", "back"] {
        let id = okta.create(&person(&format!("{name}@erase.example"), "Ada", "L")).await.is(201).id();
        content.tell(&content.assigned(&id, "Quaxolotl")).await.is(202);
        ids.push(id);
    }
    eventually("the mails are sent", SOON, async || {
        (db.count("select 1 from notifications where state = 'sent'").await == 3).then_some(())
    })
    .await;
    let [gone, old, back] = [&ids[0], &ids[1], &ids[2]];
    okta.delete(gone).await.is(204);
    eventually("the notifier has erased the user", SOON, async || {
        (db.count(&format!("select 1 from erasures where user_id = '{gone}'")).await == 1).then_some(())
    })
    .await;
    assert_eq!(db.count(&format!("select 1 from assignments where user_id = '{gone}'")).await, 0);
    let ledger = db.ledger(gone).await;
    assert!(ledger.iter().all(|line| line["context"] == json!({})), "{ledger:?}");
    assert_eq!(
        db.count(&format!("select 1 from commands where name_digest = '{}'", traces(&tenant)[1])).await,
        0
    );

    // Archived for long: erased like by a DELETE, by the setting only. The ledger forgets its content after a time.
    for id in [old, back] {
        okta.set_active(id, false).await.is(200);
    }
    okta.set_active(back, true).await.is(200);
    db.execute(&format!("update users set archived_at = now() - interval '40 days' where id = '{old}'"))
        .await;
    db.execute(
        "update notifications set decided_at = now() - interval '40 days' where kind = 'first_assignment'",
    )
    .await;
    tenant.set(&stack, &["retain_archived_days=30", "retain_mail_days=30"]).await;
    let wrong = stack.rollcall(&["tenant", "set", "erase", "retain_mail_days=40000"]).await;
    assert_eq!((wrong.code, wrong.err.contains("retain_mail_days")), (Some(2), true), "{}", wrong.err);
    for service in [&stack.workers[0], &stack.notifier] {
        service.restart().await;
    }
    eventually("the archived user is erased", SOON, async || db.user(old).await.is_none().then_some(()))
        .await;
    assert!(db.user(back).await.is_some());
    let first_assignments = async || {
        let mut lines = db.ledger(back).await;
        lines.retain(|line| line["kind"] == "first_assignment");
        lines
    };
    eventually("the ledger has no content", SOON, async || {
        let lines = first_assignments().await;
        (lines.len() == 1 && lines[0]["context"] == json!({})).then_some(())
    })
    .await;
    // That the first mail was sent is not forgotten.
    content.tell(&content.assigned(back, "Another")).await.is(202);
    eventually("the second assignment is decided", SOON, async || {
        (first_assignments().await.len() == 2).then_some(())
    })
    .await;
    assert_eq!(stack.mailbox().to("back@erase.example").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_tenant_leaves_nothing_and_its_neighbour_everything() {
    let stack = Stack::own().await;
    let (gone, stays) = (stack.tenant("gone").await, stack.tenant("stays").await);
    for tenant in [&gone, &stays] {
        let (okta, content) = (tenant.okta(), tenant.content());
        let id = okta.create(&person("ada@quaxolotl.example", "Ada", "L")).await.is(201).id();
        let group = tests::okta::group("All", &[&id]);
        okta.with_body("POST", "/Groups", &group).await.is(201);
        content.tell(&content.assigned(&id, "Safety")).await.is(202);
        content.tell(&content.assigned("0192aaaa-0000-7000-8000-000000000001", "Nobody's")).await.is(202);
        let mut broken = content.assigned(&id, "Safety");
        broken["data"]["content"]["url"] = json!("ftp://quaxolotl.example");
        stack.broker().await.event(&broken).await;
    }
    check::wait_until_idle(&stack).await;
    let rows = async |tenant: &Tenant| {
        let tables = "select table_name as name from information_schema.columns where table_schema = 'public' and column_name = 'tenant_id'";
        let mut rows = BTreeMap::new();
        for table in stack.db().rows(tables).await {
            let name = table["name"].as_str().unwrap().to_owned();
            let count =
                stack.db().count(&format!("select 1 from {name} where tenant_id = '{}'", tenant.id)).await;
            rows.insert(name, count);
        }
        rows
    };
    let before = rows(&stays).await;
    let doubtful = stack.rollcall(&["tenant", "remove", "gone"]).await;
    assert_eq!((doubtful.code, doubtful.err.contains("--yes")), (Some(2), true), "{}", doubtful.err);
    gone.okta().find("ada@quaxolotl.example").await.is(200);

    let removed = stack.rollcall_json(&["tenant", "remove", "gone", "--yes"]).await;
    assert_eq!((&removed["name"], &removed["dead_letters"]), (&json!("gone"), &json!(1)), "{removed}");
    let left: Vec<_> = rows(&gone).await.into_iter().filter(|(_, count)| *count > 0).collect();
    assert!(left.is_empty(), "{left:?}");
    gone.okta().find("ada@quaxolotl.example").await.is(401);
    assert_eq!(rows(&stays).await, before);
    assert_eq!(stack.broker().await.ready(topology::DEAD).await, 1, "the neighbour's");
    let again = stack.rollcall(&["tenant", "remove", "gone", "--yes"]).await;
    assert_eq!(again.code, Some(1), "{}", again.out);
    let new = stack.tenant("gone").await;
    let none: Vec<Value> = new.okta().find("ada@quaxolotl.example").await.is(200).resources().to_vec();
    assert!(none.is_empty());
    stays.okta().find("ada@quaxolotl.example").await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_of_content_are_refused_at_the_door() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("links").await;
    let (content, broker) = (tenant.content(), stack.broker().await);
    let id = tenant.okta().create(&person("ada@links.example", "Ada", "L")).await.is(201).id();
    let event = |url: &str| {
        let mut event = content.assigned(&id, "Safety");
        event["data"]["content"]["url"] = json!(url);
        event
    };
    let bad = [
        "http://learn.example/",
        "https://bank.example@evil.example/",
        "https://learn.example/\r\nx",
        "javascript:alert(1)",
    ];
    for (nth, url) in (1..).zip(bad) {
        let refused = content.tell(&event(url)).await.is(400);
        assert!(refused.detail().contains("data.content.url"), "{url:?}: {}", refused.text);
        broker.event(&event(url)).await;
        eventually("it is a dead letter", SOON, async || {
            (broker.ready(topology::DEAD).await == nth).then_some(())
        })
        .await;
    }
    let letters = stack.rollcall_json(&["dead", "list"]).await;
    let reasons = letters.as_array().unwrap().iter().map(|letter| letter["reason"].as_str().unwrap());
    assert!(reasons.into_iter().all(|reason| reason.contains("data.content.url")), "{letters:#}");
    assert_eq!(stack.db().count("select 1 from assignments").await, 0);
    tenant.set(&stack, &["content_links=http"]).await;
    eventually("http is accepted", SOON, async || {
        (content.tell(&event("http://learn.example/")).await.status == 202).then_some(())
    })
    .await;
}
