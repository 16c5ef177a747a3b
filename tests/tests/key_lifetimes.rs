//! The terms of API keys: role events need a scope of their own, keys are used from their networks only, and expire
//! after a year unless told otherwise, with warnings. The keys of the services rotate.

use std::process::Command;
use std::time::Duration;

use boon::{Compiler, Draft, Schemas};
use domain::unsubscribe;
use platform::clock::Clock;
use serde_json::{Value, json};
use tests::content::{BATCH, ContentService};
use tests::okta::person;
use tests::okta_api::OktaApi;
use tests::stack::{Options, SECRET_KEY, Said};
use tests::tenant::Key;
use tests::{Okta, Stack, eventually, holds_for, programs};
use time::format_description::well_known::Rfc3339;
use time::{Duration as Span, OffsetDateTime};

const SOON: Duration = Duration::from_secs(20);
const SCHEMA: &str = include_str!("../../shared/domain/src/event/events.schema.json");
/// Workers look for keys that expire once a minute.
const NEXT_LOOK: Duration = Duration::from_secs(90);

async fn add(stack: &Stack, tenant: &str, more: &[&str]) -> Value {
    stack.rollcall_json(&[&["key", "add", tenant], more].concat()).await
}

/// Checks an event against the documented schema.
fn is_documented(event: &Value) {
    let mut compiler = Compiler::new();
    compiler.set_default_draft(Draft::V2020_12);
    compiler.enable_format_assertions();
    compiler.add_resource("urn:rollcall:events", serde_json::from_str(SCHEMA).unwrap()).unwrap();
    let mut schemas = Schemas::new();
    let schema = compiler.compile("urn:rollcall:events", &mut schemas).unwrap();
    schemas.validate(event, schema).unwrap_or_else(|wrong| panic!("{wrong:#}\n{event}"));
}

