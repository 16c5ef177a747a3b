//! A property: no request body leads to a 5xx. Sends arbitrary bodies and damaged valid ones to every endpoint that
//! takes a body. Every rejection is a SCIM error, and afterwards everything still works.
//!
//! The seed is printed; `ROLLCALL_E2E_SEED` repeats a run.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};
use tests::answer::SCIM;
use tests::okta::{PATCH_OP, group, membership, person};
use tests::{Okta, Stack};

const REQUESTS: usize = 600;
const CONNECTIONS: usize = 8;
/// Shorter than the deadline for an answer: exceeding it would mean a change that the worker cannot decide.
const LONGEST: Duration = Duration::from_secs(15);

/// An endpoint that takes a body.
struct Place {
    method: &'static str,
    path: String,
    media_type: &'static str,
    /// A valid body.
    good: Value,
}

/// A modification of a valid body.
#[derive(Clone, Debug)]
enum Damage {
    /// Replaces the value at this position.
    Replace(usize, Value),
    /// Removes something from the value.
    Remove(usize),
    /// Inserts a member into the value.
    Insert(usize, String, Value),
    /// Overwrites the text from this position with bytes.
    Splice(usize, Vec<u8>),
}

/// Every endpoint that takes a body, for this user and group.
fn places(user: &str, group_id: &str) -> Vec<Place> {
    let place = |method, path: &str, good| Place { method, path: path.to_owned(), media_type: SCIM, good };
    let patch = |operations: Value| json!({ "schemas": [PATCH_OP], "Operations": operations });
    let search = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "filter": "displayName sw \"A\" or meta.created gt \"2026-01-01T00:00:00Z\"", "sortBy": "displayName",
        "sortOrder": "descending", "startIndex": 1, "count": 2, "attributes": ["displayName", "meta.created"],
    });
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "failOnErrors": 2,
        "Operations": [
            { "method": "POST", "path": "/Users", "bulkId": "a", "data": person("bulk@any.example", "Bu", "Lk") },
            { "method": "POST", "path": "/Groups", "bulkId": "b", "data": group("Bulk", &["bulkId:a"]) },
            { "method": "PATCH", "path": format!("/Users/{user}"), "data": patch(json!([{ "op": "remove", "path": "title" }])) },
        ],
    });
    let mut full = person("full@any.example", "Fu", "Ll");
    full["phoneNumbers"] = json!([{ "value": "+1 555 0100", "type": "work", "primary": true }]);
    full["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"] =
        json!({ "costCenter": "Lisbon", "manager": { "value": "1", "displayName": "John Smith" } });
    let of_user = patch(json!([
        { "op": "replace", "path": "emails[type eq \"work\"].value", "value": "x@any.example" },
        { "op": "add", "value": { "name.givenName": "Any", "active": "True", "title": "Body" } },
        { "op": "remove", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager" },
    ]));
    let mut of_group = membership(&[user], &[user]);
    of_group.as_array_mut().unwrap().extend([
        json!({ "op": "replace", "value": { "id": group_id, "displayName": "Any" } }),
        json!({ "op": "remove", "path": "members[display sw \"A\"]" }),
    ]);
    let event = json!({
        "specversion": "1.0", "type": "content.completed", "source": "/any", "id": "any",
        "data": { "user": { "id": user }, "assignment": { "id": "any", "completedAt": "2026-11-03T09:00:00Z", "score": 1 } },
    });
    vec![
        place("POST", "/Users", full.clone()),
        place("PUT", &format!("/Users/{user}"), full),
        place("PATCH", &format!("/Users/{user}"), of_user),
        place("POST", "/Groups", group("Any", &[user])),
        place("PUT", &format!("/Groups/{group_id}"), group("Any", &[user])),
        place("PATCH", &format!("/Groups/{group_id}"), patch(of_group)),
        place("POST", "/Bulk", bulk),
        place("POST", "/.search", search.clone()),
        place("POST", "/Users/.search", search.clone()),
        place("POST", "/Groups/.search", search),
        Place { media_type: tests::content::ONE, ..place("POST", "/../../events", event) },
    ]
}

