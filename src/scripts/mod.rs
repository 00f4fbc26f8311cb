//! Code that packages run by themselves: when npm installs them, when cargo builds with them, when dpkg installs or
//! removes them. It is found by reading the archives when a bundle is made, and travels as
//! `evidence/install-scripts.json`, by which the enclave's policy judges without opening one.
//!
//! The document names every archive that was read by its SHA-256, also those that run nothing: one that is not named was
//! not looked into, and that is said. What registries say (npm's flag) and what a file name says (a Python source) stands
//! in the lock already.

#[cfg(feature = "connected")]
mod read;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::base::digest::Digest;
use crate::base::fault::{Class, Code, Kind};
use crate::base::finding::{Finding, Severity};
use crate::base::json;
use crate::base::limits::LIMITS;
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::text::{escaped, quoted, visible};
use crate::eco::npm::INSTALL_SCRIPT;
use crate::lock::chain::Chains;
use crate::lock::{Lock, LockedArtifact, LockedPackage};

#[cfg(feature = "connected")]
pub use read::read;

/// Codes of this module.
pub const CODES: &[&Code] = &[
    &BUILD_SCRIPT,
    &PROC_MACRO,
    &MAINTAINER_SCRIPT,
    &UNREAD,
    &LATER,
];

static BUILD_SCRIPT: Code = Code::new("cargo-build-script", Kind::Denied);
static PROC_MACRO: Code = Code::new("cargo-proc-macro", Kind::Denied);
static MAINTAINER_SCRIPT: Code = Code::new("debian-maintainer-script", Kind::Denied);
static UNREAD: Code = Code::classed("evidence-scripts-unread", Class::E52);
static LATER: Code = Code::new("policy-scripts-later", Kind::Denied);

/// Name of the document in the folder of evidence.
pub const DOCUMENT: &str = "install-scripts.json";
const SCHEMA: &str = "stage/install-scripts-evidence/v1";
/// Names that are listed where many are meant.
const MOST_NAMED: usize = 3;

/// When code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// npm installs the package.
    Install,
    /// cargo builds the crate.
    BuildScript,
    /// The compiler builds what uses the crate.
    ProcMacro,
    /// dpkg installs, configures or removes the package.
    Maintainer,
}

impl Moment {
    const ALL: [Self; 4] = [
        Self::Install,
        Self::BuildScript,
        Self::ProcMacro,
        Self::Maintainer,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::BuildScript => "build-script",
            Self::ProcMacro => "proc-macro",
            Self::Maintainer => "maintainer-script",
        }
    }

    const fn code(self) -> &'static Code {
        match self {
            Self::Install => &INSTALL_SCRIPT,
            Self::BuildScript => &BUILD_SCRIPT,
            Self::ProcMacro => &PROC_MACRO,
            Self::Maintainer => &MAINTAINER_SCRIPT,
        }
    }

    /// How much it weighs where no policy says more. What a registry left out is unusual; the others are usual.
    const fn severity(self) -> Severity {
        match self {
            Self::Install => Severity::Warn,
            Self::BuildScript | Self::ProcMacro | Self::Maintainer => Severity::Note,
        }
    }

    fn message(self, what: &BTreeSet<&str>) -> String {
        let what: Vec<&str> = what.iter().copied().collect();
        let what = what.join(", ");
        match self {
            Self::Install => {
                format!("runs code when it is installed, which its registry does not say: {what}")
            }
            Self::BuildScript => format!("runs code when it is built: {what}"),
            Self::ProcMacro => "runs in the compiler, as a procedural macro".to_owned(),
            Self::Maintainer => {
                format!("runs code as root when it is installed or removed: {what}")
            }
        }
    }
}

/// What one archive has.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    /// What runs and when; texts are safe to print.
    Runs(BTreeSet<(Moment, String)>),
    /// It cannot be read; why, safe to print.
    Unread(String),
}

