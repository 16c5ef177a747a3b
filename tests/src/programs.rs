//! The programs under test: built from this checkout, in the profile of the test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The cargo arguments for the programs.
const PROGRAMS: [&str; 2] = ["--workspace", "--bins"];
/// The same for the worker with bugs. (Built separately, so that the regular worker is built without the feature.)
const SABOTAGED: [&str; 5] = ["--workspace", "--features", "worker/sabotage", "--bin", "sabotaged-worker"];

/// The root of the checkout.
#[must_use]
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the checkout")
}

/// Builds `ingest`, `worker`, `notifier` and `rollcall` and returns their folder. With `ROLLCALL_E2E_BUILT` set they
/// are not built.
///
/// # Panics
/// If they cannot be built or are missing.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let test = std::env::current_exe().expect("Linux knows the path of a running program");
        let profile = test.ancestors().find(|f| f.join("deps").is_dir() && f.join(".fingerprint").is_dir());
        let profile = profile.expect("a test of cargo's lies in target/PROFILE/deps").to_owned();
        if std::env::var_os("ROLLCALL_E2E_BUILT").is_none() {
            build(&PROGRAMS, profile.ends_with("release"));
        }
        let missing =
            ["ingest", "worker", "notifier", "rollcall"].into_iter().find(|p| !profile.join(p).is_file());
        if let Some(program) = missing {
            panic!("{} is missing: run `cargo build --workspace --bins`", profile.join(program).display());
        }
        profile
    })
}

/// Builds the worker with bugs and returns its path. With `ROLLCALL_E2E_BUILT` set it is not built.
///
/// # Panics
/// If it cannot be built or is missing.
pub fn sabotaged_worker() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = path("sabotaged-worker");
        if std::env::var_os("ROLLCALL_E2E_BUILT").is_none() {
            build(&SABOTAGED, folder().ends_with("release"));
        }
        let missing = !program.is_file();
        assert!(!missing, "{} is missing: run `cargo build {}`", program.display(), SABOTAGED.join(" "));
        program
    })
}

fn build(what: &[&str], release: bool) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(checkout()).args(["build", "--quiet"]).args(what);
    if release {
        command.arg("--release");
    }
    let built = command.status().expect("cargo runs, since it started this test");
    assert!(built.success(), "`cargo build {}` failed: see above", what.join(" "));
}

/// The path of a program.
#[must_use]
pub fn path(program: &str) -> PathBuf {
    folder().join(program)
}
