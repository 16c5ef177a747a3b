//! Whether some order of the calls, one after the other, explains all answers and respects real time.

use std::collections::HashSet;

use crate::history::{Answer, Call, Op, Thing};

/// A sequential user or group: what a call does to it, or `None` where its answer is impossible.
fn next(thing: Thing, call: &Call) -> Option<Thing> {
    use Thing::{Group, Nothing, User};
    let (answer, after) = match (call.op, thing) {
        (Op::Read, _) => (Answer::Seen(thing), thing),
        (Op::Create(n), Nothing | User(_, _, false)) => (Answer::Done, User(n, n, true)),
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
    is_possible.then_some(after)
}

/// A search over all orders; a call without an answer may have happened or not. One that its client gave up must not
/// override a change that was asked for later and acknowledged.
pub fn is_linearizable(calls: &[Call], begun: Thing) -> bool {
    assert!(calls.len() < 64, "the set of calls done is a bit mask");
    search(calls, 0, begun, &mut HashSet::new())
}

fn search(calls: &[Call], done: u64, thing: Thing, seen: &mut HashSet<(u64, Thing)>) -> bool {
    let pending = || calls.iter().enumerate().filter(|(i, _)| done >> i & 1 == 0);
    let Some(first_end) = pending().filter_map(|(_, call)| call.answered).min() else { return true };
    if !seen.insert((done, thing)) {
        return false;
    }
    pending()
        .filter(|(_, call)| call.asked <= first_end && !is_overridden(calls, done, call))
        .any(|(i, call)| next(thing, call).is_some_and(|thing| search(calls, done | 1 << i, thing, seen)))
}

fn is_overridden(calls: &[Call], done: u64, call: &Call) -> bool {
    let Some(given_up) = call.given_up.filter(|_| call.answered.is_none()) else { return false };
    calls.iter().enumerate().any(|(i, other)| {
        let acknowledged = other.op != Op::Read && other.answer == Some(Answer::Done);
        done >> i & 1 == 1 && acknowledged && other.asked > given_up
    })
}
