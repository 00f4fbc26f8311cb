//! The rendered crates registry against the real cargo, over loopback and in a namespace without network.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::json;
use stage::base::package::EcosystemId;
use stage::base::time::Timestamp;
use stage::eco::cargo::{pins, records, repo};
use stage::eco::{BundleView, EcoError, ExportRequest, RepoContent, RepoFile, RepoView};
use stage::resolve::Closure;

use crate::crates::{Crate, Registry, World, artifacts, request};
use crate::packages::Folder;
use crate::served::Served;

/// A base that nobody listens at: what serves the tree must put its own address in its place.
const BASE: &str = "http://repo.example:8080";

/// Closures imported one after the other.
struct Imported {
    closures: Vec<(Closure, std::collections::BTreeMap<String, Vec<u8>>)>,
}

impl Imported {
    fn new(all: Vec<(&mut Registry, &str)>) -> Self {
        let closures = all.into_iter().map(|(registry, wanted)| {
            let closure = registry.resolve(request(&[wanted])).unwrap();
            (closure, registry.blobs())
        });
        Self {
            closures: closures.collect(),
        }
    }

    fn render(&self, base: &str) -> Result<Vec<RepoFile>, EcoError> {
        let digests: Vec<_> = self
            .closures
            .iter()
            .map(|(_, blobs)| artifacts(blobs))
            .collect();
        let bundles: Vec<BundleView<'_>> = self
            .closures
            .iter()
            .zip(&digests)
            .zip(1..)
            .map(|(((closure, _), artifacts), serial)| BundleView {
                channel: "crates",
                epoch: 1,
                serial,
                created: "2026-11-01T00:00:00Z".parse::<Timestamp>().unwrap(),
                lock: &closure.lock,
                records: &closure.records[&EcosystemId::cargo()],
                artifacts,
            })
            .collect();
        let mut files = repo::render(&RepoView {
            bundles: &bundles,
            base_url: base,
        })?;
        for bundle in &bundles {
            files.extend(pins::pins(bundle)?.into_iter().map(|file| RepoFile {
                path: format!("pins/crates/{}/{}", bundle.serial, file.path),
                content: file.content,
            }));
        }
        Ok(files)
    }

