//! The row of `pulls`: sets and removes it. The token is stored encrypted and never returned.

use database::pulls::{self as rows, PullRow};
use database::schema::pulls;
use database::tenants::Tenant;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use domain::pull::{self, AttributeMap};
use serde::Serialize;
use serde_json::Value;

use crate::{Error, Operator};

/// The default limit, in percent.
const LIMIT: i16 = 20;
/// The longest token, in bytes.
pub const MAX_TOKEN: u64 = 1_024;

/// Changes of a pull's configuration. Whatever is `None` keeps its stored value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigurationChanges {
    /// The URL of the tenant's Okta. A new one requires a new token.
    pub okta_url: Option<String>,
    /// The id of the group whose users are pulled.
    pub group: Option<String>,
    /// The map from Okta's attributes to ours.
    pub map: Option<AttributeMap>,
    /// Whether to archive active users that are linked to Okta but missing from the group.
    pub archive_missing: Option<bool>,
    /// Above which percentage of the users to ask for confirmation before archiving them.
    pub limit_percent: Option<i16>,
    /// Whether there will be a new token, also if the URL stays.
    pub new_token: bool,
}

/// A pull's configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Configured {
    /// The tenant's name.
    pub tenant: String,
    /// The URL of the tenant's Okta.
    pub okta_url: String,
    /// The id of the group whose users are pulled.
    pub group: String,
    /// The map from Okta's attributes to ours.
    pub map: Value,
    /// Whether active users that are missing in Okta are archived.
    pub archive_missing: bool,
    /// Above which percentage of the users the pull asks for confirmation.
    pub limit_percent: i16,
}

impl Configured {
    /// What is shown of a row.
    pub(super) fn of(tenant: String, row: PullRow) -> Self {
        Self {
            tenant,
            okta_url: row.okta_url,
            group: row.group_id,
            map: row.map,
            archive_missing: row.archive_missing,
            limit_percent: row.limit_percent,
        }
    }
}

/// Normalizes the URL of an Okta organization.
///
/// # Errors
/// [`Error::Argument`], which does not repeat the URL: it may contain credentials.
pub fn okta_url(text: &str) -> Result<String, Error> {
    pull::okta_url(text).map_err(|problem| Error::Argument { name: "okta_url", problem })
}

/// Checks that a text looks like the id of an Okta group.
///
/// # Errors
/// The expected form.
pub fn group_id(text: &str) -> Result<String, String> {
    let is_id = !text.is_empty() && text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric());
    if is_id {
        Ok(text.to_owned())
    } else {
        Err("must be a group's id, such as 00g1emaKYZTWRYYRRTSK".to_owned())
    }
}

/// An API token without the white space around it.
///
/// # Errors
/// [`Error::Invalid`], which does not repeat it.
pub fn token(text: &str) -> Result<String, Error> {
    let token = text.trim();
    let fits = !token.is_empty() && token.len() as u64 <= MAX_TOKEN;
    if fits && token.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(token.to_owned());
    }
    Err(Error::Invalid("the token must be one line of printable characters without spaces".to_owned()))
}

/// A configuration that is complete but for its token.
pub struct Draft {
    tenant: String,
    row: PullRow,
    needs_token: bool,
}

/// The stored configuration with these changes, to be saved.
///
/// # Errors
/// [`Error::Missing`] if there is no pull yet and something is not given, [`Error::Invalid`] if a token is needed and
/// the program has no key to encrypt it, [`Error::Argument`] if a value is invalid.
pub async fn draft(
    operator: &Operator,
    tenant: &Tenant,
    changes: ConfigurationChanges,
) -> Result<Draft, Error> {
    let before = rows::find(&mut *operator.pool.get().await?, tenant.id).await?;
    let missing =
        |name: &'static str| Error::Missing { name, why: format!("{} has no pull yet", tenant.name) };
    let url = changes.okta_url.as_deref().map(okta_url).transpose()?;
    let group = changes.group.as_deref().map(group_id).transpose();
    let group = group.map_err(|problem| Error::Argument { name: "group", problem })?;
    if changes.limit_percent.is_some_and(|limit| !(0..=100).contains(&limit)) {
        let problem = "must be a number from 0 to 100".to_owned();
        return Err(Error::Argument { name: "limit_percent", problem });
    }
    let map = changes.map.map(|map| serde_json::to_value(&map).expect("a map is made of strings"));
    let sets_token = url.is_some() || changes.new_token;
    let before = before.as_ref();
    let okta_url = url.or(before.map(|row| row.okta_url.clone())).ok_or_else(|| missing("okta_url"))?;
    let group_id = group.or(before.map(|row| row.group_id.clone())).ok_or_else(|| missing("group"))?;
    let map = map.or(before.map(|row| row.map.clone())).ok_or_else(|| missing("map"))?;
    let token = before.filter(|_| !sets_token).map(|row| row.token.clone());
    if token.is_none() && operator.secret_key.is_none() {
        return Err(no_key());
    }
    let row = PullRow {
        tenant_id: tenant.id,
        okta_url,
        group_id,
        token: token.clone().unwrap_or_default(),
        map,
        archive_missing: changes.archive_missing.unwrap_or(before.is_some_and(|row| row.archive_missing)),
        limit_percent: changes.limit_percent.or(before.map(|row| row.limit_percent)).unwrap_or(LIMIT),
        set_at: operator.clock.now(),
    };
    Ok(Draft { tenant: tenant.name.clone(), row, needs_token: token.is_none() })
}

