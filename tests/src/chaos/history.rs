//! The calls and answers for one resource, in real-time order. [`super::judge`] checks them against [`super::spec`].

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};

use super::spec::{Op, Ret, Spec, Step};

/// The maximum number of calls with unknown outcome in one history: one bit each.
const MOST_UNHEARD: u32 = 128;

/// An entry of a history, for the n-th call.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Asked(usize, Op),
    Answered(usize, Ret),
}

/// The history of one resource.
pub struct Subject {
    /// Its name in reports; contains no personal data.
    pub name: String,
    began: Instant,
    moments: Mutex<Vec<(Instant, Moment)>>,
}

impl Subject {
    /// An empty history.
    #[must_use]
    pub fn new(name: String) -> Self {
        Self { name, began: Instant::now(), moments: Mutex::default() }
    }

    /// Records a call; returns its number.
    pub fn ask(&self, op: Op) -> usize {
        let mut moments = self.lock();
        let call = moments.iter().filter(|(_, moment)| matches!(moment, Moment::Asked(..))).count();
        moments.push((Instant::now(), Moment::Asked(call, op)));
        call
    }

    /// Records the answer to a call.
    pub fn answer(&self, call: usize, ret: Ret) {
        self.lock().push((Instant::now(), Moment::Answered(call, ret)));
    }

    /// Whether the history is linearizable.
    #[must_use]
    pub fn is_explained(&self) -> bool {
        let actions = self.actions();
        actions.is_empty() || WGLChecker::<Spec>::is_linearizable(History::from_actions(actions))
    }

    /// Calls with unknown outcome are answered after the end of the history, so that they may have taken effect at any
    /// time or not at all.
    fn actions(&self) -> Vec<(usize, Action<Step>)> {
        let moments = self.lock();
        let mut steps: Vec<Step> = Vec::new();
        let (mut unheard, mut given_up, mut bodies) = (0, 0_u128, Vec::new());
        for (_, moment) in moments.iter() {
            match *moment {
                Moment::Asked(_, op) => {
                    let body = body(op, &mut bodies);
                    steps.push(Step { op, ret: Ret::Unknown, unheard: None, buries: given_up, body });
                }
                Moment::Answered(call, ret) => {
                    steps[call].ret = ret;
                    if ret == Ret::Unknown {
                        assert!(
                            unheard < MOST_UNHEARD,
                            "{} has too many calls with unknown outcome to be checked",
                            self.name
                        );
                        steps[call].unheard = Some(unheard);
                        given_up |= 1 << unheard;
                        unheard += 1;
                    }
                }
            }
        }
        let mut actions = Vec::new();
        for (_, moment) in moments.iter() {
            match *moment {
                Moment::Asked(call, _) => actions.push((call, Action::Call(steps[call].clone()))),
                Moment::Answered(_, Ret::Unknown) => {}
                Moment::Answered(call, _) => actions.push((call, Action::Response(steps[call].clone()))),
            }
        }
        let never = steps.iter().enumerate().filter(|(_, step)| step.ret == Ret::Unknown);
        actions.extend(never.map(|(call, step)| (call, Action::Response(step.clone()))));
        actions
    }

