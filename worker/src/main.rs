//! The service `worker`. After: [`worker::service`].

#[tokio::main]
async fn main() -> std::process::ExitCode {
    worker::service::main().await
}
