//! Measures that a change of a few members costs the same in a group of 100,000 and in a group of 100.
//!
//! `cargo bench -p tests --bench large_group` prints how long each kind of change takes in both groups, the ratio, and
//! the peak memory of the processes. It fails if a ratio is 1.5 or more, or if a process needs more memory for the
//! larger group.

#![expect(clippy::unwrap_used, reason = "errors panic")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::okta::{PATCH_OP, members, membership, person};
use tests::process::Service;
use tests::{Okta, Stack};

const SMALL: usize = 100;
const LARGE: usize = 100_000;
/// The number of members that Okta sends in one PATCH.
const PUSHED: usize = 256;
/// How often each change is made on each group.
const ROUNDS: usize = 60;
/// The number of rounds before those, which are not measured: they prepare statements and fill caches.
const WARM_UP: usize = 10;
const MAX_RATIO: f64 = 1.5;
/// The difference in memory that allocators may cause, in kB.
const MAX_GROWTH: u64 = 8 * 1024;

/// The names of the changes, in the order of a round. Each removal removes what the preceding change added.
const CHANGES: [&str; 5] = ["add one", "remove one", "add 256", "remove 256", "read without members"];

#[tokio::main]
async fn main() {
    let stack = Stack::own().await;
    let okta = stack.tenant("guild").await.okta();
    println!("creating {LARGE} users");
    let people = people(&stack, &okta).await;
    println!("filling a group of {SMALL} and one of {LARGE}");
    let (joining, staying) = people.split_at(PUSHED);
    let small = group(&okta, "Small", &staying[..SMALL]).await;
    let large = group(&okta, "Large", &staying[..LARGE]).await;
    stack.db().execute("vacuum analyze").await;

    let services = [&stack.ingests[0], &stack.workers[0]];
    let mut peaks = Vec::new();
    for id in [&small, &large] {
        services.into_iter().for_each(reset_peak);
        for _ in 0..WARM_UP {
            round(&okta, id, joining).await;
        }
        peaks.push(services.map(peak));
    }
    let mut times = vec![(Vec::new(), Vec::new()); CHANGES.len()];
    for _ in 0..ROUNDS {
        let (on_small, on_large) = (round(&okta, &small, joining).await, round(&okta, &large, joining).await);
        for (change, times) in times.iter_mut().enumerate() {
            times.0.push(on_small[change]);
            times.1.push(on_large[change]);
        }
    }
    let listed = okta.get("/Groups?startIndex=1&count=100").await.is(200);
    assert_eq!(
        (listed.total(), listed.resources().len()),
        (2, 1),
        "a page with groups of this size is shorter"
    );
    let whole = tests::okta::group("Large", &strs(&staying[..LARGE]));
    let start = Instant::now();
    let put = okta.with_body("PUT", &format!("/Groups/{large}"), &whole).await.is(200);
    assert_eq!(put.body["members"].as_array().map(Vec::len), Some(LARGE));
    println!(
        "\na PUT of all {LARGE} members, as an app from Okta's wizard sends it: {:.1} s",
        start.elapsed().as_secs_f64()
    );
    let is_slow = report_times(times);
    let has_grown = report_memory(&services, &peaks);
    if is_slow || has_grown {
        std::process::exit(1);
    }
}

/// Creates slightly more users than the large group has: one over SCIM, the others as copies of its row.
async fn people(stack: &Stack, okta: &Okta) -> Vec<String> {
    const AT_ONCE: usize = 10_000;
    let id = okta.create(&person("model@guild.example", "Mo", "Del")).await.is(201).id();
    let all = LARGE + PUSHED - 1;
    for first in (1..=all).step_by(AT_ONCE) {
        let last = all.min(first + AT_ONCE - 1);
        let copies = format!(
            "insert into users (id, tenant_id, user_name_key, origin, resource, search, search_version, version, ticket, created_ticket,
             created_at, modified_at)
         select gen_random_uuid(), tenant_id, name, origin, u.resource || own, u.search || own, search_version, version, ticket,
             created_ticket, created_at, modified_at
         from users u, generate_series({first}, {last}) n, lateral (select 'person-' || n || '@guild.example' as name) as named,
              lateral (select jsonb_build_object('userName', name, 'externalId', name,
                                                 'emails', jsonb_build_array(jsonb_build_object('value', name))) as own) as o
         where u.id = '{id}'"
        );
        stack.db().execute(&copies).await;
    }
    let ids = stack.db().rows("select id from users order by id").await;
    ids.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// Creates a group of these users, filled by PATCHes.
