//! `rollcall link`: gives accounts that no identity provider owns their externalId, many at once, from a file.
//!
//! Each line goes through the queue as a PATCH of `externalId`, like all else.

use std::collections::{HashMap, HashSet};
use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::json;
use shared::command::Change;
use shared::outcome::Outcome;
use shared::postgres::schema::users;
use shared::postgres::tenants::Tenant;
use shared::scim::{Patch, user_name_key};
use uuid::Uuid;

use crate::context::{Context, Failure};
use crate::output;
use crate::users::{Asking, command};

/// How many changes are under way at a time.
const AT_ONCE: usize = 32;

/// The arguments of `rollcall link`.
#[derive(Args)]
pub struct Arguments {
    /// The tenant's name.
    tenant: String,
    /// A file with the columns userName (or email) and externalId; in Okta the externalId is the user's id, as in 00u1abcd.
    #[arg(long)]
    csv: PathBuf,
    /// Says what would be done, and does nothing.
    #[arg(long)]
    dry_run: bool,
}

/// A line of the file.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(rename = "userName", alias = "user_name", alias = "email")]
    user: String,
    #[serde(rename = "externalId", alias = "external_id")]
    external_id: String,
}

/// What becomes of a line; lines are counted from 2, after the headings.
struct Planned {
    line: usize,
    fate: Fate,
}

enum Fate {
    Link(Uuid, String),
    Not(&'static str),
}

/// Somebody who is there: id, userName key, address, externalId.
type Known = (Uuid, String, String, Option<String>);

/// Runs it.
pub async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let tenant = context.tenant(&arguments.tenant).await?;
    let lines = read(&arguments.csv)?;
    let plan = plan(lines, &everybody(context, &tenant).await?);
    let mut left: Vec<(usize, String)> = Vec::new();
    let mut links = Vec::new();
    for Planned { line, fate } in plan {
        match fate {
            Fate::Link(user, external_id) => links.push((line, user, external_id)),
            Fate::Not(why) => left.push((line, why.to_owned())),
        }
    }
    let mut linked = links.len();
    if !arguments.dry_run {
        let refused = link_all(context, &tenant, links).await?;
        linked -= refused.len();
        left.extend(refused);
        left.sort();
    }
    tell(context, arguments.dry_run, linked, &left);
    if left.is_empty() {
        Ok(())
    } else {
        Err(Failure::Refused(format!("{} of {} lines were not linked", left.len(), left.len() + linked)))
    }
}

fn read(path: &std::path::Path) -> Result<Vec<Line>, Failure> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(path)
        .map_err(|error| Failure::Usage(format!("--csv: the file cannot be read: {error}")))?;
    let lines: Result<Vec<Line>, _> = reader.deserialize().collect();
    lines.map_err(|error| {
        let line = error.position().map_or(1, csv::Position::line);
        Failure::Usage(format!("--csv: line {line} must have the columns userName (or email) and externalId"))
    })
}

async fn everybody(context: &Context, tenant: &Tenant) -> Result<Vec<Known>, Failure> {
    let mut connection = context.pool.get().await?;
    let all = users::table.filter(users::tenant_id.eq(tenant.id)).select((
        users::id,
        users::user_name_key,
        users::email,
        users::external_id,
    ));
    Ok(all.load(&mut connection).await?)
}

fn plan(lines: Vec<Line>, everybody: &[Known]) -> Vec<Planned> {
    let mut by_name: HashMap<&str, &Known> = HashMap::new();
    let mut by_email: HashMap<String, Vec<&Known>> = HashMap::new();
    let mut taken: HashMap<String, Uuid> = HashMap::new();
    for known in everybody {
        by_name.insert(&known.1, known);
        by_email.entry(user_name_key(&known.2)).or_default().push(known);
        taken.extend(known.3.clone().map(|external_id| (external_id, known.0)));
    }
    let mut seen = HashSet::new();
    let mut fate = |line: Line| {
        let key = user_name_key(&line.user);
        let known = match (by_name.get(key.as_str()), by_email.get(&key).map(Vec::as_slice)) {
            (Some(known), _) => *known,
            (None, Some([known])) => *known,
            (None, Some([_, ..])) => {
                return Fate::Not("several accounts have this address: name one by its userName");
            }
            _ => return Fate::Not("there is no such account"),
        };
        if line.external_id.is_empty() {
            return Fate::Not("externalId is empty");
        }
        match (&known.3, taken.get(&line.external_id)) {
            (Some(linked), _) if *linked == line.external_id => {
                return Fate::Not("the account is linked so already");
            }
            (Some(_), _) => return Fate::Not("the account is linked already, by another externalId"),
            (None, Some(_)) => return Fate::Not("another account has this externalId"),
            (None, None) => {}
        }
        if !seen.insert(known.0) {
            return Fate::Not("an earlier line is about the same account");
        }
        taken.insert(line.external_id.clone(), known.0);
        Fate::Link(known.0, line.external_id)
    };
    (2..).zip(lines).map(|(number, line)| Planned { line: number, fate: fate(line) }).collect()
}

