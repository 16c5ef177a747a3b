//! Ingest is killed during a push: clients without an answer retry, and each user has one account in the end.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tests::load::{Pushed, somebody};
use tests::{Okta, Stack, check, eventually};

const PEOPLE: usize = 600;

/// Retries until there is an answer, like an admin who presses "retry"; a broken connection is not an answer.
async fn insist(okta: &Okta, n: usize) -> Pushed {
    let user = somebody("door", n);
    let user_name = user["userName"].as_str().unwrap().to_owned();
    let answer = eventually("an answer", Duration::from_secs(60), async || {
        let request = okta.request("POST", "/Users").body(user.to_string());
        okta.attempt(request).await.ok().filter(|answer| answer.status != 429)
    })
    .await;
    Pushed { user_name, answer }
}

#[tokio::test(flavor = "multi_thread")]
async fn ingest_is_killed_twice() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("door").await;
    let (okta, db) = (tenant.okta(), stack.db());
    let witness = stack.broker().await.witness().await;
    let saboteur = async {
        for part in [PEOPLE / 4, PEOPLE / 2] {
            eventually("the push is under way", Duration::from_secs(30), async || {
                (db.count("select 1 from users").await >= i64::try_from(part).unwrap()).then_some(())
            })
            .await;
            stack.ingests[0].restart().await;
        }
    };
    let push = stream::iter(0..PEOPLE).map(|n| insist(&okta, n)).buffer_unordered(16).collect::<Vec<_>>();
    let (mut pushed, ()) = tokio::join!(push, saboteur);
    // A retry after the first request had been applied may be a conflict: then the user exists.
    for person in &mut pushed {
        if person.answer.status == 409 {
            let found = okta.find(&person.user_name).await.is(200);
            assert_eq!(found.total(), 1);
            let mut made = okta.user(found.resources()[0]["id"].as_str().unwrap()).await.is(200);
            made.status = 201;
            person.answer = made;
        }
    }
    check::all_arrived_once(&stack, &tenant, &witness, &pushed).await;
}
