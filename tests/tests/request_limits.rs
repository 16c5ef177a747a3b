//! A tenant's limit of requests per second: set by the operator, in force within a second.

use std::time::Duration;

use futures_util::future::join_all;
use tests::{Answer, Okta, Stack, eventually};

/// Sends concurrent reads.
async fn burst(okta: &Okta, count: usize) -> Vec<Answer> {
    join_all((0..count).map(|_| okta.once(okta.request("GET", "/Users?count=1")))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_a_tenants_limit_are_a_429_with_the_limit() {
    let stack = Stack::shared().await;
    let (limited, other) = (stack.tenant("limited").await.okta(), stack.tenant("unlimited").await.okta());
    let set = async |value: &str| {
        let change = format!("requests_per_second={value}");
        stack.rollcall(&["tenant", "set", "limited", &change]).await
    };
    assert!(burst(&limited, 60).await.iter().all(|answer| answer.status == 200), "without a limit");

    set("5").await.well();
    let refused = eventually("the limit is in force", Duration::from_secs(10), async || {
        burst(&limited, 30).await.into_iter().find(|answer| answer.status == 429)
    })
    .await;
    let refused = refused.is_error(429);
    assert_eq!(refused.retry_after(), 1);
    assert!(refused.detail().contains("limited to 5 requests a second"), "{}", refused.detail());
    assert!(burst(&other, 60).await.iter().all(|answer| answer.status == 200), "another tenant");
    let served = eventually("its second is over", Duration::from_secs(5), async || {
        let taken = burst(&limited, 1).await[0].status == 200;
        taken.then_some(())
    });
    served.await;

    set("0").await.well();
    eventually("the limit is removed", Duration::from_secs(10), async || {
        burst(&limited, 30).await.iter().all(|answer| answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_limit_is_rejected_by_name() {
    let stack = Stack::shared().await;
    stack.tenant("numbers").await;
    for value in ["many", "-1", "1.5", ""] {
        let said =
            stack.rollcall(&["tenant", "set", "numbers", &format!("requests_per_second={value}")]).await;
        assert_eq!(said.code, Some(2), "{value:?}");
        assert!(said.err.contains("requests_per_second"), "{value:?}: {}", said.err);
    }
}
