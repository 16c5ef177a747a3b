//! What is shown of one resource: after a read, after a change, and as one operation of a Bulk response (RFC 7644 §3.7).
//!
//! Before it: a record, or the verdict on a command. After it: the HTTP answer.

use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use shared::outcome::Outcome;
use shared::postgres::Pool;
use shared::scim::{Computed, Error, Projection, Record, Types};
use tracing::debug;
use uuid::Uuid;

use super::kind::{Kind, Method};
use super::read::{self, Members, Seen};
use crate::http::answer::scim_json;

/// The most members of a group that a PATCH is answered with unasked.
const MAX_UNASKED_MEMBERS: i64 = 1_000;
/// How many members were left out because there are no such users, where the tenant chose that.
const SKIPPED_MEMBERS: HeaderName = HeaderName::from_static("rollcall-skipped-members");

/// Which attributes were left as they were although the request is about them.
const IGNORED: HeaderName = HeaderName::from_static("rollcall-ignored");
/// The most bytes of that header: what stands in front of us has little room for an answer's head.
const MAX_IGNORED: usize = 1_000;

/// An answer about one resource.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shown {
    pub(super) status: StatusCode,
    /// `meta.location`.
    pub(super) location: Option<String>,
    /// `meta.version`, the entity tag.
    pub(super) version: Option<String>,
    /// The resource.
    pub(super) body: Option<Value>,
    skipped_members: usize,
    /// The names of the attributes that were left as they were.
    ignored: Vec<String>,
}

impl Shown {
    fn nothing(status: StatusCode) -> Self {
        Self { status, location: None, version: None, body: None, skipped_members: 0, ignored: Vec::new() }
    }

    /// The client has this version already.
    pub(super) fn not_modified(record: &Record) -> Self {
        Self { version: Some(record.etag()), ..Self::nothing(StatusCode::NOT_MODIFIED) }
    }

    /// The same without the resource.
    pub(super) fn empty(self) -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None, ..self }
    }
}

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        let Self { status, location, version, body, skipped_members, ignored } = self;
        let mut response = match body {
            Some(body) => scim_json(status, &body),
            None => status.into_response(),
        };
        let location = location.filter(|_| status == StatusCode::CREATED);
        let skipped = (skipped_members > 0).then(|| skipped_members.to_string());
        // Entity tags and our URLs are ASCII: none of them is dropped.
        let ignored = listed(&ignored);
        let headers = [(ETAG, version), (LOCATION, location), (SKIPPED_MEMBERS, skipped), (IGNORED, ignored)];
        let headers =
            headers.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::try_from(value?).ok()?)));
        response.headers_mut().extend(headers);
        response
    }
}

/// For whom and how it is shown.
pub(super) struct View<'a> {
    pub(super) pool: &'a Pool,
    pub(super) kind: Kind,
    pub(super) types: &'a Types,
    pub(super) tenant: Uuid,
    pub(super) base: &'a str,
    pub(super) projection: &'a Projection,
}

impl View<'_> {
    /// A resource that was read.
    pub(super) fn found(&self, (record, computed): Seen) -> Shown {
        let resource_type = self.kind.resource_type(self.types);
        Shown {
            location: Some(record.location(resource_type, self.base)),
            version: Some(record.etag()),
            body: Some(record.represent(resource_type, self.base, computed, self.projection)),
            ..Shown::nothing(StatusCode::OK)
        }
    }

    /// What came of a change that was asked for by `method`.
    ///
    /// # Errors
    /// Why it was refused.
    pub(super) async fn outcome(&self, method: Method, outcome: Outcome) -> Result<Shown, Error> {
        match outcome {
            Outcome::Created { record, skipped_members, ignored } => {
                let shown = self.changed(method, record).await;
                Ok(Shown { status: StatusCode::CREATED, skipped_members, ignored, ..shown })
            }
            Outcome::Updated { record, skipped_members, ignored } => {
                Ok(Shown { skipped_members, ignored, ..self.changed(method, record).await })
            }
            Outcome::Deleted => Ok(Shown::nothing(StatusCode::NO_CONTENT)),
            Outcome::Rejected { error } => Err(error),
            // Of an asynchronous one: the others are tried again.
            Outcome::Stale { .. } => Err(Error::conflict(
                "a later change was applied first, and this one would undo it: ask again if it is to",
            )),
        }
    }

    /// The changed resource with what is computed, which the verdict does not have. The change stands: where Postgres is
    /// away by now, the verdict's record is shown as it is.
    async fn changed(&self, method: Method, record: Record) -> Shown {
        if !read::shows(self.projection, self.kind, self.types) {
            return self.found((record, None));
        }
        match self.kind {
            // Who is new is in no group; a POST that restores somebody makes a later version than the first.
            Kind::User if method == Method::Post && record.version == 1 => self.found((record, None)),
            Kind::User => self.user(record).await,
            Kind::Group => self.group(method, record).await,
        }
    }

    async fn user(&self, record: Record) -> Shown {
        let groups = self.pool.bounded(async |c| read::groups_of(c, record.id).await).await;
        let groups = groups.map_err(|error| debug!(%error, "failed to read a changed user's groups"));
        self.found((record, groups.ok()))
    }

    async fn group(&self, method: Method, record: Record) -> Shown {
        let is_unasked = method == Method::Patch && *self.projection == Projection::all();
        let wanted = if is_unasked { Members::UpTo(MAX_UNASKED_MEMBERS) } else { Members::All };
        match read::group(self.pool, self.tenant, record.id, wanted).await {
            Ok(Some((now, Some(members)))) => self.found((now, Some(Computed::Members(members)))),
            // The version that the change made: nobody is told of others' changes here.
            Ok(Some((_, None))) => self.found((record, None)).empty(),
            unread => {
                if let Err(error) = unread {
                    debug!(%error, "failed to read a changed group's members");
                }
                let shown = self.found((record, None));
                if is_unasked { shown.empty() } else { shown }
            }
        }
    }
}

