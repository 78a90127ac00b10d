//! How a device's certificate is judged.

use crate::digest::hex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::io::{Read as _, Write as _};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use ureq::unversioned::transport::time::{Duration as Span, Instant as Moment};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

/// How the certificate of an https address is judged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Tls {
    /// By the public certificate authorities (Mozilla's list, compiled in). For clouds.
    #[default]
    Verified,
    /// Not at all, for this host only: for devices that sign their own. Whoever sits in the network can listen; prefer
    /// [`Tls::Pinned`], with the fingerprint that [`Client::peer_fingerprint`](crate::Client::peer_fingerprint) shows.
    AcceptSelfSignedFor(String),
    /// By the fingerprint of the device's certificate: no other is accepted. The certificate must be X.509 version 3 with
    /// an EC key or RSA of 2048 bits or more, because the proof that the device owns it is checked.
    Pinned(Fingerprint),
    /// By an authority of one's own, given as PEM.
    CustomCa(String),
}

impl Tls {
    /// The same judgement for connections that are not HTTP, such as a WebSocket; `host` as in the address, without brackets.
    ///
    /// # Errors
    /// A clause, for a PEM without certificate or another host than [`Tls::AcceptSelfSignedFor`] names.
    pub fn client_config(&self, host: &str) -> Result<Arc<ClientConfig>, String> {
        let pin = match self {
            Self::Verified | Self::CustomCa(_) => None,
            Self::Pinned(pin) => Some(Some(*pin)),
            Self::AcceptSelfSignedFor(trusted) => {
                if !trusted.trim().trim_matches(['[', ']']).eq_ignore_ascii_case(host) {
                    return Err(format!(
                        "self-signed certificates are accepted for {trusted} only, but this is {host}"
                    ));
                }
                Some(None)
            }
        };
        if let Some(pin) = pin {
            return DeviceTls::new(pin, host, Seen::default()).map(|tls| tls.config).map_err(|error| error.to_string());
        }
        let mut roots = RootCertStore::empty();
        match self {
            Self::CustomCa(pem) => {
                let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
                let found = found.map_err(|error| format!("the certificate file is not PEM: {error}"))?;
                if roots.add_parsable_certificates(found).0 == 0 {
                    return Err("the certificate file holds no certificate in PEM form".into());
                }
            }
            _ => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

/// SHA-256 of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a certificate in DER form.
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|b| format!("{b:02X}")).collect();
        f.write_str(&parts.join(":"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({})", hex(&self.0))
    }
}

/// A text that is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a certificate's fingerprint is 64 hexadecimal digits (SHA-256), with or without colons")]
pub struct BadFingerprint;

impl FromStr for Fingerprint {
    type Err = BadFingerprint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: String = text.trim().chars().filter(|c| *c != ':' && *c != ' ').collect();
        if digits.len() != 64 || !digits.is_ascii() {
            return Err(BadFingerprint);
        }
        let mut out = [0; 32];
        for (at, byte) in out.iter_mut().enumerate() {
            let pair = digits.get(2 * at..2 * at + 2).ok_or(BadFingerprint)?;
            if !pair.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(BadFingerprint);
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| BadFingerprint)?;
        }
        Ok(Self(out))
    }
}

/// The one crypto provider of this program.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Where the fingerprint of the last certificate seen is kept.
pub(crate) type Seen = Arc<Mutex<Option<Fingerprint>>>;

/// Judges a device by its pin, or not at all.
#[derive(Debug)]
struct DeviceVerifier {
    pin: Option<Fingerprint>,
    host: String,
    provider: Arc<CryptoProvider>,
    seen: Seen,
}

impl ServerCertVerifier for DeviceVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = Fingerprint::of(end_entity);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        if !server_name.to_str().eq_ignore_ascii_case(&self.host) {
            return Err(rustls::Error::General(format!("only {} is trusted without verification", self.host)));
        }
        match self.pin {
            Some(pin) if pin != shown => Err(rustls::Error::General(format!(
                "its certificate has the fingerprint {shown}, not the pinned {pin}; if the device was replaced or \
                 updated, write the new one into the configuration"
            ))),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match self.pin {
            None => Ok(HandshakeSignatureValid::assertion()),
            Some(_) => verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match self.pin {
            None => Ok(HandshakeSignatureValid::assertion()),
            Some(_) => verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.provider.signature_verification_algorithms.supported_schemes();
        if self.pin.is_none() {
            schemes.push(SignatureScheme::RSA_PKCS1_SHA1);
        }
        schemes
    }
}

/// Wraps connections in TLS, with a [`DeviceVerifier`]; ureq's own connector can't be given one.
pub(crate) struct DeviceTls {
    config: Arc<ClientConfig>,
}

impl DeviceTls {
    pub(crate) fn new(pin: Option<Fingerprint>, host: &str, seen: Seen) -> Result<Self, rustls::Error> {
        let provider = provider();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let verifier = DeviceVerifier { pin, host, provider: provider.clone(), seen };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config) })
    }
}

impl fmt::Debug for DeviceTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceTls")
    }
}

impl<In: Transport> Connector<In> for DeviceTls {
    type Out = Either<In, TlsTransport>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| ureq::Error::Tls("the host name can't be used"))?;
        let mut conn = ClientConnection::new(self.config.clone(), name)?;
        let boxed: Box<dyn Transport> = Box::new(transport);
        let mut sock = TransportAdapter::new(boxed, details.current_time.clone());
        sock.set_timeout(left(details));
        conn.complete_io(&mut sock)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { buffers, stream: StreamOwned { conn, sock } })))
    }
}

/// What is left of the connection's time after the TCP part.
fn left(details: &ConnectionDetails) -> NextTimeout {
    let mut timeout = details.timeout;
    let now = (details.current_time)();
    if let (Span::Exact(limit), Moment::Exact(begun), Moment::Exact(now)) = (timeout.after, details.now, now) {
        timeout.after = Span::Exact(limit.saturating_sub(now.saturating_duration_since(begun)));
    }
    timeout
}

pub(crate) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = self.buffers.output();
        let amount = amount.min(output.len());
        self.stream.write_all(output.split_at_mut(amount).0)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let count = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_they_are_shown() {
        let fingerprint = Fingerprint::of(b"certificate");
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        assert_eq!(hex(&fingerprint.0).parse(), Ok(fingerprint));
        for text in ["", "AB:CD", &"zz".repeat(32), &"+1".repeat(32), &"ä".repeat(32)] {
            assert_eq!(text.parse::<Fingerprint>(), Err(BadFingerprint), "{text}");
        }
    }
}
