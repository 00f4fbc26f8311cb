//! What an import would meet, before anything is written: the check of the first hour on a new host, and the dry run.
//!
//! Every question is asked, also after one had a bad answer, and the bundle is verified to its last byte. Before the
//! repository exists, the place where it will be is looked at, and a trust root that is given stands for the pinned one.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::digest::Digest;
use crate::base::fault::Fault;
use crate::base::progress::Progress;
use crate::base::section::Section;
use crate::base::text::shown;
use crate::base::time::Timestamp;
use crate::eco::{Publishing, ReleaseSigner, SignedIndex};
use crate::fs;
use crate::import::cas::Cas;
use crate::import::generation::{self, Loaded};
use crate::import::init::DEFAULT_BASE_URL;
use crate::import::layout::Layout;
use crate::import::policy::Circumstances;
use crate::import::quarantine::SLACK;
use crate::import::state::{self, Memory, State};
use crate::import::vulns::Open;
use crate::import::{ImportError, ImportRequest, archives, entry_of, policy, safety};
use crate::trust::proof::SignedProof;
use crate::trust::root::TrustRoot;
use crate::verify::report::Recorder;
use crate::verify::{self, Bundle, Judge, Verified};

/// How a question was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Nothing stands in the way.
    Ok,
    /// Worth knowing, or not known.
    Note,
    /// The import would be refused.
    Problem,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What was asked.
    pub name: &'static str,
    /// How it was answered.
    pub answer: Answer,
    /// The answer; safe to print.
    pub value: String,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Preview {
    /// The table.
    pub rows: Vec<Row>,
    /// Why the import would be refused.
    pub faults: Vec<Box<dyn Fault>>,
    /// Bytes that it needs, where that is known.
    pub needed: Option<u64>,
    /// Bytes that are free.
    pub available: Option<u64>,
    /// The generation that it would make; `None` when it would make none.
    pub generation: Option<u64>,
}

/// Asks everything about an import of the bundle that `reader` delivers, from `file` if it is one. `trust` is the root to judge by where there is
/// no repository yet. Writes nothing.
pub fn preview<R: Read>(
    reader: R,
    file: Option<&Path>,
    request: &ImportRequest<'_>,
    trust: Option<&TrustRoot>,
    progress: &dyn Progress,
) -> Preview {
    let layout = Layout::new(request.repository);
    let mut preview = Preview::default();
    preview.user(request.allow_root);
    let memory = preview.repository(&layout);
    preview.place(&layout, memory.is_some());
    preview.file_system(&layout);
    preview.clock(memory.as_ref(), request.now);
    let root = preview.root(memory.as_ref(), trust);
    let Some(root) = root else {
        preview.unjudged(reader, progress);
        return preview;
    };
    let bundle = preview.bundle(reader, &layout, (memory.as_ref(), &root), request, progress);
    if let Some(bundle) = bundle {
        preview.space(&layout, &bundle);
        preview.union(&layout, (memory.as_ref(), &root), &bundle, request.now);
        let demanded = memory.as_ref().is_some_and(|m| m.state.lint_imports);
        let reads_archives = request.lint || demanded;
        if reads_archives {
            preview.archives(&layout, file, &bundle, request, progress);
        }
        if let Some(text) = memory.as_ref().and_then(|m| m.state.policy.as_deref()) {
            let with = Circumstances {
                reads_archives,
                now: request.now,
            };
            preview.policy(text, (&layout, file), &bundle, with);
        }
    }
    preview
}

impl Preview {
    fn row(&mut self, name: &'static str, answer: Answer, value: impl Into<String>) {
        let value = value.into();
        self.rows.push(Row {
            name,
            answer,
            value,
        });
    }

    fn problem(&mut self, name: &'static str, fault: impl Into<Box<dyn Fault>>) {
        let fault = fault.into();
        self.row(name, Answer::Problem, fault.to_string());
        self.faults.push(fault);
    }

    fn user(&mut self, allow_root: bool) {
        let user = fs::effective_user();
        match safety::check_user(allow_root) {
            Ok(()) => self.row("user", Answer::Ok, format!("uid {user}")),
            Err(error) => self.problem("user", error),
        }
        let umask = umask().unwrap_or_else(|| "not known".to_owned());
        let value = format!("{umask}; modes are set and do not depend on it");
        self.row("umask", Answer::Ok, value);
    }

