//! One version of a package as resolving uses it: its record, its edges in npm's order, its tarball. Odd field shapes
//! are read as npm reads them.

use std::collections::BTreeMap;

use nodejs_semver::Version;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::base::digest::UpstreamChecksum;
use crate::eco::npm::packument::{Texts, VersionView};
use crate::eco::npm::placed::EdgeKind;
use crate::eco::npm::records::{NpmDist, NpmVersion};

/// Longest text of a kept field that is only for readers.
const MAX_TEXT: usize = 4096;

/// A dependency as a version declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declared {
    /// Name it is installed under.
    pub(crate) name: String,
    /// Range, tag, alias …
    pub(crate) spec: String,
    /// Kind.
    pub(crate) kind: EdgeKind,
}

/// Where a version's tarball is and what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tarball {
    /// Path below the registry, percent-encoded.
    pub(crate) path: String,
    /// Strongest checksum that the registry states.
    pub(crate) checksum: Option<UpstreamChecksum>,
}

/// One version.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    /// Package name.
    pub(crate) name: String,
    /// Version text.
    pub(crate) version: String,
    /// Version, where it is one.
    pub(crate) parsed: Option<Version>,
    /// What the records keep.
    pub(crate) record: NpmVersion,
    /// Its dependencies in the order in which npm makes edges.
    pub(crate) edges: Vec<Declared>,
    /// Its tarball; none for what only exists inside another tarball.
    pub(crate) tarball: Option<Tarball>,
    /// Dependencies that the manifest of the project replaced, as they were.
    pub(crate) replaced: Vec<Declared>,
}

/// Where the JSON of a field comes from.
trait Fields {
    fn field(&self, name: &str) -> Option<&str>;

    fn value(&self, name: &str) -> Value {
        self.field(name)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or(Value::Null)
    }

    fn texts(&self, name: &str) -> Vec<(String, String)> {
        self.field(name)
            .and_then(|text| serde_json::from_str::<Texts>(text).ok())
            .unwrap_or_default()
            .0
    }
}

impl Fields for VersionView<'_> {
    fn field(&self, name: &str) -> Option<&str> {
        VersionView::field(self, name)
    }
}

impl Fields for BTreeMap<String, Box<RawValue>> {
    fn field(&self, name: &str) -> Option<&str> {
        self.get(name).map(|raw| raw.get())
    }
}

impl Manifest {
    /// A version of a registry.
    pub(crate) fn from_view(name: &str, view: VersionView<'_>) -> Self {
        let mut manifest = Self::read(name, view.text(), &view);
        let dist = Fields::value(&view, "dist");
        let text = |field: &str| dist.get(field).and_then(Value::as_str).map(str::to_owned);
        let (integrity, shasum) = (text("integrity"), text("shasum"));
        let strong = integrity
            .as_deref()
            .and_then(|sri| UpstreamChecksum::from_sri(sri).ok());
        let weak = shasum
            .as_deref()
            .and_then(|hex| UpstreamChecksum::from_sha1_hex(hex).ok());
        manifest.tarball = Some(Tarball {
            path: tarball_path(
                name,
                view.text(),
                dist.get("tarball").and_then(Value::as_str),
            ),
            checksum: strong.or(weak),
        });
        manifest.record.time = view.time().map(cut);
        manifest.record.dist = Some(NpmDist {
            integrity,
            shasum,
            unpacked_size: dist.get("unpackedSize").and_then(Value::as_u64),
            signatures: signatures(dist.get("signatures")),
            provenance: None,
        });
        manifest
    }

    /// A package inside another one's tarball, by its `package.json`; `None` when that is no JSON object.
    pub(crate) fn from_package_json(folder: &str, bytes: &[u8]) -> Option<Self> {
        let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(bytes).ok()?;
        let text = |name: &str| fields.value(name).as_str().map(str::to_owned);
        let name = text("name")
            .filter(|n| super::is_name(n))
            .unwrap_or_else(|| folder.to_owned());
        let version = text("version")?;
        Some(Self::read(&name, &version, &fields))
    }

