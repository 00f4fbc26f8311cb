//! From what was seen to holes: a rule that names the package goes before those about any package, and what is staged
//! closes.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::finding::{Finding, Severity};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::platform::Platform;
use crate::base::text::{escaped, quoted, visible};
use crate::holes::fact::Facts;
use crate::holes::look::{Hit, Inner};
use crate::holes::prebuilt::{self, Prebuilt};
use crate::holes::rule::{Fill, Rule, for_platform};
use crate::holes::section::HoleClosed;
use crate::holes::{
    Catalog, Closed, Hole, HoleKind, Looked, Report, rules_of, staged, subject, unreadable,
};
use crate::lock::chain::Chains;
use crate::lock::{Lock, LockedPackage};
use crate::policy::PackagePattern;

/// Longest address, command or path that is shown, in characters.
const SHOWN: usize = 160;

/// What is known besides the rules.
pub(super) struct Known<'a> {
    /// What the manifest says is closed by what.
    pub(super) closed: &'a [HoleClosed],
    /// What packages say of their downloads.
    pub(super) facts: Facts,
}

/// Everything that is to be said of a closure.
pub(super) fn judge(
    lock: &Lock,
    rules: &[Rule],
    known: &Known<'_>,
    looked: &[Looked<'_>],
    report: &mut Report,
) {
    let judge = Judge {
        lock,
        known,
        chains: Chains::new(lock),
    };
    for one in looked {
        judge.artifact(one, report);
        report.unreadable.extend(unreadable(one));
    }
    for package in &lock.packages {
        if package.is_carried() || !package.bundled_in.is_empty() {
            judge.by_name(package, rules, report);
        }
    }
    let holes = &mut report.holes;
    holes.sort_by(|a, b| {
        let key = |hole: &Hole| (hole.kind, hole.finding.subject.clone(), hole.rule.clone());
        key(a).cmp(&key(b)).then_with(|| a.file.cmp(&b.file))
    });
    // The same package for several platforms is one hole; of the files that show it, the first is enough.
    holes.dedup_by(|a, b| a.rule == b.rule && a.finding.subject == b.finding.subject);
    report.closed.sort();
    report.closed.dedup();
    report.catalogs.sort_by(|a, b| a.subject.cmp(&b.subject));
}

struct Judge<'a> {
    lock: &'a Lock,
    known: &'a Known<'a>,
    chains: Chains<'a>,
}

/// The package that a hole is about.
struct About<'a> {
    ecosystem: &'a EcosystemId,
    release: ReleaseId,
    /// The locked package, or the one that brings it along.
    package: &'a LockedPackage,
    platforms: &'a [Platform],
}

