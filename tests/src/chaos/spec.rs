//! The sequential specification of one user or group, for the linearizability checker of `todc-utils`: how each change
//! affects it, and which answers are possible.

use todc_utils::specifications::Specification;

/// The state of a resource. Values are numbers, each written only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Thing {
    /// Does not exist.
    Nothing,
    /// A user.
    User(User),
    /// A group.
    Group(Group),
}

/// A user. The version counts effective changes, so a duplicated one is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct User {
    /// Which of its names is the userName.
    pub name: u32,
    /// `title`.
    pub title: u32,
    /// `nickName`.
    pub nick: u32,
    /// `active`.
    pub active: bool,
    /// The ETag's number.
    pub version: i64,
}

/// A group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// The members, as bits.
    pub members: u16,
    /// The ETag's number.
    pub version: i64,
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// POST of the user, active.
    Create { name: u32, title: u32, nick: u32 },
    /// PATCH or PUT of the user.
    Set { name: Option<u32>, title: Option<u32>, nick: Option<u32>, active: Option<bool> },
    /// POST of the group, without members.
    CreateGroup,
    /// PATCH that adds members.
    Join(u16),
    /// PATCH that removes members.
    Leave(u16),
    /// "Push now": replaces the members.
    Exactly(u16),
    /// GET by id.
    Read,
    /// GET by a filter on this name.
    Find(u32),
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// Success, with the resulting state if the answer shows it.
    Done(Option<Thing>),
    /// 409.
    Conflict,
    /// 404.
    Missing,
    /// 429 with the statement that nothing was changed.
    Nothing,
    /// Another 429, or no answer: the change may take effect or not.
    Unknown,
    /// The state that a read returned.
    Seen(Thing),
}

/// A call with its answer, as the checker's operation.
#[derive(Clone, Debug)]
pub struct Step {
    /// The request.
    pub op: Op,
    /// The answer.
    pub ret: Ret,
    /// Its index among the calls with unknown outcome.
    pub unheard: Option<u32>,
    /// The calls with unknown outcome that were given up before this call. Once this one is acknowledged, they must not
    /// override it.
    pub buries: u128,
    /// For a create: the bit of its body in this history. Creates with equal bodies have the same bit.
    pub body: u128,
}

/// The specification's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sequel {
    thing: Thing,
    /// The calls with unknown outcome that must not take effect any more.
    buried: u128,
    /// The bodies of creates that took effect: repeating one may return that result.
    made: u128,
}

/// The sequential specification.
pub struct Spec;

impl Specification for Spec {
    type State = Sequel;
    type Operation = Step;

    fn init() -> Self::State {
        Sequel { thing: Thing::Nothing, buried: 0, made: 0 }
    }

    fn apply(step: &Step, before: &Self::State) -> (bool, Self::State) {
        let Sequel { thing, buried, made } = *before;
        let is_buried = step.unheard.is_some_and(|place| buried >> place & 1 == 1);
        if step.ret == Ret::Nothing || is_buried {
            return (true, *before);
        }
        let (possible, after) = match (step.ret, next(step.op, thing)) {
            // The outcome of the first attempt may not have been delivered: the repeated request gets it and changes
            // nothing.
            (Ret::Done(_), (Ret::Conflict, _)) if made & step.body != 0 => (Ret::Done(None), thing),
            (_, next) => next,
        };
        let is_valid = match (step.ret, possible) {
            (Ret::Unknown, _) => true,
            (Ret::Done(shown), Ret::Done(_)) => shown.is_none_or(|shown| shown == after),
            (answered, possible) => answered == possible,
        };
        let buries = if matches!(step.ret, Ret::Done(_)) { step.buries } else { 0 };
        let makes = if matches!(possible, Ret::Done(_)) { step.body } else { 0 };
        (is_valid, Sequel { thing: after, buried: buried | buries, made: made | makes })
    }
}

/// The only possible answer, and the resulting state.
fn next(op: Op, thing: Thing) -> (Ret, Thing) {
    match (op, thing) {
        (Op::Read, _) => (if thing == Thing::Nothing { Ret::Missing } else { Ret::Seen(thing) }, thing),
        (Op::Find(name), Thing::User(user)) if user.name == name => (Ret::Seen(thing), thing),
        (Op::Find(_), _) => (Ret::Seen(Thing::Nothing), thing),
        (Op::Create { name, title, nick }, Thing::Nothing) => {
            (Ret::Done(None), Thing::User(User { name, title, nick, active: true, version: 1 }))
        }
        // An inactive user is restored.
        (Op::Create { name, title, nick }, Thing::User(user)) if !user.active => {
            let version = user.version + 1;
            (Ret::Done(None), Thing::User(User { name, title, nick, active: true, version }))
        }
        (Op::Create { .. }, _) => (Ret::Conflict, thing),
        (Op::Set { name, title, nick, active }, Thing::User(user)) => {
            let set = User {
                name: name.unwrap_or(user.name),
                title: title.unwrap_or(user.title),
                nick: nick.unwrap_or(user.nick),
                active: active.unwrap_or(user.active),
                version: user.version,
            };
            let version = user.version + i64::from(set != user);
            (Ret::Done(None), Thing::User(User { version, ..set }))
        }
        (Op::CreateGroup, Thing::Nothing) => {
            (Ret::Done(None), Thing::Group(Group { members: 0, version: 1 }))
        }
        (Op::Join(mask), Thing::Group(group)) => regroup(group, group.members | mask),
        (Op::Leave(mask), Thing::Group(group)) => regroup(group, group.members & !mask),
        (Op::Exactly(mask), Thing::Group(group)) => regroup(group, mask),
        (_, thing) => (Ret::Missing, thing),
    }
}

fn regroup(group: Group, members: u16) -> (Ret, Thing) {
    let version = group.version + i64::from(members != group.members);
    (Ret::Done(None), Thing::Group(Group { members, version }))
}
