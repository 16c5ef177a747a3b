//! The rows a batch touches: loaded once, changed in memory by the fold, saved as a difference.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use database::groups::GroupRow;
use database::tenants::Tenant;
use database::users::UserRow;
use domain::command::{Change, Command, Fingerprint};
use domain::delivery::Delivery;
use domain::event::{Cause, Event};
use domain::outcome::Outcome;
use domain::ticket::Ticket;
use scim::{Record, ResourceType, Types};
use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::members::Members;

/// Commands of the same request by tenant and fingerprint (the idempotency key), with the time of their verdict.
pub type EarlierRequests = HashMap<(Uuid, Fingerprint), BTreeMap<Ticket, OffsetDateTime>>;

/// The rows of one batch.
#[derive(Debug, Clone)]
pub struct State {
    /// The time of this batch, in whole milliseconds, the precision that clients see.
    pub now: OffsetDateTime,
    /// The tenants.
    pub tenants: HashMap<Uuid, Tenant>,
    /// Users by id.
    pub users: BTreeMap<Uuid, Slot<UserRow>>,
    /// Groups by id.
    pub groups: BTreeMap<Uuid, Slot<GroupRow>>,
    /// The members of groups.
    pub members: HashMap<Uuid, Members>,
    /// Users named as members that are not in `users`: they can be added to groups, not changed.
    pub people: HashMap<Uuid, Person>,
    /// The rows of `commands`, by ticket.
    pub verdicts: BTreeMap<Ticket, Entry>,
    /// Attempts whose outcome was not delivered.
    pub undelivered: EarlierRequests,
    /// Applied creates whose answer ingest has not confirmed.
    pub without_receipt: EarlierRequests,
    /// Which command created a group for a request. Only one attempt of a request creates it.
    pub made: HashMap<(Uuid, Fingerprint), Ticket>,
    /// The unique externalIds that the fold assigned to active users. Their holders are known only if the store loaded
    /// them under a lock.
    pub assigned_external_ids: BTreeSet<(Uuid, String)>,
    /// The events, in order.
    pub events: Vec<Event>,
}

/// A row as it was loaded and as it is now.
#[derive(Debug, Clone)]
pub struct Slot<R> {
    /// The row in the database; `None` if it has no row.
    pub stored: Option<R>,
    /// The row after the fold; `None` if it is deleted.
    pub current: Option<R>,
}

impl<R: Clone> Slot<R> {
    /// A row that was loaded.
    #[must_use]
    pub fn loaded(row: R) -> Self {
        Self { stored: Some(row.clone()), current: Some(row) }
    }
}

/// A user who can be a member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The user's tenant.
    pub tenant: Uuid,
    /// The name shown for a member: displayName, else userName.
    pub display: String,
}

/// A row of `commands`.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Whether the row already exists in the database.
    pub stored: bool,
    /// Whether the fold changed it.
    pub changed: bool,
    /// The verdict; `None` if the deadline passed first, or ingest queued an asynchronous request.
    pub outcome: Option<Outcome>,
    /// The delivery state of the verdict.
    pub delivery: Delivery,
    /// The command, if it is in this batch. A new row is made from it.
    pub command: Option<Command>,
}

impl State {
    /// An empty state.
    #[must_use]
    pub fn new(now: OffsetDateTime) -> Self {
        Self {
            now: now - Duration::nanoseconds(i64::from(now.nanosecond() % 1_000_000)),
            tenants: HashMap::new(),
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            members: HashMap::new(),
            people: HashMap::new(),
            verdicts: BTreeMap::new(),
            undelivered: HashMap::new(),
            without_receipt: HashMap::new(),
            made: HashMap::new(),
            assigned_external_ids: BTreeSet::new(),
            events: Vec::new(),
        }
    }

    /// A row as it is now, if it belongs to the tenant.
    #[must_use]
    pub fn row<R: Row>(&self, tenant: Uuid, id: Uuid) -> Option<&R> {
        R::slots(self).get(&id).and_then(|slot| slot.current.as_ref()).filter(|row| row.tenant() == tenant)
    }

    /// A user's row as it is now, if it belongs to the tenant.
    #[must_use]
    pub fn user(&self, tenant: Uuid, id: Uuid) -> Option<&UserRow> {
        self.row(tenant, id)
    }

    /// The tenant's loaded users as they are now.
    pub fn users_of(&self, tenant: Uuid) -> impl Iterator<Item = &UserRow> {
        self.users
            .values()
            .filter_map(|slot| slot.current.as_ref())
            .filter(move |row| row.tenant_id == tenant)
    }

    /// Whether a user other than `id` has this userName key.
    #[must_use]
    pub fn is_name_taken(&self, tenant: Uuid, key: &str, id: Uuid) -> bool {
        self.users_of(tenant).any(|row| row.user_name_key == key && row.id != id)
    }

