//! The pages in `deploy/handbook/reference` are generated from the code. `ROLLCALL_WRITE_HANDBOOK=1` rewrites them.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use domain::settings::{DESCRIBED, LIMITS, Settings};
use platform::config::VARIABLES;
use serde_json::Value;
use tests::programs::{self, checkout};

/// The header of a generated page.
fn page(title: &str, text: &str) -> String {
    format!(
        "# {title}\n\n<!-- Generated from the code by tests/tests/handbook.rs. Do not edit. -->\n\n{text}\n"
    )
}

/// Compares a page with the text generated from the code, or writes it.
fn check(name: &str, expected: &str) {
    let path: PathBuf = checkout().join("deploy/handbook/reference").join(name);
    if std::env::var_os("ROLLCALL_WRITE_HANDBOOK").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, expected).unwrap();
        return;
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == expected,
        "{} is out of date: run `ROLLCALL_WRITE_HANDBOOK=1 cargo test -p tests handbook`",
        path.display()
    );
}

/// Escapes a text for a table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn the_settings_are_documented() {
    let defaults = serde_json::to_value(Settings::default()).unwrap();
    let mut text =
        "A tenant's settings: `rollcall tenant set TENANT NAME=VALUE`. `rollcall tenant show TENANT`\n\
                    prints them. A change is in force within two seconds.\n\n\
                    | setting | values | default |\n|---|---|---|\n"
            .to_owned();
    for (name, values) in DESCRIBED {
        let default = match &defaults[*name] {
            Value::String(default) if default.is_empty() => "none".to_owned(),
            Value::String(default) => format!("`{default}`"),
            Value::Null => "none".to_owned(),
            other => format!("`{other}`"),
        };
        writeln!(text, "| `{name}` | {} | {default} |", cell(values)).unwrap();
    }
    text.push_str(
        "\n## Limits\n\nWhat a tenant may use. Each limit has a default, and bounds within which it can be set. Whatever \
         reaches a\nlimit names it: `limit users_max = 1000000 reached`.\n\n\
         | limit | what | default | bounds |\n|---|---|---|---|\n",
    );
    for row in LIMITS {
        let (name, what) = (row.key, cell(row.what));
        writeln!(text, "| `{name}` | {what} | {} | {} to {} |", row.default, row.least, row.most).unwrap();
    }
    check("settings.md", &page("Settings", text.trim_end()));
}

#[test]
fn the_environment_is_documented() {
    let mut text =
        "The programs read these environment variables. `--help` of each program prints its own.\n\n\
                    | variable | value | default | read by |\n|---|---|---|---|\n"
            .to_owned();
    for variable in VARIABLES {
        let default = variable.default.map_or_else(|| "none".to_owned(), |default| format!("`{default}`"));
        let programs: Vec<&str> = variable.used_by.iter().map(|service| service.name()).collect();
        let (name, unit, programs) = (variable.name, cell(variable.unit), programs.join(", "));
        writeln!(text, "| `{name}` | {unit} | {} | {programs} |", cell(&default)).unwrap();
    }
    for variable in VARIABLES {
        write!(text, "\n## {}\n\n{}\n", variable.name, variable.what).unwrap();
    }
    check("environment.md", &page("Environment variables", text.trim_end()));
}

/// What `rollcall ARGUMENTS --help` prints.
fn help(arguments: &[String]) -> String {
    let output = Command::new(programs::path("rollcall"))
        .env_clear()
        .env("COLUMNS", "100")
        .args(arguments)
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success(), "rollcall {arguments:?} --help");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// The subcommands that a help text lists.
fn subcommands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// A section for a command and each of its subcommands.
fn sections(arguments: &[String], text: &mut String) {
    let help = help(arguments);
    let name = [&["rollcall".to_owned()], arguments].concat().join(" ");
    write!(text, "\n## {name}\n\n```text\n{help}\n```\n").unwrap();
    for subcommand in subcommands(&help) {
        sections(&[arguments, &[subcommand]].concat(), text);
    }
}

#[test]
fn the_cli_is_documented() {
    let mut text =
        "`rollcall` is the operators' command line. Each command has `--json` for scripts.\n".to_owned();
    sections(&[], &mut text);
    assert!(text.contains("## rollcall tenant set") && text.contains("## rollcall top"), "{text}");
    check("cli.md", &page("Command line", text.trim_end()));
}

/// The table in the header of a source file, with the links to items as names.
fn table(file: &str) -> String {
    let source = std::fs::read_to_string(checkout().join(file)).unwrap();
    let header = source.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let rows: Vec<String> = header
        .filter(|line| line.starts_with('|'))
        .map(|row| match row.split_once("`]: ") {
            Some((_, rest)) => format!("| {rest}"),
            None => row.to_owned(),
        })
        .collect();
    assert!(rows.len() > 5, "{file} has no table");
    rows.join("\n")
}

#[test]
fn the_scim_dialect_is_documented() {
    let text = format!(
        "Rollcall implements RFC 7643 and RFC 7644. It also accepts other forms that common clients send. It always\n\
         stores and returns the form of the RFCs.\n\n\
         ## Syntax\n\n{}\n\n## Values\n\n{}",
        table("shared/scim/src/syntax/lenient.rs"),
        table("shared/scim/src/value/lenient.rs"),
    );
    check("scim-dialect.md", &page("SCIM dialect", &text));
}
