//! Encrypts the stored tokens with the first key in `ROLLCALL_SECRET_KEY`, so that the others can be removed.

use database::pulls::PullRow;
use database::schema::{pulls, tenants};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use platform::secret::Renewal;
use serde::Serialize;

use super::configuration::no_key;
use crate::{Error, Operator};

/// What became of a tenant's token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Renewed {
    /// The tenant's name.
    pub tenant: String,
    /// Whether it was encrypted anew.
    pub token: TokenState,
}

/// What became of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenState {
    /// It was encrypted with the first key already.
    Current,
    /// It is now.
    Renewed,
    /// No key decrypts it; it must be entered again.
    Unreadable,
}

impl TokenState {
    /// As it is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Renewed => "renewed",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Encrypts the tokens of all pulls with the first key. Pulls that run are not disturbed. Safe to repeat.
///
/// # Errors
/// [`Error::Invalid`] if the program has no key; those of the database.
pub async fn renew(operator: &Operator) -> Result<Vec<Renewed>, Error> {
    let key = operator.secret_key.as_ref().ok_or_else(no_key)?;
    let mut connection = operator.pool.get().await?;
    let query = pulls::table.inner_join(tenants::table.on(tenants::id.eq(pulls::tenant_id)));
    let query = query.order(tenants::name).select((tenants::name, PullRow::as_select()));
    let rows: Vec<(String, PullRow)> = query.load(&mut connection).await?;
    let mut renewed = Vec::with_capacity(rows.len());
    for (tenant, row) in rows {
        let purpose = PullRow::purpose(row.tenant_id, &row.okta_url);
        let token = match key.renew(&row.token, &purpose) {
            Renewal::Current => TokenState::Current,
            Renewal::Unreadable => TokenState::Unreadable,
            Renewal::Renewed(sealed) => {
                // If the pull was set or removed in the meantime, its new token stays.
                let unchanged = pulls::table.find(row.tenant_id).filter(pulls::token.eq(row.token));
                diesel::update(unchanged).set(pulls::token.eq(sealed)).execute(&mut connection).await?;
                TokenState::Renewed
            }
        };
        renewed.push(Renewed { tenant, token });
    }
    Ok(renewed)
}
