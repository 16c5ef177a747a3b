//! The binary of the service `worker`. See [`worker::service`].

#[tokio::main]
async fn main() -> std::process::ExitCode {
    worker::service::main().await
}
