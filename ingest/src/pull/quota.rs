//! What a run may use: pages, users, and room in the queue of commands. Pure.

use std::collections::VecDeque;

use amqp::Message;
use domain::settings::{Limits, Reached};
use domain::ticket::Ticket;

use super::stop_reason::StopReason;

/// The maximum number of a run's commands in the queue before it reads another page.
const QUEUED: usize = 1_000;

/// The pages and users that a run may read.
pub(super) struct Quota {
    pages: Reached,
    users: Reached,
    people: i64,
}

impl Quota {
    /// The quota in the tenant's limits, for a run that has read this many people.
    pub(super) fn new(limits: &Limits, people: i64) -> Self {
        Self { pages: limits.pull_pages_max(), users: limits.pull_users_max(), people }
    }

    /// Checks the number of the page that is to be read.
    ///
    /// # Errors
    /// If the run has read as many as it may.
    pub(super) fn check_page(&self, number: i32) -> Result<(), StopReason> {
        if i64::from(number) <= i64::from(self.pages.value) {
            return Ok(());
        }
        Err(StopReason::Failed(format!("{}: the group has more pages", self.pages)))
    }

    /// Counts the users of a page.
    ///
    /// # Errors
    /// If there are more than the run may read.
    pub(super) fn count(&mut self, users: usize) -> Result<(), StopReason> {
        self.people = self.people.saturating_add(i64::try_from(users).unwrap_or(i64::MAX));
        if self.people <= i64::from(self.users.value) {
            return Ok(());
        }
        Err(StopReason::Failed(format!("{}: the group has more users", self.users)))
    }
}

/// The commands of a run that may still be in the queue: for each page their number and the last one's ticket.
#[derive(Default)]
pub(super) struct Undecided(VecDeque<(usize, Ticket)>);

impl Undecided {
    /// Adds the commands of a page.
    pub(super) fn add(&mut self, messages: &[Message]) {
        let last = messages.last().and_then(|last| last.properties.message_id().as_ref());
        let ticket = last.and_then(|id| id.as_str().parse().ok()).map(Ticket);
        self.0.extend(ticket.map(|ticket| (messages.len(), ticket)));
    }

    /// If there are more than may be queued: the last command of the oldest page.
    pub(super) fn surplus(&self) -> Option<Ticket> {
        let all: usize = self.0.iter().map(|(count, _)| count).sum();
        self.0.front().filter(|_| all > QUEUED).map(|(_, ticket)| *ticket)
    }

    /// The oldest page's commands are decided.
    pub(super) fn forget_oldest(&mut self) {
        self.0.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_run_ends_at_its_limits_and_names_them() {
        let limits = json!({ "pull_pages_max": 3, "pull_users_max": 500 });
        let limits: Limits = serde_json::from_value(limits).unwrap();
        let mut quota = Quota::new(&limits, 100);
        assert!(quota.check_page(3).is_ok());
        let said = quota.check_page(4).unwrap_err().to_string();
        assert!(said.contains("limit pull_pages_max = 3 reached"), "{said}");
        assert!(quota.count(400).is_ok());
        let said = quota.count(1).unwrap_err().to_string();
        assert!(said.contains("limit pull_users_max = 500 reached"), "{said}");
    }

    #[test]
    fn a_run_waits_for_the_verdicts_on_its_oldest_page() {
        let message =
            |n: u128| Message::json("", "q", &Uuid::from_u128(n).to_string(), "application/json", vec![]);
        let page = |from: u128| (from..from + 400).map(message).collect::<Vec<_>>();
        let mut undecided = Undecided::default();
        undecided.add(&[]);
        undecided.add(&page(0));
        undecided.add(&page(400));
        assert_eq!(undecided.surplus(), None);
        undecided.add(&page(800));
        assert_eq!(undecided.surplus(), Some(Ticket(Uuid::from_u128(399))));
        undecided.forget_oldest();
        assert_eq!(undecided.surplus(), None);
    }
}
