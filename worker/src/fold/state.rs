//! What a batch touches: loaded once, changed in memory by the fold, saved as a difference.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use shared::command::{Change, Command, Fingerprint};
use shared::event::{Cause, Event};
use shared::outcome::Outcome;
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
    /// The latest outcome that nobody heard, by tenant and fingerprint.
    pub unclaimed: HashMap<(Uuid, Fingerprint), Ticket>,
    /// The latest create that took effect, and of which ingest has not said that its client was told; and when it was decided.
    pub untold: HashMap<(Uuid, Fingerprint), (Ticket, OffsetDateTime)>,
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
            self.unclaimed.insert((command.tenant, command.fingerprint.clone()), command.ticket);
        }
        let entry =
            Entry { stored, changed: true, outcome: Some(outcome), standing, command: Some(command.clone()) };
        self.inbox.insert(command.ticket, entry);
    }

    /// The try whose outcome a repeated request that was issued then may be handed: nobody heard it, or nobody can have heard it
    /// before the deadline, which was before the repetition.
    pub(super) fn unheard(&self, request: &(Uuid, Fingerprint), issued_at: OffsetDateTime) -> Option<Ticket> {
        let untold =
            self.untold.get(request).filter(|(_, decided_at)| issued_at >= *decided_at + TOLD_WITHIN);
        self.unclaimed.get(request).copied().max(untold.map(|(ticket, _)| *ticket))
    }

    /// The outcome of a request is handed to its repetition: of its tries none is left to be handed out.
    pub(super) fn claim(&mut self, request: &(Uuid, Fingerprint), is_create: bool) {
        let untold = self.untold.remove(request).map(|(ticket, _)| ticket);
        for first in self.unclaimed.remove(request).into_iter().chain(untold) {
            let Some(entry) = self.inbox.get_mut(&first) else { continue };
            (entry.standing, entry.changed) = (Standing::Claimed, true);
            if is_create {
                // One resource was made: two answers of 201 would be two creates.
                entry.outcome = Some(Outcome::Rejected { error: made_by_repetition() });
            }
        }
    }
}

/// What became of a try whose repetition made the resource.
pub(super) fn made_by_repetition() -> scim::Error {
    scim::Error::uniqueness("the request was repeated, and the repetition made it")
}
