//! One run of one pull, from its first page, or from its stored progress after a crash, to its end. A run ends as done,
//! failed, or awaiting confirmation.

use std::collections::HashSet;
use std::time::Duration;

use amqp::{Message, Publisher};
use database::pulls::{self, PullRow, RunRow};
use database::{Pool, tenants, verdicts};
use diesel_async::AsyncPgConnection;
use domain::pull::AttributeMap;
use domain::settings::Limits;
use domain::ticket::TicketClock;
use platform::clock::Clock;
use platform::retry::Delays;
use platform::secret::SecretKey;
use platform::shutdown;
use scim::user_name_key;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::matching::{self, Commands};
use super::page::Page;
use super::place::Place;
use super::provider::Provider;
use super::provider_user::ProviderUser;
use super::quota::{Quota, Undecided};
use super::reconciliation::{self, Decision};
use super::retry::{Attempts, Retry};
use super::stop_reason::StopReason;
use super::store::{Lease, PageResult, Seen, Store};

/// A run that is older than this when it resumes starts again, since the group may have changed.
const STALE: time::Duration = time::Duration::hours(1);
/// The users that are archived per step.
const STEP: i64 = 200;
/// How long a run waits for the verdicts on its commands before it queues more.
const DRAIN: Duration = Duration::from_secs(30);

/// The dependencies that all runs share.
pub struct Dependencies {
    /// The runs.
    pub store: Store,
    /// Postgres.
    pub pool: Pool,
    /// Publishes commands.
    pub publisher: Publisher,
    /// Decrypts the tokens.
    pub key: SecretKey,
    /// The clock.
    pub clock: Clock,
    /// The pulls' ticket clock.
    pub tickets: TicketClock,
}

/// A run in progress.
pub struct Run<'a> {
    /// The shared dependencies.
    pub dependencies: &'a Dependencies,
    /// The lease.
    pub lease: Lease,
    /// The stored run.
    pub row: RunRow,
    /// Its place while it works on a page.
    pub place: Place,
    /// Cancelled when the run must be released: this process stops, or the lease is lost.
    pub stop: CancellationToken,
}

