//! Crates and Python packages through the program, against registries of the test: one package is upgraded and nothing
//! else moves, mirrors, lock files that the real cargo takes, and what is said where there is nothing to do.

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::crates::{Crate, Registry};
use crate::loopback::{Asked, Reply, Server};
use crate::packages::Folder;
use crate::pypi_index::{Dist, Index};
use crate::source;

/// A crate that is a program and brings its own lock file.
fn program(name: &'static str, version: &'static str) -> Crate {
    Crate::new(name, version)
        .file("src/main.rs", "fn main() {}\n")
        .file(
            "Cargo.lock",
            format!("version = 4\n\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n"),
        )
}

fn crates(newer: bool) -> BTreeMap<String, Vec<u8>> {
    let mut all = vec![program("app", "1.0.0"), program("lone", "1.0.0")];
    if newer {
        all.extend([program("app", "1.1.0"), program("lone", "1.1.0")]);
    }
    Registry::new(&all.iter().collect::<Vec<_>>()).files
}

/// A registry of crates below `index/` and `dl/`; `change` may put others in the place of its files.
fn registry(
    newer: Arc<AtomicBool>,
    change: impl Fn(&str, Vec<u8>) -> Reply + Send + Sync + 'static,
) -> Server {
    Server::new(move |asked| show(asked, &crates(newer.load(Ordering::SeqCst)), &change))
}

/// What a registry of crates answers that has these files.
pub(crate) fn show(
    asked: &Asked,
    files: &BTreeMap<String, Vec<u8>>,
    change: &impl Fn(&str, Vec<u8>) -> Reply,
) -> Reply {
    let path = asked.target.trim_start_matches('/');
    if path == "index/config.json" {
        let host = asked.header("host").unwrap();
        let dl = format!("http://{host}/dl/{{crate}}/{{crate}}-{{version}}.crate");
        return Reply::ok(json!({ "dl": dl }).to_string());
    }
    let name = path.strip_prefix("index/").or(path.strip_prefix("dl/"));
    match name.and_then(|name| files.get(name)) {
        Some(bytes) => change(path, bytes.clone()),
        None => Reply::status(404),
    }
}

pub(crate) fn honest(_path: &str, bytes: Vec<u8>) -> Reply {
    Reply::ok(bytes)
}

fn index(newer: Arc<AtomicBool>) -> Server {
    Server::new(move |asked| {
        let mut all = vec![
            Dist::new("app", "1.0").needs("lib>=1"),
            Dist::new("lib", "1.0"),
            Dist::new("lone", "1.0"),
        ];
        if newer.load(Ordering::SeqCst) {
            all.extend([
                Dist::new("app", "1.1").needs("lib>=1"),
                Dist::new("lib", "1.1"),
                Dist::new("lone", "1.1"),
            ]);
        }
        let index = Index::new(&all);
        let path = asked.target.trim_start_matches('/');
        let page = path
            .strip_prefix("simple/")
            .and_then(|p| index.pages.get(p));
        let file = path.strip_prefix("files/").and_then(|p| index.files.get(p));
        match (page, file) {
            (Some(page), _) => {
                Reply::ok(page.clone()).with("Content-Type", "application/vnd.pypi.simple.v1+json")
            }
            (None, Some(file)) => Reply::ok(file.clone()),
            (None, None) => Reply::status(404),
        }
    })
}

fn stage(folder: &Folder, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stage"))
        .args(arguments)
        .args(["--cache", "cache"])
        .current_dir(&folder.0)
        .env_clear()
        .env("HOME", &folder.0)
        .output()
        .unwrap()
}

fn exits(code: i32, output: &Output) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn manifest(folder: &Folder, tables: &str) {
    let text = format!(
        "[bundle]\nchannel = \"t\"\n[target]\nplatforms = [\"linux/amd64\"]\nglibc = \"2.36\"\npython = \
         \"3.12\"\n{tables}"
    );
    std::fs::write(folder.join("stage.toml"), text).unwrap();
}

