//! Rules for migrations. Each has a way back. After the baseline each leaves the running version at work: no statement
//! rewrites or scans a table under a lock, or waits for a lock without a limit and so blocks everything behind it.

use crate::architecture::migrations;

/// The statements of a migration, in lower case, without comments, texts and repeated white space.
fn statements(up: &str) -> Vec<String> {
    let lines = up.lines().map(|line| line.split("--").next().unwrap_or_default());
    let code = lines.collect::<Vec<_>>().join("\n").to_lowercase();
    let code: Vec<&str> = code.split('\'').step_by(2).collect();
    let statements = code.join("''");
    let words = |statement: &str| statement.split_whitespace().collect::<Vec<_>>().join(" ");
    statements.split(';').map(words).filter(|statement| !statement.is_empty()).collect()
}

/// The table that a statement creates, or whose index it creates.
fn table<'a>(statement: &'a str, before: &str) -> Option<&'a str> {
    let (_, rest) = statement.split_once(before)?;
    rest.split([' ', '(']).find(|word| !word.is_empty() && *word != "only")
}

/// What in a migration stops the running version.
fn faults(up: &str) -> Vec<String> {
    let statements = statements(up);
    let new: Vec<&str> =
        statements.iter().filter_map(|statement| table(statement, "create table ")).collect();
    let mut faults = Vec::new();
    let mut has_timeout = false;
    for statement in &statements {
        let mut fault = |what: &str| faults.push(format!("{what}: {statement}"));
        has_timeout |= statement.starts_with("set ") && statement.contains("lock_timeout");
        let is_index = statement.starts_with("create index") || statement.starts_with("create unique index");
        let of = if is_index { table(statement, " on ") } else { table(statement, "alter table ") };
        let Some(_) = of.filter(|table| !new.contains(table)) else { continue };
        if !has_timeout {
            fault("waits for a lock without lock_timeout");
        }
        if is_index && !statement.contains(" concurrently ") {
            fault(
                "blocks writes while it builds the index; use concurrently, with run_in_transaction = false",
            );
        }
        if statement.contains(" add constraint ") && !statement.ends_with(" not valid") {
            fault("checks all rows under a lock; add it not valid, then validate it");
        }
        if statement.contains(" set not null") {
            fault("checks all rows under a lock; validate a constraint instead");
        }
        if statement.contains(" type ") && statement.contains(" alter ") {
            fault("rewrites the table");
        }
        if statement.contains(" add column ") && statement.contains(" generated always ") {
            fault("rewrites the table; a view can compute it");
        }
        if statement.contains(" add column ")
            && statement.contains(" not null")
            && !statement.contains(" default ")
        {
            fault("fails on rows that exist");
        }
    }
    faults
}

#[test]
fn migrations_can_be_reverted_and_leave_the_running_version_at_work() {
    for (number, folder) in migrations().into_iter().enumerate() {
        let up = std::fs::read_to_string(folder.join("up.sql")).unwrap();
        let name = folder.display();
        assert!(up.contains("-- Runs beside:"), "{name}: compatible with which running version?");
        assert!(folder.join("down.sql").is_file(), "{name} cannot be reverted");
        if number > 0 {
            assert_eq!(faults(&up), [""; 0], "{name}");
        }
    }
}

#[test]
fn statements_that_stop_the_running_version_are_found() {
    for (up, word) in [
        ("alter table users add column x text;", "lock_timeout"),
        ("set local lock_timeout = '2s'; create index users_x on users (x);", "concurrently"),
        ("set lock_timeout = '2s'; create unique index concurrently x on users (x) -- it''s", ""),
        ("set lock_timeout = '2s'; alter table users add constraint c check (x > 0);", "not valid"),
        ("set lock_timeout = '2s'; alter table users add constraint c check (x > 0) not valid;", ""),
        ("set lock_timeout = '2s'; alter table users alter column x type bigint;", "rewrites"),
        ("set lock_timeout = '2s'; alter table users alter x set not null;", "all rows"),
        ("set lock_timeout = '2s'; alter table users add column x text not null;", "rows that exist"),
        ("set lock_timeout = '2s'; alter table users add column x text not null default '';", ""),
        (
            "set lock_timeout = '2s';\nalter table users add column x text\n  generated always as (a) stored;",
            "a view",
        ),
        ("create table a (x int); create index a_x on a (x); comment on table a is 'alter table users';", ""),
    ] {
        let found = faults(up);
        if word.is_empty() {
            assert_eq!(found, [""; 0], "{up}");
        } else {
            assert!(found.len() == 1 && found[0].contains(word), "{up}: {found:?}");
        }
    }
}
