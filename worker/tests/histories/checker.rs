//! The linearizability checker: is there a sequential order of the calls that explains all answers and respects real
//! time?

use std::collections::HashSet;

use crate::history::{Answer, Call, Op, Thing};

/// The state after some of the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Sequel {
    thing: Thing,
    /// The calls that are done, as bits.
    done: u64,
    /// The done creates that created or reactivated the user within the last hour, as bits.
    made: u64,
}

impl Sequel {
    /// The state after one more call; `None` if its answer is impossible.
    fn after(self, calls: &[Call], index: usize) -> Option<Self> {
        use Thing::{Group, Nothing, User};
        let call = &calls[index];
        let (mut made, thing) = (self.made, self.thing);
        let (answer, after) = match (call.op, thing) {
            (Op::Read, _) => (Answer::Seen(thing), thing),
            (Op::Hour, _) => {
                made = 0;
                (Answer::Done, thing)
            }
            (Op::Create(n), Nothing | User(_, _, false)) => {
                made |= 1 << index;
                (Answer::Done, User(n, n, true))
            }
            // A retry receives what its first attempt created.
            (Op::Create(_), User(_, _, true)) if self.has_made(calls, call) => (Answer::Done, thing),
            (Op::Create(_), _) => (Answer::Conflict, thing),
            (Op::Set(a, b), User(old_a, old_b, active)) => {
                (Answer::Done, User(a.unwrap_or(old_a), b.unwrap_or(old_b), active))
            }
            (Op::Archive, User(a, b, _)) => (Answer::Done, User(a, b, false)),
            (Op::Join(mask), Group(members)) => (Answer::Done, Group(members | mask)),
            (Op::Leave(mask), Group(members)) => (Answer::Done, Group(members & !mask)),
            (Op::Exactly(mask), Group(_)) => (Answer::Done, Group(mask)),
            (_, thing) => (Answer::Missing, thing),
        };
        let is_possible = call.answer.is_none() || call.answer == Some(answer);
        is_possible.then_some(Self { thing: after, done: self.done | 1 << index, made })
    }

    /// Whether an earlier attempt of the same create took effect.
    fn has_made(self, calls: &[Call], call: &Call) -> bool {
        let first = call.repeats.filter(|_| !call.asynchronous);
        let mut attempts = std::iter::successors(first, |index| calls[*index].repeats);
        attempts.any(|index| self.made >> index & 1 == 1)
    }
}

/// Searches all orders. A call without an answer may or may not have happened. A call that its client gave up must not
/// override a change that was requested later and acknowledged.
pub fn is_linearizable(calls: &[Call], begun: Thing) -> bool {
    assert!(calls.len() < 64, "the calls that are done are stored as a bit mask");
    search(calls, Sequel { thing: begun, done: 0, made: 0 }, &mut HashSet::new())
}

fn search(calls: &[Call], so_far: Sequel, seen: &mut HashSet<Sequel>) -> bool {
    let pending = || calls.iter().enumerate().filter(|(i, _)| so_far.done >> i & 1 == 0);
    let Some(first_end) = pending().filter_map(|(_, call)| call.answered).min() else { return true };
    if !seen.insert(so_far) {
        return false;
    }
    pending()
        .filter(|(_, call)| call.asked <= first_end && !is_overridden(calls, so_far.done, call))
        .any(|(i, _)| so_far.after(calls, i).is_some_and(|next| search(calls, next, seen)))
}

fn is_overridden(calls: &[Call], done: u64, call: &Call) -> bool {
    let Some(given_up) = call.given_up.filter(|_| call.answered.is_none()) else { return false };
    calls.iter().enumerate().any(|(i, other)| {
        let is_change = !matches!(other.op, Op::Read | Op::Hour);
        let acknowledged = is_change && other.answer == Some(Answer::Done);
        done >> i & 1 == 1 && acknowledged && other.asked > given_up
    })
}
