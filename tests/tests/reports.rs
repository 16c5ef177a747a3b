//! What the learning platform reads: reports over the living only, the accounts that nobody owns, the activity log.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::okta::person;
use tests::tenant::Key;
use tests::{Stack, Tenant, eventually};

/// An answer of any media type.
struct Got {
    status: StatusCode,
    media_type: String,
    text: String,
}

async fn get(stack: &Stack, key: &Key, path: &str) -> Got {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("{}{path}", stack.origin())).bearer_auth(&key.api_key);
    let response = request.send().await.unwrap();
    let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    Got { status: response.status(), media_type, text: response.text().await.unwrap() }
}

/// The rows of a report.
async fn rows(stack: &Stack, key: &Key, path: &str) -> Vec<Value> {
    let got = get(stack, key, path).await;
    assert_eq!(
        (got.status.as_u16(), got.media_type.as_str()),
        (200, "application/json"),
        "{path}: {}",
        got.text
    );
    let rows: Value = serde_json::from_str(&got.text).unwrap();
    rows.as_array().unwrap().clone()
}

fn at(user: &Value, location: &str, unit: &str) -> Value {
    let mut user = user.clone();
    user["externalId"] = json!(format!("00u-{}", user["userName"].as_str().unwrap()));
    let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    user[enterprise] = json!({ "costCenter": location, "division": unit });
    user
}

/// Ada in Graz and Bob in Linz, each with a lesson, Bob's completed.
async fn two_learners(stack: &Stack, tenant: &Tenant) -> [String; 2] {
    let okta = tenant.okta();
    let ada =
        okta.create(&at(&person("ada@reports.example", "Ada", "A"), "Graz", "Sales")).await.is(201).id();
    let bob =
        okta.create(&at(&person("bob@reports.example", "Bob", "B"), "Linz", "Sales")).await.is(201).id();
    let content = tenant.content();
    let lesson = content.assigned(&ada, "Welcome");
    content.tell(&lesson).await.is(202);
    let lesson = content.assigned(&bob, "Welcome");
    content.tell(&lesson).await.is(202);
    let completed = json!({
        "specversion": "1.0", "type": "content.completed", "source": "/content", "id": shared::id::new(),
        "data": {
            "user": { "id": bob },
            "assignment": { "id": lesson["data"]["assignment"]["id"], "completedAt": "2026-11-03T09:00:00Z", "score": 0.5 }
        }
    });
    content.tell(&completed).await.is(202);
    let completed = format!("select 1 from assignments where user_id = '{bob}' and completed_at is not null");
    let assigned = format!("select 1 from assignments where user_id = '{ada}'");
    eventually("the notifier has noted it", Duration::from_secs(20), async || {
        let db = stack.db();
        (db.count(&completed).await == 1 && db.count(&assigned).await == 1).then_some(())
    })
    .await;
    [ada, bob]
}

