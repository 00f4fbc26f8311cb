//! What upstreams signed, proved again by the program from bundles that are made here part by part: in the enclave build
//! as in the other. A bundle of someone who may build, and lies about its upstreams, is refused.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};
use stage::base::digest::{Digest, Digests, UpstreamChecksum};
use stage::base::evidence::Level;
use stage::base::package::EcosystemId;
use stage::base::platform::{Libc, Platform, Target};
use stage::eco::debian::records::{self as debian, DebianPackage, DebianRecords, SignedRelease};
use stage::eco::{self, Ecosystem};
use stage::lock::{Lock, LockedArtifact, LockedPackage, format};

use crate::debian_archive::{Deb, Suite, key};
use crate::desk::Desk;
use crate::npm_signatures::{RegistryKey, keys};
use crate::schemas::assert_valid;
use crate::signed::{self, Parts, Person, time};
use crate::sigstore::{Instance, Who, provenance};

/// What a bundle of one ecosystem is made of.
#[derive(Clone)]
pub(crate) struct Carried {
    ecosystem: &'static dyn Ecosystem,
    /// The text of its records.
    pub(crate) records: String,
    /// Its artifacts.
    artifacts: Vec<Vec<u8>>,
    /// What travels beside the records.
    pub(crate) proofs: BTreeMap<String, Vec<u8>>,
    /// What its lock states of every file.
    pub(crate) states: Option<Level>,
}

impl Carried {
    pub(crate) fn new(id: &EcosystemId, records: String, artifacts: Vec<Vec<u8>>) -> Self {
        Self {
            ecosystem: eco::by_id(id).unwrap(),
            records,
            artifacts,
            proofs: BTreeMap::new(),
            states: None,
        }
    }

    /// The same with other records.
    pub(crate) fn with(&self, from: &str, to: &str) -> Self {
        let records = self.records.replacen(from, to, 1);
        assert_ne!(records, self.records, "{from}");
        Self {
            records,
            ..self.clone()
        }
    }

    /// The lock of everything that the records have.
    fn lock(&self) -> Lock {
        let (id, records) = (self.ecosystem.id(), self.records.as_bytes());
        let facts = self.ecosystem.facts(records).unwrap();
        let artifact = |(file, checksum): (String, UpstreamChecksum)| LockedArtifact {
            path: file.clone(),
            file,
            checksum,
            upstream: id.to_string(),
            size: None,
            evidence: self.states,
            gap: None,
        };
        let package = |(release, facts): (stage::base::package::ReleaseId, eco::ReleaseFacts)| {
            LockedPackage {
                ecosystem: id.clone(),
                name: release.name,
                version: release.version,
                platforms: vec![Platform::LinuxAmd64],
                license: None,
                deprecated: None,
                install_script: false,
                bundled_in: Vec::new(),
                places: vec!["1:here".to_owned()],
                dependencies: Vec::new(),
                artifacts: facts.files.into_iter().map(artifact).collect(),
            }
        };
        let mut lock = Lock {
            target: Target {
                platforms: vec![Platform::LinuxAmd64],
                libc: Libc::Glibc("2.36".to_owned()),
                python: None,
                node: None,
            },
            exclude_newer: None,
            inputs: Vec::new(),
            requirements: Vec::new(),
            records: BTreeMap::from([(id.clone(), Digest::of(records))]),
            packages: facts.into_iter().map(package).collect(),
            findings: Vec::new(),
        };
        lock.sort();
        lock
    }

