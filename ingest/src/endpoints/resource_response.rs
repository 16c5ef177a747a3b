//! Represents one resource: after a read, after a change, and as one operation of a Bulk response (RFC 7644 §3.7).

use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use database::Pool;
use domain::outcome::Outcome;
use scim::{Computed, Error, Projection, Record, Types};
use serde_json::{Map, Value, json};
use tracing::debug;
use uuid::Uuid;

use super::kind::{Kind, Method};
use super::read::{self, Members, Seen};
use crate::admission::{Admission, Permit};
use crate::http::response::scim_json_of;

/// A PATCH of a group with more members than this returns it only if the client requests attributes.
const MAX_UNASKED_MEMBERS: i64 = 1_000;
/// The header with the number of members that were skipped because no such user exists, if the tenant's settings allow
/// that.
const SKIPPED_MEMBERS: HeaderName = HeaderName::from_static("rollcall-skipped-members");

/// The header with the names of the ignored attributes.
const IGNORED: HeaderName = HeaderName::from_static("rollcall-ignored");
/// The maximum length of that header in bytes: proxies limit the size of a response head.
const MAX_IGNORED: usize = 1_000;

/// A response about one resource.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ResourceResponse {
    pub(super) status: StatusCode,
    /// `meta.location`.
    pub(super) location: Option<String>,
    /// `meta.version`, the entity tag.
    pub(super) version: Option<String>,
    /// The resource.
    pub(super) body: Option<Value>,
    skipped_members: usize,
    /// The names of the ignored attributes.
    ignored: Vec<String>,
}

impl ResourceResponse {
    fn nothing(status: StatusCode) -> Self {
        Self { status, location: None, version: None, body: None, skipped_members: 0, ignored: Vec::new() }
    }

    /// The client has this version already.
    pub(super) fn not_modified(record: &Record) -> Self {
        Self { version: Some(record.etag()), ..Self::nothing(StatusCode::NOT_MODIFIED) }
    }

    /// 204 without the resource.
    pub(super) fn empty(self) -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None, ..self }
    }

    /// The HTTP response. `hold` is called with the size of its body in bytes, to count it until it is sent.
    ///
    /// # Errors
    /// Those of `hold`.
    pub(super) fn respond<E>(self, hold: impl FnOnce(usize) -> Result<(), E>) -> Result<Response, E> {
        let Self { status, location, version, body, skipped_members, ignored } = self;
        let mut response = match body.map(|body| body.to_string()) {
            Some(body) => {
                hold(body.len())?;
                scim_json_of(status, body)
            }
            None => status.into_response(),
        };
        let location = location.filter(|_| status == StatusCode::CREATED);
        let skipped = (skipped_members > 0).then(|| skipped_members.to_string());
        // Entity tags and our URLs are ASCII, so none is dropped.
        let ignored = listed(&ignored);
        let headers = [(ETAG, version), (LOCATION, location), (SKIPPED_MEMBERS, skipped), (IGNORED, ignored)];
        let headers =
            headers.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::try_from(value?).ok()?)));
        response.headers_mut().extend(headers);
        Ok(response)
    }
}

/// The parameters of a representation.
pub(super) struct View<'a> {
    pub(super) pool: &'a Pool,
    pub(super) admission: &'a Admission,
    pub(super) kind: Kind,
    pub(super) types: &'a Types,
    pub(super) tenant: Uuid,
    pub(super) base: &'a str,
    pub(super) projection: &'a Projection,
}