    /// The history as text, with times in milliseconds since the beginning.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.name);
        for (at, moment) in self.lock().iter() {
            let ms = at.duration_since(self.began).as_millis();
            // Writing to a string cannot fail.
            let _ = match moment {
                Moment::Asked(call, op) => writeln!(text, "  {ms:>8} ms  #{call} asks {op:?}"),
                Moment::Answered(call, ret) => {
                    writeln!(text, "  {ms:>8} ms  #{call}      is answered {ret:?}")
                }
            };
        }
        text
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Instant, Moment)>> {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bit of a create's body among the bodies of creates in this history. (Group creates are not deduplicated: a
/// second POST may make a second group.)
fn body(op: Op, bodies: &mut Vec<Op>) -> u128 {
    if !matches!(op, Op::Create { .. }) {
        return 0;
    }
    let place = bodies.iter().position(|known| *known == op).unwrap_or_else(|| {
        bodies.push(op);
        bodies.len() - 1
    });
    u32::try_from(place).ok().and_then(|place| 1_u128.checked_shl(place)).expect("a life has few creates")
}

#[cfg(test)]
mod tests {
    use super::super::spec::{Thing, User};
    use super::*;

    const ADA: User = User { name: 0, title: 1, nick: 1, active: true, version: 1 };

    fn created() -> Subject {
        let subject = Subject::new("ada".to_owned());
        let call = subject.ask(Op::Create { name: 0, title: 1, nick: 1 });
        subject.answer(call, Ret::Done(None));
        subject
    }

    fn title(n: u32) -> Op {
        Op::Set { name: None, title: Some(n), nick: None, active: None }
    }

    fn read(subject: &Subject, title: u32, version: i64) {
        let call = subject.ask(Op::Read);
        subject.answer(call, Ret::Seen(Thing::User(User { title, version, ..ADA })));
    }

    #[test]
    fn a_change_with_unknown_outcome_may_have_happened_or_not() {
        for (seen, version) in [(1, 1), (2, 2)] {
            let subject = created();
            let call = subject.ask(title(2));
            subject.answer(call, Ret::Unknown);
            read(&subject, seen, version);
            assert!(subject.is_explained(), "{}", subject.to_text());
        }
    }

    #[test]
    fn a_change_that_was_given_up_must_not_override_a_later_acknowledged_one() {
        let subject = created();
        let given_up = subject.ask(title(2));
        subject.answer(given_up, Ret::Unknown);
        let call = subject.ask(title(3));
        subject.answer(call, Ret::Done(None));
        read(&subject, 2, 3);
        assert!(!subject.is_explained());
    }

    /// Repeats a POST whose first answer was `first`, optionally after a deactivation.
    fn repeated(first: Ret, deactivates: bool, again: Ret, read: (bool, i64)) -> bool {
        let post = Op::Create { name: 0, title: 1, nick: 1 };
        let subject = Subject::new("ada".to_owned());
        let call = subject.ask(post);
        subject.answer(call, first);
        if deactivates {
            let call = subject.ask(Op::Set { name: None, title: None, nick: None, active: Some(false) });
            subject.answer(call, Ret::Done(None));
        }
        let call = subject.ask(post);
        subject.answer(call, again);
        let call = subject.ask(Op::Read);
        let (active, version) = read;
        subject.answer(call, Ret::Seen(Thing::User(User { active, version, ..ADA })));
        subject.is_explained()
    }

    #[test]
    fn a_repeated_post_gets_the_first_result_or_restores_or_is_a_conflict() {
        for first in [Ret::Unknown, Ret::Done(None)] {
            assert!(repeated(first, false, Ret::Done(None), (true, 1)), "deduplicated");
            assert!(repeated(first, false, Ret::Conflict, (true, 1)), "a new change");
            assert!(!repeated(first, false, Ret::Done(None), (true, 2)), "nothing had to change");
            assert!(repeated(first, true, Ret::Done(None), (true, 3)), "restored");
            assert!(
                !repeated(first, true, Ret::Done(None), (false, 2)),
                "answered 201 although the user stays archived"
            );
            assert!(!repeated(first, true, Ret::Conflict, (false, 2)), "no active user conflicts");
        }
    }

    #[test]
    fn lost_duplicated_and_reordered_changes_are_detected() {
        for (seen, version, is_fine) in [(2, 2, true), (1, 1, false), (2, 3, false), (1, 2, false)] {
            let subject = created();
            let call = subject.ask(title(2));
            subject.answer(call, Ret::Done(None));
            read(&subject, seen, version);
            assert_eq!(subject.is_explained(), is_fine, "{}", subject.to_text());
        }
    }
}
