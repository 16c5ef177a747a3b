//! Single flight for checks of unknown keys: concurrent requests with the same key share one check, for instance when
//! an identity provider opens all its connections right after this process has started.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use database::keys::Key;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use super::failures::Source;
use super::keyring::Digest;
use crate::http::response::Refusal;

/// The verified key, or the refusal.
pub(super) type Checked = Result<Arc<Key>, Refusal>;
type Checking = BoxFuture<'static, Checked>;
/// The digest of a presented key, and the user name sent with it.
type Presented = (Digest, Option<Source>);

/// The checks in progress. A check lives as long as a request waits for it.
#[derive(Default)]
pub(super) struct SingleFlight(Mutex<HashMap<Presented, WeakShared<Checking>>>);

impl SingleFlight {
    /// Joins the check of this key, or starts one.
    pub(super) fn join(&self, presented: Presented, begin: impl FnOnce() -> Checking) -> Shared<Checking> {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = under_way.get(&presented).and_then(WeakShared::upgrade) {
            return flight;
        }
        under_way.retain(|_, flight| flight.upgrade().is_some());
        let flight = begin().shared();
        under_way.extend(flight.downgrade().map(|weak| (presented, weak)));
        flight
    }
}
