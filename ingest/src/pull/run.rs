//! One run of one pull, from its first page (or from where a crash left it) to its end.
//!
//! Before it: a run that this ingest has taken. After it: commands in the queue, and a run that is done, asks, or failed.

use std::collections::HashSet;
use std::time::Duration;

use shared::amqp::{Message, Publisher};
use shared::clock::Clock;
use shared::postgres::pulls::{self, PullRow, RunRow};
use shared::postgres::{self, Pool};
use shared::pull::AttributeMap;
use shared::retry::Delays;
use shared::scim::user_name_key;
use shared::secret::SecretKey;
use shared::shutdown;
use shared::ticket::TicketClock;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::gone::{Verdict, judge};
use super::okta::{Okta, Page};
use super::person::{NoUser, Person};
use super::roster::{self, Commands};
use super::store::{Lease, Seen, Store, Turned, Unwritten};

/// What was read longer ago than this is read again by whoever goes on: people have come and gone since.
const STALE: time::Duration = time::Duration::hours(1);
/// How many are archived in one go.
const STEP: i64 = 200;

/// What all runs share.
pub struct Means {
    /// The runs.
    pub store: Store,
    /// Postgres.
    pub pool: Pool,
    /// To the queue.
    pub publisher: Publisher,
    /// Opens the tokens.
    pub key: SecretKey,
    /// The time.
    pub clock: Clock,
    /// The pull's own tickets.
    pub tickets: TicketClock,
}

/// A run in hand.
pub struct Run<'a> {
    /// What all runs share.
    pub means: &'a Means,
    /// That it is ours.
    pub lease: Lease,
    /// As it was taken.
    pub row: RunRow,
    /// Cancelled when it is to be let go of: this ingest stops, or another one has it.
    pub stop: CancellationToken,
}

/// Why a run does not go on.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// Somebody else goes on with it, now or later.
    #[error("it is let go of")]
    LetGo,
    /// Another ingest, with another key, may be able to go on.
    #[error(
        "the token cannot be decrypted: ROLLCALL_SECRET_KEY is another one than when it was set; set the pull again, or give every \
         ingest the key"
    )]
    Blind,
    /// Postgres failed in a way that may be there to stay: an internal error, or a right that is missing.
    #[error("{0}")]
    Troubled(postgres::Error),
    /// The link to the next page holds no more.
    #[error("Okta takes its own links to the next page for none (400 Bad Request)")]
    Expired,
    /// It is over.
    #[error("{0}")]
    Failed(String),
}

