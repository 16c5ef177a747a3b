//! A list of 100,000 users: a page costs the same at every position, by index and by cursor.

use std::time::{Duration, Instant};

use database::list::{List, Page, Slice, Sort};
use database::{Error, Pool};
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, AsyncPgConnection};
use scim::Types;
use scim::syntax::AttrPath;
use tests::crowd::{self, LARGE as PEOPLE, MAX_BY_CURSOR, MAX_BY_POSITION, median};
use tests::okta::encode;
use tests::{Okta, Stack, eventually};
use uuid::Uuid;

/// The number of users of another tenant in the same table.
const OTHERS: usize = 20_000;
/// The page size.
const COUNT: i64 = 100;
/// How many more rows than it shows a page may read.
const SPARE: i64 = 400;
/// How often a statement is run: Postgres makes five custom plans before it may choose a generic one.
const TRIES: usize = 8;
/// How often a page is timed.
const ROUNDS: usize = 15;

/// Reads lists as ingest does, on one connection.
struct Reader {
    pool: Pool,
    tenant: Uuid,
}

impl Reader {
    fn list(&self, sort: Option<&str>) -> List {
        let sort = sort.map(|by| Sort { by: AttrPath::new(by).unwrap(), descending: false });
        List::new(self.tenant, &Types::default().user, "https://rollcall.example", None, sort.as_ref())
            .unwrap()
    }

    /// A page, and the maximum number of rows of `users` that reading it took under any plan.
    async fn page(&self, list: &List, slice: &Slice) -> (Page, i64) {
        let read = async |c: &mut AsyncPgConnection| {
            let before = rows_read(c).await?;
            let page = list.page(c, slice.clone()).await?;
            Ok::<_, Error>((page, rows_read(c).await? - before))
        };
        let (mut last, mut most) = (None, 0);
        for _ in 0..TRIES {
            let (page, rows) = self.pool.bounded(async |c| c.transaction(read).await).await.unwrap();
            most = most.max(rows);
            last = Some(page);
        }
        (last.unwrap(), most)
    }

    async fn rows(&self, list: &List, offset: i64) -> i64 {
        self.page(list, &Slice::Index { offset, count: COUNT }).await.1
    }
}

/// The number of rows of `users` that this transaction has read so far, by any scan.
async fn rows_read(connection: &mut AsyncPgConnection) -> Result<i64, Error> {
    // Imported locally, because its `execute` would shadow that of `Db`.
    use diesel_async::RunQueryDsl as _;

    #[derive(QueryableByName)]
    struct Read {
        #[diesel(sql_type = BigInt)]
        rows: i64,
    }
    let query = "select (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint as rows \
                 from pg_stat_xact_user_tables where relname = 'users'";
    Ok(sql_query(query).get_result::<Read>(connection).await?.rows)
}

async fn timed(okta: &Okta, path: &str) -> Duration {
    let start = Instant::now();
    let page = okta.get(path).await.is(200);
    let took = start.elapsed();
    assert_eq!(page.total(), PEOPLE as u64, "{path}");
    took
}

/// Reading a page takes few more rows than it shows, at every position.
async fn rows_are_few(stack: &Stack, reader: &Reader) {
    let all = i64::try_from(PEOPLE).unwrap();
    let whole = reader.list(None);

    // After bulk loading there are no statistics, and no page is marked all-visible.
    let first = reader.rows(&whole, 0).await;
    let last = reader.rows(&whole, all - COUNT).await;
    assert!(last <= first + SPARE, "the first page reads {first} rows, the last one {last}");

    eventually("after a vacuum a page reads only its own rows", Duration::from_secs(60), async || {
        stack.db().execute("vacuum users").await;
        (reader.rows(&whole, 0).await <= COUNT + SPARE).then_some(())
    })
    .await;
    for is_analyzed in [false, true] {
        if is_analyzed {
            stack.db().execute("analyze users").await;
        }
        for offset in [0, all / 4, all / 2, all / 2 + 1, all - COUNT, all - 1, all, 2 * all] {
            let (page, rows) = reader.page(&whole, &Slice::Index { offset, count: COUNT }).await;
            let length = COUNT.min((all - offset).max(0));
            assert_eq!((page.records.len(), page.total), (usize::try_from(length).unwrap(), Some(all)));
            assert!(rows <= COUNT + SPARE, "analyzed: {is_analyzed}: {rows} rows at {offset}");
        }
    }
    // Sorted by name, every skipped row is read, so the distance to the nearer end matters.
    let named = reader.list(Some("userName"));
    for offset in [0, all - COUNT] {
        let rows = reader.rows(&named, offset).await;
        assert!(rows <= 3 * COUNT + SPARE, "{rows} rows at {offset} by name");
    }
    // By key.
    let middle = reader.page(&whole, &Slice::Index { offset: all / 2, count: 1 }).await.0.mark().unwrap();
    let slice = Slice::After { last: Some(middle.clone()), count: COUNT, is_counted: false };
    let (page, rows) = reader.page(&whole, &slice).await;
    assert_eq!((page.records.len(), page.total, page.has_more), (100, None, true));
    assert!(page.records.iter().all(|record| record.id > middle.id));
    assert!(rows <= 2 * COUNT + SPARE, "{rows} rows by key");
}

async fn time_by_position(okta: &Okta) {
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for (times, start) in times.iter_mut().zip([1, PEOPLE / 2, PEOPLE - 99]) {
            times.push(timed(okta, &format!("/Users?startIndex={start}&count=100")).await);
        }
    }
    let [first, middle, last] = times.map(median);
    println!("by position: {first:?} the first page, {middle:?} in the middle, {last:?} the last one");
    let most = first.mul_f64(MAX_BY_POSITION);
    assert!(last <= most && middle <= most, "{first:?}, {middle:?}, {last:?}");
}

/// Reads all users by cursor.
async fn time_by_cursor(okta: &Okta) {
    let (mut times, mut cursor, mut seen) = (Vec::new(), String::new(), Vec::with_capacity(PEOPLE));
    loop {
        let path = format!("/Users?attributes=id&count=200&cursor={}", encode(&cursor));
        let start = Instant::now();
        let page = okta.get(&path).await.is(200);
        times.push(start.elapsed());
        assert_eq!(page.total(), PEOPLE as u64);
        seen.extend(page.resources().iter().map(|user| user["id"].as_str().unwrap().to_owned()));
        let Some(next) = page.body["nextCursor"].as_str() else { break };
        cursor = next.to_owned();
    }
    assert_eq!(seen.len(), PEOPLE);
    assert!(seen.is_sorted_by(|one, other| one < other), "each user once, in the order of ids");
    let late = median(times.split_off(times.len() - 100));
    times.truncate(100);
    let early = median(times);
    println!("by cursor: {early:?} early, {late:?} late");
    assert!(
        late <= early.mul_f64(MAX_BY_CURSOR) + Duration::from_millis(5),
        "{early:?} early, {late:?} late"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_100000_users_costs_the_same_at_every_position() {
    let stack = Stack::own().await;
    let (tenant, other) = (stack.tenant("crowd").await, stack.tenant("beside").await);
    // Only the test runs vacuum and analyze.
    stack.db().execute("alter table users set (autovacuum_enabled = off)").await;
    crowd::insert(&stack.db(), &[(tenant.id, PEOPLE), (other.id, OTHERS)]).await;
    let reader = Reader { pool: Pool::new(&stack.database_url, 1).unwrap(), tenant: tenant.id };
    rows_are_few(&stack, &reader).await;
    let okta = tenant.okta();
    time_by_position(&okta).await;
    time_by_cursor(&okta).await;
}
