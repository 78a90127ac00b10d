//! What can go wrong when a server is started or its certificate is renewed.

use std::io;
use std::path::PathBuf;

/// Why a server could not start, or why a renewed certificate was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DoorError {
    /// Every port that was to be tried is in use.
    #[error(
        "{}: {setting} names another port, or stop the program that uses this one",
        taken(*port, *last)
    )]
    PortTaken {
        /// The wanted port.
        port: u16,
        /// The last port that was tried.
        last: u16,
        /// The configuration key that mends it.
        setting: &'static str,
    },
    /// Ports below 1024 need a privilege.
    #[error(
        "port {port} may not be opened by this user: choose a port from 1024 up in {setting}, or give the program \
         the capability CAP_NET_BIND_SERVICE"
    )]
    PortForbidden {
        /// The wanted port.
        port: u16,
        /// The configuration key that mends it.
        setting: &'static str,
    },
    /// The address is not one of this computer's, or the network refused in another way.
    #[error("cannot listen on {address} (set in {setting}): {source}")]
    Listen {
        /// What was asked for.
        address: String,
        /// The configuration key that mends it.
        setting: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// No listener was configured.
    #[error("the web server has nowhere to listen: configure at least one port")]
    NoListener,
    /// A TLS listener without certificate.
    #[error("{setting} asks for HTTPS but no certificate is configured: name a certificate file and a key file")]
    NoCertificate {
        /// The configuration key of the listener.
        setting: &'static str,
    },
    /// A certificate or key file could not be read.
    #[error("cannot read {}: {source}; check that the file exists and that this user may read it", path.display())]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate or key file was read but holds something else.
    #[error("{} holds no usable {wanted}: {detail}", path.display())]
    TlsContent {
        /// The file.
        path: PathBuf,
        /// "certificate" or "private key".
        wanted: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// Certificate and key are readable but unfit, for example not a pair.
    #[error(
        "the certificate and the key cannot be used together: {0}; check that both files belong to the same certificate"
    )]
    TlsPair(#[source] rustls::Error),
    /// The system refused a thread or a descriptor.
    #[error("the web server could not get what it needs from the system: {0}")]
    System(#[source] io::Error),
}

fn taken(port: u16, last: u16) -> String {
    if port == last {
        format!("port {port} is already in use by another program")
    } else {
        format!("all ports from {port} to {last} are already in use by other programs")
    }
}