fn role_changed(user: &str, role: &str) -> Value {
    json!({
        "specversion": "1.0", "type": "role.changed", "source": "/platform", "id": platform::id::new(),
        "data": { "user": { "id": user }, "role": role }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_content_events_makes_nobody_an_administrator() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("escalation").await;
    let id = tenant.okta().create(&person("e@escalation.example", "Es", "Calation")).await.is(201).id();
    let teller = async |scopes| {
        let key = Key::add(&stack, "escalation", scopes).await;
        ContentService::new(&stack.origin(), "escalation", &key.api_key)
    };
    let (content, roles) = (teller("events").await, teller("roles").await);
    let (makes_admin, assigned) = (role_changed(&id, "admin"), content.assigned(&id, "First"));
    let refused = content.tell(&makes_admin).await.is_error(403);
    assert!(refused.detail().starts_with("this API key lacks the scope roles"), "{}", refused.detail());
    for media_type in [BATCH, "application/json"] {
        let batch = json!([assigned, makes_admin]).to_string();
        let refused = content.post(media_type, batch).await.is_error(403);
        assert!(refused.detail().starts_with("events[1]: this API key lacks"), "{}", refused.detail());
    }
    content.post("application/json", makes_admin.to_string()).await.is_error(403);
    assert_eq!(stack.db().user(&id).await.unwrap()["role"], "learner");
    // Nothing of a refused batch was accepted.
    let has_no_mail = async || stack.db().ledger(&id).await.iter().all(|line| line["kind"] == "welcome");
    assert!(holds_for(Duration::from_secs(1), has_no_mail).await);

    let refused = roles.tell(&assigned).await.is_error(403);
    assert!(refused.detail().contains("lacks the scope events"), "{}", refused.detail());
    roles.tell(&role_changed(&id, "manager")).await.is(202);
    assert_eq!(stack.db().user(&id).await.unwrap()["role"], "manager");
    tenant.content().post(BATCH, json!([assigned, makes_admin]).to_string()).await.is(202);
    assert_eq!(stack.db().user(&id).await.unwrap()["role"], "admin");
    Okta::bearer(&stack.origin(), &Key::add(&stack, "escalation", "roles").await.api_key)
        .get("/Users")
        .await
        .is_error(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_accepted_from_its_networks_only() {
    let stack = Stack::shared().await;
    stack.tenant("networks").await;
    let elsewhere = add(&stack, "networks", &["--network", "203.0.113.0/24,2001:db8::/32"]).await;
    assert_eq!(elsewhere["networks"], json!(["203.0.113.0/24", "2001:db8::/32"]));
    let key = Key::of(&elsewhere);
    let [first, second] = [0, 1].map(|n| Okta::basic(&stack.origin_of(n), &key.username, &key.api_key));
    for client in [&first, &second] {
        let refused = client.get("/Users").await.is_error(403);
        assert_eq!(refused.detail(), "this API key may not be used from this address");
    }
    let wrong = Okta::basic(&stack.origin(), "networks", &format!("{}x", key.api_key));
    wrong.get("/Users").await.is_error(401);
    let listed = stack.rollcall(&["key", "list", "networks"]).await.well().out;
    assert!(listed.contains("203.0.113.0/24,2001:db8::/32") && listed.contains("any"), "{listed}");

    let set = async |network: &str, expected: u16| {
        stack.rollcall(&["key", "set", "networks", key.prefix(), "--network", network]).await.well();
        for client in [&first, &second] {
            eventually("the networks are in force", Duration::from_secs(5), async || {
                (client.get("/Users?count=0").await.status == expected).then_some(())
            })
            .await;
        }
    };
    set("127.0.0.0/8", 200).await;
    set("198.51.100.7", 403).await;
    set("any", 200).await;
    for wrong in ["203.0.113.7/24", "acme.example", "203.0.113.0/33"] {
        let said = stack.rollcall(&["key", "add", "networks", "--network", wrong]).await;
        assert_eq!(said.code, Some(2), "{}", said.out);
        assert!(said.err.contains("203.0.113.0/24"), "{}", said.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_ends_after_a_year_unless_told_otherwise() {
    let stack = Stack::shared().await;
    stack.tenant("ends").await;
    let now = Clock::System.now();
    for (arguments, days) in [
        (&[][..], Some(365)),
        (&["--expires-in", "30d"], Some(30)),
        (&["--expires-in", "12w"], Some(84)),
        (&["--expires-in", "1y"], Some(365)),
        (&["--expires-in", "never"], None),
    ] {
        let added = add(&stack, "ends", arguments).await;
        let end = added["expires_at"].as_str().map(|text| OffsetDateTime::parse(text, &Rfc3339).unwrap());
        assert_eq!(end.is_some(), days.is_some(), "{added}");
        if let (Some(end), Some(days)) = (end, days) {
            let off = end - now - Span::days(days);
            assert!(off.abs() < Span::minutes(10), "{arguments:?}: {added}");
        }
    }
    let said = stack.rollcall(&["key", "add", "ends"]).await.well();
    assert!(said.out.contains("Expires"), "{}", said.out);
    let listed = stack.rollcall(&["key", "list", "ends"]).await.well().out;
    assert!(listed.contains("never"), "{listed}");
    for wrong in ["0d", "soon", "11y", "-1d"] {
        let said = stack.rollcall(&["key", "add", "ends", &format!("--expires-in={wrong}")]).await;
        assert_eq!(said.code, Some(2), "{wrong}: {}", said.out);
        assert!(said.err.contains("30d, 12w or 1y"), "{}", said.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_warning_about_a_key_is_given_once_whatever_the_number_of_workers() {
    let stack = Stack::start(Options { workers: 2, ..Options::default() }).await;
    let broker = stack.broker().await;
    let witness = broker.witness().await;
    let tenant = stack.tenant("warned").await;
    tenant.set(&stack, &["contact=Operators <ops@warned.example>", "locale=de"]).await;
    let key = Key::of(&add(&stack, "warned", &["--expires-in", "20d"]).await);
    let revoked = Key::of(&add(&stack, "warned", &["--expires-in", "2d"]).await);
    stack.rollcall(&["key", "revoke", "warned", revoked.prefix()]).await.well();
    // They look when they start.
    for worker in &stack.workers {
        worker.restart().await;
    }
    let mut events = Vec::new();
    let mut warned = async |count: usize| -> Vec<Value> {
        eventually(format!("{count} warnings"), NEXT_LOOK, async || {
            events.extend(
                witness.events(&broker).await.into_iter().filter(|event| event["type"] == "key.expiring"),
            );
            (events.len() >= count).then(|| events.clone())
        })
        .await
    };
    let first = warned(1).await;
    let event = &first[0];
    assert_eq!((&event["tenant"], &event["source"]), (&json!("warned"), &json!("urn:rollcall")));
    let said = &event["data"]["key"];
    assert_eq!((&said["prefix"], &said["daysLeft"]), (&json!(key.prefix()), &json!(20)), "{event}");
    assert_eq!(said["id"], event["subject"]);
    let text = event.to_string();
    assert!(!text.contains(&key.api_key), "{text}");
    is_documented(event);

    // Time passes.
    let expires = |left: &str| {
        let set = format!("update api_keys set expires_at = now() + interval '{left}'");
        format!("{set} where prefix = '{}'", key.prefix())
    };
    stack.db().execute(&expires("13 days 23 hours")).await;
    stack.workers[0].restart().await;
    stack.workers[1].restart().await;
    assert_eq!(warned(2).await[1]["data"]["key"]["daysLeft"], 14);
    stack.db().execute(&expires("2 days 23 hours")).await;
    stack.workers[0].restart().await;
    stack.workers[1].restart().await;
    let all = warned(3).await;
    assert_eq!(all[2]["data"]["key"]["daysLeft"], 3);
    assert_eq!(all.len(), 3, "{all:?}");
    let mut ids: Vec<&str> = all.iter().map(|event| event["id"].as_str().unwrap()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 3, "{ids:?}");
    // Each restart has looked again.
    assert_eq!(stack.db().count("select 1 from key_warnings").await, 3);
    let lines = |prefix: &str| {
        let logs = stack.workers.iter().map(tests::process::Service::log);
        logs.map(|log| {
            log.lines()
                .filter(|line| line.contains("an API key expires soon") && line.contains(prefix))
                .count()
        })
        .sum::<usize>()
    };
    eventually("the log has each warning", SOON, async || (lines(key.prefix()) == 3).then_some(())).await;
    assert_eq!(lines(revoked.prefix()), 0, "a revoked key needs no warning");

    // The contact gets one mail for each warning, and another notifier sends none.
    let mailbox = stack.mailbox();
    let mails = eventually("three mails to the contact", NEXT_LOOK, async || {
        Some(mailbox.to("ops@warned.example")).filter(|mails| mails.len() == 3)
    })
    .await;
    for mail in &mails {
        assert!(mail.text.contains(key.prefix()) && mail.text.contains("läuft ab"), "{}", mail.text);
        assert!(!mail.raw.contains(&key.api_key), "{}", mail.raw);
    }
    let sent = "select 1 from key_mails where state = 'sent'";
    eventually("they are recorded", SOON, async || (stack.db().count(sent).await == 3).then_some(())).await;
    stack.notifier.restart().await;
    assert!(holds_for(Duration::from_secs(3), async || mailbox.to("ops@warned.example").len() == 3).await);
    let wrong = stack.rollcall(&["tenant", "set", "warned", "contact=nobody"]).await;
    assert!(wrong.code != Some(0) && wrong.err.contains("mail address"), "{}", wrong.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_key_and_the_unsubscribe_key_rotate() {
    const NEW: &str = "YW5vdGhlciBrZXkgb2Ygcm9sbGNhbGwgdGVzdHMgMzI=";
    let both = format!("{NEW},{SECRET_KEY}");
    let [old, new] = ['o', 'n'].map(|letter| letter.to_string().repeat(32));
    let environment = vec![
        ("ROLLCALL_SECRET_KEY", both.clone()),
        ("ROLLCALL_UNSUBSCRIBE_KEY", format!("{new},{old}")),
        ("ROLLCALL_PUBLIC_URL", "https://scim.example".to_owned()),
    ];
    let stack = Stack::start(Options { environment, ..Options::default() }).await;
    let tenant = stack.tenant("rotates").await;
    let id = tenant.okta().create(&person("r@rotates.example", "Ro", "Tates")).await.is(201).id();

    // Links of both keys work; those of another do not.
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for (key, expected) in [(&old, 200), (&new, 200), (&"x".repeat(32), 404)] {
        let key: unsubscribe::Key = key.parse().unwrap();
        let link = key.link(&stack.origin(), tenant.id, id.parse().unwrap());
        assert_eq!(http.get(link).send().await.unwrap().status().as_u16(), expected);
    }

    // The CLI of the stack has the old key only.
    let api = OktaApi::start(Vec::new()).await;
    api.set(&stack, "rotates", &[]).await;
    stack.rollcall(&["pull", "run", "rotates"]).await.well();
    let rollcall = async |secret_key: &str, arguments: &[&str]| {
        let mut command = Command::new(programs::path("rollcall"));
        command.env_clear().env("DATABASE_URL", &stack.database_url).env("AMQP_URL", &stack.amqp_url);
        command.env("ROLLCALL_SECRET_KEY", secret_key);
        command.current_dir(stack.folder()).args(arguments);
        Said::by(command).await
    };
    let lost = rollcall(NEW, &["pull", "renew", "--json"]).await;
    assert!(lost.code == Some(1) && lost.out.contains("unreadable"), "{} {}", lost.out, lost.err);
    for state in ["renewed", "current"] {
        let said = rollcall(&both, &["pull", "renew", "--json"]).await.well();
        let said: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(said, json!([{ "tenant": "rotates", "token": state }]));
    }
    let said = rollcall(NEW, &["pull", "renew"]).await.well();
    assert!(said.out.contains("current"), "{}", said.out);
    stack.rollcall(&["pull", "run", "rotates"]).await.well();
}
