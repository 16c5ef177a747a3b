//! What a batch touches: loaded once, changed in memory by the fold, saved as a difference.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use shared::command::{Change, Command, Fingerprint};
use shared::event::{Cause, Event};
use shared::outcome::{Outcome, REPEATABLE_FOR};
use shared::postgres::groups::GroupRow;
use shared::postgres::tenants::Tenant;
use shared::postgres::users::UserRow;
use shared::scim;
use shared::ticket::Ticket;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::members::Members;
use super::row::Row;

/// How soon after a create was decided ingest has confirmed that its client was told. A repetition that was issued later, when
/// that is not confirmed, comes from a client that was told to try again: a second before the deadline at the latest a
/// create is decided, or it is late.
const TOLD_WITHIN: Duration = Duration::seconds(1);

/// Tries of a request by its tenant and fingerprint, and when each was decided.
pub type Tries = HashMap<(Uuid, Fingerprint), BTreeMap<Ticket, OffsetDateTime>>;

/// The rows of one batch.
#[derive(Debug, Clone)]
pub struct State {
    /// The time of this batch, in whole milliseconds: as fine as it is shown.
    pub now: OffsetDateTime,
    /// The tenants that there are.
    pub tenants: HashMap<Uuid, Tenant>,
    /// Users by id.
    pub users: BTreeMap<Uuid, Slot<UserRow>>,
    /// Groups by id.
    pub groups: BTreeMap<Uuid, Slot<GroupRow>>,
    /// Who is in them.
    pub members: HashMap<Uuid, Members>,
    /// Those named as members who are no rows of `users` above: they can be added, not changed.
    pub people: HashMap<Uuid, Person>,
    /// The inbox, by ticket.
    pub inbox: BTreeMap<Ticket, Entry>,
    /// Tries whose outcome nobody heard.
    pub unclaimed: Tries,
    /// Creates that took effect, and of which ingest has not said that its client was told.
    pub untold: Tries,
    /// Which command made a group for a request: of its tries one does.
    pub made: HashMap<(Uuid, Fingerprint), Ticket>,
    /// The externalIds of tenants where they are unique that the fold gave to active people: whether they were free is known
    /// only if the store loaded who has them.
    pub claimed: BTreeSet<(Uuid, String)>,
    /// What happened, in order.
    pub events: Vec<Event>,
}

/// A row as it was loaded and as it is now.
#[derive(Debug, Clone)]
pub struct Slot<R> {
    /// As it stands in the database; `None` if it does not.
    pub stored: Option<R>,
    /// As the fold left it; `None` if it is gone.
    pub current: Option<R>,
}

impl<R: Clone> Slot<R> {
    /// A row that was loaded.
    #[must_use]
    pub fn loaded(row: R) -> Self {
        Self { stored: Some(row.clone()), current: Some(row) }
    }
}

/// Somebody who can be a member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Whose roster they are on.
    pub tenant: Uuid,
    /// What they are called as a member: displayName, else userName.
    pub display: String,
}

/// A row of the inbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Whether the row stands in the database already.
    pub stored: bool,
    /// Whether the fold changed it.
    pub changed: bool,
    /// Its verdict; `None` where ingest gave up before there was one, or queued it for asynchronous processing.
    pub outcome: Option<Outcome>,
    /// Who has heard the verdict.
    pub standing: Standing,
    /// The command, where this batch brought it: what a new row is made of.
    pub command: Option<Command>,
}

/// Who has heard a verdict: the column `state` of `commands`, as far as the worker minds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Whoever asked is told; ingest confirms that of a create.
    Decided,
    /// Nobody: it is kept for the repeated request.
    Unclaimed,
    /// Whoever asked, or whoever repeated the request; or it can be fetched for as long as it is there.
    Claimed,
}

impl State {
    /// Nothing loaded.
    #[must_use]
    pub fn new(now: OffsetDateTime) -> Self {
        Self {
            now: now - Duration::nanoseconds(i64::from(now.nanosecond() % 1_000_000)),
            tenants: HashMap::new(),
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            members: HashMap::new(),
            people: HashMap::new(),
            inbox: BTreeMap::new(),
            unclaimed: HashMap::new(),
            untold: HashMap::new(),
            made: HashMap::new(),
            claimed: BTreeSet::new(),
            events: Vec::new(),
        }
    }

    /// A row as it is now, if the tenant has it.
    #[must_use]
    pub fn row<R: Row>(&self, tenant: Uuid, id: Uuid) -> Option<&R> {
        R::slots(self).get(&id).and_then(|slot| slot.current.as_ref()).filter(|row| row.tenant() == tenant)
    }

    /// A user's row as it is now, if the tenant has it.
    #[must_use]
    pub fn user(&self, tenant: Uuid, id: Uuid) -> Option<&UserRow> {
        self.row(tenant, id)
    }