impl Judge<'_> {
    fn artifact(&self, looked: &Looked<'_>, report: &mut Report) {
        let mut by_package: BTreeMap<Option<&Inner>, Vec<&Hit>> = BTreeMap::new();
        for hit in &looked.seen.hits {
            by_package.entry(hit.inner.as_ref()).or_default().push(hit);
        }
        for (inner, hits) in by_package {
            let about = Self::about(looked, inner);
            let named: Vec<&Rule> = looked
                .rules
                .iter()
                .copied()
                .filter(|rule| is_about(rule, &about))
                .collect();
            let folder = inner.map_or("", |inner| inner.folder.as_str());
            for hit in hits {
                let Some(rule) = looked.rules.get(hit.rule) else {
                    continue;
                };
                let replaced = named.iter().any(|other| other.replaces(rule));
                if replaced || is_absent(rule, &about, &looked.seen.paths, folder) {
                    continue;
                }
                self.hole(rule, &about, Some(hit), report);
            }
        }
        self.catalog(looked, report);
    }

    fn about<'a>(looked: &Looked<'a>, inner: Option<&Inner>) -> About<'a> {
        let release = inner.map_or_else(
            || looked.package.id(),
            |inner| ReleaseId::new(&inner.name, &inner.version),
        );
        About {
            ecosystem: &looked.package.ecosystem,
            release,
            package: looked.package,
            platforms: &looked.package.platforms,
        }
    }

    /// Rules that ask for nothing but the package.
    fn by_name(&self, package: &LockedPackage, rules: &[Rule], report: &mut Report) {
        let about = About {
            ecosystem: &package.ecosystem,
            release: package.id(),
            package,
            platforms: if package.platforms.is_empty() {
                &self.lock.target.platforms
            } else {
                &package.platforms
            },
        };
        for rule in rules_of(rules, &package.ecosystem) {
            if rule.is_by_name() && is_about(rule, &about) {
                self.hole(rule, &about, None, report);
            }
        }
    }

    fn hole(&self, rule: &Rule, about: &About<'_>, hit: Option<&Hit>, report: &mut Report) {
        let fill = Fill {
            name: &about.release.name,
            version: &about.release.version,
            url: hit.and_then(|hit| hit.url.as_deref()),
            file: hit.and_then(|hit| hit.file.as_deref()),
            node: self.lock.target.node.as_deref(),
            prebuilt: None,
        };
        let subject = subject(about.ecosystem, &about.release);
        if let Some(by) = self.closed_by(rule, about, fill, hit) {
            report.closed.push(Closed {
                rule: rule.id.clone(),
                subject,
                by,
            });
            return;
        }
        let mut message = visible(&fill.into_text(&rule.means));
        let shows_url = rule.means.contains("{url}") || rule.fix.contains("{url}");
        message.push_str(&shown(hit, shows_url));
        message.push_str(&self.not_staged(rule, about));
        let fix = self.advice(rule, about, fill, hit);
        report.holes.push(Hole {
            kind: rule.kind,
            rule: rule.id.clone(),
            file: hit.and_then(|hit| hit.file.clone()),
            finding: Finding {
                code: rule.kind.code(),
                severity: rule.severity,
                subject,
                message,
                chain: self.chain(about),
                fix: Some(visible(&fix)),
            },
        });
    }

    /// What closes it, for each platform where that differs.
    fn advice(&self, rule: &Rule, about: &About<'_>, fill: Fill<'_>, hit: Option<&Hit>) -> String {
        let mut all: Vec<(Platform, String)> = Vec::new();
        for platform in about.platforms {
            let prebuilt = self.prebuilt(about, hit, *platform);
            let fill = Fill {
                prebuilt: prebuilt.as_ref(),
                ..fill
            };
            let text = |text: &str| for_platform(&fill.into_text(text), *platform);
            let known = rule.known.as_deref().map(text);
            let facts = &self.known.facts;
            let known = known.and_then(|t| facts.fill(&t, *platform, &about.release));
            let fix = with_command(known.unwrap_or_else(|| text(&rule.fix)));
            if all.iter().all(|(_, other)| *other != fix) {
                all.push((*platform, fix));
            }
        }
        match all.as_slice() {
            [] => fill.into_text(&rule.fix),
            [(_, one)] => one.clone(),
            several => {
                let several = several
                    .iter()
                    .map(|(p, fix)| format!("for {}: {fix}", p.as_str()));
                several.collect::<Vec<_>>().join("; ")
            }
        }
    }

    /// The compiled binary that its install script downloads.
    fn prebuilt(
        &self,
        about: &About<'_>,
        hit: Option<&Hit>,
        platform: Platform,
    ) -> Option<Prebuilt> {
        let hit = hit?;
        let (package, (_, command)) = (hit.package.as_deref()?, hit.command.as_ref()?);
        let id = (about.release.name.as_str(), about.release.version.as_str());
        prebuilt::find(package, id, command, &self.lock.target, platform)
    }

    fn chain(&self, about: &About<'_>) -> Vec<String> {
        let chain = self.chains.chain(about.ecosystem, &about.package.id());
        let mut chain: Vec<String> = chain.iter().map(|link| escaped(link)).collect();
        if about.package.id() != about.release {
            chain.push(escaped(&about.release.to_string()));
        }
        chain
    }

    /// What closes a hole on every platform: what the rule knows, or what the manifest says.
    fn closed_by(
        &self,
        rule: &Rule,
        about: &About<'_>,
        fill: Fill<'_>,
        hit: Option<&Hit>,
    ) -> Option<String> {
        let mut by = BTreeSet::new();
        for platform in about.platforms {
            let prebuilt = self.prebuilt(about, hit, *platform);
            let fill = Fill {
                prebuilt: prebuilt.as_ref(),
                ..fill
            };
            let known = staged(self.lock, &rule.closers(*platform, &fill), *platform);
            let said = || {
                let mut all = self.said(rule, about);
                all.find_map(|one| staged(self.lock, std::slice::from_ref(&one.by), *platform))
            };
            let package = known.or_else(said)?;
            by.insert(subject(&package.ecosystem, &package.id()));
        }
        let by: Vec<String> = by.into_iter().collect();
        (!by.is_empty()).then(|| by.join(", "))
    }

    /// What the manifest says about a hole.
    fn said(&self, rule: &Rule, about: &About<'_>) -> impl Iterator<Item = &HoleClosed> {
        let (name, version) = (about.release.name.clone(), about.release.version.clone());
        let (id, ecosystem) = (rule.id.clone(), about.ecosystem.clone());
        self.known.closed.iter().filter(move |one| {
            let package = std::slice::from_ref(&one.package);
            one.rule == id && PackagePattern::any(package, &ecosystem, &name, &version)
        })
    }

    /// That what the manifest names is not there.
    fn not_staged(&self, rule: &Rule, about: &About<'_>) -> String {
        let said: Vec<String> = self
            .said(rule, about)
            .map(|one| quoted(one.by.as_str()))
            .collect();
        if said.is_empty() {
            return String::new();
        }
        format!(
            "; [holes] says that {} closes it, which is not in the lock for every platform",
            said.join(", ")
        )
    }

    /// The catalogs of a package, and one hole for all of what they list.
    fn catalog(&self, looked: &Looked<'_>, report: &mut Report) {
        let mut entries = BTreeMap::new();
        let mut first = None;
        for (at, entry) in &looked.seen.entries {
            first.get_or_insert(*at);
            let key = (
                entry.kind.clone(),
                entry.name.clone(),
                entry.via.clone(),
                entry.what.clone(),
            );
            entries.entry(key).or_insert_with(|| entry.clone());
        }
        let Some(rule) = first.and_then(|at| looked.rules.get(at)) else {
            return;
        };
        let about = Self::about(looked, None);
        let is_staged = |entry: &super::Entry| {
            entry.package.as_ref().is_some_and(|(ecosystem, name)| {
                let mut all = self.lock.packages.iter();
                all.any(|p| p.is_carried() && p.ecosystem.as_str() == *ecosystem && p.name == *name)
            })
        };
        let entries: Vec<_> = entries
            .into_values()
            .map(|entry| (is_staged(&entry), entry))
            .map(|(there, entry)| (entry, there))
            .collect();
        let subject = subject(about.ecosystem, &about.release);
        let message = format!("{}{}", visible(&rule.means), counted(&entries));
        report.holes.push(Hole {
            kind: HoleKind::Catalog,
            rule: rule.id.clone(),
            file: None,
            finding: Finding {
                code: HoleKind::Catalog.code(),
                severity: Severity::Note,
                subject: subject.clone(),
                message,
                chain: self.chain(&about),
                fix: Some(visible(&rule.fix)),
            },
        });
        report.catalogs.push(Catalog { subject, entries });
    }
}

