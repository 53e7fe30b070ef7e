//! Whom to trust: the system's certificate authorities, or those of `net.ca_bundle`.

use crate::error::{Code, Error, Result};
use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use base64::Engine as _;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

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

/// The usable certificates of a PEM file, as PEM again.
fn read_bundle(path: &str) -> Result<String> {
    let bad = |why: String| {
        Error::new(Code::InvalidOption, format!("the CA bundle {path:?} {why}"))
            .with_hint("net.ca_bundle (AWS_CA_BUNDLE) names a PEM file of certificate authorities")
    };
    let pem = std::fs::read(path).map_err(|e| bad(format!("cannot be read: {e}")))?;
    let mut trusted = String::new();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| bad(format!("is not valid PEM: {e}")))?;
        // System bundles hold a few that are no usable authorities; the SDK would not survive them.
        match roots.add(certificate.clone()) {
            Ok(()) => trusted.push_str(&to_pem(&certificate)),
            Err(error) => tracing::debug!(path, %error, "a certificate of the CA bundle is not usable"),
        }
    }
    match trusted.is_empty() {
        true => Err(bad("holds no usable certificate".into())),
        false => Ok(trusted),
    }
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