const ALL: [&str; 4] = ["learners", "assignments", "locations", "business_units"];

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_learner_is_in_no_report_and_comes_back_with_all_history() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("reports-reports").await;
    let [ada, bob] = two_learners(&stack, &tenant).await;
    let all = async || {
        let mut all = Vec::new();
        for name in ALL {
            all.push(rows(&stack, &tenant.key, &format!("/reports/{name}")).await);
        }
        all
    };
    let before = all().await;
    let lengths = |all: &[Vec<Value>]| all.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(lengths(&before), [2, 2, 2, 1]);
    assert_eq!(before[1].iter().filter(|row| row["status"] == "Completed").count(), 1);
    let sales = &before[3][0];
    assert_eq!(
        (&sales["learners"], &sales["assigned"], &sales["completed"]),
        (&json!(2), &json!(2), &json!(1))
    );

    tenant.okta().set_active(&bob, false).await.is(200);
    let without = all().await;
    assert_eq!(lengths(&without), [1, 1, 1, 1]);
    assert!(!json!(without).to_string().contains(&bob), "somebody archived is in a report");
    assert_eq!((&without[0][0]["id"], &without[3][0]["learners"]), (&json!(ada), &json!(1)));

    tenant.okta().set_active(&bob, true).await.is(200);
    assert_eq!(all().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_filtered_and_come_as_json_and_as_csv() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("reports-filters").await;
    let [ada, bob] = two_learners(&stack, &tenant).await;
    for (path, ids) in [
        ("learners?location=Graz", vec![&ada]),
        ("learners?businessUnit=Sales&location=Linz", vec![&bob]),
        ("learners?business_unit=Support", vec![]),
    ] {
        let found = rows(&stack, &tenant.key, &format!("/reports/{path}")).await;
        let found: Vec<&str> = found.iter().filter_map(|row| row["id"].as_str()).collect();
        assert_eq!(found, ids, "{path}");
    }
    for (status, user) in [("Completed", &bob), ("Overdue", &ada)] {
        let found = rows(&stack, &tenant.key, &format!("/reports/assignments?status={status}")).await;
        // Before the date on which Ada's is due it is not overdue.
        let found: Vec<&str> = found.iter().filter_map(|row| row["userId"].as_str()).collect();
        assert!(found.is_empty() || found == [user.as_str()], "{status}: {found:?}");
    }
    let csv = get(&stack, &tenant.key, "/reports/locations?format=csv").await;
    assert!(csv.media_type.starts_with("text/csv"), "{}", csv.media_type);
    assert_eq!(csv.text, "location,learners,assigned,completed,overdue\r\nGraz,1,1,0,0\r\nLinz,1,1,1,0\r\n");
    let printed = stack.rollcall(&["report", "locations", "--tenant", "reports-filters"]).await.well();
    assert_eq!(printed.out, csv.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_report_cannot_answer_is_said_with_its_name() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("reports-wrong").await;
    for (path, status, word) in [
        ("/reports/everything", 404, "business_units"),
        ("/reports/learners?status=Overdue", 400, "status"),
        ("/reports/assignments?status=late", 400, "Overdue"),
        ("/reports/learners?format=pdf", 400, "format"),
        ("/activity?since=yesterday", 400, "since"),
        ("/activity?user=nobody@wrong.example", 404, "user"),
    ] {
        let got = get(&stack, &tenant.key, path).await;
        assert_eq!(got.status.as_u16(), status, "{path}: {}", got.text);
        assert!(
            got.media_type.starts_with("application/scim+json") && got.text.contains(word),
            "{path}: {}",
            got.text
        );
    }
    let scim = Key::add(&stack, "reports-wrong", "scim").await;
    for path in ["/reports/learners", "/activity"] {
        assert_eq!(get(&stack, &scim, path).await.status.as_u16(), 403, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_reports_by_sql_can_read_nothing_else() {
    let stack = Stack::shared().await;
    let db = stack.db();
    let may = async |table: &str| {
        let asked = format!("select has_table_privilege('rollcall_reporting', '{table}', 'select') as may");
        db.one(&asked).await["may"] == true
    };
    for view in ALL {
        assert!(may(&format!("reporting.{view}")).await, "{view}");
    }
    for table in ["users", "commands", "api_keys", "notifications"] {
        assert!(!may(&format!("public.{table}")).await, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_nobody_owns_are_listed_with_the_reason_and_what_to_do() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("reports-unlinked").await;
    let new = [
        "user",
        "add",
        "reports-unlinked",
        "--email",
        "old@unlinked.example",
        "--given-name",
        "Old",
        "--family-name",
        "Timer",
    ];
    stack.rollcall_json(&new).await;
    tenant.okta().create(&at(&person("new@unlinked.example", "Ne", "W"), "Graz", "Sales")).await.is(201);
    let found = rows(&stack, &tenant.key, "/reports/unlinked").await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["userName"], "old@unlinked.example");
    assert!(found[0]["reason"].as_str().unwrap().contains("by hand"), "{found:?}");
    assert!(found[0]["whatToDo"].as_str().unwrap().contains("rollcall link"), "{found:?}");
    let said = stack.rollcall(&["unlinked", "reports-unlinked"]).await.well();
    assert!(
        said.out.contains("old@unlinked.example") && said.out.contains("1 active account"),
        "{}",
        said.out
    );
    // The identity provider links the account, under the same id.
    let linked =
        tenant.okta().create(&at(&person("old@unlinked.example", "Old", "Timer"), "Graz", "Sales")).await;
    assert_eq!(linked.status, 409, "the account is active: it has to be found and updated");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_who_asked_for_what_and_why_it_was_refused() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("reports-log").await;
    let okta = tenant.okta();
    let user = at(&person("ada@log.example", "Ada", "A"), "Graz", "Sales");
    let id = okta.create(&user).await.is(201).id();
    okta.create(&user).await.is(409);
    okta.set_active(&id, false).await.is(200);

    let log = rows(&stack, &tenant.key, "/activity").await;
    let told: Vec<(&str, &str)> =
        log.iter().map(|row| (row["change"].as_str().unwrap(), row["outcome"].as_str().unwrap())).collect();
    assert_eq!(told, [("user.create", "created"), ("user.create", "rejected"), ("user.patch", "updated")]);
    assert!(log[1]["reason"].as_str().is_some_and(|reason| reason.contains("userName")), "{log:?}");
    assert!(log.iter().all(|row| row["actor"] == format!("key {}", tenant.key.prefix())), "{log:?}");
    assert!(!json!(log).to_string().contains("ada@log.example"), "the log names somebody");

    let about = rows(&stack, &tenant.key, "/activity?user=ADA@log.example").await;
    assert_eq!(about.len(), 2, "{about:?}");
    let later = rows(&stack, &tenant.key, "/activity?since=2099-01-01T00:00:00Z").await;
    assert!(later.is_empty());
    let said = stack.rollcall(&["activity", "reports-log", "--user", &id]).await.well();
    assert!(said.out.contains("user.patch") && said.out.contains("updated"), "{}", said.out);
}
