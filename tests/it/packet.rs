//! `stage ticket`: the packet of a bundle whose metadata is hostile says what is so, is the same each time, and can be
//! checked by others.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stage::base::digest::Digest;

use crate::approvals::{openssl_verifies, payload};
use crate::desk::{Desk, ran};
use crate::schemas::assert_valid;
use crate::walk::Registry;

/// What a publisher might write into any field.
const HOSTILE: &str =
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> | [x](javascript:alert(3)) =1+1";

const RUNTIME: &str = r#"
[runtime]
user = "svc-claw"
prefix = "/opt/claw"
proxy = "http://192.0.2.31:3128"
[[runtime.flow]]
to = "api.models.example"
port = 443
via = "proxy"
purpose = "<b>the model</b> & \"more\""
[[runtime.flow]]
listen = "127.0.0.1:18790"
purpose = "gateway"
"#;

/// A bundle of `evil`, whose license and deprecation say what no page should obey.
fn desk() -> Desk {
    let desk = Desk::new();
    let registry = Registry::new();
    let fields = json!({"license": HOSTILE, "deprecated": HOSTILE, "description": HOSTILE});
    registry.publish_with("evil", "1.0.0", fields, "");
    registry.publish_with("plain", "1.0.0", json!({}), "");
    registry.publish_with("plain", "1.1.0", json!({}), "");
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    let url = registry.server.url();
    let manifest = |packages: &str| {
        let target = "[target]\nplatforms = [\"linux/amd64\"]";
        format!(
            "[bundle]\nchannel = \"demo\"\n{target}\n[npm]\nregistry = \"{url}/\"\npackages = [{packages}]\n{RUNTIME}"
        )
    };
    desk.write("stage.toml", manifest("\"plain@1.0.0\""));
    desk.stage("resolve").ok();
    desk.stage("bundle --key k.pem -o old.stage").ok();
    desk.write("stage.toml", manifest("\"plain@1.1.0\", \"evil@1.0.0\""));
    desk.stage("resolve --upgrade").ok();
    desk.stage("bundle --key k.pem --ticket CHG0012345 -o new.stage")
        .ok();
    desk
}

/// Every file of a packet by its path.
fn files(desk: &Desk, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let report = desk.read(&format!("{folder}/manifest.json"));
    let manifest: Value = serde_json::from_slice(&report).unwrap();
    assert_valid("packet.json", &manifest);
    let listed = manifest["files"].as_array().unwrap().iter();
    let mut out: BTreeMap<String, Vec<u8>> = listed
        .map(|file| {
            let path = file["path"].as_str().unwrap();
            let bytes = desk.read(&format!("{folder}/{path}"));
            assert_eq!(file["sha256"], Digest::of(&bytes).hex(), "{path}");
            assert_eq!(file["size"], bytes.len());
            (path.to_owned(), bytes)
        })
        .collect();
    out.insert("manifest.json".to_owned(), report);
    out
}

#[test]
fn a_packet_says_what_is_so_and_obeys_nobody() {
    let desk = desk();
    let report = desk
        .stage("ticket new.stage --trust root.json --previous old.stage --key k.pem -o out/packet --format json")
        .ok()
        .json();
    assert_valid("ticket-report.json", &report);
    let files = files(&desk, "out/packet");
    let text = |path: &str| String::from_utf8(files[path].clone()).unwrap();

    let page = text("index.html");
    assert!(
        page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"),
        "it is shown"
    );
    for never in ["<script", "<img", "<b>", "http://", "https://"] {
        let found = page
            .replace("http://www.w3.org/2000/svg", "")
            .contains(never);
        assert!(!found, "{never}");
    }
    assert!(page.contains("default-src 'none'"));
    for shown in [
        "CHG0012345",
        "Changed since demo 1",
        "other version",
        "npm-deprecated",
        "svc-claw",
    ] {
        assert!(page.contains(shown), "{shown}");
    }
    let twin = text("index.md");
    assert!(twin.contains("&lt;script&gt;") && !twin.contains("<script"));
    assert!(!twin.replace("\\]", "").contains("](javascript"), "no link");
    assert!(text("findings/changes.csv").contains("other version,npm,plain,1.0.0,1.1.0"));
    assert!(text("network/squid.conf").contains("dstdomain api.models.example"));
    assert!(text("sbom/components.csv").contains("npm,evil,1.0.0"));
    let spdx: Value = serde_json::from_slice(&files["sbom/bundle.spdx.json"]).unwrap();
    let packages = spdx["packages"].as_array().unwrap();
    let evil = packages.iter().find(|p| p["name"] == "evil").unwrap();
    let license = evil["licenseDeclared"].as_str().unwrap();
    assert!(license.starts_with("LicenseRef-stage-"), "{license}");
    let said = &spdx["hasExtractedLicensingInfos"][0];
    assert_eq!(
        (&said["licenseId"], &said["extractedText"]),
        (&json!(license), &json!(HOSTILE))
    );

    // Signed: by the key that was named, over the list of all files.
    let envelope: Value =
        serde_json::from_slice(&desk.read("out/packet/manifest.json.dsse")).unwrap();
    let statement: Value = serde_json::from_slice(&payload(&envelope)).unwrap();
    let digest = Digest::of(&files["manifest.json"]).hex();
    assert_eq!(statement["subject"][0]["digest"]["sha256"], digest);
    openssl_verifies(&desk, &envelope, "k").ok();
}

#[test]
fn the_same_bundle_gives_the_same_packet_and_the_zip_file_has_all_of_it() {
    let desk = desk();
    for folder in ["a", "b"] {
        desk.stage(&format!(
            "ticket new.stage --trust root.json -o {folder}/packet"
        ))
        .ok();
    }
    let first = files(&desk, "a/packet");
    assert_eq!(first, files(&desk, "b/packet"));
    assert_eq!(desk.read("a/packet.zip"), desk.read("b/packet.zip"));
    ran(desk.command("python3", "-m zipfile -e a/packet.zip unpacked")).ok();
    for (path, bytes) in &first {
        assert_eq!(
            *bytes,
            desk.read(&format!("unpacked/packet/{path}")),
            "{path}"
        );
    }
}

#[test]
fn nothing_is_written_of_what_cannot_be_trusted_and_nothing_is_overwritten() {
    let desk = desk();
    let mut bytes = desk.read("new.stage");
    let at = bytes.len() - 2000;
    bytes[at] ^= 1;
    desk.write("bad.stage", bytes);
    desk.stage("ticket bad.stage --trust root.json -o packet")
        .refused(4, "");
    desk.key("other");
    desk.stage("trust init --key other.pem -o other.json").ok();
    desk.stage("ticket new.stage --trust other.json -o packet")
        .refused(4, "");
    assert!(!desk.path("packet").exists() && !desk.path("packet.zip").exists());

    desk.stage("ticket new.stage --trust root.json -o packet")
        .ok();
    let before = files(&desk, "packet");
    desk.stage("ticket new.stage --trust root.json -o packet")
        .refused(2, "is there already");
    assert_eq!(before, files(&desk, "packet"));
    desk.stage("ticket new.stage --trust root.json -o /")
        .refused(2, "no name");
}
