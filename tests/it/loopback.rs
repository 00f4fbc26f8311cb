//! A web server on the loopback whose answers the test decides, in the clear or with TLS; and a proxy.

#![expect(clippy::disallowed_types, reason = "the test side of the network")]

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What a client asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// What it gets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Break off after so many bytes of the body, although all were announced.
    pub(crate) cut: Option<usize>,
    /// Wait so many milliseconds before answering.
    pub(crate) delay: u64,
    /// What is said after the number of the status.
    pub(crate) reason: Option<String>,
    /// Close the connection instead of answering.
    pub(crate) gone: bool,
}

impl Reply {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            body: body.into(),
            ..Self::default()
        }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

type Handler = dyn Fn(&Asked) -> Reply + Send + Sync;

/// The server. Ends when dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    scheme: &'static str,
    asked: Arc<Mutex<Vec<Asked>>>,
    most: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn new(handler: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(None, Arc::new(handler))
    }

    pub(crate) fn tls(
        config: rustls::ServerConfig,
        handler: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(Arc::new(config)), Arc::new(handler))
    }

    fn start(tls: Option<Arc<rustls::ServerConfig>>, handler: Arc<Handler>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let asked = Arc::new(Mutex::new(Vec::new()));
        let most = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let now = Arc::new(AtomicUsize::new(0));
        let (seen, peak, end) = (asked.clone(), most.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (handler, tls, seen) = (handler.clone(), tls.clone(), seen.clone());
                let (peak, now) = (peak.clone(), now.clone());
                std::thread::spawn(move || {
                    let answer = |asked: &Asked| {
                        let count = now.fetch_add(1, Ordering::SeqCst) + 1;
                        peak.fetch_max(count, Ordering::SeqCst);
                        seen.lock().unwrap().push(asked.clone());
                        let reply = handler(asked);
                        std::thread::park_timeout(std::time::Duration::from_millis(reply.delay));
                        now.fetch_sub(1, Ordering::SeqCst);
                        reply
                    };
                    match tls {
                        None => talk(stream, answer),
                        Some(config) => {
                            let session = rustls::ServerConnection::new(config).unwrap();
                            talk(rustls::StreamOwned::new(session, stream), answer);
                        }
                    }
                });
            }
        });
        Self {
            port,
            scheme,
            asked,
            most,
            stop,
            thread: Some(thread),
        }
    }

    /// `http://127.0.0.1:<port>/`, or `https://localhost:<port>/`.
    pub(crate) fn url(&self) -> String {
        let host = if self.scheme == "https" {
            "localhost"
        } else {
            "127.0.0.1"
        };
        format!("{}://{host}:{}/", self.scheme, self.port)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The most requests that were being answered at the same time.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        self.thread.take().unwrap().join().unwrap();
    }
}

/// A port on which nobody listens.
pub(crate) fn dead_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Answers requests on one connection until it closes or breaks.
fn talk<S: Read + Write>(stream: S, answer: impl Fn(&Asked) -> Reply) {
    let mut stream = BufReader::new(stream);
    while let Some(asked) = read_request(&mut stream) {
        let reply = answer(&asked);
        if reply.gone {
            return;
        }
        if asked.method == "CONNECT" && reply.status == 200 {
            return;
        }
        let shown = asked.method != "HEAD" && reply.status != 304;
        let length = if shown { reply.body.len() } else { 0 };
        let mut bytes = format!(
            "HTTP/1.1 {} {}\r\nContent-Length: {length}\r\n",
            reply.status,
            reply.reason.as_deref().unwrap_or("X")
        );
        for (name, value) in &reply.headers {
            bytes.extend([name, ": ", value.as_str(), "\r\n"]);
        }
        if asked.header("connection") == Some("close") {
            bytes.push_str("Connection: close\r\n");
        }
        bytes.push_str("\r\n");
        let mut bytes = bytes.into_bytes();
        if shown {
            let end = reply.cut.unwrap_or(reply.body.len());
            bytes.extend_from_slice(&reply.body[..end]);
        }
        if stream.get_mut().write_all(&bytes).is_err() || reply.cut.is_some() {
            return;
        }
        stream.get_mut().flush().unwrap();
        if asked.header("connection") == Some("close") {
            return;
        }
    }
}