/// The result of a run: its state, and the reason if it awaits confirmation.
pub type Ended = (&'static str, Option<String>);

impl Run<'_> {
    /// Runs until the end.
    ///
    /// # Errors
    /// [`StopReason`].
    pub async fn go_on(mut self) -> Result<Ended, StopReason> {
        let now = self.dependencies.clock.now();
        if !self.row.confirmed && self.row.started_at.is_some_and(|at| now - at > STALE) {
            self.begin_anew().await?;
        }
        if self.row.phase == "read" {
            match self.read().await {
                Err(StopReason::Expired(_)) => {
                    self.begin_anew().await?;
                    self.read().await?;
                }
                read => read?,
            }
        }
        self.place.take(&self.stop).await?;
        let compared = match self.row.phase.as_str() {
            "archive" => reconciliation::compared(&self.dependencies.pool, &self.row).await?,
            _ => reconciliation::compare(&self.dependencies.pool, self.lease, &self.row).await?,
        };
        match reconciliation::check(&self.settings().await?, compared, self.row.confirmed) {
            Decision::Report => Ok(("done", None)),
            Decision::Ask(why) => Ok(("asks", Some(why))),
            Decision::Archive => self.archive().await.map(|()| ("done", None)),
        }
    }

    /// The tenant's pull configuration. Fails if it has changed since the run began.
    async fn settings(&self) -> Result<PullRow, StopReason> {
        let find = async |c: &mut _| pulls::find(c, self.row.tenant_id).await;
        let pull = self.dependencies.pool.bounded(find).await?;
        let pull =
            pull.ok_or_else(|| StopReason::Failed("the pull was removed during the run".to_owned()))?;
        if self.row.set_at != Some(pull.set_at) {
            return Err(StopReason::Failed(
                "the pull was reconfigured during the run; run it again".to_owned(),
            ));
        }
        Ok(pull)
    }

    async fn begin_anew(&mut self) -> Result<(), StopReason> {
        info!(run = %self.lease.run, "pull restarts with the first page");
        let now = self.dependencies.clock.now();
        self.dependencies.store.begin_anew(self.lease, now).await?;
        (self.row.started_at, self.row.next_link, self.row.pages) = (Some(now), None, 0);
        self.row.people = 0;
        "read".clone_into(&mut self.row.phase);
        Ok(())
    }

    /// Reads all pages.
    async fn read(&self) -> Result<(), StopReason> {
        let pull = self.settings().await?;
        let map: AttributeMap = serde_json::from_value(pull.map.clone())
            .map_err(|_| StopReason::Failed("the stored attribute map is invalid".to_owned()))?;
        let provider = self.provider(&pull, map)?;
        let is_undecided = async |c: &mut _| pulls::is_undecided(c, &self.row).await;
        let all = self.dependencies.pool.bounded(is_undecided).await?;
        let mut link = self.row.next_link.clone();
        let mut asked: HashSet<Option<String>> = HashSet::new();
        let mut quota = Quota::new(&self.limits().await?, self.row.people);
        let mut undecided = Undecided::default();
        for number in self.row.pages + 1.. {
            quota.check_page(number)?;
            let Page { users, next, pause } = self.page(&provider, link.as_deref()).await?;
            self.settings().await?;
            let result = self.process_page(users, next.clone(), all, &mut undecided).await?;
            let new = self.dependencies.store.store_page(self.lease, &result).await?;
            info!(run = %self.lease.run, page = number, people = result.seen.len(), changes = result.changes, "page read");
            quota.count(new)?;
            // Whoever waits for a place is next.
            self.place.give_back();
            if next.is_none() {
                return Ok(());
            }
            asked.insert(std::mem::replace(&mut link, next));
            if asked.contains(&link) || new == 0 && !result.seen.is_empty() {
                return Err(StopReason::Failed(format!(
                    "{}'s links to the next page form a circle",
                    provider.name()
                )));
            }
            if let Some(pause) = pause {
                self.rest(pause).await?;
            }
            self.drain(&mut undecided).await?;
        }
        Ok(())
    }

    /// The tenant's limits.
    async fn limits(&self) -> Result<Limits, StopReason> {
        let ids = [self.row.tenant_id];
        let find = async |c: &mut AsyncPgConnection| tenants::by_ids(c, &ids).await;
        let found = self.dependencies.pool.bounded(find).await?;
        Ok(found.into_iter().next().map(|tenant| tenant.settings.limits).unwrap_or_default())
    }

    /// Waits while too many of the run's commands are in the queue: other tenants' commands wait behind them. Goes on
    /// after a while, since a command may be a dead letter.
    async fn drain(&self, undecided: &mut Undecided) -> Result<(), StopReason> {
        let until = Instant::now() + DRAIN;
        let mut delays = Delays::new(Duration::from_millis(50), Duration::from_secs(1));
        while let Some(oldest) = undecided.surplus() {
            let find = async |c: &mut AsyncPgConnection| verdicts::find(c, oldest).await;
            if self.dependencies.pool.bounded(find).await?.is_some() || Instant::now() >= until {
                undecided.forget_oldest();
                continue;
            }
            self.pause(delays.next_delay()).await?;
        }
        Ok(())
    }

    fn provider(&self, pull: &PullRow, map: AttributeMap) -> Result<Provider, StopReason> {
        let purpose = PullRow::purpose(pull.tenant_id, &pull.okta_url);
        let token =
            self.dependencies.key.open(&pull.token, &purpose).and_then(|token| String::from_utf8(token).ok());
        let token = token.ok_or(StopReason::Undecryptable)?;
        Provider::new(pull, map, &token, self.dependencies.clock.clone()).map_err(StopReason::Failed)
    }

    /// Reads a page, with retries.
    async fn page(&self, provider: &Provider, link: Option<&str>) -> Result<Page, StopReason> {
        let mut attempts = Attempts::new(provider.name());
        loop {
            self.place.take(&self.stop).await?;
            let page = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(StopReason::Released),
                page = provider.page(link) => page,
            };
            let failure = match page {
                Ok(page) => return Ok(page),
                Err(failure) => failure,
            };
            match attempts.after(failure)? {
                Retry::Limited { why, pause } => {
                    info!(run = %self.lease.run, pause_s = pause.as_secs(), "{why}");
                    self.dependencies.store.wait(self.lease, &why).await?;
                    self.rest(pause).await?;
                }
                Retry::Away { why, pause } => {
                    warn!(run = %self.lease.run, why, "failed to read a page; retrying");
                    self.dependencies.store.wait(self.lease, &why).await?;
                    self.pause(pause).await?;
                }
            }
            // Stop using the token if the pull has been removed or reconfigured.
            self.settings().await?;
        }
    }

    /// Queues commands for the differences on a page, or for all of its users.
    async fn process_page(
        &self,
        mut users: Vec<ProviderUser>,
        next: Option<String>,
        all: bool,
        undecided: &mut Undecided,
    ) -> Result<PageResult, StopReason> {
        let ids = users.iter().map(|user| &*user.supplement.external_id).collect();
        let seen = self.dependencies.store.seen(self.lease.run, ids).await?;
        matching::resolve_shared_ids(&mut users, seen);
        let tenant = self.row.tenant_id;
        let accounts =
            self.dependencies.pool.bounded(async |c| matching::accounts(c, tenant, &users).await).await?;
        let found = matching::differences(&accounts, &users, all);
        let commands = self.commands();
        let supplements =
            found.changes.into_iter().map(|(user, supplement)| commands.supplement(user, supplement));
        let messages: Vec<Message> = supplements.collect();
        self.queue(&messages).await?;
        undecided.add(&messages);
        let unreadable = users.iter().map(|user| user.unreadable).sum();
        let seen = users.into_iter().map(|user| Seen {
            okta_id: user.id,
            user_name_key: user_name_key(&user.supplement.login),
            external_id: user.supplement.external_id,
            is_known: user.is_known,
        });
        let (strangers, ambiguous) = (found.strangers, found.ambiguous);
        Ok(PageResult {
            seen: seen.collect(),
            strangers,
            changes: messages.len(),
            unreadable,
            ambiguous,
            next,
        })
    }

    async fn archive(&self) -> Result<(), StopReason> {
        let mut undecided = Undecided::default();
        loop {
            let some = reconciliation::to_archive(&self.dependencies.pool, self.lease.run, STEP).await?;
            if some.is_empty() {
                return Ok(());
            }
            // The pull may have been removed or reconfigured in the meantime.
            self.settings().await?;
            self.place.take(&self.stop).await?;
            let commands = self.commands();
            let messages: Vec<Message> =
                some.iter().map(|(user, version)| commands.archive(*user, *version)).collect();
            self.queue(&messages).await?;
            reconciliation::note_archiving(&self.dependencies.pool, self.lease, &some).await?;
            self.place.give_back();
            undecided.add(&messages);
            self.drain(&mut undecided).await?;
        }
    }

    fn commands(&self) -> Commands<'_> {
        let Dependencies { tickets, clock, .. } = self.dependencies;
        Commands { tickets, clock, tenant: self.row.tenant_id, run: self.lease.run }
    }

    /// Publishes commands. Waits while the queue is full or the broker is unavailable. Duplicates are deduplicated by
    /// ticket.
    async fn queue(&self, messages: &[Message]) -> Result<(), StopReason> {
        let mut delays = Delays::new(Duration::from_millis(100), Duration::from_secs(10));
        let (mut rest, mut most, mut reported) = (messages, messages.len(), false);
        while !rest.is_empty() {
            if self.stop.is_cancelled() {
                return Err(StopReason::Released);
            }
            let (now, later) = rest.split_at(most.min(rest.len()));
            match self.dependencies.publisher.publish(now).await {
                Ok(()) => {
                    (rest, most) = (later, most * 2);
                    continue;
                }
                // The queue may have room for fewer.
                Err(amqp::Error::Refused) => most = (most / 2).max(1),
                Err(_) => {}
            }
            if !reported {
                warn!(run = %self.lease.run, "the queue accepts no messages; pull waits");
                reported = true;
            }
            self.pause(delays.next_delay()).await?;
            self.place.take(&self.stop).await?;
        }
        Ok(())
    }

    /// Pauses the run. The pause is stored, so that it also holds after a crash.
    async fn rest(&self, pause: Duration) -> Result<(), StopReason> {
        self.dependencies.store.rest(self.lease, pause).await?;
        self.pause(pause).await
    }

    /// Pauses the run, without a place.
    async fn pause(&self, pause: Duration) -> Result<(), StopReason> {
        self.place.give_back();
        if shutdown::pause(&self.stop, pause).await { Ok(()) } else { Err(StopReason::Released) }
    }
}
