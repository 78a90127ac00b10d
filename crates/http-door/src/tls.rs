//! Certificates: from PEM files to what rustls needs, exchangeable while the server runs.

use std::fs;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::DoorError;
use crate::settings::TlsFiles;

/// The configuration for new TLS connections.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: TlsFiles,
    current: RwLock<Arc<rustls::ServerConfig>>,
}

impl Certificates {
    pub(crate) fn load(files: TlsFiles) -> Result<Certificates, DoorError> {
        let current = RwLock::new(read(&files)?);
        Ok(Certificates { files, current })
    }

    /// Reads the files again; on error the old certificate stays in use.
    pub(crate) fn reload(&self) -> Result<(), DoorError> {
        let fresh = read(&self.files)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    pub(crate) fn current(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn read(files: &TlsFiles) -> Result<Arc<rustls::ServerConfig>, DoorError> {
    let bytes = read_file(&files.certificate)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| content(&files.certificate, "certificate", error.to_string()))?;
    if chain.is_empty() {
        let detail = "there is no section BEGIN CERTIFICATE in it".to_owned();
        return Err(content(&files.certificate, "certificate", detail));
    }
    let bytes = read_file(&files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        let detail = format!("{error}; a key with a passphrase must be stored without one");
        content(&files.key, "private key", detail)
    })?;
    // The provider is named here and never looked up: another crate's choice cannot change or break this.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(DoorError::TlsPair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(DoorError::TlsPair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read_file(path: &Path) -> Result<Vec<u8>, DoorError> {
    fs::read(path).map_err(|source| DoorError::TlsFile { path: path.to_owned(), source })
}

fn content(path: &Path, wanted: &'static str, detail: String) -> DoorError {
    DoorError::TlsContent { path: path.to_owned(), wanted, detail }
}
