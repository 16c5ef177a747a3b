//! `rollcall pull set` and `unset`. The token is never shown.

use std::path::{Path, PathBuf};

use clap::Args;
use domain::pull::AttributeMap;
use operations::pulls::{self, ConfigurationChanges, group_id};
use serde_json::json;

use super::token;
use crate::context::{CliContext, Failure};
use crate::output;

/// The arguments of `rollcall pull set`. Options that are not given keep their stored value.
#[derive(Args)]
pub struct Set {
    /// The tenant's name.
    tenant: String,
    /// The URL of the tenant's Okta, such as `https://acme.okta.com`. Requires the token as well.
    #[arg(long, value_name = "URL")]
    okta_url: Option<String>,
    /// The id of the group whose users are pulled.
    #[arg(long, value_name = "ID", value_parser = group_id)]
    group: Option<String>,
    /// A file with a read-only Okta API token; - reads the standard input, the default with --okta-url.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A JSON file that maps Okta attributes to hire_date, region, custom_fields and external_id.
    #[arg(long, value_name = "FILE")]
    map: Option<PathBuf>,
    /// Archive active users who are linked to Okta but missing from the group. The default is false.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    archive_missing: Option<bool>,
    /// Ask for confirmation before archiving more than this percentage of the active users. The default is 20.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(i16).range(0..=100))]
    limit_percent: Option<i16>,
}

/// Runs `set`.
pub async fn set(context: &CliContext, set: Set) -> Result<(), Failure> {
    let operator = &context.operator;
    let tenant = operator.tenant(&set.tenant).await?;
    // Not validated by clap, whose error would repeat the value with any credentials in it.
    let okta_url = set.okta_url.as_deref().map(pulls::okta_url).transpose()?;
    let map = set.map.as_deref().map(map).transpose()?;
    let Set { group, token_file, archive_missing, limit_percent, .. } = set;
    let new_token = token_file.is_some();
    let changes = ConfigurationChanges { okta_url, group, map, archive_missing, limit_percent, new_token };
    let draft = pulls::draft(operator, &tenant, changes).await?;
    let token = if draft.needs_token() { Some(token::read(token_file.as_deref())?) } else { None };
    let configured = draft.save(operator, token.as_deref()).await?;
    if context.json {
        output::json(&configured);
    } else {
        say!("users of {} are now pulled from {}", configured.tenant, configured.okta_url);
        say!("to pull them immediately, run `rollcall pull run {}`", configured.tenant);
    }
    Ok(())
}

/// Parses the attribute map in a file.
fn map(file: &Path) -> Result<AttributeMap, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Failure::usage(format!("{} cannot be read: {e}", file.display())))?;
    AttributeMap::parse(&text).map_err(|said| Failure::usage(format!("{} {said}", file.display())))
}

/// Runs `unset`.
pub async fn unset(context: &CliContext, tenant: &str) -> Result<(), Failure> {
    let tenant = context.operator.tenant(tenant).await?;
    pulls::unset(&context.operator, &tenant).await?;
    if context.json {
        output::json(&json!({ "tenant": tenant.name, "unset": true }));
    } else {
        say!("users of {} are no longer pulled; the token was deleted", tenant.name);
    }
    Ok(())
}
