//! Tests that measure times. `deploy/test` runs them one by one, with nothing beside them.

mod back_pressure;
mod behind_a_balancer;
mod fairness;
mod lists_at_scale;
mod queue_full;
mod reports_at_scale;
mod workers_come_and_go;
