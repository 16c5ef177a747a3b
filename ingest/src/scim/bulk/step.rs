//! One operation of a bulk request, as far as it can be understood by itself.
//!
//! Before it: the operation as it was sent. After it: the order, and then the road.

use serde_json::Value;
use shared::scim::{BulkOperation, Error, below_base, is_method};
use uuid::Uuid;

use super::references::{Makers, references, referred};
use crate::http::path::single_slashes;
use crate::scim::BASE_PATH;
use crate::scim::kind::{Kind, Method};

/// An operation that makes sense so far.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) method: Method,
    pub(super) kind: Kind,
    pub(super) target: Target,
    pub(super) version: Option<String>,
    pub(super) data: Value,
}

/// The resource that an operation is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// One that it makes, with this id.
    New(Uuid),
    /// This one.
    Id(Uuid),
    /// One that another operation makes.
    BulkId(String),
    /// What cannot be an id is nobody's.
    Nobody,
}

impl Step {
    /// Understands an operation. `base` is the base URL of the request.
    ///
    /// # Errors
    /// 400 for a path or method that are none, or do not go together; 404 for a path that leads nowhere.
    pub(super) fn of(operation: BulkOperation, base: &str) -> Result<Self, Error> {
        let BulkOperation { method, path, bulk_id, version, data } = operation;
        let method = method_of(&method)?;
        let (kind, id) = resource(&path, base)?;
        let target = match (method, id) {
            (Method::Post, None) if bulk_id.is_none() => {
                return Err(Error::invalid_value("a POST needs a bulkId"));
            }
            (Method::Post, None) => Target::New(shared::id::new()),
            (Method::Post, Some(_)) => {
                return Err(Error::invalid_value("the path of a POST must be that of a resource type"));
            }
            (_, None) => {
                return Err(Error::invalid_value("the path of this method must be that of a resource"));
            }
            (_, Some(target)) => target,
        };
        let data = data.unwrap_or_default();
        if method != Method::Delete && data.is_null() {
            return Err(Error::invalid_value("data is required for this method"));
        }
        Ok(Self { method, kind, target, version, data })
    }

    /// The bulkIds that it refers to.
    pub(super) fn references(&self) -> Vec<String> {
        let mut found = references(&self.data);
        if let Target::BulkId(bulk_id) = &self.target {
            found.push(bulk_id.clone());
        }
        found
    }

    /// The id of its resource.
    ///
    /// # Errors
    /// 404 if that cannot be an id, 409 if it refers to nothing.
    pub(super) fn id(&self, makers: &Makers) -> Result<Uuid, Error> {
        match &self.target {
            Target::New(id) | Target::Id(id) => Ok(*id),
            Target::BulkId(bulk_id) => makers.id(bulk_id),
            Target::Nobody => Err(self.kind.not_found()),
        }
    }
}

fn method_of(word: &str) -> Result<Method, Error> {
    let all = [Method::Post, Method::Put, Method::Patch, Method::Delete];
    let found = all.into_iter().find(|method| is_method(word, method.as_str()));
    found.ok_or_else(|| Error::invalid_value("method must be POST, PUT, PATCH or DELETE"))
}

/// What a path names: `/Users`, `/Groups/{id}`, also with the base path or URL in front.
fn resource(path: &str, base: &str) -> Result<(Kind, Option<Target>), Error> {
    let below = single_slashes(below_base(path, base, BASE_PATH));
    let below = below.strip_suffix('/').unwrap_or(&below);
    let nowhere =
        || Error::not_found("the path of the operation leads nowhere; it must begin with /Users or /Groups");
    for kind in Kind::ALL {
        let Some(rest) = below.strip_prefix(kind.endpoint()) else { continue };
        if rest.is_empty() {
            return Ok((kind, None));
        }
        let named = rest.strip_prefix('/').filter(|named| !named.contains('/')).ok_or_else(nowhere)?;
        let target = match referred(named) {
            Some(bulk_id) => Target::BulkId(bulk_id.to_owned()),
            None => shared::id::parse(named).map_or(Target::Nobody, Target::Id),
        };
        return Ok((kind, Some(target)));
    }
    Err(nowhere())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "0192aaaa-0000-7000-8000-000000000001";
    const BASE: &str = "https://scim.example/scim/v2";

    fn step(method: &str, path: &str) -> Result<Step, u16> {
        let operation = BulkOperation {
            method: method.to_owned(),
            path: path.to_owned(),
            bulk_id: Some("x".to_owned()),
            version: None,
            data: Some(json!({})),
        };
        Step::of(operation, BASE).map_err(|error| error.status)
    }

    #[test]
    fn a_path_names_a_resource_with_or_without_the_base() {
        let id = Target::Id(ID.parse().unwrap());
        for (path, kind, target) in [
            (format!("/Users/{ID}"), Kind::User, id.clone()),
            (format!("/Groups/{ID}/"), Kind::Group, id.clone()),
            (format!("/scim/v2//Groups//{ID}"), Kind::Group, id.clone()),
            (format!("/scim/v2/Users/{ID}"), Kind::User, id.clone()),
            (format!("{BASE}/Users/{ID}"), Kind::User, id),
            ("/Users/bulkId:a".to_owned(), Kind::User, Target::BulkId("a".to_owned())),
            ("/Users/7".to_owned(), Kind::User, Target::Nobody),
        ] {
            let step = step("PATCH", &path).unwrap();
            assert_eq!((step.kind, step.target), (kind, target), "{path}");
        }
        for path in ["/Users", "/Groups/", "/scim/v2/Users"] {
            assert!(matches!(step("post", path).unwrap().target, Target::New(_)), "{path}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (method, path, status) in [
            ("GET", "/Users", 400),
            ("", "/Users", 400),
            ("POST", "/Users/1", 400),
            ("PUT", "/Users", 400),
            ("DELETE", "/Groups/", 400),
            ("PUT", "/Nothing/1", 404),
            ("PUT", "/Usersx/1", 404),
            ("PUT", "/Users/1/2", 404),
            ("PUT", "", 404),
            ("PUT", "https://other.example/Users/1", 404),
        ] {
            assert_eq!(step(method, path).unwrap_err(), status, "{method} {path}");
        }
    }
}
