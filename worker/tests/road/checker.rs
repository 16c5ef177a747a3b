//! Whether some order of the calls, one after the other, explains all answers and respects real time.

use std::collections::HashSet;

use crate::world::{Answer, Call, Fields, Op};

/// A sequential user: what a call does to it, or `None` where its answer is impossible.
fn next(state: Option<Fields>, call: &Call) -> Option<Option<Fields>> {
    match (&call.op, &call.answer) {
        (Op::Read, answer) => (*answer == Some(Answer::Seen(state))).then_some(state),
        (Op::Create(n), answer) => match state {
            None => (answer.is_none() || *answer == Some(Answer::Done)).then_some(Some((*n, *n))),
            Some(_) => (answer.is_none() || *answer == Some(Answer::Conflict)).then_some(state),
        },
        (Op::Set(a, b), answer) => match state {
            None => (answer.is_none() || *answer == Some(Answer::Missing)).then_some(None),
            Some((old_a, old_b)) => {
                let changed = (a.unwrap_or(old_a), b.unwrap_or(old_b));
                (answer.is_none() || *answer == Some(Answer::Done)).then_some(Some(changed))
            }
        },
    }
}

/// A search over all orders; a call without an answer may have happened or not. One that its client gave up must not
/// override a change that was asked for later and acknowledged.
pub fn is_linearizable(calls: &[Call], begun: Option<Fields>) -> bool {
    assert!(calls.len() < 64, "the set of calls done is a bit mask");
    search(calls, 0, begun, &mut HashSet::new())
}

fn search(
    calls: &[Call],
    done: u64,
    state: Option<Fields>,
    seen: &mut HashSet<(u64, Option<Fields>)>,
) -> bool {
    let pending = || calls.iter().enumerate().filter(|(i, _)| done >> i & 1 == 0);
    let Some(first_end) = pending().filter_map(|(_, call)| call.answered).min() else { return true };
    if !seen.insert((done, state)) {
        return false;
    }
    pending()
        .filter(|(_, call)| call.asked <= first_end && !is_overridden(calls, done, call))
        .any(|(i, call)| next(state, call).is_some_and(|state| search(calls, done | 1 << i, state, seen)))
}

fn is_overridden(calls: &[Call], done: u64, call: &Call) -> bool {
    let Some(given_up) = call.given_up.filter(|_| call.answered.is_none()) else { return false };
    calls.iter().enumerate().any(|(i, other)| {
        let acknowledged = other.op != Op::Read && other.answer == Some(Answer::Done);
        done >> i & 1 == 1 && acknowledged && other.asked > given_up
    })
}