    fn read(name: &str, version: &str, fields: &impl Fields) -> Self {
        let dependencies = fields.texts("dependencies");
        let optional = fields.texts("optionalDependencies");
        let peers = fields.texts("peerDependencies");
        let optional_peers = optional_peers(&fields.value("peerDependenciesMeta"), &peers);
        let scripts = install_scripts(&fields.value("scripts"));
        let text = |field: &str| {
            fields
                .value(field)
                .as_str()
                .filter(|t| !t.is_empty())
                .map(cut)
        };
        let record = NpmVersion {
            dependencies: dependencies
                .iter()
                .filter(|(name, _)| !optional.iter().any(|(other, _)| other == name))
                .cloned()
                .collect(),
            optional_dependencies: optional.iter().cloned().collect(),
            peer_dependencies: peers.iter().cloned().collect(),
            bundle_dependencies: bundled(fields, &dependencies),
            bin: bins(name, &fields.value("bin")),
            engines: texts_of(&fields.value("engines")),
            os: list(&fields.value("os")),
            cpu: list(&fields.value("cpu")),
            libc: list(&fields.value("libc")),
            deprecated: deprecation(&fields.value("deprecated")),
            has_install_script: !scripts.is_empty()
                || fields.value("hasInstallScript") == Value::Bool(true),
            scripts,
            license: license(&fields.value("license"))
                .or_else(|| license(&fields.value("licenses"))),
            author: person(&fields.value("author"))
                .or_else(|| person(&fields.value("maintainers"))),
            description: text("description"),
            homepage: text("homepage"),
            repository: url_of(&fields.value("repository")),
            has_shrinkwrap: fields.value("_hasShrinkwrap") == Value::Bool(true),
            optional_peers,
            time: None,
            dist: None,
        };
        Self {
            edges: edges(
                &record,
                &[(&peers, false), (&peers, true)],
                &dependencies,
                &optional,
            ),
            name: name.to_owned(),
            version: version.to_owned(),
            parsed: Version::parse(version).ok(),
            record,
            tarball: None,
            replaced: Vec::new(),
        }
    }

    /// Gives dependencies of these names another text, in the edges and in what the records keep: everything that is
    /// made of them agrees then, in the enclave too.
    pub(crate) fn replace(&mut self, overrides: &BTreeMap<String, String>) {
        for edge in &mut self.edges {
            let Some(text) = overrides.get(&edge.name).filter(|text| **text != edge.spec) else {
                continue;
            };
            self.replaced.push(edge.clone());
            edge.spec.clone_from(text);
            let record = &mut self.record;
            for map in [
                &mut record.dependencies,
                &mut record.optional_dependencies,
                &mut record.peer_dependencies,
            ] {
                if let Some(known) = map.get_mut(&edge.name) {
                    known.clone_from(text);
                }
            }
        }
    }
}

/// Edges in npm's order: peers, optional peers, ordinary, optional; a later one of the same name replaces an earlier.
fn edges(
    record: &NpmVersion,
    peers: &[(&Vec<(String, String)>, bool); 2],
    dependencies: &[(String, String)],
    optional: &[(String, String)],
) -> Vec<Declared> {
    let mut edges: Vec<Declared> = Vec::new();
    let mut add = |name: &String, spec: &String, kind: EdgeKind| {
        edges.retain(|edge| !edge.name.eq_ignore_ascii_case(name));
        edges.push(Declared {
            name: name.clone(),
            spec: spec.clone(),
            kind,
        });
    };
    for (names, want_optional) in peers {
        for (name, spec) in *names {
            if record.optional_peers.contains(name) == *want_optional {
                add(
                    name,
                    spec,
                    if *want_optional {
                        EdgeKind::PeerOptional
                    } else {
                        EdgeKind::Peer
                    },
                );
            }
        }
    }
    for (name, spec) in dependencies
        .iter()
        .filter(|(name, _)| record.dependencies.contains_key(name))
    {
        add(name, spec, EdgeKind::Prod);
    }
    for (name, spec) in optional {
        add(name, spec, EdgeKind::Optional);
    }
    edges
}

