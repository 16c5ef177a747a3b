//! A dead letter: published by Rollcall, with its headers, or by RabbitMQ itself (`x-death`). Formats it, and restores
//! the original message.

use amqp::dead::{self, Attempt, header};
use amqp::{Message, topology};
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The queues that a dead letter can come from.
const ORIGINS: [&str; 4] = [topology::COMMANDS, topology::BULK, topology::NOTIFIER, topology::ROLES];

/// The message id. Without one, an id derived from the body.
pub(super) fn id(letter: &Delivery) -> String {
    match letter.properties.message_id() {
        Some(id) if !id.as_str().is_empty() => id.as_str().to_owned(),
        _ => hex::encode(&Sha256::digest(&letter.data)[..8]),
    }
}

/// A dead letter in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// The queue that the message came from.
    pub queue: Option<String>,
    /// The reason.
    pub reason: Option<String>,
    /// When it was dead-lettered (RFC 3339).
    pub died_at: Option<String>,
    /// The number of recorded attempts.
    pub attempts: usize,
    /// The length of the body.
    pub bytes: usize,
}

impl Listed {
    /// The fields that a list shows of a dead letter.
    pub(super) fn of(letter: &Delivery) -> Self {
        Self {
            id: id(letter),
            queue: origin(letter),
            reason: reason(letter),
            died_at: header(&letter.properties, dead::DIED_AT).or_else(|| death_time(letter)),
            attempts: dead::attempts(&letter.properties).len(),
            bytes: letter.data.len(),
        }
    }

    /// When it was dead-lettered, as a time.
    pub(super) fn died(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::parse(self.died_at.as_deref()?, &Rfc3339).ok()
    }
}

/// A dead letter with all its fields. Personal data is only in `body`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LetterDetails {
    /// Its id.
    pub id: String,
    /// The queue that the message came from.
    pub queue: Option<String>,
    /// The reason.
    pub reason: Option<String>,
    /// When it was dead-lettered (RFC 3339).
    pub died_at: Option<String>,
    /// The recorded attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// The length of the body.
    pub bytes: usize,
    /// The properties of the message.
    pub properties: Map<String, Value>,
    /// The headers of the message, without those that give the reason.
    pub headers: Map<String, Value>,
    /// The fields of the body that identify a command or an event; null if it is not JSON.
    pub envelope: Value,
    /// The body, if it was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

impl LetterDetails {
    /// All fields of a dead letter. Its body is included only with `body`.
    pub(super) fn of(letter: &Delivery, body: bool) -> Self {
        let Listed { id, queue, reason, died_at, bytes, .. } = Listed::of(letter);
        let ours = [dead::REASON, dead::QUEUE, dead::DIED_AT, dead::ATTEMPTS];
        let headers = letter.properties.headers().iter().flat_map(FieldTable::inner);
        let headers = headers
            .filter(|(name, _)| !ours.contains(&name.as_str()))
            .map(|(name, value)| (name.as_str().to_owned(), plain(value)));
        Self {
            id,
            queue,
            reason,
            died_at,
            attempts: dead::attempts(&letter.properties),
            bytes,
            properties: properties(letter),
            headers: headers.collect(),
            envelope: envelope(&letter.data),
            body: body.then(|| String::from_utf8_lossy(&letter.data).into_owned()),
        }
    }
}

/// The original message with the recorded attempts; `None` if its queue is unknown.
pub(super) fn original(letter: &Delivery) -> Option<Message> {
    let queue = origin(letter).filter(|queue| ORIGINS.contains(&queue.as_str()))?;
    let kept = letter.properties.headers().iter().flat_map(FieldTable::inner);
    let mut headers = FieldTable::default();
    for (name, value) in
        kept.filter(|(name, _)| !name.as_str().starts_with("x-") || name.as_str() == dead::ATTEMPTS)
    {
        headers.insert(name.clone(), value.clone());
    }
    let properties = letter.properties.clone().with_headers(headers).with_message_id(id(letter).into());
    Some(Message {
        exchange: String::new(),
        routing_key: queue,
        properties,
        body: letter.data.clone(),
        mandatory: true,
    })
}

fn origin(letter: &Delivery) -> Option<String> {
    let said = header(&letter.properties, dead::QUEUE);
    said.or_else(|| header(&letter.properties, "x-first-death-queue")).or_else(|| death(letter, "queue"))
}

