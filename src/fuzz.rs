//! Entry points for fuzzing: everything that reads bytes from outside, fed with bytes alone. Compiled for `cargo fuzz`
//! (see `fuzz/`) and for the tests, which replay what fuzzing once found. An entry returns; it panics when a promise of
//! the reader is broken, such as that what was read is written as the same bytes.

#![expect(
    clippy::expect_used,
    reason = "compiled for fuzzing and tests only, where a broken promise must stop the run"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::sync::LazyLock;

use data_encoding::BASE64;
use serde_json::json;

use crate::base::digest::{Digest, Digests};
use crate::base::limits::LIMITS;
use crate::base::path::RelPath;
use crate::base::progress::NoProgress;
use crate::base::time::Timestamp;
use crate::bundle::header::{self, MARKER, write_member};
use crate::bundle::manifest::BundleManifest;
use crate::bundle::slot;
use crate::bundle::statement::{Kind, Statement};
use crate::eco;
use crate::lint::{self, Form};
use crate::openpgp::keyring::Keyring;
use crate::openpgp::make::RepositoryKey;
use crate::openpgp::verify::cleartext;
use crate::sign::SecretKey;
use crate::trust::approval::{Approvals, Approved};
use crate::trust::envelope::{self, STATEMENT_TYPE, Signable};
use crate::trust::key::Scheme;
use crate::trust::root::TrustRoot;
use crate::trust::threshold::Signer;
use crate::verify::{self, Judge, NullSink};

/// A reader and its name, which is also the name of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// Every reader.
pub const TARGETS: &[Target] = &[
    ("bundle", bundle),
    ("signed", signed),
    ("json", json_strict),
    ("root", root),
    ("approvals", approvals),
    ("lock", lock),
    ("manifest", manifest),
    ("path", path),
    ("cleartext", clear_signed),
    ("debian", debian),
    ("crates", crates),
    ("python", python),
    ("requirement", eco::pypi::fuzz::requirement),
    ("simple", eco::pypi::fuzz::simple),
    ("wheel", eco::pypi::fuzz::wheel),
    ("packument", eco::npm::fuzz::packument),
    ("tarball", eco::npm::fuzz::tarball),
    ("elf", crate::native::fuzz::elf),
    ("lint-zip", |bytes| archive(bytes, &Form::Wheel)),
    ("lint-tar", |bytes| archive(bytes, &Form::Package)),
    ("lint-crate", |bytes| {
        archive(bytes, &Form::Crate("demo-1.0.0".to_owned()));
    }),
    ("lint-deb", |bytes| archive(bytes, &Form::Debian)),
    ("osv", crate::vulns::fuzz::record),
    ("osv-packed", crate::vulns::fuzz::packed),
    ("osv-zip", crate::vulns::fuzz::zipped),
    ("hole-rules", hole_rules),
    ("policy", policy),
    ("strace", crate::prove::fuzz::strace),
    ("evidence", evidence),
    ("cargo-toml", |bytes| {
        let _built = eco::cargo::scripts::read(bytes, true);
    }),
];

/// One signing key and the trust root that knows it.
fn signer() -> (SecretKey, TrustRoot) {
    let key = SecretKey::generate(Scheme::Ed25519).expect("a key");
    let public = key.public().expect("a public key");
    let id = public.id().hex();
    let role = json!({"keyids": [id], "threshold": 1});
    let root = json!({
        "_type": "stage-root", "version": 1, "expires": "2030-01-01T00:00:00Z", "epochs": {"*": 1},
        "keys": [{"keyid": id, "scheme": "ed25519", "person": "rita", "spki": BASE64.encode(public.spki())}],
        "roles": {"root": role, "builder": role},
    });
    let root = TrustRoot::parse(&crate::base::json::canonical(&root)).expect("a root");
    (key, root)
}

thread_local! {
    static SIGNER: (SecretKey, TrustRoot) = signer();
}

