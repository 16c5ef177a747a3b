//! Built mails, parsed by an independent parser.

use mail_parser::{HeaderValue as Parsed, MessageParser, MimeHeaders};
use serde_json::json;
use time::macros::datetime;

use wording::Item;

use super::*;

const ID: Uuid = Uuid::from_u128(0x0192_aaaa_0000_7000_8000_0000_0000_0001);
const AT: OffsetDateTime = datetime!(2026-11-24 1:02:03 UTC);

fn writer() -> Writer {
    let from = "Learning <learning@rollcall.example>".parse().unwrap();
    let unsubscribe = Some(("k".repeat(32).parse().unwrap(), "https://scim.example".to_owned()));
    Writer::new(from, "https://learn.example".to_owned(), Templates::load(None).unwrap(), None, unsubscribe)
}

fn person() -> Person {
    Person {
        given_name: "Zoë".to_owned(),
        family_name: "Müller".to_owned(),
        display_name: None,
        user_name: "zoe@acme.example".to_owned(),
        email: "zoe@acme.example".to_owned(),
        locale: None,
        timezone: None,
    }
}

fn said(title: &str) -> MailContent {
    let url = "https://learn.example/c1".to_owned();
    let due_by = Some(datetime!(2026-12-04 12:00 UTC));
    let assigned = Some(Item { assignment: None, path: false, title: title.to_owned(), url, due_by });
    MailContent { assigned, ..MailContent::default() }
}

fn draft<'a>(person: &'a Person, mail: &'a settings::Mail, said: &'a MailContent) -> Draft<'a> {
    let (tenant_id, user) = (Uuid::from_u128(1), Uuid::from_u128(2));
    Draft { id: ID, dated_at: AT, tenant_id, user, tenant: "acme", mail, person, said }
}

fn write(person: &Person, mail: &settings::Mail, title: &str) -> Mail {
    let said = said(title);
    let draft = draft(person, mail, &said);
    writer().compose(Kind::FirstAssignment, &draft).unwrap()
}

fn formatted(person: &Person, title: &str) -> Vec<u8> {
    write(person, &settings::Mail::default(), title).message.formatted()
}

#[test]
fn a_mail_has_its_headers_and_both_parts() {
    let bytes = formatted(&person(), "Brandschutz für alle");
    let mail = MessageParser::new().parse(&bytes).unwrap();
    assert_eq!(mail.subject(), Some("New for you: Brandschutz für alle"));
    assert_eq!(mail.message_id(), Some("0192aaaa-0000-7000-8000-000000000001@rollcall.example"));
    assert_eq!(mail.date().unwrap().to_rfc3339(), "2026-11-24T01:02:03Z");
    let from = mail.from().unwrap().first().unwrap();
    assert_eq!((from.name(), from.address()), (Some("Learning"), Some("learning@rollcall.example")));
    let to = mail.to().unwrap().first().unwrap();
    assert_eq!((to.name(), to.address()), (Some("Zoë Müller"), Some("zoe@acme.example")));
    assert!(matches!(mail.header("Auto-Submitted"), Some(Parsed::Text(text)) if text == "auto-generated"));
    assert_eq!(mail.content_type().unwrap().subtype(), Some("alternative"));
    for body in [mail.body_text(0).unwrap(), mail.body_html(0).unwrap()] {
        assert!(
            body.contains("Zoë") && body.contains("Brandschutz für alle") && body.contains("4 December 2026"),
            "{body}"
        );
    }
    assert!(mail.body_html(0).unwrap().contains("</html>"));
}

#[test]
fn a_mail_has_the_tenants_sender_and_our_message_id() {
    let chosen = |settings: serde_json::Value| {
        let settings: Settings = serde_json::from_value(settings).unwrap();
        let person = Person { locale: Some("de-DE".to_owned()), ..person() };
        write(&person, &settings.mail, "Brandschutz").message.formatted()
    };
    for (settings, name, address) in [
        (json!({ "mail_sender": "Lernen <lernen@acme.example>" }), "Lernen", "lernen@acme.example"),
        (json!({ "mail_sender": "a@acme.example", "brand_name": "Acme" }), "Acme", "a@acme.example"),
        (json!({ "brand_name": "Acmé, Söhne" }), "Acmé, Söhne", "learning@rollcall.example"),
        (json!({}), "Learning", "learning@rollcall.example"),
    ] {
        let bytes = chosen(settings);
        let mail = MessageParser::new().parse(&bytes).unwrap();
        let from = mail.from().unwrap().first().unwrap();
        assert_eq!((from.name(), from.address()), (Some(name), Some(address)));
        assert_eq!(mail.message_id(), Some("0192aaaa-0000-7000-8000-000000000001@rollcall.example"));
        assert_eq!(mail.subject(), Some("Neu für Sie: Brandschutz"));
    }
    let bytes = chosen(json!({ "mail_reply_to": "HR <hr@acme.example>" }));
    let mail = MessageParser::new().parse(&bytes).unwrap();
    assert_eq!(mail.reply_to().unwrap().first().unwrap().address(), Some("hr@acme.example"));
}

