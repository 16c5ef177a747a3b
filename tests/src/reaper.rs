//! A shell that outlives the test, however it ends, and then cleans up the processes and servers that the test started.
//!
//! It reads from a pipe that only this process holds: when the pipe closes, the test has ended.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Marks the processes of one run in their environment, because a pid may have been reused.
pub const MARK: &str = "ROLLCALL_E2E_RUN";

const SCRIPT: &str = r#"
servers=$1 mark=$2
declare -A pids folders
while read -r word what; do
  case $word in
    pid) pids[$what]=1 ;;
    servers) folders[$what]=1 ;;
    gone) unset "pids[$what]" "folders[$what]" ;;
  esac
done
for pid in "${!pids[@]}"; do
  if grep -qsz "^$mark\$" "/proc/$pid/environ"; then kill -KILL "$pid"; fi
done
for folder in "${!folders[@]}"; do
  "$servers" remove --run-dir "$folder" >/dev/null 2>&1
done
"#;

/// The value of [`MARK`] in this run.
pub fn run() -> String {
    std::process::id().to_string()
}

/// Registers a process to be killed.
pub fn watch_process(pid: u32) {
    tell(&format!("pid {pid}"));
}

/// Registers servers and their folder to be removed.
pub fn watch_servers(folder: &Path) {
    tell(&format!("servers {}", folder.display()));
}

/// Unregisters a pid or a folder.
pub fn forget(what: &str) {
    tell(&format!("gone {what}"));
}

fn tell(line: &str) {
    static REAPER: OnceLock<Mutex<Child>> = OnceLock::new();
    let reaper = REAPER.get_or_init(|| Mutex::new(start()));
    let mut reaper = reaper.lock().unwrap_or_else(PoisonError::into_inner);
    let pipe = reaper.stdin.as_mut().expect("it was started with a pipe");
    writeln!(pipe, "{line}").expect("the reaper reads as long as this process lives");
}

fn start() -> Child {
    let servers = super::programs::checkout().join("deploy/servers");
    let mark = format!("{MARK}={}", run());
    Command::new("bash")
        .args(["-c", SCRIPT, "reaper"])
        .arg(servers)
        .arg(mark)
        // In its own process group, so that the terminal's Ctrl-C does not reach it.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("bash is there: deploy/ is written in it")
}
