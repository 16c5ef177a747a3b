//! Workers are killed during a push: nothing is lost or duplicated.

use std::time::Duration;

use tests::load::push;
use tests::stack::Options;
use tests::{Stack, check, eventually};

/// As many as a mid-sized company assigns at once.
const PEOPLE: usize = 2_000;
const CONNECTIONS: usize = 32;

/// Waits until that many users are stored.
async fn applied(stack: &Stack, people: usize) {
    let (db, people) = (stack.db(), i64::try_from(people).unwrap());
    eventually("the push is under way", Duration::from_secs(60), async || {
        (db.count("select 1 from users").await >= people).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_worker_is_killed_and_started_again() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("killed").await;
    let witness = stack.broker().await.witness().await;
    let okta = tenant.okta();
    let saboteur = async {
        for part in [PEOPLE / 5, PEOPLE / 2, PEOPLE * 4 / 5] {
            applied(&stack, part).await;
            stack.workers[0].kill();
            stack.workers[0].restart().await;
        }
    };
    let (pushed, ()) = tokio::join!(push(&okta, "killed", PEOPLE, CONNECTIONS), saboteur);
    check::all_arrived_once(&stack, &tenant, &witness, &pushed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_workers_is_killed() {
    let stack = Stack::start(Options { workers: 2, ingests: 2, ..Options::default() }).await;
    let tenant = stack.tenant("two").await;
    let witness = stack.broker().await.witness().await;
    let okta = tenant.okta();
    let saboteur = async {
        applied(&stack, PEOPLE / 3).await;
        stack.workers[0].kill();
        applied(&stack, PEOPLE * 2 / 3).await;
        stack.workers[0].restart().await;
        stack.workers[1].kill();
        stack.workers[1].restart().await;
    };
    let (pushed, ()) = tokio::join!(push(&okta, "two", PEOPLE, CONNECTIONS), saboteur);
    check::all_arrived_once(&stack, &tenant, &witness, &pushed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_notifier_is_killed_while_sending_mail() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("postman").await;
    let (okta, content) = (tenant.okta(), tenant.content());
    let pushed = push(&okta, "postman", 60, 8).await;
    let events: Vec<_> = pushed.iter().map(|p| content.assigned(&p.answer.id(), "Mailed")).collect();
    let batch = serde_json::Value::Array(events).to_string();
    content.post(tests::content::BATCH, batch.clone()).await.is(202);
    let mailbox = stack.mailbox();
    for mails in [10, 30] {
        eventually("some mails are sent", Duration::from_secs(30), async || {
            (mailbox.mails().len() >= mails).then_some(())
        })
        .await;
        stack.notifier.restart().await;
        // The leases would expire after a while; this makes the mails due now.
        stack.db().execute("update notifications set due_at = now() where state = 'sending'").await;
    }
    content.post(tests::content::BATCH, batch).await.is(202);
    eventually("all are sent according to the ledger", Duration::from_secs(90), async || {
        (stack
            .db()
            .count("select 1 from notifications where kind = 'first_assignment' and state = 'sent'")
            .await
            == 60)
            .then_some(())
    })
    .await;
    check::wait_until_idle(&stack).await;
    // A resend after a crash has the same Message-ID, so each user has one distinct mail.
    let mails = mailbox.mails();
    let ids: std::collections::HashSet<_> = mails.iter().map(|mail| mail.message_id.clone()).collect();
    let people: std::collections::HashSet<_> = mails.iter().map(|mail| mail.to.clone()).collect();
    assert_eq!((ids.len(), people.len()), (60, 60));
}