    /// The files of a bundle that agree with one another.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let (lock, key) = (self.lock(), self.ecosystem.key());
        let digest = |artifact: &LockedArtifact| {
            let digests = self.artifacts.iter().map(|bytes| Digests::of(bytes));
            let mut fitting = digests.filter(|digests| artifact.checksum.confirms(digests));
            fitting.next().unwrap().sha256
        };
        let components = lock.packages.iter().map(|package| {
            let hashes = package.artifacts.iter();
            let hashes = hashes.map(|a| json!({"alg": "SHA-256", "content": digest(a).hex()}));
            json!({
                "name": package.name,
                "purl": self.ecosystem.purl(&package.id())
                    .qualified(&self.ecosystem.purl_qualifiers(&lock, package)),
                "hashes": hashes.collect::<Vec<_>>(),
            })
        });
        let components: Vec<Value> = components.collect();
        let sbom =
            json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": components});
        let mut files = self.proofs.clone();
        files.insert("lock/stage.lock".to_owned(), format::write(&lock));
        let records = self.records.clone().into_bytes();
        files.insert(format!("lock/records/{key}.json"), records);
        files.insert(
            "sbom/bundle.cdx.json".to_owned(),
            sbom.to_string().into_bytes(),
        );
        for bytes in &self.artifacts {
            let path = format!("artifacts/{key}/{}", Digest::of(bytes).hex());
            files.insert(path, bytes.clone());
        }
        files
    }

    /// Exit code and report of the program about such a bundle, signed by its builder. Without `--upstream` it is
    /// always accepted.
    #[track_caller]
    fn verified(&self, desk: &Desk, more: &str) -> (i32, Value) {
        let owner = Person::new("owner");
        let root = signed::root_value(1, &[("root", &[&owner], 1), ("builder", &[&owner], 1)]);
        desk.write("root.json", root.to_string());
        let files = self.files();
        let files = files.iter().map(|(path, b)| (path.as_str(), b.as_slice()));
        let mut parts = Parts::new(&files.collect::<Vec<_>>());
        parts.statement.created = time("2026-01-20T00:00:00Z");
        desk.write("x.stage", parts.signed(&[&owner]));
        let verify = "verify x.stage --trust root.json --format json";
        desk.stage(verify).ok();
        let ran = desk.stage(&format!("{verify} --upstream {more}"));
        let report = ran.json();
        assert_valid("verify-report.json", &report);
        (ran.code, report)
    }

    /// That every file is proved on this level by these.
    #[track_caller]
    pub(crate) fn proved(&self, desk: &Desk, more: &str, level: &str, by: &Value) {
        let (code, report) = self.verified(desk, more);
        assert_eq!(code, 0, "{report:#}");
        for file in report["upstream"]["files"].as_array().unwrap() {
            assert_eq!((&file["proven"], &file["by"]), (&json!(level), by));
        }
    }

    /// That the bundle is refused under this code, with this word in the message.
    #[track_caller]
    pub(crate) fn refused(&self, desk: &Desk, more: &str, code: &str, word: &str) {
        let (exit, report) = self.verified(desk, more);
        assert_eq!(exit, 4, "{report:#}");
        assert_eq!(report["refused"]["check"], "upstream");
        assert_eq!(report["refused"]["code"], code, "{report:#}");
        let told = report["errors"].to_string();
        assert!(told.contains(word), "{word} not in {told}");
    }
}

