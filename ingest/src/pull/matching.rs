//! Matches the users on a page of the Okta group to accounts, and builds commands for those whose data differ.

use std::collections::{BTreeSet, HashMap, HashSet};

use amqp::{Message, topology};
use database::Error;
use database::schema::users;
use diesel::prelude::*;
use diesel::sql_types::{Array, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::command::{Actor, Change, Command, Fingerprint, IfMatch};
use domain::pull::Supplement;
use domain::ticket::TicketClock;
use platform::clock::Clock;
use scim::{Patch, user_name_key};
use serde_json::{Value, json};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::provider_user::ProviderUser;

/// The columns of a user that the pull compares.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = users, check_for_backend(diesel::pg::Pg))]
pub struct Account {
    id: Uuid,
    external_id: Option<String>,
    user_name_key: String,
    archived_at: Option<OffsetDateTime>,
    hire_date: Option<Date>,
    region: Option<String>,
    custom_fields: Option<Value>,
}

/// The candidate accounts of these Okta users: accounts with their external ids, and unlinked accounts with their
/// names. Of accounts that share an external id, those with the users' names and enough others to detect ambiguity.
///
/// # Errors
/// See [`Error`].
pub async fn accounts(
    connection: &mut AsyncPgConnection,
    tenant: Uuid,
    provider_users: &[ProviderUser],
) -> Result<Vec<Account>, Error> {
    let known = || provider_users.iter().filter(|user| user.is_known || user.is_shared);
    let ids: BTreeSet<&str> = known().map(|user| &*user.supplement.external_id).collect();
    let ids: Vec<&str> = ids.into_iter().collect();
    let names: Vec<String> = known().map(|user| user_name_key(&user.supplement.login)).collect();
    let linked = diesel::sql_query(LINKED).bind::<SqlUuid, _>(tenant).bind::<Array<Text>, _>(&ids);
    let linked: Vec<Id> = linked.load(connection).await?;
    let linked: Vec<Uuid> = linked.into_iter().map(|row| row.id).collect();
    let named = users::user_name_key.eq_any(names);
    let named = named.and(users::external_id.is_null().or(users::external_id.eq_any(ids)));
    let own = users::table.filter(users::tenant_id.eq(tenant)).select(Account::as_select());
    let own = own.filter(users::id.eq_any(linked).or(named)).order(users::id);
    Ok(own.load(connection).await?)
}

/// Accounts by external id: at most two active and two archived ones for each.
const LINKED: &str = "select h.id from unnest($2) as named (external_id) cross join lateral (\
    (select u.id from users u where u.tenant_id = $1 and u.external_id = named.external_id \
     and u.external_id is not null and u.archived_at is null limit 2) union all \
    (select u.id from users u where u.tenant_id = $1 and u.external_id = named.external_id \
     and u.external_id is not null and u.archived_at is not null limit 2)) h";

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Resolves external ids that several Okta users share: the first user seen keeps the id. The others match no account,
/// unless an account with that external id has their name. `seen` has external ids of earlier pages with their owners'
/// Okta ids. Pure.
pub fn resolve_shared_ids(provider_users: &mut [ProviderUser], seen: Vec<(String, String)>) {
    let mut owners: HashMap<String, String> = seen.into_iter().collect();
    let mut shared: HashSet<String> = HashSet::new();
    for user in provider_users.iter_mut().filter(|user| user.is_known) {
        let external_id = &user.supplement.external_id;
        let owner = owners.entry(external_id.clone());
        if *owner.or_insert_with(|| user.id.clone()) != user.id {
            shared.insert(external_id.clone());
            user.is_known = false;
            user.unreadable += 1;
        }
    }
    for user in provider_users.iter_mut() {
        user.is_shared = shared.contains(&user.supplement.external_id);
    }
}

/// The result of matching a page.
#[derive(Debug, Default, PartialEq)]
pub struct Found {
    /// The users to update, with their data.
    pub changes: Vec<(Uuid, Supplement)>,
    /// The number of Okta users without an account.
    pub strangers: usize,
    /// The number of Okta users whose external id matches several accounts, none of which is clearly theirs.
    pub ambiguous: usize,
}

/// Matches Okta users to accounts and finds differences. `all` includes matches without differences: commands that are
/// still in flight may change them.
#[must_use]
pub fn differences(accounts: &[Account], provider_users: &[ProviderUser], all: bool) -> Found {
    let mut linked: HashMap<&str, Vec<&Account>> = HashMap::new();
    let mut named: HashMap<&str, &Account> = HashMap::new();
    for account in accounts {
        match &account.external_id {
            Some(id) => linked.entry(id).or_default().push(account),
            None => drop(named.insert(&account.user_name_key, account)),
        }
    }
    let mut found = Found::default();
    for user in provider_users {
        let ProviderUser { supplement, is_known, is_shared, .. } = user;
        let key = user_name_key(&supplement.login);
        let holders = linked.get(&*supplement.external_id).map(Vec::as_slice).unwrap_or_default();
        let holders = if *is_known || *is_shared { holders } else { &[] };
        let own = match theirs(holders, &key, *is_shared) {
            None if holders.is_empty() && *is_known => named.get(&*key).copied(),
            own => own,
        };
        match own {
            Some(account) if all || differs(account, supplement) => {
                found.changes.push((account.id, supplement.clone()));
            }
            Some(_) => {}
            None if holders.is_empty() => found.strangers += 1,
            None => found.ambiguous += 1,
        }
    }
    found
}

/// The Okta user's account among those with the external id: the one with the login, else the only active one, else the
/// only archived one. If others in the group share the id, only the one with the login.
fn theirs<'a>(holders: &[&'a Account], key: &str, is_shared: bool) -> Option<&'a Account> {
    let named = holders.iter().find(|account| account.user_name_key == key);
    let only = |is_active: bool| {
        let mut those = holders.iter().filter(|account| account.archived_at.is_none() == is_active);
        those.next().map(|account| (account, those.next().is_none()))
    };
    let alone =
        || only(true).or_else(|| only(false)).filter(|(_, is_only)| *is_only).map(|(account, _)| account);
    named.or_else(|| if is_shared { None } else { alone() }).copied()
}

