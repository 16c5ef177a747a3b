//! The reports for the learning platform, which show only active users, and the list of unlinked accounts.

use std::time::Duration;

use serde_json::{Value, json};
use tests::okta::person;
use tests::rows::{get, rows};
use tests::tenant::Key;
use tests::{Stack, Tenant, eventually};

fn at(user: &Value, location: &str, unit: &str) -> Value {
    let mut user = user.clone();
    user["externalId"] = json!(format!("00u-{}", user["userName"].as_str().unwrap()));
    let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    user[enterprise] = json!({ "costCenter": location, "division": unit });
    user
}

/// Ada in Graz and Bob in Linz, each with a lesson; Bob's is completed.
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
        "specversion": "1.0", "type": "content.completed", "source": "/content", "id": platform::id::new(),
        "data": {
            "user": { "id": bob },
            "assignment": { "id": lesson["data"]["assignment"]["id"], "completedAt": "2026-11-03T09:00:00Z", "score": 0.5 }
        }
    });
    content.tell(&completed).await.is(202);
    let completed = format!("select 1 from assignments where user_id = '{bob}' and completed_at is not null");
    let assigned = format!("select 1 from assignments where user_id = '{ada}'");
    eventually("the notifier has saved it", Duration::from_secs(20), async || {
        let db = stack.db();
        (db.count(&completed).await == 1 && db.count(&assigned).await == 1).then_some(())
    })
    .await;
    [ada, bob]
}