    fn repository(&mut self, layout: &Layout) -> Option<Memory> {
        match state::read(layout) {
            Ok(memory) => {
                let lines = memory.journal.entries.len();
                let generation = memory.state.generation;
                let value = format!("generation {generation}, journal of {lines} lines agrees");
                self.row("repository", Answer::Ok, value);
                Some(memory)
            }
            Err(ImportError::NoRepository { .. }) => {
                let value = "not there yet; `stage repo init` makes it";
                self.row("repository", Answer::Note, value);
                None
            }
            Err(error) => {
                self.problem("repository", error);
                None
            }
        }
    }

    fn place(&mut self, layout: &Layout, is_made: bool) {
        let checked = if is_made {
            safety::check(layout)
        } else if fs::exists(fs::parent(layout.root())) {
            safety::check_place(layout.root())
        } else {
            safety::check_place(&existing(layout.root()).join("repository"))
        };
        match checked {
            Ok(()) => {
                let value = "of this user, no links, writable by nobody else";
                self.row("rights", Answer::Ok, value);
            }
            Err(error) => self.problem("rights", error),
        }
        if is_made {
            match fs::is_locked(&layout.lock()) {
                Ok(false) => self.row("lock", Answer::Ok, "no other writer"),
                Ok(true) => {
                    let path = layout.lock();
                    self.problem("lock", ImportError::from(fs::FsError::Locked { path }));
                }
                Err(error) => self.problem("lock", ImportError::from(error)),
            }
        }
    }

    fn file_system(&mut self, layout: &Layout) {
        let at = existing(layout.root());
        match fs::file_system(&at) {
            Ok(found) => {
                let value = format!("{} at {}", found.name, shown(&at));
                if found.read_only {
                    self.problem(
                        "file system",
                        refuse(&at, "is on a file system mounted read-only"),
                    );
                } else if !found.has_links {
                    self.problem(
                        "file system",
                        refuse(&at, "is on a file system without hard links"),
                    );
                } else if found.is_remote {
                    let value = format!(
                        "{value}: over a network, locks and power cuts depend on its server"
                    );
                    self.row("file system", Answer::Note, value);
                } else {
                    self.row("file system", Answer::Ok, value);
                }
            }
            Err(error) => self.problem("file system", ImportError::from(error)),
        }
        self.available = fs::available(&at).ok();
    }

    fn clock(&mut self, memory: Option<&Memory>, now: Timestamp) {
        let floor = memory.and_then(|m| m.state.time_floor);
        match floor {
            Some(floor) if now < floor => {
                self.problem(
                    "clock",
                    ImportError::from(verify::VerifyError::Clock { now, floor }),
                );
            }
            Some(floor) => {
                self.row(
                    "clock",
                    Answer::Ok,
                    format!("{now}, not before the newest signed time {floor}"),
                );
            }
            None => self.row(
                "clock",
                Answer::Note,
                format!("{now}; nothing signed to compare it with yet"),
            ),
        }
    }

    fn root(&mut self, memory: Option<&Memory>, trust: Option<&TrustRoot>) -> Option<TrustRoot> {
        let pinned = memory.map(|m| &m.root);
        if let (Some(pinned), Some(given)) = (pinned, trust)
            && pinned.fingerprint() != given.fingerprint()
        {
            let (pinned, given) = (pinned.fingerprint(), given.fingerprint());
            self.problem("trust root", ImportError::OtherRoot { pinned, given });
            return None;
        }
        let Some(root) = pinned.or(trust) else {
            let value = "none is pinned; give --trust to judge signatures";
            self.row("trust root", Answer::Note, value);
            return None;
        };
        let word = if pinned.is_some() {
            "pinned"
        } else {
            "given, not pinned yet"
        };
        let value = format!("version {}, {word}: {}", root.version(), root.fingerprint());
        let answer = if pinned.is_some() {
            Answer::Ok
        } else {
            Answer::Note
        };
        self.row("trust root", answer, value);
        Some(root.clone())
    }

    /// Without a trust root, whether the bundle is whole is all that can be said.
    fn unjudged<R: Read>(&mut self, reader: R, progress: &dyn Progress) {
        match verify::integrity(reader, progress) {
            Ok(intact) => {
                let statement = &intact.statement;
                let value = format!(
                    "whole: channel {}, serial {}; no signature was judged",
                    statement.channel, statement.serial
                );
                self.row("bundle", Answer::Note, value);
            }
            Err(error) => self.problem("bundle", ImportError::from(error)),
        }
    }