fn read_request(stream: &mut impl std::io::BufRead) -> Option<Asked> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let mut asked = Asked {
        method: words.next()?.to_owned(),
        target: words.next()?.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => asked
                .headers
                .push((name.to_owned(), value.trim().to_owned())),
            None => break,
        }
    }
    let length = asked.header("content-length").map(str::parse);
    asked.body = vec![0; length.and_then(Result::ok).unwrap_or(0)];
    stream.read_exact(&mut asked.body).ok()?;
    Some(asked)
}

/// A proxy that tunnels and forwards for whoever shows `Basic dTpTM0NSM1Q=`, to where the target says.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (log, end) = (seen.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), log) = (stream, log.clone()) else {
                    continue;
                };
                std::thread::spawn(move || relay(stream, &log));
            }
        });
        Self {
            port,
            seen,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn seen(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        self.thread.take().unwrap().join().unwrap();
    }
}

fn relay(stream: TcpStream, log: &Mutex<Vec<Asked>>) {
    let mut reader = BufReader::new(stream);
    let Some(asked) = read_request(&mut reader) else {
        return;
    };
    log.lock().unwrap().push(asked.clone());
    let client = reader.get_mut();
    if asked.header("proxy-authorization") != Some("Basic dTpTM0NSM1Q=") {
        let refused = b"HTTP/1.1 407 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return client.write_all(refused).unwrap();
    }
    let authority = asked.target.trim_start_matches("http://");
    let authority = authority.split('/').next().unwrap();
    let port = authority
        .rsplit(':')
        .next()
        .unwrap()
        .parse::<u16>()
        .unwrap();
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)) else {
        let refused = b"HTTP/1.1 502 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return client.write_all(refused).unwrap();
    };
    if asked.method == "CONNECT" {
        client.write_all(b"HTTP/1.1 200 X\r\n\r\n").unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to).is_ok());
    } else {
        let path = asked
            .target
            .trim_start_matches("http://")
            .trim_start_matches(authority);
        let head = format!("{} {path} HTTP/1.1\r\nHost: {authority}\r\n", asked.method);
        server.write_all(head.as_bytes()).unwrap();
        for (name, value) in &asked.headers {
            let own = ["host", "connection"].contains(&name.to_ascii_lowercase().as_str());
            if !own && !name.to_ascii_lowercase().starts_with("proxy-") {
                server
                    .write_all(format!("{name}: {value}\r\n").as_bytes())
                    .unwrap();
            }
        }
        server.write_all(b"Connection: close\r\n\r\n").unwrap();
        server.write_all(&asked.body).unwrap();
    }
    if std::io::copy(&mut server, client).is_err() {
        // Either side may go away in the middle.
    }
    client
        .shutdown(std::net::Shutdown::Both)
        .unwrap_or_default();
}

/// A certification authority of the test, and a server certificate for `localhost` that it signed.
pub(crate) struct Authority {
    pub(crate) root: rustls::pki_types::CertificateDer<'static>,
    pub(crate) root_pem: String,
    /// Certificate and key that it gave to a client.
    pub(crate) client_pem: String,
    chain: Vec<rustls::pki_types::CertificateDer<'static>>,
    key: Vec<u8>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let mut ca = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = ca.self_signed(&ca_key).unwrap();
        let issuer = rcgen::Issuer::new(ca, ca_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let server = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let server = server.signed_by(&key, &issuer).unwrap();
        let client_key = rcgen::KeyPair::generate().unwrap();
        let client = rcgen::CertificateParams::new(vec!["stager".to_owned()]).unwrap();
        let client = client.signed_by(&client_key, &issuer).unwrap();
        Self {
            root_pem: root.pem(),
            client_pem: format!("{}\n{}", client.pem(), client_key.serialize_pem()),
            root: root.der().clone(),
            chain: vec![server.der().clone()],
            key: key.serialize_der(),
        }
    }

    pub(crate) fn config(&self) -> rustls::ServerConfig {
        self.server(rustls::server::WebPkiClientVerifier::no_client_auth())
    }

    /// A server that talks only to clients with a certificate of this authority.
    pub(crate) fn config_for_clients(&self) -> rustls::ServerConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        self.server(verifier.build().unwrap())
    }

    fn server(
        &self,
        clients: Arc<dyn rustls::server::danger::ClientCertVerifier>,
    ) -> rustls::ServerConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(self.key.clone());
        rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(self.chain.clone(), key.into())
            .unwrap()
    }
}
