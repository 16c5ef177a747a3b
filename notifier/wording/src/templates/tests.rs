//! Rendered mails: in every language, with every brand, and from replaced files.

use std::path::PathBuf;

use domain::settings::{Locale, Mail, Settings};
use time::OffsetDateTime;
use time::macros::datetime;

use super::*;
use crate::kind::Kind;
use crate::letter::Item;
use crate::sample;

fn item(title: &str, path: bool, due_by: Option<OffsetDateTime>) -> Item {
    Item {
        assignment: None,
        path,
        title: title.to_owned(),
        url: "https://learn.example/c?a=1&b=2".to_owned(),
        due_by,
    }
}

fn to_ada<'a>(kind: Kind, mail: &'a Mail, items: &'a [Item]) -> Letter<'a> {
    Letter { locale: None, timezone: None, ..sample::letter(kind, "acme", mail, Locale::En, items) }
}

fn own(letter: &Letter<'_>) -> Words {
    Templates::load(None).unwrap().words(letter).unwrap()
}

#[test]
fn the_first_assignment_mail_names_the_content_and_its_due_date() {
    let mail = Mail::default();
    let due = Some(datetime!(2026-12-05 0:30 +1));
    let words = own(&to_ada(Kind::FirstAssignment, &mail, &[item("Fire safety", false, due)]));
    assert_eq!(words.subject, "New for you: Fire safety");
    for text in [&words.text, &words.html] {
        for part in ["Ada", "Fire safety", "lesson", "Due by Friday, 4 December 2026, 23:30 (UTC)"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    assert!(words.text.contains("https://learn.example/c?a=1&b=2\n"), "{}", words.text);
    assert!(words.html.contains("href=\"https://learn.example/c?a=1&amp;b=2\""), "{}", words.html);
    let words = own(&to_ada(Kind::FirstAssignment, &mail, &[item("Safety", true, None)]));
    assert!(words.text.contains("learning path") && !words.text.contains("Due"), "{}", words.text);
}

#[test]
fn several_assignments_are_listed_in_one_mail() {
    let (mail, items) = (Mail::default(), sample::items(3));
    let words = own(&to_ada(Kind::FirstAssignment, &mail, &items));
    assert_eq!(words.subject, "New for you: Fire safety and 2 more");
    for text in [&words.text, &words.html] {
        assert!(text.contains("3 new items"), "{text}");
        assert!(
            text.contains("Data protection in daily work") && text.contains("Start learning path"),
            "{text}"
        );
    }
    assert!(words.text.contains("First aid & <evacuation>"), "{}", words.text);
    assert!(!words.html.contains("<evacuation>"), "{}", words.html);
}

#[test]
fn the_welcome_mail_explains_how_to_sign_in() {
    let words = own(&to_ada(Kind::Welcome, &Mail::default(), &[]));
    for text in [&words.text, &words.html] {
        assert!(text.contains("Ada") && text.contains("ada@acme.example"), "{text}");
    }
    assert!(words.text.contains("Sign in: https://learn.example\n"), "{}", words.text);
}

#[test]
fn a_mail_uses_the_users_language_and_time_zone_or_else_the_tenants() {
    let german = Mail { locale: Locale::De, ..Mail::default() };
    let items = [item("Brandschutz", false, Some(datetime!(2026-07-31 22:30 UTC)))];
    let letter = Letter { timezone: Some("Europe/Berlin"), ..to_ada(Kind::FirstAssignment, &german, &items) };
    for (locale, subject, due) in [
        (None, "Neu für Sie: Brandschutz", "Fällig bis Samstag, 1. August 2026, 00:30 Uhr (CEST)"),
        (Some("it-IT"), "Neu für Sie: Brandschutz", "Samstag, 1. August 2026"),
        (Some("fr_CA"), "Nouveau pour vous : Brandschutz", "samedi 1er août 2026 à 00:30 (CEST)"),
        (Some("es"), "Nuevo para usted: Brandschutz", "sábado, 1 de agosto de 2026, 00:30 (CEST)"),
        (Some("en-GB"), "New for you: Brandschutz", "Saturday, 1 August 2026, 00:30 (CEST)"),
    ] {
        let words = own(&Letter { locale, ..letter });
        assert_eq!(words.subject, subject);
        assert!(words.text.contains(due) && words.html.contains(due), "{due}: {}", words.text);
    }
    for (timezone, due) in [
        (Some("America/New_York"), "Freitag, 31. Juli 2026, 18:30 Uhr (EDT)"),
        (Some("Nowhere/Land"), "Freitag, 31. Juli 2026, 22:30 Uhr (UTC)"),
        (None, "22:30 Uhr (UTC)"),
    ] {
        let words = own(&Letter { timezone, ..letter });
        assert!(words.text.contains(due), "{due}: {}", words.text);
    }
    assert!(own(&letter).html.contains("<html lang=\"de\">"));
}

#[test]
fn a_mail_shows_the_tenants_brand() {
    let settings: Settings = serde_json::from_value(serde_json::json!({
        "brand_name": "Acme & Sons", "brand_logo": "https://acme.example/l.png?a=1&b=2", "brand_colour": "#ffcc00",
        "learning_url": "https://learn.acme.example",
    }))
    .unwrap();
    let words = own(&to_ada(Kind::Welcome, &settings.mail, &[]));
    for part in [
        "src=\"https://acme.example/l.png?a=1&amp;b=2\"",
        "alt=\"Acme &amp; Sons\"",
        "background-color:#ffcc00",
        "href=\"https://learn.acme.example\"",
    ] {
        assert!(words.html.contains(part), "{part}: {}", words.html);
    }
    assert!(words.text.contains("because Acme & Sons created an account"), "{}", words.text);
    assert!(!words.text.contains("learn.example"), "{}", words.text);
}

#[test]
fn untrusted_values_are_escaped() {
    let mail = Mail::default();
    let items = [item("<script>alert(1)</script>\r\nBcc: x@acme.example {{ given_name }}", false, None)];
    let words = own(&Letter { given_name: "<b>A</b>", ..to_ada(Kind::FirstAssignment, &mail, &items) });
    assert!(!words.html.contains("<script>") && words.html.contains("&lt;script&gt;"), "{}", words.html);
    assert!(!words.html.contains("<b>"), "{}", words.html);
    assert_eq!(words.subject, "New for you: <script>alert(1)</script> Bcc: x@acme.example {{ given_name }}");
    assert!(!words.text.contains("\nBcc"), "{}", words.text);
}

#[test]
fn an_assignment_mail_without_assignments_is_an_error() {
    let mail = Mail::default();
    let error = Templates::load(None).unwrap().words(&to_ada(Kind::FirstAssignment, &mail, &[])).unwrap_err();
    assert!(matches!(error, Error::Incomplete));
}

/// A folder of templates in the system's temporary folder, which the system cleans up.
fn folder(files: &[(&str, &str)]) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rollcall-templates-{}", platform::id::new()));
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

#[test]
fn files_in_a_folder_replace_the_built_in_ones_for_all_tenants_or_for_one() {
    let folder = folder(&[
        ("words.en.json", r#"{ "hello": "Hi {{ given_name }}!" }"#),
        ("acme/items.txt", "{% for item in items %}* {{ item.title }}\n{% endfor %}"),
        ("acme/words.en.json", r#"{ "subject_one": "Acme: {{ title }}" }"#),
    ]);
    let templates = Templates::load(Some(&folder)).unwrap();
    let (mail, items) = (Mail::default(), sample::items(1));
    let acme = templates.words(&to_ada(Kind::FirstAssignment, &mail, &items)).unwrap();
    assert_eq!(acme.subject, "Acme: Fire safety");
    assert!(acme.text.starts_with("Hi Ada!\n") && acme.text.contains("* Fire safety"), "{}", acme.text);
    let other = Letter { tenant: "other", ..to_ada(Kind::FirstAssignment, &mail, &items) };
    let other = templates.words(&other).unwrap();
    assert_eq!(other.subject, "New for you: Fire safety");
    assert!(other.text.starts_with("Hi Ada!\n") && !other.text.contains("* Fire"), "{}", other.text);
}

#[test]
fn invalid_files_in_a_folder_are_reported_at_start() {
    for (files, words) in [
        ([("first.html", "x")], ["first.html", "first_assignment.html"]),
        ([("layout.html", "{% if %}")], ["layout.html", "template"]),
        ([("acme/welcome.txt", "{{ nobody }}")], ["acme", "welcome"]),
        (
            [("items.html", "{% for i in items %}{{ i.deadline }}{% endfor %}")],
            ["first_assignment", "undefined"],
        ),
        ([("words.de.json", "{")], ["words.de.json", "invalid"]),
        ([("words.de.json", r#"{ "helo": "x" }"#)], ["words.de.json", "helo"]),
        ([("words.de.json", r#"{ "hello": 7 }"#)], ["words.de.json", "hello"]),
        ([("words.de.json", r#"{ "hello": "{{ name }}" }"#)], ["words.de.json/hello", "undefined"]),
        ([("layout.html", "{% if brand.name %}{{ brand.motto }}{% endif %}")], ["layout.html", "undefined"]),
        (
            [("layout.html", "{% if brand.logo and not brand.name %}{{ brand.motto }}{% endif %}")],
            ["layout.html", "undefined"],
        ),
        ([("words.de.json", r#"{ "months": ["Jan"] }"#)], ["words.de.json", "12"]),
    ] {
        let said = Templates::load(Some(&folder(&files))).unwrap_err();
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
    assert!(
        Templates::load(Some(&PathBuf::from("/nowhere/at/all"))).unwrap_err().contains("/nowhere/at/all")
    );
}
