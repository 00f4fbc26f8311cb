//! Hashing a sequence of blobs on all cores while one thread reads them, in bounded memory. A small blob goes whole to
//! one worker that makes both digests; a large one passes two threads, one for each digest. When everything is small no
//! thread is started.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, ScopedJoinHandle};

use aws_lc_rs::digest as lc;

use crate::base::digest::{Digest, Digests, Sha512};
use crate::base::progress::{Progress, Unit};
use crate::bundle::BundleError;
use crate::fs::FsError;

/// Size of a buffer; a blob of at most this size is hashed by one worker.
const CHUNK: usize = 1 << 20;
/// Buffers in flight: what bounds the memory.
const BUFFERS: usize = 24;
/// Blobs of at most this size are hashed on the spot: handing them over costs as much.
const TINY: u64 = 4096;
/// Work of at most this size starts no threads.
const INLINE: u64 = 2 << 20;
/// Most workers for small blobs.
const MAX_WORKERS: usize = 8;

/// Which digests of a blob are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// SHA-256 and SHA-512.
    Both,
    /// SHA-256 only: enough to see that bytes are still those whose two digests are known.
    Sha256,
}

/// A digest that is ready, with the number its blob was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// SHA-256 of a blob.
    Sha256(usize, Digest),
    /// SHA-512 of a blob.
    Sha512(usize, Sha512),
}

/// Hashes blobs one after the other.
#[derive(Debug)]
pub struct HashPool {
    depth: Depth,
    threads: Option<Threads>,
    answers: Receiver<Answer>,
    answer: Sender<Answer>,
    scratch: Vec<u8>,
}

impl HashPool {
    /// For about `total` bytes of blobs.
    pub fn new(depth: Depth, total: u64) -> Self {
        let (answer, answers) = channel();
        let threads = (total > INLINE)
            .then(|| Threads::start(depth, &answer))
            .flatten();
        Self {
            depth,
            threads,
            answers,
            answer,
            scratch: Vec::new(),
        }
    }

    /// Takes in the blob with the number `index`: `fill` is called for each piece of its `size` bytes in order, then
    /// `tap` with the same piece. The first error of either ends it.
    pub fn feed<E>(
        &mut self,
        index: usize,
        size: u64,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<(), E>,
        tap: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match &mut self.threads {
            Some(threads) if size > TINY => {
                let mut left = size;
                while left > 0 {
                    let mut buffer = threads.buffer(left);
                    fill(buffer.filled_mut())?;
                    tap(buffer.filled())?;
                    left -= buffer.filled().len() as u64;
                    if size <= CHUNK as u64 {
                        threads.small(index, buffer);
                    } else {
                        threads.large(buffer);
                    }
                }
                if size > CHUNK as u64 {
                    threads.large_end(index);
                }
            }
            _ => self.inline(index, size, fill, tap)?,
        }
        Ok(())
    }

    fn inline<E>(
        &mut self,
        index: usize,
        size: u64,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<(), E>,
        tap: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut contexts = Contexts::new(self.depth);
        let mut left = size;
        while left > 0 {
            let now = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
            if self.scratch.len() < now {
                self.scratch.resize(now, 0);
            }
            let piece = self.scratch.get_mut(..now).unwrap_or_default();
            fill(piece)?;
            tap(piece)?;
            contexts.update(piece);
            left -= now as u64;
        }
        contexts.answer(index, &self.answer);
        Ok(())
    }

    /// The digests that are ready by now, in no particular order.
    pub fn ready(&self) -> Vec<Answer> {
        self.answers.try_iter().collect()
    }

    /// Waits for all digests that are still missing.
    pub fn finish(self) -> Vec<Answer> {
        let Self {
            threads,
            answers,
            answer,
            ..
        } = self;
        drop(answer);
        // Ending the threads closes the last senders.
        drop(threads);
        answers.iter().collect()
    }
}

/// The digests being made of one blob.
struct Contexts {
    sha256: lc::Context,
    sha512: Option<lc::Context>,
}

