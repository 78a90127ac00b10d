//! TLS settings into a rustls configuration, with the ring provider named outright.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::sync::Arc;

/// Whom the broker's certificate must come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Roots {
    /// The public authorities (Mozilla's list, compiled in) and those that this computer trusts.
    #[default]
    System,
    /// An authority of one's own, as PEM.
    Pem(String),
}

/// How to encrypt. The certificate is always verified.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Tls {
    /// Whom to trust.
    pub roots: Roots,
    /// Certificate chain and key of the client as PEM, for brokers that ask for them.
    pub client: Option<(String, String)>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({:?}, client certificate: {})", self.roots, self.client.is_some())
    }
}

impl Tls {
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(self.roots.store()?);
        let config = match &self.client {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = certificates(chain).map_err(|why| format!("the client certificate {why}"))?;
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                    .map_err(|_| "the client key is not a private key in PEM form".to_owned())?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| format!("the client certificate and its key do not fit: {error}"))?
            }
        };
        Ok(Arc::new(config))
    }
}

impl Roots {
    fn store(&self) -> Result<RootCertStore, String> {
        let mut store = RootCertStore::empty();
        match self {
            Self::System => {
                store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            Self::Pem(pem) => {
                let found = certificates(pem).map_err(|why| format!("the authority's certificate {why}"))?;
                for certificate in found {
                    store
                        .add(certificate)
                        .map_err(|error| format!("the authority's certificate is no good: {error}"))?;
                }
            }
        }
        Ok(store)
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err("is not in PEM form".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_roots_need_no_process_wide_provider() {
        assert!(Tls::default().config().is_ok());
    }

    #[test]
    fn bad_files_are_named() {
        let tls = |roots: &str, client: Option<(&str, &str)>| Tls {
            roots: if roots.is_empty() { Roots::System } else { Roots::Pem(roots.into()) },
            client: client.map(|(a, b)| (a.into(), b.into())),
        };
        let own = rcgen::generate_simple_self_signed(vec!["x".into()]).unwrap();
        let (cert, key) = (own.cert.pem(), own.signing_key.serialize_pem());
        assert!(tls(&cert, Some((&cert, &key))).config().is_ok());
        for (bad, word) in [
            (tls("nonsense", None), "authority"),
            (tls(&cert, Some(("x", &key))), "client certificate"),
            (tls(&cert, Some((&cert, "x"))), "client key"),
        ] {
            assert!(bad.config().unwrap_err().contains(word), "{word}");
        }
    }
}
