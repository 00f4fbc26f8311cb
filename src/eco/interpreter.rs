//! The programs that packages run in: which of them are staged, and whether they are the ones the closure was made
//! for. Each ecosystem answers for its own packages; here the answers are held against each other.

use std::fmt;

use crate::base::fault::{Code, Kind};
use crate::base::finding::{Finding, Severity};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::platform::{Platform, Target};
use crate::base::text::escaped;
use crate::eco::{self, EcoError, Ecosystem};
use crate::lock::chain::Chains;
use crate::lock::{Lock, Records};

/// Codes of this module.
pub const CODES: &[&Code] = &[&NONE_STAGED, &DIFFERS, &UNFIT, &REPACKED];

static NONE_STAGED: Code = Code::new("interpreter-none-staged", Kind::Denied);
static DIFFERS: Code = Code::new("interpreter-differs", Kind::Denied);
static UNFIT: Code = Code::new("interpreter-unfit", Kind::Denied);
static REPACKED: Code = Code::new("interpreter-repacked", Kind::Denied);

/// Most releases that a finding names.
const LISTED: usize = 5;

/// A program that packages run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interpreter {
    /// Node.js.
    Node,
    /// `CPython`.
    Python,
}

impl Interpreter {
    /// The version that the target has, as the manifest says.
    fn of_target(self, target: &Target) -> Option<&str> {
        match self {
            Self::Node => target.node.as_deref(),
            Self::Python => target.python.as_deref(),
        }
    }

    /// Its key in `[target]`.
    const fn key(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Python => "python",
        }
    }
}

impl fmt::Display for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "Node.js",
            Self::Python => "Python",
        })
    }
}

/// An interpreter among the carried packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedInterpreter {
    /// Which.
    pub interpreter: Interpreter,
    /// Its version, such as `24.21.0`.
    pub version: String,
    /// The release that it is.
    pub release: ReleaseId,
    /// Platforms it is carried for.
    pub platforms: Vec<Platform>,
    /// Whether somebody else than its publisher packed it, and nothing else says so yet.
    pub repacked: bool,
}

/// A release that does not accept a version of its interpreter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unfit {
    /// The release.
    pub release: ReleaseId,
    /// Versions that it accepts, as it writes them.
    pub wants: String,
}

/// The version in a file's name such as `node-v24.21.0-linux-x64.tar.xz` or `cpython-3.11.9+20250101-….tar.gz`.
pub fn in_file_name(name: &str) -> Option<(Interpreter, String)> {
    let lower = name.to_ascii_lowercase();
    let known = [
        ("node-v", Interpreter::Node),
        ("cpython-", Interpreter::Python),
        ("python-", Interpreter::Python),
    ];
    let (rest, interpreter) = known
        .iter()
        .find_map(|(prefix, interpreter)| Some((lower.strip_prefix(prefix)?, *interpreter)))?;
    Some((interpreter, leading_version(rest)?))
}

/// The three numbers that `text` begins with.
pub fn leading_version(text: &str) -> Option<String> {
    let numbers = text
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .next()?;
    let parts: Vec<&str> = numbers.split('.').take(3).collect();
    let whole = parts.len() == 3 && parts.iter().all(|part| !part.is_empty());
    whole.then(|| parts.join("."))
}

/// Whether `version` is the one that `wanted`, full or minor, means.
fn is_version(version: &str, wanted: &str) -> bool {
    let mut have = version.split('.');
    wanted.split('.').all(|part| have.next() == Some(part))
}

