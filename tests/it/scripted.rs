//! Code that packages run by themselves: found in their archives, weighed by the policy of the builder, carried, and
//! weighed again by that of the enclave.

use serde_json::{Value, json};
use stage::base::digest::Digest;

use crate::closures::{Made, Only};
use crate::crates::{self, Crate};
use crate::debian_archive::{Archive, Deb, Suite, key};
use crate::desk::Desk;
use crate::loopback::Server;
use crate::policy::{document, of, waiver};
use crate::programs::{gzip, tar};
use crate::registries::{honest, show};
use crate::schemas::assert_valid;
use crate::walk::Registry;
use crate::world::World;

const DENY: &str = "[severity]\ncargo-build-script = \"deny\"\ncargo-proc-macro = \"deny\"\n\
    debian-maintainer-script = \"deny\"\nnpm-install-script = \"deny\"\n";

const FOUND: [&str; 5] = [
    "cargo-build-script cargo built@1.0.0",
    "cargo-build-script cargo named@1.0.0",
    "cargo-proc-macro cargo macros@1.0.0",
    "debian-maintainer-script debian loud@1-1",
    "npm-install-script npm sly@1.0.0",
];

/// Of every ecosystem packages that run code of their own and one that does not, on servers.
struct Upstreams {
    npm: Registry,
    crates: Server,
    debian: Archive,
}

impl Upstreams {
    fn new() -> Self {
        let npm = Registry::new();
        npm.publish("plain", "1.0.0", json!({}));
        // Its registry says nothing of scripts; its archive has one, and brings a package along that npm compiles.
        let about = json!({"name": "sly", "version": "1.0.0", "license": "MIT"});
        let mut inside = about.clone();
        inside["scripts"] = json!({"postinstall": "node \u{1b}[31mx.js", "test": "x"});
        let inner = json!({"name": "inner", "version": "2.0.0"});
        let members = [
            ("package/package.json", inside.to_string().into_bytes()),
            (
                "package/node_modules/@a/inner/package.json",
                inner.to_string().into_bytes(),
            ),
            ("package/node_modules/@a/inner/binding.gyp", b"{}".to_vec()),
            (
                "package/test/package.json",
                b"{\"scripts\":{\"install\":\"never\"}}".to_vec(),
            ),
        ];
        npm.publish_bytes("sly", "1.0.0", about, gzip(&tar(&members)));
        let files = crates::Registry::new(&Self::crates().iter().collect::<Vec<_>>()).files;
        let debs = [
            Deb::new("quiet", "1-1", "amd64"),
            Deb::new("loud", "1-1", "amd64").script("postinst", "#!/bin/sh\ntrue\n"),
        ];
        let suites = [Suite::new("bookworm", "bookworm").with("main", &debs)];
        Self {
            npm,
            crates: Server::new(move |asked| show(asked, &files, &honest)),
            debian: Archive::new(&suites, &key(1)),
        }
    }

    fn crates() -> Vec<Crate> {
        vec![
            Crate::new("built", "1.0.0").file("build.rs", "fn main() {}\n"),
            Crate::new("named", "1.0.0").says("build = \"tools/b.rs\"\n"),
            Crate::new("macros", "1.0.0").says("[lib]\nproc-macro = true\n"),
            Crate::new("tidy", "1.0.0")
                .says("build = false\n")
                .file("build.rs", "never\n"),
        ]
    }

    /// A desk that asks for all of it.
    fn desk(&self) -> Desk {
        let desk = Desk::new();
        desk.write("archive.asc", key(1).armored_certificate().unwrap());
        let mut lock = "version = 4\n\n[[package]]\nname = \"demo\"\nversion = \"0.1.0\"\ndependencies = [\n \"built\",\n \
                        \"macros\",\n \"named\",\n \"tidy\",\n]\n\n"
            .to_owned();
        lock.extend(Self::crates().iter().map(|one| one.locked(&[])));
        desk.write("Cargo.lock", lock);
        let (npm, crates) = (self.npm.server.url(), self.crates.url());
        let text = format!(
            "[bundle]\nchannel = \"walk\"\n[target]\nnode = \"24.21.0\"\n[policy]\nfile = \"policy.toml\"\n[npm]\nregistry = \
             \"{npm}/\"\npackages = [\"plain\", \"sly\"]\n[cargo]\nlockfile = \"Cargo.lock\"\nindex = \
             \"{crates}index/\"\n[debian]\npackages = [\"quiet\", \"loud\"]\n[[debian.source]]\nuri = \"{}\"\nsuites = \
             [\"bookworm\"]\ncomponents = [\"main\"]\nsigned-by = \"archive.asc\"\n",
            self.debian.server.url()
        );
        desk.write("stage.toml", text);
        desk.key("k");
        desk.stage("trust init --key k.pem -o root.json").ok();
        desk
    }
}

