//! The network: the only module that opens client sockets.
//!
//! One thread with an async runtime does all requests; the rest of the program talks to it through blocking calls.
//! [`HttpUpstream`] answers resolvers (many requests at a time, answers in any order, cached), [`Downloader`] gives
//! `fetch` streams, [`HttpUpstream::exchange`] sends what others are to have, [`HttpUpstream::preflight`] names every host that cannot be reached before the work starts.
//!
//! What leaves this host is decided in `client`: only `http` and `https`, only allowed hosts, credentials only to the
//! address they are configured for, never from `https` to `http`; every host is recorded ([`HttpUpstream::egress`]).
//! No secret is ever printed: URLs are shown without user, password and query, and every message passes
//! [`settings::Settings::masked`].

mod cache;
mod client;
mod credential;
mod download;
mod get;
pub mod loopback;
pub mod names;
mod preflight;
pub mod proxy;
pub mod roots;
pub mod served;
pub mod settings;
pub mod upload;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::thread::JoinHandle;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use url::Url;

use crate::base::egress::Contact;
use crate::base::fault::{Code, Fault, Kind};
use crate::fs::FsError;
use crate::net::client::Engine;
use crate::net::download::Start;
pub use crate::net::download::{Body, Resume};
pub use crate::net::get::Answered;
pub use crate::net::preflight::Unreachable;
use crate::net::settings::{Settings, shown};
use crate::upstream::{Answer, Request, SafeUrl, UPSTREAM_ADDRESS, Upstream, UpstreamError};

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &UPSTREAM_URL,
    &UPSTREAM_PROXY,
    &UPSTREAM_ROOTS,
    &UPSTREAM_UNREACHABLE,
    &UPSTREAM_START,
];

static UPSTREAM_URL: Code = Code::new("upstream-url", Kind::Failed);
static UPSTREAM_PROXY: Code = Code::new("upstream-proxy", Kind::Usage);
static UPSTREAM_ROOTS: Code = Code::new("upstream-roots", Kind::Usage);
static UPSTREAM_UNREACHABLE: Code = Code::new("upstream-unreachable", Kind::Failed);
static UPSTREAM_START: Code = Code::new("upstream-start", Kind::Failed);

/// Threads that decode answers, keep them, and look up host names.
const BLOCKING_THREADS: usize = 8;

/// Why the network cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// Nothing says where an upstream is.
    #[error("no address of upstream {upstream} is configured")]
    NoAddress {
        /// Its name.
        upstream: String,
    },
    /// An upstream's address is no `http` or `https` URL of a folder.
    #[error(
        "the configured address of upstream {upstream} is not an http or https URL without query"
    )]
    Address {
        /// Its name.
        upstream: String,
    },
    /// A path that leads out of its upstream, or a file's URL that is none.
    #[error("{text} is not below its upstream's address, or not an http or https URL")]
    Url {
        /// What was asked for, quoted and escaped.
        text: String,
    },
    /// A proxy setting that cannot be used.
    #[error("the proxy in {origin} cannot be used: {reason}")]
    Proxy {
        /// Variable or setting.
        origin: &'static str,
        /// Why; never the value, which may hold a password.
        reason: String,
    },
    /// A file of certification authorities that cannot be used.
    #[error("the certification authorities in {origin} cannot be used: {reason}")]
    Roots {
        /// File or setting, quoted and escaped.
        origin: String,
        /// Why.
        reason: String,
    },
    /// A client certificate that cannot be used.
    #[error("the client certificate for <{prefix}> cannot be used")]
    Certificate {
        /// The address it is for.
        prefix: String,
    },
    /// Hosts that are needed and cannot be reached.
    #[error("{} of the hosts that are needed cannot be reached", hosts.len())]
    Unreachable {
        /// Each of them.
        hosts: Vec<Unreachable>,
    },
    /// The client or its thread cannot be started.
    #[error("the network client cannot be started: {reason}")]
    Start {
        /// What the system said.
        reason: String,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl Fault for NetError {
    fn code(&self) -> &'static Code {
        match self {
            Self::NoAddress { .. } | Self::Address { .. } => &UPSTREAM_ADDRESS,
            Self::Url { .. } => &UPSTREAM_URL,
            Self::Proxy { .. } => &UPSTREAM_PROXY,
            Self::Roots { .. } | Self::Certificate { .. } => &UPSTREAM_ROOTS,
            Self::Unreachable { .. } => &UPSTREAM_UNREACHABLE,
            Self::Start { .. } => &UPSTREAM_START,
            Self::Fs(error) => error.code(),
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::NoAddress { .. } => vec![(
                "set",
                "the registry in stage.toml, or in this host's own client configuration".to_owned(),
            )],
            Self::Unreachable { hosts } => hosts.iter().map(|h| ("host", h.to_string())).collect(),
            Self::Fs(error) => error.facts(),
            Self::Address { .. }
            | Self::Url { .. }
            | Self::Proxy { .. }
            | Self::Roots { .. }
            | Self::Certificate { .. }
            | Self::Start { .. } => Vec::new(),
        }
    }
}

