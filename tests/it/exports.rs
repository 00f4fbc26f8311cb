//! A bundle's signatures in the forms of other tools, checked with openssl. `scripts/export-check` gives them to the tools.

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::desk::{Desk, ran};

const TYPE: &str = "application/vnd.in-toto+json";

/// A bundle that alice (Ed25519) and bob (P-384) signed.
fn signed() -> Desk {
    let desk = Desk::new();
    desk.key("rita");
    desk.key("alice");
    desk.stage("key generate --scheme ecdsa-p384 -o bob.pem")
        .ok();
    desk.stage(
        "trust init --root rita.pub=rita --builder alice.pub=alice --releaser bob.pub=bob -o root.json",
    )
    .ok();
    desk.write("files/a.txt", "a");
    desk.stage("bundle --plain files --channel docs --key alice.pem -o one.stage")
        .ok();
    desk.stage("sign one.stage --key bob.pem --trust root.json")
        .ok();
    desk
}

fn keyid(desk: &Desk, name: &str) -> String {
    let ran = desk
        .stage(&format!("key inspect {name}.pub --format json"))
        .ok();
    ran.json()["keyid"].as_str().unwrap().to_owned()
}

/// Whether openssl takes signature `at` of an envelope for that of `NAME.pub`.
fn openssl_verifies(desk: &Desk, envelope: &Value, at: usize, name: &str) -> bool {
    let bytes = |value: &Value| BASE64.decode(value.as_str().unwrap().as_bytes()).unwrap();
    let payload = bytes(&envelope["payload"]);
    let kind = envelope["payloadType"].as_str().unwrap();
    let head = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len());
    desk.write("signed", [head.as_bytes(), &payload].concat());
    desk.write("sig", bytes(&envelope["signatures"][at]["sig"]));
    let words = if name == "bob" {
        "dgst -sha384 -verify bob.pub -signature sig signed".to_owned()
    } else {
        format!("pkeyutl -verify -pubin -inkey {name}.pub -rawin -in signed -sigfile sig")
    };
    ran(desk.command("openssl", &words)).code == 0
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn an_envelope_has_all_signatures_and_openssl_verifies_them() {
    let desk = signed();
    let envelope = parsed(&desk.stage("export one.stage --as dsse").ok().stdout);
    assert_eq!(envelope["payloadType"], TYPE);
    ran(desk.command("tar", "-xf one.stage statement.json")).ok();
    assert_eq!(
        envelope["payload"],
        BASE64.encode(&desk.read("statement.json"))
    );
    let signatures = envelope["signatures"].as_array().unwrap();
    assert_eq!(signatures.len(), 2);
    assert_eq!(envelope.as_object().unwrap().len(), 3);
    for (at, name) in ["alice", "bob"].into_iter().enumerate() {
        assert_eq!(signatures[at]["keyid"], keyid(&desk, name).as_str());
        assert!(openssl_verifies(&desk, &envelope, at, name));
        let mut bad = envelope.clone();
        let mut payload = desk.read("statement.json");
        payload[20] ^= 1;
        bad["payload"] = BASE64.encode(&payload).into();
        assert!(!openssl_verifies(&desk, &bad, at, name));
    }
    assert!(!openssl_verifies(&desk, &envelope, 0, "rita"));
    // A head is the same bundle, and a folder gets a file named after it.
    desk.stage("head one.stage -o one.head").ok();
    desk.stage("export one.head --as dsse -o out")
        .ok()
        .says(&["out/one.dsse.json"]);
    assert_eq!(
        parsed(&String::from_utf8(desk.read("out/one.dsse.json")).unwrap()),
        envelope
    );
}

#[test]
fn a_sigstore_bundle_has_one_signature() {
    let desk = signed();
    desk.stage("export one.stage --as sigstore")
        .refused(2, "give --output");
    let report = desk
        .stage("export one.stage --as sigstore -o out --format json")
        .ok();
    assert_eq!(report.json()["written"].as_array().unwrap().len(), 2);
    assert!(
        report
            .stderr
            .contains("@sigstore/verify refuses ECDSA P-384"),
        "{}",
        report.stderr
    );
    for name in ["alice", "bob"] {
        let id = keyid(&desk, name);
        let file = format!("out/one.{}.sigstore.json", &id[..16]);
        let bundle = parsed(&String::from_utf8(desk.read(&file)).unwrap());
        assert_eq!(
            bundle["mediaType"],
            "application/vnd.dev.sigstore.bundle.v0.3+json"
        );
        let material = json!({"publicKey": {"hint": id}, "tlogEntries": []});
        assert_eq!(bundle["verificationMaterial"], material);
        let envelope = &bundle["dsseEnvelope"];
        assert_eq!(envelope["signatures"].as_array().unwrap().len(), 1);
        assert!(openssl_verifies(&desk, envelope, 0, name));
    }
    // A single signer needs no folder.
    desk.stage("bundle --plain files --channel docs --key alice.pem -o two.stage")
        .ok();
    let only = desk.stage("export two.stage --as sigstore").ok();
    assert!(!only.stderr.contains("warning"), "{}", only.stderr);
    assert!(openssl_verifies(
        &desk,
        &parsed(&only.stdout)["dsseEnvelope"],
        0,
        "alice"
    ));
}

#[test]
fn what_cannot_be_exported_is_named() {
    let desk = signed();
    let made = desk
        .command("ssh-keygen", "-q -t ed25519 -f sam -N")
        .arg("")
        .status();
    assert!(made.unwrap().success());
    desk.stage("sign one.stage --key sam").ok();
    let ran = desk.stage("export one.stage --as dsse").ok();
    assert!(ran.stderr.contains("is an SSH signature"), "{}", ran.stderr);
    assert!(ran.stderr.contains(&keyid(&desk, "sam")), "{}", ran.stderr);
    assert_eq!(
        parsed(&ran.stdout)["signatures"].as_array().unwrap().len(),
        2
    );
    desk.stage("trust init --key sam.pub -o sam.json").ok();
    desk.stage("bundle --plain files --channel docs --key sam --trust sam.json -o ssh.stage")
        .ok();
    for form in ["dsse", "sigstore"] {
        desk.stage(&format!("export ssh.stage --as {form}"))
            .refused(2, "SSH signatures only");
    }
    desk.stage("export root.json --as dsse")
        .refused(2, "neither a bundle nor a head");
    desk.stage("export one.stage --as package-lock")
        .refused(2, "");
    desk.write("cut.stage", &desk.read("one.stage")[..2000]);
    desk.stage("export cut.stage --as dsse")
        .refused(4, "bundle-truncated");
}
