//! What a batch touches: loaded once, changed in memory by the fold, saved as a difference.

use std::collections::{BTreeMap, HashMap};

use shared::command::{Command, Fingerprint};
use shared::event::Event;
use shared::outcome::Outcome;
use shared::postgres::users::UserRow;
use shared::ticket::Ticket;
use time::OffsetDateTime;
use uuid::Uuid;

/// The rows of one batch.
#[derive(Debug, Clone)]
pub struct State {
    /// The time of this batch.
    pub now: OffsetDateTime,
    /// The names of the tenants that there are, by id.
    pub tenants: HashMap<Uuid, String>,
    /// Users by id.
    pub users: BTreeMap<Uuid, Slot>,
    /// The inbox, by ticket.
    pub inbox: BTreeMap<Ticket, Entry>,
    /// The latest outcome that nobody heard, by tenant and fingerprint.
    pub unclaimed: HashMap<(Uuid, Fingerprint), Ticket>,
    /// What happened, in order.
    pub events: Vec<Event>,
}

/// A row as it was loaded and as it is now.
#[derive(Debug, Clone, Default)]
pub struct Slot {
    /// As it stands in the database; `None` if it does not.
    pub stored: Option<UserRow>,
    /// As the fold left it; `None` if it is gone.
    pub current: Option<UserRow>,
}

/// A row of the inbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Whether the row stands in the database already.
    pub stored: bool,
    /// Whether the fold changed it.
    pub changed: bool,
    /// Its verdict; `None` where ingest gave up before there was one.
    pub outcome: Option<Outcome>,
    /// Whether nobody heard the verdict.
    pub unclaimed: bool,
    /// The command, where this batch brought it: what a new row is made of.
    pub command: Option<Command>,
}

impl State {
    /// Nothing loaded.
    #[must_use]
    pub fn new(now: OffsetDateTime) -> Self {
        Self {
            now,
            tenants: HashMap::new(),
            users: BTreeMap::new(),
            inbox: BTreeMap::new(),
            unclaimed: HashMap::new(),
            events: Vec::new(),
        }
    }

    /// A user's row as it is now, if the tenant has it.
    #[must_use]
    pub fn user(&self, tenant: Uuid, id: Uuid) -> Option<&UserRow> {
        self.users.get(&id).and_then(|slot| slot.current.as_ref()).filter(|row| row.tenant_id == tenant)
    }

    /// Whether a user other than `id` has this name, folded by `user_name_key`.
    #[must_use]
    pub fn is_name_taken(&self, tenant: Uuid, key: &str, id: Uuid) -> bool {
        let living = self.users.values().filter_map(|slot| slot.current.as_ref());
        living.into_iter().any(|row| row.tenant_id == tenant && row.user_name_key == key && row.id != id)
    }

    /// Puts a row in its place.
    pub fn put(&mut self, row: UserRow) {
        let slot = self.users.entry(row.id).or_default();
        slot.current = Some(row);
    }

    /// Takes a row away.
    pub fn remove(&mut self, id: Uuid) {
        if let Some(slot) = self.users.get_mut(&id) {
            slot.current = None;
        }
    }

    /// Notes the verdict of a command in its row.
    pub fn settle(&mut self, command: &Command, outcome: Outcome, unclaimed: bool) {
        let stored = self.inbox.get(&command.ticket).is_some_and(|entry| entry.stored);
        if unclaimed {
            self.unclaimed.insert((command.tenant, command.fingerprint.clone()), command.ticket);
        }
        let entry = Entry {
            stored,
            changed: true,
            outcome: Some(outcome),
            unclaimed,
            command: Some(command.clone()),
        };
        self.inbox.insert(command.ticket, entry);
    }
}