#[test]
fn a_chain_of_debian_is_proved_and_a_forged_one_is_not() {
    let desk = Desk::new();
    let deb = Deb::new("app", "1.0-1", "amd64");
    let suite = |date: &str| Suite {
        date: time(date),
        ..Suite::new("bookworm", "bookworm").with("main", std::slice::from_ref(&deb))
    };
    let published = suite("2026-01-10T00:00:00Z").publish(&key(1));
    let text = |path: &str| String::from_utf8(published[path].clone()).unwrap();
    let (release, index) = (
        "debian dists/bookworm/InRelease",
        "main/binary-amd64/Packages",
    );
    let mut records = DebianRecords::default();
    let stanza = text(&format!("dists/bookworm/{index}"));
    let package = DebianPackage {
        stanza: stanza.trim_end().to_owned(),
        release: release.to_owned(),
        index: index.to_owned(),
    };
    records.put(&"app@1.0-1".parse().unwrap(), "amd64", package);
    let fingerprint = key(1).fingerprint().as_str().to_owned();
    let signed = SignedRelease {
        text: text("dists/bookworm/InRelease"),
        signature: None,
        date: time("2026-01-10T00:00:00Z"),
        signers: vec![fingerprint.clone()],
    };
    records.releases.insert(release.to_owned(), signed);
    // What stands in an armour is the Base64 of the packets.
    let armored = |seed| key(seed).armored_certificate().unwrap();
    let certificate = armored(1);
    let inside = certificate.lines().skip_while(|line| !line.is_empty());
    let certificate: String = inside
        .take_while(|line| !line.starts_with(['=', '-']))
        .collect();
    records
        .certificates
        .insert(fingerprint.clone(), certificate);
    let records = String::from_utf8(debian::write(&records)).unwrap();
    let mut good = Carried::new(&EcosystemId::debian(), records, vec![deb.pack()]);
    good.states = Some(Level::L4);
    let path = format!("upstream/debian/{}", release.replacen(' ', "/", 1));
    let path = path.replace("InRelease", &format!("{index}.gz"));
    let packed = published[&format!("dists/bookworm/{index}.gz")].clone();
    good.proofs.insert(path.clone(), packed.clone());
    good.proved(&desk, "", "L4", &json!([fingerprint]));

    // The reader's own keyring stands in the place of the records' certificates.
    desk.write("own.asc", armored(1));
    desk.write("other.asc", armored(2));
    good.proved(
        &desk,
        "--debian-keyring own.asc",
        "L4",
        &json!([fingerprint]),
    );
    let no_valid = "openpgp-no-valid-signature";
    good.refused(
        &desk,
        "--debian-keyring other.asc",
        no_valid,
        "dists/bookworm",
    );
    // Another date in what was signed, another entry than the index has, another index, none.
    good.with("Sat, 10 Jan", "Sun, 11 Jan").refused(
        &desk,
        "",
        "openpgp-bad-signature",
        "dists/bookworm",
    );
    good.with("Priority: optional", "Priority: required")
        .refused(&desk, "", "debian-chain", "no such entry");
    let mut other = good.clone();
    let mut changed = packed;
    changed.push(0);
    other.proofs.insert(path.clone(), changed);
    other.refused(
        &desk,
        "",
        "debian-chain",
        "is not the one that the release lists",
    );
    other.proofs.remove(&path);
    let (code, report) = other.verified(&desk, "");
    assert_eq!(code, 0, "{report:#}");
    let file = &report["upstream"]["files"][0];
    assert_eq!(
        (&file["proven"], &file["gap"]),
        (&json!("L2"), &json!("unreachable"))
    );
}

#[test]
fn a_signature_of_a_registry_is_proved_and_one_over_another_release_is_not() {
    let (desk, own) = (Desk::new(), RegistryKey::new());
    let tarball = b"tarball".to_vec();
    let integrity = UpstreamChecksum::Sha512(Digests::of(&tarball).sha512).to_sri();
    let signature = own.sign("app@1.0.0", &integrity);
    let version = json!({"dist": {"integrity": integrity, "signatures": [signature]}});
    let records = json!({"schema": 1, "packages": {"app": {"dist-tags": {}, "versions": {"1.0.0": version}}}});
    let mut good = Carried::new(&EcosystemId::npm(), records.to_string(), vec![tarball]);
    good.states = Some(Level::L3);
    desk.write("own.json", keys(&[own.entry(None)]));
    let by = "--npm-keys own.json";
    good.proved(&desk, by, "L3", &json!([own.id()]));
    // By the keys of the public registry, and of somebody else.
    good.refused(&desk, "", "npm-signature-unknown-key", &own.id());
    let ended = own.entry(Some("2025-12-31T00:00:00.000Z"));
    desk.write("ended.json", keys(&[ended]));
    good.refused(
        &desk,
        "--npm-keys ended.json",
        "npm-signature-key-time",
        "it ended",
    );
    let invalid = "npm-signature-invalid";
    good.with("\"1.0.0\"", "\"1.0.1\"")
        .refused(&desk, by, invalid, "is not over this release");
    good.with("\"app\"", "\"apt\"")
        .refused(&desk, by, invalid, "is not over this release");
    let text = signature.to_string();
    good.with(&text, "")
        .refused(&desk, by, "evidence-contradicted", "have no signature");
    let other = RegistryKey::new().sign("app@1.0.0", &integrity);
    good.with(&text, &other.to_string()).refused(
        &desk,
        by,
        "npm-signature-unknown-key",
        "nobody knows",
    );
}

/// Who should have signed, in the tests.
pub(crate) fn publisher() -> Who {
    Who {
        identity: "https://forge.example/acme/app/.ci/release.yml@refs/tags/v1".to_owned(),
        issuer: "https://token.example",
    }
}

