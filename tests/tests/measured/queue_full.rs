//! The command queue is full: further requests are rejected at once, and nothing of them is queued.

use std::time::{Duration, Instant};

use tests::okta::person;
use tests::stack::Options;
use tests::{Stack, check, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_a_429_with_nothing_queued() {
    let environment = vec![("ROLLCALL_QUEUE_LIMIT", "5".to_owned()), ("ROLLCALL_DEADLINE", "3".to_owned())];
    let stack = Stack::start(Options { environment, ..Options::default() }).await;
    let okta = stack.tenant("full").await.okta();
    okta.create(&person("first@full.example", "Fi", "Rst")).await.is(201);
    stack.workers[0].kill();
    // The queue fills; of concurrent messages the broker accepts more than its limit.
    let post = async |n: usize| {
        let user = person(&format!("{n}@full.example"), "Fu", "Ll");
        okta.once(okta.request("POST", "/Users").body(user.to_string())).await.is_error(429)
    };
    let answers = futures_util::future::join_all((0..40).map(post)).await;
    let queued = answers
        .iter()
        .filter(|answer| answer.detail().contains("queued") && !answer.detail().contains("nothing"))
        .count();
    assert!(queued >= 5, "{:?}", answers.iter().map(tests::Answer::detail).collect::<Vec<_>>());
    let started = Instant::now();
    let refused = post(99).await;
    assert!(refused.retry_after() > 0);
    assert!(started.elapsed() < Duration::from_millis(2_000), "rejected at once, not at the deadline");

    stack.workers[0].restart().await;
    check::wait_until_idle(&stack).await;
    let refused = "select 1 from users where user_name = '99@full.example'";
    assert_eq!(stack.db().count(refused).await, 0, "a rejected change was queued");
    // Rejected clients retry: now there is room, and each user has one account.
    for n in 0..40 {
        okta.create(&person(&format!("{n}@full.example"), "Fu", "Ll")).await.is(201);
    }
    eventually("one each", Duration::from_secs(5), async || {
        (stack.db().count("select 1 from users").await == 41).then_some(())
    })
    .await;
}
