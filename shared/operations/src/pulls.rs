//! Configures, requests, follows and shows pulls from Okta's API. The ingests run them.

mod configuration;
mod follow;
mod renewal;
mod request;
mod status;

pub use self::configuration::{
    ConfigurationChanges, Configured, Draft, MAX_TOKEN, draft, group_id, okta_url, token, unset,
};
pub use self::follow::{Progress, follow};
pub use self::renewal::{Renewed, TokenState, renew};
pub use self::request::{Requested, confirm, request};
pub use self::status::{Missing, PullStatus, Run, status};