/// What is to be said about the interpreters of a closure.
pub fn check(lock: &Lock, records: &Records) -> Result<Vec<Finding>, EcoError> {
    let mut staged = Vec::new();
    for ecosystem in eco::ALL {
        let found = ecosystem.interpreters(lock).into_iter();
        staged.extend(found.map(|one| (ecosystem.id(), one)));
    }
    let mut findings: Vec<Finding> = staged
        .iter()
        .filter(|(_, one)| one.repacked)
        .map(repacked)
        .collect();
    let chains = Chains::new(lock);
    for ecosystem in eco::ALL {
        if let Some(interpreter) = ecosystem.runs_in() {
            let of = Of {
                ecosystem: *ecosystem,
                interpreter,
                lock,
                chains: &chains,
            };
            let own: Vec<&Staged> = staged
                .iter()
                .filter(|(_, one)| one.interpreter == interpreter)
                .collect();
            findings.extend(of.none_staged(&own));
            for one in own {
                findings.extend(of.differs(one));
                let document = records.get(&ecosystem.id());
                findings.extend(of.unfit(one, document.map(Vec::as_slice))?);
            }
        }
    }
    Ok(findings)
}

/// An interpreter with the ecosystem it comes from.
type Staged = (EcosystemId, StagedInterpreter);

/// The packages of one ecosystem and what they run in.
struct Of<'a> {
    ecosystem: &'a dyn Ecosystem,
    interpreter: Interpreter,
    lock: &'a Lock,
    chains: &'a Chains<'a>,
}

impl Of<'_> {
    /// The version that the target has.
    fn wanted(&self) -> Option<&str> {
        self.interpreter.of_target(&self.lock.target)
    }

    fn is_wanted(&self, one: &StagedInterpreter) -> bool {
        let wanted = self.wanted();
        wanted.is_some_and(|wanted| is_version(&one.version, wanted))
    }

    fn about(&self, code: &'static Code, (from, one): &Staged, message: String) -> Finding {
        let chain = self.chains.chain(from, &one.release);
        Finding {
            code,
            severity: Severity::Warn,
            subject: format!("{from} {}", escaped(&one.release.to_string())),
            message,
            chain: chain.iter().map(|step| escaped(step)).collect(),
            fix: None,
        }
    }

    /// One finding for each platform that has packages and no interpreter for them. An interpreter that comes as a
    /// package is no package that needs one.
    fn none_staged(&self, own: &[&Staged]) -> Vec<Finding> {
        let id = self.ecosystem.id();
        let mut found = Vec::new();
        for platform in &self.lock.target.platforms {
            let there = own.iter().any(|(_, one)| one.platforms.contains(platform));
            let mut carried = eco::carried(self.lock, &id, *platform);
            let needed = carried.any(|package| {
                own.iter()
                    .all(|(from, one)| *from != id || one.release != package.id())
            });
            if !there && needed {
                found.push(none_staged(
                    self.interpreter,
                    &id,
                    *platform,
                    &self.lock.target,
                ));
            }
        }
        found
    }

    fn differs(&self, staged: &Staged) -> Option<Finding> {
        let wanted = self.wanted().filter(|_| !self.is_wanted(&staged.1))?;
        let message = format!(
            "is {0} {1}, but the closure was made for {0} {2}",
            self.interpreter,
            escaped(&staged.1.version),
            escaped(wanted)
        );
        let mut finding = self.about(&DIFFERS, staged, message);
        finding.fix = Some(format!(
            "stage the one that `[target] {}` names, or name this one there",
            self.interpreter.key()
        ));
        Some(finding)
    }

    /// What does not fit the target's version was said when the closure was made.
    fn unfit(&self, staged: &Staged, records: Option<&[u8]>) -> Result<Option<Finding>, EcoError> {
        let Some(records) = records.filter(|_| !self.is_wanted(&staged.1)) else {
            return Ok(None);
        };
        let unfit = self
            .ecosystem
            .unfit(self.lock, records, &staged.1.version)?;
        let message = unfit_message(&self.ecosystem.id(), self.interpreter, &unfit);
        Ok(message.map(|message| self.about(&UNFIT, staged, message)))
    }
}

fn repacked((from, one): &Staged) -> Finding {
    Finding {
        code: &REPACKED,
        severity: Severity::Warn,
        subject: format!("{from} {}", escaped(&one.release.to_string())),
        message: format!(
            "repacked {} published by a third party, not by its project",
            one.interpreter
        ),
        chain: Vec::new(),
        fix: Some(
            "take it from its publisher as [[file]] with `checksums`, `signature` and `keyring`"
                .to_owned(),
        ),
    }
}

