//! The tenant's mail settings: which assignments are mailed, the sender, the language, and the brand.

use std::time::Duration;

use serde_json::{Value, json};
use tests::content::BATCH;
use tests::mailbox::Mail;
use tests::okta::person;
use tests::stack::Options;
use tests::{Stack, eventually, holds_for};

const SILENCE: Duration = Duration::from_millis(1_500);
const SOON: Duration = Duration::from_secs(20);

/// The ledger's rows about assignments in these states.
async fn lines(stack: &Stack, user: &str, states: &[&str]) -> Vec<Value> {
    let mut all = stack.db().ledger(user).await;
    all.retain(|line| line["kind"] != "welcome" && states.contains(&line["state"].as_str().unwrap()));
    all
}

async fn mails(stack: &Stack, address: &str, count: usize) -> Vec<Mail> {
    eventually(format!("{count} mails to {address}"), SOON, async || {
        let mails = stack.mailbox().to(address);
        (mails.len() == count).then_some(mails)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn assignments_that_arrive_together_are_sent_in_one_mail() {
    let environment = vec![("ROLLCALL_MAIL_GATHER", "5".to_owned())];
    let stack = Stack::start(Options { environment, ..Options::default() }).await;
    let tenant = stack.tenant("together").await;
    let (okta, content) = (tenant.okta(), tenant.content());
    let id = okta.create(&person("ada@together.example", "Ada", "Lovelace")).await.is(201).id();
    let other = okta.create(&person("bob@together.example", "Bob", "Byron")).await.is(201).id();
    // Two in one batch, and one later while the mail is pending.
    let batch =
        json!([content.assigned(&id, "One"), content.assigned(&id, "Two"), content.assigned(&other, "Gone")]);
    content.post(BATCH, batch.to_string()).await.is(202);
    eventually("the mail is pending", SOON, async || {
        (lines(&stack, &id, &["pending"]).await.len() == 1).then_some(())
    })
    .await;
    content.tell(&content.assigned(&id, "Three")).await.is(202);
    eventually("all three are decided", SOON, async || {
        (lines(&stack, &id, &["suppressed"]).await.len() == 2).then_some(())
    })
    .await;
    // A user who is archived while the mail is pending gets none.
    okta.set_active(&other, false).await.is(200);

    let mail = stack.mailbox().first_to("ada@together.example").await;
    for title in ["One", "Two", "Three"] {
        assert!(mail.text.contains(title) && mail.html.contains(title), "{title}: {}", mail.raw);
    }
    assert_eq!(mail.subject, "New for you: One and 2 more");
    let sent = eventually("it is sent", SOON, async || lines(&stack, &id, &["sent"]).await.pop()).await;
    assert_eq!(sent["kind"], "first_assignment");
    // Later assignments are not mailed by default.
    content.tell(&content.assigned(&id, "Four")).await.is(202);
    let states = ["suppressed"];
    eventually("it is decided", SOON, async || (lines(&stack, &id, &states).await.len() == 3).then_some(()))
        .await;
    assert!(holds_for(SILENCE, async || stack.mailbox().to("ada@together.example").len() == 1).await);
    assert!(stack.mailbox().to("bob@together.example").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_assignment_is_mailed_once_if_the_tenant_wants_that() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("every").await;
    tenant.set(&stack, &["assignment_mail=every"]).await;
    let (okta, content) = (tenant.okta(), tenant.content());
    let address = "ada@every.example";
    let id = okta.create(&person(address, "Ada", "Lovelace")).await.is(201).id();
    let titles: Vec<String> = (10..40).map(|n| format!("Lesson-{n}.")).collect();
    for title in &titles {
        content.tell(&content.assigned(&id, title)).await.is(202);
    }
    eventually("all are decided and sent", SOON, async || {
        let open = lines(&stack, &id, &["pending", "sending"]).await.len();
        let all = lines(&stack, &id, &["sent", "suppressed"]).await.len();
        (open == 0 && all == titles.len()).then_some(())
    })
    .await;
    let mails = stack.mailbox().to(address);
    for title in &titles {
        let mentions = mails.iter().filter(|mail| mail.text.contains(title.as_str())).count();
        assert_eq!(mentions, 1, "{title} in {} mails", mails.len());
    }
    let sent = lines(&stack, &id, &["sent"]).await;
    assert_eq!(sent.len(), mails.len());
    assert_eq!(sent.iter().filter(|line| line["kind"] == "first_assignment").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_collects_a_day_in_one_mail() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("digest").await;
    tenant.set(&stack, &["assignment_mail=digest"]).await;
    let (okta, content) = (tenant.okta(), tenant.content());
    let address = "ada@digest.example";
    let id = okta.create(&person(address, "Ada", "Lovelace")).await.is(201).id();
    content.tell(&content.assigned(&id, "The first")).await.is(202);
    stack.mailbox().first_to(address).await;
    eventually("it is sent", SOON, async || lines(&stack, &id, &["sent"]).await.pop()).await;
    for title in ["Second", "Third"] {
        content.tell(&content.assigned(&id, title)).await.is(202);
    }
    let line = eventually("the digest is pending with both", SOON, async || {
        let line = lines(&stack, &id, &["pending"]).await.pop()?;
        line["context"]["more"][0].is_object().then_some(line)
    })
    .await;
    assert_eq!(line["kind"], "digest");
    let due = format!(
        "select 1 from notifications where id = '{}' and due_at > now() and due_at <= now() + interval '25 hours'",
        line["id"].as_str().unwrap()
    );
    assert_eq!(stack.db().count(&due).await, 1);
    // Due in the morning; an operator can send it now, with the current date.
    stack.rollcall(&["mail", "resend", line["id"].as_str().unwrap()]).await.well();
    let dated = format!(
        "select 1 from notifications where dated_at <= now() and id = '{}'",
        line["id"].as_str().unwrap()
    );
    assert_eq!(stack.db().count(&dated).await, 1, "its Date is not in the future");
    let both = mails(&stack, address, 2).await;
    let digest = both.iter().find(|mail| !mail.text.contains("The first")).unwrap();
    for title in ["Second", "Third"] {
        assert!(digest.text.contains(title) && digest.html.contains(title), "{}", digest.raw);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_uses_the_tenants_brand_and_the_users_language_and_time_zone() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("brand").await;
    let brand = ["brand_name=Acme & Söhne", "brand_logo=https://acme.example/l.png", "brand_colour=#ffcc00"];
    tenant.set(&stack, &brand).await;
    let names = ["mail_sender=lernen@brand.example", "mail_reply_to=hr@brand.example", "locale=fr"];
    tenant.set(&stack, &[&names[..], &["learning_url=https://learn.brand.example"]].concat()).await;
    let (okta, content) = (tenant.okta(), tenant.content());
    let mut german = person("zoe@brand.example", "Zoë", "Weiß");
    german["locale"] = json!("de-AT");
    german["timezone"] = json!("Europe/Vienna");
    let mut italian = person("gia@brand.example", "Gia", "Rossi");
    italian["locale"] = json!("it-IT");
    for person in [&german, &italian] {
        let id = okta.create(person).await.is(201).id();
        content.tell(&content.assigned(&id, "Brandschutz")).await.is(202);
    }

    let mail = stack.mailbox().first_to("zoe@brand.example").await;
    assert_eq!(
        (mail.from.as_str(), mail.subject.as_str()),
        ("lernen@brand.example", "Neu für Sie: Brandschutz")
    );
    for body in [&mail.text, &mail.html] {
        assert!(body.contains("Donnerstag, 24. Dezember 2026, 19:00 Uhr (CET)"), "{body}");
        assert!(body.contains("https://learn.brand.example"), "{body}");
    }
    assert!(
        mail.html.contains("https://acme.example/l.png") && mail.html.contains("#ffcc00"),
        "{}",
        mail.html
    );
    assert!(mail.raw.contains("Reply-To: hr@brand.example"), "{}", mail.raw);
    assert!(mail.message_id.ends_with("@rollcall.example"), "{}", mail.message_id);
    let mail = stack.mailbox().first_to("gia@brand.example").await;
    assert_eq!(mail.subject, "Nouveau pour vous : Brandschutz", "the tenant's language");
    assert!(mail.text.contains("jeudi 24 décembre 2026 à 18:00 (UTC)"), "{}", mail.text);

    let file = stack.folder().join("preview.html");
    let to = file.to_str().unwrap();
    let said = stack.rollcall_json(&["mail", "preview", &tenant.name, "--locale", "es", "--to", to]).await;
    assert_eq!(said["subject"], "Nuevo para usted: Fire safety");
    let html = std::fs::read_to_string(&file).unwrap();
    assert!(html.contains("<html lang=\"es\">") && html.contains("#ffcc00"), "{html}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_settings_are_rejected_by_name_and_change_nothing() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("choosy").await;
    tenant.set(&stack, &["brand_name=Acme", "welcome=none"]).await;
    for wrong in ["mail_sender=nobody", "brand_colour=blue", "locale=it", "welcome=scim", "learning_url=x"] {
        let said = stack.rollcall(&["tenant", "set", &tenant.name, "brand_name=Other", wrong]).await;
        assert_eq!(said.code, Some(2), "{}", said.err);
        let (key, _) = wrong.split_once("=").unwrap();
        assert!(said.err.contains(key), "{}", said.err);
    }
    let shown = stack.rollcall_json(&["tenant", "show", &tenant.name]).await;
    assert_eq!(shown["settings"]["brand_name"], "Acme");
    assert_eq!(shown["settings"]["assignment_mail"], "first");

    // Manual users are not welcomed in this tenant.
    let address = "c@choosy.example";
    let arguments =
        ["user", "add", &tenant.name, "--email", address, "--given-name", "C", "--family-name", "G"];
    stack.rollcall_json(&arguments).await;
    let id = tenant.okta().find(address).await.is(200).resources()[0]["id"].as_str().unwrap().to_owned();
    let line = eventually("it is decided", SOON, async || stack.db().ledger(&id).await.pop()).await;
    assert_eq!((&line["kind"], &line["state"]), (&json!("welcome"), &json!("suppressed")));
    assert!(holds_for(SILENCE, async || stack.mailbox().to(address).is_empty()).await);
}
