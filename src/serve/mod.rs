//! `stage repo serve`: a small read-only web server for laboratories, tests and small sites. Plain HTTP/1.1, GET and
//! HEAD, one generation per request. TLS and everything larger is a real web server's work; any can serve `current/`.
//!
//! One thread per connection, at most [`Options::connections`] of them; who is slow holds only its own, and not for
//! longer than the time-outs.

pub mod accept;
pub mod http;
pub mod site;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use std::time::Duration;

use crate::base::fault::{Code, Fault, Kind};
use crate::serve::http::Connection;
use crate::serve::site::Site;

/// Codes of this module.
pub const CODES: &[&Code] = &[&LISTEN];

static LISTEN: Code = Code::new("serve-listen", Kind::Failed);

#[expect(
    clippy::disallowed_types,
    reason = "this module is the one that listens"
)]
type Listener = std::net::TcpListener;

/// How long a client may take for its request's head, and for reading each piece of an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address, escaped.
        address: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Fault for ServeError {
    fn code(&self) -> &'static Code {
        &LISTEN
    }
}

/// How to serve.
#[derive(Debug, Clone)]
pub struct Options {
    /// The repository.
    pub repository: PathBuf,
    /// Most connections at a time; a further one waits until one ends.
    pub connections: usize,
}

/// A server that listens but does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    address: SocketAddr,
    options: Options,
}

impl Server {
    /// Listens on `address`, such as `127.0.0.1:8080`; port 0 takes any free one.
    pub fn bind(address: &str, options: Options) -> Result<Self, ServeError> {
        let fail = |source| ServeError::Listen {
            address: crate::base::text::escaped(address),
            source,
        };
        let listener = Listener::bind(address).map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        Ok(Self {
            listener,
            address,
            options,
        })
    }

    /// The address that it really listens on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the process ends.
    pub fn run(self) -> Result<(), ServeError> {
        let site = Arc::new(Site::new(self.options.repository));
        let room = Arc::new(Room::new(self.options.connections));
        for stream in self.listener.incoming() {
            // A client that went away before it was accepted, or a moment without file descriptors.
            let Ok(stream) = stream else {
                room.pause();
                continue;
            };
            let timed = stream
                .set_read_timeout(Some(PATIENCE))
                .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
                .and_then(|()| stream.set_nodelay(true));
            if timed.is_err() {
                continue;
            }
            let place = room.enter();
            let site = Arc::clone(&site);
            let work = move || {
                Connection::new(stream).run(&site);
                drop(place);
            };
            if std::thread::Builder::new().spawn(work).is_err() {
                // No thread to be had: the connection was dropped with the closure, the client tries again.
                room.pause();
            }
        }
        Ok(())
    }
}

/// Counts connections and lets no more in than there is room for.
#[derive(Debug)]
struct Room {
    taken: std::sync::Mutex<usize>,
    left: std::sync::Condvar,
    most: usize,
}

/// A place in a [`Room`], free again when dropped.
#[derive(Debug)]
struct Place(Arc<Room>);

impl Room {
    const fn new(most: usize) -> Self {
        Self {
            taken: std::sync::Mutex::new(0),
            left: std::sync::Condvar::new(),
            most,
        }
    }

    /// Waits for a free place.
    fn enter(self: &Arc<Self>) -> Place {
        let mut taken = self
            .taken
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        while *taken >= self.most {
            taken = self
                .left
                .wait(taken)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        *taken += 1;
        Place(Arc::clone(self))
    }

    /// Waits a moment, or until somebody leaves.
    fn pause(&self) {
        let taken = self
            .taken
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        drop(self.left.wait_timeout(taken, Duration::from_millis(50)));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self
            .0
            .taken
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *taken -= 1;
        drop(taken);
        self.0.left.notify_one();
    }
}