fn none_staged(
    interpreter: Interpreter,
    ecosystem: &EcosystemId,
    platform: Platform,
    target: &Target,
) -> Finding {
    let message = match interpreter.of_target(target) {
        Some(version) => format!(
            "no {interpreter} is staged for {platform}: the target must have {interpreter} {} already",
            escaped(version)
        ),
        None => format!(
            "no {interpreter} is staged for {platform}, and `[target] {}` does not say which one is there",
            interpreter.key()
        ),
    };
    Finding {
        code: &NONE_STAGED,
        severity: Severity::Note,
        subject: format!("{ecosystem} packages"),
        message,
        chain: Vec::new(),
        fix: Some(staging(interpreter, platform, target)),
    }
}

/// The lines that stage an interpreter.
fn staging(interpreter: Interpreter, platform: Platform, target: &Target) -> String {
    let (cpu, machine) = match platform {
        Platform::LinuxAmd64 => ("x64", "x86_64"),
        Platform::LinuxArm64 => ("arm64", "aarch64"),
    };
    let version = interpreter.of_target(target).map(escaped);
    let version = version.as_deref().unwrap_or("VERSION");
    match interpreter {
        Interpreter::Node => format!(
            "from its publisher: [[file]] url = \"https://…/node-v{version}-linux-{cpu}.tar.xz\", checksums = \
             \"https://…/SHASUMS256.txt\", signature = \"https://…/SHASUMS256.txt.sig\", keyring = \"node.gpg\", path = \
             \"node/node-v{version}-linux-{cpu}.tar.xz\"; or as a package: [npm] packages = \
             [\"node-linux-{cpu}@{version}\"]"
        ),
        Interpreter::Python => format!(
            "as a file: [[file]] url = \"https://…/cpython-{version}.N-{machine}-unknown-linux-gnu-install_only.tar.gz\", \
             sha256 = \"…\", path = \"python/cpython-{version}.N-{machine}.tar.gz\"; or as a package: [debian] packages = \
             [\"python3\"]"
        ),
    }
}

fn unfit_message(
    ecosystem: &EcosystemId,
    interpreter: Interpreter,
    unfit: &[Unfit],
) -> Option<String> {
    if unfit.is_empty() {
        return None;
    }
    let shown = unfit.iter().take(LISTED).map(|one| {
        format!(
            "{} wants {}",
            escaped(&one.release.to_string()),
            escaped(&one.wants)
        )
    });
    let more = match unfit.len().saturating_sub(LISTED) {
        0 => String::new(),
        count => format!(", and {count} more"),
    };
    Some(format!(
        "is not a {interpreter} that {ecosystem} packages accept: {}{more}",
        shown.collect::<Vec<_>>().join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::{Interpreter, in_file_name, is_version};

    #[test]
    fn names_of_files_tell_the_version() {
        let found = |name| in_file_name(name).map(|(i, v)| format!("{i} {v}"));
        let cases = [
            ("node-v24.21.0-linux-x64.tar.xz", Some("Node.js 24.21.0")),
            ("python-3.11.9.tar.zst", Some("Python 3.11.9")),
            (
                "cpython-3.12.1+20250101-x86_64-unknown-linux-gnu-install_only.tar.gz",
                Some("Python 3.12.1"),
            ),
            ("node-vault.tar", None),
            ("python-requests.txt", None),
            ("model.bin", None),
        ];
        for (name, expected) in cases {
            assert_eq!(found(name).as_deref(), expected, "{name}");
        }
        assert_eq!(Interpreter::Node.key(), "node");
    }

    #[test]
    fn a_minor_version_means_all_of_its_patches() {
        assert!(is_version("3.11.9", "3.11") && is_version("3.11.9", "3.11.9"));
        assert!(!is_version("3.11.9", "3.1") && !is_version("3.1", "3.11"));
    }
}
