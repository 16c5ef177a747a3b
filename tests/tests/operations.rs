//! Operations: `--help`, invalid configuration, migrations, graceful shutdown, and logs.

use std::process::Command;
use std::time::Duration;

use platform::config::{Service, VARIABLES};
use serde_json::{Value, json};
use tests::okta::{PASSWORD, person};
use tests::process::ended_well;
use tests::stack::{Options, Said};
use tests::{Stack, check, eventually, programs};

async fn run(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
    let mut command =
        Command::new(tokio::task::spawn_blocking(programs::folder).await.unwrap().join(program));
    command.env_clear().args(arguments).envs(environment.iter().copied()).current_dir("/");
    Said::by(command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn help_lists_every_variable() {
    for service in [Service::Ingest, Service::Worker, Service::Notifier, Service::Cli] {
        let said = run(service.name(), &["--help"], &[]).await.well();
        for variable in VARIABLES.iter().filter(|variable| variable.used_by.contains(&service)) {
            assert!(
                said.out.contains(variable.name),
                "{} --help does not name {}:\n{}",
                service.name(),
                variable.name,
                said.out
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_configuration_problems_are_reported_at_once_without_secrets() {
    let wrong = [
        ("DATABASE_URL", "mysql://me:hunter2secret@db/x"),
        ("AMQP_URL", "amqp//me:hunter2secret@broker"),
        ("ROLLCALL_PORT", "99999"),
        ("ROLLCALL_HEALTH_PORT", "minus one"),
        ("ROLLCALL_DEADLINE", "soon"),
        ("ROLLCALL_BATCH", "0"),
        ("ROLLCALL_MAIL_URL", "carrier-pigeon://me:hunter2secret@mail"),
        ("ROLLCALL_LOG_FORMAT", "papyrus"),
    ];
    for (service, names) in [
        (
            Service::Ingest,
            vec!["DATABASE_URL", "AMQP_URL", "ROLLCALL_PORT", "ROLLCALL_DEADLINE", "ROLLCALL_LOG_FORMAT"],
        ),
        (
            Service::Worker,
            vec!["DATABASE_URL", "AMQP_URL", "ROLLCALL_HEALTH_PORT", "ROLLCALL_BATCH", "ROLLCALL_LOG_FORMAT"],
        ),
        (
            Service::Notifier,
            vec![
                "DATABASE_URL",
                "AMQP_URL",
                "ROLLCALL_HEALTH_PORT",
                "ROLLCALL_MAIL_URL",
                "ROLLCALL_LOG_FORMAT",
            ],
        ),
    ] {
        let said = run(service.name(), &[], &wrong).await;
        assert!(said.code.is_some_and(|code| code != 0), "{} started", service.name());
        let all = format!("{}{}", said.out, said.err);
        for name in names {
            assert!(all.contains(name), "{} does not name {name}:\n{all}", service.name());
        }
        assert!(!all.contains("hunter2"), "a secret is shown:\n{all}");
        assert!(!all.contains("panicked"), "{all}");
    }
    let said = run("rollcall", &["tenant", "list"], &wrong).await;
    assert!(said.code.is_some_and(|code| code != 0));
    assert!(said.err.contains("DATABASE_URL") && !said.err.contains("hunter2"), "{}", said.err);
    let said = run("rollcall", &["no-such-command"], &[]).await;
    assert!(said.code.is_some_and(|code| code != 0) && !said.err.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_can_be_repeated_and_reverted() {
    let stack = Stack::own().await;
    stack.rollcall(&["migrate"]).await.well();
    let tables = async || {
        stack.db().count("select 1 from pg_tables where schemaname = 'public' and tablename in ('users', 'notifications')").await
    };
    assert_eq!(tables().await, 2);
    let status = stack.rollcall(&["migrate", "--status"]).await.well();
    assert!(!status.out.is_empty());
    for service in stack.services() {
        service.kill();
    }
    while tables().await > 0 {
        stack.rollcall(&["migrate", "--revert"]).await.well();
    }
    stack.rollcall(&["migrate"]).await.well();
    assert_eq!(tables().await, 2);
    for service in stack.services() {
        service.restart().await;
    }
    stack.tenant("again").await.okta().create(&person("a@again.example", "A", "Gain")).await.is(201);
}

/// Rows as an earlier version leaves them: without a current search document, and with an old userName key.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_an_earlier_version_are_updated() {
    let stack = Stack::own().await;
    let okta = stack.tenant("older").await.okta();
    let zoe = okta.create(&person("ZO\u{cb}@older.example", "Zoe", "Older")).await.is(201);
    let group = okta.push_group("Elders").await.is(201).id();
    stack.workers[0].kill();
    let db = stack.db();
    db.execute(
        "update users set search = '{}', search_version = 0, user_name_key = 'zoe\u{308}@older.example'",
    )
    .await;
    db.execute("update groups set search = '{}', search_version = 0").await;
    assert_eq!(okta.filter("name.familyName eq \"older\"").await.is(200).total(), 0);
    stack.workers[0].start();
    eventually("both are found again", Duration::from_secs(30), async || {
        let people = okta.filter("name.familyName eq \"older\"").await.is(200).total();
        let groups = okta.get("/Groups?filter=displayName%20eq%20%22elders%22").await.is(200).total();
        (people == 1 && groups == 1).then_some(())
    })
    .await;
    let found = okta.find("zoe\u{308}@older.example").await.is(200);
    assert_eq!(found.resources()[0], zoe.body, "in either normalization form, and unchanged");
    assert_eq!(okta.group(&group).await.is(200).header("etag"), "W/\"1\"");
    let mut again = person("zoe\u{308}@older.example", "Zoe", "Again");
    again["externalId"] = json!("another");
    okta.create(&again).await.is_error_of(409, "uniqueness");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_stop_gracefully_under_load_and_lose_nothing() {
    let stack = Stack::start(Options { workers: 2, ..Options::default() }).await;
    let tenant = stack.tenant("stop").await;
    let okta = tenant.okta();
    // Each client sends creates until ingest stops accepting connections.
    let takers = (0..8).map(|lane| {
        let okta = okta.clone();
        tokio::spawn(async move {
            let mut made = Vec::new();
            for n in 0.. {
                let user = person(&format!("{lane}-{n}@stop.example"), "Sto", "P");
                match okta.attempt(okta.request("POST", "/Users").body(user.to_string())).await {
                    Ok(answer) if answer.status == 201 => made.push(answer.id()),
                    // Ingest is stopping or has stopped.
                    Ok(answer) => return (made, Some(answer)),
                    Err(_) => return (made, None),
                }
            }
            unreachable!("the loop has no other end")
        })
    });
    let takers: Vec<_> = takers.collect();
    let db = stack.db();
    eventually("the load is on", Duration::from_secs(30), async || {
        (db.count("select 1 from users").await > 200).then_some(())
    })
    .await;
    // One worker and the notifier stop first, then ingest, then the last worker, all under load.
    assert!(ended_well(stack.workers[0].terminate().await));
    assert!(ended_well(stack.notifier.terminate().await));
    assert!(ended_well(stack.ingests[0].terminate().await));
    let mut made = Vec::new();
    for taker in takers {
        let (ids, refusal) = taker.await.unwrap();
        made.extend(ids);
        if let Some(refusal) = refusal {
            assert!(matches!(refusal.status, 429 | 503), "{} {}", refusal.status, refusal.text);
        }
    }
    assert!(ended_well(stack.workers[1].terminate().await));
    let mut rows: Vec<_> = db
        .rows("select id from users")
        .await
        .iter()
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect();
    rows.sort();
    made.sort();
    assert_eq!(made, rows, "every 2xx has a row, and every row was answered");

    // Events that the notifier had not consumed are left for its next start.
    stack.notifier.restart().await;
    stack.workers[0].restart().await;
    check::wait_until_idle(&stack).await;
    let lines = i64::try_from(made.len()).unwrap();
    eventually("the ledger has a row for each user", Duration::from_secs(30), async || {
        (db.count("select 1 from notifications where kind = 'welcome'").await == lines).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_can_be_traced_through_all_logs_which_contain_no_personal_data() {
    let stack = Stack::start(Options {
        environment: vec![("ROLLCALL_LOG", "debug".to_owned())],
        ..Options::default()
    })
    .await;
    let tenant = stack.tenant("logs").await;
    let (okta, content) = (tenant.okta(), tenant.content());
    let id =
        okta.create(&person("Zebedee.Quux@secretive.example", "Zebedee", "Quuxworth")).await.is(201).id();
    okta.find("zebedee.quux@secretive.example").await.is(200);
    okta.update(&id, &json!({ "title": "Marquess of Frobnitz" })).await.is(200);
    okta.create(&person("zebedee.quux@secretive.example", "Zebedee", "Quuxworth")).await.is_error(409);
    let mut broken = person("Zebedee.Quux@secretive.example", "Zebedee", "Quuxworth");
    broken["name"] = json!("zebedee.quux@secretive.example");
    okta.create(&broken).await.is_error(400);
    content.tell(&content.assigned(&id, "Flabbergasting lesson")).await.is(202);
    stack.mailbox().first_to("Zebedee.Quux@secretive.example").await;
    let mut poison = json!({ "userName": "zebedee.quux@secretive.example" });
    poison["version"] = json!(1);
    stack.broker().await.command(poison.to_string().as_bytes()).await;
    let arguments = [
        "user",
        "add",
        "logs",
        "--email",
        "by.hand@secretive.example",
        "--given-name",
        "Zebedee",
        "--family-name",
        "Byhand",
    ];
    stack.rollcall_json(&arguments).await;
    stack.mailbox().first_to("by.hand@secretive.example").await;

    let command = stack
        .db()
        .one(&format!(
            "select * from commands where resource_id = '{id}' and change = 'user.create' and status = 201"
        ))
        .await;
    let request = command["request_id"].as_str().unwrap();
    for service in stack.services() {
        eventually(format!("{} names the request", service.name()), Duration::from_secs(10), async || {
            service.log().contains(request).then_some(())
        })
        .await;
        let log = service.log();
        for line in log.lines() {
            let parsed: Result<Value, _> = serde_json::from_str(line);
            assert!(
                parsed.is_ok_and(|line| line.is_object()),
                "{}: not a JSON object: {line}",
                service.name()
            );
        }
        let lowered = log.to_lowercase();
        let secrets = [
            "secretive.example",
            "zebedee",
            "quuxworth",
            "byhand",
            "frobnitz",
            PASSWORD,
            &tenant.key.api_key,
            stack.database_url.split(['/', ':', '@']).nth(4).unwrap(),
        ];
        for secret in secrets {
            let line = lowered.lines().find(|line| line.contains(&secret.to_lowercase()));
            assert!(line.is_none(), "{} logs {secret}: {}", service.name(), line.unwrap_or_default());
        }
    }
}
