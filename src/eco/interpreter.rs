//! The programs that packages run in: which of them are staged, and whether they are the ones the closure was made
//! for. Each ecosystem answers for its own packages; here the answers are held against each other.

use std::fmt;

use crate::base::fault::{Code, Kind};
use crate::base::finding::{Finding, Severity};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::platform::{Platform, Target};
use crate::base::text::escaped;
use crate::eco::{self, EcoError};
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
    let mut findings = Vec::new();
    let mut staged = Vec::new();
    for ecosystem in eco::ALL {
        let found = ecosystem.interpreters(lock).into_iter();
        staged.extend(found.map(|one| (ecosystem.id(), one)));
    }
    let chains = Chains::new(lock);
    for ecosystem in eco::ALL {
        let id = ecosystem.id();
        let Some(interpreter) = ecosystem.runs_in() else {
            continue;
        };
        let own: Vec<_> = staged
            .iter()
            .filter(|(_, one)| one.interpreter == interpreter)
            .collect();
        for platform in &lock.target.platforms {
            let mut carried = eco::carried(lock, &id, *platform);
            let there = own.iter().any(|(_, one)| one.platforms.contains(platform));
            // An interpreter that comes as a package is no program that needs one.
            let alone = own.iter().map(|(_, one)| &one.release).collect::<Vec<_>>();
            if !there && carried.any(|package| !alone.contains(&&package.id())) {
                findings.push(none_staged(interpreter, &id, *platform, &lock.target));
            }
        }
        let target = interpreter.of_target(&lock.target);
        for (from, one) in own {
            let chain = chains.chain(from, &one.release);
            let about = |code, message| Finding {
                code,
                severity: Severity::Warn,
                subject: format!("{from} {}", escaped(&one.release.to_string())),
                message,
                chain: chain.iter().map(|step| escaped(step)).collect(),
                fix: None,
            };
            let same = target.is_some_and(|wanted| is_version(&one.version, wanted));
            if let Some(wanted) = target.filter(|_| !same) {
                let message = format!(
                    "is {interpreter} {}, but the closure was made for {interpreter} {}",
                    escaped(&one.version),
                    escaped(wanted)
                );
                let mut finding = about(&DIFFERS, message);
                finding.fix = Some(format!(
                    "stage the one that `[target] {}` names, or name this one there",
                    interpreter.key()
                ));
                findings.push(finding);
            }
            // What does not fit the target's version was said when the closure was made.
            if !same {
                let unfit = match records.get(&id) {
                    Some(document) => ecosystem.unfit(lock, document, &one.version)?,
                    None => Vec::new(),
                };
                findings.extend(unfit_message(&id, interpreter, &unfit).map(|m| about(&UNFIT, m)));
            }
        }
    }
    for (from, one) in staged.iter().filter(|(_, one)| one.repacked) {
        findings.push(Finding {
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
        });
    }
    Ok(findings)
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
        fix: Some("stage it as [[file]] from its publisher, or as a package".to_owned()),
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
