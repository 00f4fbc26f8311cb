//! `stage fetch` and the library below it, against a registry on the loopback.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use stage::base::digest::{Digests, UpstreamChecksum};
use stage::base::fault::Fault as _;
use stage::base::package::EcosystemId;
use stage::base::platform::{Libc, Platform, Target};
use stage::base::progress::NoProgress;
use stage::fetch::{self, FetchReport, Supply};
use stage::fs;
use stage::lock::{Lock, LockedArtifact, LockedPackage, format};
use stage::net::HttpUpstream;
use stage::store::Store;
use stage::upstream::{Content, Request, Upstream as _, Want};

use crate::loopback::{Asked, Authority, Reply, Server};
use crate::net::{Folder, settings};

/// Bytes that differ by name.
fn content(name: &str, size: usize) -> Vec<u8> {
    name.bytes().cycle().take(size).collect()
}

/// A lock of npm packages called `names`, each with a tarball of the bytes that `bytes` gives.
fn lock(names: &[&str], bytes: impl Fn(&str) -> Vec<u8>) -> Lock {
    let package = |name: &&str| LockedPackage {
        ecosystem: EcosystemId::npm(),
        name: (*name).to_owned(),
        version: "1.0.0".to_owned(),
        platforms: vec![Platform::LinuxAmd64],
        license: None,
        deprecated: None,
        install_script: false,
        bundled_in: Vec::new(),
        places: vec![format!("1:node_modules/{name}")],
        dependencies: Vec::new(),
        artifacts: vec![LockedArtifact {
            file: format!("{name}-1.0.0.tgz"),
            checksum: UpstreamChecksum::Sha512(Digests::of(&bytes(name)).sha512),
            upstream: "npm".to_owned(),
            path: format!("{name}/-/{name}-1.0.0.tgz"),
            size: None,
            evidence: None,
            gap: None,
        }],
    };
    Lock {
        target: Target {
            platforms: vec![Platform::LinuxAmd64],
            libc: Libc::Glibc("2.36".to_owned()),
            node: None,
            python: None,
        },
        exclude_newer: None,
        inputs: Vec::new(),
        requirements: Vec::new(),
        records: BTreeMap::new(),
        packages: names.iter().map(package).collect(),
        findings: Vec::new(),
    }
}

/// The name of the package whose tarball is asked for.
fn name_of(asked: &Asked) -> String {
    asked
        .target
        .split('/')
        .nth(1)
        .unwrap_or_default()
        .to_owned()
}

fn fetch(lock: &Lock, folder: &Folder, server: &Server) -> FetchReport {
    let store = Store::open(&folder.0.join("store")).unwrap();
    let mut upstream = HttpUpstream::new(settings(folder, &server.url())).unwrap();
    fetch::run(lock, &BTreeMap::new(), &store, &mut upstream, &NoProgress).unwrap()
}

fn gets(server: &Server) -> usize {
    server
        .asked()
        .iter()
        .filter(|asked| asked.method == "GET")
        .count()
}

#[test]
fn everything_is_fetched_once_and_only_what_is_missing_is_asked_for() {
    let folder = Folder::new("fetch");
    let bytes = |name: &str| content(name, 5000);
    let server = Server::new(move |asked| Reply::ok(bytes(&name_of(asked))));
    let mut lock = lock(&["aa", "bb", "cc"], bytes);
    let mut twin = lock.packages[0].clone();
    twin.name = "twin".to_owned();
    lock.packages.push(twin);
    lock.packages[2].platforms.clear();
    let first = fetch(&lock, &folder, &server);
    assert_eq!((first.fetched, first.reused, first.bytes), (2, 0, 10_000));
    assert_eq!(gets(&server), 2);
    let store = Store::open(&folder.0.join("store")).unwrap();
    let stored = store
        .find(&lock.packages[1].artifacts[0].checksum)
        .unwrap()
        .unwrap();
    assert_eq!(fs::read(&stored.path, 10_000).unwrap(), content("bb", 5000));
    assert_eq!(stored.origins, [format!("127.0.0.1:{}", server.port)]);
    let second = fetch(&lock, &folder, &server);
    assert_eq!((second.fetched, second.reused, second.bytes), (0, 2, 0));
    assert_eq!(gets(&server), 2);
}

