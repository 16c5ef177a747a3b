//! `rollcall link`: gives accounts that no identity provider owns their externalId, many at once, from a file.
//!
//! Each line goes through the queue as a PATCH of `externalId`, like all else. Whatever becomes of one line, the others are done, and
//! told of.

mod file;

use std::collections::{HashMap, HashSet};
use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::{StreamExt, stream};
use serde_json::json;
use shared::amqp::topology;
use shared::command::Change;
use shared::outcome::Outcome;
use shared::postgres::schema::users;
use shared::postgres::tenants::Tenant;
use shared::scim::{Patch, user_name_key};
use uuid::Uuid;

use self::file::Line;
use crate::context::{Context, Failure};
use crate::output;
use crate::users::{Asking, command};

/// How many changes are under way at a time.
const AT_ONCE: usize = 32;

/// The arguments of `rollcall link`.
#[derive(Args)]
pub struct Arguments {
    /// The tenant's name; may be left out where there is only one.
    tenant: Option<String>,
    /// The same.
    #[arg(long = "tenant", value_name = "TENANT", conflicts_with = "tenant")]
    named: Option<String>,
    /// A file with the columns userName (or email) and externalId; in Okta the externalId is the user's id, as in 00u1abcd.
    #[arg(long)]
    csv: PathBuf,
    /// Says what would be done, and does nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Link(Uuid, String),
    IsLinked,
    Not(String),
}

/// What came of a file.
#[derive(Default)]
struct Told {
    linked: usize,
    linked_already: usize,
    /// Line, person, reason.
    left: Vec<(u64, String, String)>,
    /// Of those left, the ones of which no verdict was heard.
    unanswered: usize,
}

/// Somebody who is there: id, userName key, address, externalId.
type Known = (Uuid, String, String, Option<String>);

/// Runs it.
pub async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let tenant = context.tenant_or_only(arguments.named.or(arguments.tenant).as_deref()).await?;
    let unreadable = |error| Failure::Usage(format!("--csv: the file cannot be read: {error}"));
    let bytes = std::fs::read(&arguments.csv).map_err(unreadable)?;
    let lines = file::read(&bytes).map_err(|why| Failure::Usage(format!("--csv: {why}")))?;
    let mut told = Told::default();
    let mut links = Vec::new();
    for (line, fate) in plan(lines, &everybody(context, &tenant).await?) {
        match fate {
            Fate::Link(user, external_id) => links.push((line, user, external_id)),
            Fate::IsLinked => told.linked_already += 1,
            Fate::Not(why) => told.left.push((line.number, line.user, why)),
        }
    }
    if arguments.dry_run {
        told.linked = links.len();
    } else if !links.is_empty() {
        link_all(context, &tenant, links, &mut told).await?;
    }
    told.left.sort();
    tell(context, arguments.dry_run, &told);
    let all = told.left.len() + told.linked + told.linked_already;
    match (told.left.len(), told.unanswered) {
        (0, _) => Ok(()),
        (left, 0) => Err(Failure::Refused(format!("{left} of {all} lines were not linked"))),
        (left, _) => Err(Failure::Late(format!(
            "{left} of {all} lines were not linked, or nobody knows yet: the same file again settles those"
        ))),
    }
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

fn plan(lines: Vec<Line>, everybody: &[Known]) -> Vec<(Line, Fate)> {
    let mut by_name: HashMap<&str, &Known> = HashMap::new();
    let mut by_email: HashMap<String, Vec<&Known>> = HashMap::new();
    let mut taken: HashSet<String> = HashSet::new();
    for known in everybody {
        by_name.insert(&known.1, known);
        by_email.entry(user_name_key(&known.2)).or_default().push(known);
        taken.extend(known.3.clone());
    }
    let mut seen = HashSet::new();
    let mut fate = |line: &Line| -> Result<Fate, &'static str> {
        let external_id = line.external_id.as_ref().map_err(|why| *why)?;
        let key = user_name_key(&line.user);
        let known = match (by_name.get(key.as_str()), by_email.get(&key).map(Vec::as_slice)) {
            (Some(known), _) => *known,
            (None, Some([known])) => *known,
            (None, Some([_, ..])) => {
                return Err("several accounts have this address: name one by its userName");
            }
            _ => return Err("there is no such account"),
        };
        match &known.3 {
            Some(linked) if linked == external_id => return Ok(Fate::IsLinked),
            Some(_) => return Err("the account is linked already, by another externalId"),
            None if taken.contains(external_id) => return Err("another account has this externalId"),
            None => {}
        }
        if !seen.insert(known.0) {
            return Err("an earlier line is about the same account");
        }
        taken.insert(external_id.clone());
        Ok(Fate::Link(known.0, external_id.clone()))
    };
    let with_fate = |line| {
        let fate = fate(&line).unwrap_or_else(|why| Fate::Not(why.to_owned()));
        (line, fate)
    };
    lines.into_iter().map(with_fate).collect()
}

