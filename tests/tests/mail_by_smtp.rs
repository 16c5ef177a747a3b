//! Mail over SMTP, to a server that takes it, puts it off, or refuses it.

use std::time::Duration;

use tests::okta::person;
use tests::smtp::SmtpServer;
use tests::stack::Options;
use tests::{Stack, eventually};

async fn stack(server: &SmtpServer) -> Stack {
    let mail_url = Some(format!("smtp://127.0.0.1:{}", server.port));
    Stack::start(Options { mail_url, ..Options::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_sent_deferred_or_given_up_as_the_server_says() {
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

    // "Not now": it is offered again, and is the same mail.
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

    // "Never": the ledger says so, and nobody tries again.
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
