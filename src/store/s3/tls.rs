//! Whom to trust: the system's certificate authorities, or those of `net.ca_bundle`.

use crate::error::{Code, Error, Result};
use crate::net;
use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use base64::Engine as _;
use rustls::pki_types::CertificateDer;

/// The TLS configuration. A bundle is read and checked now, so that a bad one fails the open with
/// its reason and not the first request with "unknown issuer".
pub(super) fn context(ca_bundle: Option<&str>) -> Result<TlsContext> {
    let trust = match ca_bundle {
        Some(path) => TrustStore::empty().with_pem_certificate(read_bundle(path)?),
        None => TrustStore::default(),
    };
    TlsContext::builder()
        .with_trust_store(trust)
        .build()
        .map_err(|e| Error::new(Code::Tls, "TLS cannot be set up").with_source(&e))
}

/// The usable certificates of a PEM file, as PEM again: the SDK would not survive the others.
fn read_bundle(path: &str) -> Result<String> {
    Ok(net::tls::read_bundle(path)?.iter().map(to_pem).collect())
}

fn to_pem(certificate: &CertificateDer<'_>) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|b| char::from(*b)));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
