//! What the CLI prints on a terminal: control and bidirectional characters of tenants are escapes there.

use std::process::Command;

use serde_json::json;
use tests::okta::person;
use tests::stack::Said;
use tests::{Stack, programs};

/// Erases the screen, overrides the direction, ends the line.
const EVIL: &str = "A\u{1b}[2J\u{202e}B\u{2066}\u{9b}\u{200b}\nC";
const SHOWN: &str = "A\\u{1b}[2J\\u{202e}B\\u{2066}\\u{9b}\\u{200b}\\u{a}C";

/// Runs the CLI on a pseudo-terminal.
async fn on_a_terminal(stack: &Stack, arguments: &[&str]) -> Said {
    let program = programs::path("rollcall");
    let call = [&[program.to_str().unwrap()], arguments].concat().join(" ");
    let mut command = Command::new("script");
    command
        .args(["-qec", &call, "/dev/null"])
        .env("DATABASE_URL", &stack.database_url)
        .env("AMQP_URL", &stack.amqp_url)
        .current_dir(stack.folder())
        .stdin(std::process::Stdio::null());
    Said::by(command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_characters_are_shown_as_escapes_on_a_terminal_only() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("terminals").await;
    let mut user = person("ada@terminals.example", "Ada", "L");
    user["title"] = json!(EVIL);
    let id = tenant.okta().create(&user).await.is(201).id();
    let odd = json!([{ "op": "remove", "path": "evil" }]);
    tenant.okta().patch(&id, odd).await;

    for arguments in
        [vec!["user", "show", "terminals", &*id], vec!["report", "learners", "--tenant", "terminals"]]
    {
        let said = on_a_terminal(&stack, &arguments).await;
        assert!(said.out.contains(SHOWN), "{arguments:?}: {:?}", said.out);
        assert!(!said.out.contains(['\u{1b}', '\u{202e}', '\u{9b}', '\u{200b}']), "{:?}", said.out);
    }
    let said = on_a_terminal(&stack, &["user", "show", "terminals", &id, "--json"]).await;
    let shown: serde_json::Value =
        serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {:?}", said.out));
    assert_eq!(shown["job_title"], EVIL);
    assert!(!said.out.contains(['\u{1b}', '\u{202e}', '\u{9b}', '\u{200b}']), "{:?}", said.out);
    let said = on_a_terminal(&stack, &["activity", "terminals"]).await;
    assert!(said.out.contains("unknown(1)") && !said.out.contains('\u{1b}'), "{:?}", said.out);

    // A pipe gets the text as it is.
    let said = stack.rollcall(&["user", "show", "terminals", &id]).await.well();
    assert!(said.out.contains(EVIL), "{:?}", said.out);
}