/// What the network thread is asked to do.
enum Command {
    Get(Request),
    Stream(Start),
    Probe(Vec<Url>, blocking::Sender<Vec<Unreachable>>),
    Exchange(upload::Start),
    End,
}

/// The client. Dropped, it stops what is under way and waits until answers are kept.
pub struct HttpUpstream {
    engine: Arc<Engine>,
    commands: mpsc::UnboundedSender<Command>,
    replies: blocking::Sender<Answered>,
    answers: blocking::Receiver<Answered>,
    unanswered: usize,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for HttpUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpUpstream")
            .field("settings", &self.engine.settings)
            .field("unanswered", &self.unanswered)
            .finish_non_exhaustive()
    }
}

impl HttpUpstream {
    /// Starts the client and its thread. Contacts nobody.
    pub fn new(settings: Settings) -> Result<Self, NetError> {
        let engine = Arc::new(Engine::new(settings)?);
        let failed = |error: std::io::Error| NetError::Start {
            reason: error.to_string(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()
            .map_err(failed)?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let (sender, answers) = blocking::channel();
        let work = engine.clone();
        let replies = sender.clone();
        let thread = std::thread::Builder::new()
            .name("net".to_owned())
            .spawn(move || serve(&runtime, &work, inbox, &sender))
            .map_err(failed)?;
        Ok(Self {
            engine,
            commands,
            replies,
            answers,
            unanswered: 0,
            thread: Some(thread),
        })
    }

    /// The settings it works with.
    pub fn settings(&self) -> &Settings {
        &self.engine.settings
    }

    /// What the cache has for a request. Contacts nobody.
    pub fn kept(&self, request: &Request) -> Option<Vec<u8>> {
        get::kept(&self.engine, request)
    }

    /// Every host contacted so far, sorted.
    pub fn egress(&self) -> Vec<Contact> {
        self.engine.egress()
    }

    /// Counts a request as open that the caller answers itself, from any thread and by this channel, exactly once.
    pub fn answer_later(&mut self) -> blocking::Sender<Answered> {
        self.unanswered += 1;
        self.replies.clone()
    }

    /// A handle for streams that other threads may use, as long as this client lives.
    pub fn downloader(&self) -> Downloader {
        Downloader {
            commands: self.commands.clone(),
            engine: self.engine.clone(),
        }
    }

    /// Contacts the host of each of `urls` at the same time; an error names all that do not answer within the time for
    /// connecting. A host whose upstreams have a mirror that answers is not missed. Does nothing offline.
    pub fn preflight(&self, urls: &[Url]) -> Result<(), NetError> {
        if self.engine.settings.offline {
            return Ok(());
        }
        let mut hosts = Vec::new();
        for host in self.probe(urls)? {
            match self.engine.settings.mirrors_of(&host.host, host.port) {
                None => hosts.push(host),
                Some(mirrors) => {
                    let silent = self.probe(&mirrors)?;
                    let origins = mirrors.iter().map(|url| url.origin().ascii_serialization());
                    if silent.len() < origins.collect::<BTreeSet<_>>().len() {
                        let here = |url: &&Url| {
                            url.host_str() == Some(host.host.as_str())
                                && url.port_or_known_default() == Some(host.port)
                        };
                        urls.iter()
                            .filter(here)
                            .for_each(|url| self.engine.is_down(url));
                    } else {
                        hosts.push(host);
                        hosts.extend(silent);
                    }
                }
            }
        }
        if hosts.is_empty() {
            return Ok(());
        }
        Err(NetError::Unreachable { hosts })
    }

    /// Those hosts of `urls` that do not answer.
    fn probe(&self, urls: &[Url]) -> Result<Vec<Unreachable>, NetError> {
        let (sender, receiver) = blocking::channel();
        if self
            .commands
            .send(Command::Probe(urls.to_vec(), sender))
            .is_err()
        {
            return Err(ended());
        }
        receiver.recv().map_err(|_gone| ended())
    }
}

fn ended() -> NetError {
    NetError::Start {
        reason: "its thread has ended".to_owned(),
    }
}

/// The network thread: starts a task for each command until the client is dropped.
fn serve(
    runtime: &Runtime,
    engine: &Arc<Engine>,
    mut inbox: mpsc::UnboundedReceiver<Command>,
    answers: &blocking::Sender<Answered>,
) {
    runtime.block_on(async {
        while let Some(command) = inbox.recv().await {
            let engine = engine.clone();
            match command {
                Command::End => return,
                Command::Get(request) => {
                    drop(tokio::spawn(get::answer(engine, request, answers.clone())));
                }
                Command::Stream(start) => drop(tokio::spawn(download::run(engine, start))),
                Command::Exchange(start) => drop(tokio::spawn(upload::run(engine, start))),
                Command::Probe(urls, reply) => drop(tokio::spawn(async move {
                    if reply.send(preflight::run(engine, urls).await).is_err() {
                        // Whoever asked is gone.
                    }
                })),
            }
        }
    });
}

impl Upstream for HttpUpstream {
    fn submit(&mut self, request: Request) {
        if self.commands.send(Command::Get(request)).is_ok() {
            self.unanswered += 1;
        }
    }

    fn next_answer(&mut self) -> Option<(Request, Answer)> {
        if self.unanswered == 0 {
            return None;
        }
        let answer = self.answers.recv().ok()?;
        self.unanswered -= 1;
        Some(answer)
    }
}

impl Drop for HttpUpstream {
    fn drop(&mut self) {
        let ending = self.commands.send(Command::End).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| ending)
            && thread.join().is_err()
        {
            // It has panicked, which the panic hook has told.
        }
    }
}

/// Starts streams, from any thread.
#[derive(Clone)]
pub struct Downloader {
    commands: mpsc::UnboundedSender<Command>,
    engine: Arc<Engine>,
}

impl fmt::Debug for Downloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Downloader").finish_non_exhaustive()
    }
}

