//! Which connections are open, and which one is closed in favour of a new one. Connections of strangers (no request on
//! them was admitted yet), of known clients and of trusted proxies have separate limits, so that strangers displace
//! strangers only.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::class::{Class, Place, network};
use super::pace::{Pace, Pipelining};

/// The maximum number of connections of strangers. Each takes up to 40 KiB, with a half-sent request. The more there are,
/// the longer a client has to send its first request while strangers open thousands of connections a second.
const MAX_STRANGERS: usize = 3_072;
/// A known address may hold this many times the connections of one with strangers only.
const KNOWN: usize = 16;
/// How often the log says that connections were closed in favour of others.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// The open connections.
pub(super) struct Connections {
    state: Mutex<State>,
    began: Instant,
}

struct State {
    classes: [Class; 3],
    last_turn: u64,
    evicted: u64,
    last_logged: Option<Instant>,
}

/// Whose connection it is: the index of its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Stranger,
    Known,
    Proxy,
}

/// An open connection, in the extensions of its requests. Clones are the same connection.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    all: Arc<Connections>,
    /// Cancelled when it is closed in favour of another.
    evicted: CancellationToken,
    is_known: AtomicBool,
    /// The [`Activity`].
    activity: AtomicU8,
    pipelining: Pipelining,
    position: Mutex<Position>,
}

/// What happens on a connection. It is busy unless it waits: it is not the first to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Activity {
    /// It is new. Its request may have arrived, but nothing was read yet.
    New,
    /// The client has not sent the next request or the rest of a body, or does not read the answer.
    Waiting,
    /// A request is being handled.
    Handling,
    /// The answer is being written.
    Answering,
}

struct Position {
    owner: Owner,
    place: Place,
    is_open: bool,
}

/// Removes the connection when it is dropped.
pub(super) struct Open(pub(super) Connection);

impl Connections {
    /// At most `total` connections, and `per_address` of strangers with one address.
    pub(super) fn new(total: usize, per_address: usize) -> Self {
        let strangers = MAX_STRANGERS.min(total / 4).max(1);
        let known = (total / 2).max(1);
        let proxies = total.saturating_sub(strangers + known).max(1);
        let classes = [
            Class::new(strangers, per_address),
            Class::new(known, per_address.saturating_mul(KNOWN)),
            Class::new(proxies, usize::MAX),
        ];
        let state = State { classes, last_turn: 0, evicted: 0, last_logged: None };
        Self { state: Mutex::new(state), began: Instant::now() }
    }

    /// A new connection; `None` if there is no room, which happens only to proxies.
    pub(super) fn open(self: &Arc<Self>, address: IpAddr, is_proxy: bool) -> Option<Open> {
        let owner = if is_proxy { Owner::Proxy } else { Owner::Stranger };
        let mut state = self.lock();
        if !state.make_room(owner, network(address), self.now()) {
            return None;
        }
        let place = Place { network: network(address), is_busy: true, turn: state.turn(self.now()) };
        let connection = Connection(Arc::new(Inner {
            all: self.clone(),
            evicted: CancellationToken::new(),
            is_known: AtomicBool::new(is_proxy),
            activity: AtomicU8::new(Activity::New as u8),
            pipelining: Pipelining::new(),
            position: Mutex::new(Position { owner, place, is_open: true }),
        }));
        state.classes[owner as usize].insert(place, connection.0.evicted.clone());
        Some(Open(connection))
    }

    /// Closes connections of addresses that have too many. New ones are spared for a moment, because their request may
    /// be on its way.
    pub(super) fn trim(&self) {
        let mut state = self.lock();
        let now = self.now();
        let mut closed = 0;
        for class in &mut state.classes {
            while let Some(evicted) = class.take_excess(now) {
                evicted.cancel();
                closed += 1;
            }
        }
        state.log(closed);
    }

