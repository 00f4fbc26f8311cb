//! What is needed against what is there, for one platform. One finding for each release and kind of trouble, not one
//! for each file.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::fault::Code;
use crate::base::finding::{Finding, Severity};
use crate::base::package::{EcosystemId, ReleaseId};
use crate::base::platform::{Libc, Platform};
use crate::base::text::{escaped, quoted};
use crate::lock::Lock;
use crate::lock::chain::Chains;
use crate::native::hint::{Hint, Suites};
use crate::native::tree::{Binary, Tree};
use crate::native::{
    GLIBC, INTERPRETER, Known, MISSING, Need, PerRelease, Provider, SYMBOL, soname, subject,
};

/// Most names that a message lists.
const LISTED: usize = 20;

/// A version of GNU libc, such as 2.36.
type GlibcVersion = (u32, u32);

/// The version behind `GLIBC_2.36`, and what `GLIBC_ABI_*` stands for; `None` = nothing that is known.
fn glibc_version(symbol: &str) -> Option<GlibcVersion> {
    if symbol == "GLIBC_ABI_DT_RELR" {
        return Some((2, 36));
    }
    number(symbol.strip_prefix("GLIBC_")?)
}

fn number(text: &str) -> Option<GlibcVersion> {
    let mut parts = text.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    Some((major, minor))
}

/// The judge of one platform.
pub(super) struct Judge<'j> {
    lock: &'j Lock,
    platform: Platform,
    baseline: &'j BTreeSet<String>,
    tree: &'j Tree<'j>,
    suites: Suites<'j>,
    glibc: Option<GlibcVersion>,
}

/// What one release lacks.
#[derive(Default)]
struct Lack<'a> {
    /// Missing libraries, each with the first file that needs it.
    libraries: BTreeMap<&'a str, &'a str>,
    /// Missing `libpython`, each with the first file that needs it.
    pythons: BTreeMap<&'a str, &'a str>,
    /// The newest version of the C library that is asked for, with the symbol version and the first such file.
    glibc: Option<(GlibcVersion, &'a str, &'a str)>,
    /// Symbol versions that the library which is there does not have: version and library, with file and provider.
    symbols: BTreeMap<(&'a str, &'a str), (&'a str, String)>,
}

impl<'j> Judge<'j> {
    /// The C library's version is the target's, or that of the one that is staged.
    pub(super) fn new(
        lock: &'j Lock,
        platform: Platform,
        known: &'j Known<'j>,
        tree: &'j Tree<'j>,
    ) -> Self {
        let target = match &lock.target.libc {
            Libc::Glibc(version) => number(version),
            Libc::Musl(_) => None,
        };
        let staged = tree.loaded("libc.so.6").filter(|libc| libc.system);
        let staged = staged
            .and_then(|libc| {
                libc.elf
                    .defines
                    .iter()
                    .filter_map(|v| glibc_version(v))
                    .max()
            })
            .filter(|_| target.is_some());
        Self {
            lock,
            platform,
            baseline: known.baseline,
            tree,
            suites: Suites::new(platform, known.offered),
            glibc: staged.or(target),
        }
    }

