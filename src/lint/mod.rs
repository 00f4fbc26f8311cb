//! Whether an artifact means one thing: archives that different clients would unpack differently, or that reach outside
//! their folder, are found before they are carried, and again in the enclave where that is asked for.
//!
//! ```text
//! wheel, zip   central directory and local headers agree, members follow each other without gaps, RECORD names all
//! tarball      one reading of every header (POSIX.1-1988 ustar, POSIX.1-2001 pax, GNU), nothing after the end
//! .crate       a tarball, all of it below name-version/
//! .deb         ar(5) with debian-binary, control.tar, data.tar in this order, and two tarballs
//! ```
//!
//! The readers are our own on purpose: a library gives one reading, and what matters here is where readings part. They
//! read whole archives, decompress what they carry, and are bounded in members, bytes and the ratio of both.

mod deb;
mod names;
mod pax;
mod record;
mod stream;
mod tar;
pub mod zip;

use std::fmt;
use std::io::{self, Read, Seek};

use serde::Serialize;

use crate::base::fault::{Class, Code};
use crate::base::finding::Severity;
use crate::base::text::{escaped, quoted};

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &PATH, &DUPLICATE, &CASE, &HEADER, &JUNK, &LINK, &SPECIAL, &RECORD, &TOO_LARGE, &DAMAGED,
];

static PATH: Code = Code::classed("lint-path", Class::E40);
static DUPLICATE: Code = Code::classed("lint-duplicate", Class::E40);
static CASE: Code = Code::classed("lint-case", Class::E40);
static HEADER: Code = Code::classed("lint-header", Class::E40);
static JUNK: Code = Code::classed("lint-junk", Class::E40);
static LINK: Code = Code::classed("lint-link", Class::E40);
static SPECIAL: Code = Code::classed("lint-special", Class::E40);
static RECORD: Code = Code::classed("lint-record", Class::E40);
static TOO_LARGE: Code = Code::classed("lint-too-large", Class::E21);
static DAMAGED: Code = Code::classed("lint-damaged", Class::E40);

/// Most problems that are kept of one artifact.
const MAX_PROBLEMS: usize = 20;

/// What kind of problem it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A name that leaves its folder, or that clients read differently.
    Path,
    /// Two members of one name.
    Duplicate,
    /// Two names that are one where upper and lower case are one.
    Case,
    /// A header that clients read differently.
    Header,
    /// Bytes that belong to no member.
    Junk,
    /// A link that leaves its folder, or a member below a link.
    Link,
    /// A device, a socket or another special member.
    Special,
    /// A wheel's RECORD that does not list what the wheel has.
    Record,
    /// Unpacks to more than can be meant.
    TooLarge,
    /// Cannot be read to its end.
    Damaged,
}

impl Rule {
    /// Its stable code.
    pub const fn code(self) -> &'static Code {
        match self {
            Self::Path => &PATH,
            Self::Duplicate => &DUPLICATE,
            Self::Case => &CASE,
            Self::Header => &HEADER,
            Self::Junk => &JUNK,
            Self::Link => &LINK,
            Self::Special => &SPECIAL,
            Self::Record => &RECORD,
            Self::TooLarge => &TOO_LARGE,
            Self::Damaged => &DAMAGED,
        }
    }
}

/// One thing that is wrong with an artifact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The kind.
    pub rule: Rule,
    /// How much it weighs: what clients read differently is denied, what is only unusual is a warning.
    pub severity: Severity,
    /// One sentence, lowercase, no full stop, safe to print; names the member.
    pub message: String,
}

/// What an artifact is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// A wheel (PyPA "Binary distribution format").
    Wheel,
    /// A Python source distribution as a zip file.
    Zip,
    /// A tarball from which clients drop the first folder, as npm does.
    Package,
    /// A tarball that holds one folder, such as a source distribution.
    Tarball,
    /// A `.crate`; the name of its folder.
    Crate(String),
    /// A `.deb` (deb(5)).
    Debian,
}

impl Form {
    /// The form of an artifact by its ecosystem and file name; `None` for what is not an archive that clients unpack
    /// without being told to.
    pub fn of(ecosystem: &str, file: &str) -> Option<Self> {
        let is = |suffix: &str| file.len() > suffix.len() && file.ends_with(suffix);
        match ecosystem {
            "npm" => Some(Self::Package),
            "pypi" if is(".whl") => Some(Self::Wheel),
            "pypi" if is(".zip") => Some(Self::Zip),
            "pypi" if is(".tar.gz") || is(".tgz") => Some(Self::Tarball),
            "cargo" => Some(Self::Crate(file.strip_suffix(".crate")?.to_owned())),
            "debian" => Some(Self::Debian),
            _ => None,
        }
    }
}

/// Reads an artifact and says what is wrong with it; sorted, at most 20 problems.
///
/// # Errors
/// When the file itself cannot be read; an archive that is damaged is a problem, not an error.
pub fn check(file: &mut (impl Read + Seek), form: &Form) -> io::Result<Vec<Problem>> {
    let mut found = Problems::default();
    let result = match form {
        Form::Wheel => zip::read(file, true, &mut found),
        Form::Zip => zip::read(file, false, &mut found),
        Form::Package => tar::packed(file, tar::Kind::Package, &mut found),
        Form::Tarball => tar::packed(file, tar::Kind::Source, &mut found),
        Form::Crate(folder) => tar::packed(file, tar::Kind::Crate(folder), &mut found),
        Form::Debian => deb::read(file, &mut found),
    };
    match result {
        Ok(()) | Err(Stop::Enough) => {}
        Err(Stop::Damaged(reason)) => found.deny(Rule::Damaged, reason),
        Err(Stop::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            found.deny(Rule::Damaged, "it ends in the middle of a member");
        }
        Err(Stop::Io(error)) if error.raw_os_error().is_some() => return Err(error),
        Err(Stop::Io(error)) => found.deny(Rule::Damaged, escaped(&error.to_string())),
    }
    Ok(found.finish())
}

/// Why reading stopped.
#[derive(Debug)]
enum Stop {
    /// Enough is known.
    Enough,
    /// The rest cannot be read; why, safe to print.
    Damaged(String),
    /// The file or a decompressor failed.
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Stop {
    fn damaged(reason: impl fmt::Display) -> Self {
        Self::Damaged(reason.to_string())
    }
}

/// The problems found so far.
#[derive(Debug, Default)]
struct Problems {
    found: Vec<Problem>,
    /// How many were found, kept or not.
    total: usize,
}

impl Problems {
    fn add(&mut self, rule: Rule, severity: Severity, message: impl Into<String>) {
        self.total += 1;
        if self.found.len() < MAX_PROBLEMS {
            self.found.push(Problem {
                rule,
                severity,
                message: message.into(),
            });
        }
    }

    fn deny(&mut self, rule: Rule, message: impl Into<String>) {
        self.add(rule, Severity::Deny, message);
    }

    fn warn(&mut self, rule: Rule, message: impl Into<String>) {
        self.add(rule, Severity::Warn, message);
    }

    fn finish(mut self) -> Vec<Problem> {
        if let (true, Some(last)) = (self.total > MAX_PROBLEMS, self.found.last_mut()) {
            let more = self.total - MAX_PROBLEMS;
            last.message = format!("{}; and {more} more problems", last.message);
        }
        self.found.sort();
        self.found.dedup();
        self.found
    }
}

/// A member's name for a message.
fn named(name: &[u8]) -> String {
    quoted(&String::from_utf8_lossy(name))
}
