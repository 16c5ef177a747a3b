//! Answers a panic with 500. `telemetry` logs where it happened.

use std::any::Any;

use axum::response::{IntoResponse, Response};

use super::response::Refusal;

/// The response to a request whose handler panicked.
pub fn respond(_words: Box<dyn Any + Send>) -> Response {
    Refusal::bug("the handler panicked").into_response()
}
