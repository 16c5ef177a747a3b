//! The size of logs: requests without a valid key are summed up, and logs are rotated while their processes run.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::plain::{Framing, Plain, head};
use tests::programs::checkout;
use tests::tenant::Key;
use tests::{Stack, eventually};

/// The number of requests without a valid key.
const REQUESTS: usize = 10_000;
/// The number of those with a malformed key, and of those that are not HTTP.
const WRONG_KEYS: usize = 5;
const UNREADABLE: usize = 100;
/// The maximum number of lines that they add to the log, and their maximum total length in bytes.
const MAX_LINES: usize = 200;
const MAX_BYTES: usize = 60_000;
/// The size at which `deploy/lib/rundir.sh` rotates a log, in bytes.
const LOG_SIZE: usize = 16 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_valid_key_are_summed_up() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("quiet").await;
    let ingest = &stack.ingests[0];
    tenant.okta().get("/Users").await.is(200);
    let before = ingest.log().len();
    let malformed = Key { username: "quiet".to_owned(), api_key: "x".repeat(900) };
    let long = "y".repeat(2_000);
    let heads = [
        head("GET", "/scim/v2/Users", None),
        head("GET", &format!("/scim/v2/Users?filter={long}"), None),
        head("POST", &format!("/{long}"), None) + &format!("User-Agent: {long}\r\n"),
        head("BREW", "/scim/v2/Users", None),
        head("GET", "/scim/v2/ServiceProviderConfig", None),
        head("GET", &format!("/unsubscribe/{long}"), None),
        head("POST", "/events", None),
        head("GET", "/reports/learners", None),
    ];
    let mut plain = Plain::connect(ingest.port()).await;
    for n in 0..REQUESTS {
        let answer = plain.exchange(&heads[n % heads.len()], b"", Framing::Length).await.unwrap();
        assert!(matches!(answer.status, 200 | 401 | 404 | 405), "{} {}", n % heads.len(), answer.status);
    }
    // More wrong keys would be slowed down.
    for _ in 0..WRONG_KEYS {
        let wrong = head("POST", "/scim/v2/Users", Some(&malformed));
        plain.exchange(&wrong, b"", Framing::Length).await.unwrap().is_error(401);
    }
    for _ in 0..UNREADABLE {
        let mut plain = Plain::connect(ingest.port()).await;
        plain.write(b"nonsense\r\n\r\n").await.unwrap();
        plain.answer().await.unwrap().is_error(400);
    }
    // A request with a key is still logged.
    tenant.okta().get("/Groups").await.is(200);
    let log = eventually("all are counted", Duration::from_secs(60), async || {
        let log = ingest.log().split_off(before);
        (counted(&log) == (REQUESTS + WRONG_KEYS + UNREADABLE) as u64 && log.contains("/scim/v2/Groups"))
            .then_some(log)
    })
    .await;
    println!("{} lines, {} bytes", log.lines().count(), log.len());
    assert!(log.lines().count() <= MAX_LINES && log.len() <= MAX_BYTES, "{} bytes", log.len());
    for word in ["xxxxxxxx", "yyyyyyyy", "BREW", "nonsense"] {
        assert!(!log.contains(word), "{word} is in the log");
    }
    for part in ["scim 401: ", "scim 405: ", "no such path 404: ", "unsubscribe 404: ", "invalid HTTP 400: "]
    {
        assert!(log.contains(part), "{part}: {log}");
    }
    assert!(log.lines().all(|line| line.len() < 2_048));
}

/// The number of requests in the summaries of a log.
fn counted(log: &str) -> u64 {
    let summaries = log.lines().filter(|line| line.contains("requests without a valid key"));
    summaries.map(|line| serde_json::from_str::<Value>(line).unwrap()["requests"].as_u64().unwrap()).sum()
}

/// Rotates the logs in a run directory, as the supervisor does.
fn rotate(run: &Path) {
    let lib = checkout().join("deploy/lib");
    let script = r#"set -euo pipefail; source "$1/say.sh"; source "$1/rundir.sh"; RUN=$2; rotate_logs"#;
    let done = Command::new("bash").args(["-c", script, "rotate"]).arg(lib).arg(run).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn logs_are_rotated_while_their_processes_run() {
    let run = std::env::temp_dir().join(format!("rollcall-rotate-{}", std::process::id()));
    let logs = run.join("log");
    std::fs::create_dir_all(&logs).unwrap();
    // As `spawn` opens it: for appending.
    let mut log = OpenOptions::new().create(true).append(true).open(logs.join("ingest.log")).unwrap();
    std::fs::write(logs.join("worker-1.log"), "short\n").unwrap();
    let size = |name: &str| std::fs::metadata(logs.join(name)).map_or(0, |log| log.len());
    rotate(&run);
    for round in 1..=6 {
        let line = format!("{round}{}\n", "x".repeat(1_023));
        log.write_all(line.repeat(LOG_SIZE * 3 / 2 / line.len()).as_bytes()).unwrap();
        rotate(&run);
        assert_eq!(size("ingest.log"), 0, "the log is emptied");
        assert_eq!(size("ingest.log.1"), LOG_SIZE as u64, "the latest old log has its end");
        let end = std::fs::read(logs.join("ingest.log.1")).unwrap();
        assert!(end.ends_with(line.as_bytes()), "round {round}");
    }
    log.write_all(b"goes on\n").unwrap();
    assert_eq!(
        std::fs::read(logs.join("ingest.log")).unwrap(),
        b"goes on\n",
        "at the beginning, without a gap"
    );
    let files = std::fs::read_dir(&logs).unwrap().count();
    assert_eq!((files, size("worker-1.log")), (6, 6), "four old logs, and the log of another process");
    std::fs::remove_dir_all(&run).unwrap();
}
