//! A page of Okta's group held against the roster: who is who, and the commands about those whom it tells something new of.
//!
//! Before it: a page. After it: commands for the worker, who decides.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};
use shared::amqp::{Message, topology};
use shared::clock::Clock;
use shared::command::{Actor, Change, Command, Fingerprint, IfMatch};
use shared::postgres::schema::users;
use shared::postgres::{Constant, Error};
use shared::pull::Supplement;
use shared::scim::{Patch, user_name_key};
use shared::ticket::TicketClock;
use time::Date;
use uuid::Uuid;

use super::person::Person;

/// An account, as far as the pull minds it.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = users, check_for_backend(diesel::pg::Pg))]
pub struct Account {
    id: Uuid,
    external_id: Option<String>,
    user_name_key: String,
    hire_date: Option<Date>,
    region: Option<String>,
    custom_fields: Option<Value>,
}

/// The accounts that these people may have: those linked to them, and those that are linked to nobody and have their names.
///
/// # Errors
/// See [`Error`].
pub async fn accounts(
    connection: &mut AsyncPgConnection,
    tenant: Uuid,
    people: &[Person],
) -> Result<Vec<Account>, Error> {
    let known = || people.iter().filter(|person| person.is_known).map(|person| &person.supplement);
    let ids: Vec<&str> = known().map(|known| &*known.external_id).collect();
    let names: Vec<String> = known().map(|known| user_name_key(&known.login)).collect();
    let own = users::table.filter(users::tenant_id.eq(tenant)).select(Account::as_select());
    let linked = own
        .filter(Constant("users.external_id is not null"))
        .filter(users::external_id.eq_any(ids))
        .order(users::id);
    let mut accounts: Vec<Account> = linked.load(connection).await?;
    let named = own
        .filter(Constant("users.external_id is null"))
        .filter(users::user_name_key.eq_any(names))
        .order(users::id);
    accounts.extend(named.load(connection).await?);
    Ok(accounts)
}

/// Of several people with one external id, the first who was seen has it; the others are matched by none. `seen` are external ids
/// of earlier pages, and the Okta ids of those who have them. Pure.
pub fn tell_apart(people: &mut [Person], seen: Vec<(String, String)>) {
    let mut owners: HashMap<String, String> = seen.into_iter().collect();
    for person in people.iter_mut().filter(|person| person.is_known) {
        let owner = owners.entry(person.supplement.external_id.clone());
        if *owner.or_insert_with(|| person.id.clone()) != person.id {
            person.is_known = false;
            person.unreadable += 1;
        }
    }
}

/// What there is to be told of whom, and how many people have no account. An account that is linked comes before one that
/// has the name. `all` tells also what is not new: because of commands that are still under way, it may be by then.
#[must_use]
pub fn differences(accounts: &[Account], people: &[Person], all: bool) -> (Vec<(Uuid, Supplement)>, usize) {
    let mut linked: HashMap<&str, Vec<&Account>> = HashMap::new();
    let mut named: HashMap<&str, &Account> = HashMap::new();
    for account in accounts {
        match &account.external_id {
            Some(id) => linked.entry(id).or_default().push(account),
            None => drop(named.insert(&account.user_name_key, account)),
        }
    }
    let (mut changes, mut strangers) = (Vec::new(), 0);
    for Person { supplement, is_known, .. } in people {
        let own = if *is_known { linked.get(&*supplement.external_id) } else { None };
        let found = match own {
            Some(accounts) => accounts.clone(),
            None if *is_known => named
                .get(&*user_name_key(&supplement.login))
                .map(|account| vec![*account])
                .unwrap_or_default(),
            None => Vec::new(),
        };
        strangers += usize::from(found.is_empty());
        let differing = found.into_iter().filter(|account| all || differs(account, supplement));
        changes.extend(differing.map(|account| (account.id, supplement.clone())));
    }
    (changes, strangers)
}

fn differs(account: &Account, told: &Supplement) -> bool {
    let field = |name: &str| account.custom_fields.as_ref().and_then(|fields| fields.get(name));
    account.external_id.is_none()
        || told.hire_date.is_some_and(|date| date != account.hire_date)
        || told.region.as_ref().is_some_and(|region| *region != account.region)
        || told.custom_fields.iter().any(|(name, value)| field(name).unwrap_or(&Value::Null) != value)
}

/// Makes the pull's commands.
pub struct Commands<'a> {
    /// The tickets of this ingest's pulls.
    pub tickets: &'a TicketClock,
    /// The time.
    pub clock: &'a Clock,
    /// Whose people.
    pub tenant: Uuid,
    /// The run, which is the request in all logs.
    pub run: Uuid,
}