/// Strings for anywhere in a body: meaningful ones, and known troublemakers.
fn word() -> impl Strategy<Value = String> {
    let known = [
        "schemas",
        "userName",
        "members",
        "value",
        "active",
        "True",
        "emails",
        "primary",
        "meta",
        "id",
        "groups",
        "op",
        "path",
        "add",
        "remove",
        "Replace",
        "Operations",
        "bulkId:a",
        "filter",
        "count",
        "$ref",
        "",
        " ",
        "\0",
        "\u{feff}",
        "emails[type eq \"work\"].value",
        "members[value eq \"",
        "name.familyName",
        "urn:ietf:params:scim:schemas:core:2.0:User",
        "0192f7a0-0000-7000-8000-000000000000",
        "2026-11-03T09:00:00Z",
        "9999-12-31T23:59:59+23:59",
        "' or 1=1 --",
        "🦀",
    ];
    prop_oneof![3 => proptest::sample::select(known.map(str::to_owned).to_vec()), 1 => any::<String>()]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((word(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<proptest::sample::Index>().prop_map(|index| index.index(1_000));
    prop_oneof![
        4 => (at.clone(), any_json()).prop_map(|(at, value)| Damage::Replace(at, value)),
        2 => at.clone().prop_map(Damage::Remove),
        2 => (at.clone(), word(), any_json()).prop_map(|(at, name, value)| Damage::Insert(at, name, value)),
        1 => (at, proptest::collection::vec(any::<u8>(), 0..8)).prop_map(|(at, bytes)| Damage::Splice(at, bytes)),
    ]
}

/// The body of one request: a damaged valid one, or arbitrary data.
fn body(good: &Value) -> impl Strategy<Value = Vec<u8>> + use<> {
    let good = good.clone();
    let damaged = proptest::collection::vec(damage(), 0..4).prop_map(move |damages| damaged(&good, &damages));
    prop_oneof![
        8 => damaged,
        2 => any_json().prop_map(|value| value.to_string().into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..200),
    ]
}

fn damaged(good: &Value, damages: &[Damage]) -> Vec<u8> {
    let mut value = good.clone();
    for damage in damages {
        match damage {
            Damage::Replace(at, new) => *nth(&mut value, *at) = new.clone(),
            Damage::Remove(at) => match nth(&mut value, *at) {
                Value::Object(members) => {
                    if let Some(first) = members.keys().next().cloned() {
                        members.remove(&first);
                    }
                }
                Value::Array(elements) => drop(elements.pop()),
                other => *other = Value::Null,
            },
            Damage::Insert(at, name, new) => match nth(&mut value, *at) {
                Value::Object(members) => drop(members.insert(name.clone(), new.clone())),
                Value::Array(elements) => elements.push(new.clone()),
                other => *other = new.clone(),
            },
            Damage::Splice(..) => {}
        }
    }
    let mut bytes = value.to_string().into_bytes();
    for damage in damages {
        if let Damage::Splice(at, new) = damage {
            let at = at % (bytes.len() + 1);
            let end = bytes.len().min(at + new.len() / 2);
            bytes.splice(at..end, new.iter().copied());
        }
    }
    bytes
}

/// The n-th value inside a value, modulo their number.
fn nth(value: &mut Value, n: usize) -> &mut Value {
    let mut pointers = Vec::new();
    pointers_of(value, String::new(), &mut pointers);
    let pointer = &pointers[n % pointers.len()];
    value.pointer_mut(pointer).expect("it points into this value")
}

fn pointers_of(value: &Value, pointer: String, pointers: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                pointers_of(member, format!("{pointer}/{name}"), pointers);
            }
        }
        Value::Array(elements) => {
            for (n, element) in elements.iter().enumerate() {
                pointers_of(element, format!("{pointer}/{n}"), pointers);
            }
        }
        _ => {}
    }
    pointers.push(pointer);
}

