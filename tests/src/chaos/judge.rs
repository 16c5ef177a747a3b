//! The invariants, checked after the faults: histories at once, the state when the system is quiescent.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use amqp::{dead, topology};
use serde_json::Value;

use super::groups::Pushed;
use super::history::Subject;
use super::people::Lived;
use crate::broker::{self, Witness};
use crate::smtp::SmtpServer;
use crate::stack::Stack;
use crate::{check, eventually};

/// The timeout for mail: the notifier's lease after a kill, and its backoff after a silent server.
const MAIL: Duration = Duration::from_secs(400);

/// Waits until the system is quiescent.
pub async fn quiet(stack: &Stack) {
    check::wait_until_idle(stack).await;
    let db = stack.db();
    eventually("no mail is due and no event is parked", MAIL, async || {
        let open = "select 1 from notifications where state in ('pending', 'sending')";
        (db.count(open).await == 0 && db.count("select 1 from parked_events").await == 0).then_some(())
    })
    .await;
}

/// The histories that are not linearizable, as text.
#[must_use]
pub fn unexplained<'a>(subjects: impl Iterator<Item = &'a Subject>) -> Vec<String> {
    subjects.filter(|subject| !subject.is_explained()).map(Subject::to_text).collect()
}

/// Checks that every acknowledged user exists once, with the id that was answered.
pub async fn users_are_there_once(stack: &Stack, people: &[Lived]) -> Vec<String> {
    let rows = stack.db().rows("select id, external_id from users").await;
    let mut ids: HashMap<&str, Vec<&str>> = HashMap::new();
    for row in &rows {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        ids.entry(text("external_id")).or_default().push(text("id"));
    }
    let mut wrong = Vec::new();
    for person in people {
        let there = ids.get(person.external_id().as_str()).cloned().unwrap_or_default();
        let answered: Vec<&str> = person.id.iter().map(String::as_str).collect();
        if there != answered {
            wrong.push(format!("{}: answered {answered:?}, found {there:?}", person.subject.name));
        }
    }
    wrong
}

/// Checks that no group exists more often than it may have been created.
pub async fn groups_are_there_once(stack: &Stack, groups: &[Pushed]) -> Vec<String> {
    let rows =
        stack.db().rows("select display_name, count(*) as count from groups group by display_name").await;
    let count = |name: &str| {
        rows.iter().find(|row| row["display_name"] == name).and_then(|row| row["count"].as_u64())
    };
    let is_wrong = |group: &&Pushed| count(&group.name).unwrap_or(0) > group.attempts as u64;
    groups
        .iter()
        .filter(is_wrong)
        .map(|group| format!("a group exists twice: {}", group.subject.to_text()))
        .collect()
}

/// Checks that every version of a user has exactly one event, in the order of the versions.
pub async fn events_match(stack: &Stack, witness: &Witness) -> Vec<String> {
    let events = witness.events(&stack.broker().await).await;
    let mut seen = HashSet::new();
    let mut by_user: HashMap<&str, Vec<(u64, &str)>> = HashMap::new();
    for event in
        events.iter().filter(|event| event["type"].as_str().is_some_and(|kind| kind.starts_with("user.")))
    {
        let text = |value: &Value| value.as_str().map(str::to_owned).unwrap_or_default();
        // A redelivered event has the same id and counts once.
        if seen.insert(text(&event["id"])) {
            let version = event["sequence"].as_str().and_then(|sequence| sequence.parse().ok()).unwrap_or(0);
            let user = event["data"]["user"]["id"].as_str().unwrap_or_default();
            by_user.entry(user).or_default().push((version, event["type"].as_str().unwrap_or_default()));
        }
    }
    let rows = stack.db().rows("select id, version from users").await;
    let wrong = rows.iter().filter_map(|row| {
        let (id, version) = (row["id"].as_str()?, row["version"].as_u64()?);
        let events = by_user.remove(id).unwrap_or_default();
        let in_order = events.is_sorted_by_key(|(version, _)| *version);
        let versions: Vec<u64> = events
            .iter()
            .map(|(version, _)| *version)
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect();
        let created = events.iter().filter(|(_, kind)| *kind == "user.created").count();
        let distinct = events.iter().collect::<HashSet<_>>().len() == events.len();
        let is_fine = in_order && distinct && created == 1 && versions == (1..=version).collect::<Vec<_>>();
        (!is_fine).then(|| format!("the events of user {id}, whose version is {version}: {events:?}"))
    });
    let mut wrong: Vec<String> = wrong.collect();
    wrong.extend(by_user.keys().map(|id| format!("events of an unknown user: {id}")));
    wrong
}

