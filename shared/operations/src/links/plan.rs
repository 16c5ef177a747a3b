//! Matches the lines of a file to the tenant's accounts, and decides what to do about each line.

use std::collections::{HashMap, HashSet};

use scim::user_name_key;
use uuid::Uuid;

use super::rows::Line;

/// What to do about a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    /// Link this account to this externalId.
    Link(Uuid, String),
    /// The account has the externalId already.
    IsLinked,
    /// Leave the account, for this reason.
    Not(String),
}

/// An existing account: id, userName key, mail address, externalId.
pub type Known = (Uuid, String, String, Option<String>);

/// Decides about each line.
pub fn plan(lines: Vec<Line>, everybody: &[Known]) -> Vec<(Line, Fate)> {
    let mut by_name: HashMap<&str, &Known> = HashMap::new();
    let mut by_email: HashMap<String, Vec<&Known>> = HashMap::new();
    let mut taken: HashSet<String> = HashSet::new();
    for known in everybody {
        by_name.insert(&known.1, known);
        by_email.entry(user_name_key(&known.2)).or_default().push(known);
        taken.extend(known.3.clone());
    }
    let mut seen = HashSet::new();
    let mut fate = |line: &Line| -> Result<Fate, &'static str> {
        let external_id = line.external_id.as_ref().map_err(|why| *why)?;
        let key = user_name_key(&line.user);
        let known = match (by_name.get(key.as_str()), by_email.get(&key).map(Vec::as_slice)) {
            (Some(known), _) => *known,
            (None, Some([known])) => *known,
            (None, Some([_, ..])) => {
                return Err("several accounts have this address; use the userName");
            }
            _ => return Err("no such account"),
        };
        match &known.3 {
            Some(linked) if linked == external_id => return Ok(Fate::IsLinked),
            Some(_) => return Err("the account is already linked to another externalId"),
            None if taken.contains(external_id) => return Err("another account has this externalId"),
            None => {}
        }
        if !seen.insert(known.0) {
            return Err("an earlier line names the same account");
        }
        taken.insert(external_id.clone());
        Ok(Fate::Link(known.0, external_id.clone()))
    };
    let with_fate = |line| {
        let fate = fate(&line).unwrap_or_else(|why| Fate::Not(why.to_owned()));
        (line, fate)
    };
    lines.into_iter().map(with_fate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_linked_or_gets_a_reason() {
        let id = Uuid::from_u128;
        let known = |n: u128, name: &str, email: &str, external_id: Option<&str>| {
            (id(n), name.to_owned(), email.to_owned(), external_id.map(str::to_owned))
        };
        let everybody = [
            known(1, "ada", "ada@acme.example", None),
            known(2, "bob", "bob@acme.example", Some("00u2")),
            known(3, "c1", "both@acme.example", None),
            known(4, "c2", "both@acme.example", None),
            known(5, "dan", "dan@acme.example", None),
        ];
        let not = |why: &str| Fate::Not(why.to_owned());
        for (number, (user, external_id, expected)) in (2..).zip([
            ("ADA@acme.example", Ok("00u1"), Fate::Link(id(1), "00u1".to_owned())),
            ("bob", Ok("00u2"), Fate::IsLinked),
            ("bob", Ok("00u3"), not("the account is already linked to another externalId")),
            ("both@acme.example", Ok("00u4"), not("several accounts have this address; use the userName")),
            ("nobody", Ok("00u5"), not("no such account")),
            ("dan", Ok("00u2"), not("another account has this externalId")),
            ("c1", Err("externalId is empty"), not("externalId is empty")),
        ]) {
            let line = Line { number, user: user.to_owned(), external_id: external_id.map(str::to_owned) };
            assert_eq!(plan(vec![line], &everybody)[0].1, expected, "{user}");
        }
        let line = |user: &str, external_id: &str| Line {
            number: 2,
            user: user.to_owned(),
            external_id: Ok(external_id.to_owned()),
        };
        let twice = plan(vec![line("ada", "00u1"), line("ada", "00u9"), line("dan", "00u1")], &everybody);
        assert_eq!(twice[1].1, not("an earlier line names the same account"));
        assert_eq!(twice[2].1, not("another account has this externalId"));
    }
}
