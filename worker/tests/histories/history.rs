//! The calls of clients with their answers, and the commands for them.

use std::collections::BTreeSet;

use domain::command::{Change, Origin};
use scim::{Displays, GroupPatch, MemberChange, Patch, Resource, ResourceType};
use serde_json::{Value, json};
use uuid::Uuid;

/// The possible members of the one group.
pub const PEOPLE: [Uuid; 4] =
    [Uuid::from_u128(0xf0), Uuid::from_u128(0xf1), Uuid::from_u128(0xf2), Uuid::from_u128(0xf3)];

/// The one resource of a history, reduced to what its clients observe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Thing {
    /// The resource does not exist.
    Nothing,
    /// A user with two fields, active or not.
    User(u32, u32, bool),
    /// A group. Its members are bits, by their index in [`PEOPLE`].
    Group(u8),
}

/// An operation of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Read,
    /// POST. Reactivates an inactive user.
    Create(u32),
    Set(Option<u32>, Option<u32>),
    Archive,
    Join(u8),
    Leave(u8),
    Exactly(u8),
    /// Not an operation: enough time passes that no retry is expected any more.
    Hour,
}

/// The answer to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Seen(Thing),
    Done,
    Conflict,
    Missing,
}

/// A call in the history. Times are in half steps.
#[derive(Debug, Clone)]
pub struct Call {
    pub op: Op,
    pub asked: i64,
    pub answered: Option<i64>,
    pub answer: Option<Answer>,
    pub given_up: Option<i64>,
    /// Whether it is asynchronous and therefore receives no earlier outcome.
    pub asynchronous: bool,
    /// For a create: the earlier call with the same request, if the answer of what that created is not confirmed.
    pub repeats: Option<usize>,
    /// The client was answered, but this was not confirmed.
    pub unmarked: bool,
}

impl Call {
    /// A new call.
    pub fn asked(op: Op, asked: i64) -> Self {
        Self {
            op,
            asked,
            answered: None,
            answer: None,
            given_up: None,
            asynchronous: false,
            repeats: None,
            unmarked: false,
        }
    }
}

impl Op {
    /// The change in the command; `None` if there is no command.
    pub fn change(self) -> Option<Change> {
        let members = |change| Change::PatchGroup {
            patch: GroupPatch { attributes: None, members: vec![change], displays: Displays::new() },
        };
        Some(match self {
            Self::Read | Self::Hour => return None,
            Self::Create(n) => Change::CreateUser { user: user(n), origin: Origin::Scim, role: None },
            Self::Set(a, b) => {
                let fields = [("title", a), ("nickName", b)].into_iter();
                patch(fields.filter_map(|(name, n)| Some((name, json!(n?.to_string())))))
            }
            Self::Archive => patch([("active", json!(false))].into_iter()),
            Self::Join(mask) => members(MemberChange::Add(people(mask))),
            Self::Leave(mask) => members(MemberChange::Remove(people(mask))),
            Self::Exactly(mask) => members(MemberChange::Replace(people(mask))),
        })
    }
}

fn user(n: u32) -> Resource {
    let n = n.to_string();
    let body = json!({
        "userName": "ada", "name": { "givenName": "Ada", "familyName": "Lovelace" },
        "emails": [{ "value": "ada@acme.example" }], "title": n, "nickName": n
    });
    Resource::parse(ResourceType::user(), &body).unwrap()
}

fn patch(fields: impl Iterator<Item = (&'static str, Value)>) -> Change {
    let operations: Vec<Value> =
        fields.map(|(name, value)| json!({ "op": "replace", "path": name, "value": value })).collect();
    Change::PatchUser { patch: Patch::parse(&json!({ "Operations": operations })).unwrap() }
}

fn people(mask: u8) -> Vec<Uuid> {
    (0..).zip(PEOPLE).filter(|(bit, _)| mask >> bit & 1 == 1).map(|(_, id)| id).collect()
}

/// Members as bits.
pub fn mask(members: &BTreeSet<Uuid>) -> u8 {
    (0..).zip(PEOPLE).filter(|(_, id)| members.contains(id)).fold(0, |mask, (bit, _)| mask | 1 << bit)
}