    fn bundle<R: Read>(
        &mut self,
        reader: R,
        layout: &Layout,
        (memory, root): (Option<&Memory>, &TrustRoot),
        request: &ImportRequest<'_>,
        progress: &dyn Progress,
    ) -> Option<Verified<Bundle>> {
        let cas = Cas::new(layout.cas());
        let mut seen = memory.map(|m| m.state.seen());
        let allowed = memory.is_some_and(|m| m.state.allow_expired_imports);
        if request.allow_expired.is_some() && !allowed {
            self.problem("expiry", ImportError::ExpiredNotAllowed);
        }
        if let Some(seen) = &mut seen {
            seen.allow_expired = request.allow_expired.is_some() && allowed;
        }
        let judge = Judge {
            root,
            state: seen.as_ref(),
            now: request.now,
            approvals: request.approvals,
            proof: request.proof,
            have: &|digest: &Digest| cas.rehash(digest),
        };
        match verify::bundle(reader, &judge, &mut Recorder::default(), progress) {
            Ok(bundle) => {
                let statement = &bundle.statement;
                let value = format!(
                    "verified: channel {}, serial {}, expires {}",
                    statement.channel, statement.serial, statement.expires
                );
                self.row("bundle", Answer::Ok, value);
                self.approvals(memory, &bundle);
                self.proof(memory, &bundle);
                Some(bundle)
            }
            Err(error) => {
                self.problem("bundle", ImportError::from(error));
                None
            }
        }
    }

    /// What its signers said about it, and whether that is enough for this repository.
    fn approvals(&mut self, memory: Option<&Memory>, bundle: &Bundle) {
        let missing: Vec<&str> = bundle.not_approved().map(|s| s.person.as_str()).collect();
        let checked = memory.map_or(Ok(()), |memory| memory.state.check_approved(bundle));
        match checked {
            Err(error) => self.problem("approvals", error),
            Ok(()) if missing.is_empty() => {
                let value = "one for every signature";
                self.row("approvals", Answer::Ok, value);
            }
            Ok(()) => {
                let value = format!("none by {}", missing.join(", "));
                self.row("approvals", Answer::Note, value);
            }
        }
    }

    /// Whether it was proved that it works, and whether this repository asks.
    fn proof(&mut self, memory: Option<&Memory>, bundle: &Bundle) {
        let demanded = memory.is_some_and(|memory| memory.state.require_proof);
        match (state::check_proved(bundle), &bundle.proof) {
            (Err(error), _) if demanded => self.problem("proof", error),
            (Err(_), None) => self.row("proof", Answer::Note, "none came with it"),
            (Err(_), Some(signed)) => self.row("proof", Answer::Note, signed.words()),
            (Ok(()), signed) => {
                let words = signed.as_ref().map(SignedProof::words);
                self.row("proof", Answer::Ok, words.unwrap_or_default());
            }
        }
    }

    fn space(&mut self, layout: &Layout, bundle: &Bundle) {
        let cas = Cas::new(layout.cas());
        let blobs = bundle.manifest.carried_blobs();
        let fresh = blobs
            .iter()
            .filter(|b| cas.size(&b.digests.sha256) != Some(b.size));
        let needed = fresh.fold(SLACK, |sum, blob| sum.saturating_add(blob.size));
        self.needed = Some(needed);
        let Some(available) = self.available else {
            return self.row("space", Answer::Note, format!("{needed} bytes needed"));
        };
        if needed > available {
            let error = fs::no_room(layout.root(), needed, available);
            return self.problem("space", ImportError::from(error));
        }
        self.row(
            "space",
            Answer::Ok,
            format!("{needed} bytes needed, {available} free"),
        );
    }

    /// Reads the archives in the bundle itself, or where the store has them.
    fn archives(
        &mut self,
        layout: &Layout,
        file: Option<&Path>,
        bundle: &Bundle,
        request: &ImportRequest<'_>,
        progress: &dyn Progress,
    ) {
        let Some(file) = file else {
            let value = "not read: the bundle comes from a pipe, which an import keeps and a dry run does not";
            return self.row("archives", Answer::Note, value);
        };
        let linted = fs::size(file).map_err(ImportError::from).and_then(|size| {
            let (cas, carried) = (Cas::new(layout.cas()), bundle.manifest.offsets(size));
            let path = |digest: &Digest| match carried.get(digest) {
                Some(_) => file.to_owned(),
                None => cas.path(digest),
            };
            let open = |digest: &Digest| blob(file, &carried, &cas, digest);
            archives::check(bundle, request.accept_archives, path, open, progress)
        });
        match linted {
            Ok(found) => {
                let value = format!("{} read, nothing denied", found.archives);
                self.row("archives", Answer::Ok, value);
            }
            Err(ImportError::Archives { findings }) => {
                let value = format!("{} problems that deny", findings.len());
                self.row("archives", Answer::Problem, value);
                self.faults.extend(archives::faults(&findings));
            }
            Err(error) => self.problem("archives", error),
        }
    }

