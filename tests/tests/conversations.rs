//! Recorded conversations: each page is a test. [`tests::page`] explains how to read and record them.

use tests::{Stack, page};

#[tokio::test(flavor = "multi_thread")]
async fn okta_as_a_catalog_app() {
    let stack = Stack::shared().await;
    page::run(&stack, "okta-catalog-app", "harbour").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn okta_as_a_wizard_app() {
    let stack = Stack::shared().await;
    page::run(&stack, "okta-wizard-app", "mill").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn okta_pushes_groups() {
    let stack = Stack::shared().await;
    page::run(&stack, "okta-group-push", "guild").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entra_id_provisions() {
    let stack = Stack::shared().await;
    page::run(&stack, "entra-id", "meadow").await;
}