/// `: 100 plugins, 37 skills, 3 of them staged`.
fn counted(entries: &[(super::Entry, bool)]) -> String {
    let mut kinds: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (entry, _) in entries {
        kinds.entry(&entry.kind).or_default().insert(&entry.name);
    }
    let kinds: Vec<String> = kinds
        .iter()
        .map(|(kind, names)| match names.len() {
            1 => format!("1 {kind}"),
            count => format!("{count} {kind}s"),
        })
        .collect();
    let there = entries.iter().filter(|(_, there)| *there).count();
    let there = match there {
        0 => "none of them staged".to_owned(),
        count => format!("{count} of them staged"),
    };
    format!(": {}; {there}", kinds.join(", "))
}

fn is_about(rule: &Rule, about: &About<'_>) -> bool {
    rule.is_about(about.ecosystem, &about.release.name, &about.release.version)
}

/// Whether the archive has what a rule takes for proof that there is no hole, on every platform.
fn is_absent(rule: &Rule, about: &About<'_>, paths: &[String], folder: &str) -> bool {
    let inside = |path: &'_ str| -> Option<String> {
        if folder.is_empty() {
            return Some(path.to_owned());
        }
        let rest = path.strip_prefix(folder)?.strip_prefix('/')?;
        Some(rest.to_owned())
    };
    rule.has_absent()
        && about.platforms.iter().all(|platform| {
            let mut all = paths.iter().filter_map(|path| inside(path));
            all.any(|path| rule.is_absent(&path, *platform))
        })
}

/// Advice to stage a file whose digest is not known, with the command that prints it.
fn with_command(fix: String) -> String {
    let url = fix
        .split_once("url = \"")
        .and_then(|(_, rest)| rest.split_once('"'));
    // Nothing that a shell takes otherwise.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#@&+,;=%".contains(&b);
    let url = url.map(|(url, _)| url).filter(|url| url.bytes().all(plain));
    match url.filter(|_| fix.contains("sha256 = \"…\"")) {
        Some(url) => format!("{fix}; its sha256: curl -fsSL \"{url}\" | sha256sum"),
        None => fix,
    }
}

/// Where it was seen: the script, the file, the address.
fn shown(hit: Option<&Hit>, with_url: bool) -> String {
    let Some(hit) = hit else { return String::new() };
    let mut parts = Vec::new();
    if let Some((event, command)) = &hit.command {
        parts.push(format!("{event} script {}", quoted(&short(command))));
    }
    parts.extend(hit.file.as_ref().map(|file| quoted(&short(file))));
    let url = hit.url.as_ref().filter(|_| with_url);
    parts.extend(url.map(|url| format!("<{}>", visible(&short(url)))));
    if parts.is_empty() {
        return String::new();
    }
    format!(" ({})", parts.join(", "))
}

fn short(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    let kept: String = text.chars().take(SHOWN).collect();
    format!("{kept}…")
}
