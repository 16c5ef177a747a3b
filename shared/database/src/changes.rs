//! Follows changes of tenants, API keys and extension schemas. Triggers of their tables announce them by NOTIFY when
//! they are committed (PostgreSQL's manual, NOTIFY), so that caches need not wait until they read again.
//!
//! The connection is used for nothing else, so that it also shows whether Postgres is away or other work is only slow.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, Notification};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::Pool;
use super::connect::{WAIT, cause};

/// Begins to listen. The name of the channel is also in the migration `changes_announced`.
const LISTEN: &str = "listen rollcall_changed";
/// How often the connection is probed.
const PROBE: Duration = Duration::from_secs(1);
/// How long Postgres may leave a probe unanswered before it counts as away.
const SILENCE: Duration = Duration::from_secs(5);
/// The pause before the next attempt to connect.
const AGAIN: Duration = Duration::from_secs(1);

/// What [`follow`] reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Changes are reported from now on. Anything may have changed before.
    Following,
    /// The tenant, or one of its keys or schemas, has changed.
    Changed(Uuid),
    /// Postgres is away. Changes are not reported.
    Away,
}

/// Reports changes over a connection of its own, until `stop`. `tell` should return at once.
pub async fn follow(pool: Pool, stop: CancellationToken, mut tell: impl FnMut(News) + Send) {
    let mut is_lost = false;
    loop {
        let mut began = false;
        let told = |news| {
            began |= news == News::Following;
            tell(news);
        };
        let reason = tokio::select! {
            () = stop.cancelled() => return,
            reason = listen(&pool, told) => reason,
        };
        tell(News::Away);
        if began || !is_lost {
            warn!(reason, "lost the connection that reports changes of keys and settings; connecting again");
        } else {
            debug!(reason, "failed to connect for changes of keys and settings");
        }
        is_lost = true;
        if !platform::shutdown::pause(&stop, AGAIN).await {
            return;
        }
    }
}

/// Listens until the connection breaks or falls silent; returns the reason.
async fn listen(pool: &Pool, mut tell: impl FnMut(News) + Send) -> String {
    let connecting = timeout(WAIT, pool.connector().connect_notified()).await;
    let (client, mut notified) = match connecting {
        Ok(Ok(connected)) => connected,
        Ok(Err(reason)) => return reason,
        Err(_) => return "no connection within the time allowed".to_owned(),
    };
    if let Err(reason) = answered(&client, LISTEN).await {
        return reason;
    }
    info!("receiving changes of keys and settings");
    tell(News::Following);
    loop {
        let probe = async {
            tokio::time::sleep(PROBE).await;
            answered(&client, "select 1").await
        };
        tokio::select! {
            notification = notified.recv() => match notification {
                Some(notification) => tell(news(&notification)),
                None => return "the connection broke".to_owned(),
            },
            result = probe => if let Err(reason) = result { return reason },
        }
    }
}

/// An unreadable payload comes from a later version, or from a stranger: anything may have changed.
fn news(notification: &Notification) -> News {
    notification.payload().parse().map_or(News::Following, News::Changed)
}

async fn answered(client: &Client, statement: &str) -> Result<(), String> {
    match timeout(SILENCE, client.batch_execute(statement)).await {
        Ok(result) => result.map_err(|error| cause(&error)),
        Err(_) => Err("it does not answer".to_owned()),
    }
}
