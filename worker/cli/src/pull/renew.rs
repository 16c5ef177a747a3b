//! `rollcall pull renew`: encrypts the stored tokens with the first key in `ROLLCALL_SECRET_KEY`.

use operations::pulls::{self, Renewed, TokenState};

use crate::context::{CliContext, Failure};
use crate::output;

/// Runs the command.
pub async fn renew(context: &CliContext) -> Result<(), Failure> {
    let renewed = pulls::renew(&context.operator).await?;
    if context.json {
        output::json(&renewed);
    } else {
        let row = |one: &Renewed| vec![one.tenant.clone(), one.token.as_str().to_owned()];
        output::table(&["tenant", "token"], renewed.iter().map(row).collect(), "no pulls are configured");
    }
    let unreadable = renewed.iter().filter(|one| one.token == TokenState::Unreadable).count();
    if unreadable == 0 {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "{unreadable} tokens cannot be decrypted with any key in ROLLCALL_SECRET_KEY; enter them again with `rollcall pull set TENANT --token-file FILE`"
    )))
}