impl Draft {
    /// Whether it can be saved only with a new token.
    #[must_use]
    pub fn needs_token(&self) -> bool {
        self.needs_token
    }

    /// Saves it, with a new token if it needs one.
    ///
    /// # Errors
    /// [`Error::Missing`] without a token that is needed, [`Error::Invalid`] with one that is invalid.
    pub async fn save(mut self, operator: &Operator, new: Option<&str>) -> Result<Configured, Error> {
        if self.needs_token {
            let missing = || Error::Missing { name: "token", why: "the URL or the token is new".to_owned() };
            let token = token(new.ok_or_else(missing)?)?;
            let key = operator.secret_key.as_ref().ok_or_else(no_key)?;
            let purpose = PullRow::purpose(self.row.tenant_id, &self.row.okta_url);
            self.row.token = key.seal(token.as_bytes(), &purpose);
        }
        let Self { tenant, mut row, .. } = self;
        // The time of saving: the operator may have taken a while to enter the token.
        row.set_at = operator.clock.now();
        let values = (
            pulls::tenant_id.eq(row.tenant_id),
            pulls::okta_url.eq(&row.okta_url),
            pulls::group_id.eq(&row.group_id),
            pulls::token.eq(&row.token),
            pulls::map.eq(&row.map),
            pulls::archive_missing.eq(row.archive_missing),
            pulls::limit_percent.eq(row.limit_percent),
            pulls::set_at.eq(row.set_at),
        );
        let mut connection = operator.pool.get().await?;
        let insert = diesel::insert_into(pulls::table).values(values);
        insert.on_conflict(pulls::tenant_id).do_update().set(values).execute(&mut connection).await?;
        Ok(Configured::of(tenant, row))
    }
}

pub(super) fn no_key() -> Error {
    let how = "create one with `openssl rand -base64 32`, and set it for every ingest too";
    Error::Invalid(format!("ROLLCALL_SECRET_KEY, which encrypts the token, is not set: {how}"))
}

/// Removes a tenant's pull with its token. Pulled data is kept.
///
/// # Errors
/// [`Error::Refused`] if the tenant has no pull.
pub async fn unset(operator: &Operator, tenant: &Tenant) -> Result<(), Error> {
    let mut connection = operator.pool.get().await?;
    if diesel::delete(pulls::table.find(tenant.id)).execute(&mut connection).await? == 0 {
        return Err(Error::Refused(format!("{} has no pull", tenant.name)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_line_of_printable_characters() {
        assert_eq!(token(" 00aBc-_9\n"), Ok("00aBc-_9".to_owned()));
        for wrong in ["", " \n", "two words", "two\nlines", "t\u{f6}ken", &"x".repeat(1_025)] {
            let said = token(wrong).unwrap_err().to_string();
            assert!(said.contains("one line") && !said.contains("two"), "{said}");
        }
    }

    #[test]
    fn a_group_id_is_short_and_alphanumeric() {
        assert_eq!(group_id("00g1emaKYZTWRYYRRTSK"), Ok("00g1emaKYZTWRYYRRTSK".to_owned()));
        for wrong in ["", "00g1/users", "a b", &"x".repeat(65)] {
            assert!(group_id(wrong).is_err(), "{wrong}");
        }
    }
}