fn judge(bundle: &[u8]) -> bool {
    SIGNER.with(|(_, root)| {
        let judge = Judge::alone(root, "2026-11-22T00:00:00Z".parse().expect("a time"));
        verify::bundle(bundle, &judge, &mut NullSink, &NoProgress).is_ok()
    })
}

/// A whole bundle; no random one is accepted.
pub fn bundle(bytes: &[u8]) {
    assert!(!judge(bytes), "a bundle of random bytes was accepted");
}

/// What lies behind the signatures: by the first byte, the statement, the manifest or the carried roots of a bundle
/// whose other parts are right and signed.
pub fn signed(bytes: &[u8]) {
    let Some((which, part)) = bytes.split_first() else {
        return;
    };
    let manifest = if which % 3 == 0 {
        part.to_vec()
    } else {
        BundleManifest::default().canonical()
    };
    let roots = if which % 3 == 1 {
        part.to_vec()
    } else {
        b"[]".to_vec()
    };
    let statement = if which % 3 == 2 {
        part.to_vec()
    } else {
        stating(&manifest, &roots)
    };
    let Ok(entry) = SIGNER.with(|(key, _)| key.sign_statement(&statement)) else {
        return;
    };
    let mut out = Vec::new();
    let slot = slot::write(&[entry]).expect("a slot");
    for (name, content) in [
        MARKER,
        (header::STATEMENT, statement.as_slice()),
        (header::SIGNATURES, slot.as_slice()),
        (header::ROOTS, roots.as_slice()),
        (header::MANIFEST, manifest.as_slice()),
    ] {
        write_member(&mut out, name, content).expect("a member");
    }
    out.extend([0; header::END]);
    judge(&out);
}

fn stating(manifest: &[u8], roots: &[u8]) -> Vec<u8> {
    let time = |text: &str| text.parse::<Timestamp>().expect("a time");
    Statement {
        channel: "prod".to_owned(),
        epoch: 1,
        serial: 7,
        kind: Kind::Full,
        created: time("2026-11-01T00:00:00Z"),
        expires: time("2029-02-01T00:00:00Z"),
        root_version: 1,
        manifest_size: manifest.len() as u64,
        manifest: Digests::of(manifest),
        roots: (Digest::of(roots), roots.len() as u64),
        previous: None,
    }
    .canonical()
}

/// Strict JSON: what is accepted is canonical, so writing it gives the same bytes.
pub fn json_strict(bytes: &[u8]) {
    if let Ok(value) = crate::base::json::strict(bytes, LIMITS.document) {
        assert_eq!(crate::base::json::canonical(&value), bytes);
    }
}

/// A trust root, and a trust root's envelope against the one that is known.
pub fn root(bytes: &[u8]) {
    if let Ok(root) = TrustRoot::parse(bytes) {
        assert_eq!(
            TrustRoot::parse(root.canonical())
                .map(|r| r.fingerprint())
                .ok(),
            Some(root.fingerprint())
        );
    }
    if let Ok(envelope) = crate::base::json::strict(bytes, LIMITS.roots) {
        let updated = SIGNER.with(|(_, root)| root.updated_by(&envelope));
        assert!(
            !matches!(updated, Ok(Some(_))),
            "a foreign root was accepted"
        );
    }
}

/// Approvals: as a file, and as the payload of one that is signed. What is accepted is written as the same bytes.
pub fn approvals(bytes: &[u8]) {
    SIGNER.with(|(key, root)| {
        let bundle = Approved {
            statement: Digest::of(b"statement"),
            channel: "prod",
            serial: 7,
        };
        let keyid = key.public().expect("a public key").id();
        let roles = root.roles_of(keyid);
        let person = "rita".to_owned();
        let signers = [Signer {
            keyid,
            person,
            roles,
        }];
        let judge = |file: &[u8]| Approvals::judge(file, &bundle, root, &signers);
        assert!(
            judge(bytes).is_err(),
            "approvals of random bytes were accepted"
        );
        let signature = key
            .sign_signable(Signable::approval(bytes))
            .expect("a signature");
        let envelope = envelope::envelope(STATEMENT_TYPE, bytes, &[signature]);
        let mut file = crate::base::json::canonical(&json!([envelope]));
        file.push(b'\n');
        if let Ok(accepted) = judge(&file) {
            assert_eq!(accepted.to_bytes(), file);
            let said = accepted.iter().next().expect("one");
            assert_eq!(said.approval().payload(&bundle), bytes);
        }
    });
}