#[test]
fn artifacts_that_a_resolver_looks_into_are_stored_and_not_downloaded_again() {
    let folder = Folder::new("supply");
    let server = Server::new(|asked| match name_of(asked).as_str() {
        "other" => Reply::ok("not what the registry says"),
        name => Reply::ok(content(name, 5000)),
    });
    let lock = lock(&["aa", "other"], |name| content(name, 5000));
    let store = Store::open(&folder.0.join("store")).unwrap();
    let ask = |name: &str, want: Want| {
        let mut http = HttpUpstream::new(settings(&folder, &server.url())).unwrap();
        let mut supply = Supply::new(&mut http, store.clone());
        supply.submit(Request {
            upstream: "npm".to_owned(),
            path: format!("{name}/-/{name}-1.0.0.tgz"),
            accept: None,
            limit: 10_000,
            want,
            link: None,
        });
        let (_, answer) = supply.next_answer().unwrap();
        assert!(supply.next_answer().is_none());
        answer
    };
    let artifact = |number: usize| {
        let package: &LockedPackage = &lock.packages[number];
        Want::Artifact(package.artifacts[0].checksum.clone())
    };
    for _ in 0..2 {
        let found = ask("aa", artifact(0)).unwrap();
        assert!(matches!(found, Content::Artifact(_)));
        assert_eq!(found.into_bytes().unwrap(), content("aa", 5000));
        assert_eq!(gets(&server), 1);
    }
    let error = ask("other", artifact(1)).unwrap_err();
    assert_eq!(error.code().name, "fetch-digest-mismatch");
    assert_eq!(error.facts()[0].0, "expected");
    let document = ask("other", Want::Document).unwrap();
    assert!(matches!(document, Content::Document(_)));
    let report = fetch(&lock, &folder, &server);
    assert_eq!((report.reused, report.failures.len()), (1, 1));
}

#[test]
fn each_failure_is_named_and_stores_nothing_and_stops_nothing() {
    let folder = Folder::new("fetch-fail");
    let server = Server::new(|asked| match name_of(asked).as_str() {
        "gone" => Reply::status(404),
        "other" => Reply::ok("not what the lock says"),
        "short" => Reply {
            cut: Some(10),
            ..Reply::ok(content("short", 100))
        },
        name => Reply::ok(content(name, 100)),
    });
    let mut lock = lock(&["fine", "gone", "other", "short", "weak", "away"], |n| {
        content(n, 100)
    });
    lock.packages[4].artifacts[0].checksum = UpstreamChecksum::Sha1([7; 20]);
    lock.packages[5].artifacts[0].upstream = "elsewhere".to_owned();
    let report = fetch(&lock, &folder, &server);
    assert_eq!(report.fetched, 1);
    let failures: Vec<_> = report
        .failures
        .iter()
        .map(|f| {
            (
                f.package.name.as_str(),
                f.code().name,
                f.code().class.is_some(),
            )
        })
        .collect();
    assert_eq!(
        failures,
        [
            ("away", "upstream-address", false),
            ("gone", "upstream-not-found", false),
            ("other", "fetch-digest-mismatch", true),
            ("short", "fetch-interrupted", false),
            ("weak", "fetch-weak-checksum", true),
        ]
    );
    let facts = report.failures[2].facts();
    let expected = Digests::of(&content("other", 100)).sha512;
    let found = Digests::of(b"not what the lock says").sha512;
    let from = format!("<{}other/-/other-1.0.0.tgz>", server.url());
    assert_eq!(facts[0], ("from", from));
    assert_eq!(facts[1], ("expected", expected.to_string()));
    assert_eq!(facts[2], ("found", format!("{found}, 22 bytes")));
    assert!(
        report.failures[3].reason().contains("end of file"),
        "{}",
        report.failures[3].reason()
    );
    let (blobs, _) = fs::walk(&folder.0.join("store/blobs")).unwrap();
    assert_eq!(blobs.len(), 1);
    assert!(
        fs::list(&folder.0.join("store/incoming"))
            .unwrap()
            .is_empty()
    );
}

