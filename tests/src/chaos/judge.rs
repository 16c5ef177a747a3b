//! When all is quiet: everything that must hold, whatever was broken. Before it: the histories. After it: the verdict.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use serde_json::Value;
use shared::amqp::{dead, topology};

use super::groups::Pushed;
use super::history::Subject;
use super::people::Lived;
use crate::broker::{self, Witness};
use crate::smtp::SmtpServer;
use crate::stack::Stack;
use crate::{check, eventually};

/// How long mail may take: the notifier's lease after a kill, and its pauses after a silent server.
const MAIL: Duration = Duration::from_secs(400);

/// How long what workers have in hand may take, when nothing is broken any more: the longest lock of a worker that was paused,
/// several times over.
const IN_HAND: Duration = Duration::from_secs(90);

/// Waits until nothing is under way any more.
pub async fn quiet(stack: &Stack) {
    check::settled(stack).await;
    let db = stack.db();
    eventually("all mail is settled and no event waits", MAIL, async || {
        let open = "select 1 from notifications where state in ('pending', 'claimed')";
        (db.count(open).await == 0 && db.count("select 1 from parked_events").await == 0).then_some(())
    })
    .await;
}

/// Subjects whose history no order explains, each told whole.
#[must_use]
pub fn unexplained<'a>(subjects: impl Iterator<Item = &'a Subject>) -> Vec<String> {
    subjects.filter(|subject| !subject.is_explained()).map(Subject::told).collect()
}

/// Every acknowledged user is there once, under the id that was told.
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
        let told: Vec<&str> = person.id.iter().map(String::as_str).collect();
        if there != told {
            wrong.push(format!("{}: told {told:?}, there is {there:?}", person.subject.name));
        }
    }
    wrong
}

/// No group was made more often than it may have been.
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
        .map(|group| format!("a group was made twice: {}", group.subject.told()))
        .collect()
}

/// Every version of a user has its event, once, and they come in the order of the versions.
pub async fn events_match(stack: &Stack, witness: &Witness) -> Vec<String> {
    let events = witness.events(&stack.broker().await).await;
    let mut seen = HashSet::new();
    let mut by_user: HashMap<&str, Vec<(u64, &str)>> = HashMap::new();
    for event in
        events.iter().filter(|event| event["type"].as_str().is_some_and(|kind| kind.starts_with("user.")))
    {
        let text = |value: &Value| value.as_str().map(str::to_owned).unwrap_or_default();
        // A repetition carries the same id, and counts once.
        if seen.insert(text(&event["id"])) {
            let version = event["sequence"].as_str().and_then(|sequence| sequence.parse().ok()).unwrap_or(0);
            let user = event["data"]["user"]["id"].as_str().unwrap_or_default();
            by_user.entry(user).or_default().push((version, event["type"].as_str().unwrap_or_default()));
        }
    }
    let rows = stack.db().rows("select id, version from users").await;
    let wrong = rows.iter().filter_map(|row| {
        let (id, version) = (row["id"].as_str()?, row["version"].as_u64()?);
        let told = by_user.remove(id).unwrap_or_default();
        let in_order = told.is_sorted_by_key(|(version, _)| *version);
        let versions: Vec<u64> = told
            .iter()
            .map(|(version, _)| *version)
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect();
        let created = told.iter().filter(|(_, kind)| *kind == "user.created").count();
        let distinct = told.iter().collect::<HashSet<_>>().len() == told.len();
        let is_fine = in_order && distinct && created == 1 && versions == (1..=version).collect::<Vec<_>>();
        (!is_fine).then(|| format!("the events of user {id}, whose version is {version}: {told:?}"))
    });
    let mut wrong: Vec<String> = wrong.collect();
    wrong.extend(by_user.keys().map(|id| format!("events of a user who is not there: {id}")));
    wrong
}

/// Exactly one first mail to whoever was assigned content (or one refusal for good), none to anybody else; a second copy
/// has the same Message-ID. Nobody was welcomed.
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
            // Nobody knows whether the event was taken.
            0 if !is_certain => {}
            other => {
                wrong.push(format!("{} was assigned content and got {other} mails", person.subject.name));
            }
        }
    }
    wrong.extend(
        mails.values().map(|ids| format!("{} mails to somebody who was assigned nothing", ids.len())),
    );
    let welcomed = "select 1 from notifications where kind = 'welcome' and state <> 'suppressed'";
    if stack.db().count(welcomed).await > 0 {
        wrong.push("a user from SCIM was welcomed".to_owned());
    }
    wrong
}

/// What the broker confirmed has a verdict, though nobody waited for it any more. A queue shows as empty while a worker has
/// messages in hand, so they are given their time.
pub async fn what_was_queued_is_decided(stack: &Stack, queued: &[String]) -> Vec<String> {
    let db = stack.db();
    let until = Instant::now() + IN_HAND;
    loop {
        let rows = db.rows("select distinct request_id from commands where status is not null").await;
        let decided: HashSet<&str> = rows.iter().filter_map(|row| row["request_id"].as_str()).collect();
        let silent: Vec<&String> =
            queued.iter().filter(|request| !decided.contains(request.as_str())).collect();
        if silent.is_empty() || Instant::now() > until {
            let told = |request| format!("the command of request {request} was queued and has no verdict");
            return silent.into_iter().map(told).collect();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Of every request that was acknowledged one command took effect, and the log says so; or it says that the same POST was repeated
/// before it was known that the first had been told.
pub async fn what_was_acknowledged_is_applied(stack: &Stack, acknowledged: &[String]) -> Vec<String> {
    let applied = "select request_id from commands where status < 300 \
        or outcome -> 'error' ->> 'detail' = 'the request was repeated, and the repetition made it'";
    let rows = stack.db().rows(applied).await;
    let mut applied: HashMap<&str, usize> = HashMap::new();
    for request in rows.iter().filter_map(|row| row["request_id"].as_str()) {
        *applied.entry(request).or_default() += 1;
    }
    let times = |request: &String| applied.get(request.as_str()).copied().unwrap_or_default();
    let wrong = acknowledged.iter().filter(|request| times(request) != 1);
    wrong
        .map(|request| {
            format!("request {request} was acknowledged, and took effect {} times", times(request))
        })
        .collect()
}

/// Nothing is dead: nothing was poison.
pub async fn nothing_is_dead(stack: &Stack) -> Vec<String> {
    let letters = stack.broker().await.peek(topology::DEAD).await;
    letters.iter().map(|letter| format!("a dead letter: {}", broker::header(letter, dead::REASON))).collect()
}
