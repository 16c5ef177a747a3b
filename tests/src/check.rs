//! The invariants after every fault: nothing lost, nothing duplicated, queues empty, no unwanted mail.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use amqp::topology;
use serde_json::Value;

use crate::broker::{Broker, Witness};
use crate::eventually;
use crate::load::Pushed;
use crate::stack::Stack;
use crate::tenant::Tenant;

/// The queues that must be empty at the end.
const QUEUES: [&str; 6] = [
    topology::COMMANDS_LATER,
    topology::BULK_LATER,
    topology::COMMANDS,
    topology::BULK,
    topology::NOTIFIER,
    topology::ROLES,
];
/// The timeout for queued work once everything runs again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Waits until no command or event is queued and every event has been relayed.
pub async fn wait_until_idle(stack: &Stack) {
    let (db, broker) = (stack.db(), stack.broker().await);
    eventually("queues and outbox are empty", IDLE_TIMEOUT, async || {
        let mut queued = 0;
        for queue in QUEUES {
            queued += broker.ready(queue).await;
        }
        (queued == 0 && db.count("select 1 from outbox").await == 0).then_some(())
    })
    .await;
}

/// Checks all invariants after one tenant pushed new users and every request was acknowledged in the end. Stops the
/// workers and the notifier, to check that they hold no unacknowledged messages.
///
/// # Panics
/// If something was lost or duplicated.
pub async fn all_arrived_once(stack: &Stack, tenant: &Tenant, witness: &Witness, pushed: &[Pushed]) {
    for person in pushed {
        assert!(
            person.is_acknowledged(),
            "{} was answered {}: {}",
            person.user_name,
            person.answer.status,
            person.answer.text
        );
    }
    wait_until_idle(stack).await;
    let broker = stack.broker().await;
    every_answer_is_a_row(stack, tenant, pushed).await;
    one_created_event_each(&witness.events(&broker).await, pushed);
    nobody_was_mailed(stack, pushed).await;
    nothing_is_left(stack, &broker).await;
}

/// Every 2xx has one row in the database with the answered id; no id was answered twice.
async fn every_answer_is_a_row(stack: &Stack, tenant: &Tenant, pushed: &[Pushed]) {
    let answered: HashMap<String, &str> =
        pushed.iter().map(|p| (p.answer.id(), p.user_name.as_str())).collect();
    assert_eq!(answered.len(), pushed.len(), "an id was answered twice");
    let query = format!("select id, user_name from users where tenant_id = '{}'", tenant.id);
    let rows = stack.db().rows(&query).await;
    for row in &rows {
        let (id, name) = (row["id"].as_str().unwrap(), row["user_name"].as_str().unwrap());
        assert_eq!(answered.get(id), Some(&name), "a row that was never answered");
    }
    assert_eq!(rows.len(), pushed.len(), "some answered users are missing in the database");
}

/// Exactly one `user.created` for each user; a redelivered event has the same id and counts once.
fn one_created_event_each(events: &[Value], pushed: &[Pushed]) {
    let mut created: HashMap<&str, HashSet<&str>> = HashMap::new();
    for event in events.iter().filter(|event| event["type"] == "user.created") {
        let (user, id) = (event["data"]["user"]["id"].as_str().unwrap(), event["id"].as_str().unwrap());
        created.entry(user).or_default().insert(id);
    }
    for person in pushed {
        let events = created.remove(person.answer.id().as_str()).unwrap_or_default();
        assert_eq!(events.len(), 1, "user.created events of one user: {events:?}");
    }
    assert!(created.is_empty(), "user.created for users that were never answered: {created:?}");
}

/// Provisioning sends no mail, and the ledger has the reason.
async fn nobody_was_mailed(stack: &Stack, pushed: &[Pushed]) {
    let db = stack.db();
    eventually("the ledger has a row for each user", IDLE_TIMEOUT, async || {
        let suppressed = "select 1 from notifications where kind = 'welcome' and state = 'suppressed'";
        (db.count(suppressed).await == i64::try_from(pushed.len()).unwrap()).then_some(())
    })
    .await;
    assert!(stack.mailbox().mails().is_empty(), "mail was sent");
}

/// No messages are queued, dead-lettered, or unacknowledged.
async fn nothing_is_left(stack: &Stack, broker: &Broker) {
    let dead = broker.peek(topology::DEAD).await;
    let reasons: Vec<_> =
        dead.iter().map(|letter| crate::broker::header(letter, amqp::dead::REASON)).collect();
    assert!(dead.is_empty(), "dead letters: {reasons:?}");
    for service in stack.workers.iter().chain([&stack.notifier]) {
        let status = service.terminate().await;
        assert!(crate::process::ended_well(status), "{} ended with {status}", service.name());
    }
    for queue in QUEUES {
        assert_eq!(broker.ready(queue).await, 0, "messages in {queue} that a consumer had not acknowledged");
    }
    assert_eq!(stack.db().count("select 1 from outbox").await, 0);
    every_group_is_counted(stack).await;
}

/// The member count of every group is correct.
pub async fn every_group_is_counted(stack: &Stack) {
    let members = "select count(*) from group_members m where m.group_id = g.id";
    let wrong = format!("select id from groups g where member_count <> ({members})");
    assert_eq!(stack.db().rows(&wrong).await, [] as [Value; 0]);
}