    /// The number of strangers' connections, and of all.
    pub(super) fn count(&self) -> (usize, usize) {
        let state = self.lock();
        let strangers = state.classes[Owner::Stranger as usize].count();
        (strangers, state.classes.iter().map(Class::count).sum())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Microseconds since the start.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl State {
    /// A number that is larger than all before; about the time.
    fn turn(&mut self, now: u64) -> u64 {
        self.last_turn = now.max(self.last_turn + 1);
        self.last_turn
    }

    /// Makes room for a connection of this network. Returns whether there is room. Requests of known clients and of
    /// proxies are not interrupted for it.
    fn make_room(&mut self, owner: Owner, network: IpAddr, now: u64) -> bool {
        let class = &mut self.classes[owner as usize];
        let Some(victim) = class.victim(network, now) else { return true };
        if victim.is_busy && owner != Owner::Stranger {
            return !class.is_full();
        }
        if let Some(evicted) = class.remove(victim) {
            evicted.cancel();
            self.log(1);
        }
        true
    }

    fn log(&mut self, closed: u64) {
        self.evicted += closed;
        let is_due = self.last_logged.is_none_or(|last| last.elapsed() >= LOG_EVERY);
        if self.evicted > 0 && is_due {
            warn!(closed = self.evicted, "closed connections in favour of others; an address has too many");
            self.evicted = 0;
            self.last_logged = Some(Instant::now());
        }
    }
}

impl Connection {
    /// Records that a request on this connection was admitted: it is no stranger's any more.
    pub fn mark_known(&self) {
        if !self.0.is_known.swap(true, Ordering::Relaxed) {
            self.change(|owner, _| *owner = Owner::Known);
        }
    }

    /// Records that the connection now belongs to this client, for whom a trusted proxy relays it.
    pub(super) fn relays_for(&self, client: IpAddr) {
        self.0.is_known.store(false, Ordering::Relaxed);
        self.change(|owner, place| {
            *owner = Owner::Stranger;
            place.network = network(client);
        });
    }

    /// What it has pipelined.
    pub(super) fn pipelining(&self) -> &Pipelining {
        &self.0.pipelining
    }

    /// How to treat the next request.
    pub(super) fn pace(&self) -> Pace {
        self.0.pipelining.pace(self.0.is_known.load(Ordering::Relaxed))
    }

    /// Records that a request is being handled.
    pub(super) fn handles(&self) {
        self.becomes(Activity::Handling);
    }

    /// Records that the rest of a request's body is awaited.
    pub(super) fn waits(&self) {
        self.becomes(Activity::Waiting);
    }

    /// Records that a request was handled. Its answer is not written yet.
    pub(super) fn answers(&self) {
        self.becomes(Activity::Answering);
    }

    /// Records that there is nothing to read. Between two requests that was recorded before.
    pub(super) fn has_no_input(&self) {
        self.waits_after(Activity::New);
    }

    /// Records that everything is written, or that the client does not read it.
    pub(super) fn has_no_output(&self) {
        self.waits_after(Activity::Answering);
    }

    fn waits_after(&self, activity: Activity) {
        if self.0.activity.load(Ordering::Relaxed) == activity as u8 {
            self.becomes(Activity::Waiting);
        }
    }

    /// Only the connection's own task does this.
    fn becomes(&self, activity: Activity) {
        let was_busy = self.0.activity.swap(activity as u8, Ordering::Relaxed) != Activity::Waiting as u8;
        let is_busy = activity != Activity::Waiting;
        if was_busy != is_busy {
            self.change(|_, place| place.is_busy = is_busy);
        }
    }

    /// Waits until the connection must be closed in favour of another.
    pub(super) async fn evicted(&self) {
        self.0.evicted.cancelled().await;
    }

    /// Moves the connection to its new place. Locks in the order position, state.
    fn change(&self, change: impl FnOnce(&mut Owner, &mut Place)) {
        let mut position = self.position();
        let all = &self.0.all;
        let mut state = all.lock();
        if !position.is_open || state.classes[position.owner as usize].remove(position.place).is_none() {
            // It has been evicted, and will be closed soon.
            return;
        }
        let Position { owner, place, .. } = &mut *position;
        change(owner, place);
        // Strangers keep their turn: requests without a key would make the newest client the first to go.
        if *owner != Owner::Stranger {
            place.turn = state.turn(all.now());
        }
        state.make_room(*owner, place.network, all.now());
        state.classes[*owner as usize].insert(*place, self.0.evicted.clone());
    }

    fn position(&self) -> MutexGuard<'_, Position> {
        self.0.position.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut position = self.0.position();
        position.is_open = false;
        self.0.0.all.lock().classes[position.owner as usize].remove(position.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn is_evicted(open: &Open) -> bool {
        open.0.0.evicted.is_cancelled()
    }

    fn connections(total: usize, per_address: usize) -> Arc<Connections> {
        Arc::new(Connections::new(total, per_address))
    }

    /// Opens a connection without a request.
    fn waiting(all: &Arc<Connections>, address: &str, is_proxy: bool) -> Option<Open> {
        let open = all.open(at(address), is_proxy);
        open.iter().for_each(|open| open.0.has_no_input());
        open
    }

    #[test]
    fn strangers_displace_the_oldest_waiting_stranger_of_the_largest_address() {
        let all = connections(40, 100);
        let alone = waiting(&all, "192.0.2.1", false).unwrap();
        let known = waiting(&all, "192.0.2.2", false).unwrap();
        known.0.mark_known();
        let busy = waiting(&all, "192.0.2.2", false).unwrap();
        busy.0.handles();
        let crowd: Vec<Open> = (0..9).map(|_| waiting(&all, "192.0.2.2", false).unwrap()).collect();
        assert_eq!(all.count(), (10, 12 - 1));
        assert!([&alone, &known, &busy].into_iter().all(|open| !is_evicted(open)));
        let evicted: Vec<usize> = (0..9).filter(|n| is_evicted(&crowd[*n])).collect();
        assert_eq!(evicted, [0], "ten strangers at most, the oldest goes");
        let _more: Vec<Open> = (0..50).map(|_| waiting(&all, "192.0.2.2", false).unwrap()).collect();
        assert!(crowd.iter().all(is_evicted) && !is_evicted(&busy) && !is_evicted(&alone));
        drop(alone);
        assert_eq!(all.count(), (9, 10));
    }

    #[test]
    fn an_address_has_a_limit_after_a_moment() {
        let all = connections(1_000, 4);
        let open: Vec<Open> = (0..8).map(|_| waiting(&all, "2001:db8::1", false).unwrap()).collect();
        let other = waiting(&all, "2001:db8:0:1::1", false).unwrap();
        all.trim();
        assert_eq!(all.count(), (9, 9), "new ones are spared");
        std::thread::sleep(super::super::class::SPARED + Duration::from_millis(50));
        let newest = waiting(&all, "2001:db8::2", false).unwrap();
        all.trim();
        assert_eq!(all.count(), (5, 5));
        assert!(open[..5].iter().all(is_evicted) && !is_evicted(&newest) && !is_evicted(&other));
    }

    #[test]
    fn a_relayed_connection_counts_for_its_client() {
        let all = connections(40, 100);
        let proxied: Vec<Open> = (0..10).map(|_| waiting(&all, "192.0.2.9", true).unwrap()).collect();
        assert_eq!(all.count(), (0, 10));
        assert!(waiting(&all, "192.0.2.9", true).is_some_and(|_| is_evicted(&proxied[0])));
        proxied[1].0.relays_for(at("198.51.100.1"));
        assert_eq!(all.count(), (1, 9));
        proxied[1].0.mark_known();
        assert_eq!(all.count(), (0, 9));
        proxied.iter().for_each(|open| open.0.handles());
        let _last = waiting(&all, "192.0.2.9", true).unwrap();
        let _last = waiting(&all, "192.0.2.9", true).unwrap();
        drop(waiting(&all, "192.0.2.9", true));
        assert!(!is_evicted(&proxied[2]), "requests are not interrupted");
    }

    #[test]
    fn a_connection_is_not_waiting_before_it_was_read_and_before_its_answer_is_written() {
        let all = connections(12, 100);
        let open = || all.open(at("192.0.2.1"), false).unwrap();
        let waiting = || waiting(&all, "192.0.2.1", false).unwrap();
        let (new, answering, answered) = (open(), waiting(), waiting());
        for open in [&answering, &answered] {
            open.0.handles();
            open.0.has_no_input();
            open.0.has_no_output();
            open.0.answers();
            open.0.has_no_input();
        }
        answered.0.has_no_output();
        let newer = open();
        assert!(is_evicted(&answered), "it waits");
        assert!([&new, &answering, &newer].into_iter().all(|open| !is_evicted(open)));
        let _newest = open();
        assert!(is_evicted(&new) && !is_evicted(&answering), "none waits: the oldest goes");
    }
}