/// The tables of the lock, by what each is of.
fn packages(folder: &Folder) -> BTreeMap<String, String> {
    let lock = std::fs::read_to_string(folder.join("stage.lock")).unwrap();
    let tables = lock.split("[[package]]\n").skip(1);
    let of = |table: &str, key: &str| {
        let line = table.lines().find(|l| l.starts_with(&format!("{key} = ")));
        line.unwrap_or_else(|| panic!("{key} in {table}"))
            .to_owned()
    };
    tables
        .map(|t| (of(t, "name"), t.trim_end().to_owned()))
        .collect()
}

/// Names of the packages whose tables differ.
fn moved(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<String> {
    assert!(old.keys().eq(new.keys()));
    let differ = old.iter().filter(|(name, table)| new[*name] != **table);
    differ.map(|(name, _)| name.clone()).collect()
}

#[test]
fn an_upgrade_of_one_package_moves_nothing_else() {
    let upgraded = "name = \"app\"";
    for name in ["cargo", "pypi"] {
        let newer = Arc::new(AtomicBool::new(false));
        let folder = Folder::new(&format!("registries-upgrade-{name}"));
        let server = match name {
            "cargo" => registry(newer.clone(), honest),
            _ => index(newer.clone()),
        };
        let url = server.url();
        manifest(
            &folder,
            &match name {
                "cargo" => format!(
                    "[cargo]\npackages = [\"app@^1\", \"lone@^1\"]\nindex = \"{url}index/\"\n"
                ),
                _ => format!(
                    "[pypi]\nrequirements = [\"app\", \"lone\"]\nindex = \"{url}simple/\"\n"
                ),
            },
        );
        exits(0, &stage(&folder, &["resolve"]));
        let (lock, old) = (
            std::fs::read(folder.join("stage.lock")).unwrap(),
            packages(&folder),
        );
        newer.store(true, Ordering::SeqCst);
        std::fs::remove_dir_all(folder.join("cache")).unwrap();
        exits(0, &stage(&folder, &["resolve"]));
        assert_eq!(std::fs::read(folder.join("stage.lock")).unwrap(), lock);
        exits(0, &stage(&folder, &["resolve", "--upgrade=app"]));
        let new = packages(&folder);
        assert_eq!(moved(&old, &new), [upgraded], "{name}");
        assert!(new[upgraded].contains("version = \"1.1"), "{new:?}");
        exits(0, &stage(&folder, &["resolve", "--upgrade"]));
        assert_eq!(moved(&old, &packages(&folder)).len(), old.len(), "{name}");
    }
}

#[test]
fn a_registry_of_crates_has_mirrors_which_must_have_the_same_bytes() {
    let old = || Arc::new(AtomicBool::new(false));
    let broken = Server::new(|_| Reply::status(503));
    let mirror = registry(old(), honest);
    let folder = Folder::new("registries-mirror");
    let ask = |mirror: &Server| {
        manifest(
            &folder,
            &format!(
                "[cargo]\npackages = [\"app@1.0.0\"]\nindex = \"{}index/\"\nmirror = [\"{}index/\"]\n",
                broken.url(),
                mirror.url()
            ),
        );
    };
    ask(&mirror);
    exits(0, &stage(&folder, &["resolve"]));
    exits(0, &stage(&folder, &["fetch"]));
    assert!(!broken.asked().is_empty());

    let evil = registry(old(), |path, bytes| {
        if path.starts_with("dl/") {
            Reply::ok("other bytes")
        } else {
            Reply::ok(bytes)
        }
    });
    ask(&evil);
    std::fs::remove_dir_all(folder.join("cache")).unwrap();
    let said = exits(4, &stage(&folder, &["fetch"]));
    assert!(said.contains("error[fetch-digest-mismatch E51]"), "{said}");
    assert!(!folder.join("cache/store/index/sha256").exists());
}

#[test]
fn a_registry_that_hangs_or_breaks_ends_in_an_error_and_nothing_is_written() {
    let silent = Server::new(|_| Reply {
        delay: 60_000,
        ..Reply::status(200)
    });
    let broken = Server::new(|_| Reply::status(500));
    std::thread::scope(|scope| {
        for (server, code, reason) in [
            (&silent, "upstream-unreachable", "no answer within"),
            (&broken, "upstream-failed", "500"),
        ] {
            for (name, table) in [
                ("npm", "packages = [\"app@1.0.0\"]\nregistry"),
                ("pypi", "requirements = [\"app\"]\nindex"),
                ("cargo", "packages = [\"app@1.0.0\"]\nindex"),
            ] {
                scope.spawn(move || {
                    let folder = Folder::new(&format!("registries-{code}-{name}"));
                    manifest(
                        &folder,
                        &format!(
                            "node = \"24.0.0\"\n[{name}]\n{table} = \"{}\"\n",
                            server.url()
                        ),
                    );
                    let said = exits(1, &stage(&folder, &["resolve"]));
                    assert!(
                        said.contains(code) && said.contains(reason),
                        "{name}: {said}"
                    );
                    for made in ["stage.lock", "stage.records"] {
                        assert!(!folder.join(made).exists(), "{name}: {made}");
                    }
                });
            }
        }
    });
}

#[test]
fn cargo_takes_the_lock_file_that_is_exported() {
    let server = registry(Arc::new(AtomicBool::new(false)), honest);
    let folder = Folder::new("registries-export");
    manifest(
        &folder,
        &format!(
            "[cargo]\npackages = [\"app@1.0.0\"]\nindex = \"{}index/\"\n",
            server.url()
        ),
    );
    exits(0, &stage(&folder, &["resolve"]));
    let bytes = &crates(false)["app/app-1.0.0.crate"];
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
    archive.unpack(&folder.0).unwrap();
    std::fs::remove_file(folder.join("app-1.0.0/Cargo.lock")).unwrap();
    let cargo = |arguments: &[&str]| {
        Command::new(std::env::var("CARGO").unwrap())
            .args(arguments)
            .args(["--locked", "--offline"])
            .current_dir(folder.join("app-1.0.0"))
            .env("CARGO_HOME", folder.join("cargo"))
            .output()
            .unwrap()
    };
    let metadata = ["metadata", "--format-version", "1"];
    assert!(!cargo(&metadata).status.success(), "without a lock file");
    let arguments = ["export", "--as", "cargo-lock", "-o", "app-1.0.0"];
    exits(0, &stage(&folder, &arguments));
    let taken = cargo(&metadata);
    assert!(taken.status.success(), "{taken:?}");
}

#[test]
fn what_cannot_be_exported_is_said_with_what_can() {
    let folder = Folder::new("registries-hints");
    let kept = source::root().join("lockfiles/nanobot.lock");
    std::fs::copy(kept, folder.join("stage.lock")).unwrap();
    for (form, key) in [("apt-pins", "debian"), ("cargo-lock", "cargo")] {
        let said = exits(2, &stage(&folder, &["export", "--as", form, "-o", "out"]));
        for part in [
            format!("\"stage.lock\" has no packages of {key}, which {form} is for"),
            "ecosystems of the lock:".to_owned(),
            "pypi".to_owned(),
            "requirements, pylock".to_owned(),
            "hint: ask for one of these forms".to_owned(),
        ] {
            assert!(said.contains(&part), "{part}\n{said}");
        }
    }
    let said = exits(
        2,
        &stage(&folder, &["export", "--as", "pylock", "-o", "out"]),
    );
    assert!(
        said.contains("the records of \"stage.lock\" are not there: \"stage.records/pypi.json\""),
        "{said}"
    );
    assert!(said.contains("hint: copy the lock together"), "{said}");
    assert!(!folder.join("out").exists());
}

#[test]
fn a_repository_is_not_made_with_a_certificate_that_is_none() {
    let folder = Folder::new("registries-certificate");
    exits(0, &stage(&folder, &["key", "generate", "-o", "k.pem"]));
    let trust = ["trust", "init", "--key", "k.pem", "-o", "root.json"];
    exits(0, &stage(&folder, &trust));
    std::fs::write(folder.join("cert.asc"), "no certificate").unwrap();
    let arguments = [
        "repo",
        "init",
        "--repo",
        "repo",
        "--trust",
        "root.json",
        "--accept-unchecked-root",
        "--apt-sign-command",
        "sign",
        "--apt-certificate",
        "cert.asc",
    ];
    let said = exits(2, &stage(&folder, &arguments));
    assert!(said.contains("error[openpgp-keyring]"), "{said}");
    assert!(!folder.join("repo").exists());
}
