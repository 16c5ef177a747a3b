//! Mail over SMTP, to a server that accepts, defers or rejects it.

use std::time::Duration;

use serde_json::json;
use tests::okta::person;
use tests::smtp::{Mood, SmtpServer};
use tests::stack::Options;
use tests::{Stack, eventually, holds_for};

async fn stack(server: &SmtpServer) -> Stack {
    let mail_url = Some(format!("smtp://127.0.0.1:{}", server.port));
    let environment = vec![("ROLLCALL_MAIL_TIMEOUT", "3".to_owned())];
    Stack::start(Options { mail_url, environment, ..Options::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_sent_retried_or_given_up_depending_on_the_reply() {
    let server = SmtpServer::start().await;
    let stack = stack(&server).await;
    let tenant = stack.tenant("smtp").await;
    let (okta, content, db) = (tenant.okta(), tenant.content(), stack.db());
    let people = ["taken@smtp.example", "deferred@smtp.example", "refused@smtp.example"];
    let mut ids = Vec::new();
    for address in people {
        ids.push(okta.create(&person(address, "Pat", "Smith")).await.is(201).id());
    }

    content.tell(&content.assigned(&ids[0], "Taken")).await.is(202);
    let mail = eventually("the mail is taken", Duration::from_secs(15), async || server.taken().pop()).await;
    assert_eq!(mail.to, people[0]);
    assert!(mail.text.contains("Taken") && mail.html.contains("Taken"), "{}", mail.raw);

    // A temporary failure: the same mail is retried.
    server.refuse(vec!["451 greylisted, come back"]);
    content.tell(&content.assigned(&ids[1], "Deferred")).await.is(202);
    eventually("it was offered once", Duration::from_secs(15), async || {
        (server.offered() == 2).then_some(())
    })
    .await;
    let mail = eventually("it was taken in the end", Duration::from_secs(120), async || {
        server.taken().into_iter().find(|mail| mail.to == people[1])
    })
    .await;
    let line = ledger(&db, &ids[1], "sent").await;
    assert!(mail.message_id.contains(line["id"].as_str().unwrap()), "the same Message-ID");

    // A permanent failure: recorded in the ledger, and not retried.
    server.refuse(vec!["554 no such mailbox"; 50]);
    content.tell(&content.assigned(&ids[2], "Refused")).await.is(202);
    let line = ledger(&db, &ids[2], "failed").await;
    assert!(line["reason"].as_str().is_some_and(|reason| !reason.contains(people[2])), "{line}");
    assert_eq!(server.taken().len(), 2);
}

async fn ledger(db: &tests::db::Db, user: &str, state: &str) -> serde_json::Value {
    eventually(format!("the ledger says {state}"), Duration::from_secs(30), async || {
        db.ledger(user)
            .await
            .into_iter()
            .find(|line| line["kind"] == "first_assignment" && line["state"] == state)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_of_attempts_are_distinguished_and_retries_send_the_same_mail() {
    let server = SmtpServer::start().await;
    let stack = stack(&server).await;
    let tenant = stack.tenant("apart").await;
    let (okta, content) = (tenant.okta(), tenant.content());
    // The fault, and the state and outcome that the ledger records.
    for (n, (mood, state, ended)) in [
        (Mood::Closed, "pending", "put_off"),
        (Mood::Mute, "pending", "put_off"),
        (Mood::Busy, "pending", "put_off"),
        (Mood::Silent, "pending", "unknown"),
        (Mood::Forgetful, "pending", "unknown"),
    ]
    .into_iter()
    .enumerate()
    {
        let address = format!("a{n}@apart.example");
        let id = okta.create(&person(&address, "Pat", "Smith")).await.is(201).id();
        server.set_mood(mood);
        content.tell(&content.assigned(&id, "Apart")).await.is(202);
        let line = eventually(format!("{mood:?} is recorded"), Duration::from_secs(20), async || {
            let line = stack.db().ledger(&id).await.into_iter().find(|l| l["kind"] == "first_assignment")?;
            line["last_attempt"].is_object().then_some(line)
        })
        .await;
        assert_eq!(
            (&line["state"], &line["last_attempt"]["ended"]),
            (&json!(state), &json!(ended)),
            "{mood:?}"
        );
        let mail = line["id"].as_str().unwrap();
        let shown = stack.rollcall_json(&["mail", "show", mail]).await;
        assert_eq!(shown["last_attempt"]["ended"], ended);
        assert!(!shown.to_string().contains(&address), "{shown}");

        server.set_mood(Mood::Well);
        let due = format!("update notifications set due_at = now() where id = '{mail}'");
        stack.db().execute(&due).await;
        let sent = ledger(&stack.db(), &id, "sent").await;
        assert!(sent["attempts"].as_i64().is_some_and(|attempts| attempts >= 2), "{sent}");
        let copies: Vec<_> = server.taken().into_iter().filter(|mail| mail.to == address).collect();
        assert!(
            copies.iter().all(|copy| copy.message_id.contains(mail) && copy.raw == copies[0].raw),
            "the same mail"
        );
        assert_eq!(copies.len(), if mood == Mood::Forgetful { 2 } else { 1 }, "{mood:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_can_resend_failed_and_sent_mail() {
    let server = SmtpServer::start().await;
    let stack = stack(&server).await;
    let tenant = stack.tenant("again").await;
    let (okta, content) = (tenant.okta(), tenant.content());
    let address = "pat@again.example";
    let id = okta.create(&person(address, "Pat", "Smith")).await.is(201).id();
    server.set_mood(Mood::Stern);
    content.tell(&content.assigned(&id, "Again")).await.is(202);
    let line = ledger(&stack.db(), &id, "failed").await;
    let mail = line["id"].as_str().unwrap();
    let listed = stack.rollcall_json(&["mail", "list", "--tenant", "again", "--state", "failed"]).await;
    assert_eq!((&listed[0]["id"], listed.as_array().unwrap().len()), (&json!(mail), 1), "{listed}");
    assert!(listed[0]["why"].as_str().unwrap().contains("550"), "{listed}");

    server.set_mood(Mood::Well);
    for copies in 1..=2 {
        stack.rollcall(&["mail", "resend", mail]).await.well();
        let taken = eventually("it is taken", Duration::from_secs(20), async || {
            Some(server.taken()).filter(|taken| taken.len() == copies)
        })
        .await;
        assert!(taken.iter().all(|copy| copy.message_id.contains(mail)), "the same Message-ID");
        ledger(&stack.db(), &id, "sent").await;
    }
    // Suppressed mail is not resent, nor mail to an archived user.
    let suppressed = stack.rollcall_json(&["mail", "list", "--user", &id, "--state", "suppressed"]).await;
    let refused = stack.rollcall(&["mail", "resend", suppressed[0]["id"].as_str().unwrap()]).await;
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    okta.set_active(&id, false).await.is(200);
    assert_eq!(stack.rollcall(&["mail", "resend", mail]).await.code, Some(1));
    let nothing = platform::id::new().to_string();
    assert_eq!(stack.rollcall(&["mail", "show", &nothing]).await.code, Some(1));
    assert_eq!(server.taken().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limited_tenant_does_not_delay_other_tenants() {
    let server = SmtpServer::start().await;
    let stack = stack(&server).await;
    let (slow, quick) = (stack.tenant("slow").await, stack.tenant("quick").await);
    slow.set(&stack, &["mails_per_minute=1", "assignment_mail=every"]).await;
    let to = async |tenant: &tests::tenant::Tenant, address: &str| {
        let id = tenant.okta().create(&person(address, "Pat", "Smith")).await.is(201).id();
        tenant.content().tell(&tenant.content().assigned(&id, "Pace")).await.is(202);
    };
    let of = |address: &str| server.taken().iter().filter(|mail| mail.to == address).count();
    // Neither several due mails nor a restart of the notifier exceeds the limit.
    for n in 0..4 {
        to(&slow, &format!("a{n}@slow.example")).await;
    }
    to(&quick, "other@quick.example").await;
    eventually("the other tenant's mail is sent", Duration::from_secs(20), async || {
        (of("other@quick.example") == 1).then_some(())
    })
    .await;
    let slow_ones = || server.taken().iter().filter(|mail| mail.to.ends_with("@slow.example")).count();
    eventually("the first is sent", Duration::from_secs(20), async || (slow_ones() == 1).then_some(())).await;
    stack.notifier.restart().await;
    assert!(holds_for(Duration::from_secs(3), async || slow_ones() == 1).await);
    // After the interval, one more.
    stack.db().execute("update mail_rates set next_at = now()").await;
    eventually("the second is sent", Duration::from_secs(20), async || (slow_ones() == 2).then_some(()))
        .await;
    assert!(holds_for(Duration::from_secs(2), async || slow_ones() == 2).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_is_permanent_only_if_it_is_about_the_mail() {
    let server = SmtpServer::start().await;
    let mail_url = Some(format!("smtp://me:secret@127.0.0.1:{}", server.port));
    let stack = Stack::start(Options { mail_url, ..Options::default() }).await;
    let tenant = stack.tenant("about").await;
    let (okta, content) = (tenant.okta(), tenant.content());
    for (n, (verb, line, state, ended)) in [
        ("GREETING", "554 not today", "pending", "put_off"),
        ("GREETING", "421 too many", "pending", "put_off"),
        ("AUTH", "535 5.7.8 who are you", "pending", "put_off"),
        ("AUTH", "454 4.7.0 later", "pending", "put_off"),
        ("MAIL", "550 5.1.0 not from you", "pending", "put_off"),
        ("MAIL", "451 later", "pending", "put_off"),
        ("RCPT", "450 4.2.1 greylisted", "pending", "put_off"),
        ("RCPT", "421 goodbye", "pending", "put_off"),
        ("RCPT", "554 5.7.1 relay access denied", "pending", "put_off"),
        ("RCPT", "550 5.1.1 no such user", "failed", "refused"),
        ("RCPT", "501 5.1.3 bad address", "failed", "refused"),
        ("DATA", "554 5.6.0 no", "failed", "refused"),
    ]
    .into_iter()
    .enumerate()
    {
        let address = format!("a{n}@about.example");
        let id = okta.create(&person(&address, "Pat", "Smith")).await.is(201).id();
        server.reply_to(verb, line);
        content.tell(&content.assigned(&id, "About")).await.is(202);
        let recorded =
            eventually(format!("{verb} {line} is recorded"), Duration::from_secs(20), async || {
                let line =
                    stack.db().ledger(&id).await.into_iter().find(|l| l["kind"] == "first_assignment")?;
                line["last_attempt"].is_object().then_some(line)
            })
            .await;
        let said = (&recorded["state"], &recorded["last_attempt"]["ended"]);
        assert_eq!(said, (&json!(state), &json!(ended)), "{verb} {line}");
        let code = line.split(' ').next().unwrap();
        let why = recorded["last_attempt"]["why"].as_str().unwrap();
        assert!(why.contains(code) && !why.contains("about.example"), "{why}");
    }
    assert!(server.taken().is_empty());
}
