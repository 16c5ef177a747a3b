//! The progress of a pull, in sentences on the standard error.

use operations::pulls::Progress;

use crate::output;

/// Prints progress messages, but not the same one twice in a row.
#[derive(Default)]
pub struct Printer {
    last: String,
}

impl Printer {
    /// Prints the progress of this tenant's pull.
    pub fn print(&mut self, tenant: &str, progress: &Progress) {
        let text = sentence(tenant, progress);
        if self.last != text {
            output::complain(&text);
            self.last = text;
        }
    }
}

fn sentence(tenant: &str, progress: &Progress) -> String {
    match progress {
        Progress::BehindOwn => format!("another pull of {tenant} is running; this one starts after it"),
        Progress::BehindOthers => "pulls of other tenants are running; this one starts after them".to_owned(),
        Progress::Reading { pages, users, waiting: Some(why) } => {
            format!("{pages} pages read, {users} users; waiting: {why}")
        }
        Progress::Reading { pages, users, waiting: None } => format!("{pages} pages read, {users} users"),
        Progress::Archiving { queued, missing } => {
            format!("{queued} of {missing} missing users queued for archiving")
        }
        Progress::Applying { decided, queued } => format!("{decided} of {queued} changes applied"),
    }
}
