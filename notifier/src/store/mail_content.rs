//! The content of a mail: its assignments. It is stored in the ledger.

use domain::event::{ContentEvent, ContentKind};
use serde::{Deserialize, Serialize};
use wording::Item;

use crate::intake::{Incoming, What};

/// The content of a mail, and the fields for its log lines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MailContent {
    /// The id of the request that caused the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The first assignment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned: Option<Item>,
    /// Further assignments. They are separate because earlier versions only read the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<Item>,
}

impl MailContent {
    /// The content of the mail that an event causes.
    #[must_use]
    pub fn of(incoming: &Incoming) -> Self {
        let assigned = match &incoming.what {
            What::Content(ContentEvent::Assigned(assigned)) => Some(Item {
                assignment: Some(assigned.assignment.id.clone()),
                path: assigned.content.kind == ContentKind::Path,
                title: assigned.content.title.clone(),
                url: assigned.content.url.clone(),
                due_by: assigned.assignment.due_by,
            }),
            _ => None,
        };
        Self { request_id: incoming.event.requestid.clone(), assigned, more: Vec::new() }
    }

    /// Adds an assignment, or replaces an earlier version of the same one.
    pub fn gather(&mut self, item: Item) {
        let id = item.assignment.clone();
        let mut said = self.assigned.iter_mut().chain(&mut self.more);
        if let Some(same) = said.find(|said| id.is_some() && said.assignment == id) {
            *same = item;
        } else if self.assigned.is_none() {
            self.assigned = Some(item);
        } else {
            self.more.push(item);
        }
    }

    /// The ids of the assignments.
    pub fn assignments(&self) -> impl Iterator<Item = String> {
        self.items().into_iter().filter_map(|item| item.assignment)
    }

    /// Removes the matching assignments. Returns whether there were any.
    pub fn leave_out(&mut self, left_out: impl Fn(&str) -> bool) -> bool {
        let mut items = self.items();
        let before = items.len();
        items.retain(|item| !item.assignment.as_deref().is_some_and(&left_out));
        let left = items.len();
        let mut items = items.into_iter();
        (self.assigned, self.more) = (items.next(), items.collect());
        left < before
    }

    /// All assignments.
    #[must_use]
    pub fn items(&self) -> Vec<Item> {
        self.assigned.iter().chain(&self.more).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(assignment: Option<&str>, title: &str) -> Item {
        Item {
            assignment: assignment.map(str::to_owned),
            path: false,
            title: title.to_owned(),
            url: "https://learn.example/c".to_owned(),
            due_by: None,
        }
    }

    fn titles(context: &MailContent) -> Vec<String> {
        context.items().into_iter().map(|item| item.title).collect()
    }

    #[test]
    fn a_repeated_assignment_replaces_the_earlier_one() {
        let mut said = MailContent::default();
        for (id, title) in
            [(Some("a"), "A"), (Some("b"), "B"), (None, "old"), (Some("a"), "A, later"), (None, "old")]
        {
            said.gather(item(id, title));
        }
        assert_eq!(titles(&said), ["A, later", "B", "old", "old"]);
    }

    #[test]
    fn removing_assignments_keeps_the_order_of_the_rest() {
        let mut said = MailContent::default();
        for id in ["a", "b", "c"] {
            said.gather(item(Some(id), id));
        }
        assert!(!said.leave_out(|id| id == "x"));
        assert!(said.leave_out(|id| id == "a"));
        assert_eq!(titles(&said), ["b", "c"]);
        assert!(said.leave_out(|_| true) && said.items().is_empty());
    }
}
