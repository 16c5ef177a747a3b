//! Places for the work of runs: reading and processing one page. A run gives its place back after each page and during
//! each pause, and waits behind the others for the next one. So runs take turns, and neither a slow provider nor a rate
//! limit keeps the run of another company from beginning.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::stop_reason::StopReason;

/// The places of this process, for those who ask first.
#[derive(Clone)]
pub struct Places(Arc<Semaphore>);

impl Places {
    /// This many places.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count)))
    }

    /// How many are free.
    #[must_use]
    pub fn free(&self) -> usize {
        self.0.available_permits()
    }

    /// For a run that has no place yet.
    #[must_use]
    pub fn none_yet(&self) -> Place {
        Place { places: self.clone(), held: Mutex::default() }
    }
}

/// The place of a run, if it has one now.
pub struct Place {
    places: Places,
    held: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Place {
    /// Waits for a place, unless the run has one.
    ///
    /// # Errors
    /// [`StopReason::Released`] after `stop`.
    pub async fn take(&self, stop: &CancellationToken) -> Result<(), StopReason> {
        if self.held().is_some() {
            return Ok(());
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(StopReason::Released),
            // The semaphore is never closed.
            place = self.places.0.clone().acquire_owned() => {
                *self.held() = place.ok();
                Ok(())
            }
        }
    }

    /// Gives the place back.
    pub fn give_back(&self) {
        self.held().take();
    }

    fn held(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn runs_take_turns_and_a_pause_gives_the_place_to_the_next() {
        let (places, stop) = (Places::new(1), CancellationToken::new());
        let (one, other) = (places.none_yet(), places.none_yet());
        one.take(&stop).await.unwrap();
        one.take(&stop).await.unwrap();
        let mut waiting = Box::pin(other.take(&stop));
        assert!(waiting.as_mut().now_or_never().is_none(), "the place is taken");
        one.give_back();
        let mut again = Box::pin(one.take(&stop));
        assert!(again.as_mut().now_or_never().is_none(), "the other one was first");
        waiting.await.unwrap();
        other.give_back();
        again.await.unwrap();
        assert_eq!(places.free(), 0);
        stop.cancel();
        assert!(matches!(other.take(&stop).await, Err(StopReason::Released)));
        drop(one);
        assert_eq!(places.free(), 1);
    }
}
