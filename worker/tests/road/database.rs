//! What stands in Postgres, as the random road sees it: loaded for a batch, committed after it, settled at a deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use shared::command::{Change, Command, Fingerprint};
use shared::outcome::Outcome;
use shared::postgres::groups::GroupRow;
use shared::postgres::tenants::Tenant;
use shared::postgres::users::UserRow;
use shared::scim::MemberChange;
use shared::settings::Settings;
use shared::ticket::Ticket;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;
use worker::fold::{Entry, Members, Person, Row, Slot, Standing, State};

use crate::history::{PEOPLE, Thing, mask};
use crate::world::{ADA, Rule, TENANT};

/// The one user or group, the inbox, and which request each unclaimed outcome belongs to.
#[derive(Debug, Clone, Default)]
pub struct Database {
    user: Option<UserRow>,
    group: Option<GroupRow>,
    members: BTreeSet<Uuid>,
    inbox: BTreeMap<Ticket, Entry>,
    marks: BTreeMap<Ticket, Fingerprint>,
    decided_at: BTreeMap<Ticket, OffsetDateTime>,
}

impl Database {
    /// What a reader sees.
    pub fn read(&self) -> Thing {
        let number =
            |resource: &Value, name: &str| resource[name].as_str().and_then(|n| n.parse().ok()).unwrap_or(0);
        match (&self.user, &self.group) {
            (Some(row), _) => {
                let (a, b) = (number(&row.resource, "title"), number(&row.resource, "nickName"));
                Thing::User(a, b, row.archived_at.is_none())
            }
            (None, Some(_)) => Thing::Group(mask(&self.members)),
            (None, None) => Thing::Nothing,
        }
    }

    /// ingest has taken a command for asynchronous processing, or given one up.
    pub fn insert(&mut self, command: &Command) {
        let entry =
            Entry { stored: true, changed: false, outcome: None, standing: Standing::Decided, command: None };
        self.inbox.insert(command.ticket, entry);
    }

    /// The verdict of a command.
    pub fn verdict(&self, command: &Command) -> Option<Outcome> {
        self.inbox.get(&command.ticket).and_then(|entry| entry.outcome.clone())
    }

    /// Who was first is settled here: the verdict, if there is one after all.
    pub fn settle(&mut self, command: &Command) -> Option<Outcome> {
        if let Some(entry) = self.inbox.get(&command.ticket) {
            return entry.outcome.clone();
        }
        self.insert(command);
        None
    }

    /// The verdict is answered: no outcome of this request stays unclaimed, whichever try it came from.
    pub fn claim(&mut self, command: &Command) {
        self.told(command);
        let took_effect = |entry: &Entry| entry.outcome.as_ref().is_some_and(Outcome::is_applied);
        if !self.inbox.get(&command.ticket).is_some_and(took_effect) {
            return;
        }
        for (ticket, _) in self.marks.iter().filter(|(_, mark)| **mark == command.fingerprint) {
            self.inbox.entry(*ticket).and_modify(|entry| entry.standing = Standing::Claimed);
        }
    }

    /// After a late commit: the verdict waits for the repeated request.
    pub fn leave_unclaimed(&mut self, command: &Command) {
        self.marks.insert(command.ticket, command.fingerprint.clone());
        self.inbox.entry(command.ticket).and_modify(|entry| entry.standing = Standing::Unclaimed);
    }

    /// ingest has told its client: a moment later it stands here.
    pub fn told(&mut self, command: &Command) {
        self.inbox.entry(command.ticket).and_modify(|entry| {
            if entry.standing == Standing::Decided {
                entry.standing = Standing::Claimed;
            }
        });
    }

    /// Whether the command is a create of which nobody knows whether its client was told.
    pub fn is_untold(&self, command: &Command) -> bool {
        self.inbox.get(&command.ticket).is_some_and(is_untold)
    }

    /// All creates of which nobody knows that.
    fn untold(&self) -> impl Iterator<Item = (Fingerprint, Ticket)> {
        self.inbox
            .iter()
            .filter(|(_, entry)| is_untold(entry))
            .filter_map(|(ticket, entry)| Some((entry.command.as_ref()?.fingerprint.clone(), *ticket)))
    }

