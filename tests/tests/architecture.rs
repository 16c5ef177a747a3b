//! Rules that the compiler does not enforce: dependencies between crates, which crate writes a table, no import cycles,
//! short files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tests::programs::checkout;

const LONGEST: usize = 400;

/// The folder of each crate, and the workspace crates that it may depend on: those below it.
const CRATES: [(&str, &[&str]); 12] = [
    ("shared/scim", &[]),
    ("shared/platform", &[]),
    ("shared/domain", &["scim", "platform"]),
    ("shared/amqp", &["domain", "scim", "platform"]),
    ("shared/database", &["domain", "scim", "platform"]),
    ("shared/operations", &["amqp", "database", "domain", "scim", "platform"]),
    ("ingest", &["amqp", "database", "domain", "scim", "platform"]),
    ("worker", &["amqp", "database", "domain", "scim", "platform"]),
    ("worker/cli", &["amqp", "database", "domain", "scim", "platform", "operations", "worker", "wording"]),
    ("notifier", &["amqp", "database", "domain", "scim", "platform", "wording"]),
    ("notifier/wording", &["domain", "scim", "platform"]),
    ("tests", &["amqp", "database", "domain", "scim", "platform", "ingest", "worker"]),
];

/// A source file.
struct Source {
    path: String,
    text: String,
}

fn sources_of(folder: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders = vec![checkout().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(checkout()).unwrap().to_str().unwrap().to_owned();
                sources.push(Source { path, text });
            }
        }
    }
    sources
}

fn sources() -> Vec<Source> {
    let sources: Vec<Source> =
        ["shared", "ingest", "worker", "notifier", "tests"].into_iter().flat_map(sources_of).collect();
    assert!(sources.len() > 50, "the sources are not where they should be");
    sources
}

impl Source {
    fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.contains("/tests")
    }

    /// The code without comments and without the tests in the file.
    fn code(&self) -> String {
        let code = self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn dependencies_run_downward() {
    let names: BTreeSet<&str> = CRATES.iter().map(|(folder, _)| folder.rsplit('/').next().unwrap()).collect();
    for (folder, below) in CRATES {
        let Ok(manifest) = std::fs::read_to_string(checkout().join(folder).join("Cargo.toml")) else {
            continue;
        };
        let used = manifest.lines().filter_map(|line| line.split_once('.').map(|(name, _)| name));
        let upward: Vec<&str> = used.filter(|name| names.contains(name) && !below.contains(name)).collect();
        assert!(upward.is_empty(), "{folder} must not depend on {upward:?}");
    }
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|source| !source.path.contains("tests/") && source.text.lines().count() > LONGEST)
        .map(|source| source.path)
        .collect();
    assert!(long.is_empty(), "over {LONGEST} lines: {long:?}");
}

#[test]
fn every_file_has_a_module_comment() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| source.path)
        .collect();
    assert!(silent.is_empty(), "without //! at the top: {silent:?}");
}

#[test]
fn backoff_is_used_in_one_module() {
    let users: Vec<_> = sources()
        .into_iter()
        .filter(|source| !source.is_test() && source.code().contains("backoff::ExponentialBackoff"))
        .map(|source| source.path)
        .collect();
    assert_eq!(users, ["shared/platform/src/retry.rs"]);
    for (folder, _) in CRATES.iter().filter(|(folder, _)| *folder != "shared/platform") {
        let manifest =
            std::fs::read_to_string(checkout().join(folder).join("Cargo.toml")).unwrap_or_default();
        assert!(!manifest.contains("backoff"), "{folder} depends on it");
    }
}

/// The tables, and the crates that their comments name as writers.
fn writers() -> BTreeMap<String, String> {
    let mut writers = BTreeMap::new();
    for folder in migrations() {
        let up = std::fs::read_to_string(folder.join("up.sql")).unwrap();
        for line in up.lines().filter_map(|line| line.strip_prefix("comment on table ")) {
            let (table, comment) = line.split_once(" is ").unwrap();
            let (_, by) = comment
                .split_once("Written by ")
                .unwrap_or_else(|| panic!("{table}: the comment does not name its writers"));
            writers.insert(table.to_owned(), by.to_owned());
        }
    }
    writers
}

/// The tables that a file writes, by SQL or by diesel.
fn written(code: &str, tables: &BTreeMap<String, String>) -> BTreeSet<String> {
    let words: Vec<&str> =
        code.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|w| !w.is_empty()).collect();
    let by_sql = words.windows(3).filter_map(|words| match words {
        ["insert", "into", table, ..] | ["delete", "from", table, ..] => Some(*table),
        ["update", table, "set"] | ["insert_into" | "update" | "delete", table, "table"] => Some(*table),
        _ => None,
    });
    // `update users u set`
    let by_alias = words.windows(4).filter(|w| w[0] == "update" && w[3] == "set").map(|w| w[1]);
    by_sql.chain(by_alias).filter(|table| tables.contains_key(*table)).map(str::to_owned).collect()
}