fn reason(letter: &Delivery) -> Option<String> {
    header(&letter.properties, dead::REASON).or_else(|| {
        let word = header(&letter.properties, "x-first-death-reason").or_else(|| death(letter, "reason"))?;
        Some(format!("dead-lettered by RabbitMQ: {word}"))
    })
}

/// A field of RabbitMQ's oldest `x-death` entry, which is the last one in the list.
fn death(letter: &Delivery, field: &str) -> Option<String> {
    match first_death(letter)?.inner().get(field)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

fn death_time(letter: &Delivery) -> Option<String> {
    let AMQPValue::Timestamp(seconds) = first_death(letter)?.inner().get("time")? else { return None };
    moment(*seconds)
}

fn first_death(letter: &Delivery) -> Option<&FieldTable> {
    let AMQPValue::FieldArray(deaths) = letter.properties.headers().as_ref()?.inner().get("x-death")? else {
        return None;
    };
    match deaths.as_slice().last()? {
        AMQPValue::FieldTable(death) => Some(death),
        _ => None,
    }
}

fn moment(seconds: u64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()?.format(&Rfc3339).ok()
}

fn properties(letter: &Delivery) -> Map<String, Value> {
    let of = &letter.properties;
    let text = [
        ("content_type", of.content_type()),
        ("content_encoding", of.content_encoding()),
        ("correlation_id", of.correlation_id()),
        ("type", of.kind()),
        ("app_id", of.app_id()),
    ];
    let mut all: Map<String, Value> = text
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value.as_ref()?.as_str().into())))
        .collect();
    all.extend(of.delivery_mode().map(|mode| ("delivery_mode".to_owned(), mode.into())));
    all.extend(of.timestamp().and_then(moment).map(|at| ("timestamp".to_owned(), at.into())));
    all
}

/// Whether a field has the expected format.
type Fits = fn(&str) -> bool;

/// Fields of a command or an event that identify it without personal data. Fields with an unexpected format are left
/// out.
fn envelope(body: &[u8]) -> Value {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return Value::Null };
    let known: [(&str, &str, Fits); 6] = [
        ("ticket", "/ticket", is_id),
        ("tenant", "/tenant", is_id),
        ("change", "/change/op", is_word),
        ("resource", "/resource", is_id),
        ("issued_at", "/issued_at", is_time),
        ("type", "/type", is_word),
    ];
    let members = known.into_iter().filter_map(|(name, at, fits)| {
        let text = body.pointer(at)?.as_str().filter(|text| fits(text))?;
        Some((name.to_owned(), text.into()))
    });
    members.collect::<Map<_, _>>().into()
}

fn is_id(text: &str) -> bool {
    scim::parse_id(text).is_some()
}

fn is_time(text: &str) -> bool {
    OffsetDateTime::parse(text, &Rfc3339).is_ok()
}

fn is_word(text: &str) -> bool {
    text.len() < 40 && text.chars().all(|c| c.is_ascii_alphabetic() || c == '.')
}

/// A header value as JSON.
fn plain(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::LongString(text) => text.to_string().into(),
        AMQPValue::ShortString(text) => text.as_str().into(),
        AMQPValue::Timestamp(seconds) => moment(*seconds).into(),
        AMQPValue::Boolean(yes) => (*yes).into(),
        AMQPValue::ShortShortInt(n) => (*n).into(),
        AMQPValue::ShortShortUInt(n) => (*n).into(),
        AMQPValue::ShortInt(n) => (*n).into(),
        AMQPValue::ShortUInt(n) => (*n).into(),
        AMQPValue::LongInt(n) => (*n).into(),
        AMQPValue::LongUInt(n) => (*n).into(),
        AMQPValue::LongLongInt(n) => (*n).into(),
        AMQPValue::Double(n) => (*n).into(),
        AMQPValue::FieldArray(all) => all.as_slice().iter().map(plain).collect(),
        AMQPValue::FieldTable(all) => {
            let all = all.inner().iter().map(|(name, value)| (name.as_str().to_owned(), plain(value)));
            all.collect::<Map<_, _>>().into()
        }
        _ => Value::Null,
    }
}
