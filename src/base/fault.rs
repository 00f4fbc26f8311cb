//! What every error of the program can say of itself: a stable code, its class, facts for the report.
//!
//! Each module has its own error enum with typed fields and implements [`Fault`] for it; only `cli::exit` turns a
//! [`Kind`] into an exit code.

use std::fmt;

use serde::Serialize;

/// What a failure means for the caller. `cli::exit` maps it to an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Could not be done: I/O, upstream, no solution.
    Failed,
    /// Bad command line or unreadable input file.
    Usage,
    /// Authentic, but policy or a finding denies it.
    Denied,
    /// Verification failed: stop and keep the medium.
    Untrusted,
    /// The host or the repository's state is not safe to work on.
    Unsafe,
    /// The output differs from what `--locked` or `--check` demanded.
    Stale,
    /// A bug in `stage`.
    Internal,
}

/// The error classes of the bundle specification, printed as `E20` and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Class {
    /// Usage.
    E02,
    /// Input or output failed.
    E10,
    /// Another process holds the lock.
    E11,
    /// The format is not exactly as specified.
    E20,
    /// A limit is exceeded.
    E21,
    /// A digest differs, or bytes are missing.
    E22,
    /// Signatures do not reach what the root demands.
    E30,
    /// The trust root is not consistent or not the right one.
    E31,
    /// Rollback or equivocation.
    E32,
    /// Time: expired, made in the future, or the clock is wrong.
    E33,
    /// A delta's base is missing.
    E34,
    /// An unsafe name or content.
    E40,
    /// The import target is not safe.
    E41,
    /// The repository's recorded state contradicts itself.
    E42,
    /// Denied by policy.
    E50,
    /// An upstream check failed.
    E51,
    /// Evidence is not available but required.
    E52,
}

impl Class {
    /// The kind of failure a class stands for.
    pub const fn kind(self) -> Kind {
        match self {
            Self::E02 => Kind::Usage,
            Self::E10 | Self::E11 => Kind::Failed,
            Self::E20 | Self::E21 | Self::E22 | Self::E30 | Self::E31 | Self::E32 | Self::E33 => {
                Kind::Untrusted
            }
            Self::E34 | Self::E40 | Self::E51 => Kind::Untrusted,
            Self::E41 | Self::E42 => Kind::Unsafe,
            Self::E50 | Self::E52 => Kind::Denied,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A stable, unique name of an error or finding, kebab-case, beginning with the module to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// For example `fetch-digest-mismatch`.
    pub name: &'static str,
    /// What it means for the caller.
    pub kind: Kind,
    /// The class of the bundle specification, where there is one.
    pub class: Option<Class>,
}

impl Code {
    /// A code outside the bundle specification.
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            class: None,
        }
    }

    /// A code of the bundle specification; its class decides the kind.
    pub const fn classed(name: &'static str, class: Class) -> Self {
        Self {
            name,
            kind: class.kind(),
            class: Some(class),
        }
    }
}

/// A place in a file that the user can edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file as the user named it.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

/// An error that knows its code.
pub trait Fault: std::error::Error + Send + Sync + 'static {
    /// The stable code.
    fn code(&self) -> &'static Code;

    /// Facts for the report, in order, expected before found. Values are already safe to print.
    fn facts(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The one thing to do, where this error knows it better than its code does. Safe to print.
    fn hint(&self) -> Option<String> {
        None
    }

    /// The place the user can edit, if there is one.
    fn place(&self) -> Option<Place> {
        None
    }
}

impl<E: Fault> From<E> for Box<dyn Fault> {
    fn from(error: E) -> Self {
        Box::new(error)
    }
}