    /// Writes the tree as generation 1 of a repository that has nothing else.
    fn publish(&self, root: &Path, base: &str) {
        for file in self.render(base).unwrap() {
            let path = root.join("gen/1").join(&file.path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let bytes = match file.content {
                RepoContent::Bytes(bytes) => bytes,
                RepoContent::Blob(digest) => {
                    let mut blobs = self
                        .closures
                        .iter()
                        .filter_map(|(_, b)| b.get(&digest.hex()));
                    blobs.next().unwrap().clone()
                }
                RepoContent::Joined { .. } => panic!(),
            };
            std::fs::write(path, bytes).unwrap();
        }
        let about = json!({"base_url": base}).to_string();
        std::fs::write(root.join("gen/1/repository.json"), about).unwrap();
        std::os::unix::fs::symlink("gen/1", root.join("current")).unwrap();
    }
}

/// The cargo that runs these tests, and its folder.
fn cargo() -> (PathBuf, PathBuf) {
    let program = PathBuf::from(std::env::var("CARGO").unwrap());
    let folder = program.parent().unwrap().to_owned();
    (program, folder)
}

/// A program with an empty home, and of this process's environment the search path only.
fn client(program: &Path, home: &Path, directory: &Path) -> Command {
    let path = format!("{}:{}", cargo().1.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(program);
    command
        .current_dir(directory)
        .env_clear()
        .env("PATH", path)
        .env("HOME", home)
        .env("CARGO_HOME", home.join(".cargo"))
        .env("CARGO_TERM_COLOR", "never");
    command
}

fn ok(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Writes the client's configuration for a repository at `url`.
fn configure(home: &Path, url: &str) {
    let config = &repo::client_files(url)[0];
    let path = home.join(&config.path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, &config.text).unwrap();
}

/// Unpacks a `.crate` below `folder`.
fn unpack(bytes: &[u8], folder: &Path) {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes));
    archive.unpack(folder).unwrap();
}

/// Names of the files in the folder of downloaded crates.
fn downloaded(home: &Path) -> Vec<String> {
    let cache = home.join(".cargo/registry/cache");
    let registry = std::fs::read_dir(cache).unwrap().next().unwrap().unwrap();
    let files = std::fs::read_dir(registry.path()).unwrap();
    let mut names: Vec<String> = files
        .map(|f| f.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn cargo_fetches_and_installs_what_is_locked() {
    let folder = Folder::new("cargo-install");
    let mut world = World::new();
    let app = world.registry.files["tiny-app/tiny-app-1.0.0.crate"].clone();
    let imported = Imported::new(vec![(&mut world.registry, "tiny-app")]);
    imported.publish(&folder.0, BASE);
    let served = Served::start(&folder.0, 8);
    let (program, _) = cargo();

    let home = folder.join("fetch-home");
    configure(&home, &served.url());
    unpack(&app, &folder.0);
    let project = folder.join("tiny-app-1.0.0");
    // The exported lock file takes the place of the crate's own.
    let closure = &imported.closures[0].0;
    let exported = pins::export(&ExportRequest {
        form: "cargo-lock",
        lock: &closure.lock,
        records: &closure.records[&EcosystemId::cargo()],
        install: 1,
        platform: None,
        base_url: None,
    });
    let exported = exported.unwrap().remove(0);
    assert_eq!(exported.name, "Cargo.lock");
    std::fs::write(project.join(&exported.name), exported.text).unwrap();
    ok(&client(&program, &home, &project)
        .args(["fetch", "--locked"])
        .output()
        .unwrap());
    // Crates for other systems are fetched too.
    let all = [
        "Tiny_Win-0.3.0.crate",
        "t3b-1.0.0.crate",
        "tiny-lib-0.1.0+one.crate",
        "tiny-lib-0.2.0.crate",
    ];
    assert_eq!(downloaded(&home), all);
    let (status, _, pinned) = served.get("/pins/crates/1/cargo/tiny-app-1.0.0/Cargo.lock");
    assert_eq!((status, pinned), (200, world.lockfile.into_bytes()));

    let home = folder.join("install-home");
    configure(&home, &served.url());
    let root = folder.join("root");
    let mut install = client(&program, &home, &folder.0);
    install
        .args(["install", "--locked", "--debug", "--root"])
        .arg(&root);
    ok(&install.arg("tiny-app@1.0.0").output().unwrap());
    let said = ok(&client(&root.join("bin/tiny-app"), &home, &folder.0)
        .output()
        .unwrap());
    assert_eq!(said, "tiny 1 3\n");
}

#[test]
fn cargo_installs_in_a_namespace_without_network() {
    let mut sandbox = Command::new("unshare");
    sandbox.args(["--map-root-user", "--net"]);
    let probe = sandbox
        .args(["sh", "-c", "ip link set lo up"])
        .stderr(Stdio::null())
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        return;
    }
    let folder = Folder::new("cargo-alone");
    let mut world = World::new();
    let url = "http://127.0.0.1:8080";
    Imported::new(vec![(&mut world.registry, "tiny-app")]).publish(&folder.join("repo"), url);
    let home = folder.join("home");
    configure(&home, url);
    let script = "set -eu; ip link set lo up; \"$1\" repo serve --repo repo --listen 127.0.0.1:8080 2>served & server=$!
        trap 'kill $server' EXIT
        for i in 1 2 3 4 5 6 7 8 9 10; do test -s served && break; sleep 0.2; done
        \"$2\" install --locked --debug --root root tiny-app@1.0.0 >&2
        root/bin/tiny-app";
    let mut alone = client(Path::new("unshare"), &home, &folder.0);
    alone.args(["--map-root-user", "--net", "sh", "-c", script, "sh"]);
    alone.arg(env!("CARGO_BIN_EXE_stage")).arg(cargo().0);
    assert_eq!(ok(&alone.output().unwrap()), "tiny 1 3\n");
}

#[test]
fn index_files_of_several_bundles_are_merged() {
    let mut world = World::new();
    let newer = Crate::new("tiny-lib", "0.3.0");
    let user = Crate::new("user", "1.0.0").needs("tiny-lib", "^0.3", "normal", None);
    let lockfile = format!(
        "version = 4\n{}[[package]]\nname = \"user\"\nversion = \"1.0.0\"\ndependencies = [\"tiny-lib\"]\n",
        newer.locked(&[])
    );
    let user = user.file("Cargo.lock", lockfile);
    let mut second = Registry::new(&[&newer, &user]);
    let both = Imported::new(vec![
        (&mut world.registry, "tiny-app"),
        (&mut second, "user"),
    ]);
    let files = both.render(BASE).unwrap();
    let text = |path: &str| {
        let file = files.iter().find(|f| f.path == path).unwrap();
        let RepoContent::Bytes(bytes) = &file.content else {
            panic!()
        };
        String::from_utf8(bytes.clone()).unwrap()
    };
    let lines = text("cargo/index/ti/ny/tiny-lib");
    for version in ["0.1.0+one", "0.2.0", "0.3.0"] {
        assert!(
            lines.contains(&format!("\"vers\":\"{version}\"")),
            "{lines}"
        );
    }
    assert_eq!(lines.lines().count(), 3);
    assert!(text("cargo/index/ti/ny/tiny_win").contains("\"name\":\"Tiny_Win\""));
    let config = text("cargo/index/config.json");
    assert_eq!(
        config,
        format!("{{\"dl\":\"{BASE}/cargo/crates/{{crate}}/{{crate}}-{{version}}.crate\"}}")
    );
    let paths: std::collections::BTreeSet<&str> = files.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths.len(), files.len(), "a path stands twice");
}

#[test]
fn other_bytes_of_the_same_version_and_records_without_files_are_refused() {
    let one = Crate::new("a", "1.0.0").file(
        "Cargo.lock",
        "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n",
    );
    let lock = "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n";
    let two = Crate::new("a", "1.0.0")
        .file("Cargo.lock", lock)
        .file("x", "x");
    let (mut first, mut second) = (Registry::new(&[&one]), Registry::new(&[&two]));
    let both = Imported::new(vec![(&mut first, "a"), (&mut second, "a")]);
    let error = both.render(BASE).unwrap_err();
    assert!(matches!(error, EcoError::Conflict { .. }), "{error}");
    let mut lost = Imported::new(vec![(&mut first, "a")]);
    lost.closures[0].1.clear();
    lost.render(BASE).unwrap_err();
    let document = &lost.closures[0].0.records[&EcosystemId::cargo()];
    let text = String::from_utf8(document.clone()).unwrap();
    records::parse(text.replace("\"schema\":1", "\"schema\":2").as_bytes()).unwrap_err();
    records::parse(
        text.replace("\"crates\":{\"a\"", "\"crates\":{\"../a\"")
            .as_bytes(),
    )
    .unwrap_err();
}
