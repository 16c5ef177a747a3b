//! The compiled templates and phrases of one tenant.

use std::collections::BTreeMap;

use domain::settings::Locale;
use minijinja::{Environment, UndefinedBehavior, Value, context};

use crate::brand::Brand;
use crate::calendar::Calendar;
use crate::files::{Files, OWN};
use crate::kind::Kind;
use crate::letter::{Letter, Words};
use crate::line::one_line;
use crate::{phrases, sample};

/// The maximum length of a title, in characters.
const MAX_TITLE: usize = 150;
/// The maximum number of assignments that one mail lists.
const MAX_ITEMS: usize = 50;
/// The phrases that describe a single assignment.
const OF_AN_ITEM: [&str; 4] = ["due", "start_lesson", "start_path", "date"];

/// Why a mail cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A mail about assignments lists none.
    #[error("the mail lists no assignment")]
    Incomplete,
    /// A template failed.
    #[error(transparent)]
    Template(#[from] minijinja::Error),
}

/// Compiled templates and phrases.
#[derive(Debug)]
pub struct Set {
    environment: Environment<'static>,
    calendars: BTreeMap<Locale, Calendar>,
}

/// Escapes a URL for use in an attribute. The default escaping also turns `/` into a character reference, which some
/// link scanners cannot handle.
fn link(url: &str) -> Value {
    let escaped = url.replace('&', "&amp;").replace('"', "&quot;").replace('\'', "&#39;");
    Value::from_safe_string(escaped.replace('<', "&lt;").replace('>', "&gt;"))
}

impl Set {
    /// Compiles the built-in files with the replacements of these layers; later layers take precedence.
    ///
    /// # Errors
    /// Names the invalid file and describes the problem.
    pub fn new(layers: &[&Files]) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.add_filter("link", link);
        for (name, own) in OWN.into_iter().filter(|(name, _)| !name.ends_with(".json")) {
            let source = layers.iter().rev().find_map(|files| files.get(name)).map_or(own, String::as_str);
            environment
                .add_template_owned(name, source.to_owned())
                .map_err(|e| format!("{name} is not a valid template: {e}"))?;
        }
        let mut calendars = BTreeMap::new();
        for locale in Locale::ALL {
            let name = phrases::file(locale);
            let own = OWN.iter().filter(|(own, _)| *own == name).map(|(_, text)| *text);
            let replaced = layers.iter().filter_map(|files| files.get(&name)).map(String::as_str);
            let read = phrases::read(own.chain(replaced)).map_err(|e| format!("{name} is invalid: {e}"))?;
            for (key, text) in read.texts {
                environment
                    .add_template_owned(phrase(locale, &key), text)
                    .map_err(|e| format!("{name}: the phrase {key} is invalid: {e}"))?;
            }
            calendars.insert(locale, read.calendar);
        }
        Ok(Self { environment, calendars })
    }

    /// Renders every template in every language with sample values.
    ///
    /// # Errors
    /// Names the template that cannot be rendered and describes the problem.
    pub fn check(&self, tenant: &str) -> Result<(), String> {
        for (kind, locale) in Kind::ALL.into_iter().flat_map(|kind| Locale::ALL.map(|locale| (kind, locale)))
        {
            let variants = sample::variants();
            for (n, (mail, unsubscribe_url)) in variants.iter().enumerate() {
                // Large samples are slow to render: only the last variant, which has everything, gets one.
                let most = if n + 1 == variants.len() { 2 * MAX_ITEMS + 4 } else { 3 };
                for count in [1, 2, 4, most] {
                    let items = sample::items(count);
                    let letter = sample::letter(kind, tenant, mail, locale, &items[count / 2..]);
                    self.words(&Letter { unsubscribe_url: *unsubscribe_url, ..letter }).map_err(|e| {
                        format!(
                            "the {} mail cannot be rendered in {}: {}",
                            kind.as_str(),
                            locale.as_str(),
                            whole(&e)
                        )
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Renders a mail.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn words(&self, letter: &Letter<'_>) -> Result<Words, Error> {
        let first = letter.items.first();
        if letter.kind != Kind::Welcome && first.is_none() {
            return Err(Error::Incomplete);
        }
        let locale = letter.language();
        let brand = Brand::of(letter.mail);
        let learning_url = letter.mail.learning_url.get().unwrap_or(letter.learning_url);
        let company = match &brand.name {
            Some(name) => name.clone(),
            None => self.say(locale, "your_company", ())?,
        };
        let values = context! {
            company, learning_url, branded => brand.name.is_some(),
            given_name => one_line(letter.given_name, MAX_TITLE),
            user_name => one_line(letter.user_name, usize::MAX),
            title => first.map(|item| one_line(&item.title, MAX_TITLE)).unwrap_or_default(),
            count => letter.items.len(), more => letter.items.len().saturating_sub(1),
            hidden => letter.items.len().saturating_sub(MAX_ITEMS),
        };
        let mut say = BTreeMap::new();
        for key in phrases::KEYS.into_iter().filter(|key| !OF_AN_ITEM.contains(key)) {
            say.insert(key, self.say(locale, key, &values)?);
        }
        let assigned = match letter.items {
            [item] if item.path => "assigned_path",
            [_] => "assigned_lesson",
            _ => "assigned_several",
        };
        say.insert("assigned", say[assigned].clone());
        let subject = match (letter.kind, letter.items.len()) {
            (Kind::Welcome, _) => "subject_welcome",
            (_, 1) => "subject_one",
            _ => "subject_several",
        };
        let subject = one_line(&say[subject], usize::MAX);
        let values = context! {
            subject, say, brand, locale => locale.as_str(), items => self.items(letter, locale)?,
            unsubscribe_url => letter.unsubscribe_url, ..values
        };
        let fill = |ending: &str| {
            self.environment.get_template(&format!("{}.{ending}", letter.kind.as_str()))?.render(&values)
        };
        Ok(Words { text: fill("txt")?, html: fill("html")?, subject, locale })
    }

    fn items(&self, letter: &Letter<'_>, locale: Locale) -> Result<Vec<Value>, Error> {
        let item = |item: &crate::letter::Item| {
            let date = item.due_by.and_then(|due| self.calendars.get(&locale)?.parts(due, letter.timezone));
            let due = match date {
                None => None,
                Some(parts) => {
                    let due = self.say(locale, "date", parts)?;
                    Some(self.say(locale, "due", context! { due })?)
                }
            };
            let start = self.say(locale, if item.path { "start_path" } else { "start_lesson" }, ())?;
            Ok(
                context! { title => one_line(&item.title, MAX_TITLE), url => one_line(&item.url, usize::MAX), path => item.path, due, start },
            )
        };
        letter.items.iter().take(MAX_ITEMS).map(item).collect()
    }

    fn say(&self, locale: Locale, key: &str, values: impl serde::Serialize) -> Result<String, Error> {
        Ok(self.environment.get_template(&phrase(locale, key))?.render(values)?)
    }
}

/// An error with all its causes: minijinja's error for an include names only the include.
fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |said, cause| format!("{said}: {cause}"))
}

/// The template name of a phrase, as error messages show it. It has no known extension, so that values are not escaped
/// twice.
fn phrase(locale: Locale, key: &str) -> String {
    format!("{}/{key}", phrases::file(locale))
}