impl Commands<'_> {
    /// Tells what the pull knows of somebody.
    #[must_use]
    pub fn supplement(&self, user: Uuid, supplement: Supplement) -> Message {
        self.message(user, None, Change::SupplementUser { supplement })
    }

    /// Archives somebody, if they are as they were found: whoever changed since is not gone.
    ///
    /// # Panics
    /// Never: the body is one of SCIM's.
    #[must_use]
    pub fn archive(&self, user: Uuid, version: i64) -> Message {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{ "op": "replace", "value": { "active": false } }],
        });
        let patch = Patch::parse(&body).expect("it is a PATCH");
        let found = IfMatch::Tags(vec![format!("W/\"{version}\"")]);
        self.message(user, Some(found), Change::PatchUser { patch })
    }

    fn message(&self, user: Uuid, if_match: Option<IfMatch>, change: Change) -> Message {
        let (ticket, issued_at) = (self.tickets.issue(), self.clock.now());
        let place = format!("{} {user}", self.run);
        let command = Command {
            version: Actor::Pull.version(),
            ticket,
            tenant: self.tenant,
            actor: Actor::Pull,
            request: self.run,
            fingerprint: Fingerprint::of(self.tenant, "pull", &place, change.name().as_bytes(), None),
            issued_at,
            deadline: issued_at,
            resource: user,
            if_match,
            // Nobody waits for it.
            asynchronous: true,
            change,
        };
        let body = serde_json::to_vec(&command).expect("a command is made of strings, numbers and JSON");
        Message::json("", topology::BULK, &ticket.to_string(), "application/json", body)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn account(id: u128, external_id: Option<&str>, name: &str) -> Account {
        Account {
            id: Uuid::from_u128(id),
            external_id: external_id.map(str::to_owned),
            user_name_key: name.to_owned(),
            hire_date: None,
            region: Some("EMEA".to_owned()),
            custom_fields: Some(json!({ "Shirt": "M" })),
        }
    }

    fn person(id: &str, login: &str, region: Option<&str>, shirt: Value) -> Person {
        let supplement = Supplement {
            external_id: id.to_owned(),
            login: login.to_owned(),
            hire_date: None,
            region: Some(region.map(str::to_owned)),
            custom_fields: BTreeMap::from([("Shirt".to_owned(), shirt)]),
        };
        Person { id: format!("okta-{login}"), supplement, is_known: true, unreadable: 0 }
    }

    fn changed(accounts: &[Account], people: &[Person]) -> (Vec<u128>, usize) {
        let (changes, strangers) = differences(accounts, people, false);
        (changes.into_iter().map(|(id, _)| id.as_u128()).collect(), strangers)
    }

    #[test]
    fn only_what_is_new_is_told() {
        let accounts = [account(1, Some("00u1"), "ada"), account(2, Some("00u2"), "bob")];
        let same = person("00u1", "ada", Some("EMEA"), json!("M"));
        let told = |person| changed(&accounts, &[same.clone(), person]);
        assert_eq!(told(person("00u2", "bob", Some("EMEA"), json!("M"))), (vec![], 0));
        assert_eq!(told(person("00u2", "bob", None, json!("M"))), (vec![2], 0));
        assert_eq!(told(person("00u2", "bob", Some("EMEA"), Value::Null)), (vec![2], 0));
        assert_eq!(told(person("00u3", "eve", None, Value::Null)), (vec![], 1));
        let (all, _) = differences(&accounts, &[same], true);
        assert_eq!(all.len(), 1, "while an earlier pull is under way nothing is left out");
    }

    #[test]
    fn one_external_id_is_one_persons() {
        let people = ["ada", "bob", "eve"].map(|login| person("4711", login, None, Value::Null));
        let known = |seen: &[(&str, &str)]| {
            let mut people = people.clone();
            let seen = seen.iter().map(|(id, who)| ((*id).to_owned(), (*who).to_owned()));
            tell_apart(&mut people, seen.collect());
            people.map(|person| (person.is_known, person.unreadable))
        };
        assert_eq!(known(&[]), [(true, 0), (false, 1), (false, 1)]);
        assert_eq!(known(&[("4711", "okta-bob")]), [(false, 1), (true, 0), (false, 1)]);
        assert_eq!(known(&[("4711", "okta-zoe"), ("4712", "okta-ada")]), [(false, 1); 3]);
    }

    #[test]
    fn an_account_is_found_by_its_name_only_while_it_is_linked_to_nobody() {
        let accounts = [account(1, None, "ada"), account(2, Some("00u2"), "bob")];
        assert_eq!(changed(&accounts, &[person("00u1", "Ada", Some("EMEA"), json!("M"))]), (vec![1], 0));
        assert_eq!(changed(&accounts, &[person("00u9", "bob", None, json!("M"))]), (vec![], 1));
        let both = [account(1, None, "ada"), account(3, Some("00u1"), "ada2")];
        assert_eq!(changed(&both, &[person("00u1", "ada", None, json!("M"))]), (vec![3], 0));
        let unknown = Person { is_known: false, ..person("00u1", "ada", None, json!("M")) };
        assert_eq!(changed(&accounts, &[unknown]), (vec![], 1));
    }
}
