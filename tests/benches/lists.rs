//! Measures that a page of a list without a filter costs the same at every position: 100,000 users, by position and by
//! cursor.
//!
//! `cargo bench -p tests --bench lists` prints how long the pages take. It fails if the last page by position takes
//! more than three times as long as the first, or if a late page by cursor takes more than 1.5 times as long as an
//! early one.

use std::time::{Duration, Instant};

use tests::crowd::{self, LARGE as PEOPLE, MAX_BY_CURSOR, MAX_BY_POSITION};
use tests::okta::encode;
use tests::{Answer, Okta, Stack};

/// The number of users of another tenant, in the same table.
const OTHERS: usize = 50_000;
/// How often each page is read.
const ROUNDS: usize = 60;
/// The number of rounds before those, which are not measured.
const WARM_UP: usize = 10;

/// The queries whose pages are timed: their names, and whether the limits apply to them.
const QUERIES: [(&str, &str, bool); 3] = [
    ("everybody", "/Users?count=100", true),
    ("200 a page", "/Users?count=200", true),
    ("by userName", "/Users?count=100&sortBy=userName", false),
];

#[tokio::main]
async fn main() {
    let stack = Stack::own().await;
    let (tenant, other) = (stack.tenant("crowd").await, stack.tenant("beside").await);
    println!("creating {PEOPLE} users, and {OTHERS} of another tenant");
    crowd::insert(&stack.db(), &[(tenant.id, PEOPLE), (other.id, OTHERS)]).await;
    let okta = tenant.okta();
    let mut is_slow = false;
    for state in ["as they were loaded", "vacuumed"] {
        if state == "vacuumed" {
            stack.db().execute("vacuum analyze users").await;
        }
        println!("\n{state:<28}{:>10}{:>10}{:>10}{:>9}", "first", "middle", "last", "ratio");
        for (name, query, is_held) in QUERIES {
            is_slow |= by_position(&okta, name, query).await > MAX_BY_POSITION && is_held;
            is_slow |= by_cursor(&okta, name, query).await > MAX_BY_CURSOR && is_held;
        }
        let total = median(&okta, &["/Users?count=0".to_owned()]).await;
        println!("{:<28}{:>10.2}", "the total alone", total[0]);
    }
    println!("\nmedians, in ms");
    if is_slow {
        std::process::exit(1);
    }
}

/// Prints the times of pages by position. Returns the ratio of the last to the first.
async fn by_position(okta: &Okta, name: &str, query: &str) -> f64 {
    let at = |start: usize| format!("{query}&startIndex={start}");
    let times = median(okta, &[at(1), at(PEOPLE / 2), at(PEOPLE - 99)]).await;
    report(&format!("{name}, by position"), &times)
}

/// Prints the times of pages by cursor: the second, which is the first that does not count the total, one in the
/// middle, and the last. Returns the ratio of the last to the second.
async fn by_cursor(okta: &Okta, name: &str, query: &str) -> f64 {
    let cursors = cursors(okta, query).await;
    let at = |cursor: &str| format!("{query}&cursor={}", encode(cursor));
    let paths = [0, cursors.len() / 2, cursors.len() - 1].map(|n| at(&cursors[n]));
    let times = median(okta, &paths).await;
    report(&format!("{name}, by cursor"), &times)
}

/// The cursors of all pages except the first.
async fn cursors(okta: &Okta, query: &str) -> Vec<String> {
    let (mut cursors, mut next) = (Vec::new(), String::new());
    loop {
        let page = read(okta, &format!("{query}&attributes=id&cursor={}", encode(&next))).await;
        let Some(cursor) = page.body["nextCursor"].as_str() else { return cursors };
        next = cursor.to_owned();
        cursors.push(next.clone());
    }
}

async fn read(okta: &Okta, path: &str) -> Answer {
    let page = okta.get(path).await.is(200);
    assert_eq!(page.total(), PEOPLE as u64, "{path}");
    page
}

/// The median time of each page in ms. The pages are read alternately.
async fn median(okta: &Okta, paths: &[String]) -> Vec<f64> {
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); paths.len()];
    for round in 0..ROUNDS + WARM_UP {
        for (times, path) in times.iter_mut().zip(paths) {
            let start = Instant::now();
            read(okta, path).await;
            if round >= WARM_UP {
                times.push(start.elapsed());
            }
        }
    }
    times.into_iter().map(|times| crowd::median(times).as_secs_f64() * 1_000.0).collect()
}

fn report(name: &str, times: &[f64]) -> f64 {
    let ratio = times[2] / times[0];
    println!("{name:<28}{:>10.2}{:>10.2}{:>10.2}{ratio:>9.2}", times[0], times[1], times[2]);
    ratio
}