impl Downloader {
    /// The URL of a request.
    pub fn locate(&self, request: &Request) -> Result<SafeUrl, NetError> {
        Ok(SafeUrl::new(self.engine.settings.url_for(request)?))
    }

    /// Every URL of a request, in the order in which they are to be asked.
    pub fn locate_all(&self, request: &Request) -> Result<Vec<SafeUrl>, NetError> {
        let urls = self.engine.settings.urls_for(request)?;
        let ordered = self.engine.ordered(urls).into_iter();
        Ok(ordered.map(SafeUrl::new).collect())
    }

    /// Starts a download of at most `limit` bytes and waits for the beginning of the answer. Nothing of it is cached.
    ///
    /// `quick`: one attempt is enough, because another address can be asked.
    pub fn open(
        &self,
        url: &SafeUrl,
        limit: u64,
        resume: Option<Resume>,
        quick: bool,
    ) -> Result<Body, UpstreamError> {
        let gone = || UpstreamError::Failed {
            url: shown(url.with_secrets()),
            reason: "the network client has ended".to_owned(),
        };
        let (reply, receiver) = blocking::channel();
        let start = Start {
            url: url.with_secrets().clone(),
            limit,
            resume,
            quick,
            reply,
        };
        self.commands
            .send(Command::Stream(start))
            .map_err(|_gone| gone())?;
        receiver.recv().map_err(|_gone| gone())?
    }
}
