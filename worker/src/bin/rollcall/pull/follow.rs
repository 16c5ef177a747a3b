//! Looking on while a pull runs: until it has ended, and until the workers have applied what it queued. Progress goes to the
//! standard error.

use std::time::Duration;

use diesel::dsl::now;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::postgres::pulls::{self as rows, RunRow, Verdicts};
use shared::postgres::schema::pull_runs;
use shared::postgres::tenants::Tenant;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::context::{Context, Failure};

/// How often to look.
const LOOK: Duration = Duration::from_millis(200);
/// How long until an ingest has taken it, if one runs that has the key; and until a worker has applied one change more.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks on.
pub struct Following<'a> {
    context: &'a Context,
    tenant: &'a Tenant,
    id: Uuid,
    is_confirmed: bool,
    /// What was said last.
    said: String,
    /// Since when nothing has happened.
    since: Instant,
}

impl<'a> Following<'a> {
    /// Of a run. One that is confirmed goes on although it asks.
    pub fn new(context: &'a Context, tenant: &'a Tenant, id: Uuid, is_confirmed: bool) -> Self {
        Self { context, tenant, id, is_confirmed, said: String::new(), since: Instant::now() }
    }

    /// Waits until the run has ended.
    pub async fn until_ended(&mut self) -> Result<RunRow, Failure> {
        loop {
            sleep(LOOK).await;
            let id = self.id;
            let run = self.context.pool.bounded(async |c| rows::run(c, id).await).await?;
            match run {
                Some(run)
                    if run.state == "running"
                        && run.lease_until.is_some_and(|until| until > self.context.clock.now()) =>
                {
                    self.since = Instant::now();
                    self.say(match &*run.phase {
                        "archive" if run.archiving > 0 => {
                            format!("{} of {} to be archived", run.archiving, run.gone.unwrap_or(0))
                        }
                        _ => match run.reason.as_deref() {
                            Some(why) => {
                                format!("{} pages read, {} people; it waits: {why}", run.pages, run.people)
                            }
                            None => format!("{} pages read, {} people", run.pages, run.people),
                        },
                    });
                }
                // Whoever had it is gone: another ingest takes it up, if there is one.
                Some(run) if run.state == "running" => self.wait(Some(&run)).await?,
                // One that asked goes on as soon as an ingest has seen that it may.
                Some(run) if run.state == "waiting" || run.state == "asks" && self.is_confirmed => {
                    self.wait(Some(&run)).await?;
                }
                Some(run) => return Ok(run),
                None => self.wait(None).await?,
            }
        }
    }

    /// Why it does not run yet: others run before it, or nobody does.
    async fn wait(&mut self, run: Option<&RunRow>) -> Result<(), Failure> {
        let tenant = self.tenant;
        let (others, last) = {
            let mut connection = self.context.pool.get().await?;
            (running(&mut connection).await?, rows::last_run(&mut connection, tenant.id).await?)
        };
        let is_replaced =
            run.is_some_and(|run| run.state == "asks") && last.is_some_and(|last| last.id != self.id);
        if is_replaced {
            let why = "a later one has looked since who is gone";
            return Err(Failure::Refused(format!("this pull of {} is not confirmed: {why}", tenant.name)));
        }
        if others.contains(&tenant.id) {
            self.say(format!("another pull of {} is going on: this one comes after it", tenant.name));
            self.since = Instant::now();
        } else if run.is_some() && !others.is_empty() {
            self.say("other companies' pulls are going on: this one waits for its turn".to_owned());
            self.since = Instant::now();
        } else if self.since.elapsed() > PATIENCE {
            return Err(Failure::Late(format!(
                "no ingest has taken the pull of {} yet (it stays asked for): does one run that has ROLLCALL_SECRET_KEY?",
                tenant.name
            )));
        }
        Ok(())
    }

    /// Waits until the workers have decided what the run has queued, for as long as they get on with it.
    pub async fn until_applied(&mut self, run: &RunRow) -> Result<Verdicts, Failure> {
        let (queued, mut decided) = (run.changes + run.archiving, -1);
        self.since = Instant::now();
        loop {
            let verdicts = self.context.pool.bounded(async |c| rows::verdicts(c, run).await).await?;
            let by_now = verdicts.all();
            if by_now >= queued {
                return Ok(verdicts);
            }
            if by_now > decided {
                (decided, self.since) = (by_now, Instant::now());
            }
            if self.since.elapsed() > PATIENCE {
                return Ok(verdicts);
            }
            self.say(format!("{by_now} of {queued} changes are applied"));
            sleep(LOOK).await;
        }
    }

    /// Says how far it is, once.
    fn say(&mut self, how: String) {
        if self.said != how {
            eprintln!("{how}");
            self.said = how;
        }
    }
}

/// The tenants whose pulls are going on.
async fn running(connection: &mut AsyncPgConnection) -> Result<Vec<Uuid>, Failure> {
    let held = pull_runs::table.filter(pull_runs::state.eq("running")).filter(pull_runs::lease_until.gt(now));
    Ok(held.select(pull_runs::tenant_id).load(connection).await?)
}