    /// What the repository's policy says.
    fn policy(
        &mut self,
        text: &str,
        (layout, file): (&Layout, Option<&Path>),
        bundle: &Bundle,
        with: Circumstances,
    ) {
        let cas = Cas::new(layout.cas());
        let open = |file: &Path, digest: &Digest| {
            let carried = bundle.manifest.offsets(fs::size(file)?);
            let blob = blob(file, &carried, &cas, digest)?;
            Ok(Box::new(blob) as Box<dyn Read>)
        };
        // The records of vulnerabilities are in the bundle, which a pipe has no longer.
        let open = file.map(|file| move |digest: &Digest| open(file, digest));
        let open = open.as_ref().map(|open| open as &Open<'_>);
        match policy::check(text, bundle, open, with) {
            Ok(judged) => {
                let (found, waived) = (judged.findings.len(), judged.waived.len());
                let value = format!("nothing denied; {found} findings, {waived} waived");
                self.row("policy", Answer::Ok, value);
            }
            Err(ImportError::Policy { findings }) => {
                let value = format!("{} findings that deny", findings.len());
                self.row("policy", Answer::Problem, value);
                self.faults.extend(archives::faults(&findings));
            }
            Err(error) => self.problem("policy", error),
        }
    }

    /// The generation that would be made, and whether its bundles go together.
    fn union(
        &mut self,
        layout: &Layout,
        (memory, root): (Option<&Memory>, &TrustRoot),
        bundle: &Bundle,
        now: Timestamp,
    ) {
        let fresh = State::new(DEFAULT_BASE_URL, root);
        let state = memory.map_or(&fresh, |m| &m.state);
        if bundle.already_imported && state.bundles.contains_key(&bundle.id.0) {
            let value = "none: this bundle is imported already";
            return self.row("generation", Answer::Ok, value);
        }
        let number = state.generation + 1;
        match render(layout, state, bundle, number, now) {
            Ok(files) => {
                self.generation = Some(number);
                self.row(
                    "generation",
                    Answer::Ok,
                    format!("{number}, of {files} files"),
                );
                self.row("conflicts", Answer::Ok, "none");
            }
            Err(error) => self.problem("conflicts", error),
        }
    }
}

/// A blob in the bundle itself, or where the store has it.
fn blob(
    file: &Path,
    carried: &BTreeMap<Digest, (u64, u64)>,
    cas: &Cas,
    digest: &Digest,
) -> Result<Section<fs::OpenFile>, fs::FsError> {
    if let Some((start, length)) = carried.get(digest) {
        let section = Section::new(fs::open(file)?, *start, *length);
        return section.map_err(fs::context("read", file));
    }
    let (path, size) = (cas.path(digest), cas.size(digest).unwrap_or_default());
    Section::new(cas.open(digest)?, 0, size).map_err(fs::context("read", &path))
}

/// Renders what an import would publish; returns how many files that are.
fn render(
    layout: &Layout,
    state: &State,
    bundle: &Bundle,
    number: u64,
    now: Timestamp,
) -> Result<usize, ImportError> {
    let mut loaded = vec![Loaded::verified(layout, bundle, entry_of(bundle))?];
    for id in state.active.iter().filter(|id| **id != bundle.id.0) {
        if let Some(entry) = state.bundles.get(id) {
            loaded.push(Loaded::stored(layout, *id, entry)?);
        }
    }
    let publishing = Publishing {
        date: now,
        signer: &Unsigned,
    };
    Ok(generation::render(loaded, state, number, &publishing)?.len())
}

/// Stands in for the repository's key, which a dry run has no business with.
#[derive(Debug)]
struct Unsigned;

impl ReleaseSigner for Unsigned {
    fn sign(&self, text: &str, _at: Timestamp) -> Result<SignedIndex, Box<dyn Fault>> {
        Ok(SignedIndex {
            inline: Some(text.to_owned()),
            detached: None,
        })
    }

    fn certificate(&self) -> Result<String, Box<dyn Fault>> {
        Ok(String::new())
    }
}

/// The nearest folder above `path`, or itself, that exists.
fn existing(path: &Path) -> PathBuf {
    let mut ancestors = path.ancestors().filter(|p| !p.as_os_str().is_empty());
    let found = ancestors.find(|path| fs::exists(path));
    found.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// The umask as Linux tells it: reading it by setting it would change it for other threads.
fn umask() -> Option<String> {
    let status = fs::read(Path::new("/proc/self/status"), 1 << 16).ok()?;
    let text = String::from_utf8(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    Some(line.trim().to_owned())
}

fn refuse(path: &Path, reason: &str) -> ImportError {
    ImportError::UnsafeTarget {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}