/// At most [`MAX_TEXT`] bytes.
fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// Names of peers that the meta map calls optional.
fn optional_peers(meta: &Value, peers: &[(String, String)]) -> Vec<String> {
    let is_optional = |name: &str| {
        let optional = meta.get(name).and_then(|m| m.get("optional"));
        !matches!(optional, None | Some(Value::Null | Value::Bool(false)))
    };
    let mut names: Vec<String> = peers
        .iter()
        .map(|(name, _)| name)
        .filter(|name| is_optional(name))
        .cloned()
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// `bundleDependencies` in every form npm knows: `true` means all ordinary dependencies.
fn bundled(fields: &impl Fields, dependencies: &[(String, String)]) -> Vec<String> {
    let field = match fields.field("bundleDependencies") {
        Some(_) => fields.value("bundleDependencies"),
        None => fields.value("bundledDependencies"),
    };
    let mut names: Vec<String> = match field {
        Value::Bool(true) => dependencies.iter().map(|(name, _)| name.clone()).collect(),
        Value::Array(items) => items
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        Value::Object(map) => map.keys().cloned().collect(),
        Value::Null | Value::Bool(false) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    names.retain(|name| super::is_name(name));
    names.sort_unstable();
    names.dedup();
    names
}

/// A text or a list of texts.
fn list(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) if !text.is_empty() => vec![text.clone()],
        Value::Array(items) => items
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

/// The texts of an object.
fn texts_of(value: &Value) -> BTreeMap<String, String> {
    let texts = value.as_object().into_iter().flatten();
    texts
        .filter_map(|(name, v)| Some((name.clone(), v.as_str()?.to_owned())))
        .collect()
}

/// Commands: one path means a command of the package's own name.
fn bins(name: &str, value: &Value) -> BTreeMap<String, String> {
    match value {
        Value::String(path) => BTreeMap::from([(super::base_name(name).to_owned(), path.clone())]),
        other => texts_of(other),
    }
}

fn install_scripts(value: &Value) -> BTreeMap<String, String> {
    let mut scripts = texts_of(value);
    scripts.retain(|name, line| {
        matches!(name.as_str(), "preinstall" | "install" | "postinstall") && !line.is_empty()
    });
    scripts
}

fn deprecation(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(cut(text)),
        Value::Bool(true) => Some("deprecated".to_owned()),
        _ => None,
    }
}

/// Licenses as texts, objects with a `type`, or lists of these, of which one may be chosen.
fn license(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(cut(text)),
        Value::Object(map) => {
            let text = map
                .get("type")
                .or_else(|| map.get("name"))
                .or_else(|| map.get("url"));
            text.and_then(Value::as_str)
                .filter(|t| !t.is_empty())
                .map(cut)
        }
        Value::Array(items) => {
            let found: Vec<String> = items.iter().filter_map(license).collect();
            match found.as_slice() {
                [] => None,
                [one] => Some(one.clone()),
                several => Some(cut(&format!("({})", several.join(" OR ")))),
            }
        }
        _ => None,
    }
}

/// The name in `Name <mail> (page)`, in an object, or in the first of a list.
fn person(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => {
            let name = text.split(['<', '(']).next().unwrap_or_default().trim();
            (!name.is_empty()).then(|| cut(name))
        }
        Value::Object(map) => map
            .get("name")
            .and_then(Value::as_str)
            .filter(|n| !n.is_empty())
            .map(cut),
        Value::Array(items) => items.first().and_then(person),
        _ => None,
    }
}

fn url_of(value: &Value) -> Option<String> {
    let text = value
        .as_str()
        .or_else(|| value.get("url").and_then(Value::as_str));
    text.filter(|t| !t.is_empty()).map(cut)
}

/// Signatures as they are: objects of texts only.
fn signatures(value: Option<&Value>) -> Vec<Value> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items
        .filter(|s| {
            s.as_object()
                .is_some_and(|map| map.values().all(Value::is_string))
        })
        .cloned()
        .collect()
}

