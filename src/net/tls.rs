//! TLS for every connection: whom to trust, and the handshake's configuration. There is no switch
//! that turns verification off.

use crate::error::{Code, Error, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Whom to trust: the certificate authorities of a PEM file, or the system's. A file is read and
/// checked at once, so that a bad one fails the open with its reason and not the first request
/// with "unknown issuer". The system's are read at the first need: it takes a while.
pub struct Tls {
    config: OnceCell<Arc<ClientConfig>>,
}

impl Tls {
    /// `ca_bundle` is the option `net.ca_bundle`.
    pub fn new(ca_bundle: Option<&str>) -> Result<Tls> {
        let config = match ca_bundle {
            Some(path) => OnceCell::new_with(Some(Arc::new(client_config(Some(path))?))),
            None => OnceCell::new(),
        };
        Ok(Tls { config })
    }

    pub(super) async fn config(&self) -> Result<Arc<ClientConfig>> {
        let read = || async {
            let config = tokio::task::spawn_blocking(|| client_config(None)).await;
            let config = config.map_err(|e| {
                Error::new(Code::Tls, "the system's certificate authorities could not be read")
                    .with_source(&e)
            })?;
            Ok(Arc::new(config?))
        };
        self.config.get_or_try_init(read).await.cloned()
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// rustls with ring, TLS 1.2 and 1.3, and the authorities of `ca_bundle` or of the system.
pub fn client_config(ca_bundle: Option<&str>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match ca_bundle {
        Some(path) => {
            for certificate in read_bundle(path)? {
                // Usable: `read_bundle` tried.
                roots
                    .add(certificate)
                    .map_err(|e| Error::new(Code::Tls, "cannot use a certificate").with_source(&e))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            let (used, ignored) = roots.add_parsable_certificates(found.certs);
            if ignored > 0 || !found.errors.is_empty() {
                tracing::debug!(used, ignored, errors = ?found.errors, "some system certificates are unusable");
            }
            if used == 0 {
                return Err(Error::new(Code::Tls, "the system has no usable certificate authorities")
                    .with_hint(
                        "install them (package ca-certificates) or name a PEM file with net.ca_bundle",
                    ));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(Code::Tls, "cannot configure TLS").with_source(&e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The usable certificates of a PEM file; system bundles hold a few that are no authorities.
pub fn read_bundle(path: &str) -> Result<Vec<CertificateDer<'static>>> {
    let bad = |why: String| {
        Error::new(Code::InvalidOption, format!("the CA bundle {path:?} {why}"))
            .with_hint("net.ca_bundle (AWS_CA_BUNDLE) names a PEM file of certificate authorities")
    };
    let pem = std::fs::read(path).map_err(|e| bad(format!("cannot be read: {e}")))?;
    let mut roots = RootCertStore::empty();
    let mut usable = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| bad(format!("is not valid PEM: {e}")))?;
        match roots.add(certificate.clone()) {
            Ok(()) => usable.push(certificate),
            Err(error) => tracing::debug!(path, %error, "a certificate of the CA bundle is not usable"),
        }
    }
    match usable.is_empty() {
        true => Err(bad("holds no usable certificate".into())),
        false => Ok(usable),
    }
}