#[test]
fn what_archives_run_is_found_before_it_is_carried_and_known_in_the_enclave() {
    let upstreams = Upstreams::new();
    let desk = upstreams.desk();
    desk.write("policy.toml", "");
    let report = desk.stage("resolve --format json").ok().json();
    let later = "policy-scripts-later the closure".to_owned();
    assert!(!of(&report, "note").contains(&later), "nobody asked");
    // Of what only archives tell, it is said that it is not known yet.
    desk.write("policy.toml", DENY);
    for words in ["resolve --format json", "policy check --format json"] {
        let report = desk.stage(words).ok().json();
        assert!(of(&report, "note").contains(&later), "{words}: {report:#}");
    }
    let bundle = "bundle --key k.pem -o x.stage --format json";
    let ran = desk.stage(bundle);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert_valid("bundle-report.json", &ran.json());
    assert_eq!(of(&ran.json(), "deny"), FOUND);
    assert!(!desk.path("x.stage").exists() && !ran.stderr.contains('\u{1b}'));
    ran.says(&[
        "runs code when it is built: tools/b.rs",
        "as root when it is installed or removed: postinst",
        "which its registry does not say: node_modules/@a/inner: install: node-gyp rebuild, postinstall: node",
        "add \"cargo:macros\" to `[install-scripts] allow`",
    ]);
    // One is waived, the others are known; all of them are still told.
    let allow = "[install-scripts]\nallow = [\"cargo:*\", \"npm:sly\"]\n";
    let waived = waiver("debian-maintainer-script", "debian:loud", "2090-01-01");
    desk.write("policy.toml", format!("{DENY}{allow}{waived}"));
    let report = desk.stage(bundle).ok().json();
    let notes = of(&report, "note");
    for one in FOUND.iter().filter(|one| !one.contains("debian")) {
        assert!(notes.contains(&(*one).to_owned()), "{one}: {notes:?}");
    }
    assert_eq!(report["policy"]["waived"].as_array().unwrap().len(), 1);
    let told = document(&desk.read("x.stage"), br#"{"archives":{"#);
    assert_eq!(told["schema"], "stage/install-scripts-evidence/v1");
    assert_valid("install-scripts-evidence.json", &told);
    assert_eq!(told["archives"].as_object().unwrap().len(), 8, "{told:#}");
    // The same inputs are the same bundle.
    desk.stage("bundle --key k.pem -o y.stage").ok();
    assert_eq!(desk.read("x.stage"), desk.read("y.stage"));
    // The enclave opens no archive, and is as strict as it wants to be.
    let print = desk.fingerprint("root.json");
    for (name, policy, code) in [
        ("deny", DENY.to_owned(), 3),
        (
            "known",
            format!("{DENY}[install-scripts]\nallow = [\"*:*\"]\n")
                .replace("\"*:*\"", "\"cargo:*\", \"npm:*\", \"debian:*\""),
            0,
        ),
        (
            "unread",
            "[severity]\nevidence-scripts-unread = \"deny\"\n".to_owned(),
            0,
        ),
    ] {
        desk.write("site.toml", policy);
        desk.stage(&format!(
            "repo init --repo {name} --trust root.json --fingerprint {print} --policy site.toml"
        ))
        .ok();
        let ran = desk.stage(&format!("import x.stage --repo {name} --format json"));
        assert_eq!(ran.code, code, "{name}: {}", ran.stderr);
        if code == 3 {
            let errors = ran.json()["errors"].clone();
            let codes: Vec<&str> = errors
                .as_array()
                .unwrap()
                .iter()
                .map(|e| e["code"].as_str().unwrap())
                .collect();
            let expected: Vec<&str> = FOUND
                .iter()
                .map(|one| one.split(' ').next().unwrap())
                .collect();
            assert_eq!(codes, expected);
        }
    }
}

/// Whoever leaves the evidence out does not get past a site that asks for it.
#[test]
fn archives_of_which_nothing_is_said_are_counted() {
    let world = World::new("scripted");
    let bytes = Crate::new("demo", "1.0.0").pack();
    let digest = Digest::of(&bytes).hex();
    let demo = Only {
        name: "demo",
        version: "1.0.0",
        bytes,
    };
    let made = Made::crates(&[demo]);
    let said = |archives: Value| {
        stage::base::json::canonical(
            &json!({"schema": "stage/install-scripts-evidence/v1", "archives": archives}),
        )
    };
    let policy = world.text("site.toml");
    std::fs::write(&policy, "[severity]\nevidence-scripts-unread = \"deny\"\n").unwrap();
    world.another("asking", &["--policy", &policy]);
    let unread = "evidence-scripts-unread";
    let other = Digest::of(b"other").hex();
    for (serial, document, denied) in [
        (1, None, Some("the closure: has 1 packages")),
        (2, Some(b"nonsense".to_vec()), Some("the closure")),
        (
            3,
            Some(said(json!({&other: {"runs": []}}))),
            Some("such as cargo demo@1.0.0"),
        ),
        (
            4,
            Some(said(json!({&digest: {"unread": "it is cut"}}))),
            Some("cargo demo@1.0.0: cannot be looked into"),
        ),
        (
            5,
            Some(said(
                json!({&digest: {"runs": [{"when": "soon", "what": ""}]}}),
            )),
            Some("the closure"),
        ),
        (6, Some(said(json!({&digest: {"runs": []}}))), None),
    ] {
        let more: Vec<(&str, &[u8])> = document
            .iter()
            .map(|bytes| ("evidence/install-scripts.json", bytes.as_slice()))
            .collect();
        let file = world.bundle_with(&made.content(), ("crates", serial), &more);
        let (report, code) = world.look(&file, "asking", &[]);
        let Some(word) = denied else {
            assert_eq!(code, 0, "{report:#}");
            continue;
        };
        assert_eq!(
            (code, &report["errors"][0]["code"]),
            (3, &json!(unread)),
            "{serial}: {report:#}"
        );
        let message = report["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(word), "{serial}: {message}");
    }
}
