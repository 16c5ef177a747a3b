//! Follows a run until it has ended and the workers have applied its commands.

use std::time::Duration;

use database::pulls::{self as rows, RunRow, Verdicts};
use database::schema::pull_runs;
use diesel::dsl::now;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::Serialize;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::request::Requested;
use super::status::{Run, missing};
use crate::{Error, Operator};

/// How often to poll.
const LOOK: Duration = Duration::from_millis(200);
/// How long to wait without progress: for an ingest with the secret key to start the pull, or for workers to apply
/// commands.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The progress of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Progress {
    /// Another pull of the tenant is running; this one starts after it.
    BehindOwn,
    /// Pulls of other tenants are running; this one starts after them.
    BehindOthers,
    /// Users are read from Okta.
    Reading {
        /// The number of pages that were read.
        pages: i32,
        /// The number of users on them.
        users: i64,
        /// Why the run waits, if it does.
        waiting: Option<String>,
    },
    /// Missing users are queued for archiving.
    Archiving {
        /// How many are queued.
        queued: i64,
        /// How many there are.
        missing: i64,
    },
    /// The workers apply the run's commands.
    Applying {
        /// How many have a verdict.
        decided: i64,
        /// How many there are.
        queued: i64,
    },
}

/// Waits until a run has ended and the workers have decided its commands, or make no progress. `progress` is called at
/// each poll, even if nothing has changed.
///
/// # Errors
/// [`Error::Late`] if no ingest starts the run, [`Error::Refused`] if it cannot be confirmed any more.
pub async fn follow(
    operator: &Operator,
    requested: &Requested,
    progress: impl FnMut(Progress),
) -> Result<Run, Error> {
    let mut following = Following { operator, requested, progress, since: Instant::now() };
    let run = following.until_ended().await?;
    let verdicts = following.until_applied(&run).await?;
    let mut connection = operator.pool.get().await?;
    let missing = missing(&mut connection, run.id).await?;
    Ok(Run::of(run, verdicts, missing))
}

struct Following<'a, P> {
    operator: &'a Operator,
    requested: &'a Requested,
    progress: P,
    /// The time of the last progress.
    since: Instant,
}

impl<P: FnMut(Progress)> Following<'_, P> {
    /// Waits until the run has ended.
    async fn until_ended(&mut self) -> Result<RunRow, Error> {
        loop {
            sleep(LOOK).await;
            let id = self.requested.id;
            let run = self.operator.pool.bounded(async |c| rows::run(c, id).await).await?;
            match run {
                Some(run)
                    if run.state == "running"
                        && run.lease_until.is_some_and(|until| until > self.operator.clock.now()) =>
                {
                    self.since = Instant::now();
                    (self.progress)(match &*run.phase {
                        "archive" if run.archiving > 0 => {
                            Progress::Archiving { queued: run.archiving, missing: run.gone.unwrap_or(0) }
                        }
                        _ => Progress::Reading { pages: run.pages, users: run.people, waiting: run.reason },
                    });
                }
                // Its lease has expired: another ingest takes it over, if there is one.
                Some(run) if run.state == "running" => self.wait(Some(&run)).await?,
                // A run that asked for confirmation continues once an ingest has read the confirmation.
                Some(run) if run.state == "waiting" || run.state == "asks" && self.requested.is_confirmed => {
                    self.wait(Some(&run)).await?;
                }
                Some(run) => return Ok(run),
                None => self.wait(None).await?,
            }
        }
    }

    /// Reports why the run has not started: other runs are ahead of it, or no ingest has taken it.
    async fn wait(&mut self, run: Option<&RunRow>) -> Result<(), Error> {
        let Requested { id, tenant_id, tenant, .. } = self.requested;
        let (others, last) = {
            let mut connection = self.operator.pool.get().await?;
            (running(&mut connection).await?, rows::last_run(&mut connection, *tenant_id).await?)
        };
        let is_replaced =
            run.is_some_and(|run| run.state == "asks") && last.is_some_and(|last| last.id != *id);
        if is_replaced {
            let why = "a later pull has replaced it";
            return Err(Error::Refused(format!("this pull of {tenant} cannot be confirmed: {why}")));
        }
        if others.contains(tenant_id) {
            (self.progress)(Progress::BehindOwn);
            self.since = Instant::now();
        } else if run.is_some() && !others.is_empty() {
            (self.progress)(Progress::BehindOthers);
            self.since = Instant::now();
        } else if self.since.elapsed() > TIMEOUT {
            return Err(Error::Late(format!(
                "no ingest has started the pull of {tenant} yet (it stays requested); check that an ingest runs with ROLLCALL_SECRET_KEY"
            )));
        }
        Ok(())
    }

    /// Waits until the workers have decided the run's commands, or make no progress.
    async fn until_applied(&mut self, run: &RunRow) -> Result<Verdicts, Error> {
        let (queued, mut decided) = (run.changes + run.archiving, -1);
        self.since = Instant::now();
        loop {
            let verdicts = self.operator.pool.bounded(async |c| rows::verdicts(c, run).await).await?;
            let by_now = verdicts.all();
            if by_now >= queued {
                return Ok(verdicts);
            }
            if by_now > decided {
                (decided, self.since) = (by_now, Instant::now());
            }
            if self.since.elapsed() > TIMEOUT {
                return Ok(verdicts);
            }
            (self.progress)(Progress::Applying { decided: by_now, queued });
            sleep(LOOK).await;
        }
    }
}

/// The tenants with a running pull.
async fn running(connection: &mut AsyncPgConnection) -> Result<Vec<Uuid>, Error> {
    let held = pull_runs::table.filter(pull_runs::state.eq("running")).filter(pull_runs::lease_until.gt(now));
    Ok(held.select(pull_runs::tenant_id).load(connection).await?)
}