impl Contexts {
    fn new(depth: Depth) -> Self {
        Self {
            sha256: lc::Context::new(&lc::SHA256),
            sha512: (depth == Depth::Both).then(|| lc::Context::new(&lc::SHA512)),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    /// Both digests, where both were made.
    fn digests(self) -> Option<Digests> {
        Some(Digests {
            sha256: sha256(self.sha256),
            sha512: sha512(self.sha512?),
        })
    }

    fn answer(self, index: usize, to: &Sender<Answer>) {
        send(to, Answer::Sha256(index, sha256(self.sha256)));
        if let Some(context) = self.sha512 {
            send(to, Answer::Sha512(index, sha512(context)));
        }
    }
}

fn sha256(context: lc::Context) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    Digest::from_bytes(bytes)
}

fn sha512(context: lc::Context) -> Sha512 {
    let mut bytes = [0; 64];
    bytes.copy_from_slice(context.finish().as_ref());
    Sha512::from_bytes(bytes)
}

/// Sends; a receiver that is gone wants nothing more, and a missing answer is never taken for a good one.
fn send<T>(to: &Sender<T>, message: T) {
    if to.send(message).is_err() {}
}

/// A buffer that returns to its pool when the last user drops it.
#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    len: usize,
    home: Sender<Vec<u8>>,
}

impl Buffer {
    fn filled(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn filled_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        send(&self.home, std::mem::take(&mut self.bytes));
    }
}

/// A piece of a large blob for one digest's thread.
enum Piece {
    Bytes(Arc<Buffer>),
    End(usize),
}

#[derive(Debug)]
struct Threads {
    small: Option<Sender<(usize, Buffer)>>,
    lanes: Vec<Sender<Piece>>,
    handles: Vec<JoinHandle<()>>,
    free: Receiver<Vec<u8>>,
    home: Sender<Vec<u8>>,
    allocated: usize,
}

impl Threads {
    /// `None` when the system gives no threads: the caller then hashes itself.
    fn start(depth: Depth, answer: &Sender<Answer>) -> Option<Self> {
        let (home, free) = channel();
        let (small, jobs) = channel::<(usize, Buffer)>();
        let mut threads = Self {
            small: Some(small),
            lanes: Vec::new(),
            handles: Vec::new(),
            free,
            home,
            allocated: 0,
        };
        let jobs = Arc::new(Mutex::new(jobs));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores.min(MAX_WORKERS) {
            let (jobs, answer) = (Arc::clone(&jobs), answer.clone());
            threads.spawn(move || work(depth, &jobs, &answer))?;
        }
        threads.lane(answer, &lc::SHA256, |index, context| {
            Answer::Sha256(index, sha256(context))
        })?;
        if depth == Depth::Both {
            threads.lane(answer, &lc::SHA512, |index, context| {
                Answer::Sha512(index, sha512(context))
            })?;
        }
        Some(threads)
    }

    fn spawn(&mut self, body: impl FnOnce() + Send + 'static) -> Option<()> {
        let builder = std::thread::Builder::new().name("hash".to_owned());
        self.handles.push(builder.spawn(body).ok()?);
        Some(())
    }

    fn lane(
        &mut self,
        answer: &Sender<Answer>,
        algorithm: &'static lc::Algorithm,
        finish: fn(usize, lc::Context) -> Answer,
    ) -> Option<()> {
        let (to, pieces) = channel();
        let answer = answer.clone();
        self.lanes.push(to);
        self.spawn(move || {
            let mut context = lc::Context::new(algorithm);
            for piece in pieces {
                match piece {
                    Piece::Bytes(buffer) => context.update(buffer.filled()),
                    Piece::End(index) => {
                        let done = std::mem::replace(&mut context, lc::Context::new(algorithm));
                        send(&answer, finish(index, done));
                    }
                }
            }
        })
    }

    /// A buffer for the next piece of `left` bytes, waiting for one to come back when all are in use.
    fn buffer(&mut self, left: u64) -> Buffer {
        let len = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        let mut recycled = self.free.try_recv().ok();
        if recycled.is_none() && self.allocated >= BUFFERS {
            // `home` keeps the channel open, so this waits until a worker is done with a buffer.
            recycled = self.free.recv().ok();
        }
        let bytes = recycled.unwrap_or_else(|| {
            self.allocated += 1;
            vec![0; CHUNK]
        });
        Buffer {
            bytes,
            len,
            home: self.home.clone(),
        }
    }