    /// Every need from outside a release, and the findings.
    pub(super) fn run(
        &self,
        binaries: &'j [Binary<'j>],
        chains: &Chains<'_>,
    ) -> (Vec<Need>, Vec<Finding>) {
        let mut needs = Vec::new();
        let mut lacks: PerRelease<'_, Lack<'_>> = BTreeMap::new();
        for binary in binaries {
            let lack = lacks
                .entry((binary.ecosystem, &binary.release))
                .or_default();
            for name in &binary.elf.needed {
                let provider = self.provider(binary, name);
                if provider == Provider::Missing {
                    let missing = if soname::python_of(name).is_some() {
                        &mut lack.pythons
                    } else {
                        &mut lack.libraries
                    };
                    missing.entry(name).or_insert(&binary.file);
                }
                let own = Provider::Staged(binary.ecosystem.clone(), binary.release.clone());
                if provider != own {
                    needs.push(Need {
                        ecosystem: binary.ecosystem.clone(),
                        release: binary.release.clone(),
                        platform: self.platform,
                        file: binary.file.clone(),
                        soname: name.clone(),
                        provider,
                    });
                }
            }
            self.versions(binary, lack);
        }
        let mut findings = Vec::new();
        for ((ecosystem, release), lack) in &lacks {
            let start = findings.len();
            findings.extend(self.missing(&lack.libraries, &MISSING));
            findings.extend(self.missing(&lack.pythons, &INTERPRETER));
            findings.extend(self.too_old(lack));
            findings.extend(self.undefined(lack));
            complete(findings.get_mut(start..), ecosystem, release, chains);
        }
        (needs, findings)
    }

    fn provider(&self, binary: &Binary<'_>, name: &str) -> Provider {
        let staged =
            |found: &Binary<'_>| Provider::Staged(found.ecosystem.clone(), found.release.clone());
        if let Some(found) = self.tree.find(binary, name) {
            return staged(found);
        }
        if soname::is_libc(name, &self.lock.target.libc, self.platform) {
            return Provider::Libc;
        }
        // The interpreter that loads an extension module has its own library in memory by then.
        if soname::python_of(name).is_some()
            && let Some(found) = self.tree.loaded(name)
        {
            return staged(found);
        }
        let package = soname::debian_package(name).unwrap_or_default();
        let forms = soname::forms(&package).into_iter();
        let known = forms.rev().find(|name| self.baseline.contains(name));
        known.map_or(Provider::Missing, Provider::Baseline)
    }

    /// Symbol versions that are not there.
    fn versions(&self, binary: &'j Binary<'j>, lack: &mut Lack<'j>) {
        for (library, versions) in &binary.elf.requires {
            for version in versions {
                if let Some(asked) = glibc_version(version) {
                    let newer = self.glibc.is_some_and(|have| asked > have);
                    if newer && lack.glibc.is_none_or(|(known, ..)| asked > known) {
                        lack.glibc = Some((asked, version, &binary.file));
                    }
                    continue;
                }
                let Some(found) = self.tree.find(binary, library) else {
                    continue;
                };
                let defines = &found.elf.defines;
                if !defines.is_empty() && !defines.contains(version) {
                    let by = subject(found.ecosystem, &found.release);
                    let entry = lack.symbols.entry((version, library));
                    entry.or_insert((&binary.file, by));
                }
            }
        }
    }

    fn missing(&self, lack: &BTreeMap<&str, &str>, code: &'static Code) -> Option<Finding> {
        let names: Vec<String> = lack.keys().take(LISTED).map(|name| escaped(name)).collect();
        let (name, file) = lack.first_key_value()?;
        let more = match lack.len() - names.len() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        let message = format!(
            "needs {}{more}, which nothing provides on {}; {} needs {}",
            names.join(", "),
            self.platform,
            quoted(file),
            escaped(name)
        );
        let hint = match &self.lock.target.libc {
            Libc::Glibc(_) => self.suites.hint(lack.keys().copied()),
            Libc::Musl(_) => Hint::default(),
        };
        Some(finding(code, message, Some(hint.to_string())))
    }

    /// The packages that would bring everything that is missing; for a target without glibc none.
    pub(super) fn hint(&self, needs: &[Need]) -> Hint {
        let missing = needs
            .iter()
            .filter(|need| need.provider == Provider::Missing);
        let mut names = missing.map(|need| need.soname.as_str()).peekable();
        let is_glibc = matches!(self.lock.target.libc, Libc::Glibc(_));
        if is_glibc && names.peek().is_some() {
            self.suites.hint(names)
        } else {
            Hint {
                is_certain: true,
                ..Hint::default()
            }
        }
    }

    fn too_old(&self, lack: &Lack<'_>) -> Option<Finding> {
        let (_, version, file) = lack.glibc?;
        let (major, minor) = self.glibc?;
        let message = format!(
            "{} needs {} of the C library, {} has glibc {major}.{minor}",
            quoted(file),
            escaped(version),
            self.platform
        );
        let fix = "take a release built for an older glibc, or a target that has a newer one \
                   (`[target] glibc` must be what the image really has)";
        Some(finding(&GLIBC, message, Some(fix.to_owned())))
    }

    fn undefined(&self, lack: &Lack<'_>) -> Option<Finding> {
        let ((version, library), (file, by)) = lack.symbols.first_key_value()?;
        let more = match lack.symbols.len() - 1 {
            0 => String::new(),
            count => format!(", and {count} more such versions"),
        };
        let message = format!(
            "{} needs {} of {}, which the one of {by} does not have on {}{more}",
            quoted(file),
            escaped(version),
            escaped(library),
            self.platform
        );
        let fix = "stage a newer release of the library, or an older one of the program";
        Some(finding(&SYMBOL, message, Some(fix.to_owned())))
    }
}

fn finding(code: &'static Code, message: String, fix: Option<String>) -> Finding {
    Finding {
        code,
        severity: Severity::Warn,
        subject: String::new(),
        message,
        chain: Vec::new(),
        fix,
    }
}

/// Says what the findings are about and how it came in.
fn complete(
    findings: Option<&mut [Finding]>,
    ecosystem: &EcosystemId,
    release: &ReleaseId,
    chains: &Chains<'_>,
) {
    for finding in findings.into_iter().flatten() {
        finding.subject = subject(ecosystem, release);
        let chain = chains.chain(ecosystem, release);
        finding.chain = chain.iter().map(|step| escaped(step)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::{glibc_version, number};

    #[test]
    fn versions_of_the_c_library_are_numbers() {
        assert_eq!(glibc_version("GLIBC_2.2.5"), Some((2, 2)));
        assert_eq!(glibc_version("GLIBC_ABI_DT_RELR"), Some((2, 36)));
        assert!(glibc_version("GLIBC_2.4") < glibc_version("GLIBC_2.36"));
        for other in ["GLIBC_PRIVATE", "GLIBCXX_3.4.9", "CXXABI_1.3", "GLIBC_2"] {
            assert_eq!(glibc_version(other), None, "{other}");
        }
        assert_eq!(number("2.36"), Some((2, 36)));
        assert_eq!(number("x"), None);
    }
}