/// Path of a tarball below the registry: the part of its URL from the package name on, else npm's canonical one.
fn tarball_path(name: &str, version: &str, url: Option<&str>) -> String {
    let below = url.and_then(|url| {
        let rest = url.split_once("://")?.1;
        let path = rest.get(rest.find('/')?..)?;
        [
            name.to_owned(),
            name.replace('/', "%2f"),
            name.replace('/', "%2F"),
        ]
        .iter()
        .find_map(|form| path.get(path.find(&format!("/{form}/"))? + 1..))
    });
    let is_safe = |path: &&str| {
        path.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~!'()*@/%+=,".contains(&b))
            && path
                .split('/')
                .all(|segment| !matches!(segment, "" | "." | ".."))
    };
    below
        .filter(is_safe)
        .map_or_else(|| super::tarball_path(name, version), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{Manifest, tarball_path};
    use crate::eco::npm::packument::Packument;
    use crate::eco::npm::placed::EdgeKind;

    fn manifest(version: &str) -> Manifest {
        let text = format!(r#"{{"versions":{{"1.0.0":{version}}}}}"#);
        let packument = Packument::parse("@s/x", text.as_bytes()).unwrap();
        Manifest::from_view("@s/x", packument.version("1.0.0").unwrap())
    }

    #[test]
    fn odd_shapes_are_read_as_npm_reads_them() {
        let m = manifest(
            r#"{"os":"linux","cpu":["x64",7],"license":{"type":"MIT"},"bin":"cli.js","engines":["node >= 4"],
            "deprecated":false,"dependencies":["a"],"bundledDependencies":true,"author":"A B <a@b.example>",
            "repository":{"url":"git://h.example"},"scripts":{"install":"node x","test":"t"},"peerDependenciesMeta":7}"#,
        );
        assert_eq!(
            (m.record.os, m.record.cpu),
            (vec!["linux".to_owned()], vec!["x64".to_owned()])
        );
        assert_eq!(m.record.license.as_deref(), Some("MIT"));
        assert_eq!(m.record.bin["x"], "cli.js");
        assert!(m.record.engines.is_empty() && m.record.deprecated.is_none() && m.edges.is_empty());
        assert_eq!(m.record.author.as_deref(), Some("A B"));
        assert!(m.record.has_install_script && m.record.scripts.len() == 1);
        assert_eq!(
            manifest(r#"{"licenses":[{"type":"A"},"B"]}"#)
                .record
                .license
                .as_deref(),
            Some("(A OR B)")
        );
        assert!(manifest("[]").edges.is_empty());
    }

    #[test]
    fn edges_come_in_npms_order_and_the_strongest_kind_wins() {
        let m = manifest(
            r#"{"dependencies":{"z":"1","b":"1","o":"1"},"optionalDependencies":{"o":"2"},
            "peerDependencies":{"q":"*","p":"*","z":"2"},"peerDependenciesMeta":{"q":{"optional":true}},
            "bundleDependencies":true}"#,
        );
        let edges: Vec<_> = m.edges.iter().map(|e| (e.name.as_str(), e.kind)).collect();
        assert_eq!(
            edges,
            [
                ("p", EdgeKind::Peer),
                ("q", EdgeKind::PeerOptional),
                ("z", EdgeKind::Prod),
                ("b", EdgeKind::Prod),
                ("o", EdgeKind::Optional)
            ]
        );
        assert_eq!(m.record.bundle_dependencies, ["b", "o", "z"]);
        assert!(!m.record.dependencies.contains_key("o"));
    }

    #[test]
    fn tarball_paths_are_below_the_registry_and_never_leave_it() {
        let path = |url: &str| tarball_path("@s/x", "1.0.0", Some(url));
        assert_eq!(
            path("https://h.example/npm/@s/x/-/x-1.0.0.tgz"),
            "@s/x/-/x-1.0.0.tgz"
        );
        assert_eq!(
            path("https://h.example/@s%2fx/-/x-1.0.0.tgz"),
            "@s%2fx/-/x-1.0.0.tgz"
        );
        for odd in [
            "file:///x",
            "https://h.example",
            "https://h.example/@s/x/-/../../y.tgz",
            "https://h.example/cdn/z.tgz",
            "https://h.example/@s/x/-/x.tgz?token=1",
        ] {
            assert_eq!(path(odd), "@s/x/-/x-1.0.0.tgz", "{odd}");
        }
    }
}
