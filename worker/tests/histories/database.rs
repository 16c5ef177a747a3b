//! A model of Postgres: rows are loaded for a batch, committed after it, and expired at a deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use database::groups::GroupRow;
use database::tenants::Tenant;
use database::users::UserRow;
use domain::command::{Change, Command, Fingerprint};
use domain::delivery::Delivery;
use domain::outcome::Outcome;
use domain::settings::Settings;
use domain::ticket::Ticket;
use scim::MemberChange;
use serde_json::Value;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;
use worker::fold::{Entry, Members, Person, Row, Slot, State};

use crate::history::{PEOPLE, Thing, mask};
use crate::world::{ADA, Rule, TENANT};

/// The one user or group, the verdicts, and the request of each undelivered outcome.
#[derive(Debug, Clone, Default)]
pub struct Database {
    user: Option<UserRow>,
    group: Option<GroupRow>,
    members: BTreeSet<Uuid>,
    verdicts: BTreeMap<Ticket, Entry>,
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

    /// Inserts a row as ingest does, for an asynchronous request or after a deadline.
    pub fn insert(&mut self, command: &Command) {
        let entry =
            Entry { stored: true, changed: false, outcome: None, delivery: Delivery::Replied, command: None };
        self.verdicts.insert(command.ticket, entry);
    }

    /// The verdict of a command.
    pub fn verdict(&self, command: &Command) -> Option<Outcome> {
        self.verdicts.get(&command.ticket).and_then(|entry| entry.outcome.clone())
    }

    /// Inserts the command as expired, unless it has a verdict. Returns the verdict if there is one.
    pub fn expire(&mut self, command: &Command) -> Option<Outcome> {
        if let Some(entry) = self.verdicts.get(&command.ticket) {
            return entry.outcome.clone();
        }
        self.insert(command);
        None
    }

    /// Marks the verdict as answered: no outcome of this request stays undelivered, from any attempt.
    pub fn deliver(&mut self, command: &Command) {
        self.write_receipt(command);
        let took_effect = |entry: &Entry| entry.outcome.as_ref().is_some_and(Outcome::is_applied);
        if !self.verdicts.get(&command.ticket).is_some_and(took_effect) {
            return;
        }
        for (ticket, _) in self.marks.iter().filter(|(_, mark)| **mark == command.fingerprint) {
            self.verdicts.entry(*ticket).and_modify(|entry| entry.delivery = Delivery::Delivered);
        }
    }

    /// After a late commit: keeps the verdict for a retry.
    pub fn leave_undelivered(&mut self, command: &Command) {
        self.marks.insert(command.ticket, command.fingerprint.clone());
        self.verdicts.entry(command.ticket).and_modify(|entry| entry.delivery = Delivery::Undelivered);
    }

    /// Records that ingest answered the client, as it does shortly afterwards.
    pub fn write_receipt(&mut self, command: &Command) {
        self.verdicts.entry(command.ticket).and_modify(|entry| {
            if entry.delivery == Delivery::Replied {
                entry.delivery = Delivery::Delivered;
            }
        });
    }

    /// Whether the command is a create whose answer is not confirmed.
    pub fn has_no_receipt(&self, command: &Command) -> bool {
        self.verdicts.get(&command.ticket).is_some_and(has_no_receipt)
    }

    /// All creates whose answer is not confirmed.
    fn without_receipt(&self) -> impl Iterator<Item = (Fingerprint, Ticket)> {
        self.verdicts
            .iter()
            .filter(|(_, entry)| has_no_receipt(entry))
            .filter_map(|(ticket, entry)| Some((entry.command.as_ref()?.fingerprint.clone(), *ticket)))
    }

