//! `rollcall schema add` and `schema remove` return when every ingest uses the change.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tests::okta::person;
use tests::stack::Options;
use tests::{Okta, Stack};

const BADGE: &str = "urn:example:params:scim:schemas:extension:badge:2.0:User";
const INGESTS: usize = 2;
const PEOPLE: usize = 40;

fn bearer(name: &str) -> Value {
    let mut user = person(name, "Bea", "Rer");
    user[BADGE] = json!({ "number": 7 });
    user
}

/// Creates users at all ingests in turn; returns how many of them have the attribute.
async fn made(oktas: &[Okta], name: &str) -> usize {
    let mut having = 0;
    for n in 0..PEOPLE {
        let user = bearer(&format!("{name}{n}@force.example"));
        let made = oktas[n % INGESTS].create(&user).await.is(201);
        having += usize::from(made.body[BADGE] == json!({ "number": 7 }));
    }
    having
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_in_force_everywhere_when_the_command_returns() {
    let stack = Stack::start(Options { ingests: INGESTS, workers: 2, ..Options::default() }).await;
    let tenant = stack.tenant("force").await;
    let oktas: Vec<Okta> = (0..INGESTS).map(|n| tenant.okta_at(&stack.origin_of(n))).collect();
    let file = stack.folder().join("badge.json");
    let definition = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"], "id": BADGE, "name": "Badge",
        "attributes": [{ "name": "number", "type": "integer" }],
    });
    std::fs::write(&file, definition.to_string()).unwrap();
    let file = file.to_str().unwrap();

    // Both ingests have the tenant cached all the time, so their caches are as old as they may be.
    let ends = AtomicBool::new(false);
    let asking = async {
        while !ends.load(Ordering::SeqCst) {
            for okta in &oktas {
                okta.get("/Users?count=0").await.is(200);
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let changing = async {
        for round in 0..3 {
            stack.rollcall(&["schema", "add", "force", file]).await.well();
            assert_eq!(made(&oktas, &format!("with{round}-")).await, PEOPLE, "in round {round}");
            stack.rollcall(&["schema", "remove", "force", BADGE]).await.well();
            assert_eq!(made(&oktas, &format!("without{round}-")).await, 0, "in round {round}");
        }
        ends.store(true, Ordering::SeqCst);
    };
    tokio::join!(asking, changing);
    let stored = format!("select 1 from users where resource ? '{BADGE}'");
    assert_eq!(stack.db().count(&stored).await, i64::try_from(3 * PEOPLE).unwrap());
}
