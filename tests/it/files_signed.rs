//! Files that are signed by a bare key or listed by their publisher, from the server to the enclave. The signatures are
//! made by openssl.

use std::process::Command;

use serde_json::{Value, json};
use stage::base::digest::Digest;
use stage::openpgp::make::RepositoryKey;

use crate::attested::{Site, denied, run};
use crate::desk;
use crate::schemas::{assert_refused, assert_valid, from_toml};

const BYTES: &[u8] = b"the file\n";
const HEAD: &str = "[bundle]\nchannel = \"claw\"\n[target]\nplatforms = [\"linux/amd64\"]\n";

/// `[[file]]` of `tool.bin`, with its digest.
fn manifest(site: &Site, more: &str) {
    let text = format!(
        "{HEAD}[[file]]\nurl = \"{base}/tool.bin\"\npath = \"tool/tool.bin\"\n{more}",
        base = site.server.url()
    );
    let text = text
        .replace("BASE", &site.server.url())
        .replace("DIGEST", &Digest::of(BYTES).hex());
    assert_valid("manifest.json", &from_toml(&text));
    std::fs::write(site.world.path("stage.toml"), text).unwrap();
}

/// Runs openssl in the site's folder.
fn openssl(site: &Site, words: &str) {
    let mut command = Command::new("openssl");
    command
        .args(words.split_whitespace())
        .current_dir(site.world.path("."));
    desk::ran(command).ok();
}

/// A key pair `NAME.pem`, `NAME.pub`, and `NAME.sig`, its signature over the file in Base64.
fn sign(site: &Site, name: &str, algorithm: &str) -> String {
    std::fs::write(site.world.path("blob"), BYTES).unwrap();
    openssl(
        site,
        &format!("genpkey -algorithm {algorithm} -out {name}.pem"),
    );
    openssl(
        site,
        &format!("pkey -in {name}.pem -pubout -out {name}.pub"),
    );
    let sign = if algorithm == "ed25519" {
        format!("pkeyutl -sign -rawin -inkey {name}.pem -in blob -out {name}.raw")
    } else {
        format!("dgst -sha256 -sign {name}.pem -out {name}.raw blob")
    };
    openssl(site, &sign);
    let raw = std::fs::read(site.world.path(&format!("{name}.raw"))).unwrap();
    data_encoding::BASE64.encode(&raw)
}

/// Resolves, bundles and proves; the report of the proof.
#[track_caller]
fn carried(site: &Site, level: &str) -> Value {
    let world = &site.world;
    drop(std::fs::remove_file(world.path("claw.stage")));
    drop(std::fs::remove_file(world.path("stage.lock")));
    let (code, report) = run(world, &["resolve"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["evidence"][0]["level"], level, "{report:#}");
    assert_eq!(report["evidence"][0]["gap"], Value::Null);
    let records = std::fs::read(world.path("stage.records/file.json")).unwrap();
    let records = serde_json::from_slice(&records).unwrap();
    assert_valid("records-file.json", &records);
    assert_eq!(run(world, &["resolve", "--locked"]).0, 0);
    world.ok(&["bundle", "--key", "k.pem", "-o", "claw.stage"]);
    let (code, report) = run(
        world,
        &["verify", "claw.stage", "--trust", "root.json", "--upstream"],
    );
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["upstream"]["levels"], json!({"file": {level: 1}}));
    report["upstream"]["files"][0].clone()
}

/// Resolves, which must fail with this exit and code, and write nothing.
#[track_caller]
fn refused(site: &Site, exit: i32, expected: &str) {
    drop(std::fs::remove_file(site.world.path("stage.lock")));
    let (code, report) = run(&site.world, &["resolve"]);
    assert_eq!(code, exit, "{report:#}");
    let errors = report["errors"].as_array();
    let code = match errors.filter(|e| !e.is_empty()) {
        Some(errors) => errors[0]["code"].as_str().unwrap().to_owned(),
        None => denied(&report).0,
    };
    assert_eq!(code, expected);
    assert!(!site.world.path("stage.lock").exists());
}

