//! The audit trail of the commands. Every command is recorded, except those that only read.

use std::os::unix::fs::MetadataExt;

use clap::ArgMatches;
use operations::audit::Action;

/// The commands that only read.
const READING: [&str; 16] = [
    "tenant list",
    "tenant show",
    "schema list",
    "schema show",
    "key list",
    "user show",
    "user export",
    "report",
    "unlinked",
    "activity",
    "pull status",
    "mail list",
    "mail show",
    "mail preview",
    "dead list",
    "dead show",
];
/// The arguments that are recorded. None of them holds personal data; of settings only the names are recorded.
const RECORDED: [&str; 13] = [
    "key",
    "urn",
    "role",
    "id",
    "all",
    "scope",
    "changes",
    "revert",
    "user",
    "resource_type",
    "run",
    "expires_in",
    "network",
];
/// The maximum length of what is recorded of the arguments, in characters.
const MAX_TARGET: usize = 500;

/// The action of a command line, unless the command only reads.
pub fn action(matches: &ArgMatches) -> Option<Action> {
    let (mut words, mut last) = (Vec::new(), matches);
    while let Some((word, inner)) = last.subcommand() {
        words.push(word);
        last = inner;
    }
    let verb = words.join(" ");
    let is_flag = |name: &str| matches!(last.try_get_one::<bool>(name), Ok(Some(true)));
    if READING.contains(&verb.as_str()) || verb == "top" || (verb == "migrate" && is_flag("status")) {
        return None;
    }
    Some(Action { tenant: tenant(last), target: target(last), verb, os_user: os_user(), host: host() })
}

/// The tenant's name, which the commands call `tenant`, `named` or `name`.
fn tenant(matches: &ArgMatches) -> Option<String> {
    let named = |name| matches.try_get_one::<String>(name).ok().flatten().cloned();
    ["tenant", "named", "name"].into_iter().find_map(named)
}

/// The recorded arguments, as `name=value`.
fn target(matches: &ArgMatches) -> String {
    let mut parts = Vec::new();
    for name in RECORDED {
        let Ok(Some(values)) = matches.try_get_raw(name) else { continue };
        let shown = values.map(|value| shown(name, &value.to_string_lossy())).collect::<Vec<_>>();
        parts.push(format!("{name}={}", shown.join(",")));
    }
    parts.join(" ").chars().take(MAX_TARGET).collect()
}

/// A user is recorded by id only: a userName is personal data.
fn shown(argument: &str, value: &str) -> String {
    match argument {
        "changes" => value.split('=').next().unwrap_or_default().to_owned(),
        "user" if scim::parse_id(value).is_none() => "(by name)".to_owned(),
        _ => value.to_owned(),
    }
}

/// The name of the user who runs this process, and of the one who called sudo.
fn os_user() -> String {
    let uid = std::fs::metadata("/proc/self").map(|process| process.uid());
    let uid = uid.map_or_else(|_| "unknown".to_owned(), |uid| uid.to_string());
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    let user = named.unwrap_or(uid);
    match std::env::var("SUDO_USER") {
        Ok(caller) if !caller.is_empty() && caller != user => format!("{user} (sudo by {caller})"),
        _ => user,
    }
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
