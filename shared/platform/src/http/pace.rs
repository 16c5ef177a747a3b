//! How fast pipelined requests are answered. A connection with many of them could keep a processor busy, and other
//! clients waiting.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The number of pipelined requests of a stranger that are answered without a pause.
const FREE: usize = 5;
/// The number of pipelined requests of a stranger that are answered before the last one.
const MAX_PIPELINED: usize = 30;

/// How to treat a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// At once.
    Normal,
    /// After the requests of others.
    Yield,
    /// After a pause.
    Slow,
    /// As `Slow`, and the connection ends.
    Last,
}

/// What a connection has pipelined.
pub(super) struct Pipelining {
    /// Whether something was read since the last answer.
    has_read: AtomicBool,
    /// The number of pipelined requests before the first admitted one.
    count: AtomicUsize,
}

impl Pipelining {
    pub(super) fn new() -> Self {
        Self { has_read: AtomicBool::new(true), count: AtomicUsize::new(0) }
    }

    /// Records that the client sent something, or (`false`) that it was answered.
    pub(super) fn set_has_read(&self, has_read: bool) {
        self.has_read.store(has_read, Ordering::Relaxed);
    }

    /// How to treat the next request, whose head is complete. It is pipelined if it was there before the last answer.
    pub(super) fn pace(&self, is_known: bool) -> Pace {
        if self.has_read.load(Ordering::Relaxed) {
            return Pace::Normal;
        }
        if is_known {
            return Pace::Yield;
        }
        match self.count.fetch_add(1, Ordering::Relaxed) {
            0..FREE => Pace::Yield,
            FREE..MAX_PIPELINED => Pace::Slow,
            _ => Pace::Last,
        }
    }
}