    /// The rows that a batch touches.
    pub fn load(&self, batch: &[Command], now: OffsetDateTime, without: Option<Rule>) -> State {
        let mut state = State::new(now);
        let tenant = Tenant {
            id: TENANT,
            name: "acme".to_owned(),
            settings: Settings::default(),
            types: Arc::default(),
        };
        state.tenants.insert(TENANT, tenant);
        if without != Some(Rule::Inbox) {
            state.inbox = self.inbox.clone();
        }
        let decided_at = |ticket: &Ticket| match without {
            Some(Rule::Hour) => self.decided_at[ticket].max(now - Duration::minutes(30)),
            _ => self.decided_at[ticket],
        };
        for (ticket, fingerprint) in &self.marks {
            if self.inbox.get(ticket).is_some_and(|entry| entry.standing == Standing::Unclaimed) {
                state.inbox.insert(*ticket, self.seen(*ticket, without));
                let tries = state.unclaimed.entry((TENANT, fingerprint.clone())).or_default();
                tries.insert(*ticket, decided_at(ticket));
            }
        }
        for (fingerprint, ticket) in self.untold().filter(|_| without != Some(Rule::Told)) {
            state.inbox.insert(ticket, self.seen(ticket, without));
            let tries = state.untold.entry((TENANT, fingerprint)).or_default();
            tries.insert(ticket, decided_at(&ticket));
        }
        let latest =
            |c: &Command| state.unclaimed.get(&(TENANT, c.fingerprint.clone()))?.keys().max().copied();
        let claimed = batch.iter().find_map(latest);
        if let Some(mut row) = self.user.clone() {
            forge(&mut row, without, claimed);
            state.users.insert(ADA, Slot::loaded(row));
        }
        if let Some(mut row) = self.group.clone() {
            forge(&mut row, without, claimed);
            state.groups.insert(ADA, Slot::loaded(row));
            // Of the members those are known whom the batch names.
            let named: BTreeSet<Uuid> = batch.iter().flat_map(named).collect();
            let stored = self.members.intersection(&named).copied().collect();
            state.members.insert(ADA, Members { stored, ..Members::default() });
        }
        let person = || Person { tenant: TENANT, display: String::new() };
        state.people = PEOPLE.map(|id| (id, person())).into();
        state
    }

    /// A stored outcome as the fold gets to see it.
    fn seen(&self, ticket: Ticket, without: Option<Rule>) -> Entry {
        let mut entry = self.inbox[&ticket].clone();
        if let (Some(Rule::Active), Some(Outcome::Created { record, .. })) = (without, &mut entry.outcome) {
            let is_active = self.user.as_ref().is_some_and(|row| row.archived_at.is_none());
            record.resource = record.resource.clone().with_active(is_active);
        }
        entry
    }

    /// What the fold left becomes what stands.
    pub fn commit(&mut self, state: State, without: Option<Rule>) {
        self.user = state.row(TENANT, ADA).cloned();
        self.group = state.row(TENANT, ADA).cloned();
        if let (Some(row), Some(members)) = (&self.group, state.members.get(&ADA)) {
            // As the store's statements do it.
            let kept: BTreeSet<Uuid> = members.kept().collect();
            let removed: BTreeSet<Uuid> = members.removed().collect();
            self.members.retain(|id| if members.emptied { kept.contains(id) } else { !removed.contains(id) });
            for id in members.added() {
                assert!(self.members.insert(id), "a membership is inserted once");
            }
            assert_eq!(row.member_count, i64::try_from(self.members.len()).unwrap(), "the count is right");
        }
        for (ticket, mut entry) in state.inbox {
            if without == Some(Rule::Answered) && self.is_passed_over(ticket, &entry) {
                continue;
            }
            if let (Standing::Unclaimed, Some(command)) = (entry.standing, &entry.command) {
                self.marks.insert(ticket, command.fingerprint.clone());
            }
            if entry.changed {
                self.decided_at.entry(ticket).or_insert(state.now);
            }
            (entry.stored, entry.changed) = (true, false);
            self.inbox.insert(ticket, entry);
        }
    }

    /// Whether a create that could have been handed out was taken off the list though it was not: its request was answered otherwise.
    fn is_passed_over(&self, ticket: Ticket, entry: &Entry) -> bool {
        let is_claimed = entry.changed && entry.standing == Standing::Claimed;
        let stored = self.inbox.get(&ticket).filter(|_| is_claimed);
        let could_be = |stored: &Entry| stored.standing == Standing::Unclaimed || is_untold(stored);
        stored.is_some_and(could_be) && matches!(entry.outcome, Some(Outcome::Created { .. }))
    }
}

fn is_untold(entry: &Entry) -> bool {
    entry.standing == Standing::Decided && matches!(entry.outcome, Some(Outcome::Created { .. }))
}

/// Rules that are taken away by forging what stands in the row.
fn forge<R: Row>(row: &mut R, without: Option<Rule>, claimed: Option<Ticket>) {
    if without == Some(Rule::Tickets) {
        row.set_ticket(Ticket(Uuid::nil()));
    }
    if let (Some(Rule::Truth), Some(first)) = (without, claimed) {
        row.set_ticket(first);
    }
}

fn named(command: &Command) -> Vec<Uuid> {
    let Change::PatchGroup { patch } = &command.change else { return Vec::new() };
    let ids = |change: &MemberChange| match change {
        MemberChange::Add(ids) | MemberChange::Remove(ids) | MemberChange::Replace(ids) => ids.clone(),
        MemberChange::RemoveMatching(_) => Vec::new(),
    };
    patch.members.iter().flat_map(ids).collect()
}