    /// The display name of a user of the tenant; `None` for an unknown user.
    #[must_use]
    pub fn display(&self, tenant: Uuid, id: Uuid) -> Option<&str> {
        match self.users.get(&id) {
            Some(slot) => {
                let row = slot.current.as_ref().filter(|row| row.tenant_id == tenant)?;
                Some(row.display())
            }
            None => {
                self.people.get(&id).filter(|person| person.tenant == tenant).map(|person| &*person.display)
            }
        }
    }

    /// Stores a row.
    pub fn put<R: Row>(&mut self, row: R) {
        let slot = R::slots_mut(self).entry(row.id()).or_insert(Slot { stored: None, current: None });
        slot.current = Some(row);
    }

    /// Deletes a row.
    pub fn remove<R: Row>(&mut self, id: Uuid) {
        if let Some(slot) = R::slots_mut(self).get_mut(&id) {
            slot.current = None;
        }
    }

    /// The cause of this command's events.
    #[must_use]
    pub fn cause(&self, command: &Command) -> Cause<'_> {
        let tenant = self.tenants.get(&command.tenant).map_or("", |tenant| &tenant.name);
        Cause { tenant, command: command.ticket, request: command.request, at: self.now }
    }

    /// Records the verdict of a command.
    pub fn record_verdict(&mut self, command: &Command, outcome: Outcome, delivery: Delivery) {
        let stored = self.verdicts.get(&command.ticket).is_some_and(|entry| entry.stored);
        if outcome.is_applied() && matches!(command.change, Change::CreateGroup { .. }) {
            self.made.insert((command.tenant, command.fingerprint.clone()), command.ticket);
        }
        if delivery == Delivery::Undelivered {
            let attempts = self.undelivered.entry((command.tenant, command.fingerprint.clone())).or_default();
            attempts.insert(command.ticket, self.now);
        }
        let entry =
            Entry { stored, changed: true, outcome: Some(outcome), delivery, command: Some(command.clone()) };
        self.verdicts.insert(command.ticket, entry);
    }
}

/// A row that commands change one after the other.
pub trait Row: Clone + PartialEq + Sized {
    /// The resource type's name.
    const NAME: &'static str;

    /// All rows that were loaded or created.
    fn slots(state: &State) -> &BTreeMap<Uuid, Slot<Self>>;
    /// The same, mutable.
    fn slots_mut(state: &mut State) -> &mut BTreeMap<Uuid, Slot<Self>>;
    /// The resource type with the tenant's extensions.
    fn resource_type(types: &Types) -> &ResourceType;

    /// `id`
    fn id(&self) -> Uuid;
    /// The tenant's id.
    fn tenant(&self) -> Uuid;
    /// The ticket of the last command applied.
    fn ticket(&self) -> Ticket;
    /// Sets the ticket of the last command applied.
    fn set_ticket(&mut self, ticket: Ticket);
    /// Counts a change. The modification time never decreases, although clocks differ.
    fn count_change(&mut self, now: OffsetDateTime);
    /// Whether the row has the `active` state that the create gave it. A row without that state always has.
    fn is_as_active_as(&self, made: &Record) -> bool;
    /// The resource in the row.
    ///
    /// # Errors
    /// [`database::Error::Refused`] if the stored value is not a resource.
    fn read(&self) -> Result<Record, database::Error>;

    /// The search document: the resource in the form that filters compare.
    ///
    /// # Errors
    /// As [`Row::read`].
    fn search_document(&self, types: &Types) -> Result<Map<String, Value>, database::Error> {
        Ok(scim::search_document(Self::resource_type(types), &self.read()?.resource))
    }
}

macro_rules! row {
    ($row:ty, $name:literal, $slots:ident, $resource_type:ident, $is_as_active:expr) => {
        impl Row for $row {
            const NAME: &'static str = $name;

            fn slots(state: &State) -> &BTreeMap<Uuid, Slot<Self>> {
                &state.$slots
            }

            fn slots_mut(state: &mut State) -> &mut BTreeMap<Uuid, Slot<Self>> {
                &mut state.$slots
            }

            fn resource_type(types: &Types) -> &ResourceType {
                &types.$resource_type
            }

            fn id(&self) -> Uuid {
                self.id
            }

            fn tenant(&self) -> Uuid {
                self.tenant_id
            }

            fn ticket(&self) -> Ticket {
                Ticket(self.ticket)
            }

            fn set_ticket(&mut self, ticket: Ticket) {
                self.ticket = ticket.0;
            }

            fn count_change(&mut self, now: OffsetDateTime) {
                self.version += 1;
                self.modified_at = self.modified_at.max(now);
            }

            fn is_as_active_as(&self, made: &Record) -> bool {
                let is_as_active: fn(&Self, &Record) -> bool = $is_as_active;
                is_as_active(self, made)
            }

            fn read(&self) -> Result<Record, database::Error> {
                self.record()
            }
        }
    };
}

row!(UserRow, "User", users, user, |row, made| {
    row.archived_at.is_none() == made.resource.active().unwrap_or(true)
});
row!(GroupRow, "Group", groups, group, |_, _| true);