/// What came of one operation, in the words of a Bulk response (RFC 7644 §3.7): method, location, version, status, and
/// why it was refused.
pub(super) fn told(
    method: &str,
    location: Option<String>,
    version: Option<String>,
    verdict: Result<u16, &Error>,
) -> Map<String, Value> {
    let mut told = Map::from_iter([("method".to_owned(), Value::from(method))]);
    let status = verdict.unwrap_or_else(|error| error.status);
    told.insert("status".to_owned(), Value::from(status.to_string()));
    told.extend(location.map(|location| ("location".to_owned(), Value::from(location))));
    told.extend(version.map(|version| ("version".to_owned(), Value::from(version))));
    told.extend(verdict.err().map(|error| ("response".to_owned(), json!(error))));
    told
}

/// The names for a header, as many as there is room for: visible ASCII alone, without the comma between them.
fn listed(names: &[String]) -> Option<String> {
    let plain = |c: char| if c.is_ascii_graphic() && c != ',' { c } else { '?' };
    let mut listed = String::new();
    for name in names {
        let name: String = name.chars().map(plain).collect();
        if listed.len() + name.len() > MAX_IGNORED {
            break;
        }
        listed.push_str(if listed.is_empty() { "" } else { ", " });
        listed.push_str(&name);
    }
    (!listed.is_empty()).then_some(listed)
}

/// The same with how many members were left out and which attributes were ignored, which an ordinary answer has in headers.
pub(super) fn with_skipped(mut told: Map<String, Value>, outcome: Option<&Outcome>) -> Map<String, Value> {
    if let Some(
        Outcome::Created { skipped_members: skipped @ 1.., .. }
        | Outcome::Updated { skipped_members: skipped @ 1.., .. },
    ) = outcome
    {
        told.insert("skippedMembers".to_owned(), Value::from(*skipped));
    }
    let ignored = outcome.map(Outcome::ignored).filter(|ignored| !ignored.is_empty());
    told.extend(ignored.map(|ignored| ("ignored".to_owned(), json!(ignored))));
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_headers_of_its_status() {
        let shown = |status, skipped_members, ignored: &[&str]| Shown {
            status,
            location: Some("https://scim.example/scim/v2/Users/1".to_owned()),
            version: Some("W/\"1\"".to_owned()),
            body: Some(json!({})),
            skipped_members,
            ignored: ignored.iter().map(|&name| name.to_owned()).collect(),
        };
        let url = Some("https://scim.example/scim/v2/Users/1");
        let long = "x".repeat(MAX_IGNORED);
        for (shown, location, skipped, ignored, has_body) in [
            (shown(StatusCode::OK, 0, &[]), None, None, None, true),
            (shown(StatusCode::CREATED, 2, &["emails"]), url, Some("2"), Some("emails"), true),
            (
                shown(StatusCode::OK, 1, &["a", "b\n,c", &long]).empty(),
                None,
                Some("1"),
                Some("a, b??c"),
                false,
            ),
        ] {
            let response = shown.into_response();
            let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!(header("etag"), Some("W/\"1\""));
            assert_eq!((header("location"), header("rollcall-skipped-members")), (location, skipped));
            assert_eq!(header("rollcall-ignored"), ignored);
            assert_eq!(header("content-type").is_some(), has_body);
        }
        let gone = Shown::nothing(StatusCode::NO_CONTENT).into_response();
        assert!(gone.headers().get("etag").is_none());
    }

    #[test]
    fn an_operation_is_told_with_what_is_known_of_it() {
        let done = told("PUT", Some("/Users/1".to_owned()), Some("W/\"2\"".to_owned()), Ok(200));
        let expected =
            json!({ "method": "PUT", "location": "/Users/1", "version": "W/\"2\"", "status": "200" });
        assert_eq!(Value::Object(done), expected);
        let error = Error::uniqueness("taken");
        let refused = told("POST", None, None, Err(&error));
        assert_eq!(Value::Object(refused), json!({ "method": "POST", "status": "409", "response": error }));
    }
}