pub(crate) const PUBLISH: &str = "https://docs.index.example/attestations/publish/v1";
pub(crate) const BUILT: &str = "https://slsa.dev/provenance/v1";

/// Records of one wheel that was attested like this.
fn attested(object: &Value, sha256: Digest) -> String {
    let signer = json!({
        "issuer": "https://token.example",
        "repository": "https://forge.example/acme/app",
        "workflow": ".ci/release.yml",
    });
    let file = json!({"sha256": sha256.hex(), "attested": {"provenance": object.to_string(), "signer": signer}});
    let files = json!({"files": {"app-1.0-py3-none-any.whl": file}});
    json!({"schema": 1, "metadata": {}, "projects": {"app": {"1.0": files}}}).to_string()
}

#[test]
fn what_a_publisher_attested_is_proved_and_what_anybody_else_says_is_not() {
    let (desk, instance) = (Desk::new(), Instance::new());
    desk.write("trusted.json", instance.root());
    desk.write("stranger.json", Instance::new().root());
    let (wheel, who) = (b"wheel".to_vec(), publisher());
    let (file, sha256) = ("app-1.0-py3-none-any.whl", Digest::of(&wheel));
    let carried = |attestations: &[Value]| {
        let records = attested(&provenance(attestations), sha256);
        let mut carried = Carried::new(&EcosystemId::pypi(), records, vec![wheel.clone()]);
        carried.states = Some(Level::L3);
        carried
    };
    let by = "--trusted-root trusted.json";
    let state = |who: &Who, file: &str, sha256: Digest, kind: &str| {
        instance.state(who, &[(file, sha256)], kind).attestation()
    };
    let published = state(&who, file, sha256, PUBLISH);
    let built = state(&who, file, sha256, BUILT);
    let other = |identity: &str, issuer: &'static str| Who {
        identity: identity.to_owned(),
        issuer,
    };
    let elsewhere = other(
        "https://forge.example/acme/apt/.ci/release.yml@v1",
        who.issuer,
    );
    let somebody = state(&elsewhere, file, sha256, PUBLISH);
    let of_a_kind = state(&who, file, sha256, "https://kinds.example/v1");
    let own = json!([who.identity]);
    let good = carried(std::slice::from_ref(&published));
    good.proved(&desk, by, "L3", &own);
    carried(std::slice::from_ref(&built)).proved(&desk, by, "L3", &own);
    // Both kinds, one by somebody else beside, one of a kind that nobody knows.
    let many = [
        published.clone(),
        built,
        somebody.clone(),
        of_a_kind.clone(),
    ];
    carried(&many).proved(&desk, by, "L3", &own);
    // The name may be written in another way, and says the same.
    let written = state(&who, "App-1.0.0-py3-none-any.whl", sha256, PUBLISH);
    carried(&[written]).proved(&desk, by, "L3", &own);

    let invalid = "evidence-attestation-invalid";
    let refused = |attestations: &[Value], word: &str| {
        carried(attestations).refused(&desk, by, invalid, word);
    };
    refused(&[somebody], "not by");
    let workflow = other(
        "https://forge.example/acme/app/.ci/other.yml@v1",
        who.issuer,
    );
    refused(&[state(&workflow, file, sha256, PUBLISH)], "not by");
    let issuer = other(&who.identity, "https://issuer.example");
    refused(
        &[state(&issuer, file, sha256, PUBLISH)],
        "is vouched for by",
    );
    let bytes = Digest::of(b"other");
    refused(
        &[state(&who, file, bytes, PUBLISH)],
        "does not match any subject",
    );
    let name = "app-1.1-py3-none-any.whl";
    refused(&[state(&who, name, sha256, PUBLISH)], "it is about");
    let two = instance.state(&who, &[(file, sha256), ("b", bytes)], PUBLISH);
    refused(&[two.attestation()], "not about one file");
    refused(&[of_a_kind], "no attestation of a known kind");
    refused(&[], "no attestation of a known kind");
    // One that does not hold is not outvoted by one that does.
    let mut entryless = published.clone();
    entryless["verification_material"]["transparency_entries"] = json!([]);
    refused(&[published.clone(), entryless], "does not hold");
    let parts: [(&str, &str); 4] = [
        ("/envelope/signature", "signature"),
        ("/envelope/statement", ""),
        ("/verification_material/certificate", ""),
        (
            "/verification_material/transparency_entries/0/canonicalizedBody",
            "",
        ),
    ];
    for (pointer, word) in parts {
        let mut broken = published.clone();
        let place = broken.pointer_mut(pointer).unwrap();
        let mut bytes = BASE64.decode(place.as_str().unwrap().as_bytes()).unwrap();
        bytes.pop();
        *place = BASE64.encode(&bytes).into();
        refused(&[broken], word);
    }
    let note = "/verification_material/transparency_entries/0/inclusionProof/rootHash";
    let mut unlogged = published;
    *unlogged.pointer_mut(note).unwrap() = BASE64.encode(Digest::of(b"x").bytes()).into();
    refused(&[unlogged], "does not hold");
    // By another instance, and by the public one.
    good.refused(
        &desk,
        "--trusted-root stranger.json",
        invalid,
        "does not hold",
    );
    good.refused(&desk, "", invalid, "does not hold");
    // Records that have none, or none that can be read.
    let mut bare = good.clone();
    let mut records: Value = serde_json::from_str(&good.records).unwrap();
    let file = &mut records["projects"]["app"]["1.0"]["files"][file];
    file["attested"]["provenance"] = "{}".into();
    bare.records = records.to_string();
    bare.refused(&desk, by, invalid, "no provenance object");
    bare.records = json!({"schema": 1, "metadata": {}, "projects": {"app": {"1.0": {"files": {
        "app-1.0-py3-none-any.whl": {"sha256": sha256.hex(), "unattested": "absent"}}}}}})
    .to_string();
    bare.refused(&desk, by, "evidence-contradicted", "have no signature");
    bare.states = None;
    let (code, report) = bare.verified(&desk, by);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["upstream"]["files"][0]["gap"], "absent");
}

