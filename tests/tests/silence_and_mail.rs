//! Which mail is sent and which is suppressed: provisioning sends none, the first assignment sends the first.

use std::time::Duration;

use serde_json::{Value, json};
use tests::content::{BATCH, ONE};
use tests::okta::person;
use tests::{Stack, eventually, holds_for};

/// How long to wait for mail that must not be sent.
const SILENCE: Duration = Duration::from_millis(1_500);

async fn ledger_reasons(stack: &Stack, user: &str, kind: &str, lines: usize) -> Vec<Value> {
    eventually(format!("{lines} ledger lines"), Duration::from_secs(15), async || {
        let mut all = stack.db().ledger(user).await;
        all.retain(|line| {
            line["kind"] == kind
                && ["sent", "suppressed", "failed"].contains(&line["state"].as_str().unwrap())
        });
        (all.len() >= lines).then_some(all)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn provisioning_is_silent_and_the_first_assignment_is_mailed_once() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("silence").await;
    let (okta, content, mailbox) = (tenant.okta(), tenant.content(), stack.mailbox());
    let address = "ada@silence.example";
    let id = okta.create(&person(address, "Ada", "Lovelace")).await.is(201).id();
    okta.update(&id, &json!({ "title": "Countess" })).await.is(200);
    okta.set_active(&id, false).await.is(200);
    okta.set_active(&id, true).await.is(200);

    let welcome = ledger_reasons(&stack, &id, "welcome", 1).await;
    assert_eq!(welcome[0]["state"], "suppressed");
    assert!(
        welcome[0]["reason"].as_str().is_some_and(|reason| !reason.is_empty()),
        "the ledger has the reason"
    );
    assert!(mailbox.to(address).is_empty());

    let event = content.assigned(&id, "Fire safety & <first> aid");
    content.tell(&event).await.is(202);
    let mail = mailbox.first_to(address).await;
    assert!(mail.text.contains("Fire safety & <first> aid"), "{}", mail.text);
    assert!(mail.html.contains("Fire safety &amp; &lt;first&gt; aid"), "{}", mail.html);
    for body in [&mail.text, &mail.html] {
        assert!(body.contains("https://learn.example/lessons/c-1"), "{body}");
        assert!(body.contains("24") && body.contains("2026"), "the due date: {body}");
        assert!(body.contains("Ada"), "{body}");
    }
    assert!(mail.html.contains("<a ") || mail.html.contains("<a\n"), "{}", mail.html);
    assert_eq!(mail.from, "learning@rollcall.example");
    let sent = ledger_reasons(&stack, &id, "first_assignment", 1).await;
    assert_eq!(sent[0]["state"], "sent");
    assert!(mail.message_id.contains(sent[0]["id"].as_str().unwrap()), "{}", mail.message_id);

    // The same event again, and another one: still one mail.
    content.tell(&event).await.is(202);
    content.tell(&content.assigned(&id, "Second lesson")).await.is(202);
    let again = ledger_reasons(&stack, &id, "first_assignment", 2).await;
    assert_eq!(again.iter().filter(|line| line["state"] == "suppressed").count(), 1, "{again:?}");
    assert!(holds_for(SILENCE, async || mailbox.to(address).len() == 1).await);
    let assignments = stack.db().count(&format!("select 1 from assignments where user_id = '{id}'")).await;
    assert_eq!(assignments, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_accepted_in_batches_and_each_is_applied_once() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("batches").await;
    let (okta, content, mailbox) = (tenant.okta(), tenant.content(), stack.mailbox());
    let a = okta.create(&person("a@batches.example", "An", "Na")).await.is(201).id();
    let b = okta.create(&person("b@batches.example", "Be", "Rta")).await.is(201).id();
    let events =
        json!([content.assigned(&a, "One"), content.assigned(&b, "Two"), content.assigned(&a, "Three")]);
    content.post(BATCH, events.to_string()).await.is(202);
    content.post(BATCH, events.to_string()).await.is(202);
    mailbox.first_to("a@batches.example").await;
    mailbox.first_to("b@batches.example").await;
    let quiet = async || mailbox.to("a@batches.example").len() + mailbox.to("b@batches.example").len() == 2;
    assert!(holds_for(SILENCE, quiet).await);
    content.post(BATCH, "[]").await.is(202);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_accepted_over_amqp_too() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("straight").await;
    let (okta, content, broker) = (tenant.okta(), tenant.content(), stack.broker().await);
    let id = okta.create(&person("a@straight.example", "Al", "Bert")).await.is(201).id();
    let event = content.assigned(&id, "By the queue");
    broker.event(&event).await;
    broker.event(&event).await;
    assert!(stack.mailbox().first_to("a@straight.example").await.text.contains("By the queue"));
    assert!(holds_for(SILENCE, async || stack.mailbox().to("a@straight.example").len() == 1).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_events_over_amqp_are_dead_lettered() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("straight").await;
    let (okta, content, broker) = (tenant.okta(), tenant.content(), stack.broker().await);
    let id = okta.create(&person("a@straight.example", "Al", "Bert")).await.is(201).id();
    let mut unknown = content.assigned(&id, "Nobody's");
    unknown["tenant"] = json!("no-such-tenant");
    let mut without_tenant = content.assigned(&id, "Nobody's");
    without_tenant.as_object_mut().unwrap().remove("tenant");
    let mut broken = content.assigned(&id, "x");
    broken["data"]["content"]["kind"] = json!("Film");
    for event in [&unknown, &without_tenant, &broken] {
        broker.event(event).await;
    }
    broker.publish("rollcall.events", "content.assigned", b"no JSON").await;
    let letters = eventually("four dead letters", Duration::from_secs(15), async || {
        let letters = broker.peek("rollcall.dead").await;
        (letters.len() == 4).then_some(letters)
    })
    .await;
    for letter in &letters {
        assert!(!tests::broker::header(letter, "x-rollcall-reason").is_empty());
    }
    broker.event(&content.assigned(&id, "A good one")).await;
    assert!(stack.mailbox().first_to("a@straight.example").await.text.contains("A good one"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_key_cannot_cause_mail_to_our_users() {
    let stack = Stack::shared().await;
    let (ours, theirs) = (stack.tenant("mine").await, stack.tenant("yours").await);
    let id = ours.okta().create(&person("a@mine.example", "Mi", "Ne")).await.is(201).id();
    // Another tenant's key and our user, even with our tenant's name in the event.
    let event = ours.content().assigned(&id, "Not yours to assign");
    let answer = theirs.content().tell(&event).await;
    assert!([202, 400, 403].contains(&answer.status), "{}", answer.text);
    theirs.content().tell(&theirs.content().assigned(&id, "Nor this")).await.is(202);
    assert!(holds_for(SILENCE, async || stack.mailbox().to("a@mine.example").is_empty()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_event_is_mailed_when_the_user_appears() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("appears").await;
    let (okta, content, db) = (tenant.okta(), tenant.content(), stack.db());
    let broker = stack.broker().await;
    let resource = platform::id::new();
    content.tell(&content.assigned(&resource.to_string(), "Early lesson")).await.is(202);
    eventually("the event is parked", Duration::from_secs(15), async || {
        (db.count("select 1 from parked_events").await == 1).then_some(())
    })
    .await;
    // A command creates the user with exactly this id.
    let mut user = person("late@appears.example", "La", "Te");
    user.as_object_mut().unwrap().retain(|name, _| name != "password" && name != "groups");
    let command = json!({
        "version": 1, "ticket": platform::id::new(), "tenant": tenant.id, "actor": "operator", "request": platform::id::new(),
        "fingerprint": "by hand", "issued_at": "2026-11-02T09:00:00Z", "deadline": "2026-11-02T09:00:20Z",
        "resource": resource, "change": { "op": "createUser", "user": user, "origin": "scim" },
    });
    broker.command(command.to_string().as_bytes()).await;
    assert!(stack.mailbox().first_to("late@appears.example").await.text.contains("Early lesson"));
    assert_eq!(db.count("select 1 from parked_events").await, 0);
    assert_eq!(okta.find("late@appears.example").await.is(200).total(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn archived_users_get_no_mail_and_after_reactivation_the_next_assignment_is_the_first() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("archived").await;
    let (okta, content, mailbox) = (tenant.okta(), tenant.content(), stack.mailbox());
    let id = okta.create(&person("z@archived.example", "Zo", "E")).await.is(201).id();
    okta.set_active(&id, false).await.is(200);
    content.tell(&content.assigned(&id, "While away")).await.is(202);
    let line = ledger_reasons(&stack, &id, "first_assignment", 1).await;
    assert_eq!(line[0]["state"], "suppressed");
    assert!(holds_for(SILENCE, async || mailbox.to("z@archived.example").is_empty()).await);

    okta.set_active(&id, true).await.is(200);
    content.tell(&content.assigned(&id, "Back again")).await.is(202);
    assert!(mailbox.first_to("z@archived.example").await.text.contains("Back again"));
    assert!(holds_for(SILENCE, async || mailbox.to("z@archived.example").len() == 1).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manual_user_is_welcomed_once() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("manual").await;
    let arguments = [
        "user",
        "add",
        &tenant.name,
        "--email",
        "c@manual.example",
        "--given-name",
        "Carl",
        "--family-name",
        "Gauss",
        "--role",
        "creator",
    ];
    let added = stack.rollcall_json(&arguments).await;
    let mail = stack.mailbox().first_to("c@manual.example").await;
    assert!(mail.text.contains("Carl") && mail.html.contains("https://learn.example"), "{}", mail.raw);

    let found = tenant.okta().find("c@manual.example").await.is(200);
    let id = found.resources()[0]["id"].as_str().unwrap().to_owned();
    assert!(added.to_string().contains(&id), "{added}");
    let row = stack.db().user(&id).await.unwrap();
    assert_eq!((&row["origin"], &row["role"]), (&json!("manual"), &json!("creator")));
    // A later SCIM update does not change the role.
    tenant.okta().update(&id, &json!({ "title": "Princeps" })).await.is(200);
    assert_eq!(stack.db().user(&id).await.unwrap()["role"], "creator");

    let shown = stack.rollcall_json(&["user", "show", &tenant.name, "c@manual.example"]).await;
    assert!(shown.to_string().contains(&id), "{shown}");
    let again = stack.rollcall(&arguments).await;
    assert_ne!(again.code, Some(0), "the name is taken: {}", again.out);
    assert!(holds_for(SILENCE, async || stack.mailbox().to("c@manual.example").len() == 1).await);

    // The first assignment is still mailed.
    tenant.content().tell(&tenant.content().assigned(&id, "Number theory")).await.is(202);
    eventually("two mails", Duration::from_secs(15), async || {
        (stack.mailbox().to("c@manual.example").len() == 2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_events_are_rejected_by_name() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("wrong-events").await;
    let content = tenant.content();
    let id = tenant.okta().create(&person("w@wrong.example", "Wr", "Ong")).await.is(201).id();
    for (pointer, value, name) in [
        ("/specversion", json!("0.3"), "specversion"),
        ("/type", json!("content.lost"), "type"),
        ("/id", json!(""), "id"),
        ("/source", Value::Null, "source"),
        ("/data", json!("text"), "data"),
        ("/data/user/id", json!("nobody"), "data.user.id"),
        ("/data/content/kind", json!("Film"), "data.content.kind"),
        ("/data/content/url", json!("javascript:alert(1)"), "data.content.url"),
        ("/data/content/title", json!("nul\u{0}"), "U+0000"),
        ("/data/assignment/dueBy", json!("soon"), "data.assignment.dueBy"),
    ] {
        let mut event = content.assigned(&id, "x");
        *event.pointer_mut(pointer).unwrap() = value;
        let answer = content.tell(&event).await;
        assert_eq!(answer.status, 400, "{pointer}: {}", answer.text);
        assert!(answer.text.contains(name), "{pointer}: {}", answer.text);
        // One invalid event rejects its whole batch before anything is published.
        let batch = json!([content.assigned(&id, "good"), event]);
        content.post(BATCH, batch.to_string()).await.is(400);
    }
    for body in ["", "{", "null", "[]", "17"] {
        content.post(ONE, body).await.is(400);
    }
    content.post("text/plain", "{}").await.is(415);
    content.post(ONE, " ".repeat(2_000_000)).await.is(413);
    let nobody = tests::content::ContentService::new(&stack.origin(), &tenant.name, "wrong");
    nobody.tell(&content.assigned(&id, "x")).await.is(401);
    assert!(holds_for(SILENCE, async || stack.mailbox().to("w@wrong.example").is_empty()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_is_stored_before_or_after_its_assignment() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("completion").await;
    let (content, db) = (tenant.content(), stack.db());
    let id = tenant.okta().create(&person("d@completion.example", "Do", "Ne")).await.is(201).id();
    let completed = |assignment: &str| {
        json!({
            "specversion": "1.0", "type": "content.completed", "source": "/content", "id": platform::id::new(),
            "data": { "user": { "id": id }, "assignment": { "id": assignment, "completedAt": "2026-11-03T09:00:00Z", "score": 92.5 } },
        })
    };
    let mut early = content.assigned(&id, "Early");
    early["data"]["assignment"]["id"] = json!("early");
    let mut late = content.assigned(&id, "Late");
    late["data"]["assignment"]["id"] = json!("late");
    for event in [&early, &completed("early"), &completed("late"), &late] {
        content.tell(event).await.is(202);
    }
    for assignment in ["early", "late"] {
        let query = format!(
            "select * from assignments where user_id = '{id}' and id = '{assignment}' and completed_at is not null and content_title is not null"
        );
        let row =
            eventually("the row is complete", Duration::from_secs(15), async || db.rows(&query).await.pop())
                .await;
        assert_eq!(row["score"], json!(92.5));
    }
}
