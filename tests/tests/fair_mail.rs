//! Mail is fair between tenants: neither much nor slow mail of one delays another's.

use std::time::Duration;

use tests::okta::person;
use tests::smtp::SmtpServer;
use tests::stack::Options;
use tests::tenant::Tenant;
use tests::{Stack, eventually, holds_for};

const SOON: Duration = Duration::from_secs(20);

/// Creates a user with a first assignment; returns the id.
async fn assigned(tenant: &Tenant, address: &str) -> String {
    let id = tenant.okta().create(&person(address, "Pat", "Smith")).await.is(201).id();
    tenant.content().tell(&tenant.content().assigned(&id, "Fire safety")).await.is(202);
    id
}

/// Inserts mails of a kind that have been due for an hour, with one failed attempt each, for users who do not exist.
async fn insert(stack: &Stack, tenant: &Tenant, kind: &str, user: &str, due: &str, count: usize) {
    let statement = format!(
        "insert into notifications (id, tenant_id, user_id, kind, state, event_source, event_id, attempts, decided_at, due_at) \
         select gen_random_uuid(), '{}', {user}, '{kind}', 'pending', '/test', '{kind}' || n, 1, now(), {due} \
         from generate_series(1, {count}) n",
        tenant.id
    );
    stack.db().execute(&statement).await;
}

/// How many entries of the indexes of `notifications` were read so far.
async fn entries_read(stack: &Stack) -> i64 {
    let query = "select coalesce(sum(idx_tup_read), 0)::bigint as read from pg_stat_user_indexes where relname = 'notifications'";
    stack.db().one(query).await["read"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_due_mails_of_a_tenant_are_not_read_for_the_first_mail_of_another() {
    let stack = Stack::start(Options::default()).await;
    let (flood, other) = (stack.tenant("flood").await, stack.tenant("other").await);
    flood.set(&stack, &["mails_per_minute=1"]).await;
    let sent = assigned(&flood, "one@flood.example").await;
    stack.mailbox().first_to("one@flood.example").await;
    insert(&stack, &flood, "digest", &format!("'{sent}'::uuid"), "now() - interval '1 hour'", 50_000).await;
    stack.db().execute("analyze notifications").await;
    // The flood's rate limit is used up for a minute.
    stack.db().execute("update mail_rates set next_at = now() + interval '1 minute'").await;

    // A session reports what it read after up to ten seconds; some were planned before there were statistics.
    let before = eventually("all sessions have reported", Duration::from_secs(90), async || {
        let read = entries_read(&stack).await;
        let few = async || entries_read(&stack).await < read + 1_000;
        holds_for(Duration::from_secs(11), few).await.then_some(read)
    })
    .await;
    for n in 0..5 {
        let address = format!("{n}@other.example");
        assigned(&other, &address).await;
        stack.mailbox().first_to(&address).await;
    }
    let read = entries_read(&stack).await - before;
    let by_index = "select indexrelname, idx_scan, idx_tup_read from pg_stat_user_indexes where relname = 'notifications'";
    let by_index = stack.db().rows(by_index).await;
    assert!(read < 20_000, "{read} entries were read for five mails: {by_index:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_that_get_no_answer_leave_places_to_other_tenants() {
    let server = SmtpServer::start().await;
    let mail_url = Some(format!("smtp://127.0.0.1:{}", server.port));
    let stack = Stack::start(Options { mail_url, ..Options::default() }).await;
    let (stuck, other) = (stack.tenant("stuck").await, stack.tenant("other").await);
    server.ignore("@stuck.example");
    for n in 0..20 {
        assigned(&stuck, &format!("{n}@stuck.example")).await;
    }
    // Each waits for a reply for a minute.
    eventually("the tenant has all of its places", SOON, async || (server.offered() >= 8).then_some(()))
        .await;
    assigned(&other, "pat@other.example").await;
    eventually("the other tenant's mail is sent", SOON, async || {
        server.taken().iter().any(|mail| mail.to == "pat@other.example").then_some(())
    })
    .await;
    let own = format!("tenant_id = '{}'", stuck.id);
    let sending = format!("select 1 from notifications where state = 'sending' and {own}");
    assert!(stack.db().count(&sending).await <= 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_waits_for_first_mails_does_not_delay_mail_behind_it() {
    let stack = Stack::start(Options::default()).await;
    let tenant = stack.tenant("behind").await;
    // The first mails of a thousand users have failed, and are tried again in an hour.
    let user = "md5('behind' || n)::uuid";
    insert(&stack, &tenant, "first_assignment", user, "now() + interval '1 hour'", 1_000).await;
    insert(&stack, &tenant, "assignment", user, "now() - interval '1 hour'", 1_000).await;
    assigned(&tenant, "pat@behind.example").await;
    stack.mailbox().first_to("pat@behind.example").await;
    let due = "select 1 from notifications where kind = 'assignment' and due_at <= now()";
    eventually("they are put off until the first mails are due", SOON, async || {
        (stack.db().count(due).await == 0).then_some(())
    })
    .await;
    let untried =
        "select 1 from notifications where kind = 'assignment' and attempts = 1 and state = 'pending'";
    assert_eq!(stack.db().count(untried).await, 1_000);
}
