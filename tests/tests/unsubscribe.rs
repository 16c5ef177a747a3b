//! Users unsubscribe from mail about assignments by one click, with a signed link.

use std::time::Duration;

use tests::okta::person;
use tests::stack::Options;
use tests::{Stack, eventually, holds_for};

const SOON: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_millis(1_500);

#[tokio::test(flavor = "multi_thread")]
async fn one_click_unsubscribes_from_mail_about_assignments_and_another_resubscribes() {
    let environment = vec![
        ("ROLLCALL_UNSUBSCRIBE_KEY", "k".repeat(32)),
        ("ROLLCALL_PUBLIC_URL", "https://scim.example".to_owned()),
    ];
    let stack = Stack::start(Options { environment, ..Options::default() }).await;
    let tenant = stack.tenant("stop").await;
    tenant.set(&stack, &["assignment_mail=every"]).await;
    let (okta, content, mailbox) = (tenant.okta(), tenant.content(), stack.mailbox());
    let address = "ada@stop.example";
    let mut ada = person(address, "Ada", "Lovelace");
    ada["locale"] = serde_json::json!("fr-CA");
    let id = okta.create(&ada).await.is(201).id();
    let mails = async |count: usize| {
        eventually(format!("{count} mails"), SOON, async || {
            let sent = stack.db().ledger(&id).await.iter().filter(|line| line["state"] == "sent").count();
            Some(mailbox.to(address)).filter(|mails| mails.len() == count && sent == count)
        })
        .await
    };
    content.tell(&content.assigned(&id, "First")).await.is(202);
    assert!(
        !mails(1).await[0].raw.contains("List-Unsubscribe"),
        "the first mail cannot be unsubscribed from"
    );
    content.tell(&content.assigned(&id, "Second")).await.is(202);
    let second = mails(2).await.into_iter().find(|mail| mail.text.contains("Second")).unwrap();
    assert!(second.raw.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click"), "{}", second.raw);
    let (_, rest) = second.text.split_once("https://scim.example").unwrap();
    let path = rest.split_whitespace().next().unwrap();
    let link = format!("{}{path}", stack.origin());

    // A GET changes nothing; a forged link is not found.
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let page = http.get(&link).send().await.unwrap();
    assert_eq!(
        (page.status().as_u16(), page.text().await.unwrap().contains("<form method=\"post\">")),
        (200, true)
    );
    let post = async |link: &str, body: &'static str| {
        let request = http.post(link).header("Content-Type", "application/x-www-form-urlencoded").body(body);
        request.send().await.unwrap().status().as_u16()
    };
    let mut forged = link.clone();
    let last = if forged.pop() == Some('A') { 'Q' } else { 'A' };
    forged.push(last);
    assert_eq!(post(&forged, "List-Unsubscribe=One-Click").await, 404);
    let nobodys = http.get(&forged).send().await.unwrap();
    assert_eq!(nobodys.status().as_u16(), 404);
    assert!(nobodys.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    tenant.set(&stack, &["brand_name=Acme & Fils", "brand_colour=#b00020"]).await;
    let page = http.get(&link).send().await.unwrap().text().await.unwrap();
    for part in ["<html lang=\"fr\">", "Ne plus recevoir", "Acme &amp; Fils", "#b00020"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert_eq!(stack.db().count("select 1 from unsubscribed").await, 0);

    for _ in 0..2 {
        assert_eq!(post(&link, "List-Unsubscribe=One-Click").await, 200, "once or twice");
    }
    content.tell(&content.assigned(&id, "Third")).await.is(202);
    eventually("its mail is suppressed", SOON, async || {
        let lines = stack.db().ledger(&id).await;
        let wants = |reason: &str| reason.contains("unsubscribed");
        lines.iter().any(|line| line["reason"].as_str().is_some_and(wants)).then_some(())
    })
    .await;
    assert!(holds_for(SILENCE, async || mailbox.to(address).len() == 2).await);
    // The operator cannot resend optional mail to the user, but can resend the first mail.
    for (kind, code) in [("assignment", 1), ("first_assignment", 0)] {
        let lines = stack.db().ledger(&id).await;
        let sent = lines.iter().find(|line| line["kind"] == kind && line["state"] == "sent").unwrap();
        let said = stack.rollcall(&["mail", "resend", sent["id"].as_str().unwrap()]).await;
        assert_eq!(said.code, Some(code), "{kind}: {}", said.err);
    }
    mails(2).await;

    assert_eq!(post(&link, "again=yes").await, 200);
    content.tell(&content.assigned(&id, "Fourth")).await.is(202);
    assert!(mails(3).await.iter().any(|mail| mail.text.contains("Fourth")));
    assert!(!stack.ingests[0].tail(1_000).contains(path), "the link is in no log");
}