/// A lock: what is read is written so that it reads the same.
pub fn lock(bytes: &[u8]) {
    if let Ok(lock) = crate::lock::format::parse(bytes) {
        let written = crate::lock::format::write(&lock);
        let again = crate::lock::format::parse(&written).expect("what was written reads");
        assert_eq!(crate::lock::format::write(&again), written);
    }
}

/// A bundle's manifest.
pub fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = BundleManifest::parse(bytes) {
        assert_eq!(manifest.canonical(), bytes);
    }
}

/// Paths inside a bundle.
pub fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let paths: Vec<RelPath> = text
        .split('\n')
        .filter_map(|line| line.parse().ok())
        .collect();
    for path in &paths {
        let inside = !path.as_str().starts_with('/')
            && path
                .segments()
                .all(|s| s != ".." && s != "." && !s.is_empty());
        assert!(inside, "{path} leaves its folder");
    }
    if crate::base::path::check_tree(&paths).is_ok() {
        let folded: BTreeSet<String> = paths.iter().map(|p| p.as_str().to_lowercase()).collect();
        assert_eq!(folded.len(), paths.len());
    }
}

/// A clear-signed text, such as `InRelease`; none is by the key that is pinned.
pub fn clear_signed(bytes: &[u8]) {
    static PINNED: LazyLock<Keyring> = LazyLock::new(|| {
        let at = "2026-01-01T00:00:00Z".parse().expect("a time");
        let key = RepositoryKey::from_seed([7; 32], at, "fuzz").expect("a key");
        Keyring::parse(&key.binary_certificate().expect("a certificate")).expect("a keyring")
    });
    let now = "2026-11-22T00:00:00Z".parse().expect("a time");
    // Signed by the pinned key only where the seeds have such a text.
    let _judged = cleartext(bytes, &PINNED, now);
    let _keyring = Keyring::parse(bytes);
}

/// Debian's control files, relations, versions and Release files.
pub fn debian(bytes: &[u8]) {
    use eco::debian::{control, relation, release, version::Version};
    let Ok(text) = control::text(bytes) else {
        return;
    };
    let _release = release::parse(text);
    for stanza in control::stanzas(text).take(64).flatten() {
        for name in ["Depends", "Breaks", "Provides"] {
            if let Some(field) = stanza.field(name) {
                let _relations = relation::parse(field, "amd64");
                let _provided = relation::provides(field, "amd64");
            }
        }
        let versions: Vec<Version<'_>> = ["Version", "Source"]
            .iter()
            .filter_map(|f| Version::parse(stanza.field(f)?).ok())
            .collect();
        if let [a, b] = versions.as_slice() {
            assert_eq!(a.cmp(b), b.cmp(a).reverse());
        }
    }
}

/// Files of a crate index, and Cargo.lock.
pub fn crates(bytes: &[u8]) {
    let _listed = eco::cargo::index::list("demo", bytes);
    let _lock = eco::cargo::lockfile::parse("fuzz", bytes);
}

/// Python's lock files, requirements and core metadata.
pub fn python(bytes: &[u8]) {
    let _uv = eco::pypi::uv_lock::parse("uv.lock", bytes);
    let _pylock = eco::pypi::pylock::parse("pylock.toml", bytes);
    let files = BTreeMap::from([("requirements.txt".to_owned(), bytes.to_vec())]);
    let _requirements = eco::pypi::requirements_txt::read("requirements.txt", &files);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _metadata = eco::pypi::metadata::Metadata::parse(text);
        let _marker = eco::pypi::marker::Marker::parse(text);
    }
}

