//! Links accounts to an identity provider in bulk: sets the externalId of accounts that have none, from a CSV file.
//!
//! Each line is sent through the queue as a PATCH of `externalId`. A failed line does not stop the others; it is
//! reported.

mod plan;
mod rows;

use amqp::topology;
use database::schema::users;
use database::tenants::Tenant;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use domain::command::Change;
use domain::outcome::Outcome;
use futures_util::{StreamExt, stream};
use scim::Patch;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use self::plan::{Fate, Known, plan};
pub use self::rows::{Line, read};
use crate::commands::{Asking, command};
use crate::{Error, Operator};

/// The maximum number of commands in flight.
const AT_ONCE: usize = 32;

/// The results for a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Links {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// How many accounts were linked, or would be.
    pub linked: usize,
    /// How many accounts were linked already.
    pub linked_already: usize,
    /// The lines whose accounts were not linked, in the order of the file.
    pub not_linked: Vec<NotLinked>,
    /// How many of these have no verdict yet.
    #[serde(skip)]
    pub unanswered: usize,
}

impl Links {
    /// The number of lines.
    #[must_use]
    pub fn all(&self) -> usize {
        self.not_linked.len() + self.linked + self.linked_already
    }
}

/// A line whose account was not linked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NotLinked {
    /// The line number, starting at 1.
    pub line: u64,
    /// The user, as named in the file.
    pub user: String,
    /// The reason.
    pub reason: String,
}

impl NotLinked {
    fn new(line: Line, reason: String) -> Self {
        Self { line: line.number, user: line.user, reason }
    }
}

/// Links the accounts in these lines, or with `dry_run` only matches them. `progress` is called after each account
/// with the number of accounts that are done and the number of all accounts to link.
///
/// # Errors
/// Those of the database and the broker. Errors of a line are in the result.
pub async fn run(
    operator: &Operator,
    tenant: &Tenant,
    lines: Vec<Line>,
    dry_run: bool,
    progress: impl FnMut(usize, usize),
) -> Result<Links, Error> {
    let mut result = Links { dry_run, ..Links::default() };
    let mut links = Vec::new();
    for (line, fate) in plan(lines, &everybody(operator, tenant).await?) {
        match fate {
            Fate::Link(user, external_id) => links.push((line, user, external_id)),
            Fate::IsLinked => result.linked_already += 1,
            Fate::Not(why) => result.not_linked.push(NotLinked::new(line, why)),
        }
    }
    if dry_run {
        result.linked = links.len();
    } else if !links.is_empty() {
        link_all(operator, tenant, links, &mut result, progress).await?;
    }
    result.not_linked.sort();
    Ok(result)
}

async fn everybody(operator: &Operator, tenant: &Tenant) -> Result<Vec<Known>, Error> {
    let mut connection = operator.pool.get().await?;
    let all = users::table.filter(users::tenant_id.eq(tenant.id)).select((
        users::id,
        users::user_name_key,
        users::email,
        users::external_id,
    ));
    Ok(all.load(&mut connection).await?)
}

/// Sends the commands through the bulk queue, so that they do not delay interactive requests.
async fn link_all(
    operator: &Operator,
    tenant: &Tenant,
    links: Vec<(Line, Uuid, String)>,
    result: &mut Links,
    mut progress: impl FnMut(usize, usize),
) -> Result<(), Error> {
    let (all, asking) = (links.len(), Asking::start(operator, topology::BULK).await?);
    let asking = &asking;
    let mut asked = stream::iter(links)
        .map(|(line, user, external_id)| async move {
            let asked = link(operator, asking, tenant, user, &external_id).await;
            (line, asked)
        })
        .buffer_unordered(AT_ONCE);
    let mut done = 0;
    while let Some((line, outcome)) = asked.next().await {
        let why = match outcome {
            Ok(Outcome::Updated { .. }) => None,
            Ok(Outcome::Rejected { error }) => Some(error.detail),
            Ok(_) => Some("the user was changed concurrently; try again".to_owned()),
            Err(failure) => {
                result.unanswered += 1;
                Some(failure.to_string())
            }
        };
        match why {
            None => result.linked += 1,
            Some(why) => result.not_linked.push(NotLinked::new(line, why)),
        }
        done += 1;
        progress(done, all);
    }
    Ok(())
}

async fn link(
    operator: &Operator,
    asking: &Asking,
    tenant: &Tenant,
    user: Uuid,
    external_id: &str,
) -> Result<Outcome, Error> {
    let operations = json!({ "Operations": [{ "op": "add", "path": "externalId", "value": external_id }] });
    let patch = match Patch::parse(&operations) {
        Ok(patch) => patch,
        Err(error) => return Ok(Outcome::Rejected { error }),
    };
    let body = operations.to_string();
    let command =
        command(operator, tenant, user, "rollcall link", body.as_bytes(), Change::PatchUser { patch });
    asking.ask(operator, &command).await
}