impl View<'_> {
    /// A resource that was read.
    pub(super) fn found(&self, (record, computed): Seen) -> ResourceResponse {
        let resource_type = self.kind.resource_type(self.types);
        ResourceResponse {
            location: Some(record.location(resource_type, self.base)),
            version: Some(record.etag()),
            body: Some(record.represent(resource_type, self.base, computed, self.projection)),
            ..ResourceResponse::nothing(StatusCode::OK)
        }
    }

    /// The response to a change that was requested by `method`.
    ///
    /// # Errors
    /// The error of a rejected change.
    pub(super) async fn outcome(&self, method: Method, outcome: Outcome) -> Result<ResourceResponse, Error> {
        match outcome {
            Outcome::Created { record, skipped_members, ignored } => {
                let shown = self.changed(method, record).await;
                Ok(ResourceResponse { status: StatusCode::CREATED, skipped_members, ignored, ..shown })
            }
            Outcome::Updated { record, skipped_members, ignored } => {
                Ok(ResourceResponse { skipped_members, ignored, ..self.changed(method, record).await })
            }
            Outcome::Deleted => Ok(ResourceResponse::nothing(StatusCode::NO_CONTENT)),
            Outcome::Rejected { error } => Err(error),
            // Only for asynchronous requests: others are retried with a new ticket.
            Outcome::Stale { .. } => Err(Error::conflict(
                "superseded by a later change; send the request again if you still want it",
            )),
        }
    }

    /// The changed resource with its computed attribute, which the verdict does not store. If Postgres is unavailable
    /// now, the response is the verdict's record without it.
    async fn changed(&self, method: Method, record: Record) -> ResourceResponse {
        if !read::shows(self.projection, self.kind, self.types) {
            return self.found((record, None));
        }
        match self.kind {
            // A new user is in no group. A POST that restores a user makes a version after the first.
            Kind::User if method == Method::Post && record.version == 1 => self.found((record, None)),
            Kind::User => self.user(record).await,
            Kind::Group => self.group(method, record).await,
        }
    }

    async fn user(&self, record: Record) -> ResourceResponse {
        let groups = self.pool.bounded(async |c| read::groups_of(c, record.id).await).await;
        let groups = groups.map_err(|error| debug!(%error, "failed to read a changed user's groups"));
        self.found((record, groups.ok()))
    }

    async fn group(&self, method: Method, record: Record) -> ResourceResponse {
        let is_unasked = method == Method::Patch && *self.projection == Projection::all();
        let (wanted, _room) = if is_unasked {
            (Members::UpTo(MAX_UNASKED_MEMBERS), None)
        } else {
            match self.room_for_members(record.id).await {
                Some(room) => (Members::All, Some(room)),
                None => return self.found((record, None)),
            }
        };
        match read::group(self.pool, self.tenant, record.id, wanted).await {
            Ok(Some((now, Some(members)))) => self.found((now, Some(Computed::Members(members)))),
            // The version that this change made, not that of a later change.
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

    /// A permit for a group's members. `None` if the tenant's clients have not read earlier responses, or if Postgres is
    /// unavailable: the response to a change, which is made, is then without them.
    async fn room_for_members(&self, id: Uuid) -> Option<Permit> {
        let size = read::members_size(self.pool, self.tenant, id).await.unwrap_or_default()?;
        self.admission.admit_answer(self.tenant, size).ok()
    }
}

/// The result of one operation in a Bulk response (RFC 7644 §3.7): method, location, version, status and error.
pub(super) fn operation_result(
    method: &str,
    location: Option<String>,
    version: Option<String>,
    verdict: Result<u16, &Error>,
) -> Map<String, Value> {
    let mut members = Map::from_iter([("method".to_owned(), Value::from(method))]);
    let status = verdict.unwrap_or_else(|error| error.status);
    members.insert("status".to_owned(), Value::from(status.to_string()));
    members.extend(location.map(|location| ("location".to_owned(), Value::from(location))));
    members.extend(version.map(|version| ("version".to_owned(), Value::from(version))));
    members.extend(verdict.err().map(|error| ("response".to_owned(), json!(error))));
    members
}

/// The names as a header value, as many as fit. Commas, and characters other than visible ASCII, become `?`.
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

/// Adds the number of skipped members and the ignored attributes, which ordinary responses have in headers.
pub(super) fn with_skipped(mut members: Map<String, Value>, outcome: Option<&Outcome>) -> Map<String, Value> {
    if let Some(
        Outcome::Created { skipped_members: skipped @ 1.., .. }
        | Outcome::Updated { skipped_members: skipped @ 1.., .. },
    ) = outcome
    {
        members.insert("skippedMembers".to_owned(), Value::from(*skipped));
    }
    let ignored = outcome.map(Outcome::ignored).filter(|ignored| !ignored.is_empty());
    members.extend(ignored.map(|ignored| ("ignored".to_owned(), json!(ignored))));
    members
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn response_has_the_headers_of_its_status() {
        let shown = |status, skipped_members, ignored: &[&str]| ResourceResponse {
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
            let response = shown.respond(|_| Ok::<_, Infallible>(())).unwrap();
            let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!(header("etag"), Some("W/\"1\""));
            assert_eq!((header("location"), header("rollcall-skipped-members")), (location, skipped));
            assert_eq!(header("rollcall-ignored"), ignored);
            assert_eq!(header("content-type").is_some(), has_body);
        }
        let gone = ResourceResponse::nothing(StatusCode::NO_CONTENT).respond(|_| Err(())).unwrap();
        assert!(gone.headers().get("etag").is_none());
    }

    #[test]
    fn bulk_operation_has_its_known_members() {
        let done = operation_result("PUT", Some("/Users/1".to_owned()), Some("W/\"2\"".to_owned()), Ok(200));
        let expected =
            json!({ "method": "PUT", "location": "/Users/1", "version": "W/\"2\"", "status": "200" });
        assert_eq!(Value::Object(done), expected);
        let error = Error::uniqueness("taken");
        let refused = operation_result("POST", None, None, Err(&error));
        assert_eq!(Value::Object(refused), json!({ "method": "POST", "status": "409", "response": error }));
    }
}