#[test]
fn a_bundle_of_a_file_is_proved_and_one_of_another_file_is_not() {
    let (desk, instance) = (Desk::new(), Instance::new());
    desk.write("trusted.json", instance.root());
    let (bytes, who) = (b"file".to_vec(), publisher());
    let signed = instance.state(&who, &[("any name", Digest::of(&bytes))], BUILT);
    let signer = json!({"issuer": who.issuer, "identity": who.identity});
    let attested = json!({"bundle": signed.bundle().to_string(), "signer": signer});
    let file = |bytes: &[u8]| {
        let sha256 = Digest::of(bytes);
        let record = json!({"sha256": sha256, "source_name": "tool", "attested": attested});
        let records = json!({"schema": 1, "files": {"tools/tool": record}}).to_string();
        let mut carried = Carried::new(&EcosystemId::file(), records, vec![bytes.to_vec()]);
        carried.states = Some(Level::L3);
        carried
    };
    let by = "--trusted-root trusted.json";
    let good = file(&bytes);
    good.proved(&desk, by, "L3", &json!([who.identity]));
    let invalid = "evidence-attestation-invalid";
    file(b"other").refused(&desk, by, invalid, "does not match any subject");
    good.with("release.yml", "any.yml")
        .refused(&desk, by, invalid, "not by");
    good.refused(&desk, "", invalid, "does not hold");
}

/// A key of the tests, and what it signs.
pub(crate) struct FileKey(KeyPair);

impl FileKey {
    pub(crate) fn p256() -> Self {
        Self(KeyPair::generate().unwrap())
    }

    pub(crate) fn ed25519() -> Self {
        Self(KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.public_key_pem()
    }

    pub(crate) fn id(&self) -> String {
        format!("key {}", Digest::of(&self.0.subject_public_key_info()))
    }

    /// As `cosign sign-blob --output-signature` writes it.
    pub(crate) fn sign(&self, bytes: &[u8]) -> String {
        BASE64.encode(&self.0.sign(bytes).unwrap())
    }

    /// As `cosign sign-blob --key --bundle` writes it.
    pub(crate) fn bundle(&self, bytes: &[u8]) -> Value {
        let digest = BASE64.encode(Digest::of(bytes).bytes());
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": "any"}, "tlogEntries": []},
            "messageSignature": {
                "messageDigest": {"algorithm": "SHA2_256", "digest": digest},
                "signature": self.sign(bytes),
            },
        })
    }

    /// As `cosign attest-blob --key` writes it, about a file with this digest.
    fn statement(&self, sha256: Digest, kind: &str) -> Value {
        let statement = json!({"_type": "https://in-toto.io/Statement/v1", "predicateType": BUILT, "predicate": {},
            "subject": [{"name": "x", "digest": {"sha256": sha256.hex()}}]})
        .to_string();
        let pae = format!(
            "DSSEv1 {} {kind} {} {statement}",
            kind.len(),
            statement.len()
        );
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": "any"}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": BASE64.encode(statement.as_bytes()),
                "payloadType": kind,
                "signatures": [{"sig": self.sign(pae.as_bytes())}],
            },
        })
    }
}