    fn small(&self, index: usize, buffer: Buffer) {
        if let Some(small) = &self.small {
            send(small, (index, buffer));
        }
    }

    fn large(&self, buffer: Buffer) {
        let buffer = Arc::new(buffer);
        for lane in &self.lanes {
            send(lane, Piece::Bytes(Arc::clone(&buffer)));
        }
    }

    fn large_end(&self, index: usize) {
        for lane in &self.lanes {
            send(lane, Piece::End(index));
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.small = None;
        self.lanes.clear();
        for handle in self.handles.drain(..) {
            // A worker that died sent no answer, which its caller notices.
            if handle.join().is_err() {}
        }
    }
}

fn work(depth: Depth, jobs: &Mutex<Receiver<(usize, Buffer)>>, answer: &Sender<Answer>) {
    loop {
        let job = match jobs.lock() {
            Ok(jobs) => jobs.recv(),
            Err(_poisoned) => return,
        };
        let Ok((index, buffer)) = job else {
            return;
        };
        let mut contexts = Contexts::new(depth);
        contexts.update(buffer.filled());
        contexts.answer(index, answer);
    }
}

/// Digests and size of each file, in the given order. A file that becomes shorter meanwhile is an error.
///
/// Several files are hashed at a time, each by one thread; one that is larger than a core's share of all bytes passes
/// one thread per digest instead, so that no core waits for it.
pub fn digest_files(
    files: &[PathBuf],
    progress: &dyn Progress,
) -> Result<Vec<(Digests, u64)>, BundleError> {
    let mut order = Vec::with_capacity(files.len());
    for (index, path) in files.iter().enumerate() {
        order.push((crate::fs::size(path)?, index, path.as_path()));
    }
    let total: u64 = order.iter().map(|(size, ..)| size).sum();
    progress.begin("Hashing", total, Unit::Bytes);
    order.sort_by_key(|(size, ..)| std::cmp::Reverse(*size));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = total / cores.min(MAX_WORKERS) as u64;
    let (huge, others) = order.split_at(order.partition_point(|(size, ..)| *size > share));
    let mut found: BTreeMap<usize, (Digests, u64)> = BTreeMap::new();
    for (size, index, path) in huge {
        found.insert(*index, (by_digest(path, *size, progress)?, *size));
    }
    let next = AtomicUsize::new(0);
    let hashed = std::thread::scope(|scope| {
        let worker = || by_file(others, &next, progress);
        let workers: Vec<_> = (0..cores.min(MAX_WORKERS).min(others.len()))
            .map(|_number| scope.spawn(worker))
            .collect();
        let joined = workers.into_iter().map(ScopedJoinHandle::join);
        joined
            .map(|end| end.unwrap_or(Err(BundleError::HashingStopped)))
            .collect::<Result<Vec<_>, _>>()
    })?;
    found.extend(hashed.into_iter().flatten());
    progress.end();
    Ok(found.into_values().collect())
}

/// A file on the way to its digests: size, position in the caller's list, path.
type Listed<'a> = (u64, usize, &'a Path);

