//! `assignments`: which content is assigned to which user. Events may be duplicated, late, or out of order, a
//! completion before its assignment. Of several assignments with one id the latest wins; likewise of several
//! completions (at equal times the one received last, because the score may follow later). Neither overwrites the
//! columns of the other.

use std::collections::HashSet;

use database::schema::assignments;
use database::{Error, Rows};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::event::{Assigned, Completed};
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

const ASSIGNED: &str = "insert into assignments
  (tenant_id, id, user_id, content_id, content_kind, content_title, content_url, assigned_at, due_by)
  select distinct on (tenant_id, id)
    tenant_id, id, user_id, content_id, content_kind, content_title, content_url, assigned_at, due_by
  from input order by tenant_id, id, assigned_at desc
  on conflict (tenant_id, id) do update set
    user_id = excluded.user_id, content_id = excluded.content_id, content_kind = excluded.content_kind,
    content_title = excluded.content_title, content_url = excluded.content_url,
    assigned_at = excluded.assigned_at, due_by = excluded.due_by
  where assignments.assigned_at is null or assignments.assigned_at <= excluded.assigned_at";

const COMPLETED: &str = "insert into assignments (tenant_id, id, user_id, completed_at, score, grade_pending)
  select distinct on (tenant_id, id) tenant_id, id, user_id, completed_at, score, grade_pending
  from (select *, row_number() over () as nth from input) as input
  order by tenant_id, id, completed_at desc, grade_pending, nth desc
  on conflict (tenant_id, id) do update set
    completed_at = excluded.completed_at, score = excluded.score, grade_pending = excluded.grade_pending
  where assignments.completed_at is null or assignments.completed_at < excluded.completed_at
    or assignments.completed_at = excluded.completed_at and (assignments.grade_pending or not excluded.grade_pending)";

/// The columns of `assignments` that an assignment sets.
#[derive(Debug, Serialize)]
pub struct AssignedRow<'a> {
    tenant_id: Uuid,
    id: &'a str,
    user_id: Uuid,
    content_id: &'a str,
    content_kind: &'static str,
    content_title: &'a str,
    content_url: &'a str,
    #[serde(with = "time::serde::rfc3339")]
    assigned_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    due_by: Option<OffsetDateTime>,
}

impl<'a> AssignedRow<'a> {
    /// The row for an event.
    #[must_use]
    pub fn new(tenant_id: Uuid, assigned: &'a Assigned) -> Self {
        Self {
            tenant_id,
            id: &assigned.assignment.id,
            user_id: assigned.user.id,
            content_id: &assigned.content.id,
            content_kind: assigned.content.kind.as_str(),
            content_title: &assigned.content.title,
            content_url: &assigned.content.url,
            assigned_at: assigned.assignment.assigned_at,
            due_by: assigned.assignment.due_by,
        }
    }
}

/// The columns of `assignments` that a completion sets.
#[derive(Debug, Serialize)]
pub struct CompletedRow<'a> {
    tenant_id: Uuid,
    id: &'a str,
    user_id: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    completed_at: OffsetDateTime,
    score: Option<f64>,
    grade_pending: bool,
}

impl<'a> CompletedRow<'a> {
    /// The row for an event.
    #[must_use]
    pub fn new(tenant_id: Uuid, completed: &'a Completed) -> Self {
        Self {
            tenant_id,
            id: &completed.assignment.id,
            user_id: completed.user.id,
            completed_at: completed.assignment.completed_at,
            score: completed.assignment.score,
            grade_pending: completed.assignment.grade_pending,
        }
    }
}

/// Saves assignments.
///
/// # Errors
/// See [`Error`].
pub async fn assign(connection: &mut AsyncPgConnection, rows: &[AssignedRow<'_>]) -> Result<(), Error> {
    Rows::new("assignments", rows, ASSIGNED)?.execute(connection).await?;
    Ok(())
}

/// Saves completions.
///
/// # Errors
/// See [`Error`].
pub async fn complete(connection: &mut AsyncPgConnection, rows: &[CompletedRow<'_>]) -> Result<(), Error> {
    Rows::new("assignments", rows, COMPLETED)?.execute(connection).await?;
    Ok(())
}

/// Which of these assignments of these tenants are completed.
///
/// # Errors
/// See [`Error`].
pub async fn completed(
    connection: &mut AsyncPgConnection,
    tenants: &[Uuid],
    ids: &[String],
) -> Result<HashSet<(Uuid, String)>, Error> {
    let query = assignments::table
        .filter(assignments::tenant_id.eq_any(tenants).and(assignments::id.eq_any(ids)))
        .filter(assignments::completed_at.is_not_null())
        .select((assignments::tenant_id, assignments::id));
    Ok(query.load(connection).await?.into_iter().collect())
}