/// Serves ranges of one big file; breaks off at `cut` while `broken`.
fn ranges(whole: Vec<u8>, broken: Arc<AtomicBool>, cut: usize) -> Server {
    Server::new(move |asked| {
        let range = asked.header("range").and_then(|r| r.strip_prefix("bytes="));
        let from: usize = range.map_or(0, |r| r.trim_end_matches('-').parse().unwrap());
        if broken.load(Ordering::SeqCst) && from > 0 {
            return Reply::status(403);
        }
        let reply = Reply::ok(&whole[from..]).with("ETag", "\"v1\"");
        let cut = broken.load(Ordering::SeqCst).then_some(cut);
        if from == 0 {
            return Reply { cut, ..reply };
        }
        let end = whole.len();
        Reply {
            status: 206,
            ..reply
        }
        .with("Content-Range", format!("bytes {from}-{}/{end}", end - 1))
    })
}

#[test]
fn a_killed_download_goes_on_and_a_spoiled_one_starts_anew() {
    let whole = content("big one", 4 << 20);
    for spoiled in [false, true] {
        let folder = Folder::new(&format!("fetch-resume-{spoiled}"));
        let broken = Arc::new(AtomicBool::new(true));
        let server = ranges(whole.clone(), broken.clone(), 3 << 20);
        let bytes = whole.clone();
        let lock = lock(&["big"], move |_| bytes.clone());
        assert_eq!(fetch(&lock, &folder, &server).failures.len(), 1);
        let left = fs::list(&folder.0.join("store/incoming")).unwrap();
        let part = left
            .iter()
            .find(|path| path.extension().unwrap() == "part")
            .unwrap();
        let size = fs::size(part).unwrap();
        assert!(size > 1 << 20, "{size}");
        if spoiled {
            let mut bytes = fs::read(part, 8 << 20).unwrap();
            bytes[1000] ^= 1;
            fs::write_atomic(part, &bytes, 0o600).unwrap();
        }
        broken.store(false, Ordering::SeqCst);
        let before = gets(&server);
        let report = fetch(&lock, &folder, &server);
        assert_eq!((report.fetched, report.failures.len()), (1, 0));
        let asked: Vec<_> = server
            .asked()
            .into_iter()
            .filter(|a| a.method == "GET")
            .collect();
        assert_eq!(
            asked[before].header("range"),
            Some(format!("bytes={size}-").as_str())
        );
        assert_eq!(asked[before].header("if-range"), Some("\"v1\""));
        assert_eq!(asked.len() - before, if spoiled { 2 } else { 1 });
        assert!(
            fs::list(&folder.0.join("store/incoming"))
                .unwrap()
                .is_empty()
        );
    }
}

