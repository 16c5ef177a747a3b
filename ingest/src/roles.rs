//! `role.changed` over AMQP: roles that the learning platform changed.
//!
//! Before it: the queue `rollcall.roles`, of which one ingest at a time gets messages. After it: the road of commands, where a changed
//! role is a change of the roster like any other; what can never be done is a dead letter.

use std::time::Duration;

use serde_json::Value;
use shared::amqp::dead::{self, Attempt};
use shared::amqp::{self, Batch, Handle, Link, Publisher, Subscription, Unfinished, topology};
use shared::command::{Actor, Change, Fingerprint};
use shared::event::{self, RoleChanged};
use shared::outcome::Outcome;
use shared::postgres::{self, tenants, verdicts};
use shared::retry::Delays;
use shared::shutdown::pause;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::app::Shared;
use crate::gate::Held;
use crate::road::{Errand, Unanswered};

/// How long a role may still take that is being set when ingest is told to stop. What is given back comes to the next ingest after
/// those that were behind it.
const FINISH: Duration = Duration::from_secs(5);

/// The errand that sets a role. The event is the request: when it comes again, it is known by its source and id.
#[must_use]
pub fn errand(tenant: Uuid, actor: Actor, request: Uuid, told: &RoleChanged) -> Errand {
    let RoleChanged { source, id, user, role } = told;
    Errand {
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

/// Whether the event has set its role already: then it has no say any more, whatever the role is now.
///
/// # Errors
/// See [`postgres::Error`].
pub async fn is_done(app: &Shared, errand: &Errand) -> Result<bool, postgres::Error> {
    let find = async |connection: &mut _| {
        verdicts::has_set_role(connection, errand.tenant, &errand.fingerprint).await
    };
    app.pool.bounded(find).await
}

/// Takes events of the queue until told to stop.
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

/// An event that was found valid.
#[derive(Debug, PartialEq, Eq)]
struct Changed {
    tenant: String,
    told: RoleChanged,
}

/// Why it is not done.
enum Undone {
    /// It never can be: one sentence that repeats nothing of the event.
    Never(String),
    /// Not now.
    Yet(String),
}

impl Handle for Intake {
    /// Sets the role, or buries the event; then acknowledges it.
    async fn handle(&self, subscription: &Subscription, batch: &Batch) -> Result<(), Unfinished> {
        for delivery in batch {
            let taken = match read(&delivery.data) {
                Ok(changed) => self.take_patiently(subscription, &changed).await?,
                Err(reason) => Some(reason),
            };
            let Some(reason) = taken else { continue };
            let attempt =
                Attempt { at: self.app.clock.now(), worker: "ingest".to_owned(), what: reason.clone() };
            let letter = dead::letter(delivery, topology::ROLES, &[attempt]);
            warn!(message.id = letter.shown_id(), reason, "a changed role goes to the dead-letter queue");
            self.publisher.publish(&[letter]).await?;
        }
        Ok(subscription.ack(batch).await?)
    }
}

impl Intake {
    /// Sets the role, for as long as it takes until that can be done; returns why it never can be.
    async fn take_patiently(
        &self,
        subscription: &Subscription,
        changed: &Changed,
    ) -> Result<Option<String>, Unfinished> {
        let mut delays = Delays::reconnect();
        let mut waits = false;
        loop {
            // On a channel that is no more it is not ours any more: whoever has it now goes on to later ones.
            if !subscription.channel().status().connected() {
                return Err(amqp::Error::Unavailable("the channel broke".to_owned()).into());
            }
            let taken = tokio::select! {
                () = self.too_late() => return Err(Unfinished::Stopped),
                taken = self.take(changed) => taken,
            };
            match taken {
                Ok(()) => return Ok(None),
                Err(Undone::Never(reason)) => return Ok(Some(reason)),
                Err(Undone::Yet(reason)) if !waits => warn!(reason, "a changed role waits"),
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

    async fn take(&self, changed: &Changed) -> Result<(), Undone> {
        let Changed { tenant, told } = changed;
        let away = |error: postgres::Error| Undone::Yet(error.to_string());
        let found =
            self.app.pool.bounded(async |connection| tenants::by_name(connection, tenant).await).await;
        let Some(tenant) = found.map_err(away)? else {
            return Err(Undone::Never("the tenant is not known".to_owned()));
        };
        let errand = errand(tenant.id, Actor::Platform, shared::id::new(), told);
        if is_done(&self.app, &errand).await.map_err(away)? {
            return Ok(());
        }
        match self.app.road.travel(errand).await {
            Ok(Outcome::Rejected { error }) => Err(Undone::Never(error.detail)),
            Ok(_) => Ok(()),
            // It may be so for a day: whoever sets the clocks right puts it back, and the roles behind it do not wait.
            Err(unanswered @ Unanswered::Unordered(_)) => Err(Undone::Never(unanswered.to_string())),
            Err(unanswered) => Err(Undone::Yet(unanswered.to_string())),
        }
    }
}

/// Reads a message of the queue.
///
/// # Errors
/// Why it can never be dealt with: one sentence that repeats nothing of its content.
fn read(body: &[u8]) -> Result<Changed, String> {
    let event: Value = serde_json::from_slice(body)
        .map_err(|error| format!("the message is no JSON ({:?} error)", error.classify()))?;
    if event::holds_nul(&event) {
        return Err("the event must not contain U+0000".to_owned());
    }
    let told = event::decode_role(&event)?;
    let tenant = event["tenant"].as_str().ok_or("the extension attribute tenant is missing")?;
    Ok(Changed { tenant: tenant.to_owned(), told })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::command::Role;

    use super::*;

    #[test]
    fn what_is_no_changed_role_is_told_by_its_field() {
        let user = Uuid::from_u128(7);
        let event = json!({
            "specversion": "1.0", "id": "1", "source": "/platform", "type": "role.changed", "tenant": "acme",
            "data": { "user": { "id": user }, "role": "manager" }
        });
        let read = |event: &Value| super::read(event.to_string().as_bytes());
        let (id, source) = ("1".to_owned(), "/platform".to_owned());
        let told = RoleChanged { source, id, user, role: Role::Manager };
        let expected = Changed { tenant: "acme".to_owned(), told };
        assert_eq!(read(&event), Ok(expected));
        for (at, value, word) in [
            ("/tenant", Value::Null, "tenant"),
            ("/tenant", json!("a\0b"), "U+0000"),
            ("/data/role", json!("owner"), "data.role"),
            ("/data/user/id", json!(7), "data.user.id"),
            ("/specversion", json!("2.0"), "specversion"),
        ] {
            let mut bad = event.clone();
            *bad.pointer_mut(at).unwrap() = value;
            let complaint = read(&bad).unwrap_err();
            assert!(complaint.contains(word), "{at}: {complaint}");
        }
        assert!(super::read(b"{").unwrap_err().contains("JSON"));
    }
}
