//! One run of one pull, from its first page (or from where a crash left it) to its end.
//!
//! Before it: a run that this ingest has taken. After it: commands in the queue, and a run that is done, asks, or failed.

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
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::gone::{Verdict, judge};
use super::okta::{Failure, Okta, Page};
use super::person::{NoUser, Person};
use super::roster::{self, Commands};
use super::store::{Lease, Store, Turned, Unwritten};

/// How long what does not work is tried again.
const PERSISTENCE: Duration = Duration::from_secs(900);
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
    /// It is over.
    #[error("{0}")]
    Failed(String),
}

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
        if error.is_transient() {
            warn!(%error, "a pull stops until Postgres is back");
            return Self::LetGo;
        }
        // It would fail again, and Okta be asked for the same page all the time.
        Self::Failed(error.to_string())
    }
}

impl Run<'_> {
    /// Goes on with the run until it ends; `Ok` is the state in which it does.
    ///
    /// # Errors
    /// [`End`].
    pub async fn go_on(&self) -> Result<&'static str, End> {
        let find = async |c: &mut _| pulls::find(c, self.row.tenant_id).await;
        let pull = self.means.pool.bounded(find).await?;
        let pull = pull.ok_or_else(|| End::Failed("the pull was unset meanwhile".to_owned()))?;
        if self.row.phase == "read" {
            self.read(&pull).await?;
        }
        let (roster, gone) = match (self.row.phase.as_str(), self.row.roster, self.row.gone) {
            ("archive", Some(roster), Some(gone)) => (roster, gone),
            _ => self.means.store.compare(self.lease, &self.row).await?,
        };
        match judge(&pull, roster, gone, self.row.confirmed) {
            Verdict::Report => Ok("done"),
            Verdict::Ask => Ok("asks"),
            Verdict::Archive => self.archive().await.map(|()| "done"),
        }
    }

    /// Page after page.
    async fn read(&self, pull: &PullRow) -> Result<(), End> {
        let map: AttributeMap = serde_json::from_value(pull.map.clone()).map_err(|_| {
            End::Failed("the stored attribute map has another shape than expected".to_owned())
        })?;
        let okta = self.okta(pull)?;
        let mut link = self.row.next_link.clone();
        loop {
            let page = self.page(&okta, link.as_deref()).await?;
            let turned = self.deal(&map, &page).await?;
            self.means.store.turn(self.lease, &turned).await?;
            link = match page.next {
                Some(next) => Some(next),
                None => return Ok(()),
            };
            if let Some(pause) = page.pause {
                self.pause(pause).await?;
            }
        }
    }

    fn okta(&self, pull: &PullRow) -> Result<Okta, End> {
        let purpose = PullRow::purpose(pull.tenant_id, &pull.okta_url);
        let token =
            self.means.key.open(&pull.token, &purpose).and_then(|token| String::from_utf8(token).ok());
        let token = token.ok_or_else(|| {
            let why =
                "the token cannot be decrypted: ROLLCALL_SECRET_KEY is another one than when it was set";
            End::Failed(format!("{why}; set the pull again"))
        })?;
        Okta::new(&pull.okta_url, &pull.group_id, &token, self.means.clock.clone()).map_err(End::Failed)
    }

    /// A page, with Okta's patience: as long as it says to wait, and again after what may pass.
    async fn page(&self, okta: &Okta, link: Option<&str>) -> Result<Page, End> {
        let mut delays = Delays::new(Duration::from_secs(1), Duration::from_secs(60));
        let mut until = Instant::now() + PERSISTENCE;
        loop {
            let page = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(End::LetGo),
                page = okta.page(link) => page,
            };
            match page {
                Ok(page) => return Ok(page),
                Err(Failure::Refused(why)) => return Err(End::Failed(why)),
                Err(Failure::Limited(pause)) => {
                    info!(run = %self.lease.run, pause_s = pause.as_secs(), "Okta's rate limit is reached");
                    until += pause;
                    self.pause(pause).await?;
                }
                Err(Failure::Away(why)) if Instant::now() < until => {
                    warn!(run = %self.lease.run, why, "a page is asked for again");
                    self.pause(delays.next_delay()).await?;
                }
                Err(Failure::Away(why)) => return Err(End::Failed(why)),
            }
        }
    }

    /// Queues what a page tells that is new.
    async fn deal(&self, map: &AttributeMap, page: &Page) -> Result<Turned, End> {
        let people: Result<Vec<_>, NoUser> = page.users.iter().map(|user| Person::read(user, map)).collect();
        let people = people
            .map_err(|NoUser| End::Failed("Okta's answer holds something else than users".to_owned()))?;
        let people: Vec<Person> = people.into_iter().flatten().collect();
        let tenant = self.row.tenant_id;
        let accounts = self.means.pool.bounded(async |c| roster::accounts(c, tenant, &people).await).await?;
        let (changes, strangers) = roster::differences(&accounts, &people);
        let commands = self.commands();
        let told = changes.into_iter().map(|(user, supplement)| commands.supplement(user, supplement));
        let messages: Vec<Message> = told.collect();
        self.queue(&messages).await?;
        let seen = |person: &Person| {
            (person.supplement.external_id.clone(), user_name_key(&person.supplement.login))
        };
        Ok(Turned {
            seen: people.iter().map(seen).collect(),
            strangers,
            changes: messages.len(),
            unreadable: people.iter().map(|person| person.unreadable).sum(),
            next: page.next.clone(),
        })
    }

    async fn archive(&self) -> Result<(), End> {
        loop {
            let some = self.means.store.to_archive(self.lease.run, STEP).await?;
            if some.is_empty() {
                return Ok(());
            }
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
        let mut told = false;
        loop {
            if self.stop.is_cancelled() {
                return Err(End::LetGo);
            }
            match self.means.publisher.publish(messages).await {
                Ok(()) => return Ok(()),
                Err(error) if !told => {
                    warn!(%error, run = %self.lease.run, "a pull waits for the queue");
                    told = true;
                }
                Err(_) => {}
            }
            self.pause(delays.next_delay()).await?;
        }
    }

    async fn pause(&self, pause: Duration) -> Result<(), End> {
        if shutdown::pause(&self.stop, pause).await { Ok(()) } else { Err(End::LetGo) }
    }
}