/// Runs the program in `folder`, which is also its home.
fn stage(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stage"))
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn project(folder: &Folder, lock: &Lock, more: &str) {
    let manifest = format!(
        "[bundle]\nchannel = \"test\"\n[target]\nplatforms = [\"linux/amd64\"]\nglibc = \"2.36\"\n\
         node = \"24.21.0\"\n[npm]\npackages = [\"aa@1.0.0\"]\n{more}"
    );
    fs::write_atomic(&folder.0.join("stage.toml"), manifest.as_bytes(), 0o644).unwrap();
    fs::write_atomic(&folder.0.join("stage.lock"), &format::write(lock), 0o644).unwrap();
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn the_command_uses_npms_configuration_and_reports() {
    let folder = Folder::new("fetch-cli");
    let server = Server::new(|asked| match asked.header("authorization") {
        Some("Bearer T0KEN-S3CR3T") => Reply::ok(content(&name_of(asked), 100)),
        _ => Reply::status(401),
    });
    project(&folder, &lock(&["aa", "bb"], |n| content(n, 100)), "");
    let npmrc = format!(
        "registry={}\n//127.0.0.1:{}/:_authToken=${{TOKEN}}\n",
        server.url(),
        server.port
    );
    fs::write_atomic(&folder.0.join(".npmrc"), npmrc.as_bytes(), 0o600).unwrap();
    let token = [("TOKEN", "T0KEN-S3CR3T")];
    let output = stage(&folder.0, &["fetch", "--format", "json", "-vv"], &token);
    let report = json(&output);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(report["schema"], "stage/fetch-report/v1");
    assert_eq!(
        (&report["fetched"], &report["bytes"]),
        (&2.into(), &200.into())
    );
    assert_eq!(
        report["egress"],
        serde_json::json!([server.url().trim_end_matches('/')])
    );
    let talk = String::from_utf8(output.stderr).unwrap();
    assert!(talk.contains("Fetched 2 artifacts (200 B) in "), "{talk}");
    assert!(
        talk.contains("GET <http://127.0.0.1:") && !talk.contains("S3CR3T"),
        "{talk}"
    );
    let again = stage(&folder.0, &["fetch"], &token);
    let talk = String::from_utf8(again.stderr).unwrap();
    assert!(talk.contains(", 2 were there already"), "{talk}");

    fs::remove_tree(&folder.0.join(".cache")).unwrap();
    let refused = stage(
        &folder.0,
        &["fetch", "--format", "json"],
        &[("TOKEN", "WR0NG-S3CR3T")],
    );
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let report = json(&refused);
    assert_eq!(report["failures"].as_array().unwrap().len(), 2);
    assert_eq!(report["failures"][0]["code"], "upstream-failed");
    let text = format!("{refused:?}");
    assert!(
        text.contains("does not accept the configured credential"),
        "{text}"
    );
    assert!(!text.contains("S3CR3T"), "{text}");

    let offline = stage(
        &folder.0,
        &["fetch", "--offline", "--format", "json"],
        &token,
    );
    assert_eq!(offline.status.code(), Some(1));
    assert_eq!(json(&offline)["errors"][0]["code"], "upstream-offline");
}

#[test]
fn wrong_content_is_untrusted_and_hosts_out_of_reach_are_named_first() {
    let folder = Folder::new("fetch-exit");
    let server = Server::new(|_: &Asked| Reply::ok("other"));
    project(&folder, &lock(&["aa"], |n| content(n, 100)), "");
    let registry = server.url();
    let output = stage(
        &folder.0,
        &["fetch", "--format", "json"],
        &[("npm_config_registry", &registry)],
    );
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let error = &json(&output)["errors"][0];
    assert_eq!(
        (&error["code"], &error["class"]),
        (&"fetch-digest-mismatch".into(), &"E51".into())
    );
    drop(server);
    let output = stage(
        &folder.0,
        &["fetch", "--format", "json"],
        &[("npm_config_registry", &registry)],
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = &json(&output)["errors"][0];
    assert_eq!(error["code"], "upstream-unreachable");
    assert!(
        error["facts"]["host"].as_str().unwrap().contains("refused"),
        "{error}"
    );
}

#[test]
fn a_private_authority_comes_from_manifest_npm_or_environment() {
    let folder = Folder::new("fetch-ca");
    let authority = Authority::new();
    let server = Server::tls(authority.config(), |asked| {
        Reply::ok(content(&name_of(asked), 100))
    });
    let pem = folder.0.join("root.pem");
    fs::write_atomic(&pem, authority.root_pem.as_bytes(), 0o644).unwrap();
    let pem = pem.to_str().unwrap();
    let lock = lock(&["aa"], |n| content(n, 100));
    let registry = format!("registry = \"{}\"\n", server.url());
    let network = format!("{registry}[network]\nca = [\"root.pem\"]\n");
    let cases = [
        (&registry, ("UNUSED", "x"), 1),
        (&network, ("UNUSED", "x"), 0),
        (&registry, ("SSL_CERT_FILE", pem), 0),
        (&registry, ("npm_config_cafile", pem), 0),
    ];
    for (more, variable, exit) in cases {
        project(&folder, &lock, more);
        fs::remove_tree(&folder.0.join(".cache")).unwrap();
        let output = stage(&folder.0, &["fetch"], &[variable]);
        assert_eq!(output.status.code(), Some(exit), "{variable:?} {output:?}");
    }
}
