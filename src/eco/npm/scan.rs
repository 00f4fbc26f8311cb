//! What is worth saying about an assembled tree: dependencies that no registry serves, packages that do not fit, weak
//! checksums, deprecations, install scripts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use nodejs_semver::{Range, Version};

use crate::base::digest::UpstreamChecksum;
use crate::base::fault::Code;
use crate::base::finding::{Finding, Severity};
use crate::base::platform::Target;
use crate::base::text::{escaped, quoted};
use crate::eco::npm::assemble::{self, Assembly};
use crate::eco::npm::fault;
use crate::eco::npm::manifest::Manifest;
use crate::eco::npm::placed::{EdgeKind, Placed, PlacedEdge, PlacedTree};
use crate::eco::npm::records::NpmVersion;
use crate::eco::npm::spec::{Foreign, Spec};

/// How each place came in.
#[derive(Debug)]
pub(crate) struct Chains<'t> {
    tree: &'t PlacedTree,
    before: BTreeMap<&'t str, (&'t str, &'t PlacedEdge)>,
}

impl<'t> Chains<'t> {
    /// Shortest ways from the root.
    pub(crate) fn new(tree: &'t PlacedTree) -> Self {
        let mut before = BTreeMap::new();
        let mut queue = VecDeque::from([""]);
        while let Some(from) = queue.pop_front() {
            for edge in tree.edges(from) {
                let Some(to) = &edge.to else { continue };
                if !before.contains_key(to.as_str()) {
                    before.insert(to.as_str(), (from, edge));
                    queue.push_back(to);
                }
            }
        }
        Self { tree, before }
    }

    /// From the requirement to the package at `path`, or to the root for an empty path.
    pub(crate) fn to(&self, path: &str) -> Vec<String> {
        let mut chain = Vec::new();
        let mut here = path;
        let mut seen = BTreeSet::new();
        while let Some(placed) = self.tree.places.get(here).filter(|_| seen.insert(here)) {
            chain.push(escaped(&placed.release.to_string()));
            let Some((from, edge)) = self.before.get(here) else {
                break;
            };
            if from.is_empty() {
                let requirement = escaped(&format!("{}@{}", edge.name, edge.range));
                if chain.last() != Some(&requirement) {
                    chain.push(requirement);
                }
                break;
            }
            here = from;
        }
        chain.reverse();
        chain
    }
}

/// Everything that is to be said, unsorted.
pub(crate) fn findings(assembly: &Assembly<'_>) -> Vec<Finding> {
    let chains = Chains::new(&assembly.tree);
    let mut scan = Scan {
        assembly,
        chains: &chains,
        found: Vec::new(),
    };
    for edge in &assembly.tree.roots {
        scan.foreign("", edge);
    }
    let mut stripped = !assembly.places.is_empty();
    for (path, placed) in &assembly.tree.places {
        let Some(manifest) = assembly.manifest(path) else {
            continue;
        };
        stripped &= manifest
            .record
            .dist
            .as_ref()
            .is_none_or(|d| d.signatures.is_empty());
        if placed.bundler.is_none() {
            for edge in &placed.edges {
                if !manifest.record.bundle_dependencies.contains(&edge.name) {
                    scan.foreign(path, edge);
                }
            }
        }
        scan.fitness(path, placed, manifest);
        if assembly.is_carried(path) {
            scan.package(path, placed, manifest);
        }
    }
    scan.unused_overrides();
    let mut found = scan.found;
    if stripped {
        found.push(Finding {
            code: &fault::SIGNATURES,
            severity: Severity::Note,
            subject: "npm registry".to_owned(),
            message: "the registry sends no signatures for any of these versions".to_owned(),
            chain: Vec::new(),
            fix: Some(
                "a mirror that passes on `dist.signatures` gives stronger evidence".to_owned(),
            ),
        });
    }
    let mut seen = BTreeSet::new();
    found.retain(|f| seen.insert((f.code.name, f.subject.clone(), f.message.clone())));
    found
}

/// What to do about a dependency that no registry serves.
fn replacement(name: &str) -> String {
    let name = quoted(name);
    format!(
        "take a release of it from the registry: `[npm] overrides = {{ {name} = \"VERSION\" }}`, or, published by \
         yourself, `{{ {name} = \"npm:@you/NAME@VERSION\" }}`; look at it first, the same name may be another program. \
         Or take a version that does not need it"
    )
}

struct Scan<'a, 's> {
    assembly: &'s Assembly<'a>,
    chains: &'s Chains<'s>,
    found: Vec<Finding>,
}

