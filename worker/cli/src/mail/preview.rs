//! `rollcall mail preview`: renders the templates with sample data.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use domain::settings::Locale;
use serde_json::json;
use wording::{Kind, Letter, Templates, sample};

use crate::context::{CliContext, Failure};
use crate::output;

/// The arguments of `rollcall mail preview`.
#[derive(Args)]
pub struct Arguments {
    /// The tenant's name. Optional if there is only one tenant.
    tenant: Option<String>,
    /// The kind of mail.
    #[arg(long, default_value = "first_assignment", value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::as_str)))]
    kind: String,
    /// The recipient's language. The default is the tenant's.
    #[arg(long, value_parser = PossibleValuesParser::new(Locale::ALL.map(Locale::as_str)))]
    locale: Option<String>,
    /// The recipient's time zone.
    #[arg(long, default_value = "Europe/Berlin")]
    timezone: String,
    /// The number of assignments.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=50))]
    items: u16,
    /// Write the plain text instead of the HTML.
    #[arg(long)]
    text: bool,
    /// The output file.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(context: &CliContext, arguments: &Arguments) -> Result<(), Failure> {
    if !wording::calendar::is_zone(&arguments.timezone) {
        return Err(Failure::usage("--timezone must be a time zone such as Europe/Berlin".to_owned()));
    }
    let tenant = context.operator.tenant_or_only(arguments.tenant.as_deref()).await?;
    let templates = Templates::load(context.mail_templates.as_deref())
        .map_err(|what| Failure::usage(format!("ROLLCALL_MAIL_TEMPLATES is invalid: {what}")))?;
    let kind = Kind::stored(&arguments.kind).unwrap_or(Kind::FirstAssignment);
    let items = sample::items(arguments.items.into());
    let mail = &tenant.settings.mail;
    let words = templates.words(&Letter {
        locale: arguments.locale.as_deref(),
        timezone: Some(&arguments.timezone),
        learning_url: &context.learning_url,
        ..sample::letter(kind, &tenant.name, mail, mail.locale, &items)
    });
    let words = words.map_err(|e| Failure::refused(format!("cannot render the mail: {e}")))?;
    let (ending, content) = if arguments.text { ("txt", &words.text) } else { ("html", &words.html) };
    let name = || format!("mail-{}-{}-{}.{ending}", tenant.name, kind.as_str(), words.locale.as_str());
    let file = arguments.to.clone().unwrap_or_else(|| PathBuf::from(name()));
    std::fs::write(&file, content)
        .map_err(|e| Failure::refused(format!("{} cannot be written: {e}", file.display())))?;
    if context.json {
        output::json(&json!({ "file": file, "subject": words.subject, "locale": words.locale }));
    } else {
        say!("{}: {}", file.display(), words.subject);
    }
    Ok(())
}