const ALL: [&str; 4] = ["learners", "assignments", "locations", "business_units"];

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_learner_is_in_no_report_and_is_restored_with_the_history() {
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
    assert!(!json!(without).to_string().contains(&bob), "an archived user is in a report");
    assert_eq!((&without[0][0]["id"], &without[3][0]["learners"]), (&json!(ada), &json!(1)));

    tenant.okta().set_active(&bob, true).await.is(200);
    assert_eq!(all().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_can_be_filtered_and_are_available_as_json_and_csv() {
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
    let late = tenant.content().assigned(&ada, "Late");
    let mut late = late.clone();
    late["data"]["assignment"]["dueBy"] = json!("2026-01-01T00:00:00Z");
    tenant.content().tell(&late).await.is(202);
    eventually("it is saved", Duration::from_secs(20), async || {
        let noted = format!("select 1 from assignments where user_id = '{ada}'");
        (stack.db().count(&noted).await == 2).then_some(())
    })
    .await;
    // Ada's first assignment is due after the second one, and may not be due yet.
    let due = "2026-12-24T18:00:00Z";
    for (status, user) in [("Completed", &bob), ("Overdue", &ada)] {
        let found = rows(&stack, &tenant.key, &format!("/reports/assignments?status={status}")).await;
        let found: Vec<&Value> =
            found.iter().filter(|row| row["dueBy"] != due || status == "Completed").collect();
        assert_eq!(found.len(), 1, "{status}: {found:?}");
        assert_eq!((&found[0]["userId"], &found[0]["status"]), (&json!(user), &json!(status)));
    }
    for (path, learners) in [
        ("locations?business_unit=Sales", vec![1, 1]),
        ("locations?business-unit=Support", vec![]),
        ("business_units?location=Graz", vec![1]),
    ] {
        let found = rows(&stack, &tenant.key, &format!("/reports/{path}")).await;
        let found: Vec<i64> = found.iter().filter_map(|row| row["learners"].as_i64()).collect();
        assert_eq!(found, learners, "{path}");
    }
    let csv = get(&stack, &tenant.key, "/reports/locations?format=csv").await;
    assert!(csv.media_type.starts_with("text/csv"), "{}", csv.media_type);
    let mut lines = csv.text.split("\r\n");
    assert_eq!(lines.next(), Some("location,learners,assigned,completed,overdue"));
    assert_eq!(lines.nth(1), Some("Linz,1,1,1,0"), "{}", csv.text);
    let printed = stack.rollcall(&["report", "locations", "--tenant", "reports-filters"]).await.well();
    assert_eq!(printed.out, csv.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_reports_and_parameters_are_errors_that_name_them() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("reports-wrong").await;
    for (path, status, word) in [
        ("/reports/everything", 404, "business_units"),
        ("/reports/learners?status=Overdue", 400, "status"),
        ("/reports/assignments?status=late", 400, "Overdue"),
        ("/reports/learners?format=pdf", 400, "format"),
        ("/reports/learners?locaton=Graz", 400, "locaton"),
        ("/reports/learners?location=", 400, "location"),
        ("/reports/learners?location=%00", 400, "location"),
        ("/reports/learners?location=A&Location=B", 400, "location"),
        ("/reports/%ff", 404, "business_units"),
        ("/activity?user=%00", 400, "user"),
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
async fn unlinked_accounts_are_listed_with_the_reason_and_what_to_do() {
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
    // A POST does not link an active account.
    let linked =
        tenant.okta().create(&at(&person("old@unlinked.example", "Old", "Timer"), "Graz", "Sales")).await;
    assert_eq!(linked.status, 409, "the account is active: it has to be found and updated instead");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assignment_is_grade_pending_until_its_score_arrives() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("reports-grades").await;
    let ada = tenant.okta().create(&person("ada@grades.example", "Ada", "A")).await.is(201).id();
    let content = tenant.content();
    let lesson = content.assigned(&ada, "Essay");
    content.tell(&lesson).await.is(202);
    let handed_in = |more: Value| {
        let mut assignment =
            json!({ "id": lesson["data"]["assignment"]["id"], "completedAt": "2026-11-03T09:00:00Z" });
        assignment.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({
            "specversion": "1.0", "type": "content.completed", "source": "/content", "id": platform::id::new(),
            "data": { "user": { "id": ada }, "assignment": assignment }
        })
    };
    let shown = async |status: &str, score: Value| {
        eventually(format!("it is {status}, {score}"), Duration::from_secs(20), async || {
            let all = rows(&stack, &tenant.key, "/reports/assignments").await;
            let path = format!("/reports/assignments?status={}", status.replace(' ', "%20"));
            let is_found = rows(&stack, &tenant.key, &path).await.len() == 1;
            let is_shown = all.first().is_some_and(|row| row["status"] == status && row["score"] == score);
            (is_found && is_shown).then_some(())
        })
        .await;
    };
    content.tell(&handed_in(json!({ "gradePending": true }))).await.is(202);
    shown("Grade Pending", Value::Null).await;
    content.tell(&handed_in(json!({ "score": 0.75 }))).await.is(202);
    shown("Completed", json!(0.75)).await;
    // Graded again, with the same completion date.
    content.tell(&handed_in(json!({ "score": 0.875 }))).await.is(202);
    shown("Completed", json!(0.875)).await;
    let wrong = content.tell(&handed_in(json!({ "gradePending": "soon" }))).await;
    assert_eq!((wrong.status, wrong.detail().contains("gradePending")), (400, true), "{}", wrong.detail());
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_from_the_pull_are_in_the_learners_report() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("reports-pulled").await;
    let id = tenant.okta().create(&person("ada@pulled.example", "Ada", "A")).await.is(201).id();
    let pulled = "hire_date = '2024-02-29', region = 'EMEA', custom_fields = '{\"Shirt\": \"M\"}'";
    stack.db().execute(&format!("update users set {pulled} where id = '{id}'")).await;
    let found = rows(&stack, &tenant.key, "/reports/learners").await;
    assert_eq!(
        (&found[0]["hireDate"], &found[0]["region"], &found[0]["customFields"]),
        (&json!("2024-02-29"), &json!("EMEA"), &json!({ "Shirt": "M" }))
    );
    let csv = get(&stack, &tenant.key, "/reports/learners?format=csv").await;
    assert!(csv.text.ends_with("2024-02-29,EMEA,\"{\"\"Shirt\"\":\"\"M\"\"}\"\r\n"), "{}", csv.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_and_the_log_show_only_the_tenants_own_data() {
    let stack = Stack::shared().await;
    let [ours, theirs] = [stack.tenant("reports-ours").await, stack.tenant("reports-theirs").await];
    two_learners(&stack, &ours).await;
    let [ada, bob] = two_learners(&stack, &theirs).await;
    for path in
        ["reports/learners", "reports/assignments", "reports/locations", "reports/business_units", "activity"]
    {
        let found = rows(&stack, &ours.key, &format!("/{path}")).await;
        let text = json!(found).to_string();
        assert!(!found.is_empty() && !text.contains(&ada) && !text.contains(&bob), "{path}: {text}");
    }
    let graz = rows(&stack, &ours.key, "/reports/locations?location=Graz").await;
    assert_eq!(graz[0]["learners"], 1, "{graz:?}");
    assert!(rows(&stack, &ours.key, &format!("/activity?user={ada}")).await.is_empty());
}