/// What the archives of a bundle run by themselves, by the digest of the archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scripts(BTreeMap<String, Seen>);

/// Whether packages of an ecosystem have code that only their archives tell.
fn is_told_by_archives(ecosystem: &EcosystemId) -> bool {
    matches!(ecosystem.as_str(), "npm" | "cargo" | "debian")
}

impl Scripts {
    /// The document that travels.
    pub fn document(&self) -> Vec<u8> {
        let mut archives = Map::new();
        for (digest, seen) in &self.0 {
            let said = match seen {
                Seen::Runs(runs) => {
                    let runs = runs
                        .iter()
                        .map(|(when, what)| json!({"when": when.as_str(), "what": what}));
                    json!({"runs": runs.collect::<Vec<_>>()})
                }
                Seen::Unread(reason) => json!({"unread": reason}),
            };
            archives.insert(digest.clone(), said);
        }
        json::canonical(&json!({"schema": SCHEMA, "archives": archives}))
    }

    /// Reads that document. What is not understood says nothing, so that its archives count as not looked into.
    pub fn parse(bytes: &[u8]) -> Self {
        let document = json::strict(bytes, LIMITS.document).unwrap_or_default();
        let text = |value: &Value, key: &str| value.get(key)?.as_str().map(str::to_owned);
        if text(&document, "schema").as_deref() != Some(SCHEMA) {
            return Self::default();
        }
        let one = |said: &Value| {
            let when = |name: &str| Moment::ALL.into_iter().find(|when| when.as_str() == name);
            if let Some(reason) = text(said, "unread") {
                return Some(Seen::Unread(visible(&reason)));
            }
            let runs = said.get("runs")?.as_array()?.iter();
            let run = |run: &Value| {
                Some((
                    when(text(run, "when")?.as_str())?,
                    visible(&text(run, "what")?),
                ))
            };
            runs.map(run).collect::<Option<_>>().map(Seen::Runs)
        };
        let archives = document.get("archives").and_then(Value::as_object);
        let archives = archives.into_iter().flatten();
        Self(
            archives
                .filter_map(|(digest, said)| Some((digest.clone(), one(said)?)))
                .collect(),
        )
    }

    /// What is to be said of a lock whose archives have these digests, sorted.
    pub fn findings(
        &self,
        lock: &Lock,
        digest: &dyn Fn(&LockedPackage, &LockedArtifact) -> Option<Digest>,
    ) -> Vec<Finding> {
        let mut runs: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
        let (mut unread, mut unknown) = (BTreeMap::new(), BTreeSet::new());
        for (package, artifact) in lock.carried_artifacts() {
            // Of what is told already nothing more is to be said.
            if !is_told_by_archives(&package.ecosystem) || package.install_script {
                continue;
            }
            let key = (&package.ecosystem, package.id());
            let seen = digest(package, artifact).and_then(|digest| self.0.get(&digest.hex()));
            match seen {
                None => drop(unknown.insert(key)),
                Some(Seen::Unread(reason)) => drop(unread.insert(key, reason)),
                Some(Seen::Runs(all)) => {
                    for (when, what) in all {
                        let of = runs.entry((key.clone(), *when)).or_default();
                        of.insert(what);
                    }
                }
            }
        }
        let chains = Chains::new(lock);
        let told = runs
            .iter()
            .map(|((key, when), what)| runs_code(&chains, key, *when, what));
        let unread = unread
            .iter()
            .map(|(key, reason)| unreadable(&chains, key, reason));
        let mut findings: Vec<Finding> = told.chain(unread).collect();
        findings.extend(not_looked_into(&unknown));
        findings.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        findings
    }
}

/// Whose an archive is.
type Key<'a> = (&'a EcosystemId, ReleaseId);

