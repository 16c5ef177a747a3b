//! Parses one operation of a bulk request, independently of the others.

use scim::{BulkOperation, Error, below_base, is_method};
use serde_json::Value;
use uuid::Uuid;

use super::references::{Makers, references, referred};
use crate::endpoints::kind::{Kind, Method};
use crate::http::base_url::BASE_PATH;
use crate::http::path::single_slashes;

/// A parsed operation.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) method: Method,
    pub(super) kind: Kind,
    pub(super) target: Target,
    pub(super) version: Option<String>,
    pub(super) data: Value,
}

/// The target of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A new resource with this id.
    New(Uuid),
    /// An existing resource.
    Id(Uuid),
    /// A resource that another operation creates.
    BulkId(String),
    /// A malformed id, which no resource has.
    Nobody,
}

impl Step {
    /// Parses an operation. `base` is the base URL of the request.
    ///
    /// # Errors
    /// 400 for an invalid method, or one that does not fit the path; 404 for an unknown path.
    pub(super) fn of(operation: BulkOperation, base: &str) -> Result<Self, Error> {
        let BulkOperation { method, path, bulk_id, version, data } = operation;
        let method = method_of(&method)?;
        let (kind, id) = resource(&path, base)?;
        let target = match (method, id) {
            (Method::Post, None) if bulk_id.is_none() => {
                return Err(Error::invalid_value("a POST needs a bulkId"));
            }
            (Method::Post, None) => Target::New(platform::id::new()),
            (Method::Post, Some(_)) => {
                return Err(Error::invalid_value(
                    "the path of a POST must be a resource endpoint, such as /Users",
                ));
            }
            (_, None) => {
                return Err(Error::invalid_value(
                    "the path of this method must name a resource below /Users or /Groups",
                ));
            }
            (_, Some(target)) => target,
        };
        let data = data.unwrap_or_default();
        if method != Method::Delete && data.is_null() {
            return Err(Error::invalid_value("data is required for this method"));
        }
        Ok(Self { method, kind, target, version, data })
    }

    /// The bulkIds that the operation refers to.
    pub(super) fn references(&self) -> Vec<String> {
        let mut found = references(&self.data);
        if let Target::BulkId(bulk_id) = &self.target {
            found.push(bulk_id.clone());
        }
        found
    }

    /// The id of the target.
    ///
    /// # Errors
    /// 404 for a malformed id, 409 for an unresolvable reference.
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

/// Parses a path: `/Users`, `/Groups/{id}`, also after the base path or the base URL.
fn resource(path: &str, base: &str) -> Result<(Kind, Option<Target>), Error> {
    let below = single_slashes(below_base(path, base, BASE_PATH));
    let below = below.strip_suffix('/').unwrap_or(&below);
    let nowhere = || {
        Error::not_found(
            "unknown path of the operation; it must be /Users or /Groups, or one resource below them",
        )
    };
    for kind in Kind::ALL {
        let Some(rest) = below.strip_prefix(kind.endpoint()) else { continue };
        if rest.is_empty() {
            return Ok((kind, None));
        }
        let named = rest.strip_prefix('/').filter(|named| !named.contains('/')).ok_or_else(nowhere)?;
        let target = match referred(named) {
            Some(bulk_id) => Target::BulkId(bulk_id.to_owned()),
            None => scim::parse_id(named).map_or(Target::Nobody, Target::Id),
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
    fn path_is_parsed_with_or_without_the_base() {
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
    fn invalid_operations_are_rejected() {
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