#[test]
fn a_table_is_written_by_the_crates_that_its_comment_names() {
    let tables = writers();
    assert!(tables.len() > 15, "{tables:?}");
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let writer = match source.path.split('/').next().unwrap() {
            "worker" if source.path.starts_with("worker/cli/") => "rollcall",
            "shared" if source.path.starts_with("shared/operations/") => "rollcall",
            // It reads, and contains the changes to `commands` that several services share.
            "shared" => continue,
            folder => folder,
        };
        for table in written(&source.code(), &tables) {
            if !tables[&table].contains(writer) {
                wrong.push(format!("{} writes {table}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The folders of the migrations, in order.
pub(crate) fn migrations() -> Vec<PathBuf> {
    let folders = std::fs::read_dir(checkout().join("migrations")).unwrap();
    let mut folders: Vec<PathBuf> =
        folders.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(!folders.is_empty());
    folders
}

/// A module's path in its crate.
type Module = Vec<String>;

/// The modules of a crate, and their code. A crate with several programs has a module tree for each.
fn modules(root: &str) -> BTreeMap<Module, String> {
    let mut modules = BTreeMap::new();
    for source in sources_of(root).iter().filter(|source| !source.is_test()) {
        let path = Path::new(&source.path).strip_prefix(root).unwrap().with_extension("");
        let mut module: Module = path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        modules.insert(module, source.code());
    }
    modules
}

/// The paths in the code, in `use` and elsewhere, with groups expanded: `use super::{a, b::c}` becomes `super::a` and
/// `super::b::c`.
fn named_paths(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut prefixes: Vec<Vec<String>> = Vec::new();
    let mut current: Vec<String> = Vec::new();
    let mut word = String::new();
    for c in code.chars() {
        match c {
            c if c.is_alphanumeric() || c == '_' => word.push(c),
            ':' => {
                if !word.is_empty() {
                    current.push(std::mem::take(&mut word));
                }
            }
            '{' => prefixes.push(std::mem::take(&mut current)),
            _ => {
                if !word.is_empty() {
                    current.push(std::mem::take(&mut word));
                }
                if !current.is_empty() {
                    let grouped = prefixes.last().filter(|prefix| !prefix.is_empty());
                    let mut path = grouped.cloned().unwrap_or_default();
                    path.append(&mut current);
                    paths.push(path);
                }
                if c == '}' {
                    prefixes.pop();
                }
            }
        }
        if c == '{' {
            let outer =
                prefixes.iter().rev().nth(1).filter(|_| prefixes.last().is_some_and(|p| !p.is_empty()));
            if let Some(outer) = outer.cloned() {
                let last = prefixes.last_mut().unwrap();
                let inner = std::mem::replace(last, outer);
                last.extend(inner);
            }
        }
    }
    paths
}

/// The module that a path leads to, seen from `from`.
fn resolve(from: &Module, path: &[String], modules: &BTreeMap<Module, String>) -> Option<Module> {
    let (mut module, mut rest): (Module, &[String]) = match path.first()?.as_str() {
        "crate" => (Vec::new(), &path[1..]),
        "self" => (from.clone(), &path[1..]),
        "super" => {
            let ups = path.iter().take_while(|part| *part == "super").count();
            (from[..from.len().checked_sub(ups)?].to_vec(), &path[ups..])
        }
        _ => return None,
    };
    while let Some((first, others)) = rest.split_first() {
        let deeper: Module = module.iter().chain([first]).cloned().collect();
        if !modules.contains_key(&deeper) {
            break;
        }
        (module, rest) = (deeper, others);
    }
    Some(module)
}

/// For the children of each module: which imports from which, including their descendants.
fn imports_among_siblings(
    modules: &BTreeMap<Module, String>,
) -> BTreeMap<Module, BTreeSet<(String, String)>> {
    let mut imports: BTreeMap<Module, BTreeSet<(String, String)>> = BTreeMap::new();
    for (from, code) in modules {
        for to in named_paths(code).iter().filter_map(|path| resolve(from, path, modules)) {
            let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if let (Some(a), Some(b)) = (from.get(common), to.get(common)) {
                imports.entry(from[..common].to_vec()).or_default().insert((a.clone(), b.clone()));
            }
        }
    }
    imports
}

/// Repeatedly removes edges that cannot be part of a cycle, until only the cycles are left.
fn cycles(mut edges: BTreeSet<(String, String)>) -> BTreeSet<(String, String)> {
    loop {
        let importing: BTreeSet<String> = edges.iter().map(|(from, _)| from.clone()).collect();
        let imported: BTreeSet<String> = edges.iter().map(|(_, to)| to.clone()).collect();
        let before = edges.len();
        edges.retain(|(from, to)| imported.contains(from) && importing.contains(to));
        if edges.len() == before {
            return edges;
        }
    }
}

#[test]
fn no_module_imports_in_a_circle() {
    let mut found = Vec::new();
    let roots = CRATES
        .iter()
        .map(|(folder, _)| format!("{folder}/src"))
        .filter(|root| checkout().join(root).is_dir());
    for root in roots.filter(|root| root != "tests/src") {
        let modules = modules(&root);
        for (parent, edges) in imports_among_siblings(&modules) {
            let cycles = cycles(edges);
            if !cycles.is_empty() {
                found.push(format!("{root} {}: {cycles:?}", parent.join("::")));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_circle_is_found() {
    let module = |name: &str| vec![name.to_owned()];
    let modules: BTreeMap<Module, String> = [
        (Vec::new(), "mod a; mod b; mod c;".to_owned()),
        (module("a"), "use crate::{b::B, c};".to_owned()),
        (module("b"), "fn f() -> super::a::A { todo!() }".to_owned()),
        (module("c"), "use std::fmt;".to_owned()),
    ]
    .into();
    let edges = imports_among_siblings(&modules).remove(&Vec::new()).unwrap();
    assert_eq!(edges.len(), 3);
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(cycles(edges), [pair("a", "b"), pair("b", "a")].into());
}
