//! Runs work in tasks that continue after the client disconnects, for handlers that must not be dropped halfway.
//! Shutdown waits for these tasks.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span, warn};

use crate::http::response::Refusal;

/// How long work may take to stop once the grace period is over.
const HALT: Duration = Duration::from_secs(5);

/// The detached work of requests.
#[derive(Default)]
pub struct Detached {
    tasks: TaskTracker,
    halting: CancellationToken,
}

impl Detached {
    /// Runs the work to its end, even if the caller is dropped.
    ///
    /// # Errors
    /// 500 if it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let task = self.tasks.spawn(work.instrument(Span::current()));
        task.await.map_err(|_| Refusal::bug("the work of a request panicked"))
    }

    /// Whether work should stop at its next step, because the process is about to exit.
    #[must_use]
    pub fn is_halting(&self) -> bool {
        self.halting.is_cancelled()
    }

    /// Waits for all work until `until`, then asks it to stop and waits a few more seconds. No new work may start.
    pub async fn finish(&self, until: Instant) {
        self.tasks.close();
        if timeout_at(until, self.tasks.wait()).await.is_ok() {
            return;
        }
        self.halting.cancel();
        if timeout(HALT, self.tasks.wait()).await.is_err() {
            warn!(requests = self.tasks.len(), "stopped before all requests had finished");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_of_a_dropped_caller_continues_and_is_waited_for() {
        let (detached, done) = (Detached::default(), Arc::new(AtomicUsize::new(0)));
        let (go, waits) = oneshot::channel::<()>();
        let work = {
            let done = done.clone();
            async move {
                let _ = waits.await;
                done.fetch_add(1, Ordering::SeqCst);
            }
        };
        let caller = timeout(Duration::from_millis(10), detached.run(work));
        assert!(caller.await.is_err(), "the caller gave up");
        go.send(()).unwrap();
        detached.finish(Instant::now() + Duration::from_secs(60)).await;
        assert_eq!((done.load(Ordering::SeqCst), detached.is_halting()), (1, false));
    }

    #[tokio::test]
    async fn unfinished_work_is_asked_to_halt() {
        let (detached, steps) = (Arc::new(Detached::default()), Arc::new(AtomicUsize::new(0)));
        let work = {
            let (detached, steps) = (detached.clone(), steps.clone());
            async move {
                while !detached.is_halting() {
                    steps.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
            }
        };
        let caller = tokio::spawn({
            let detached = detached.clone();
            async move { detached.run(work).await }
        });
        while steps.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        detached.finish(Instant::now() + Duration::from_millis(10)).await;
        assert!(caller.await.unwrap().is_ok(), "the work stopped when it was asked to");
    }
}
