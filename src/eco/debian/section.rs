//! `[debian]` of the manifest.

use std::path::{Path, PathBuf};

use crate::base::fault::Fault;
use crate::base::limits::LIMITS;
use crate::base::platform::Target;
use crate::base::text::quoted;
use crate::eco::debian::fault::DebianError;
use crate::eco::debian::resolve::{self, Archive, Baseline, DebianRequest};
use crate::eco::debian::sources::{self, AptSource, SignedBy};
use crate::eco::debian::upstream_name;
use crate::eco::install::{Address, Given, HOST_SOURCES, InputFile, Inputs, Install, mirrors};
use crate::manifest::table::{Found, Table};
use crate::manifest::{ManifestError, Requirement};
use crate::upstream::Resolver;

/// Role of the status file among the inputs.
const STATUS: &str = "baseline";
/// Most bytes of a keyring.
const KEYRING: u64 = crate::openpgp::KEYRING_LIMIT as u64;

/// `baseline`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Assumed {
    None,
    Essential,
    Status(PathBuf),
}

/// One `[debian]` install.
#[derive(Debug)]
pub(crate) struct DebianInstall {
    /// `packages`.
    packages: Vec<Requirement>,
    /// `recommends`.
    recommends: bool,
    /// `baseline`.
    baseline: Assumed,
    /// `[[debian.source]]`; empty = this host's own.
    sources: Vec<AptSource>,
    /// Addresses of the sources, each with the name of its upstream.
    names: Vec<(String, String)>,
    /// `mirror` of each source, by its address.
    mirrors: Vec<(String, Vec<String>)>,
}

/// Reads all tables. Sources with the same address are one upstream, whichever install they stand in.
pub(crate) fn read(
    tables: Vec<Table<'_>>,
    target: &Target,
) -> Result<Vec<DebianInstall>, ManifestError> {
    let mut names: Vec<(String, String)> = Vec::new();
    let mut installs = Vec::new();
    for table in tables {
        let mut install = read_one(table, target)?;
        for source in &install.sources {
            if !names.iter().any(|(uri, _)| *uri == source.uri) {
                names.push((source.uri.clone(), upstream_name(names.len())));
            }
        }
        let uses = |uri: &String| install.sources.iter().any(|s| s.uri == *uri);
        install.names = names.iter().filter(|(uri, _)| uses(uri)).cloned().collect();
        installs.push(install);
    }
    Ok(installs)
}

fn read_one(mut table: Table<'_>, target: &Target) -> Result<DebianInstall, ManifestError> {
    let place = table.place();
    let packages = table
        .take("packages")
        .map(|found| found.requirements(target));
    let recommends = table.take("recommends").map(Found::boolean).transpose()?;
    let baseline = table.take("baseline").map(baseline).transpose()?;
    let (mut found, mut mirrors) = (Vec::new(), Vec::new());
    if let Some(tables) = table.take("source") {
        for mut table in tables.tables("[[debian.source]]")? {
            let others = table.take("mirror").map(Found::web_addresses).transpose()?;
            let source = source(table)?;
            mirrors.push((source.uri.clone(), others.unwrap_or_default()));
            found.push(source);
        }
    }
    table.finish()?;
    let install = DebianInstall {
        packages: packages.transpose()?.unwrap_or_default(),
        recommends: recommends.unwrap_or(false),
        baseline: baseline.unwrap_or(Assumed::None),
        sources: found,
        names: Vec::new(),
        mirrors,
    };
    if install.packages.is_empty() && install.baseline != Assumed::Essential {
        return Err(ManifestError::Value {
            key: "packages".to_owned(),
            expected: "given, unless `baseline` is \"essential\"".to_owned(),
            place,
        });
    }
    for requirement in &install.packages {
        if resolve::wish(&requirement.spec).is_err() {
            return Err(ManifestError::Value {
                key: "packages".to_owned(),
                expected: "packages such as \"name\", \"name=1.2-3\" or \"name:arm64\"".to_owned(),
                place: requirement.place.clone(),
            });
        }
    }
    Ok(install)
}

fn baseline(found: Found<'_>) -> Result<Assumed, ManifestError> {
    let fail = found.error("\"none\", \"essential\" or { status = \"path/to/dpkg-status\" }");
    if found.is_table() {
        let mut table = found.table("`baseline`")?;
        let path = table.require("status")?.string()?;
        table.finish()?;
        return Ok(Assumed::Status(PathBuf::from(path)));
    }
    match found.string()?.as_str() {
        "none" => Ok(Assumed::None),
        "essential" => Ok(Assumed::Essential),
        _ => Err(fail),
    }
}

fn source(mut table: Table<'_>) -> Result<AptSource, ManifestError> {
    let names = |found: Found<'_>, what: &str| -> Result<Vec<String>, ManifestError> {
        let fail = found.error(what);
        let names = found.strings()?;
        let fine = !names.is_empty() && names.iter().all(|name| sources::is_suite(name));
        if fine { Ok(names) } else { Err(fail) }
    };
    let source = AptSource {
        uri: table
            .require("uri")?
            .web_address()?
            .trim_end_matches('/')
            .to_owned(),
        suites: names(
            table.require("suites")?,
            "names of suites such as \"bookworm\"",
        )?,
        components: match table.take("components") {
            Some(found) => names(found, "names of components such as \"main\"")?,
            None => vec!["main".to_owned()],
        },
        architectures: Vec::new(),
        signed_by: SignedBy::Files(vec![table.require("signed-by")?.string()?]),
    };
    table.finish()?;
    Ok(source)
}

