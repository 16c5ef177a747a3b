//! Clients that disconnect during a request: it is processed to the end, and a repeated request gets the outcome.

use std::time::Duration;

use serde_json::{Value, json};
use tests::okta::person;
use tests::raw::head;
use tests::tenant::Key;
use tests::{Answer, Stack, eventually};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(60);
/// The number of operations in a bulk request.
const MANY: usize = 200;

/// Sends a request without reading the answer.
async fn send(stack: &Stack, key: &Key, target: &str, media_type: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", stack.ingests[0].port())).await.unwrap();
    let length = body.len();
    let head = head("POST", target, key);
    let request = format!("{head}Content-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

fn creates(company: &str) -> String {
    let create = |n: usize| {
        let data = person(&format!("p{n}@{company}.example"), "Per", &format!("Son {n}"));
        json!({ "method": "POST", "path": "/Users", "bulkId": format!("p{n}"), "data": data })
    };
    let operations: Vec<Value> = (0..MANY).map(create).collect();
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations })
        .to_string()
}

async fn users(stack: &Stack) -> usize {
    usize::try_from(stack.db().count("select 1 from users").await).unwrap()
}

/// Sends a bulk request, and disconnects when some of it is done.
async fn hang_up_in_the_middle(stack: &Stack, key: &Key, body: &str) {
    let stream = send(stack, key, "/scim/v2/Bulk", "application/scim+json", body).await;
    eventually("some of it is done", SOON, async || (users(stack).await >= 10).then_some(())).await;
    drop(stream);
    let done = users(stack).await;
    assert!(done < MANY, "{done} were done before the client disconnected");
}

/// The number of requests whose clients disconnected, according to ingest's log.
fn hung_up(stack: &Stack) -> usize {
    stack.ingests[0].log().matches("client disconnected").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_request_is_completed_and_its_repetition_gets_the_outcome() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("bulky").await;
    let (okta, body) = (tenant.okta(), creates("bulky"));
    hang_up_in_the_middle(&stack, &tenant.key, &body).await;
    eventually("all of it is done", SOON, async || (users(&stack).await == MANY).then_some(())).await;
    assert_eq!(hung_up(&stack), 1);
    eventually("the outcomes are marked as undelivered", SOON, async || {
        let undelivered = stack.db().count("select 1 from commands where delivery = 'undelivered'").await;
        (usize::try_from(undelivered).unwrap() == MANY).then_some(())
    })
    .await;

    let again: Answer = okta.once(okta.request("POST", "/Bulk").body(body)).await.is(200);
    let operations = again.body["Operations"].as_array().unwrap();
    assert!(operations.iter().all(|operation| operation["status"] == "201"), "{}", again.text);
    assert_eq!((operations.len(), users(&stack).await), (MANY, MANY));
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_waits_for_a_bulk_request_whose_client_disconnected() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("stopping").await;
    hang_up_in_the_middle(&stack, &tenant.key, &creates("stopping")).await;
    eventually("ingest has noticed", SOON, async || (hung_up(&stack) == 1).then_some(())).await;
    assert!(tests::process::ended_well(stack.ingests[0].terminate().await));
    assert_eq!(users(&stack).await, MANY);
}
