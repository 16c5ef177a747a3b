//! A small mail server that accepts, defers or rejects mail as configured.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::mailbox::Mail;

/// The server; stopped with the test's runtime.
#[derive(Clone)]
pub struct SmtpServer {
    /// Where it listens.
    pub port: u16,
    state: Arc<Mutex<State>>,
}

/// The server's fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// None.
    #[default]
    Well,
    /// Closes every connection at once.
    Closed,
    /// Defers every mail (4xx).
    Busy,
    /// Rejects every mail permanently (5xx).
    Stern,
    /// Does not reply after the final dot, and has not accepted the mail.
    Silent,
    /// Accepts every mail, but closes the connection after the final dot without a reply.
    Forgetful,
    /// Accepts connections, but never replies.
    Mute,
}

/// The polling interval for the end of a silence.
const SILENCE: Duration = Duration::from_millis(50);

#[derive(Default)]
struct State {
    taken: Vec<Mail>,
    refused: Vec<Mail>,
    refusals: Vec<&'static str>,
    replies: BTreeMap<&'static str, &'static str>,
    mood: Mood,
    /// Mail that contains this gets no reply.
    ignored: Option<&'static str>,
    offered: usize,
}

impl SmtpServer {
    /// Starts a server.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let server = Self { port: listener.local_addr().unwrap().port(), state: Arc::default() };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = serving.clone();
                // Clients may disconnect at any time.
                tokio::spawn(async move { server.converse(stream).await });
            }
        });
        server
    }

    /// Does not reply to mail that contains this text.
    pub fn ignore(&self, text: &'static str) {
        self.state().ignored = Some(text);
    }

    /// Replies to the next mails with these lines, one each and in order, instead of accepting them.
    pub fn refuse(&self, mut lines: Vec<&'static str>) {
        lines.reverse();
        self.state().refusals = lines;
    }

    /// Replies to this command (`GREETING` for a new connection) with this line; closes the connection after a 421.
    pub fn reply_to(&self, verb: &'static str, line: &'static str) {
        self.state().replies = BTreeMap::from([(verb, line)]);
    }

    /// Sets the fault; connections on which the server was silent are closed.
    pub fn set_mood(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// The mails that were rejected permanently.
    #[must_use]
    pub fn refused(&self) -> Vec<Mail> {
        self.state().refused.clone()
    }

    /// The accepted mails.
    #[must_use]
    pub fn taken(&self) -> Vec<Mail> {
        self.state().taken.clone()
    }

    /// The number of mails received, accepted or not.
    #[must_use]
    pub fn offered(&self) -> usize {
        self.state().offered
    }

    async fn converse(&self, stream: TcpStream) -> std::io::Result<()> {
        if self.state().mood == Mood::Closed {
            return Ok(());
        }
        if self.state().mood == Mood::Mute {
            return self.say_nothing(Mood::Mute).await;
        }
        let (reader, mut writer) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        let greeting = self.chosen_reply("GREETING").unwrap_or("220 mail.example ESMTP");
        writer.write_all(format!("{greeting}\r\n").as_bytes()).await?;
        if !greeting.starts_with('2') {
            return Ok(());
        }
        while let Some(line) = lines.next_line().await? {
            if self.state().mood == Mood::Mute {
                return self.say_nothing(Mood::Mute).await;
            }
            let verb = line.split([' ', ':']).next().unwrap_or("").to_ascii_uppercase();
            let reply = match (self.chosen_reply(&verb), verb.as_str()) {
                (Some(line), _) => line,
                (None, verb) => match verb {
                    "EHLO" => "250-mail.example\r\n250-AUTH PLAIN\r\n250 8BITMIME",
                    "AUTH" => "235 welcome",
                    "HELO" | "MAIL" | "RCPT" | "RSET" | "NOOP" => "250 OK",
                    "DATA" => {
                        writer.write_all(b"354 go on\r\n").await?;
                        let mut letter = String::new();
                        while let Some(line) = lines.next_line().await?.filter(|line| line != ".") {
                            letter.push_str(line.strip_prefix('.').unwrap_or(&line));
                            letter.push_str("\r\n");
                        }
                        match self.receive(&letter) {
                            Some(reply) => reply,
                            None => return self.say_nothing(Mood::Silent).await,
                        }
                    }
                    "QUIT" => "221 bye",
                    _ => "502 what?",
                },
            };
            writer.write_all(format!("{reply}\r\n").as_bytes()).await?;
            if verb == "QUIT" || reply.starts_with("421") {
                break;
            }
        }
        Ok(())
    }

    fn chosen_reply(&self, verb: &str) -> Option<&'static str> {
        self.state().replies.get(verb).copied()
    }

    /// The reply to a mail; `None` for no reply.
    fn receive(&self, letter: &str) -> Option<&'static str> {
        let mut state = self.state();
        state.offered += 1;
        if state.ignored.is_some_and(|text| letter.contains(text)) {
            return None;
        }
        if let Some(refusal) = state.refusals.pop() {
            return Some(refusal);
        }
        match state.mood {
            Mood::Silent | Mood::Mute => return None,
            Mood::Forgetful => {
                state.taken.push(Mail::parse(letter.as_bytes()));
                return None;
            }
            Mood::Closed | Mood::Busy => return Some("451 come back later"),
            Mood::Stern => {
                state.refused.push(Mail::parse(letter.as_bytes()));
                return Some("550 no such mailbox");
            }
            Mood::Well => {}
        }
        state.taken.push(Mail::parse(letter.as_bytes()));
        Some("250 taken")
    }

    /// Stays silent while it has this fault or ignores mail, then closes the connection.
    async fn say_nothing(&self, mood: Mood) -> std::io::Result<()> {
        let lasts = |state: &State| state.mood == mood || mood == Mood::Silent && state.ignored.is_some();
        while lasts(&self.state()) {
            tokio::time::sleep(SILENCE).await;
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
