//! The house's own rules, read off its sources: who may import whom, and how long a file may be.

use std::path::{Path, PathBuf};

use tests::programs::checkout;

const CRATES: [&str; 5] = ["shared", "ingest", "worker", "notifier", "tests"];
const LONGEST: usize = 400;

/// A source file: its path in the checkout, and its text.
struct Source {
    path: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders: Vec<PathBuf> = CRATES.iter().map(|name| checkout().join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(checkout()).unwrap().to_str().unwrap().to_owned();
                sources.push(Source { path, text });
            }
        }
    }
    assert!(sources.len() > 50, "the sources are not where they should be");
    sources
}

impl Source {
    fn is_in(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    /// The code without its comments: prose may name whom it likes.
    fn code(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter(|line| !line.trim_start().starts_with("//"))
    }

    /// Whether the code uses a module, as `crate::x`, `shared::x`, or in a group of a `use`.
    fn uses(&self, module: &str) -> bool {
        let joined = self.code().collect::<Vec<_>>().join("\n");
        let direct = [format!("crate::{module}"), format!("shared::{module}")].iter().any(|path| {
            joined.match_indices(path.as_str()).any(|(at, _)| {
                !joined[at + path.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
            })
        });
        let grouped = ["use crate::{", "use shared::{"]
            .iter()
            .flat_map(|start| joined.split(start).skip(1))
            .any(|rest| {
                let group = &rest[..rest.find(";").unwrap_or(rest.len())];
                group.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == module)
            });
        direct || grouped
    }
}

/// What each layer of `shared` must not know.
#[test]
fn imports_run_downward_only() {
    const SERVICES: [&str; 3] = ["ingest", "worker", "notifier"];
    let rims = ["amqp", "postgres"];
    let envelope = ["command", "outcome", "event", "ticket"];
    let mut wrong = Vec::new();
    for source in sources() {
        let mut forbidden: Vec<&str> = Vec::new();
        if source.is_in("shared/src/amqp") {
            forbidden.push("postgres");
        } else if source.is_in("shared/src/postgres") {
            forbidden.push("amqp");
        } else if envelope.iter().any(|name| source.is_in(&format!("shared/src/{name}"))) {
            forbidden.extend(rims);
        } else if source.is_in("shared/src/scim") {
            forbidden.extend(rims.iter().chain(&envelope));
            forbidden.extend(["config", "health", "http", "telemetry", "shutdown"]);
        } else if source.is_in("shared/src") && source.path != "shared/src/lib.rs" {
            forbidden.extend(rims.iter().chain(&envelope));
            forbidden.push("scim");
        }
        wrong.extend(
            forbidden
                .into_iter()
                .filter(|module| source.uses(module))
                .map(|module| format!("{} → {module}", source.path)),
        );
        for service in SERVICES {
            let foreign = !source.is_in(&format!("{service}/")) && !source.is_in("tests/");
            let used = |line: &str| {
                line.contains(&format!("use {service}::")) || line.contains(&format!(" {service}::"))
            };
            if foreign && source.code().any(used) && !envelope.contains(&service) {
                wrong.push(format!("{} → {service}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that run upward or sideways: {wrong:#?}");
}

#[test]
fn services_depend_on_shared_and_never_on_each_other() {
    for service in ["ingest", "worker", "notifier"] {
        let manifest = std::fs::read_to_string(checkout().join(service).join("Cargo.toml")).unwrap();
        for other in ["ingest", "worker", "notifier"].iter().filter(|other| **other != service) {
            let depends = manifest
                .lines()
                .any(|line| line.starts_with(&format!("{other}.")) || line.starts_with(&format!("{other} ")));
            assert!(!depends, "{service} depends on {other}");
        }
    }
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|source| !source.path.contains("tests/") && source.text.lines().count() > LONGEST)
        .map(|source| source.path)
        .collect();
    assert!(long.is_empty(), "over {LONGEST} lines: {long:?}");
}

#[test]
fn every_file_says_what_it_is() {
    let mute: Vec<_> = sources()
        .into_iter()
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| source.path)
        .collect();
    assert!(mute.is_empty(), "without //! at the top: {mute:?}");
}

#[test]
fn backoff_is_used_in_one_module() {
    let users: Vec<_> = sources()
        .into_iter()
        .filter(|source| source.is_in("shared/") && source.code().any(|line| line.contains("backoff::")))
        .map(|source| source.path)
        .collect();
    assert_eq!(users, ["shared/src/retry.rs"]);
    for name in CRATES.iter().filter(|name| **name != "shared") {
        let manifest = std::fs::read_to_string(checkout().join(name).join("Cargo.toml")).unwrap();
        assert!(!manifest.contains("backoff"), "{name} has it among its dependencies");
    }
}

#[test]
fn migrations_go_both_ways_and_say_what_they_run_beside() {
    let mut folders: Vec<_> = std::fs::read_dir(checkout().join("migrations"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.retain(|folder: &PathBuf| Path::is_dir(folder));
    assert!(!folders.is_empty());
    for folder in folders {
        let up = std::fs::read_to_string(folder.join("up.sql")).unwrap();
        assert!(
            up.contains("-- Runs beside:"),
            "{}: compatible with which running version?",
            folder.display()
        );
        assert!(folder.join("down.sql").is_file(), "{} cannot be reverted", folder.display());
    }
}
