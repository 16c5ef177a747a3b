//! `rollcall mail preview`: the templates, filled for somebody whom there is not.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;
use shared::settings::Locale;
use wording::{Kind, Letter, Templates, sample};

use crate::context::{Context, Failure};
use crate::output;

/// Which mail.
#[derive(Args)]
pub struct Arguments {
    /// The tenant's name; may be left out where there is only one.
    tenant: Option<String>,
    /// The kind of mail.
    #[arg(long, default_value = "first_assignment", value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::as_str)))]
    kind: String,
    /// The reader's language; the tenant's if it is left out.
    #[arg(long, value_parser = PossibleValuesParser::new(Locale::ALL.map(Locale::as_str)))]
    locale: Option<String>,
    /// The reader's time zone.
    #[arg(long, default_value = "Europe/Berlin")]
    timezone: String,
    /// How many things were assigned.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=50))]
    items: u16,
    /// The plain text instead of the HTML.
    #[arg(long)]
    text: bool,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    if !wording::calendar::is_zone(&arguments.timezone) {
        return Err(Failure::Usage(
            "--timezone is none that there is: it must be like Europe/Berlin".to_owned(),
        ));
    }
    let tenant = context.tenant_or_only(arguments.tenant.as_deref()).await?;
    let templates = Templates::load(context.mail_templates.as_deref())
        .map_err(|what| Failure::Usage(format!("ROLLCALL_MAIL_TEMPLATES is wrong: {what}")))?;
    let kind = Kind::stored(&arguments.kind).unwrap_or(Kind::FirstAssignment);
    let items = sample::items(arguments.items.into());
    let mail = &tenant.settings.mail;
    let words = templates.words(&Letter {
        locale: arguments.locale.as_deref(),
        timezone: Some(&arguments.timezone),
        learning_url: &context.learning_url,
        ..sample::letter(kind, &tenant.name, mail, mail.locale, &items)
    });
    let words = words.map_err(|e| Failure::Refused(format!("the mail cannot be written: {e}")))?;
    let (ending, content) = if arguments.text { ("txt", &words.text) } else { ("html", &words.html) };
    let name = || format!("mail-{}-{}-{}.{ending}", tenant.name, kind.as_str(), words.locale.as_str());
    let file = arguments.to.clone().unwrap_or_else(|| PathBuf::from(name()));
    std::fs::write(&file, content)
        .map_err(|e| Failure::Refused(format!("{} cannot be written: {e}", file.display())))?;
    if context.json {
        output::json(&json!({ "file": file, "subject": words.subject, "locale": words.locale }));
    } else {
        println!("{}: {}", file.display(), words.subject);
    }
    Ok(())
}
