//! `rollcall pull set` and `unset`: the row of `pulls`. The token is encrypted here, and shown nowhere.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;
use shared::postgres::pulls::PullRow;
use shared::postgres::schema::pulls;
use shared::pull::{self, AttributeMap};

use crate::context::{Context, Failure};
use crate::output;

/// The longest token, in bytes.
const MAX_TOKEN: u64 = 1_024;

/// How a tenant's pull is to be.
#[derive(Args)]
pub struct Set {
    /// The tenant's name.
    tenant: String,
    /// Where the company's Okta is, such as https://acme.okta.com.
    #[arg(long, value_name = "URL", value_parser = pull::okta_url)]
    okta_url: String,
    /// The id of the group whose people are pulled.
    #[arg(long, value_name = "ID", value_parser = group)]
    group: String,
    /// A file with a read-only API token of Okta's; - is the standard input.
    #[arg(long, value_name = "FILE", default_value = "-")]
    token_file: PathBuf,
    /// A JSON file that says which attribute of Okta's is which of ours: hire_date, region, custom_fields, external_id.
    #[arg(long, value_name = "FILE")]
    map: PathBuf,
    /// Archives whoever is active here, linked to Okta, and not in the group.
    #[arg(long)]
    archive_missing: bool,
    /// The most of the roster that is archived without asking, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 20, value_parser = clap::value_parser!(i16).range(0..=100))]
    limit_percent: i16,
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
    let key = context.secret_key.as_ref().ok_or_else(|| {
        let how = "make one with `openssl rand -base64 32`, and give it to every ingest too";
        Failure::Usage(format!("ROLLCALL_SECRET_KEY is not set, under which the token is kept: {how}"))
    })?;
    let tenant = context.tenant(&set.tenant).await?;
    let map = read(&set.map)?;
    let map = AttributeMap::parse(&map)
        .map_err(|said| Failure::Refused(format!("{} {said}", set.map.display())))?;
    let token = token(&set.token_file)?;
    let sealed = key.seal(token.as_bytes(), &PullRow::purpose(tenant.id, &set.okta_url));
    let row = (
        pulls::tenant_id.eq(tenant.id),
        pulls::okta_url.eq(&set.okta_url),
        pulls::group_id.eq(&set.group),
        pulls::token.eq(sealed),
        pulls::map.eq(serde_json::to_value(&map).expect("a map is made of strings")),
        pulls::archive_missing.eq(set.archive_missing),
        pulls::limit_percent.eq(set.limit_percent),
        pulls::set_at.eq(context.clock.now()),
    );
    let mut connection = context.pool.get().await?;
    let insert = diesel::insert_into(pulls::table).values(row.clone());
    insert.on_conflict(pulls::tenant_id).do_update().set(row).execute(&mut connection).await?;
    if context.json {
        output::json(&json!({
            "tenant": tenant.name, "okta_url": set.okta_url, "group": set.group, "map": map,
            "archive_missing": set.archive_missing, "limit_percent": set.limit_percent,
        }));
    } else {
        println!("the people of {} are pulled from {} from now on", tenant.name, set.okta_url);
        println!("`rollcall pull run {}` does so at once", tenant.name);
    }
    Ok(())
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

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file)
        .map_err(|e| Failure::Usage(format!("{} cannot be read: {e}", file.display())))
}

/// The token: one line of a file. Complaints do not repeat it.
fn token(file: &Path) -> Result<String, Failure> {
    let text = if file.as_os_str() == "-" {
        let mut text = String::new();
        let read = std::io::stdin().lock().take(MAX_TOKEN + 1).read_to_string(&mut text);
        read.map_err(|e| Failure::Usage(format!("the token cannot be read from the standard input: {e}")))?;
        text
    } else {
        read(file)?
    };
    let token = text.trim();
    let fits = !token.is_empty() && token.len() as u64 <= MAX_TOKEN;
    if fits && token.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(token.to_owned());
    }
    Err(Failure::Usage("the token must be one line of printable characters without spaces".to_owned()))
}
