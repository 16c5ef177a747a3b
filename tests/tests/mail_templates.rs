//! Replaced mail templates, from the file to the mailbox, and invalid ones.

use std::path::PathBuf;
use std::process::Command;

use tests::okta::person;
use tests::stack::{Options, Said};
use tests::{Stack, programs};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_can_replace_templates_and_phrases() {
    let folder = folder(&[
        (
            "replaced/first_assignment.txt",
            "To {{ given_name }}: {% for item in items %}[{{ item.title }}]{% endfor %}",
        ),
        ("replaced/words.en.json", r#"{ "subject_one": "Replaced: {{ title }}" }"#),
        ("nobody/words.en.json", r#"{ "hello": "Never sent" }"#),
    ]);
    let environment = vec![("ROLLCALL_MAIL_TEMPLATES", folder.to_str().unwrap().to_owned())];
    let stack = Stack::start(Options { environment, ..Options::default() }).await;
    for (name, subject) in [("replaced", "Replaced: Fire safety"), ("plain", "New for you: Fire safety")] {
        let (tenant, address) = (stack.tenant(name).await, format!("ada@{name}.example"));
        let id = tenant.okta().create(&person(&address, "Ada", "Lovelace")).await.is(201).id();
        tenant.content().tell(&tenant.content().assigned(&id, "Fire safety")).await.is(202);
        let mail = stack.mailbox().first_to(&address).await;
        assert_eq!(mail.subject, subject);
        assert_eq!(mail.text.contains("To Ada: [Fire safety]"), name == "replaced", "{}", mail.text);
        assert!(mail.html.contains("Fire safety"), "{}", mail.html);
    }
    let log = stack.notifier.log();
    assert!(log.contains("for an unknown tenant") && log.contains("nobody"), "{log}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_template_is_reported_at_start_even_if_only_some_mail_uses_it() {
    for (file, text) in [
        ("layout.html", "{% if brand.logo and brand.name and unsubscribe_url %}{{ nothing }}{% endif %}"),
        ("acme/words.fr.json", r#"{ "due": "{{ when }}" }"#),
    ] {
        let folder = folder(&[(file, text)]);
        let mut command = Command::new(programs::path("notifier"));
        command.env_clear().envs([
            ("DATABASE_URL", "postgres://127.0.0.1:1/x"),
            ("AMQP_URL", "amqp://127.0.0.1:1/%2f"),
            ("ROLLCALL_MAIL_URL", "smtp://127.0.0.1:1"),
            ("ROLLCALL_MAIL_TEMPLATES", folder.to_str().unwrap()),
        ]);
        let said = Said::by(command).await;
        assert_eq!(said.code, Some(2), "{}", said.err);
        let name = file.rsplit('/').next().unwrap();
        assert!(said.err.contains(name) && said.err.contains("ROLLCALL_MAIL_TEMPLATES"), "{}", said.err);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