/// Hashes one file after the other until none is left.
fn by_file(
    files: &[Listed<'_>],
    next: &AtomicUsize,
    progress: &dyn Progress,
) -> Result<BTreeMap<usize, (Digests, u64)>, BundleError> {
    let mut out = BTreeMap::new();
    let mut buffer = vec![0; CHUNK];
    while let Some((size, index, path)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
        let mut file = crate::fs::open(path)?;
        let mut contexts = Contexts::new(Depth::Both);
        let mut left = *size;
        while left > 0 {
            let now = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
            let piece = buffer.get_mut(..now).unwrap_or_default();
            file.read_exact(piece)
                .map_err(crate::fs::context("read", path))?;
            contexts.update(piece);
            progress.advance(now as u64);
            left -= now as u64;
        }
        let digests = contexts.digests().ok_or(BundleError::HashingStopped)?;
        out.insert(*index, (digests, *size));
    }
    Ok(out)
}

/// Hashes one file with a thread for each digest.
fn by_digest(path: &Path, size: u64, progress: &dyn Progress) -> Result<Digests, BundleError> {
    let mut file = crate::fs::open(path)?;
    let mut pool = HashPool::new(Depth::Both, size);
    pool.feed(
        0,
        size,
        &mut |piece| {
            file.read_exact(piece)
                .map_err(crate::fs::context("read", path))
        },
        &mut |piece| {
            progress.advance(piece.len() as u64);
            Ok::<(), FsError>(())
        },
    )?;
    let (mut sha256, mut sha512) = (None, None);
    for answer in pool.finish() {
        match answer {
            Answer::Sha256(_, digest) => sha256 = Some(digest),
            Answer::Sha512(_, digest) => sha512 = Some(digest),
        }
    }
    match (sha256, sha512) {
        (Some(sha256), Some(sha512)) => Ok(Digests { sha256, sha512 }),
        _ => Err(BundleError::HashingStopped),
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, CHUNK, Depth, HashPool, digest_files};
    use crate::base::digest::Digests;
    use crate::base::progress::NoProgress;

    /// Feeds blobs of these sizes and checks every answer, with and without threads.
    fn check(sizes: &[usize], total: u64) {
        let mut pool = HashPool::new(Depth::Both, total);
        let blob = |index: usize| -> Vec<u8> {
            let mut bytes = vec![u8::try_from(index % 251).unwrap(); sizes[index]];
            bytes.iter_mut().step_by(1000).for_each(|byte| *byte = 7);
            bytes
        };
        for (index, size) in sizes.iter().enumerate() {
            let bytes = blob(index);
            let (mut at, mut tapped) = (0, 0);
            pool.feed::<()>(
                index,
                *size as u64,
                &mut |piece| {
                    piece.copy_from_slice(&bytes[at..at + piece.len()]);
                    at += piece.len();
                    Ok(())
                },
                &mut |piece| {
                    tapped += piece.len();
                    Ok(())
                },
            )
            .unwrap();
            assert_eq!((at, tapped), (*size, *size));
        }
        let answers = pool.finish();
        assert_eq!(answers.len(), sizes.len() * 2);
        for answer in answers {
            match answer {
                Answer::Sha256(index, digest) => {
                    assert_eq!(digest, Digests::of(&blob(index)).sha256, "{index}");
                }
                Answer::Sha512(index, digest) => {
                    assert_eq!(digest, Digests::of(&blob(index)).sha512, "{index}");
                }
            }
        }
    }

    #[test]
    fn every_way_of_hashing_gives_the_digests() {
        let sizes = [
            0,
            1,
            4096,
            4097,
            CHUNK,
            CHUNK + 1,
            3 * CHUNK,
            100,
            30 * CHUNK,
            5,
        ];
        check(&sizes, 0);
        check(&sizes, u64::MAX);
        check(&[10_000; 300], u64::MAX);
    }

    #[test]
    fn files_are_hashed_in_the_callers_order_whatever_their_sizes() {
        let folder = std::env::temp_dir().join(format!("stage-hash-{}", std::process::id()));
        crate::fs::create_dir_all(&folder, 0o755).unwrap();
        for sizes in [
            vec![0, 5, 3 * CHUNK, 70, CHUNK],
            vec![9; 40],
            vec![CHUNK + 1],
            vec![0],
            Vec::new(),
        ] {
            let mut files = Vec::new();
            for (number, size) in sizes.iter().enumerate() {
                let path = folder.join(number.to_string());
                let byte = u8::try_from(number).unwrap();
                crate::fs::write_atomic(&path, &vec![byte; *size], 0o644).unwrap();
                files.push(path);
            }
            let found = digest_files(&files, &NoProgress).unwrap();
            let expected: Vec<_> = files
                .iter()
                .zip(&sizes)
                .map(|(path, size)| {
                    let bytes = crate::fs::read(path, u64::MAX).unwrap();
                    (Digests::of(&bytes), *size as u64)
                })
                .collect();
            assert_eq!(found, expected);
        }
        digest_files(&[folder.join("none")], &NoProgress).unwrap_err();
        crate::fs::remove_tree(&folder).unwrap();
    }

    #[test]
    fn an_error_ends_the_blob_and_leaves_no_answer() {
        let mut pool = HashPool::new(Depth::Sha256, u64::MAX);
        let failed = pool.feed(0, 5000, &mut |_piece| Err("read"), &mut |_piece| Ok(()));
        assert_eq!(failed, Err("read"));
        assert!(pool.finish().is_empty());
    }
}