fn differs(account: &Account, supplement: &Supplement) -> bool {
    let field = |name: &str| account.custom_fields.as_ref().and_then(|fields| fields.get(name));
    account.external_id.is_none()
        || supplement.hire_date.is_some_and(|date| date != account.hire_date)
        || supplement.region.as_ref().is_some_and(|region| *region != account.region)
        || supplement.custom_fields.iter().any(|(name, value)| field(name).unwrap_or(&Value::Null) != value)
}

/// Builds the pull's commands.
pub struct Commands<'a> {
    /// The ticket clock of this process's pulls.
    pub tickets: &'a TicketClock,
    /// The clock.
    pub clock: &'a Clock,
    /// The tenant.
    pub tenant: Uuid,
    /// The run, used as the request id in all logs.
    pub run: Uuid,
}

impl Commands<'_> {
    /// A command that stores the pulled attributes.
    #[must_use]
    pub fn supplement(&self, user: Uuid, supplement: Supplement) -> Message {
        self.message(user, None, Change::SupplementUser { supplement })
    }

    /// A command that archives a user, unless they have changed since `version`.
    ///
    /// # Panics
    /// Never: the body is a valid PATCH.
    #[must_use]
    pub fn archive(&self, user: Uuid, version: i64) -> Message {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{ "op": "replace", "value": { "active": false } }],
        });
        let patch = Patch::parse(&body).expect("the body is a valid PATCH");
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
            // No client waits for it.
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
            archived_at: None,
            hire_date: None,
            region: Some("EMEA".to_owned()),
            custom_fields: Some(json!({ "Shirt": "M" })),
        }
    }

    fn user(id: &str, login: &str, region: Option<&str>, shirt: Value) -> ProviderUser {
        let supplement = Supplement {
            external_id: id.to_owned(),
            login: login.to_owned(),
            hire_date: None,
            region: Some(region.map(str::to_owned)),
            custom_fields: BTreeMap::from([("Shirt".to_owned(), shirt)]),
        };
        ProviderUser {
            id: format!("okta-{login}"),
            supplement,
            is_known: true,
            is_shared: false,
            unreadable: 0,
        }
    }

    fn changed(accounts: &[Account], users: &[ProviderUser]) -> (Vec<u128>, usize) {
        let found = differences(accounts, users, false);
        (found.changes.into_iter().map(|(id, _)| id.as_u128()).collect(), found.strangers)
    }

    #[test]
    fn only_differences_become_changes() {
        let accounts = [account(1, Some("00u1"), "ada"), account(2, Some("00u2"), "bob")];
        let same = user("00u1", "ada", Some("EMEA"), json!("M"));
        let supplement = |user| changed(&accounts, &[same.clone(), user]);
        assert_eq!(supplement(user("00u2", "bob", Some("EMEA"), json!("M"))), (vec![], 0));
        assert_eq!(supplement(user("00u2", "bob", None, json!("M"))), (vec![2], 0));
        assert_eq!(supplement(user("00u2", "bob", Some("EMEA"), Value::Null)), (vec![2], 0));
        assert_eq!(supplement(user("00u3", "eve", None, Value::Null)), (vec![], 1));
        let all = differences(&accounts, &[same], true);
        assert_eq!(
            all.changes.len(),
            1,
            "while commands of an earlier pull are in flight, nothing is skipped"
        );
    }

    #[test]
    fn shared_external_id_stays_with_its_first_owner() {
        let users = ["ada", "bob", "eve"].map(|login| user("4711", login, None, Value::Null));
        let known = |seen: &[(&str, &str)]| {
            let mut users = users.clone();
            let seen = seen.iter().map(|(id, who)| ((*id).to_owned(), (*who).to_owned()));
            resolve_shared_ids(&mut users, seen.collect());
            users.map(|user| (user.is_known, user.unreadable))
        };
        assert_eq!(known(&[]), [(true, 0), (false, 1), (false, 1)]);
        assert_eq!(known(&[("4711", "okta-bob")]), [(false, 1), (true, 0), (false, 1)]);
        assert_eq!(known(&[("4711", "okta-zoe"), ("4712", "okta-ada")]), [(false, 1); 3]);
    }

    #[test]
    fn data_never_goes_to_another_holder_of_the_external_id() {
        let archived = |account| Account { archived_at: Some(OffsetDateTime::UNIX_EPOCH), ..account };
        let ada = || account(1, Some("x"), "ada");
        let (bob, eve) = (account(2, Some("x"), "bob"), account(3, Some("x"), "eve"));
        let of = |login| user("x", login, None, Value::Null);
        let found = |accounts: &[Account], users: &[ProviderUser]| {
            let Found { changes, strangers, ambiguous } = differences(accounts, users, false);
            (changes.into_iter().map(|(id, _)| id.as_u128()).collect::<Vec<_>>(), strangers, ambiguous)
        };
        let (archived_bob, archived_eve) = (archived(bob.clone()), archived(eve.clone()));
        for (accounts, login, expected) in [
            (vec![ada(), bob.clone()], "Bob", (vec![2], 0, 0)),
            (vec![ada(), bob.clone()], "renamed", (vec![], 0, 1)),
            (vec![ada(), archived_bob.clone()], "renamed", (vec![1], 0, 0)),
            (vec![ada(), archived_bob.clone()], "bob", (vec![2], 0, 0)),
            (vec![archived_bob.clone()], "renamed", (vec![2], 0, 0)),
            (vec![archived_bob.clone(), archived_eve.clone()], "renamed", (vec![], 0, 1)),
            (vec![ada(), bob.clone(), eve.clone(), account(4, None, "renamed")], "renamed", (vec![], 0, 1)),
        ] {
            assert_eq!(found(&accounts, &[of(login)]), expected, "{login}: {accounts:?}");
        }
        // Two Okta users in the group share the external id.
        let mut both = [of("ada"), of("bob")];
        resolve_shared_ids(&mut both, Vec::new());
        assert_eq!(found(&[ada(), bob.clone()], &both), (vec![1, 2], 0, 0));
        assert_eq!(
            found(std::slice::from_ref(&bob), &both),
            (vec![2], 0, 1),
            "the account is not the first Okta user's"
        );
        assert_eq!(found(&[eve], &both), (vec![], 0, 2));
        assert_eq!(found(&[], &both), (vec![], 2, 0));
    }

    #[test]
    fn account_is_matched_by_name_only_while_unlinked() {
        let accounts = [account(1, None, "ada"), account(2, Some("00u2"), "bob")];
        assert_eq!(changed(&accounts, &[user("00u1", "Ada", Some("EMEA"), json!("M"))]), (vec![1], 0));
        assert_eq!(changed(&accounts, &[user("00u9", "bob", None, json!("M"))]), (vec![], 1));
        let both = [account(1, None, "ada"), account(3, Some("00u1"), "ada2")];
        assert_eq!(changed(&both, &[user("00u1", "ada", None, json!("M"))]), (vec![3], 0));
        let unknown = ProviderUser { is_known: false, ..user("00u1", "ada", None, json!("M")) };
        assert_eq!(changed(&accounts, &[unknown]), (vec![], 1));
    }
}