/// A bundle of one file with this record beside its digest.
fn file(bytes: &[u8], more: &Value, states: Level, documents: &Value) -> Carried {
    let mut record = json!({"sha256": Digest::of(bytes), "source_name": "tool"});
    let own = record.as_object_mut().unwrap();
    own.extend(more.as_object().unwrap().clone());
    let mut records = json!({"schema": 1, "files": {"tools/tool": record}});
    let own = records.as_object_mut().unwrap();
    own.extend(documents.as_object().unwrap().clone());
    let id = EcosystemId::file();
    let mut carried = Carried::new(&id, records.to_string(), vec![bytes.to_vec()]);
    carried.states = Some(states);
    carried
}

#[test]
fn a_signature_by_a_key_is_proved_and_one_by_another_or_of_another_file_is_not() {
    let desk = Desk::new();
    let bytes = b"file";
    let invalid = "evidence-attestation-invalid";
    for (key, other) in [
        (FileKey::p256(), FileKey::p256()),
        (FileKey::ed25519(), FileKey::ed25519()),
    ] {
        let signed = |bytes: &[u8], signature: &str, pem: &str| {
            let signed = json!({"signed": {"signature": signature, "key": pem}});
            file(bytes, &signed, Level::L3, &json!({}))
        };
        let kind = "application/vnd.in-toto+json";
        let own = json!([key.id()]);
        let bundle = key.bundle(bytes).to_string();
        let statement = key.statement(Digest::of(bytes), kind).to_string();
        for text in [key.sign(bytes), key.sign(bytes) + "\n", bundle, statement] {
            let good = signed(bytes, &text, &key.pem());
            good.proved(&desk, "", "L3", &own);
            desk.write("own.pub", key.pem());
            desk.write("other.pub", other.pem());
            good.proved(&desk, "--file-key own.pub --file-key other.pub", "L3", &own);
            good.refused(
                &desk,
                "--file-key other.pub",
                invalid,
                "is not the reader's",
            );
            signed(b"other", &text, &key.pem()).refused(&desk, "", invalid, "does not hold");
            signed(bytes, &text, &other.pem()).refused(&desk, "", invalid, "by this key");
        }
        let mut unlike = key.bundle(bytes);
        unlike["messageSignature"]["messageDigest"]["digest"] =
            BASE64.encode(Digest::of(b"other").bytes()).into();
        let mut cut = BASE64.decode(key.sign(bytes).as_bytes()).unwrap();
        cut.pop();
        for (text, word) in [
            (unlike.to_string(), "another digest"),
            (BASE64.encode(&cut), "is not over this file"),
            (String::new(), "does not hold"),
            ("{}".to_owned(), "does not hold"),
            (
                key.statement(Digest::of(b"other"), kind).to_string(),
                "other digests",
            ),
            (
                key.statement(Digest::of(bytes), "text/plain").to_string(),
                "no statement",
            ),
            (
                Instance::new()
                    .state(&publisher(), &[("x", Digest::of(bytes))], BUILT)
                    .bundle()
                    .to_string(),
                "name its `signer`",
            ),
        ] {
            signed(bytes, &text, &key.pem()).refused(&desk, "", invalid, word);
        }
        signed(bytes, &key.sign(bytes), "no key").refused(&desk, "", invalid, "PEM");
    }
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let signed = json!({"signed": {"signature": "", "key": p384.public_key_pem()}});
    file(bytes, &signed, Level::L3, &json!({})).refused(&desk, "", invalid, "neither ECDSA P-256");
    desk.write("bad.pub", "no key");
    let ran = desk.stage("verify x.stage --trust root.json --upstream --file-key bad.pub");
    ran.refused(2, "file-key");
}