    /// The tenant's users as they are now, as far as they are loaded.
    pub fn users_of(&self, tenant: Uuid) -> impl Iterator<Item = &UserRow> {
        self.users
            .values()
            .filter_map(|slot| slot.current.as_ref())
            .filter(move |row| row.tenant_id == tenant)
    }

    /// Whether a user other than `id` has this name, folded by `user_name_key`.
    #[must_use]
    pub fn is_name_taken(&self, tenant: Uuid, key: &str, id: Uuid) -> bool {
        self.users_of(tenant).any(|row| row.user_name_key == key && row.id != id)
    }

    /// What a person of the tenant is called as a member; `None` if there is nobody of that id.
    #[must_use]
    pub fn display(&self, tenant: Uuid, id: Uuid) -> Option<&str> {
        match self.users.get(&id) {
            Some(slot) => {
                let row = slot.current.as_ref().filter(|row| row.tenant_id == tenant)?;
                Some(row.display_name.as_deref().unwrap_or(&row.user_name))
            }
            None => {
                self.people.get(&id).filter(|person| person.tenant == tenant).map(|person| &*person.display)
            }
        }
    }

    /// Puts a row in its place.
    pub fn put<R: Row>(&mut self, row: R) {
        let slot = R::slots_mut(self).entry(row.id()).or_insert(Slot { stored: None, current: None });
        slot.current = Some(row);
    }

    /// Takes a row away.
    pub fn remove<R: Row>(&mut self, id: Uuid) {
        if let Some(slot) = R::slots_mut(self).get_mut(&id) {
            slot.current = None;
        }
    }

    /// Where an event of this command comes from.
    #[must_use]
    pub fn cause(&self, command: &Command) -> Cause<'_> {
        let tenant = self.tenants.get(&command.tenant).map_or("", |tenant| &tenant.name);
        Cause { tenant, command: command.ticket, request: command.request, at: self.now }
    }

    /// Notes the verdict of a command in its row.
    pub fn settle(&mut self, command: &Command, outcome: Outcome, standing: Standing) {
        let stored = self.inbox.get(&command.ticket).is_some_and(|entry| entry.stored);
        if outcome.is_applied() && matches!(command.change, Change::CreateGroup { .. }) {
            self.made.insert((command.tenant, command.fingerprint.clone()), command.ticket);
        }
        if standing == Standing::Unclaimed {
            let tries = self.unclaimed.entry((command.tenant, command.fingerprint.clone())).or_default();
            tries.insert(command.ticket, self.now);
        }
        let entry =
            Entry { stored, changed: true, outcome: Some(outcome), standing, command: Some(command.clone()) };
        self.inbox.insert(command.ticket, entry);
    }

    /// The earlier tries of a request that this command may repeat: none is older than the hour in which repetitions are expected,
    /// and nobody heard them, or nobody can have heard them before the deadline, which was before the repetition.
    fn earlier_tries(&self, command: &Command) -> impl Iterator<Item = Ticket> {
        let request = (command.tenant, command.fingerprint.clone());
        let unclaimed = self.unclaimed.get(&request).into_iter().flatten();
        let untold = self.untold.get(&request).into_iter().flatten();
        let untold = untold.filter(|(_, decided_at)| command.issued_at >= **decided_at + TOLD_WITHIN);
        let expected =
            |(_, decided_at): &(&Ticket, &OffsetDateTime)| self.now - **decided_at < REPEATABLE_FOR;
        unclaimed.chain(untold).filter(expected).map(|(ticket, _)| *ticket)
    }

    /// The latest of the earlier tries: the one whose outcome the command may be handed.
    pub(super) fn unheard(&self, command: &Command) -> Option<Ticket> {
        self.earlier_tries(command).max()
    }

    /// The request is answered: none of its earlier tries is left to be handed out.
    pub(super) fn claim_earlier_tries(&mut self, command: &Command) {
        let request = (command.tenant, command.fingerprint.clone());
        let tries: Vec<Ticket> = self.earlier_tries(command).collect();
        for ticket in tries {
            for tries in [&mut self.unclaimed, &mut self.untold] {
                tries.get_mut(&request).and_then(|tries| tries.remove(&ticket));
            }
            if let Some(entry) = self.inbox.get_mut(&ticket) {
                (entry.standing, entry.changed) = (Standing::Claimed, true);
            }
        }
    }

    /// The resource that a create made is handed to its repetition: two answers of 201 would be two creates.
    pub(super) fn give_away(&mut self, create: Ticket) {
        if let Some(entry) = self.inbox.get_mut(&create) {
            (entry.outcome, entry.changed) = (Some(Outcome::Rejected { error: made_by_repetition() }), true);
        }
    }
}

/// What became of a try whose repetition made the resource.
pub(super) fn made_by_repetition() -> scim::Error {
    scim::Error::uniqueness("the request was repeated, and the repetition made it")
}