#[test]
fn values_cannot_inject_headers() {
    let evil = "Safety\r\nBcc: eve@acme.example\r\n\r\n<script>alert(1)</script>";
    let person =
        Person { display_name: Some(format!("Zoë{evil}")), given_name: evil.to_owned(), ..person() };
    let bytes = formatted(&person, evil);
    let mail = MessageParser::new().parse(&bytes).unwrap();
    assert!(mail.bcc().is_none());
    assert_eq!(mail.subject(), Some("New for you: Safety Bcc: eve@acme.example <script>alert(1)</script>"));
    assert_eq!(mail.to().unwrap().iter().count(), 1);
    assert!(!mail.body_html(0).unwrap().contains("<script>"));
    assert_eq!(mail.parts.len(), 3, "multipart, text and HTML");
}

#[test]
fn a_resend_is_identical_and_has_the_same_file_name() {
    let write = || write(&person(), &settings::Mail::default(), "Fire safety");
    assert_eq!(write().message.formatted(), write().message.formatted());
    assert_eq!(
        write().file_name,
        "20261124T010203Z-first_assignment-0192aaaa-0000-7000-8000-000000000001.eml"
    );
}

#[test]
fn lines_are_ascii_and_within_the_smtp_limit() {
    let bytes = formatted(&person(), &"Ä very löng title ".repeat(60));
    assert!(bytes.is_ascii());
    assert!(bytes.split(|b| *b == b'\n').all(|line| line.len() <= 998));
}

#[test]
fn an_invalid_address_is_rejected_and_not_quoted() {
    for email in [
        "",
        "ada",
        "ada@",
        "a b@acme.example",
        "ada@acme.example\r\nBcc: eve@acme.example",
        "ada@acme.example,eve@acme.example",
    ] {
        let person = Person { email: email.to_owned(), ..person() };
        let (mail, said) = (settings::Mail::default(), MailContent::default());
        let draft = draft(&person, &mail, &said);
        let error = writer().compose(Kind::Welcome, &draft).unwrap_err();
        assert_eq!(error.reason(), "the address is not a valid mail address", "{email:?}");
        assert!(email.is_empty() || !error.to_string().contains(email));
    }
}

#[test]
fn only_optional_mail_has_a_one_click_unsubscribe_link() {
    let (person, mail, said) = (person(), settings::Mail::default(), said("Fire safety"));
    for (kind, stops) in [
        (Kind::Welcome, false),
        (Kind::FirstAssignment, false),
        (Kind::Assignment, true),
        (Kind::Digest, true),
    ] {
        let bytes = writer().compose(kind, &draft(&person, &mail, &said)).unwrap().message.formatted();
        let parsed = MessageParser::new().parse(&bytes).unwrap();
        let post = parsed.header_raw("List-Unsubscribe-Post").map(str::trim);
        assert_eq!(post, stops.then_some("List-Unsubscribe=One-Click"), "{kind:?}");
        let text = parsed.body_text(0).unwrap();
        assert_eq!(text.contains("https://scim.example/unsubscribe/"), stops, "{kind:?}: {text}");
        let header =
            parsed.header_raw("List-Unsubscribe").map(|url| url.split_whitespace().collect::<String>());
        assert_eq!(header.is_some_and(|url| text.contains(url.trim_matches(['<', '>']))), stops, "{kind:?}");
    }
}

#[test]
fn a_link_without_https_offers_no_one_click_unsubscribe() {
    let (person, mail, said) = (person(), settings::Mail::default(), said("Fire safety"));
    for (base, one_click) in [
        ("https://scim.example", true),
        ("http://127.0.0.1:8080", true),
        ("http://localhost:8080", true),
        ("http://scim.example", false),
    ] {
        let unsubscribe = Some(("k".repeat(32).parse().unwrap(), base.to_owned()));
        let writer = Writer { unsubscribe, ..writer() };
        let bytes =
            writer.compose(Kind::Assignment, &draft(&person, &mail, &said)).unwrap().message.formatted();
        let parsed = MessageParser::new().parse(&bytes).unwrap();
        assert_eq!(parsed.header_raw("List-Unsubscribe-Post").is_some(), one_click, "{base}");
        assert!(parsed.header_raw("List-Unsubscribe").is_some(), "{base}");
    }
}

#[test]
fn an_internationalized_domain_is_converted_to_ascii() {
    for (email, expected) in [
        ("zoe@b\u{fc}cher.example", "zoe@xn--bcher-kva.example"),
        ("zoe@B\u{dc}CHER.example", "zoe@xn--bcher-kva.example"),
        ("zo\u{eb}@b\u{fc}cher.example", "zo\u{eb}@xn--bcher-kva.example"),
        ("Zoe@Acme.example", "Zoe@Acme.example"),
    ] {
        assert_eq!(AsRef::<str>::as_ref(&recipient(email).unwrap()), expected);
    }
}

#[test]
fn bidirectional_formatting_characters_are_removed() {
    let turned = "Fire\u{202e}ytefas";
    let person = Person { display_name: Some(turned.to_owned()), ..person() };
    let settings: Settings =
        serde_json::from_value(json!({ "brand_name": "Ac\u{2066}me", "mail_sender": "a@acme.example" }))
            .unwrap();
    let bytes = write(&person, &settings.mail, turned).message.formatted();
    let mail = MessageParser::new().parse(&bytes).unwrap();
    assert_eq!(mail.subject(), Some("New for you: Fireytefas"));
    assert_eq!(mail.to().unwrap().first().unwrap().name(), Some("Fireytefas"));
    assert_eq!(mail.from().unwrap().first().unwrap().name(), Some("Acme"));
    assert!(!mail.body_html(0).unwrap().contains(['\u{202e}', '\u{2066}']));
}
