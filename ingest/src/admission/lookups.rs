//! Looks up API keys that this ingest does not know, many at a time: all that arrive while one statement runs go into
//! the next. So a right key waits for two statements at most, however many wrong ones arrive, and they use one
//! connection.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use database::Pool;
use database::keys::{Key, by_prefixes};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::debug;

use super::presented::{Prefix, text};
use crate::read_through::{Found, Unread};

/// The maximum number of look-ups that wait. Further ones are refused: Postgres is slow or away.
const WAITING: usize = 2_048;
/// The maximum number of look-ups in one statement.
const TOGETHER: usize = 1_024;
/// How long a request waits for its look-up.
const WAIT: Duration = Duration::from_secs(2);

/// A public part, and where the key goes.
type Lookup = (Prefix, oneshot::Sender<Found<Arc<Key>>>);

/// The look-ups of unknown keys. Clones share them.
#[derive(Clone)]
pub(super) struct Lookups(mpsc::Sender<Lookup>);

impl Lookups {
    /// Starts the task that reads. It ends when this is dropped.
    pub(super) fn start(pool: Pool) -> Self {
        let (sender, waiting) = mpsc::channel(WAITING);
        tokio::spawn(run(waiting, pool));
        Self(sender)
    }

    /// The key with this public part.
    pub(super) async fn find(&self, prefix: Prefix) -> Found<Arc<Key>> {
        let (sender, found) = oneshot::channel();
        self.0.try_send((prefix, sender)).map_err(|_| Unread::Busy)?;
        match timeout(WAIT, found).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) | Err(_) => Err(Unread::Busy),
        }
    }
}

async fn run(mut waiting: mpsc::Receiver<Lookup>, pool: Pool) {
    let mut together = Vec::new();
    while waiting.recv_many(&mut together, TOGETHER).await > 0 {
        // Whoever has given up need not be looked up.
        together.retain(|(_, sender)| !sender.is_closed());
        let prefixes: HashSet<Prefix> = together.iter().map(|(prefix, _)| *prefix).collect();
        let found = if prefixes.is_empty() { Ok(HashMap::new()) } else { read(&pool, &prefixes).await };
        for (prefix, sender) in together.drain(..) {
            // Its request may have given up since.
            let _ = sender.send(found.as_ref().map(|found| found.get(&prefix).cloned()).map_err(|why| *why));
        }
    }
}

async fn read(pool: &Pool, prefixes: &HashSet<Prefix>) -> Result<HashMap<Prefix, Arc<Key>>, Unread> {
    let texts: Vec<&str> = prefixes.iter().map(text).collect();
    let found = pool.bounded(async |connection| by_prefixes(connection, &texts).await).await;
    let found = found.map_err(|error| {
        // The Postgres watcher logs once that Postgres is away.
        debug!(%error, keys = texts.len(), "failed to look up API keys");
        Unread::from(&error)
    })?;
    let by_prefix = |key: Key| Some((key.prefix.as_bytes().try_into().ok()?, Arc::new(key)));
    Ok(found.into_iter().filter_map(by_prefix).collect())
}
