//! Lists, shows, redrives and removes dead letters.

mod letter;
mod subject;

use amqp::{Publisher, topology};
use lapin::Channel;
use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions};
use lapin::types::FieldTable;

pub use self::letter::{LetterDetails, Listed};
pub use self::subject::Subject;
use crate::{Error, Operator};

/// The maximum number of dead letters that are read to find the oldest ones.
const LOOKED_AT: usize = 10_000;

/// Selects dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    All,
    /// Those with these ids.
    Ids(Vec<String>),
    /// Those about a user, or of a tenant.
    About(Subject),
}

impl Selection {
    fn selects(&self, letter: &BasicGetMessage) -> bool {
        match self {
            Self::All => true,
            Self::Ids(ids) => ids.contains(&letter::id(&letter.delivery)),
            Self::About(subject) => subject.is_in(&letter.delivery),
        }
    }

    /// An error if ids were given and none was found.
    fn found(&self, count: u64) -> Result<(), Error> {
        if matches!(self, Self::Ids(_)) && count == 0 { Err(unknown()) } else { Ok(()) }
    }
}

/// The progress of a verb that reads all dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many were read.
    pub read: u64,
    /// How many there are.
    pub all: u32,
    /// How many of those that were read were removed from the queue.
    pub taken: u64,
}

/// The result of a redrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redriven {
    /// How many dead letters were returned to their queues.
    pub moved: u64,
    /// How many were left because their original queue is unknown.
    pub left: u64,
}

/// Lists dead letters, oldest first, but at most `limit`.
///
/// # Errors
/// Those of the broker.
pub async fn list(operator: &Operator, limit: usize) -> Result<Vec<Listed>, Error> {
    let channel = operator.link().await?.channel(false).await?;
    let mut letters = Vec::new();
    while letters.len() < LOOKED_AT.max(limit) {
        let Some(letter) = next(&channel).await? else { break };
        letters.push(Listed::of(&letter.delivery));
    }
    // Closing the channel requeues what was read, in any order.
    channel.close(200, "looked".into()).await?;
    letters.sort_by_cached_key(|letter| {
        let died_at = letter.died();
        (died_at.is_none(), died_at)
    });
    letters.truncate(limit);
    Ok(letters)
}

/// Shows a dead letter. Its body, which may contain personal data, is included only with `body`.
///
/// # Errors
/// [`Error::Refused`] if there is no dead letter with this id.
pub async fn show(operator: &Operator, id: &str, body: bool) -> Result<LetterDetails, Error> {
    let channel = operator.link().await?.channel(false).await?;
    let mut found = None;
    while let Some(letter) = next(&channel).await? {
        if letter::id(&letter.delivery) == id {
            found = Some(letter);
            break;
        }
    }
    channel.close(200, "looked".into()).await?;
    let letter = found.ok_or_else(unknown)?;
    Ok(LetterDetails::of(&letter.delivery, body))
}

/// Returns dead letters to the queues they came from. `progress` is called after each dead letter that was read.
///
/// # Errors
/// [`Error::Refused`] if none of the given ids was found.
pub async fn redrive(
    operator: &Operator,
    which: &Selection,
    progress: impl FnMut(Progress),
) -> Result<Redriven, Error> {
    let link = operator.link().await?;
    let publisher = Publisher::new(link.clone());
    let channel = link.channel(false).await?;
    let result = each(&channel, which, Some(&publisher), progress).await?;
    if result.left == 0 {
        which.found(result.moved)?;
    }
    Ok(result)
}

/// Deletes dead letters permanently, and returns their number. `progress` is called after each dead letter that was
/// read.
///
/// # Errors
/// [`Error::Refused`] if none of the given ids was found.
pub async fn remove(
    operator: &Operator,
    which: &Selection,
    progress: impl FnMut(Progress),
) -> Result<u64, Error> {
    let channel = operator.link().await?.channel(false).await?;
    let removed = each(&channel, which, None, progress).await?.moved;
    which.found(removed)?;
    Ok(removed)
}

/// Removes the selected dead letters, after the publisher, if there is one, has returned each to its queue. Dead
/// letters without a known queue are left. Their number is fixed at the start, so that a message that is dead-lettered
/// again is not processed twice.
async fn each(
    channel: &Channel,
    which: &Selection,
    publisher: Option<&Publisher>,
    mut progress: impl FnMut(Progress),
) -> Result<Redriven, Error> {
    let (mut read, mut result) = (0, Redriven { moved: 0, left: 0 });
    let passive = QueueDeclareOptions::durable().passive();
    let all =
        channel.queue_declare(topology::DEAD.into(), passive, FieldTable::default()).await?.message_count();
    for _ in 0..all {
        let Some(letter) = next(channel).await? else { break };
        read += 1;
        if which.selects(&letter) {
            if is_free(&letter, publisher).await? {
                // On a closed channel the result is `false`, not an error.
                if !letter.ack(BasicAckOptions::default()).await? {
                    return Err(amqp::Error::Unavailable("the channel broke".to_owned()).into());
                }
                result.moved += 1;
            } else {
                result.left += 1;
            }
        }
        progress(Progress { read, all, taken: result.moved });
    }
    channel.close(200, "done".into()).await?;
    Ok(result)
}

/// Whether the dead letter may leave the queue: always without a publisher, else once its original message is
/// published.
async fn is_free(letter: &BasicGetMessage, publisher: Option<&Publisher>) -> Result<bool, Error> {
    let Some(publisher) = publisher else { return Ok(true) };
    let Some(original) = letter::original(&letter.delivery) else { return Ok(false) };
    publisher.publish(&[original]).await?;
    Ok(true)
}

fn unknown() -> Error {
    Error::Refused("there is no dead letter with this id; see `rollcall dead list`".to_owned())
}

async fn next(channel: &Channel) -> Result<Option<BasicGetMessage>, Error> {
    Ok(channel.basic_get(topology::DEAD.into(), BasicGetOptions::default()).await?)
}
