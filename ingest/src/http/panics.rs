//! A panic is a bug: it is answered 500. `telemetry` logs its place.
//!
//! Before it: a handler that panicked. After it: the client, and whoever reads the log.

use std::any::Any;

use axum::response::{IntoResponse, Response};

use super::answer::Refusal;

/// The answer to the request whose handler panicked.
pub fn answer(_words: Box<dyn Any + Send>) -> Response {
    Refusal::bug("the handler panicked").into_response()
}