#[test]
fn a_file_that_a_key_signed_is_proved_from_the_store_to_the_enclave() {
    let site = Site::new("files-keyed");
    site.put("tool.bin", BYTES);
    for (name, algorithm) in [
        ("ec", "EC -pkeyopt ec_paramgen_curve:P-256"),
        ("ed", "ed25519"),
    ] {
        let signature = sign(&site, name, algorithm);
        let by =
            format!("sha256 = \"DIGEST\"\nsigstore = \"BASE/tool.sig\"\nkey = \"{name}.pub\"\n");
        manifest(&site, &by);
        let digest = data_encoding::BASE64.encode(Digest::of(BYTES).bytes());
        let bundle = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": "x"}, "tlogEntries": []},
            "messageSignature": {"messageDigest": {"algorithm": "SHA2_256", "digest": digest}, "signature": signature},
        });
        for text in [format!("{signature}\n"), bundle.to_string()] {
            site.put("tool.sig", text.as_bytes());
            let file = carried(&site, "L3");
            assert!(file["by"][0].as_str().unwrap().starts_with("key sha256:"));
        }
        let verify = [
            "verify",
            "claw.stage",
            "--trust",
            "root.json",
            "--upstream",
            "--file-key",
        ];
        let public = format!("{name}.pub");
        let own = [&verify[..], &[&public]].concat();
        assert_eq!(run(&site.world, &own).0, 0);
        // Another key, another file, a signature that is none, no signature.
        let invalid = "evidence-attestation-invalid";
        drop(sign(&site, "other", algorithm));
        let other = [&verify[..], &["other.pub"]].concat();
        assert_eq!(run(&site.world, &other).1["refused"]["code"], invalid);
        manifest(&site, &by.replace(&format!("{name}.pub"), "other.pub"));
        refused(&site, 4, invalid);
        manifest(&site, &by);
        for text in ["", "{}", "\u{fffd}", &signature[4..]] {
            site.put("tool.sig", text.as_bytes());
            refused(&site, 4, invalid);
        }
        site.put("tool.sig", signature.as_bytes());
        site.put("tool.bin", b"another file\n");
        manifest(
            &site,
            &by.replace("DIGEST", &Digest::of(b"another file\n").hex()),
        );
        refused(&site, 4, invalid);
        site.put("tool.bin", BYTES);
        std::fs::write(site.world.path(&format!("{name}.pub")), "no key").unwrap();
        manifest(&site, &by);
        refused(&site, 2, "file-key");
    }
    // The key words belong together.
    let text = std::fs::read_to_string(site.world.path("stage.toml")).unwrap();
    let (head, _) = text.split_once("sigstore").unwrap();
    let signer = "signer = { issuer = \"https://token.example\", identity = \"x\" }\n";
    for more in [
        "sigstore = \"BASE/tool.sig\"\n",
        "key = \"ec.pub\"\n",
        &format!("sigstore = \"BASE/tool.sig\"\nkey = \"ec.pub\"\n{signer}"),
    ] {
        let text = format!("{head}{}", more.replace("BASE", "https://dist.example"));
        assert_refused("manifest.json", &from_toml(&text));
        std::fs::write(site.world.path("stage.toml"), text).unwrap();
        assert_eq!(run(&site.world, &["resolve"]).0, 2);
    }
}

#[test]
fn a_list_that_the_publisher_signed_travels_and_is_proved_in_the_enclave() {
    let site = Site::new("files-listed");
    let made = "2026-01-01T00:00:00Z".parse().unwrap();
    let key = RepositoryKey::from_seed([1; 32], made, "Publisher <p@node.example>").unwrap();
    let other = RepositoryKey::from_seed([2; 32], made, "Other <o@node.example>").unwrap();
    let both = [
        key.binary_certificate().unwrap(),
        other.binary_certificate().unwrap(),
    ];
    std::fs::write(site.world.path("node.gpg"), both.concat()).unwrap();
    let list = format!("{}  tool.bin\n", Digest::of(BYTES).hex());
    site.put("tool.bin", BYTES);
    site.put("SUMS", list.as_bytes());
    let date = "2026-01-02T00:00:00Z".parse().unwrap();
    let signature = key.sign_detached(list.as_bytes(), date).unwrap();
    site.put("SUMS.asc", signature.as_bytes());
    let by = "checksums = \"BASE/SUMS\"\nkeyring = \"node.gpg\"\n";
    manifest(&site, &format!("{by}signature = \"BASE/SUMS.asc\"\n"));
    let file = carried(&site, "L4");
    assert_eq!(file["by"], json!([key.fingerprint().as_str()]));
    gpgv_takes_what_travels(&site);
    // Of the keyring only who signed travels.
    let records = std::fs::read_to_string(site.world.path("stage.records/file.json")).unwrap();
    assert!(!records.contains(other.fingerprint().as_str()));
    let (_, shown) = run(
        &site.world,
        &[
            "inspect",
            "claw.stage",
            "--trust",
            "root.json",
            "--evidence",
        ],
    );
    assert_eq!(shown["evidence"][0]["level"], "L4", "{shown:#}");
    site.put("SUMS", key.sign_cleartext(&list, date).unwrap().as_bytes());
    manifest(&site, by);
    carried(&site, "L4");
    let (code, said) = site.world.import(&site.world.path("claw.stage"));
    assert_eq!(code, 0, "{said}");
    // A key of Ed25519 signs bytes that nobody knows yet.
    let signature = sign(&site, "ed", "ed25519");
    site.put("tool.sig", signature.as_bytes());
    manifest(
        &site,
        &format!("{by}sigstore = \"BASE/tool.sig\"\nkey = \"ed.pub\"\n"),
    );
    refused(&site, 2, "file-key");
    // One of P-256 signs the digest, whoever states that; both are told.
    let signature = sign(&site, "ec", "EC -pkeyopt ec_paramgen_curve:P-256");
    site.put("tool.sig", signature.as_bytes());
    manifest(
        &site,
        &format!("{by}sigstore = \"BASE/tool.sig\"\nkey = \"ec.pub\"\n"),
    );
    let file = carried(&site, "L4");
    assert_eq!(file["by"].as_array().unwrap().len(), 2, "{file:#}");
}

/// The files beside the records, out of the bundle, are what gpgv takes.
fn gpgv_takes_what_travels(site: &Site) {
    let page = std::fs::read_to_string(crate::source::root().join("docs/verify-by-hand.md"));
    let page = page.unwrap();
    let take = page
        .split("```sh\n")
        .find(|block| block.contains("new=$(mktemp"));
    let take = take.unwrap().split("```").next().unwrap();
    std::fs::write(site.world.path("take.sh"), take).unwrap();
    let here = |program: &str, words: &str| {
        let mut command = Command::new(program);
        command
            .args(words.split_whitespace())
            .current_dir(site.world.path("."));
        desk::ran(command)
    };
    for name in ["checksums", "signature", "keyring.pgp"] {
        let words = format!("take.sh claw.stage upstream/file/tool/tool.bin/{name}");
        here("sh", &words).ok();
    }
    here("gpgv", "--keyring ./keyring.pgp signature checksums").ok();
}