/// Links them; returns those that were refused, with the reason.
async fn link_all(
    context: &Context,
    tenant: &Tenant,
    links: Vec<(usize, Uuid, String)>,
) -> Result<Vec<(usize, String)>, Failure> {
    let (all, asking) = (links.len(), Asking::start(context).await?);
    let mut asked = stream::iter(links)
        .map(async |(line, user, external_id)| {
            let operations =
                json!({ "Operations": [{ "op": "add", "path": "externalId", "value": external_id }] });
            let patch = Patch::parse(&operations).map_err(|error| Failure::Refused(error.detail))?;
            let body = operations.to_string();
            let change = Change::PatchUser { patch };
            let command = command(context, tenant, user, "rollcall link", body.as_bytes(), change);
            Ok::<_, Failure>((line, asking.ask(context, &command).await?))
        })
        .buffer_unordered(AT_ONCE);
    let (mut refused, mut done) = (Vec::new(), 0);
    while let Some(outcome) = asked.next().await {
        match outcome? {
            (_, Outcome::Updated { .. }) => {}
            (line, Outcome::Rejected { error }) => refused.push((line, error.detail)),
            (line, _) => refused.push((line, "it was changed at the same time: try again".to_owned())),
        }
        done += 1;
        progress(done, all);
    }
    Ok(refused)
}

/// A bar on the standard error, where somebody looks at it.
fn progress(done: usize, all: usize) {
    const WIDTH: usize = 40;
    if std::io::stderr().is_terminal() {
        let full = done * WIDTH / all.max(1);
        let end = if done == all { "\n" } else { "" };
        eprint!("\r[{}{}] {done}/{all}{end}", "#".repeat(full), ".".repeat(WIDTH - full));
    }
}

fn tell(context: &Context, dry_run: bool, linked: usize, left: &[(usize, String)]) {
    if context.json {
        let left: Vec<_> = left.iter().map(|(line, why)| json!({ "line": line, "reason": why })).collect();
        output::json(&json!({ "dry_run": dry_run, "linked": linked, "not_linked": left }));
        return;
    }
    println!("{linked} accounts {}", if dry_run { "would be linked" } else { "linked" });
    if !left.is_empty() {
        let rows = left.iter().map(|(line, why)| vec![line.to_string(), why.clone()]).collect();
        output::table(&["line", "not linked because"], rows, "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_its_fate() {
        let id = Uuid::from_u128;
        let known = |n: u128, name: &str, email: &str, external_id: Option<&str>| {
            (id(n), name.to_owned(), email.to_owned(), external_id.map(str::to_owned))
        };
        let everybody = [
            known(1, "ada", "ada@acme.example", None),
            known(2, "bob", "bob@acme.example", Some("00u2")),
            known(3, "c1", "both@acme.example", None),
            known(4, "c2", "both@acme.example", None),
            known(5, "dan", "dan@acme.example", None),
        ];
        let line = |user: &str, external_id: &str| Line {
            user: user.to_owned(),
            external_id: external_id.to_owned(),
        };
        let lines = vec![
            line("ADA@acme.example", "00u1"),
            line("ada", "00u9"),
            line("bob", "00u2"),
            line("bob", "00u3"),
            line("both@acme.example", "00u4"),
            line("nobody", "00u5"),
            line("dan", "00u1"),
            line("c1", ""),
        ];
        let told: Vec<String> = plan(lines, &everybody)
            .into_iter()
            .map(|planned| match planned.fate {
                Fate::Link(user, external_id) => format!("{} {user:?} {external_id}", planned.line),
                Fate::Not(why) => {
                    format!("{} {}", planned.line, why.split(' ').take(3).collect::<Vec<_>>().join(" "))
                }
            })
            .collect();
        assert_eq!(
            told,
            [
                format!("2 {:?} 00u1", id(1)),
                "3 an earlier line".to_owned(),
                "4 the account is".to_owned(),
                "5 the account is".to_owned(),
                "6 several accounts have".to_owned(),
                "7 there is no".to_owned(),
                "8 another account has".to_owned(),
                "9 externalId is empty".to_owned(),
            ]
        );
    }
}