/// The last part of a path: locks do not say where on this host a file is.
fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Role of a keyring among the inputs.
fn keyring_role(path: &str) -> String {
    format!("keyring {path}")
}

impl DebianInstall {
    /// The sources of the manifest, else those of the host, which are among the inputs.
    fn effective(&self, inputs: &Inputs) -> Result<Vec<AptSource>, DebianError> {
        if !self.sources.is_empty() {
            return Ok(self.sources.clone());
        }
        let fail = |reason: String| DebianError::Sources { reason };
        let text = inputs
            .get(HOST_SOURCES)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let text = std::str::from_utf8(text).map_err(|_bad| fail("not UTF-8".to_owned()))?;
        let found = sources::parse(text).map_err(fail)?;
        if found.is_empty() {
            return Err(fail(
                "the manifest has no [[debian.source]] and this host has no apt sources with http or https".to_owned(),
            ));
        }
        Ok(found)
    }

    fn archives(&self, inputs: &Inputs) -> Result<Vec<Archive>, DebianError> {
        let found = self.effective(inputs)?;
        let mut names = self.names.clone();
        for source in &found {
            if !names.iter().any(|(uri, _)| *uri == source.uri) {
                names.push((source.uri.clone(), upstream_name(names.len())));
            }
        }
        let mut archives = Vec::new();
        for source in found {
            let name = names.iter().find(|(uri, _)| *uri == source.uri);
            let keys = match &source.signed_by {
                SignedBy::Inline(text) => vec![text.clone().into_bytes()],
                SignedBy::Files(files) => files
                    .iter()
                    .filter_map(|file| inputs.get(&keyring_role(file)).cloned())
                    .collect(),
            };
            archives.push(Archive {
                upstream: name.map(|(_, name)| name.clone()).unwrap_or_default(),
                suites: source.suites,
                components: source.components,
                architectures: source.architectures,
                keys,
            });
        }
        Ok(archives)
    }
}

impl Install for DebianInstall {
    fn inputs(&self, known: &Inputs) -> Result<Vec<InputFile>, Box<dyn Fault>> {
        let mut files = Vec::new();
        if let Assumed::Status(path) = &self.baseline {
            files.push(InputFile {
                role: STATUS.to_owned(),
                path: path.clone(),
                limit: LIMITS.metadata,
            });
        }
        if self.sources.is_empty() && !known.contains_key(HOST_SOURCES) {
            files.push(InputFile {
                role: HOST_SOURCES.to_owned(),
                path: PathBuf::new(),
                limit: LIMITS.metadata,
            });
            return Ok(files);
        }
        for source in self.effective(known)? {
            let SignedBy::Files(paths) = source.signed_by else {
                continue;
            };
            files.extend(paths.iter().map(|path| InputFile {
                role: keyring_role(path),
                path: PathBuf::from(path),
                limit: KEYRING,
            }));
        }
        files.sort();
        files.dedup();
        Ok(files)
    }

    fn addresses(&self) -> Vec<Address> {
        if self.names.is_empty() {
            return vec![Address::Upstream {
                name: upstream_name(0),
                configured: None,
                first: String::new(),
            }];
        }
        let of = |(uri, name): &(String, String)| {
            let suite = self.sources.iter().find(|s| s.uri == *uri);
            let suite = suite.and_then(|s| s.suites.first()).cloned();
            Address::Upstream {
                name: name.clone(),
                configured: Some(uri.clone()),
                first: format!("dists/{}/InRelease", suite.unwrap_or_default()),
            }
        };
        let mut addresses: Vec<Address> = self.names.iter().map(of).collect();
        for (uri, name) in &self.names {
            let same = self.mirrors.iter().filter(|(of, _)| of == uri);
            let urls: Vec<String> = same.flat_map(|(_, urls)| urls.clone()).collect();
            addresses.extend(mirrors(name, &urls));
        }
        addresses
    }

    fn requirements(&self, _inputs: &Inputs) -> Result<Vec<String>, Box<dyn Fault>> {
        Ok(self.packages.iter().map(|r| r.spec.clone()).collect())
    }

    fn resolver(&self, given: Given<'_>) -> Result<Box<dyn Resolver>, Box<dyn Fault>> {
        let mut wishes = Vec::new();
        for requirement in &self.packages {
            let wish = resolve::wish(&requirement.spec)?;
            wishes.push((wish, requirement.platforms.clone()));
        }
        let status = given.inputs.get(STATUS);
        let baseline = match (&self.baseline, status) {
            (Assumed::Status(path), Some(bytes)) => Baseline::Status {
                name: file_name(path),
                bytes: bytes.clone(),
            },
            (Assumed::Status(path), None) => {
                let path = quoted(&path.to_string_lossy());
                return Err(DebianError::internal(format!("{path} was not read")).into());
            }
            (Assumed::Essential, _) => Baseline::Essential,
            (Assumed::None, _) => Baseline::None,
        };
        let archives = self.archives(given.inputs)?;
        resolve::resolver(DebianRequest {
            number: given.number,
            archives,
            wishes,
            recommends: self.recommends,
            baseline,
            target: given.target.clone(),
            has_age_limit: given.exclude_newer.is_some(),
            prefer: given.prefer,
            previous: resolve::previous(given.previous, given.number)?,
            now: given.now,
        })
    }
}