impl Scan<'_, '_> {
    fn add(
        &mut self,
        path: &str,
        code: &'static Code,
        severity: Severity,
        message: String,
    ) -> &mut Finding {
        let release = self.assembly.tree.places.get(path).map_or_else(
            || "the project".to_owned(),
            |placed| format!("npm {}", escaped(&placed.release.to_string())),
        );
        self.found.push(Finding {
            code,
            severity,
            subject: release,
            message,
            chain: self.chains.to(path),
            fix: None,
        });
        let last = self.found.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "one was pushed above")]
        &mut self.found[last]
    }

    /// A dependency that no registry serves.
    fn foreign(&mut self, path: &str, edge: &PlacedEdge) {
        let what = match Spec::parse(&edge.range) {
            Spec::Foreign(what) => what,
            _ if super::is_name(&edge.name) => return,
            _ => Foreign::Local,
        };
        let (code, word) = match what {
            Foreign::Git => (&fault::GIT, "a git repository"),
            Foreign::Url => (&fault::URL, "a URL"),
            Foreign::Local => (&fault::FILE, "something outside every registry"),
        };
        let severity = if edge.kind == EdgeKind::PeerOptional {
            Severity::Note
        } else {
            Severity::Deny
        };
        let message = format!(
            "{} dependency {} comes from {word}: {}",
            edge.kind.as_str(),
            escaped(&edge.name),
            escaped(&edge.range)
        );
        let wanted = escaped(&format!("{}@{}", edge.name, edge.range));
        let finding = self.add(path, code, severity, message);
        finding.chain.push(wanted);
        finding.fix = Some(replacement(&edge.name));
    }

    /// Overrides that replace nothing: a slip of the pen, or no longer needed.
    fn unused_overrides(&mut self) {
        let assembly = self.assembly;
        for name in assembly.catalog.overrides() {
            let mut paths = assembly.tree.places.keys();
            let used = paths.any(|path| {
                assembly
                    .manifest(path)
                    .is_some_and(|manifest| manifest.replaced.iter().any(|d| d.name == name))
            });
            if !used {
                let message = format!(
                    "[npm] overrides names {}, which nothing here asks for otherwise",
                    quoted(name)
                );
                self.add("", &fault::OVERRIDDEN, Severity::Warn, message);
            }
        }
    }

    /// Whether a package is for the target. An optional one for other platforms is left out without a word; one that is
    /// left out for the target's Node alone is worth one.
    fn fitness(&mut self, path: &str, placed: &Placed, manifest: &Manifest) {
        if placed.flags.dev || placed.bundler.is_some() {
            return;
        }
        if placed.flags.optional {
            let target = self.assembly.target;
            let mut platforms = target.platforms.iter();
            if platforms.any(|p| assemble::fits_platform(&manifest.record, *p, target)) {
                self.engine(path, manifest, "is optional and left out: ");
            }
            return;
        }
        let carried = self.assembly.carried.get(path).cloned().unwrap_or_default();
        for platform in carried {
            if !assemble::fits_platform(&manifest.record, platform, self.assembly.target) {
                let r = &manifest.record;
                let asks = escaped(&format!(
                    "os {:?}, cpu {:?}, libc {:?}",
                    r.os, r.cpu, r.libc
                ));
                let message = format!("is required, but not for {platform}: {asks}");
                self.add(path, &fault::PLATFORM, Severity::Deny, message);
            }
        }
        self.engine(path, manifest, "");
    }

    /// Whether the target's Node is one that a package wants.
    fn engine(&mut self, path: &str, manifest: &Manifest, lead: &str) {
        if !fits_node(&manifest.record, self.assembly.target) {
            let range = manifest
                .record
                .engines
                .get("node")
                .map(String::as_str)
                .unwrap_or_default();
            let node = self.assembly.target.node.as_deref().unwrap_or_default();
            let message = format!(
                "{lead}wants Node {}, the target has {}",
                escaped(range),
                escaped(node)
            );
            self.add(path, &fault::ENGINES, Severity::Warn, message);
        }
    }

    /// What is to be said about a carried package.
    fn package(&mut self, path: &str, placed: &Placed, manifest: &Manifest) {
        let record = &manifest.record;
        if let Some(text) = &record.deprecated {
            self.add(
                path,
                &fault::DEPRECATED,
                Severity::Warn,
                format!("is deprecated: {}", escaped(text)),
            );
        }
        if record.has_install_script {
            let scripts: Vec<&str> = record.scripts.keys().map(String::as_str).collect();
            let names = if scripts.is_empty() {
                "install".to_owned()
            } else {
                scripts.join(", ")
            };
            self.add(
                path,
                &super::INSTALL_SCRIPT,
                Severity::Warn,
                format!("runs code when it is installed: {names}"),
            );
        }
        for before in &manifest.replaced {
            let message = format!(
                "{} dependency {} is not {}, which it asks for: [npm] overrides replaces it",
                before.kind.as_str(),
                escaped(&before.name),
                quoted(&before.spec)
            );
            self.add(path, &fault::OVERRIDDEN, Severity::Warn, message);
        }
        if record.has_shrinkwrap {
            let message = "brings its own npm-shrinkwrap.json, which is not resolved".to_owned();
            self.add(path, &fault::SHRINKWRAP, Severity::Deny, message);
        }
        if is_repacked_node(&manifest.name) {
            let message = "repacked Node.js published by a third party, not by the Node.js project"
                .to_owned();
            self.add(path, &fault::REPACK, Severity::Warn, message);
        }
        let checksum = manifest.tarball.as_ref().and_then(|t| t.checksum.as_ref());
        if placed.bundler.is_none() && !matches!(checksum, Some(UpstreamChecksum::Sha512(_))) {
            let message = "the registry states no SHA-512 for its tarball".to_owned();
            let finding = self.add(path, &fault::WEAK, Severity::Deny, message);
            finding.fix = Some("take a version that was published with `integrity`".to_owned());
        }
    }
}

/// Whether a version's `engines.node` admits the target's Node. Unknown Node or no statement: yes.
pub(crate) fn fits_node(record: &NpmVersion, target: &Target) -> bool {
    let node = target.node.as_deref().and_then(|n| Version::parse(n).ok());
    match (node, record.engines.get("node").filter(|r| !r.is_empty())) {
        (Some(node), Some(range)) => {
            Range::parse(range).is_ok_and(|r| r.satisfies_with_prerelease(&node, true))
        }
        _ => true,
    }
}

/// Whether a package is a Node.js executable published under npm by someone else.
fn is_repacked_node(name: &str) -> bool {
    let known = ["node-linux-", "node-darwin-", "node-win-", "node-bin-"];
    name == "node" || known.iter().any(|prefix| name.starts_with(prefix))
}
