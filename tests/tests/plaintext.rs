//! Unencrypted connections to other machines, and private keys that others can read, are refused at the start until
//! they are asked for by name. Each refusal is one sentence that says what to write.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tests::stack::{Options, Said};
use tests::{Stack, programs};

const SERVICES: [&str; 3] = ["ingest", "worker", "notifier"];
const DATABASE: (&str, &str) = ("DATABASE_URL", "postgres://me:pass-word@127.0.0.1:1/x");
const AMQP: (&str, &str) = ("AMQP_URL", "amqp://me:pass-word@127.0.0.1:1/x");
/// A problem of its own, so that a service with an acceptable configuration ends too.
const OTHER: (&str, &str) = ("ROLLCALL_LOG", "a=b=c");

/// Runs a program with these variables, of which later ones replace earlier ones.
async fn run(program: &str, variables: &[(&str, &str)]) -> Said {
    tokio::task::spawn_blocking(programs::folder).await.unwrap();
    let mut command = Command::new(programs::path(program));
    command.env_clear().current_dir(std::env::temp_dir());
    command.envs([DATABASE, AMQP, OTHER, ("ROLLCALL_MAIL_URL", "smtp://127.0.0.1:1")]);
    command.env("ROLLCALL_HEALTH_PORT", "1").env("ROLLCALL_PUBLIC_URL", "https://scim.example");
    command.envs(variables.iter().copied());
    if program == "rollcall" {
        command.args(["tenant", "list"]);
    }
    Said::by(command).await
}

/// The problems that a program has with these variables, beside [`OTHER`].
async fn problems(program: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let said = run(program, variables).await;
    assert_eq!(said.code, Some(2), "{program} {variables:?}: {}", said.err);
    assert!(!said.err.contains("pass-word"), "{}", said.err);
    let lines = said.err.lines().skip(1).map(|line| line.trim().to_owned());
    lines.filter(|line| !line.is_empty() && !line.starts_with(OTHER.0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_service_refuses_unencrypted_connections_until_they_are_allowed() {
    let remote = "postgres://me:pass-word@db.example/x";
    let disabled = format!("{remote}?sslmode=disable");
    let preferred = format!("{remote}?sslmode=prefer");
    for program in SERVICES {
        for (variables, expected) in [
            (&[][..], &[][..]),
            (&[("DATABASE_URL", remote)], &["DATABASE_URL", "sslmode=verify-full", "sslmode=disable"]),
            (&[("DATABASE_URL", preferred.as_str())], &["DATABASE_URL", "sslmode=verify-full"]),
            (&[("DATABASE_URL", disabled.as_str())], &[]),
            (&[("DATABASE_URL", "postgres://me@localhost/x")], &[]),
            (
                &[("AMQP_URL", "amqp://me:pass-word@mq.example/x")],
                &["AMQP_URL", "amqps://", "ROLLCALL_ALLOW_PLAINTEXT=amqp"],
            ),
            (&[("AMQP_URL", "amqp://me@mq.example"), ("ROLLCALL_ALLOW_PLAINTEXT", "amqp")], &[]),
            (&[("AMQP_URL", "amqps://me@mq.example")], &[]),
            (&[("ROLLCALL_LISTEN", "0.0.0.0")], &["ROLLCALL_LISTEN", "TLS", "ROLLCALL_ALLOW_PLAINTEXT=http"]),
            (&[("ROLLCALL_LISTEN", "::")], &["ROLLCALL_LISTEN"]),
            (&[("ROLLCALL_LISTEN", "0.0.0.0"), ("ROLLCALL_ALLOW_PLAINTEXT", "amqp,http")], &[]),
            (&[("ROLLCALL_LISTEN", "127.0.0.2")], &[]),
            (
                &[("ROLLCALL_ALLOW_PLAINTEXT", "everything")],
                &["ROLLCALL_ALLOW_PLAINTEXT", "amqp, http and smtp"],
            ),
        ] {
            let said = problems(program, variables).await;
            assert_eq!(said.len(), usize::from(!expected.is_empty()), "{program} {variables:?}: {said:?}");
            for word in expected {
                assert!(said[0].contains(word), "{program} {variables:?}: {said:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cli_refuses_them_as_well() {
    for (variables, word) in [
        (("AMQP_URL", "amqp://me:pass-word@mq.example"), "ROLLCALL_ALLOW_PLAINTEXT=amqp"),
        (("DATABASE_URL", "postgres://me:pass-word@db.example/x"), "sslmode=verify-full"),
    ] {
        let said = run("rollcall", &[("ROLLCALL_LOG", "info"), variables]).await;
        assert_eq!(said.code, Some(2), "{}", said.err);
        assert!(said.err.contains(variables.0) && said.err.contains(word), "{}", said.err);
        assert!(!said.err.contains("pass-word"), "{}", said.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_for_the_mail_server_is_encrypted_unless_that_is_waived() {
    let opportunistic = "smtp://me:pass-word@mail.example?tls=opportunistic";
    for (url, allowed, passes) in [
        (opportunistic, "", false),
        (opportunistic, "smtp", true),
        ("smtp://me:pass-word@mail.example", "", false),
        ("smtp://mail.example?tls=opportunistic", "", true),
        ("smtp://me:pass-word@mail.example?tls=required", "", true),
        ("smtps://me:pass-word@mail.example", "", true),
        ("smtp://me:pass-word@127.0.0.1?tls=opportunistic", "", true),
    ] {
        let variables = [("ROLLCALL_MAIL_URL", url), ("ROLLCALL_ALLOW_PLAINTEXT", allowed)];
        let said = problems("notifier", &variables).await;
        assert_eq!(said.is_empty(), passes, "{url}: {said:?}");
        assert!(said.iter().all(|line| line.contains("ROLLCALL_ALLOW_PLAINTEXT=smtp")), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dkim_key_that_others_can_read_is_refused() {
    let folder = std::env::temp_dir().join(format!("rollcall-dkim-{}", platform::id::new()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("own.example.pem");
    std::fs::write(&file, "no key").unwrap();
    for path in [&file, &folder] {
        for (mode, word) in [(0o644, "chmod 600"), (0o640, "chmod 600"), (0o600, "not a private RSA key")] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            let said = problems("notifier", &[("ROLLCALL_DKIM_KEY", path.to_str().unwrap())]).await;
            assert!(said.len() == 1 && said[0].starts_with("ROLLCALL_DKIM_KEY"), "{said:?}");
            assert!(said[0].contains(word), "{mode:o}: {said:?}");
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_behind_a_proxy_starts_when_that_is_allowed() {
    let environment = vec![
        ("ROLLCALL_LISTEN", "0.0.0.0".to_owned()),
        ("ROLLCALL_PUBLIC_URL", "https://scim.example".to_owned()),
        ("ROLLCALL_ALLOW_PLAINTEXT", "http".to_owned()),
    ];
    let stack = Stack::start(Options { environment, ..Options::default() }).await;
    let okta = stack.tenant("proxied").await.okta();
    okta.get("/Users?count=0").await.is(200);
}