/// How a run ends well: its state, and the reason if it asks.
pub type Ended = (&'static str, Option<String>);

impl From<Unwritten> for End {
    fn from(unwritten: Unwritten) -> Self {
        match unwritten {
            Unwritten::Lost => Self::LetGo,
            Unwritten::Postgres(error) => error.into(),
        }
    }
}

impl From<postgres::Error> for End {
    /// What is written is all that counts: when Postgres is well again, the run is taken up from there.
    fn from(error: postgres::Error) -> Self {
        match error {
            error @ (postgres::Error::Unknown(_) | postgres::Error::Unfit(_)) => Self::Troubled(error),
            error if error.is_transient() => {
                warn!(%error, "a pull stops until Postgres is back");
                Self::LetGo
            }
            // It would fail again, and Okta be asked for the same page all the time.
            error => Self::Failed(error.to_string()),
        }
    }
}

impl Run<'_> {
    /// Goes on with the run until it ends.
    ///
    /// # Errors
    /// [`End`].
    pub async fn go_on(mut self) -> Result<Ended, End> {
        let now = self.means.clock.now();
        if !self.row.confirmed && self.row.started_at.is_some_and(|at| now - at > STALE) {
            self.begin_anew().await?;
        }
        if self.row.phase == "read" {
            match self.read().await {
                Err(End::Expired) => {
                    self.begin_anew().await?;
                    self.read().await?;
                }
                read => read?,
            }
        }
        let compared = match self.row.phase.as_str() {
            "archive" => self.means.store.compared(&self.row).await?,
            _ => self.means.store.compare(self.lease, &self.row).await?,
        };
        match judge(&self.settings().await?, compared, self.row.confirmed) {
            Verdict::Report => Ok(("done", None)),
            Verdict::Ask(why) => Ok(("asks", Some(why))),
            Verdict::Archive => self.archive().await.map(|()| ("done", None)),
        }
    }

    /// The tenant's configuration, as long as it is the one that the run began with.
    pub(super) async fn settings(&self) -> Result<PullRow, End> {
        let find = async |c: &mut _| pulls::find(c, self.row.tenant_id).await;
        let pull = self.means.pool.bounded(find).await?;
        let pull = pull.ok_or_else(|| End::Failed("the pull was unset meanwhile".to_owned()))?;
        if self.row.set_at != Some(pull.set_at) {
            return Err(End::Failed("the pull was configured anew meanwhile: run it again".to_owned()));
        }
        Ok(pull)
    }

    async fn begin_anew(&mut self) -> Result<(), End> {
        info!(run = %self.lease.run, "a pull begins anew with the first page");
        let now = self.means.clock.now();
        self.means.store.begin_anew(self.lease, now).await?;
        (self.row.started_at, self.row.next_link, self.row.pages) = (Some(now), None, 0);
        "read".clone_into(&mut self.row.phase);
        Ok(())
    }

    /// Page after page.
    async fn read(&self) -> Result<(), End> {
        let pull = self.settings().await?;
        let map: AttributeMap = serde_json::from_value(pull.map.clone()).map_err(|_| {
            End::Failed("the stored attribute map has another shape than expected".to_owned())
        })?;
        let okta = self.okta(&pull)?;
        let is_undecided = async |c: &mut _| pulls::is_undecided(c, &self.row).await;
        let all = self.means.pool.bounded(is_undecided).await?;
        let mut link = self.row.next_link.clone();
        let mut asked: HashSet<Option<String>> = HashSet::new();
        for number in self.row.pages + 1.. {
            let page = self.page(&okta, link.as_deref()).await?;
            self.settings().await?;
            let turned = self.deal(&map, &page, all).await?;
            let new = self.means.store.turn(self.lease, &turned).await?;
            info!(run = %self.lease.run, page = number, people = turned.seen.len(), changes = turned.changes, "a page was read");
            if page.next.is_none() {
                return Ok(());
            }
            asked.insert(std::mem::replace(&mut link, page.next));
            if asked.contains(&link) || new == 0 && !turned.seen.is_empty() {
                return Err(End::Failed("Okta's pages go in a circle".to_owned()));
            }
            if let Some(pause) = page.pause {
                self.rest(pause).await?;
            }
        }
        Ok(())
    }

    fn okta(&self, pull: &PullRow) -> Result<Okta, End> {
        let purpose = PullRow::purpose(pull.tenant_id, &pull.okta_url);
        let token =
            self.means.key.open(&pull.token, &purpose).and_then(|token| String::from_utf8(token).ok());
        let token = token.ok_or(End::Blind)?;
        Okta::new(&pull.okta_url, &pull.group_id, &token, self.means.clock.clone()).map_err(End::Failed)
    }

    /// Queues what a page tells that is new, or all that it tells.
    async fn deal(&self, map: &AttributeMap, page: &Page, all: bool) -> Result<Turned, End> {
        let people: Result<Vec<_>, NoUser> = page.users.iter().map(|user| Person::read(user, map)).collect();
        let people = people
            .map_err(|NoUser| End::Failed("Okta's answer holds something else than users".to_owned()))?;
        let mut people: Vec<Person> = people.into_iter().flatten().collect();
        let ids = people.iter().map(|person| &*person.supplement.external_id).collect();
        let seen = self.means.store.seen(self.lease.run, ids).await?;
        roster::tell_apart(&mut people, seen);
        let tenant = self.row.tenant_id;
        let accounts = self.means.pool.bounded(async |c| roster::accounts(c, tenant, &people).await).await?;
        let found = roster::differences(&accounts, &people, all);
        let commands = self.commands();
        let told = found.changes.into_iter().map(|(user, supplement)| commands.supplement(user, supplement));
        let messages: Vec<Message> = told.collect();
        self.queue(&messages).await?;
        let unreadable = people.iter().map(|person| person.unreadable).sum();
        let seen = people.into_iter().map(|person| Seen {
            okta_id: person.id,
            user_name_key: user_name_key(&person.supplement.login),
            external_id: person.supplement.external_id,
            is_known: person.is_known,
        });
        let (seen, next) = (seen.collect(), page.next.clone());
        let (strangers, ambiguous) = (found.strangers, found.ambiguous);
        Ok(Turned { seen, strangers, changes: messages.len(), unreadable, ambiguous, next })
    }

    async fn archive(&self) -> Result<(), End> {
        loop {
            let some = self.means.store.to_archive(self.lease.run, STEP).await?;
            if some.is_empty() {
                return Ok(());
            }
            // It may have been unset, or be meant for a report alone by now.
            self.settings().await?;
            let commands = self.commands();
            let messages: Vec<Message> =
                some.iter().map(|(user, version)| commands.archive(*user, *version)).collect();
            self.queue(&messages).await?;
            self.means.store.note_archiving(self.lease, &some).await?;
        }
    }

    fn commands(&self) -> Commands<'_> {
        let Means { tickets, clock, .. } = self.means;
        Commands { tickets, clock, tenant: self.row.tenant_id, run: self.lease.run }
    }

    /// Puts commands into the queue; a full one, or a broker that is away, is waited for. What is there twice takes effect once.
    async fn queue(&self, messages: &[Message]) -> Result<(), End> {
        let mut delays = Delays::new(Duration::from_millis(100), Duration::from_secs(10));
        let (mut rest, mut most, mut told) = (messages, messages.len(), false);
        while !rest.is_empty() {
            if self.stop.is_cancelled() {
                return Err(End::LetGo);
            }
            let (now, later) = rest.split_at(most.min(rest.len()));
            match self.means.publisher.publish(now).await {
                Ok(()) => {
                    (rest, most) = (later, most * 2);
                    continue;
                }
                // It may have room for fewer.
                Err(shared::amqp::Error::Refused) => most = (most / 2).max(1),
                Err(_) => {}
            }
            if !told {
                warn!(run = %self.lease.run, "a pull waits for the queue");
                told = true;
            }
            self.pause(delays.next_delay()).await?;
        }
        Ok(())
    }

    pub(super) async fn pause(&self, pause: Duration) -> Result<(), End> {
        if shutdown::pause(&self.stop, pause).await { Ok(()) } else { Err(End::LetGo) }
    }
}
