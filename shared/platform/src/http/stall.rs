//! Notices that a client does not read what is sent to it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// How much a client must read in the time limit, in bytes, unless that is all.
const PROGRESS: usize = 16 << 10;

/// The state of writing to a client.
pub(super) struct Stall {
    time_limit: Duration,
    /// `Some` while there is something that the client has no room for.
    blocked: Option<Blocked>,
    has_cut_off: bool,
    /// Whether reading was refused meanwhile.
    owes_a_read: bool,
}

struct Blocked {
    until: Pin<Box<Sleep>>,
    written: usize,
}

impl Stall {
    /// A client that must read within this time.
    pub(super) fn new(time_limit: Duration) -> Self {
        Self { time_limit, blocked: None, has_cut_off: false, owes_a_read: false }
    }

    /// Whether nothing may be read now. The task is woken when it may.
    pub(super) fn blocks_reading(&mut self) -> bool {
        self.owes_a_read = self.blocked.is_some();
        self.owes_a_read
    }

    /// Whether the client has not read for too long.
    pub(super) fn has_cut_off(&self) -> bool {
        self.has_cut_off
    }

    /// Checks the result of writing `offered` bytes. It is an error if the client has not read for too long.
    pub(super) fn check(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
        offered: usize,
    ) -> Poll<io::Result<usize>> {
        match result {
            Poll::Pending => {
                let time_limit = self.time_limit;
                let start = || Blocked { until: Box::pin(sleep(time_limit)), written: 0 };
                let blocked = self.blocked.get_or_insert_with(start);
                if blocked.until.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.has_cut_off = true;
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Ready(Ok(written)) => {
                if let Some(blocked) = self.blocked.as_mut() {
                    blocked.written += written;
                    if written == offered || blocked.written >= PROGRESS {
                        self.blocked = None;
                    }
                }
                if self.blocked.is_none() && std::mem::take(&mut self.owes_a_read) {
                    context.waker().wake_by_ref();
                }
                Poll::Ready(Ok(written))
            }
            failed @ Poll::Ready(Err(_)) => failed,
        }
    }
}
