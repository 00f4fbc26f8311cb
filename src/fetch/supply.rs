//! What resolvers ask: documents go through the HTTP cache, artifacts into the store, where a later fetch finds them.
//! So a large artifact that a resolver must look into is downloaded once and never held in memory.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use crate::base::digest::UpstreamChecksum;
use crate::base::fault::Fault;
use crate::fetch::artifact::{self, NotStored};
use crate::fs::{self, FsError};
use crate::net::{Answered, Downloader, HttpUpstream};
use crate::store::Store;
use crate::upstream::{Answer, Content, Request, Upstream, UpstreamError, Want};

/// Threads that download artifacts for resolvers.
const WORKERS: usize = 4;

/// One artifact to answer, and whom.
struct Job {
    request: Request,
    checksum: UpstreamChecksum,
    reply: Sender<Answered>,
}

/// An [`Upstream`] with a store. Its threads end when it is dropped.
#[derive(Debug)]
pub struct Supply<'a> {
    http: &'a mut HttpUpstream,
    store: Store,
    jobs: Option<Sender<Job>>,
}

impl<'a> Supply<'a> {
    /// Answers documents from `http` and puts artifacts into `store`.
    pub const fn new(http: &'a mut HttpUpstream, store: Store) -> Self {
        Self {
            http,
            store,
            jobs: None,
        }
    }

    /// The queue of the threads, which are started when they are first needed.
    fn jobs(&mut self) -> Sender<Job> {
        if let Some(jobs) = &self.jobs {
            return jobs.clone();
        }
        let (sender, receiver) = channel();
        let queue = Arc::new(Mutex::new(receiver));
        for _ in 0..WORKERS {
            let (store, downloader) = (self.store.clone(), self.http.downloader());
            let queue = queue.clone();
            drop(std::thread::spawn(move || {
                work(&store, &downloader, &queue);
            }));
        }
        self.jobs = Some(sender.clone());
        sender
    }
}

impl Upstream for Supply<'_> {
    fn submit(&mut self, request: Request) {
        let Want::Artifact(checksum) = &request.want else {
            return self.http.submit(request);
        };
        let job = Job {
            checksum: checksum.clone(),
            reply: self.http.answer_later(),
            request,
        };
        if self.jobs().send(job).is_err() {
            // Its threads end with `self` only.
        }
    }

    fn next_answer(&mut self) -> Option<(Request, Answer)> {
        self.http.next_answer()
    }
}

fn work(store: &Store, downloader: &Downloader, queue: &Mutex<Receiver<Job>>) {
    loop {
        let next = queue.lock().ok().and_then(|queue| queue.recv().ok());
        let Some(job) = next else {
            return;
        };
        let answer = answer(store, downloader, &job);
        if job.reply.send((job.request, answer)).is_err() {
            return;
        }
    }
}

fn answer(store: &Store, downloader: &Downloader, job: &Job) -> Answer {
    let url = downloader
        .locate(&job.request)
        .map_err(|error| UpstreamError::NoAddress {
            reason: error.to_string(),
        })?;
    let not_stored = |cause: Box<dyn Fault>| UpstreamError::NotStored {
        url: url.clone(),
        cause,
    };
    let failed = |error: FsError| not_stored(error.into());
    let stored = match store.find(&job.checksum).map_err(failed)? {
        Some(stored) => stored,
        None => artifact::download(store, downloader, &job.request, &job.checksum, &())
            .map_err(|NotStored { cause, .. }| not_stored(cause))?,
    };
    let file = fs::open(&stored.path).map_err(failed)?;
    Ok(Content::Artifact(Box::new(file)))
}
