//! Reads reports and the activity log.

use reqwest::StatusCode;
use serde_json::Value;

use crate::stack::Stack;
use crate::tenant::Key;

/// A response of any media type.
pub struct Got {
    /// Its status.
    pub status: StatusCode,
    /// Its media type.
    pub media_type: String,
    /// Its body.
    pub text: String,
}

/// Sends a GET with a key.
///
/// # Panics
/// If there is no answer.
pub async fn get(stack: &Stack, key: &Key, path: &str) -> Got {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("{}{path}", stack.origin())).bearer_auth(&key.api_key);
    let response = request.send().await.unwrap();
    let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    Got { status: response.status(), media_type, text: response.text().await.unwrap() }
}

/// The rows of a report.
///
/// # Panics
/// If the response is not 200 and JSON.
pub async fn rows(stack: &Stack, key: &Key, path: &str) -> Vec<Value> {
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