    /// Loads the rows that a batch touches.
    pub fn load(&self, batch: &[Command], now: OffsetDateTime, without: Option<Rule>) -> State {
        let mut state = State::new(now);
        let tenant = Tenant {
            id: TENANT,
            name: "acme".to_owned(),
            settings: Settings::default(),
            types: Arc::default(),
        };
        state.tenants.insert(TENANT, tenant);
        if without != Some(Rule::StoredVerdicts) {
            state.verdicts = self.verdicts.clone();
        }
        let decided_at = |ticket: &Ticket| match without {
            Some(Rule::Hour) => self.decided_at[ticket].max(now - Duration::minutes(30)),
            _ => self.decided_at[ticket],
        };
        for (ticket, fingerprint) in &self.marks {
            if self.verdicts.get(ticket).is_some_and(|entry| entry.delivery == Delivery::Undelivered) {
                state.verdicts.insert(*ticket, self.seen(*ticket, without));
                let attempts = state.undelivered.entry((TENANT, fingerprint.clone())).or_default();
                attempts.insert(*ticket, decided_at(ticket));
            }
        }
        for (fingerprint, ticket) in self.without_receipt().filter(|_| without != Some(Rule::Receipts)) {
            state.verdicts.insert(ticket, self.seen(ticket, without));
            let attempts = state.without_receipt.entry((TENANT, fingerprint)).or_default();
            attempts.insert(ticket, decided_at(&ticket));
        }
        let latest =
            |c: &Command| state.undelivered.get(&(TENANT, c.fingerprint.clone()))?.keys().max().copied();
        let delivered = batch.iter().find_map(latest);
        if let Some(mut row) = self.user.clone() {
            forge(&mut row, without, delivered);
            state.users.insert(ADA, Slot::loaded(row));
        }
        if let Some(mut row) = self.group.clone() {
            forge(&mut row, without, delivered);
            state.groups.insert(ADA, Slot::loaded(row));
            // Only the members that the batch names are loaded.
            let named: BTreeSet<Uuid> = batch.iter().flat_map(named).collect();
            let stored = self.members.intersection(&named).copied().collect();
            state.members.insert(ADA, Members { stored, ..Members::default() });
        }
        let person = || Person { tenant: TENANT, display: String::new() };
        state.people = PEOPLE.map(|id| (id, person())).into();
        state
    }

    /// A stored outcome as the fold sees it.
    fn seen(&self, ticket: Ticket, without: Option<Rule>) -> Entry {
        let mut entry = self.verdicts[&ticket].clone();
        if let (Some(Rule::Active), Some(Outcome::Created { record, .. })) = (without, &mut entry.outcome) {
            let is_active = self.user.as_ref().is_some_and(|row| row.archived_at.is_none());
            record.resource = record.resource.clone().with_active(is_active);
        }
        entry
    }

    /// Stores the result of the fold.
    pub fn commit(&mut self, state: State, without: Option<Rule>) {
        self.user = state.row(TENANT, ADA).cloned();
        self.group = state.row(TENANT, ADA).cloned();
        if let (Some(row), Some(members)) = (&self.group, state.members.get(&ADA)) {
            // Like the statements of the store.
            let kept: BTreeSet<Uuid> = members.kept().collect();
            let removed: BTreeSet<Uuid> = members.removed().collect();
            self.members.retain(|id| if members.emptied { kept.contains(id) } else { !removed.contains(id) });
            for id in members.added() {
                assert!(self.members.insert(id), "a membership is inserted twice");
            }
            assert_eq!(row.member_count, i64::try_from(self.members.len()).unwrap(), "the count is wrong");
        }
        for (ticket, mut entry) in state.verdicts {
            if without == Some(Rule::Answered) && self.is_passed_over(ticket, &entry) {
                continue;
            }
            if let (Delivery::Undelivered, Some(command)) = (entry.delivery, &entry.command) {
                self.marks.insert(ticket, command.fingerprint.clone());
            }
            if entry.changed {
                self.decided_at.entry(ticket).or_insert(state.now);
            }
            (entry.stored, entry.changed) = (true, false);
            self.verdicts.insert(ticket, entry);
        }
    }

    /// Whether a create was marked as delivered although its outcome was not returned, because its request got another
    /// answer.
    fn is_passed_over(&self, ticket: Ticket, entry: &Entry) -> bool {
        let is_delivered = entry.changed && entry.delivery == Delivery::Delivered;
        let stored = self.verdicts.get(&ticket).filter(|_| is_delivered);
        let could_be = |stored: &Entry| stored.delivery == Delivery::Undelivered || has_no_receipt(stored);
        stored.is_some_and(could_be) && matches!(entry.outcome, Some(Outcome::Created { .. }))
    }
}

fn has_no_receipt(entry: &Entry) -> bool {
    entry.delivery == Delivery::Replied && matches!(entry.outcome, Some(Outcome::Created { .. }))
}

/// Disables a rule by manipulating the loaded row.
fn forge<R: Row>(row: &mut R, without: Option<Rule>, delivered: Option<Ticket>) {
    if without == Some(Rule::Tickets) {
        row.set_ticket(Ticket(Uuid::nil()));
    }
    if let (Some(Rule::Truth), Some(first)) = (without, delivered) {
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
