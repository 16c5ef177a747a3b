//! Lists that Postgres filters and sorts, compared with the same filter and order in memory, for random resources,
//! filters and orders.
//!
//! `ROLLCALL_E2E_SEED` repeats a run; it is printed. `PROPTEST_CASES` is the number of cases.

mod generate;
mod queries;
mod reference;
mod roster;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use database::list::{List, Mark, Page, Slice, Sort};
use diesel_async::AsyncPgConnection;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use scim::Filter;
use tokio::runtime::Handle;
use uuid::Uuid;

use roster::{BASE, Kind, Roster};

/// The number of filters for each kind of resource.
const FILTERS: u32 = 400;
/// The number of orders.
const ORDERS: u32 = 60;

/// A source of random cases, determined by the seed.
fn runner(cases: u32) -> TestRunner {
    static SEED: LazyLock<u64> = LazyLock::new(|| {
        let given = std::env::var("ROLLCALL_E2E_SEED").ok().and_then(|seed| seed.parse().ok());
        given.unwrap_or_else(|| platform::id::new().as_u64_pair().1)
    });
    println!("ROLLCALL_E2E_SEED={}", *SEED);
    let given = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let cases = given.filter(|_| cases > 1).unwrap_or(cases);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&SEED.to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Runs `check` on random cases, and shrinks a failing one.
fn hold<S: Strategy>(cases: u32, strategy: &S, check: impl AsyncFn(S::Value) -> Result<(), TestCaseError>) {
    let outcome = tokio::task::block_in_place(|| {
        runner(cases).run(strategy, |case| Handle::current().block_on(check(case)))
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

async fn read(roster: &Roster, list: &List, slice: Slice) -> Page {
    let read = async |c: &mut AsyncPgConnection| list.page(c, slice).await;
    roster.pool.bounded(read).await.unwrap()
}

fn ids(page: &Page) -> Vec<Uuid> {
    page.records.iter().map(|record| record.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_finds_what_the_filter_matches() {
    let roster = Roster::fill(&mut runner(1)).await;
    let (start, selective) = (Instant::now(), AtomicUsize::new(0));
    for kind in Kind::ALL {
        let resource_type = kind.resource_type(&roster.types);
        let filter = queries::filter(kind);
        hold(FILTERS, &filter, async |filter: Filter| {
            let expected: Result<Vec<Uuid>, _> =
                roster.shown(kind).try_fold(Vec::new(), |mut found, (id, shown)| {
                    if filter.matches(resource_type, shown)? {
                        found.push(id);
                    }
                    Ok(found)
                });
            match (List::new(roster.tenant, resource_type, BASE, Some(&filter), None), expected) {
                (Err(refused), Err(expected)) => prop_assert_eq!(refused, expected),
                (Ok(list), Ok(expected)) => {
                    let page = read(&roster, &list, Slice::Index { offset: 0, count: 1000 }).await;
                    prop_assert_eq!(page.total, i64::try_from(expected.len()).ok());
                    selective.fetch_add(
                        usize::from(!expected.is_empty() && expected.len() < roster.shown(kind).count()),
                        Ordering::Relaxed,
                    );
                    prop_assert_eq!(ids(&page), expected);
                    prop_assert!(!page.has_more);
                }
                (list, expected) => prop_assert!(false, "{list:?} instead of {expected:?}"),
            }
            Ok(())
        });
    }
    let selective = selective.into_inner();
    println!(
        "{selective} of {} filters selected some resources but not all, in {:?}",
        2 * FILTERS,
        start.elapsed()
    );
    assert!(selective * 5 > FILTERS as usize, "most filters select nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_by_index_and_by_key_are_the_sorted_list() {
    let roster = Roster::fill(&mut runner(1)).await;
    for kind in Kind::ALL {
        let resource_type = kind.resource_type(&roster.types);
        let case = (queries::sort(kind), proptest::option::of(queries::filter(kind)), 1..40_i64);
        hold(ORDERS, &case, async |(sort, filter, count): (Sort, Option<Filter>, i64)| {
            let Ok(list) = List::new(roster.tenant, resource_type, BASE, filter.as_ref(), Some(&sort)) else {
                return Ok(());
            };
            let matches =
                |shown| filter.as_ref().is_none_or(|f| f.matches(resource_type, shown).unwrap_or(false));
            let shown = roster.shown(kind).filter(|(_, shown)| matches(shown));
            let expected = reference::sorted(resource_type, &sort, shown);
            let total = i64::try_from(expected.len()).unwrap();

            let mut by_index = Vec::new();
            loop {
                let offset = i64::try_from(by_index.len()).unwrap();
                let page = read(&roster, &list, Slice::Index { offset, count }).await;
                prop_assert_eq!(page.total, Some(total));
                by_index.extend(ids(&page));
                if !page.has_more {
                    break;
                }
            }
            prop_assert_eq!(&by_index, &expected);

            let (mut by_key, mut last) = (Vec::new(), None);
            loop {
                let is_counted = by_key.is_empty();
                let page = read(&roster, &list, Slice::After { last, count, is_counted }).await;
                prop_assert_eq!(page.total, is_counted.then_some(total));
                by_key.extend(ids(&page));
                last = page.mark();
                if !page.has_more {
                    break;
                }
                prop_assert_eq!(page.records.len(), usize::try_from(count).unwrap());
            }
            prop_assert_eq!(&by_key, &expected);
            Ok(())
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_values_of_unexpected_shape_fail_no_list() {
    let roster = Roster::fill(&mut runner(1)).await;
    roster.bend().await;
    for kind in Kind::ALL {
        let resource_type = kind.resource_type(&roster.types);
        let case = (proptest::option::of(queries::filter(kind)), proptest::option::of(queries::sort(kind)));
        hold(FILTERS / 4, &case, async |(filter, sort): (Option<Filter>, Option<Sort>)| {
            if let Ok(list) = List::new(roster.tenant, resource_type, BASE, filter.as_ref(), sort.as_ref()) {
                let slices = [Slice::Index { offset: 0, count: 0 }, Slice::Index { offset: 3, count: 5 }];
                for slice in slices {
                    read(&roster, &list, slice).await;
                }
            }
            Ok(())
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paging_works_at_its_limits() {
    let roster = Roster::fill(&mut runner(1)).await;
    let resource_type = &roster.types.user;
    let all: Vec<Uuid> = roster.shown(Kind::User).map(|(id, _)| id).collect();
    let total = i64::try_from(all.len()).unwrap();
    let sort = |by: &str| Sort { by: scim::syntax::AttrPath::new(by).unwrap(), descending: false };
    for sort in [None, Some(sort("userName")), Some(sort("title"))] {
        let list = List::new(roster.tenant, resource_type, BASE, None, sort.as_ref()).unwrap();
        for (offset, count, expected, has_more) in [
            (0, 0, 0, true),
            (0, total, total, false),
            (0, total - 1, total - 1, true),
            (total, 10, 0, false),
            (total - 1, 10, 1, false),
            (i64::MAX - 1, 10, 0, false),
            (0, i64::MAX, total, false),
        ] {
            let page = read(&roster, &list, Slice::Index { offset, count }).await;
            let len = i64::try_from(page.records.len()).unwrap();
            assert_eq!(
                (len, page.has_more, page.total),
                (expected, has_more, Some(total)),
                "{offset}+{count}"
            );
        }
        // A mark of another type sorts after all resources.
        if sort.is_some() {
            let last = Some(Mark { id: platform::id::new(), key: true.into() });
            assert!(
                read(&roster, &list, Slice::After { last, count: 10, is_counted: true })
                    .await
                    .records
                    .is_empty()
            );
        }
    }
    for path in
        ["shoeSize", "name", "password", "roles", "meta", "urn:ietf:params:scim:schemas:core:2.0:User"]
    {
        let refused = List::new(roster.tenant, resource_type, BASE, None, Some(&sort(path))).unwrap_err();
        assert_eq!(refused.scim_type, Some(scim::ScimType::InvalidPath), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_takes_too_long_is_given_up() {
    let roster = Roster::fill(&mut runner(1)).await;
    roster.run("alter table users rename to users_").await;
    let slow = "create view users as select id, tenant_id, user_name, user_name_key, external_id, resource, version, \
                created_at, modified_at, search from users_ where pg_sleep(1) is not null";
    roster.run(slow).await;
    let filter = Filter::parse("title pr").unwrap();
    let list = List::new(roster.tenant, &roster.types.user, BASE, Some(&filter), None).unwrap();
    let start = Instant::now();
    let read = async |c: &mut AsyncPgConnection| list.page(c, Slice::Index { offset: 0, count: 10 }).await;
    let refused = roster.pool.bounded(read).await.unwrap_err();
    assert_eq!(refused, database::Error::TooBroad);
    assert!(start.elapsed() < Duration::from_secs(10), "before the timeout that counts as an outage");
    // The connection is still usable.
    assert!(roster.pool.ping().await.is_ok());
}