async fn group(okta: &Okta, name: &str, people: &[String]) -> String {
    const AT_ONCE: usize = 5_000;
    let id = okta.push_group(name).await.is(201).id();
    for some in people.chunks(AT_ONCE) {
        let answer = okta.patch_group(&id, membership(&[], &strs(some))).await;
        assert!(matches!(answer.status, 200 | 204), "{}", answer.text);
    }
    let filter = tests::okta::encode(&format!("members.value eq \"{}\"", people.last().unwrap()));
    let found = okta.get(&format!("/Groups?excludedAttributes=members&filter={filter}")).await.is(200);
    assert!(found.resources().iter().any(|group| group["id"] == *id), "the last user is in the group");
    id
}

/// Makes all changes once. Returns how long each took.
async fn round(okta: &Okta, id: &str, people: &[String]) -> [Duration; CHANGES.len()] {
    let (one, many) = (&strs(&people[..1])[..], &strs(people)[..]);
    let remove = |ids: &[&str]| json!([{ "op": "remove", "path": "members", "value": members(ids) }]);
    let patches = [membership(&[], one), membership(one, &[]), membership(&[], many), remove(many)];
    let mut times = [Duration::ZERO; CHANGES.len()];
    for (time, operations) in times.iter_mut().zip(patches) {
        *time = timed(okta, "PATCH", &format!("/Groups/{id}"), &operations).await;
    }
    times[CHANGES.len() - 1] =
        timed(okta, "GET", &format!("/Groups/{id}?excludedAttributes=members"), &Value::Null).await;
    times
}

async fn timed(okta: &Okta, method: &str, path: &str, operations: &Value) -> Duration {
    let body = json!({ "schemas": [PATCH_OP], "Operations": operations });
    let request = okta.request(method, path).body(body.to_string());
    let start = Instant::now();
    let answer = okta.once(request).await;
    assert!(matches!(answer.status, 200 | 204), "{}", answer.text);
    start.elapsed()
}

fn strs(ids: &[String]) -> Vec<&str> {
    ids.iter().map(String::as_str).collect()
}

/// Prints the medians. Returns whether one of the ratios is too large.
fn report_times(times: Vec<(Vec<Duration>, Vec<Duration>)>) -> bool {
    let milliseconds = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1_000.0
    };
    println!("\n{:<22}{:>12}{:>12}{:>9}", "median of each, in ms", SMALL, LARGE, "ratio");
    let mut is_slow = false;
    for (change, (small, large)) in CHANGES.iter().zip(times) {
        let (small, large) = (milliseconds(small), milliseconds(large));
        println!("{change:<22}{small:>12.2}{large:>12.2}{:>9.2}", large / small);
        is_slow |= large / small >= MAX_RATIO;
    }
    is_slow
}

/// Prints the peaks. Returns whether one has grown with the group.
fn report_memory(services: &[&Service], peaks: &[[u64; 2]]) -> bool {
    println!("\n{:<22}{:>12}{:>12}", "peak of memory, in kB", SMALL, LARGE);
    let mut has_grown = false;
    for (n, service) in services.iter().enumerate() {
        let (small, large) = (peaks[0][n], peaks[1][n]);
        println!("{:<22}{small:>12}{large:>12}", service.name());
        has_grown |= large > small + MAX_GROWTH;
    }
    has_grown
}

/// The peak memory of a process since [`reset_peak`], in kB.
fn peak(service: &Service) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn reset_peak(service: &Service) {
    std::fs::write(format!("/proc/{}/clear_refs", service.pid()), "5").unwrap();
}
