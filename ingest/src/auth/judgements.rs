//! The judgements of unknown keys that are under way: requests that show the same key at the same time share one, as when an
//! identity provider comes with all its connections just after a start.
//!
//! Before it: a key that is not known. After it: the slow lane, if need be, and the keyring.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use shared::postgres::keys::Key;

use super::failures::Claim;
use super::keyring::Digest;
use crate::http::answer::Refusal;

/// The key, or why not.
pub(super) type Judged = Result<Arc<Key>, Refusal>;
type Judging = BoxFuture<'static, Judged>;
/// A key as it was presented, and the user name with it.
type Presented = (Digest, Option<Claim>);

/// The judgements; each lives as long as somebody waits for it.
#[derive(Default)]
pub(super) struct Judgements(Mutex<HashMap<Presented, WeakShared<Judging>>>);

impl Judgements {
    /// Joins the judgement of this key, or begins one.
    pub(super) fn join(&self, presented: Presented, begin: impl FnOnce() -> Judging) -> Shared<Judging> {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(judgement) = under_way.get(&presented).and_then(WeakShared::upgrade) {
            return judgement;
        }
        under_way.retain(|_, judgement| judgement.upgrade().is_some());
        let judgement = begin().shared();
        under_way.extend(judgement.downgrade().map(|weak| (presented, weak)));
        judgement
    }
}