/// Links them, by the queue of what no person waits for.
async fn link_all(
    context: &Context,
    tenant: &Tenant,
    links: Vec<(Line, Uuid, String)>,
    told: &mut Told,
) -> Result<(), Failure> {
    let (all, asking) = (links.len(), Asking::start(context, topology::BULK).await?);
    let mut asked = stream::iter(links)
        .map(async |(line, user, external_id)| {
            let asked = link(context, &asking, tenant, user, &external_id).await;
            (line, asked)
        })
        .buffer_unordered(AT_ONCE);
    let mut done = 0;
    while let Some((line, outcome)) = asked.next().await {
        let why = match outcome {
            Ok(Outcome::Updated { .. }) => None,
            Ok(Outcome::Rejected { error }) => Some(error.detail),
            Ok(_) => Some("it was changed at the same time: try again".to_owned()),
            Err(failure) => {
                told.unanswered += 1;
                Some(failure.to_string())
            }
        };
        match why {
            None => told.linked += 1,
            Some(why) => told.left.push((line.number, line.user, why)),
        }
        done += 1;
        progress(done, all);
    }
    Ok(())
}

async fn link(
    context: &Context,
    asking: &Asking,
    tenant: &Tenant,
    user: Uuid,
    external_id: &str,
) -> Result<Outcome, Failure> {
    let operations = json!({ "Operations": [{ "op": "add", "path": "externalId", "value": external_id }] });
    let patch = match Patch::parse(&operations) {
        Ok(patch) => patch,
        Err(error) => return Ok(Outcome::Rejected { error }),
    };
    let body = operations.to_string();
    let command =
        command(context, tenant, user, "rollcall link", body.as_bytes(), Change::PatchUser { patch });
    asking.ask(context, &command).await
}

/// A bar on the standard error, where somebody looks at it.
fn progress(done: usize, all: usize) {
    if std::io::stderr().is_terminal() {
        eprint!("\r{}{}", bar(done, all), if done == all { "\n" } else { "" });
    }
}

fn bar(done: usize, all: usize) -> String {
    const WIDTH: usize = 40;
    let full = done * WIDTH / all.max(1);
    format!("[{}{}] {done}/{all}", "#".repeat(full), ".".repeat(WIDTH - full))
}

fn tell(context: &Context, dry_run: bool, told: &Told) {
    let Told { linked, linked_already, left, .. } = told;
    if context.json {
        let left: Vec<_> = left
            .iter()
            .map(|(line, user, why)| json!({ "line": line, "user": user, "reason": why }))
            .collect();
        output::json(&json!({
            "dry_run": dry_run, "linked": linked, "linked_already": linked_already, "not_linked": left
        }));
        return;
    }
    let verb = if dry_run { "would be linked" } else { "linked" };
    output::line(&format!("{linked} accounts {verb}, {linked_already} linked already"));
    if !left.is_empty() {
        let rows = left.iter().map(|(line, user, why)| vec![line.to_string(), user.clone(), why.clone()]);
        output::table(&["line", "user", "not linked because"], rows.collect(), "");
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
        let not = |why: &str| Fate::Not(why.to_owned());
        for (number, (user, external_id, expected)) in (2..).zip([
            ("ADA@acme.example", Ok("00u1"), Fate::Link(id(1), "00u1".to_owned())),
            ("bob", Ok("00u2"), Fate::IsLinked),
            ("bob", Ok("00u3"), not("the account is linked already, by another externalId")),
            (
                "both@acme.example",
                Ok("00u4"),
                not("several accounts have this address: name one by its userName"),
            ),
            ("nobody", Ok("00u5"), not("there is no such account")),
            ("dan", Ok("00u2"), not("another account has this externalId")),
            ("c1", Err("externalId is empty"), not("externalId is empty")),
        ]) {
            let line = Line { number, user: user.to_owned(), external_id: external_id.map(str::to_owned) };
            assert_eq!(plan(vec![line], &everybody)[0].1, expected, "{user}");
        }
        let line = |user: &str, external_id: &str| Line {
            number: 2,
            user: user.to_owned(),
            external_id: Ok(external_id.to_owned()),
        };
        let twice = plan(vec![line("ada", "00u1"), line("ada", "00u9"), line("dan", "00u1")], &everybody);
        assert_eq!(twice[1].1, not("an earlier line is about the same account"));
        assert_eq!(twice[2].1, not("another account has this externalId"));
    }

    #[test]
    fn the_bar_is_as_full_as_the_work_is_done() {
        assert_eq!(bar(0, 4), format!("[{}] 0/4", ".".repeat(40)));
        assert_eq!(bar(1, 4), format!("[{}{}] 1/4", "#".repeat(10), ".".repeat(30)));
        assert_eq!(bar(4, 4), format!("[{}] 4/4", "#".repeat(40)));
    }
}
