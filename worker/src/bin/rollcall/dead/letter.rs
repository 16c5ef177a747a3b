//! One dead letter: of ours, with our headers, or of the broker's own (RabbitMQ's `x-death`). What it is shown as, and the message
//! that it was.

use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use shared::amqp::dead::{self, header};
use shared::amqp::{Message, topology};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The queues that a letter can come from.
const ORIGINS: [&str; 4] = [topology::COMMANDS, topology::BULK, topology::NOTIFIER, topology::ROLES];

/// Its id; one made of its body where its sender gave it none.
pub fn id(letter: &Delivery) -> String {
    match letter.properties.message_id() {
        Some(id) if !id.as_str().is_empty() => id.as_str().to_owned(),
        _ => Sha256::digest(&letter.data)[..8].iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// What a list shows.
pub fn summary(letter: &Delivery) -> Value {
    json!({
        "id": id(letter),
        "queue": origin(letter),
        "reason": reason(letter),
        "died_at": header(&letter.properties, dead::DIED_AT).or_else(|| death_time(letter)),
        "attempts": dead::attempts(&letter.properties).len(),
        "bytes": letter.data.len(),
    })
}

/// All of it. Without `body` nothing that may be personal data.
pub fn whole(letter: &Delivery, body: bool) -> Value {
    let mut whole = summary(letter);
    whole["attempts"] = json!(dead::attempts(&letter.properties));
    whole["properties"] = properties(letter);
    let ours = [dead::REASON, dead::QUEUE, dead::DIED_AT, dead::ATTEMPTS];
    let headers = letter.properties.headers().iter().flat_map(FieldTable::inner);
    whole["headers"] = headers
        .filter(|(name, _)| !ours.contains(&name.as_str()))
        .map(|(name, value)| (name.as_str().to_owned(), plain(value)))
        .collect::<Map<_, _>>()
        .into();
    whole["envelope"] = envelope(&letter.data);
    if body {
        whole["body"] = String::from_utf8_lossy(&letter.data).into();
    }
    whole
}

/// The message as it was before it died, with what was tried; `None` if it does not say which of our queues it came from.
pub fn original(letter: &Delivery) -> Option<Message> {
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
        Some(format!("RabbitMQ gave it up: {word}"))
    })
}

/// A field of what RabbitMQ says about the first time that it gave the message up: the last one in its list.
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

fn properties(letter: &Delivery) -> Value {
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
    all.into()
}

/// Whether a field holds what belongs there.
type Fits = fn(&str) -> bool;

/// What of the body tells which message it is, and nothing of a person: fields of a command or an event, as far as they are what they should be.
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
    let told = known.into_iter().filter_map(|(name, at, fits)| {
        let text = body.pointer(at)?.as_str().filter(|text| fits(text))?;
        Some((name.to_owned(), text.into()))
    });
    told.collect::<Map<_, _>>().into()
}

fn is_id(text: &str) -> bool {
    shared::id::parse(text).is_some()
}

fn is_time(text: &str) -> bool {
    OffsetDateTime::parse(text, &Rfc3339).is_ok()
}

fn is_word(text: &str) -> bool {
    text.len() < 40 && text.chars().all(|c| c.is_ascii_alphabetic() || c == '.')
}

/// A header's value as JSON.
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