#[test]
fn a_signed_list_of_checksums_is_proved_and_a_forged_one_is_not() {
    let desk = Desk::new();
    let (bytes, date) = (b"file", time("2026-01-10T00:00:00Z"));
    let list = format!(
        "{}  other\n{}  tool\n",
        Digest::of(b"x").hex(),
        Digest::of(bytes).hex()
    );
    let certificate = |seed| BASE64.encode(&key(seed).binary_certificate().unwrap());
    let carried = |list: &str, signature: Option<&str>, seed: u8| {
        let fingerprint = key(seed).fingerprint().as_str().to_owned();
        let documents: Vec<&str> = std::iter::once(list).chain(signature).collect();
        let documents: BTreeMap<String, String> = documents
            .into_iter()
            .map(|text| {
                (
                    Digest::of(text.as_bytes()).hex(),
                    BASE64.encode(text.as_bytes()),
                )
            })
            .collect();
        let mut listed =
            json!({"checksums": Digest::of(list.as_bytes()).hex(), "signers": [fingerprint]});
        if let Some(signature) = signature {
            listed["signature"] = Digest::of(signature.as_bytes()).hex().into();
        }
        let certificates = json!({fingerprint: certificate(seed)});
        let documents = json!({"documents": documents, "certificates": certificates});
        file(bytes, &json!({"listed": listed}), Level::L4, &documents)
    };
    let detached = |text: &str, seed| key(seed).sign_detached(text.as_bytes(), date).unwrap();
    let clear = |text: &str, seed| key(seed).sign_cleartext(text, date).unwrap();
    desk.write("own.asc", key(1).armored_certificate().unwrap());
    desk.write("other.asc", key(2).armored_certificate().unwrap());
    let own = json!([key(1).fingerprint().as_str()]);
    let (by_own, by_other) = ("--file-keyring own.asc", "--file-keyring other.asc");
    let no_valid = "openpgp-no-valid-signature";
    for (text, signature) in [
        (list.clone(), Some(detached(&list, 1))),
        (list.clone(), Some(clear(&list, 1))),
        (clear(&list, 1), None),
    ] {
        let good = carried(&text, signature.as_deref(), 1);
        good.proved(&desk, "", "L4", &own);
        good.proved(&desk, by_own, "L4", &own);
        good.refused(&desk, by_other, no_valid, "are not trusted");
        // What travels for other programs is the same, or nothing is believed.
        let mut beside = good.clone();
        let path = "upstream/file/tools/tool/checksums".to_owned();
        beside
            .proofs
            .insert(path.clone(), text.clone().into_bytes());
        beside.proved(&desk, "", "L4", &own);
        beside.proofs.insert(path, b"another list".to_vec());
        let invalid = "evidence-attestation-invalid";
        beside.refused(&desk, "", invalid, "is not the one of the records");
    }
    // By somebody whose certificate the builder put into the records.
    let forged = carried(&list, Some(&detached(&list, 2)), 2);
    forged.proved(&desk, "", "L4", &json!([key(2).fingerprint().as_str()]));
    forged.refused(&desk, by_own, no_valid, "are not trusted");
    let other = list.replace("tool", "loot");
    let bad = "openpgp-bad-signature";
    carried(&other, Some(&detached(&list, 1)), 1).refused(&desk, "", bad, "are not trusted");
    let unlike = "file-checksums-differ";
    carried(&other, Some(&clear(&list, 1)), 1).refused(&desk, "", unlike, "not the text");
    let gone = "file-checksum-missing";
    carried(&other, Some(&detached(&other, 1)), 1).refused(&desk, "", gone, "have no SHA-256");
    let wrong = list.replace(&Digest::of(bytes).hex(), &Digest::of(b"y").hex());
    let invalid = "evidence-attestation-invalid";
    carried(&wrong, Some(&detached(&wrong, 1)), 1).refused(&desk, "", invalid, "another digest");
    file(bytes, &json!({}), Level::L4, &json!({})).refused(
        &desk,
        "",
        "evidence-contradicted",
        "have no signature",
    );
}
