//! What stands in Postgres, as the random road sees it: loaded for a batch, committed after it, settled at a deadline.

use std::collections::BTreeMap;

use serde_json::Value;
use shared::command::{Command, Fingerprint};
use shared::outcome::Outcome;
use shared::postgres::users::UserRow;
use shared::ticket::Ticket;
use time::OffsetDateTime;
use uuid::Uuid;
use worker::fold::{Entry, Slot, State};

use crate::world::{ADA, Fields, Rule, TENANT};

/// The one user, the inbox, and which request each unclaimed outcome belongs to.
#[derive(Debug, Clone, Default)]
pub struct Database {
    row: Option<UserRow>,
    inbox: BTreeMap<Ticket, Entry>,
    marks: BTreeMap<Ticket, Fingerprint>,
}

impl Database {
    /// What a reader sees.
    pub fn read(&self) -> Option<Fields> {
        let number =
            |resource: &Value, name: &str| resource[name].as_str().and_then(|n| n.parse().ok()).unwrap_or(0);
        self.row.as_ref().map(|row| (number(&row.resource, "title"), number(&row.resource, "nickName")))
    }

    /// Who was first is settled here: the verdict, if there is one after all.
    pub fn settle(&mut self, command: &Command, without: Option<Rule>) -> Option<Outcome> {
        if without == Some(Rule::Settle) {
            return None;
        }
        if let Some(outcome) = self.inbox.get(&command.ticket).map(|entry| entry.outcome.clone()) {
            if outcome.as_ref().is_some_and(Outcome::is_applied) {
                // It is answered now: no outcome of this request stays unclaimed, whichever try it came from.
                for (ticket, _) in self.marks.iter().filter(|(_, mark)| **mark == command.fingerprint) {
                    self.inbox.entry(*ticket).and_modify(|entry| entry.unclaimed = false);
                }
            }
            return outcome;
        }
        let entry = Entry { stored: true, changed: false, outcome: None, unclaimed: false, command: None };
        self.inbox.insert(command.ticket, entry);
        None
    }

    /// Whether a command has its verdict.
    pub fn is_decided(&self, command: &Command) -> bool {
        self.inbox.get(&command.ticket).is_some_and(|entry| entry.outcome.is_some())
    }

    /// After a late commit: the verdict waits for the repeated request.
    pub fn leave_unclaimed(&mut self, command: &Command) {
        self.marks.insert(command.ticket, command.fingerprint.clone());
        self.inbox.entry(command.ticket).and_modify(|entry| entry.unclaimed = true);
    }

    /// The rows that a batch touches.
    pub fn load(&self, batch: &[Command], now: OffsetDateTime, without: Option<Rule>) -> State {
        let mut state = State::new(now);
        state.tenants.insert(TENANT, "acme".to_owned());
        if without != Some(Rule::Inbox) {
            state.inbox = self.inbox.clone();
        }
        for (ticket, fingerprint) in &self.marks {
            if self.inbox.get(ticket).is_some_and(|entry| entry.unclaimed) {
                state.inbox.insert(*ticket, self.inbox[ticket].clone());
                state.unclaimed.insert((TENANT, fingerprint.clone()), *ticket);
            }
        }
        if let Some(mut row) = self.row.clone() {
            if without == Some(Rule::Tickets) {
                row.ticket = Uuid::nil();
            }
            let claimed = batch.iter().find_map(|c| state.unclaimed.get(&(TENANT, c.fingerprint.clone())));
            if let (Some(Rule::Truth), Some(first)) = (without, claimed) {
                (row.ticket, row.created_ticket) = (first.0, first.0);
            }
            state.users.insert(ADA, Slot { stored: Some(row.clone()), current: Some(row) });
        }
        state
    }

    /// What the fold left becomes what stands.
    pub fn commit(&mut self, state: State) {
        self.row = state.users.get(&ADA).and_then(|slot| slot.current.clone());
        for (ticket, mut entry) in state.inbox {
            if let (true, Some(command)) = (entry.unclaimed, &entry.command) {
                self.marks.insert(ticket, command.fingerprint.clone());
            }
            (entry.stored, entry.changed) = (true, false);
            self.inbox.insert(ticket, entry);
        }
    }
}
