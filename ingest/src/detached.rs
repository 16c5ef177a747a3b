//! Work that goes on when its client hangs up, in tasks that stopping waits for.
//!
//! Before it: a handler that would do half of it if it were dropped. After it: the answer, if anybody still waits.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span, warn};

use crate::http::answer::Refusal;

/// How long what is being done at the end of the grace may take to come to a halt.
const HALT: Duration = Duration::from_secs(5);

/// The work of requests, whoever still waits for it.
#[derive(Default)]
pub struct Detached {
    tasks: TaskTracker,
    halting: CancellationToken,
}

impl Detached {
    /// Does the work to its end, whether the caller waits for it or is dropped. What the work holds is held until then.
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

    /// Whether nothing more should be begun: the process is about to end.
    #[must_use]
    pub fn is_halting(&self) -> bool {
        self.halting.is_cancelled()
    }

    /// Waits until all work has ended, or until then; what goes on still has a moment to come to a halt. No new work may begin.
    pub async fn finish(&self, until: Instant) {
        self.tasks.close();
        if timeout_at(until, self.tasks.wait()).await.is_ok() {
            return;
        }
        self.halting.cancel();
        if timeout(HALT, self.tasks.wait()).await.is_err() {
            warn!(requests = self.tasks.len(), "stopped before all requests were done");
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
    async fn work_whose_caller_is_dropped_goes_on_and_is_waited_for() {
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
    async fn work_that_goes_on_is_told_to_halt() {
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
        assert!(caller.await.unwrap().is_ok(), "it came to a halt by itself");
    }
}
