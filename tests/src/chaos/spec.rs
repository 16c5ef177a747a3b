//! One user, or one group, as a sequential object: what each change does to it, and which answers are possible then. Before
//! it: a history. After it: the checker of `todc-utils`, which looks for an order that explains it.

use todc_utils::specifications::Specification;

/// A resource as far as its clients look at it. Values are numbers, each of them written once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Thing {
    /// Not there.
    Nothing,
    /// A user.
    User(User),
    /// A group.
    Group(Group),
}

/// A user. Its version tells how many changes took effect: a doubled one is seen there.
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

/// A group; its members as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// Who is in it.
    pub members: u16,
    /// The ETag's number.
    pub version: i64,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// POST of the user, active.
    Create { name: u32, title: u32, nick: u32 },
    /// PATCH or PUT of the user.
    Set { name: Option<u32>, title: Option<u32>, nick: Option<u32>, active: Option<bool> },
    /// POST of the group, empty.
    CreateGroup,
    /// PATCH that adds members.
    Join(u16),
    /// PATCH that removes members.
    Leave(u16),
    /// "Push now".
    Exactly(u16),
    /// GET by id.
    Read,
    /// GET by a filter on this name.
    Find(u32),
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// Done; with the resource, where the answer shows it as the change left it.
    Done(Option<Thing>),
    /// 409.
    Conflict,
    /// 404.
    Missing,
    /// 429 that says that nothing was changed.
    Nothing,
    /// Try again, or no answer at all: it may take effect, or not.
    Unknown,
    /// What a read showed.
    Seen(Thing),
}

/// A call with its answer, in the words of the checker.
#[derive(Clone, Debug)]
pub struct Step {
    /// What was asked for.
    pub op: Op,
    /// What was answered.
    pub ret: Ret,
    /// Its place among the calls whose outcome nobody heard.
    pub unheard: Option<u32>,
    /// The unheard calls that were given up before this one was asked for: once this is acknowledged they must not override
    /// it any more.
    pub buries: u128,
    /// Of a create: which of the history's bodies it has, as a bit. Those that repeat it have the same.
    pub body: u128,
}

/// What the changes so far have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sequel {
    thing: Thing,
    /// The unheard calls that must not take effect any more.
    buried: u128,
    /// The bodies of creates that took effect: a repeated one may be told so.
    made: u128,
}

/// The sequential object.
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
            // Nobody may have heard what the first try came to: the repeated request is told, and changes nothing.
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

/// The one answer that is possible, and the resource afterwards.
fn next(op: Op, thing: Thing) -> (Ret, Thing) {
    match (op, thing) {
        (Op::Read, _) => (if thing == Thing::Nothing { Ret::Missing } else { Ret::Seen(thing) }, thing),
        (Op::Find(name), Thing::User(user)) if user.name == name => (Ret::Seen(thing), thing),
        (Op::Find(_), _) => (Ret::Seen(Thing::Nothing), thing),
        (Op::Create { name, title, nick }, Thing::Nothing) => {
            (Ret::Done(None), Thing::User(User { name, title, nick, active: true, version: 1 }))
        }
        // Whoever is not active comes back.
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