fn runs_code(chains: &Chains<'_>, key: &Key<'_>, when: Moment, what: &BTreeSet<&str>) -> Finding {
    let pattern = quoted(&format!("{}:{}", key.0, key.1.name));
    let fix = format!("read what it runs, then add {pattern} to `[install-scripts] allow`");
    Finding {
        fix: Some(fix),
        ..about(
            chains,
            key,
            when.code(),
            when.severity(),
            when.message(what),
        )
    }
}

fn unreadable(chains: &Chains<'_>, key: &Key<'_>, reason: &str) -> Finding {
    let message = format!("cannot be looked into for code that it runs: {reason}");
    about(chains, key, &UNREAD, Severity::Note, message)
}

fn about(
    chains: &Chains<'_>,
    (ecosystem, release): &Key<'_>,
    code: &'static Code,
    severity: Severity,
    message: String,
) -> Finding {
    let chain = chains.chain(ecosystem, release);
    Finding {
        code,
        severity,
        subject: format!("{ecosystem} {}", escaped(&release.to_string())),
        message,
        chain: chain.iter().map(|link| escaped(link)).collect(),
        fix: None,
    }
}

/// Archives of which nobody says anything: one finding, since there may be as many as there are packages.
fn not_looked_into(unknown: &BTreeSet<Key<'_>>) -> Option<Finding> {
    let names = unknown.iter().take(MOST_NAMED);
    let names: Vec<String> = names
        .map(|(ecosystem, release)| format!("{ecosystem} {}", escaped(&release.to_string())))
        .collect();
    (!names.is_empty()).then(|| Finding {
        code: &UNREAD,
        severity: Severity::Note,
        subject: "the closure".to_owned(),
        message: format!(
            "has {} packages of which nothing says whether they run code of their own, such as {}",
            unknown.len(),
            names.join(", ")
        ),
        chain: Vec::new(),
        fix: Some("make the bundle with a `stage` that looks into them".to_owned()),
    })
}

/// What is to be said of archives that are not read yet; `None` where there is nothing to read.
pub fn later(lock: &Lock) -> Option<Finding> {
    let of = |package: &&LockedPackage| {
        package.is_carried() && matches!(package.ecosystem.as_str(), "cargo" | "debian")
    };
    let count = lock.packages.iter().filter(of).count();
    (count > 0).then(|| Finding {
        code: &LATER,
        severity: Severity::Note,
        subject: "the closure".to_owned(),
        message: format!(
            "has {count} packages whose archives tell whether they run code of their own"
        ),
        chain: Vec::new(),
        fix: Some("`stage bundle` reads them and judges again".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::{Moment, Scripts, Seen};
    use crate::base::digest::Digest;

    #[test]
    fn what_is_written_is_read_and_anything_else_says_nothing() {
        let archive = |name: &str| Digest::of(name.as_bytes()).hex();
        let runs = Moment::ALL.map(|when| (when, "x\u{1b}".to_owned()));
        let shown = Moment::ALL.map(|when| (when, super::visible("x\u{1b}")));
        let scripts = |runs: [(Moment, String); 4]| {
            Scripts(
                [
                    (archive("a"), Seen::Runs(runs.into())),
                    (archive("b"), Seen::Runs([].into())),
                    (archive("c"), Seen::Unread("it is cut".to_owned())),
                ]
                .into(),
            )
        };
        assert_eq!(Scripts::parse(&scripts(runs).document()), scripts(shown));
        for bad in [
            "",
            "[]",
            r#"{"archives":{"a":{"runs":[]}}}"#,
            r#"{"archives":{"a":{"runs":[]}},"schema":"stage/install-scripts-evidence/v9"}"#,
            r#"{"archives":{"a":{}},"schema":"stage/install-scripts-evidence/v1"}"#,
            r#"{"archives":{"a":{"runs":[{"what":"x","when":"never"}]}},"schema":"stage/install-scripts-evidence/v1"}"#,
        ] {
            assert_eq!(Scripts::parse(bad.as_bytes()), Scripts::default(), "{bad}");
        }
    }
}
