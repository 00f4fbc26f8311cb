//! What a TLS server sends of itself: its chain of certificates, whoever issued them. Nothing is asked of it and nothing
//! it says is trusted; the chain is judged elsewhere, by the roots of the private CA.

use std::io::{self, Write as _};
use std::net::ToSocketAddrs as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

use crate::base::text::escaped;
use crate::net::{NetError, Unreachable};

#[expect(
    clippy::disallowed_types,
    reason = "this module opens client sockets, for a handshake whose result is looked at"
)]
type Stream = std::net::TcpStream;

/// How long the server may take to accept, and for each piece of its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a handshake may take.
const LONGEST: Duration = Duration::from_secs(30);

/// The certificates that the server sends to a client that asks for `name`, its own first.
///
/// # Errors
/// It does not answer, or not with TLS 1.2 or 1.3.
pub fn chain(host: &str, port: u16, name: &str) -> Result<Vec<Vec<u8>>, NetError> {
    ask(host, port, name).map_err(|error| NetError::Unreachable {
        hosts: vec![Unreachable {
            host: escaped(host),
            port,
            via: None,
            reason: escaped(&error.to_string()),
        }],
    })
}

fn ask(host: &str, port: u16, name: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut stream = connect(host, port)?;
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let mut session = ClientConnection::new(config()?, name).map_err(io::Error::other)?;
    let end = Instant::now() + LONGEST;
    while session.is_handshaking() {
        if Instant::now() > end {
            return Err(io::ErrorKind::TimedOut.into());
        }
        while session.wants_write() {
            session.write_tls(&mut stream)?;
        }
        if session.is_handshaking() {
            if session.read_tls(&mut stream)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            session.process_new_packets().map_err(io::Error::other)?;
        }
    }
    let sent = session.peer_certificates().unwrap_or_default();
    let sent = sent.iter().map(|der| der.to_vec()).collect();
    // A clean end; whether the server hears of it does not matter.
    session.send_close_notify();
    if session.write_tls(&mut stream).is_err() || stream.flush().is_err() {
        // It closed first.
    }
    Ok(sent)
}

fn connect(host: &str, port: u16) -> io::Result<Stream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match Stream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn config() -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let anyone = Arc::new(Anyone(provider));
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(anyone)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// Lets every chain pass: it is what is to be looked at. Whoever sends one must have its key all the same.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
