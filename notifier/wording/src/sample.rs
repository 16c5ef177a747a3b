//! Sample users and assignments, for checking and previewing templates.

use domain::settings::{BrandColour, BrandName, Locale, Logo, Mail};
use time::macros::datetime;

use crate::kind::Kind;
use crate::letter::{Item, Letter};

/// Sample assigned content.
#[must_use]
pub fn items(count: usize) -> Vec<Item> {
    let item = |n: usize| Item {
        assignment: None,
        path: n % 2 == 1,
        title: ["Fire safety", "Data protection in daily work", "First aid & <evacuation>"][n % 3].to_owned(),
        url: format!("https://learn.example/c/{n}?from=mail&lang=en"),
        due_by: (n % 3 != 2).then_some(datetime!(2026-12-24 18:00 UTC)),
    };
    (0..count).map(item).collect()
}

/// A sample mail to a user with this language.
#[must_use]
pub fn letter<'a>(
    kind: Kind,
    tenant: &'a str,
    mail: &'a Mail,
    locale: Locale,
    items: &'a [Item],
) -> Letter<'a> {
    Letter {
        kind,
        tenant,
        mail,
        learning_url: "https://learn.example",
        locale: Some(locale.as_str()),
        timezone: Some("Europe/Berlin"),
        given_name: "Ada",
        user_name: "ada@acme.example",
        items,
        unsubscribe_url: kind.is_optional().then_some("https://learn.example/unsubscribe/sample"),
    }
}

/// The combinations that a template must handle: settings with and without each part of a brand, with and without an
/// unsubscribe link.
#[must_use]
pub fn variants() -> Vec<(Mail, Option<&'static str>)> {
    let stop = Some("https://learn.example/unsubscribe/sample");
    let name = || BrandName::try_from("Acme".to_owned()).unwrap_or_default();
    let logo = || Logo::try_from("https://acme.example/logo.png".to_owned()).unwrap_or_default();
    let colour = || BrandColour::try_from("#ffcc00".to_owned()).unwrap_or_default();
    vec![
        (Mail::default(), None),
        (Mail::default(), stop),
        (Mail { brand_name: name(), ..Mail::default() }, stop),
        (Mail { brand_logo: logo(), ..Mail::default() }, None),
        (Mail { brand_name: name(), brand_logo: logo(), brand_colour: colour(), ..Mail::default() }, None),
        (Mail { brand_name: name(), brand_logo: logo(), brand_colour: colour(), ..Mail::default() }, stop),
    ]
}
