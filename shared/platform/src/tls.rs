//! The TLS configuration of our clients. The certificate is always checked, against this machine's roots.

use std::sync::Arc;

/// The configuration of a client.
///
/// # Errors
/// When this machine has no root certificates.
pub fn client() -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(
            "requires TLS, but this machine has no root certificates: install ca-certificates".to_owned()
        );
    }
    trusting(roots)
}

/// The configuration of a client that never uses TLS, and so needs no root certificates: it trusts no certificate.
///
/// # Errors
/// When the library rejects its own defaults.
pub fn without_roots() -> Result<rustls::ClientConfig, String> {
    trusting(rustls::RootCertStore::empty())
}

fn trusting(roots: rustls::RootCertStore) -> Result<rustls::ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(|e| e.to_string())?.with_root_certificates(roots).with_no_client_auth())
}
