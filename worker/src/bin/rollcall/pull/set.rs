//! `rollcall pull set` and `unset`: the row of `pulls`. The token is encrypted here, and shown nowhere.

use std::path::{Path, PathBuf};

use clap::Args;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use shared::postgres::pulls::{self as rows, PullRow};
use shared::postgres::schema::pulls;
use shared::postgres::tenants::Tenant;
use shared::pull::{self, AttributeMap};

use super::token;
use crate::context::{Context, Failure};
use crate::output;

/// The limit of who was never told another one, in percent.
const LIMIT: i16 = 20;

/// How a tenant's pull is to be. Of a pull that is configured already, what is not given stays.
#[derive(Args)]
pub struct Set {
    /// The tenant's name.
    tenant: String,
    /// Where the company's Okta is, such as `https://acme.okta.com`. Whoever gives it gives the token too.
    #[arg(long, value_name = "URL")]
    okta_url: Option<String>,
    /// The id of the group whose people are pulled.
    #[arg(long, value_name = "ID", value_parser = group)]
    group: Option<String>,
    /// A file with a read-only API token of Okta's; - is the standard input, as is none beside --okta-url.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A JSON file that says which attribute of Okta's is which of ours: hire_date, region, custom_fields, external_id.
    #[arg(long, value_name = "FILE")]
    map: Option<PathBuf>,
    /// Whether whoever is active here, linked to Okta, and not in the group is archived; false at first.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    archive_missing: Option<bool>,
    /// The most of the roster that is archived without asking, in percent; 20 at first.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(i16).range(0..=100))]
    limit_percent: Option<i16>,
}

fn group(text: &str) -> Result<String, String> {
    let is_id = !text.is_empty() && text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric());
    if is_id {
        Ok(text.to_owned())
    } else {
        Err("must be a group's id, such as 00g1emaKYZTWRYYRRTSK".to_owned())
    }
}

/// Runs `set`.
pub async fn set(context: &Context, set: &Set) -> Result<(), Failure> {
    let tenant = context.tenant(&set.tenant).await?;
    let before = rows::find(&mut *context.pool.get().await?, tenant.id).await?;
    let row = merged(context, set, &tenant, before)?;
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
    let mut connection = context.pool.get().await?;
    let insert = diesel::insert_into(pulls::table).values(values);
    insert.on_conflict(pulls::tenant_id).do_update().set(values).execute(&mut connection).await?;
    if context.json {
        output::json(&json!({
            "tenant": tenant.name, "okta_url": row.okta_url, "group": row.group_id, "map": row.map,
            "archive_missing": row.archive_missing, "limit_percent": row.limit_percent,
        }));
    } else {
        println!("the people of {} are pulled from {} from now on", tenant.name, row.okta_url);
        println!("`rollcall pull run {}` does so at once", tenant.name);
    }
    Ok(())
}

/// The row with what is given over what there was.
fn merged(
    context: &Context,
    set: &Set,
    tenant: &Tenant,
    before: Option<PullRow>,
) -> Result<PullRow, Failure> {
    let missing =
        |option: &str| Failure::Usage(format!("{} has no pull yet, so {option} must be given", tenant.name));
    // Not by clap, whose complaint repeats the text, with credentials that may be in it.
    let url = set.okta_url.as_deref().map(pull::okta_url).transpose();
    let url = url.map_err(|said| Failure::Usage(format!("--okta-url {said}")))?;
    let map = set.map.as_deref().map(map).transpose()?;
    let sets_token = url.is_some() || set.token_file.is_some();
    let before = before.as_ref();
    let okta_url = url.or(before.map(|row| row.okta_url.clone())).ok_or_else(|| missing("--okta-url"))?;
    let group_id = set.group.clone().or(before.map(|row| row.group_id.clone()));
    let group_id = group_id.ok_or_else(|| missing("--group"))?;
    let map = map.or(before.map(|row| row.map.clone())).ok_or_else(|| missing("--map"))?;
    let token = match before {
        Some(row) if !sets_token => row.token.clone(),
        _ => {
            let key = context.secret_key.as_ref().ok_or_else(|| {
                let how = "make one with `openssl rand -base64 32`, and give it to every ingest too";
                Failure::Usage(format!(
                    "ROLLCALL_SECRET_KEY is not set, under which the token is kept: {how}"
                ))
            })?;
            let token = token::read(set.token_file.as_deref())?;
            key.seal(token.as_bytes(), &PullRow::purpose(tenant.id, &okta_url))
        }
    };
    Ok(PullRow {
        tenant_id: tenant.id,
        okta_url,
        group_id,
        token,
        map,
        archive_missing: set.archive_missing.unwrap_or(before.is_some_and(|row| row.archive_missing)),
        limit_percent: set.limit_percent.or(before.map(|row| row.limit_percent)).unwrap_or(LIMIT),
        set_at: context.clock.now(),
    })
}

/// The map in a file, as it is stored.
fn map(file: &Path) -> Result<Value, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Failure::Usage(format!("{} cannot be read: {e}", file.display())))?;
    let map =
        AttributeMap::parse(&text).map_err(|said| Failure::Usage(format!("{} {said}", file.display())))?;
    Ok(serde_json::to_value(&map).expect("a map is made of strings"))
}

/// Runs `unset`.
pub async fn unset(context: &Context, tenant: &str) -> Result<(), Failure> {
    let tenant = context.tenant(tenant).await?;
    let mut connection = context.pool.get().await?;
    if diesel::delete(pulls::table.find(tenant.id)).execute(&mut connection).await? == 0 {
        return Err(Failure::Refused(format!("{} has no pull", tenant.name)));
    }
    if context.json {
        output::json(&json!({ "tenant": tenant.name, "unset": true }));
    } else {
        println!("the people of {} are pulled no more; the token is forgotten", tenant.name);
    }
    Ok(())
}
