//! One first-assignment mail per user: mail that may have reached the user counts, and mail withdrawn in time is sent
//! after all.

use std::time::Duration;

use serde_json::{Value, json};
use tests::okta::person;
use tests::smtp::{Mood, SmtpServer};
use tests::stack::Options;
use tests::tenant::Tenant;
use tests::{Stack, eventually, holds_for};

const SOON: Duration = Duration::from_secs(20);

async fn stack(server: &SmtpServer, gather: &str) -> Stack {
    let mail_url = Some(format!("smtp://127.0.0.1:{}", server.port));
    let environment =
        vec![("ROLLCALL_MAIL_TIMEOUT", "3".to_owned()), ("ROLLCALL_MAIL_GATHER", gather.to_owned())];
    Stack::start(Options { mail_url, environment, ..Options::default() }).await
}

/// The first mail's row in the ledger (the others are suppressed), once it is as wanted.
async fn first(stack: &Stack, user: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(format!("the first mail is {what}"), SOON, async || {
        let line =
            stack.db().ledger(user).await.into_iter().find(|line| line["kind"] == "first_assignment")?;
        wanted(&line).then_some(line)
    })
    .await
}

fn state(state: &'static str) -> impl Fn(&Value) -> bool {
    move |line| line["state"] == state
}

async fn hurry(stack: &Stack, user: &str) {
    stack.db().execute(&format!("update notifications set due_at = now() where user_id = '{user}'")).await;
}

