//! Tests that measure times. `deploy/test` runs them one by one, with nothing beside them.

mod fairness;
mod lists_at_scale;
mod reports_at_scale;
