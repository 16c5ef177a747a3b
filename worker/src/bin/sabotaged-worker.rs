//! A worker with the fault named in `ROLLCALL_SABOTAGE`, for tests.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    if let Err(problem) = worker::sabotage::arm(&std::env::var("ROLLCALL_SABOTAGE").unwrap_or_default()) {
        eprintln!("ROLLCALL_SABOTAGE: {problem}");
        return ExitCode::from(2);
    }
    worker::service::main().await
}