/// Assigns more content, and waits until its mail is suppressed.
async fn the_next_assignment_is_no_first(stack: &Stack, tenant: &Tenant, user: &str) {
    let content = tenant.content();
    content.tell(&content.assigned(user, "The next")).await.is(202);
    eventually("the next assignment's mail is suppressed", SOON, async || {
        let lines = stack.db().ledger(user).await;
        let had = |line: &Value| {
            line["reason"].as_str().is_some_and(|reason| reason.starts_with("already received"))
        };
        lines.iter().any(had).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_may_have_reached_a_user_counts_as_the_first_mail() {
    let server = SmtpServer::start().await;
    let stack = stack(&server, "0").await;
    let tenant = stack.tenant("once").await;
    let (okta, content) = (tenant.okta(), tenant.content());
    let mut ids = Vec::new();
    for name in ["doubt", "again", "left", "crash"] {
        let address = format!("{name}@once.example");
        ids.push(okta.create(&person(&address, "Pat", "Smith")).await.is(201).id());
    }
    let [doubt, again, left, crash] = &ids[..] else { panic!("four") };

    // Accepted without a reply, and rejected when it is retried.
    server.set_mood(Mood::Forgetful);
    content.tell(&content.assigned(doubt, "First")).await.is(202);
    first(&stack, doubt, "in doubt", |line| line["in_doubt"] == true).await;
    server.set_mood(Mood::Stern);
    hurry(&stack, doubt).await;
    first(&stack, doubt, "failed", state("failed")).await;
    the_next_assignment_is_no_first(&stack, &tenant, doubt).await;

    // Sent, and rejected when the operator resends it.
    server.set_mood(Mood::Well);
    content.tell(&content.assigned(again, "First")).await.is(202);
    let mail = first(&stack, again, "sent", state("sent")).await;
    server.set_mood(Mood::Stern);
    stack.rollcall(&["mail", "resend", mail["id"].as_str().unwrap()]).await.well();
    let refused = |line: &Value| line["state"] == "sent" && line["last_attempt"]["ended"] == "refused";
    first(&stack, again, "sent and refused", refused).await;
    the_next_assignment_is_no_first(&stack, &tenant, again).await;

    // Sent, and the user archived before it is resent.
    server.set_mood(Mood::Well);
    content.tell(&content.assigned(left, "First")).await.is(202);
    let mail = first(&stack, left, "sent", state("sent")).await;
    stack.notifier.freeze();
    stack.rollcall(&["mail", "resend", mail["id"].as_str().unwrap()]).await.well();
    okta.set_active(left, false).await.is(200);
    stack.notifier.thaw();
    first(&stack, left, "sent once", state("sent")).await;
    okta.set_active(left, true).await.is(200);
    the_next_assignment_is_no_first(&stack, &tenant, left).await;

    // The notifier is killed while sending, and the user is archived before the retry.
    server.set_mood(Mood::Silent);
    let offered = server.offered();
    content.tell(&content.assigned(crash, "First")).await.is(202);
    eventually("it is offered", SOON, async || (server.offered() > offered).then_some(())).await;
    stack.notifier.kill();
    server.set_mood(Mood::Well);
    okta.set_active(crash, false).await.is(200);
    hurry(&stack, crash).await;
    stack.notifier.start();
    first(&stack, crash, "suppressed", state("suppressed")).await;
    okta.set_active(crash, true).await.is(200);
    the_next_assignment_is_no_first(&stack, &tenant, crash).await;

    assert!(holds_for(Duration::from_secs(1), async || server.taken().len() == 3).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_mail_withdrawn_in_time_is_sent_when_the_user_is_restored() {
    let server = SmtpServer::start().await;
    let stack = stack(&server, "2").await;
    let tenant = stack.tenant("blip").await;
    let (okta, content) = (tenant.okta(), tenant.content());
    let id = okta.create(&person("ada@blip.example", "Ada", "Lovelace")).await.is(201).id();
    content.tell(&content.assigned(&id, "Before")).await.is(202);
    first(&stack, &id, "pending", state("pending")).await;
    okta.set_active(&id, false).await.is(200);
    let withdrawn = first(&stack, &id, "withdrawn", state("suppressed")).await;
    okta.set_active(&id, true).await.is(200);
    let sent = first(&stack, &id, "sent", state("sent")).await;
    assert_eq!(withdrawn["id"], sent["id"]);
    the_next_assignment_is_no_first(&stack, &tenant, &id).await;
    let taken = server.taken();
    assert_eq!(taken.len(), 1);
    assert!(taken[0].text.contains("Before"), "{}", taken[0].raw);
}

#[tokio::test(flavor = "multi_thread")]
async fn later_mail_does_not_overtake_the_first_mail() {
    let server = SmtpServer::start().await;
    let stack = stack(&server, "0").await;
    let tenant = stack.tenant("order").await;
    tenant.set(&stack, &["assignment_mail=every"]).await;
    let (okta, content) = (tenant.okta(), tenant.content());
    let id = okta.create(&person("ada@order.example", "Ada", "Lovelace")).await.is(201).id();
    server.set_mood(Mood::Busy);
    content.tell(&content.assigned(&id, "The first")).await.is(202);
    let put_off = |line: &Value| line["state"] == "pending" && line["attempts"] == 1;
    let mail = first(&stack, &id, "put off", put_off).await;
    let later = format!(
        "update notifications set due_at = now() + interval '1 hour' where id = '{}'",
        mail["id"].as_str().unwrap()
    );
    stack.db().execute(&later).await;
    server.set_mood(Mood::Well);
    content.tell(&content.assigned(&id, "The second")).await.is(202);
    eventually("the second is decided", SOON, async || {
        let lines = stack.db().ledger(&id).await;
        lines.iter().any(|line| line["kind"] == "assignment").then_some(())
    })
    .await;
    assert!(holds_for(Duration::from_secs(2), async || server.taken().is_empty()).await);
    // The operator can retry pending mail at once.
    stack.rollcall(&["mail", "resend", mail["id"].as_str().unwrap()]).await.well();
    let taken = eventually("both arrive", SOON, async || Some(server.taken()).filter(|t| t.len() == 2)).await;
    assert!(taken[0].text.contains("The first") && taken[1].text.contains("The second"));
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_lists_open_assignments_once_each() {
    let server = SmtpServer::start().await;
    let stack = stack(&server, "0").await;
    let tenant = stack.tenant("open").await;
    tenant.set(&stack, &["assignment_mail=digest"]).await;
    let (okta, content) = (tenant.okta(), tenant.content());
    let id = okta.create(&person("ada@open.example", "Ada", "Lovelace")).await.is(201).id();
    content.tell(&content.assigned(&id, "The first")).await.is(202);
    first(&stack, &id, "sent", state("sent")).await;
    let digest = async |what: &str, wanted: fn(&Value) -> bool| {
        eventually(format!("the digest {what}"), SOON, async || {
            let lines = stack.db().ledger(&id).await;
            // Its assignments have rows of their own.
            lines.into_iter().find(|line| line["kind"] == "digest" && wanted(line))
        })
        .await
    };
    let (done, mut moved) = (content.assigned(&id, "Done"), content.assigned(&id, "Moved"));
    for event in [&done, &moved] {
        content.tell(event).await.is(202);
    }
    moved["id"] = json!(platform::id::new());
    moved["data"]["assignment"]["dueBy"] = json!("2027-03-14T18:00:00Z");
    for event in [&moved, &content.completed(&done)] {
        content.tell(event).await.is(202);
    }
    eventually("all events are applied", SOON, async || {
        let query = format!("select 1 from assignments where user_id = '{id}' and completed_at is not null");
        (stack.db().count(&query).await == 1).then_some(())
    })
    .await;
    let line = digest("waits", |line| line["state"] == "pending").await;
    hurry(&stack, &id).await;
    let sent = digest("is sent", |line| line["state"] == "sent").await;
    assert_eq!(line["id"], sent["id"]);
    let mail = server.taken().pop().unwrap();
    assert_eq!(mail.text.matches("Moved").count(), 1, "{}", mail.text);
    assert!(!mail.text.contains("Done") && mail.text.contains("14 March 2027"), "{}", mail.text);

    // If everything is completed, there is nothing to mail.
    let done = content.assigned(&id, "Done too");
    for event in [&done, &content.completed(&done)] {
        content.tell(event).await.is(202);
    }
    eventually("it is applied", SOON, async || {
        let query = format!("select 1 from assignments where user_id = '{id}' and completed_at is not null");
        (stack.db().count(&query).await == 2).then_some(())
    })
    .await;
    hurry(&stack, &id).await;
    digest("is suppressed", |line| line["reason"] == "all its assignments are completed").await;
    assert_eq!(server.taken().len(), 2);
}
