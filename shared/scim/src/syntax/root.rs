//! Specializes a filter for one of several resource types, for a search at the root (RFC 7644 §3.4.2.1). An attribute
//! that the type does not define counts as absent.

use super::{AttrPath, CompareOp, Filter, ValuePath};
use crate::error::Error;
use crate::schema::{Resolved, ResourceType, Types};

/// The resources of one type that a filter selects, as far as the type alone determines it.
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    /// None of them.
    Nothing,
    /// All types.
    Everything,
    /// Those that satisfy this filter, which contains only attributes that the type defines.
    Those(Filter),
}

/// Specializes the filter for one of the types.
pub(super) fn selection(
    filter: &Filter,
    types: &Types,
    resource_type: &ResourceType,
) -> Result<Selection, Error> {
    match filter {
        Filter::And(items) => {
            let parts = parts(items, types, resource_type)?;
            Ok(joined(parts, &Selection::Nothing, &Selection::Everything, Filter::And))
        }
        Filter::Or(items) => {
            let parts = parts(items, types, resource_type)?;
            Ok(joined(parts, &Selection::Everything, &Selection::Nothing, Filter::Or))
        }
        Filter::Not(inner) => Ok(match selection(inner, types, resource_type)? {
            Selection::Nothing => Selection::Everything,
            Selection::Everything => Selection::Nothing,
            Selection::Those(inner) => Selection::Those(Filter::Not(Box::new(inner))),
        }),
        Filter::Compare { path, op, value } => {
            let is_true_of_absent = if value.is_null() { CompareOp::Equal } else { CompareOp::NotEqual };
            leaf(filter, path, *op == is_true_of_absent, types, resource_type)
        }
        Filter::Present(path) => leaf(filter, path, false, types, resource_type),
        Filter::ValuePath(ValuePath { path, .. }) => leaf(filter, path, false, types, resource_type),
    }
}

/// The selection by a filter that contains no other one, only this path.
fn leaf(
    filter: &Filter,
    path: &AttrPath,
    is_true_of_absent: bool,
    types: &Types,
    resource_type: &ResourceType,
) -> Result<Selection, Error> {
    let knows = |resource_type: &&ResourceType| {
        matches!(resource_type.resolve(path.as_str()), Some(Resolved::Attribute(_)))
    };
    // Evaluate against null, to report errors: an invalid comparison is an error even if this type lacks the
    // attribute.
    for resource_type in types.iter().filter(knows) {
        filter.matches(resource_type, &serde_json::Value::Null)?;
    }
    if !types.iter().any(|resource_type| knows(&resource_type)) {
        filter.matches(resource_type, &serde_json::Value::Null)?;
    }
    Ok(match (knows(&resource_type), is_true_of_absent) {
        (true, _) => Selection::Those(filter.clone()),
        (false, true) => Selection::Everything,
        (false, false) => Selection::Nothing,
    })
}

fn parts(items: &[Filter], types: &Types, resource_type: &ResourceType) -> Result<Vec<Selection>, Error> {
    items.iter().map(|item| selection(item, types, resource_type)).collect()
}

/// Joins selections with an operator for which one selection is decisive and another neutral.
fn joined(
    parts: Vec<Selection>,
    decisive: &Selection,
    neutral: &Selection,
    join: fn(Vec<Filter>) -> Filter,
) -> Selection {
    if parts.contains(decisive) {
        return decisive.clone();
    }
    let those = parts.into_iter().filter_map(|part| match part {
        Selection::Those(filter) => Some(filter),
        _ => None,
    });
    let mut those: Vec<Filter> = those.collect();
    match those.len() {
        0 => neutral.clone(),
        1 => Selection::Those(those.swap_remove(0)),
        _ => Selection::Those(join(those)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(filter: &str, resource_type: fn(&Types) -> &ResourceType) -> Result<String, Error> {
        let types = Types::default();
        let selection = Filter::parse(filter)?.for_type(&types, resource_type(&types))?;
        Ok(match selection {
            Selection::Nothing => "nothing".to_owned(),
            Selection::Everything => "everything".to_owned(),
            Selection::Those(filter) => filter.to_string(),
        })
    }

    #[test]
    fn an_attribute_that_a_type_lacks_counts_as_absent() {
        for (filter, of_users, of_groups) in [
            (r#"userName eq "a""#, r#"userName eq "a""#, "nothing"),
            (r#"userName ne "a""#, r#"userName ne "a""#, "everything"),
            ("userName pr", "userName pr", "nothing"),
            ("not (userName pr)", "not (userName pr)", "everything"),
            ("userName eq null", "userName eq null", "everything"),
            ("userName ne null", "userName ne null", "nothing"),
            (r#"emails[type eq "work"]"#, r#"emails[type eq "work"]"#, "nothing"),
            (r#"displayName co "a""#, r#"displayName co "a""#, r#"displayName co "a""#),
            (
                r#"userName co "a" or displayName co "b""#,
                r#"userName co "a" or displayName co "b""#,
                r#"displayName co "b""#,
            ),
            ("members pr and userName pr", "nothing", "nothing"),
            ("members pr or userName pr", "userName pr", "members pr"),
            (r#"id pr and not (members[value eq "x"])"#, "id pr", r#"id pr and not (members[value eq "x"])"#),
        ] {
            assert_eq!(selection(filter, |types| &types.user).as_deref(), Ok(of_users), "{filter}");
            assert_eq!(selection(filter, |types| &types.group).as_deref(), Ok(of_groups), "{filter}");
        }
    }

    #[test]
    fn an_invalid_comparison_is_rejected_anywhere_in_the_filter() {
        for filter in [
            "shoeSize pr",
            "shoeSize pr and members pr",
            "shoeSize pr and userName pr and members pr",
            "active gt true and members pr",
            r#"emails[shoe eq "x"] and members pr"#,
            r#"password eq "x""#,
            "urn:ietf:params:scim:schemas:core:2.0:User pr",
        ] {
            let (of_users, of_groups) =
                (selection(filter, |types| &types.user), selection(filter, |types| &types.group));
            assert_eq!(of_users.map_err(|error| error.status), Err(400), "{filter}");
            assert_eq!(of_groups.map_err(|error| error.status), Err(400), "{filter}");
        }
    }
}
