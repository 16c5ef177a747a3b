//! Consumes `role.changed` events from the queue `rollcall.roles`, which has a single active consumer, and dispatches
//! them as commands. An event that can never be applied becomes a dead letter.

use std::time::Duration;

use amqp::dead::{self, Attempt};
use amqp::{self, Batch, Handle, Link, Publisher, Subscription, Unfinished, topology};
use database::{self, tenants, verdicts};
use domain::command::{Actor, Change, Fingerprint};
use domain::event::{self, RoleChanged};
use domain::outcome::Outcome;
use platform::retry::Delays;
use platform::shutdown::pause;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::admission::Held;
use crate::app::Shared;
use crate::dispatch::{ChangeRequest, Unanswered};

/// How long a role change in progress may still take at shutdown. A message that is returned is redelivered to the next
/// consumer after the messages that followed it.
const FINISH: Duration = Duration::from_secs(5);

/// Why an event with another routing key is not applied.
const MISROUTED: &str = "the routing key must be the event's type";

/// The change request that sets a role. Its idempotency key is the event's source and id.
#[must_use]
pub fn change_request(tenant: Uuid, actor: Actor, request: Uuid, event: &RoleChanged) -> ChangeRequest {
    let RoleChanged { source, id, user, role } = event;
    ChangeRequest {
        tenant,
        actor,
        request,
        fingerprint: Fingerprint::of(tenant, event::ROLE_CHANGED, source, id.as_bytes(), None),
        resource: *user,
        if_match: None,
        change: Change::SetRole { role: *role },
        held: Held::default(),
    }
}

/// Whether the event was applied already. Then it is ignored, even if the role has changed since.
///
/// # Errors
/// See [`database::Error`].
pub async fn is_done(app: &Shared, change_request: &ChangeRequest) -> Result<bool, database::Error> {
    let find = async |connection: &mut _| {
        verdicts::has_set_role(connection, change_request.tenant, &change_request.fingerprint).await
    };
    app.pool.bounded(find).await
}

/// Consumes events until `stop`.
pub async fn run(app: Shared, link: Link, stop: CancellationToken) {
    let publisher = Publisher::new(link.clone());
    let intake = Intake { app, publisher, stop: stop.clone() };
    amqp::consume(link, topology::ROLES, 1, &stop, &intake).await;
}

struct Intake {
    app: Shared,
    publisher: Publisher,
    stop: CancellationToken,
}

/// A valid event.
#[derive(Debug, PartialEq, Eq)]
struct Changed {
    tenant: String,
    event: RoleChanged,
}

/// Why an event was not applied.
enum Undone {
    /// It can never be applied. The reason repeats nothing of the event's content.
    Never(String),
    /// It cannot be applied now.
    Yet(String),
}

impl Handle for Intake {
    /// Sets the role or publishes a dead letter, then acknowledges the event.
    async fn handle(&self, subscription: &Subscription, batch: Batch) -> Result<(), Unfinished> {
        for delivery in &batch {
            let taken = match read(&delivery.data, self.app.clock.now()) {
                // Whoever may publish other events only could otherwise send roles under their routing key.
                Ok(_) if !topology::is_routed_as(delivery, event::ROLE_CHANGED) => Some(MISROUTED.to_owned()),
                Ok(changed) => self.apply_with_retries(subscription, &changed).await?,
                Err(reason) => Some(reason),
            };
            let Some(reason) = taken else { continue };
            let attempt =
                Attempt { at: self.app.clock.now(), worker: "ingest".to_owned(), what: reason.clone() };
            let letter = dead::letter(delivery, topology::ROLES, &[attempt]);
            warn!(message.id = letter.shown_id(), reason, "moved a role event to the dead-letter queue");
            self.publisher.publish(&[letter]).await?;
        }
        Ok(subscription.ack(&batch).await?)
    }
}

