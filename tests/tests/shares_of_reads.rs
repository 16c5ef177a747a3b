//! One tenant searches as much as it can: its neighbours' reads and new keys are served, its own lookups too, a query
//! beyond the bound is refused, and its key can be revoked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use tests::crowd;
use tests::okta::{encode, person};
use tests::tenant::Key;
use tests::{Okta, Stack, eventually};
use uuid::Uuid;

/// The users of the tenant that searches.
const PEOPLE: usize = 2_300;
/// The comparisons in its searches, which are within the bound for that many users.
const TERMS: usize = 80;
/// The connections that it searches over.
const CONNECTIONS: usize = 48;
/// The reads of a neighbour, and the limit for each. (Before there were shares: 3 to 9 s in a release build.)
const READS: usize = 20;
const BOUND: Duration = Duration::from_secs(if cfg!(debug_assertions) { 3 } else { 1 });

/// A list that no index answers, with this many comparisons and an order.
fn search(terms: usize) -> String {
    let terms: Vec<String> = (0..terms).map(|n| format!("title co \"nobody{n}\"")).collect();
    format!("/Users?filter={}&sortBy=name.familyName", encode(&terms.join(" or ")))
}

/// A request of the load: when it began, and the status of its answer.
type Asked = (Instant, u16);

/// Searches over many connections until it is stopped.
struct Load {
    stop: Arc<AtomicBool>,
    asked: tokio::task::JoinHandle<Vec<Asked>>,
}

impl Load {
    async fn start(okta: Okta) -> Self {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), okta.clone());
        let asked = tokio::spawn({
            let stop = stop.clone();
            async move {
                let going = |_: &usize| std::future::ready(!stop.load(Ordering::SeqCst));
                let one = async |_| {
                    let began = Instant::now();
                    (began, okta.once(okta.request("GET", &search(TERMS))).await.status)
                };
                stream::iter(0..).take_while(going).map(one).buffer_unordered(CONNECTIONS).collect().await
            }
        });
        eventually("searches are refused because of the share", Duration::from_secs(30), async || {
            seen.seen().contains_key(&429).then_some(())
        })
        .await;
        Self { stop, asked }
    }

    async fn finish(mut self) -> Vec<Asked> {
        self.stop.store(true, Ordering::SeqCst);
        (&mut self.asked).await.unwrap()
    }
}

/// Stops the load even if the test fails.
impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

async fn crowd_of(stack: &Stack, tenant: Uuid) {
    crowd::insert(&stack.db(), &[(tenant, PEOPLE)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_searches_delay_neither_its_neighbours_nor_its_own_lookups() {
    let stack = Stack::own().await;
    let (loud, quiet) = (stack.tenant("loud").await, stack.tenant("quiet").await);
    crowd_of(&stack, loud.id).await;
    let okta = quiet.okta();
    let id = okta.create(&person("ada@quiet.example", "Ada", "Q")).await.is(201).id();
    let load = Load::start(loud.okta()).await;
    let mut slowest = Duration::ZERO;
    for n in 0..READS {
        // Every few reads come with a key that this ingest has not seen.
        let client = match n % 5 {
            0 => Okta::bearer(&stack.origin(), &Key::add(&stack, "quiet", "scim").await.api_key),
            _ => okta.clone(),
        };
        for path in [format!("/Users/{id}"), "/Users?filter=title%20co%20%22x%22".to_owned()] {
            let began = Instant::now();
            client.once(client.request("GET", &path)).await.is(200);
            slowest = slowest.max(began.elapsed());
        }
        let own = loud.okta();
        let found =
            own.once(own.request("GET", "/Users?filter=userName%20eq%20%22person-7@crowd.example%22"));
        assert_eq!(found.await.is(200).total(), 1);
    }
    let asked = load.finish().await;
    let count = |status| asked.iter().filter(|(_, seen)| *seen == status).count();
    println!("searches: {} found, {} later; slowest read {slowest:?}", count(200), count(429));
    assert!(slowest < BOUND, "{slowest:?}");
    assert!(asked.iter().all(|(_, status)| matches!(status, 200 | 400 | 429)), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_beyond_the_bound_is_refused_and_ordinary_ones_are_not() {
    let stack = Stack::shared().await;
    let (large, small) = (stack.tenant("compares").await, stack.tenant("compares-few").await);
    crowd_of(&stack, large.id).await;
    small.okta().create(&person("ada@few.example", "Ada", "F")).await.is(201);
    let refused = large.okta().get(&search(99)).await.is_error(400);
    assert_eq!(refused.scim_type(), "tooMany", "{}", refused.text);
    assert!(refused.detail().contains("100 values") && refused.detail().contains("2000"), "{}", refused.text);
    assert_eq!(small.okta().get(&search(99)).await.is(200).total(), 0);
    let none = (0..90).map(|n| format!("title co \"nobody{n}\"")).collect::<Vec<_>>().join(" or ");
    let ordinary = "title pr and name.familyName pr and not (active eq false)";
    assert!(large.okta().filter(ordinary).await.is(200).total() >= PEOPLE as u64);
    for filter in [
        "userName eq \"person-7@crowd.example\"".to_owned(),
        "emails[type eq \"work\" and value eq \"person-7@crowd.example\"]".to_owned(),
        // The index finds the only user that the other terms are compared with.
        format!("userName eq \"person-7@crowd.example\" and not ({none})"),
    ] {
        assert_eq!(large.okta().filter(&filter).await.is(200).total(), 1, "{filter}");
    }
    for path in ["/Users?count=2", "/Users?sortBy=userName&count=2", "/Users?sortBy=title&count=2"] {
        assert_eq!(large.okta().get(path).await.is(200).total(), PEOPLE as u64, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_within_a_second_under_the_load_that_it_makes() {
    const AFTER: Duration = Duration::from_secs(1);
    let stack = Stack::own().await;
    let tenant = stack.tenant("revoked").await;
    crowd_of(&stack, tenant.id).await;
    let load = Load::start(tenant.okta()).await;
    stack.rollcall(&["key", "revoke", "revoked", tenant.key.prefix()]).await.well();
    let revoked = Instant::now();
    let okta = tenant.okta();
    eventually("the key is rejected", Duration::from_secs(10), async || {
        (okta.once(okta.request("GET", "/Users?count=0")).await.status == 401).then_some(())
    })
    .await;
    // So that requests begin after the second, too.
    eventually("a second has passed", Duration::from_secs(10), async || {
        (revoked.elapsed() > 2 * AFTER).then_some(())
    })
    .await;
    let asked = load.finish().await;
    let late: Vec<_> = asked.iter().filter(|(began, _)| *began > revoked + AFTER).collect();
    assert!(!late.is_empty(), "no request began after the key was revoked");
    assert!(late.iter().all(|(_, status)| matches!(status, 401 | 429)), "{late:?}");
}