/// The readers that look for archives with more than one reading.
fn archive(bytes: &[u8], form: &Form) {
    lint::check(&mut Cursor::new(bytes), form).expect("bytes in memory are read");
}

/// Rules about holes that a project brings.
pub fn hole_rules(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let mut rules = crate::holes::rule::Rules::default();
        let _added = crate::holes::rule::add(&mut rules, "fuzz.toml", text);
    }
}

/// A policy.
pub fn policy(bytes: &[u8]) {
    let _policy = crate::policy::Policy::parse("policy.toml", bytes);
}

/// What a builder found in archives, as an enclave reads it; what is read is written as something that reads the same.
pub fn evidence(bytes: &[u8]) {
    let _linted = crate::archives::Carried::parse(bytes);
    let scripts = crate::scripts::Scripts::parse(bytes);
    assert_eq!(crate::scripts::Scripts::parse(&scripts.document()), scripts);
    let licenses = crate::licenses::Licenses::parse(bytes);
    assert_eq!(
        crate::licenses::Licenses::parse(&licenses.document()),
        licenses
    );
}

#[cfg(test)]
mod tests {
    use super::TARGETS;
    use crate::fs;

    /// One text that each of these readers takes.
    const SAMPLES: &[(&str, &str)] = &[
        (
            "osv",
            r#"{"id":"GHSA-1","modified":"2026-01-01T00:00:00Z","aliases":["CVE-1"],"affected":[{"package":{"ecosystem":"npm","name":"demo"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.0.1"}]}],"versions":["1.0.0"]},{"package":{"ecosystem":"PyPI","name":"Demo"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0.9"},{"last_affected":"1.0"}]}]}],"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]}"#,
        ),
        (
            "hole-rules",
            "[[rule]]\nid = \"a-b\"\nkind = \"install-download\"\npackage = \"npm:a*\"\nfiles = \"*.js\"\ncontent = 'x|y'\nmeans = \"m\"\nfix = \"f {url}\"\n",
        ),
        (
            "policy",
            "[severity]\nnpm-deprecated = \"deny\"\n[packages]\ndeny = [\"npm:a@<2.0.0\"]\n[lint]\nrequire = true\n[size]\ntotal = \"4GB\"\n",
        ),
        (
            "strace",
            "12 openat(AT_FDCWD, \"/a\\x2f\", O_RDONLY) = -1 ENOENT (No such file or directory)\n13 connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr(\"192.0.2.1\")}, 16 <unfinished ...>\n13 <... connect resumed>) = -1 ENETUNREACH (x)\n",
        ),
        (
            "evidence",
            r#"{"archives":{"aa":{"runs":[{"what":"build.rs","when":"build-script"}]},"bb":{"unread":"x"}},"schema":"stage/install-scripts-evidence/v1"}"#,
        ),
        (
            "evidence",
            r#"{"licenses":[{"ecosystem":"npm","license":"x","release":"a@1","text":"b\nc"}],"schema":"stage/licenses-evidence/v1"}"#,
        ),
        (
            "cargo-toml",
            "[package]\nname = \"a\"\nbuild = [\"b.rs\"]\n[lib]\nproc-macro = true\n",
        ),
    ];

    #[test]
    fn what_is_nearly_right_breaks_no_reader() {
        for (name, sample) in SAMPLES {
            let (_, target) = TARGETS.iter().find(|(known, _)| known == name).unwrap();
            let good = sample.as_bytes();
            target(good);
            for at in 0..good.len() {
                target(&good[..at]);
                target(&[&good[..at], &good[at + 1..]].concat());
                for flip in [1, 0x20, 0x80] {
                    let mut other = good.to_vec();
                    other[at] ^= flip;
                    target(&other);
                }
            }
        }
    }

    #[test]
    fn what_fuzzing_found_stays_found() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fuzz");
        for (name, target) in TARGETS {
            target(b"");
            let kept = folder.join(name);
            if fs::exists(&kept) {
                for file in fs::list(&kept).unwrap() {
                    target(&fs::read(&file, 1 << 20).unwrap());
                }
            }
        }
    }
}