impl Intake {
    /// Retries until the role is set. Returns the reason if it never can be.
    async fn apply_with_retries(
        &self,
        subscription: &Subscription,
        changed: &Changed,
    ) -> Result<Option<String>, Unfinished> {
        let mut delays = Delays::reconnect();
        let mut waits = false;
        loop {
            // When the channel is closed, the broker redelivers the message: another consumer may already have applied
            // it and later ones.
            if !subscription.channel().status().connected() {
                return Err(amqp::Error::Unavailable("the channel broke".to_owned()).into());
            }
            let taken = tokio::select! {
                () = self.too_late() => return Err(Unfinished::Stopped),
                taken = self.apply(changed) => taken,
            };
            match taken {
                Ok(()) => return Ok(None),
                Err(Undone::Never(reason)) => return Ok(Some(reason)),
                Err(Undone::Yet(reason)) if !waits => warn!(reason, "failed to apply a role event; retrying"),
                Err(Undone::Yet(_)) => {}
            }
            waits = true;
            if !pause(&self.stop, delays.next_delay()).await {
                return Err(Unfinished::Stopped);
            }
        }
    }

    async fn too_late(&self) {
        self.stop.cancelled().await;
        sleep(FINISH).await;
    }

    async fn apply(&self, changed: &Changed) -> Result<(), Undone> {
        let Changed { tenant, event } = changed;
        let away = |error: database::Error| Undone::Yet(error.to_string());
        let found =
            self.app.pool.bounded(async |connection| tenants::by_name(connection, tenant).await).await;
        let Some(tenant) = found.map_err(away)? else {
            return Err(Undone::Never("unknown tenant".to_owned()));
        };
        let change_request = change_request(tenant.id, Actor::Platform, platform::id::new(), event);
        if is_done(&self.app, &change_request).await.map_err(away)? {
            return Ok(());
        }
        match self.app.dispatcher.submit(change_request).await {
            Ok(Outcome::Rejected { error }) => Err(Undone::Never(error.detail)),
            Ok(_) => Ok(()),
            // Clock skew may last for a day. The operator requeues the dead letter afterwards; later events must not
            // wait.
            Err(unanswered @ Unanswered::Unordered(_)) => Err(Undone::Never(unanswered.to_string())),
            Err(unanswered) => Err(Undone::Yet(unanswered.to_string())),
        }
    }
}

/// Parses a message.
///
/// # Errors
/// Why it can never be applied. The reason repeats nothing of its content.
fn read(body: &[u8], now: OffsetDateTime) -> Result<Changed, String> {
    let message: Value = serde_json::from_slice(body)
        .map_err(|error| format!("the message is not valid JSON ({:?} error)", error.classify()))?;
    if event::holds_nul(&message) {
        return Err("the event must not contain U+0000".to_owned());
    }
    let event = event::decode_role(&message)?;
    event::check_issued(event.user, now)?;
    let tenant = message["tenant"].as_str().ok_or("the extension attribute tenant is missing")?;
    Ok(Changed { tenant: tenant.to_owned(), event })
}

#[cfg(test)]
mod tests {
    use domain::command::Role;
    use platform::clock::Clock;
    use serde_json::json;

    use super::*;

    #[test]
    fn invalid_role_event_is_rejected_with_the_field_name() {
        let now = Clock::System.now();
        let user = platform::id::new();
        let event = json!({
            "specversion": "1.0", "id": "1", "source": "/platform", "type": "role.changed", "tenant": "acme",
            "data": { "user": { "id": user }, "role": "manager" }
        });
        let read = |event: &Value| super::read(event.to_string().as_bytes(), now);
        let (id, source) = ("1".to_owned(), "/platform".to_owned());
        let parsed = RoleChanged { source, id, user, role: Role::Manager };
        let expected = Changed { tenant: "acme".to_owned(), event: parsed };
        assert_eq!(read(&event), Ok(expected));
        for (at, value, word) in [
            ("/tenant", Value::Null, "tenant"),
            ("/tenant", json!("a\0b"), "U+0000"),
            ("/data/role", json!("owner"), "data.role"),
            ("/data/user/id", json!(7), "data.user.id"),
            ("/data/user/id", json!("ffffffff-ffff-7fff-bfff-ffffffffffff"), "data.user.id"),
            ("/specversion", json!("2.0"), "specversion"),
        ] {
            let mut bad = event.clone();
            *bad.pointer_mut(at).unwrap() = value;
            let complaint = read(&bad).unwrap_err();
            assert!(complaint.contains(word), "{at}: {complaint}");
        }
        assert!(super::read(b"{", now).unwrap_err().contains("JSON"));
    }
}