fn seed() -> u64 {
    let given = std::env::var("ROLLCALL_E2E_SEED").ok().map(|seed| seed.parse().expect("a seed is a number"));
    given.unwrap_or_else(|| platform::id::new().as_u64_pair().1)
}

fn runner(seed: u64) -> TestRunner {
    let bytes: Vec<u8> = seed.to_le_bytes().repeat(4);
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Why an answer, or that of a bulk operation, is not acceptable.
fn fault(answer: &tests::Answer) -> Option<&'static str> {
    let operations = answer.body["Operations"].as_array().into_iter().flatten();
    let mut statuses = operations.filter_map(|operation| operation["status"].as_str()?.parse().ok());
    if statuses.any(|status: u16| status == 429 || status >= 500) {
        return Some("an operation that failed because of a server fault");
    }
    let is_scim = answer.body["schemas"] == json!(["urn:ietf:params:scim:api:messages:2.0:Error"])
        && answer.body["status"].as_str() == Some(answer.status.to_string().as_str())
        && !answer.detail().is_empty();
    match answer.status {
        500.. => Some("a server fault"),
        429 => Some("a change that cannot be decided, or a broken dependency"),
        400.. if !is_scim => Some("not a SCIM error"),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_body_leads_to_a_server_fault() {
    let seed = seed();
    eprintln!("ROLLCALL_E2E_SEED={seed}");
    let stack = Stack::shared().await;
    let okta = stack.tenant("any-body").await.okta();
    let user = okta.create(&person("any@any.example", "An", "Y")).await.is(201).id();
    let group = okta.push_group("Any").await.is(201).id();
    let places = places(&user, &group);
    for place in &places {
        // The undamaged bodies are accepted, or conflict with each other's names.
        let request = okta.request(place.method, &place.path).body(place.good.to_string());
        let media_type = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(place.media_type))]);
        let answer = okta.once(request.headers(media_type)).await;
        assert!(matches!(answer.status, 200..300 | 409), "{} {}: {}", place.method, place.path, answer.text);
    }
    let mut runner = runner(seed);
    let requests: Vec<(&Place, Vec<u8>)> = (0..REQUESTS)
        .map(|n| &places[n % places.len()])
        .map(|place| (place, body(&place.good).new_tree(&mut runner).expect("nothing is filtered").current()))
        .collect();
    let send = async |(place, body): (&Place, Vec<u8>)| {
        let request = okta.request(place.method, &place.path).timeout(LONGEST);
        let media_type = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(place.media_type))]);
        let request = request.headers(media_type).body(body.clone());
        let shown = format!("{} {}: {}", place.method, place.path, String::from_utf8_lossy(&body));
        match okta.attempt(request).await {
            Ok(answer) => {
                fault(&answer).map(|fault| format!("{fault}: {} {}\n{shown}", answer.status, answer.text))
            }
            Err(error) => Some(format!("no answer: {error:?}\n{shown}")),
        }
    };
    let faults: Vec<_> = stream::iter(requests).map(send).buffer_unordered(CONNECTIONS).collect().await;
    let faults: Vec<_> = faults.into_iter().flatten().collect();
    assert!(
        faults.is_empty(),
        "seed {seed}: {} faults, the first:\n{}",
        faults.len(),
        faults[..faults.len().min(5)].join("\n\n")
    );
    all_goes_on(&okta).await;
    eprintln!("answered: {:?}", okta.seen());
}

async fn all_goes_on(okta: &Okta) {
    let id = okta.create(&person("after@any.example", "Af", "Ter")).await.is(201).id();
    okta.set_active(&id, false).await.is(200);
    okta.delete(&id).await.is(204);
}
