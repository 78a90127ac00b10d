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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("door-tls-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("a temporary folder");
            Folder(path)
        }

        fn files(&self) -> TlsFiles {
            TlsFiles { certificate: self.0.join("cert.pem"), key: self.0.join("key.pem") }
        }

        fn write(&self, certificate: &str, key: &str) {
            fs::write(self.0.join("cert.pem"), certificate).expect("written");
            fs::write(self.0.join("key.pem"), key).expect("written");
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn pair() -> (String, String) {
        let pair = rcgen::generate_simple_self_signed(vec!["twc".to_owned()]).expect("a pair");
        (pair.cert.pem(), pair.signing_key.serialize_pem())
    }

    #[test]
    fn each_fault_names_its_file_and_what_to_do() {
        let folder = Folder::new("faults");
        let text = |files| Certificates::load(files).expect_err("unusable").to_string();
        assert!(text(folder.files()).contains("cert.pem: No such file"));
        let (certificate, key) = pair();
        folder.write("hello", &key);
        assert!(text(folder.files()).contains("BEGIN CERTIFICATE"));
        folder.write(&certificate, &certificate);
        assert!(text(folder.files()).contains("key.pem holds no usable private key"));
        let (_, foreign) = pair();
        folder.write(&certificate, &foreign);
        assert!(text(folder.files()).contains("both files belong to the same certificate"));
    }

    #[test]
    fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
        let folder = Folder::new("renewed");
        let (certificate, key) = pair();
        folder.write(&certificate, &key);
        let certificates = Certificates::load(folder.files()).expect("good files");
        let first = certificates.current();
        folder.write(&certificate, "half a fi");
        assert!(certificates.reload().is_err());
        assert!(Arc::ptr_eq(&first, &certificates.current()));
        let (certificate, key) = pair();
        folder.write(&certificate, &key);
        certificates.reload().expect("good files");
        assert!(!Arc::ptr_eq(&first, &certificates.current()));
    }
}