/// Checks that every user with assigned content got exactly one first mail (or a permanent rejection), and nobody else
/// any. Copies have the same Message-ID. No user was welcomed.
pub async fn mail_is_right(stack: &Stack, people: &[Lived], smtp: &SmtpServer) -> Vec<String> {
    let mut mails: BTreeMap<String, HashSet<String>> = BTreeMap::new();
    for mail in smtp.taken().into_iter().chain(smtp.refused()) {
        mails.entry(mail.to).or_default().insert(mail.message_id);
    }
    let mut wrong = Vec::new();
    for person in people {
        let Some((address, is_certain)) = &person.assigned else { continue };
        match mails.remove(address).map_or(0, |ids| ids.len()) {
            1 => {}
            // It is unknown whether the event was accepted.
            0 if !is_certain => {}
            other => {
                wrong.push(format!("{} was assigned content and got {other} mails", person.subject.name));
            }
        }
    }
    wrong.extend(mails.values().map(|ids| format!("{} mails to a user without assignments", ids.len())));
    let welcomed = "select 1 from notifications where kind = 'welcome' and state <> 'suppressed'";
    if stack.db().count(welcomed).await > 0 {
        wrong.push("a user from SCIM was welcomed".to_owned());
    }
    wrong
}

/// Checks that every command the broker confirmed has a verdict, even though no client waits for it. A queue also
/// appears empty while workers hold its messages, so this waits for them.
pub async fn what_was_queued_is_decided(stack: &Stack, queued: &[String], timeout: Duration) -> Vec<String> {
    let db = stack.db();
    let until = Instant::now() + timeout;
    loop {
        let rows = db.rows("select distinct request_id from commands where status is not null").await;
        let decided: HashSet<&str> = rows.iter().filter_map(|row| row["request_id"].as_str()).collect();
        let silent: Vec<&String> =
            queued.iter().filter(|request| !decided.contains(request.as_str())).collect();
        if silent.is_empty() || Instant::now() > until {
            let message = |request| format!("the command of request {request} was queued and has no verdict");
            return silent.into_iter().map(message).collect();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Checks that exactly one command of every acknowledged request took effect according to the log, or that the log says
/// that the same POST was repeated before the first outcome was known to be delivered.
pub async fn what_was_acknowledged_is_applied(stack: &Stack, acknowledged: &[String]) -> Vec<String> {
    let applied = "select request_id from commands where status < 300 \
        or outcome -> 'error' ->> 'detail' = 'a retry of this request has created the resource'";
    let rows = stack.db().rows(applied).await;
    let mut applied: HashMap<&str, usize> = HashMap::new();
    for request in rows.iter().filter_map(|row| row["request_id"].as_str()) {
        *applied.entry(request).or_default() += 1;
    }
    let times = |request: &String| applied.get(request.as_str()).copied().unwrap_or_default();
    let wrong = acknowledged.iter().filter(|request| times(request) != 1);
    wrong
        .map(|request| format!("request {request} was acknowledged but took effect {} times", times(request)))
        .collect()
}

/// Checks that there are no dead letters.
pub async fn nothing_is_dead(stack: &Stack) -> Vec<String> {
    let letters = stack.broker().await.peek(topology::DEAD).await;
    letters.iter().map(|letter| format!("a dead letter: {}", broker::header(letter, dead::REASON))).collect()
}
