//! What a mail says: the templates, and the values that they are filled with. Before it: a claimed row of the ledger;
//! after it: [`super::message`].

use minijinja::{Environment, UndefinedBehavior, Value, context};
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use crate::decide::Kind;
use crate::store::ledger::Context;
use crate::store::queue::Person;

/// The longest title that is shown, in characters.
const MAX_TITLE: usize = 150;

/// The templates' sources, by name. A name's ending decides how values are escaped.
const TEMPLATES: [(&str, &str); 6] = [
    ("layout.html", include_str!("../../templates/layout.html")),
    ("layout.txt", include_str!("../../templates/layout.txt")),
    ("welcome.html", include_str!("../../templates/welcome.html")),
    ("welcome.txt", include_str!("../../templates/welcome.txt")),
    ("first_assignment.html", include_str!("../../templates/first_assignment.html")),
    ("first_assignment.txt", include_str!("../../templates/first_assignment.txt")),
];

/// One mail's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// One line.
    pub subject: String,
    /// As plain text.
    pub text: String,
    /// As HTML.
    pub html: String,
}

/// Why there are no words.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ledger's row does not say what was assigned.
    #[error("the ledger does not say what was assigned")]
    Incomplete,
    /// A template failed.
    #[error("failed to fill a template")]
    Template(#[from] minijinja::Error),
}

/// A URL as an attribute's value. The general escaping also turns `/` into a reference, at which scanners of links stumble.
fn link(url: &str) -> Value {
    let escaped = url.replace('&', "&amp;").replace('"', "&quot;").replace('\'', "&#39;");
    Value::from_safe_string(escaped.replace('<', "&lt;").replace('>', "&gt;"))
}

/// The templates, ready to be filled.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    learning_url: String,
}

impl Templates {
    /// The templates of this program; mail links to the learning platform at `learning_url`.
    ///
    /// # Errors
    /// When a template is no template.
    pub fn new(learning_url: String) -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.add_filter("link", link);
        for (name, source) in TEMPLATES {
            environment.add_template(name, source)?;
        }
        Ok(Self { environment, learning_url })
    }

    /// The words of a mail of this kind to this person.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn words(&self, kind: Kind, person: &Person, said: &Context) -> Result<Words, Error> {
        let given_name = one_line(&person.given_name, MAX_TITLE);
        let (subject, values) = match (kind, &said.assigned) {
            (Kind::Welcome, _) => {
                let subject = "Welcome: your learning account is ready".to_owned();
                let user_name = one_line(&person.user_name, usize::MAX);
                (subject, context! { given_name, user_name, url => self.learning_url })
            }
            (Kind::FirstAssignment, None) => return Err(Error::Incomplete),
            (Kind::FirstAssignment, Some(content)) => {
                let title = one_line(&content.title, MAX_TITLE);
                let what = if content.path { "learning path" } else { "lesson" };
                let (subject, due) = (format!("New for you: {title}"), content.due_by.and_then(day));
                (
                    subject,
                    context! { given_name, title, what, due, url => content.url, learning_url => self.learning_url },
                )
            }
        };
        let fill = |ending: &str| {
            let name = format!("{}.{ending}", kind.as_str());
            self.environment.get_template(&name)?.render(context! { subject, ..values.clone() })
        };
        Ok(Words { text: fill("txt")?, html: fill("html")?, subject })
    }
}

/// A day as people write it, in UTC.
fn day(time: OffsetDateTime) -> Option<String> {
    let format = format_description!("[weekday], [day padding:none] [month repr:long] [year] (UTC)");
    time.checked_to_offset(UtcOffset::UTC)?.format(format).ok()
}

/// A text that cannot break out of its line: control characters are gone, white space is single, the length bounded.
#[must_use]
pub fn one_line(text: &str, most: usize) -> String {
    let separator = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let words: Vec<&str> = text.split(separator).filter(|word| !word.is_empty()).collect();
    let line = words.join(" ");
    if line.chars().count() <= most {
        return line;
    }
    let short: String = line.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", short.trim_end())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::store::ledger::Content;

    fn ada() -> Person {
        Person {
            given_name: "Ada".to_owned(),
            family_name: "Lovelace".to_owned(),
            display_name: None,
            user_name: "ada@acme.example".to_owned(),
            email: "ada@acme.example".to_owned(),
        }
    }

    fn assigned(title: &str, path: bool, due_by: Option<OffsetDateTime>) -> Context {
        let url = "https://learn.example/c?a=1&b=2".to_owned();
        Context { request_id: None, assigned: Some(Content { path, title: title.to_owned(), url, due_by }) }
    }

    fn templates() -> Templates {
        Templates::new("https://learn.example".to_owned()).unwrap()
    }

    #[test]
    fn the_first_assignment_says_what_and_until_when() {
        let due = Some(datetime!(2026-12-05 0:30 +1));
        let words =
            templates().words(Kind::FirstAssignment, &ada(), &assigned("Fire safety", false, due)).unwrap();
        assert_eq!(words.subject, "New for you: Fire safety");
        for text in [&words.text, &words.html] {
            for part in ["Ada", "Fire safety", "lesson", "Friday, 4 December 2026 (UTC)"] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
        assert!(words.text.contains("https://learn.example/c?a=1&b=2"), "{}", words.text);
        let words =
            templates().words(Kind::FirstAssignment, &ada(), &assigned("Safety", true, None)).unwrap();
        assert!(words.text.contains("learning path") && !words.text.contains("due"), "{}", words.text);
    }

    #[test]
    fn the_welcome_says_how_to_sign_in() {
        let words = templates().words(Kind::Welcome, &ada(), &Context::default()).unwrap();
        for text in [&words.text, &words.html] {
            assert!(text.contains("Ada") && text.contains("ada@acme.example"), "{text}");
        }
        assert!(words.text.contains("https://learn.example\n"), "{}", words.text);
    }

    #[test]
    fn what_others_wrote_stays_text() {
        let person = Person { given_name: "<b>A</b>".to_owned(), ..ada() };
        let said = assigned("<script>alert(1)</script>\r\nBcc: x@acme.example", false, None);
        let words = templates().words(Kind::FirstAssignment, &person, &said).unwrap();
        assert!(!words.html.contains("<script>") && words.html.contains("&lt;script&gt;"), "{}", words.html);
        assert!(!words.html.contains("<b>"), "{}", words.html);
        assert_eq!(words.subject, "New for you: <script>alert(1)</script> Bcc: x@acme.example");
        assert!(!words.text.contains("\nBcc"), "{}", words.text);
    }

    #[test]
    fn lines_have_no_breaks_and_an_end() {
        for (text, most, expected) in [
            ("  a\r\n\tb\u{2028}c\u{7}d ", 10, "a b c d"),
            ("abcdef", 6, "abcdef"),
            ("abc defg", 5, "abc…"),
            ("", 5, ""),
        ] {
            assert_eq!(one_line(text, most), expected);
        }
    }

    #[test]
    fn a_row_that_does_not_say_what_was_assigned_is_an_error() {
        let error = templates().words(Kind::FirstAssignment, &ada(), &Context::default()).unwrap_err();
        assert!(matches!(error, Error::Incomplete));
    }
}
