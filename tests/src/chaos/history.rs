//! What was asked about one resource and what was answered, in the order in which it happened. Before it: the clients. After
//! it: [`super::judge`], which holds it against [`super::spec`].

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};

use super::spec::{Op, Ret, Spec, Step};

/// The most unheard calls in one history: as many as there are bits for.
const MOST_UNHEARD: u32 = 128;

/// A moment of a history, of the n-th call.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Asked(usize, Op),
    Answered(usize, Ret),
}

/// One resource's history.
pub struct Subject {
    /// What it is called here; no name of a person.
    pub name: String,
    began: Instant,
    moments: Mutex<Vec<(Instant, Moment)>>,
}

impl Subject {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(name: String) -> Self {
        Self { name, began: Instant::now(), moments: Mutex::default() }
    }

    /// A call begins; returns its number.
    pub fn ask(&self, op: Op) -> usize {
        let mut moments = self.lock();
        let call = moments.iter().filter(|(_, moment)| matches!(moment, Moment::Asked(..))).count();
        moments.push((Instant::now(), Moment::Asked(call, op)));
        call
    }

    /// A call ends.
    pub fn answer(&self, call: usize, ret: Ret) {
        self.lock().push((Instant::now(), Moment::Answered(call, ret)));
    }

    /// Whether some order of the changes, one after the other, explains every answer and respects real time.
    #[must_use]
    pub fn is_explained(&self) -> bool {
        let actions = self.actions();
        actions.is_empty() || WGLChecker::<Spec>::is_linearizable(History::from_actions(actions))
    }

    /// Calls whose outcome nobody heard are answered at the end of all time: there they explain themselves, whether they took
    /// effect before or not.
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
                            "{} has too many unheard calls to be judged",
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

    /// For a reader: every moment in its order, in milliseconds since the beginning.
    #[must_use]
    pub fn told(&self) -> String {
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

/// Which of the bodies of creates this one has, as a bit. (A group's second POST may make a second group: none is repeated.)
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
    fn an_unheard_change_may_have_happened_or_not() {
        for (seen, version) in [(1, 1), (2, 2)] {
            let subject = created();
            let call = subject.ask(title(2));
            subject.answer(call, Ret::Unknown);
            read(&subject, seen, version);
            assert!(subject.is_explained(), "{}", subject.told());
        }
    }

    #[test]
    fn what_was_given_up_must_not_override_what_was_acknowledged_after_it() {
        let subject = created();
        let given_up = subject.ask(title(2));
        subject.answer(given_up, Ret::Unknown);
        let call = subject.ask(title(3));
        subject.answer(call, Ret::Done(None));
        read(&subject, 2, 3);
        assert!(!subject.is_explained());
    }

    /// The same POST again, first unheard or told, and deactivated in between or not.
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
    fn a_repeated_post_is_told_what_it_made_or_restores_or_is_a_conflict() {
        for first in [Ret::Unknown, Ret::Done(None)] {
            assert!(repeated(first, false, Ret::Done(None), (true, 1)), "told");
            assert!(repeated(first, false, Ret::Conflict, (true, 1)), "a new change");
            assert!(!repeated(first, false, Ret::Done(None), (true, 2)), "nothing was to be changed");
            assert!(repeated(first, true, Ret::Done(None), (true, 3)), "brought back");
            assert!(!repeated(first, true, Ret::Done(None), (false, 2)), "told 201, and they stay archived");
            assert!(!repeated(first, true, Ret::Conflict, (false, 2)), "nobody active is in the way");
        }
    }

    #[test]
    fn lost_doubled_and_disordered_changes_are_seen() {
        for (seen, version, is_fine) in [(2, 2, true), (1, 1, false), (2, 3, false), (1, 2, false)] {
            let subject = created();
            let call = subject.ask(title(2));
            subject.answer(call, Ret::Done(None));
            read(&subject, seen, version);
            assert_eq!(subject.is_explained(), is_fine, "{}", subject.told());
        }
    }
}
