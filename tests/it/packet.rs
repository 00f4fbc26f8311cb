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
[[runtime.directory]]
path = "/var/lib/claw"
mode = "0777"
why = "everybody's"
"#;

/// A bundle of `evil`, whose license and deprecation say what no page should obey.
pub(crate) fn desk() -> Desk {
    let desk = Desk::new();
    let registry = Registry::new();
    let fields = json!({"license": HOSTILE, "deprecated": HOSTILE, "description": HOSTILE});
    registry.publish_with("evil", "1.0.0", fields, "");
    registry.publish_with("playwright-core", "1.0.0", json!({}), "");
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
    desk.write(
        "stage.toml",
        manifest("\"plain@1.1.0\", \"evil@1.0.0\", \"playwright-core@1.0.0\""),
    );
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
        .stage("ticket new.stage --trust root.json --previous old.stage --host claw-host --key k.pem -o out/packet --format json")
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
    assert!(text("network/squid.conf").contains("dstdomain -n api.models.example"));
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

    let licenses = text("sbom/licenses.md");
    assert!(licenses.contains("npm evil@1.0.0") && !licenses.contains("<script"));
    let mut sums = desk.command("sha256sum", "--quiet --strict -c SHA256SUMS");
    sums.current_dir(desk.path("out/packet"));
    ran(sums).ok();
    checklist_and_controls(&files);
    // What only the archives tell is there without a policy, too.
    assert!(
        text("findings/findings.csv").contains("hole-"),
        "{}",
        text("findings/findings.csv")
    );
    let found: Value = serde_json::from_slice(&files["evidence/findings.json"]).unwrap();
    assert_valid("findings-evidence.json", &found);
    let rollback = text("rollback.md");
    assert!(
        rollback.contains("| npm | plain | 1.1.0 | 1.0.0 |"),
        "{rollback}"
    );
    assert!(rollback.contains("--channel demo --to SERIAL"));
    let graph = text("sbom/dependencies.dot");
    assert!(
        graph.contains("\"npm evil@1.0.0\" [style=bold];"),
        "{graph}"
    );

    // Signed: by the key that was named, over the list of all files.
    let envelope: Value =
        serde_json::from_slice(&desk.read("out/packet/manifest.json.dsse")).unwrap();
    let statement: Value = serde_json::from_slice(&payload(&envelope)).unwrap();
    let digest = Digest::of(&files["manifest.json"]).hex();
    assert_eq!(statement["subject"][0]["digest"]["sha256"], digest);
    openssl_verifies(&desk, &envelope, "k").ok();
}

/// The checklist opens what the bundle breaks and closes nothing; the component definition names files with their digests.
fn checklist_and_controls(files: &BTreeMap<String, Vec<u8>>) {
    let json = |path: &str| -> Value { serde_json::from_slice(&files[path]).unwrap() };
    let checklist = json("checklist.cklb");
    assert_eq!(checklist["target_data"]["host_name"], "claw-host");
    let rules = checklist["stigs"][0]["rules"].as_array().unwrap();
    let status: BTreeMap<&str, &str> = rules
        .iter()
        .map(|rule| {
            (
                rule["group_id"].as_str().unwrap(),
                rule["status"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        status["V-260513"], "open",
        "a public directory without sticky bit"
    );
    assert_eq!(status["V-260518"], "not_reviewed");
    assert!(
        !status.contains_key("V-260482"),
        "no Debian packages, no word of them"
    );
    let found = rules.iter().find(|rule| rule["status"] == "open").unwrap();
    assert_eq!(
        found["finding_details"],
        "The bundle brings:\n/var/lib/claw 0777"
    );

    let definition = json("oscal/component-definition.json");
    let definition = &definition["component-definition"];
    let resources = definition["back-matter"]["resources"].as_array().unwrap();
    let flows = resources
        .iter()
        .find(|resource| resource["title"] == "network/flows.csv")
        .unwrap();
    let digest = &flows["rlinks"][0]["hashes"][0]["value"];
    assert_eq!(*digest, Digest::of(&files["network/flows.csv"]).hex());
    let link = format!("#{}", flows["uuid"].as_str().unwrap());
    let required = &definition["components"][0]["control-implementations"][0];
    let required = required["implemented-requirements"].as_array().unwrap();
    let boundary = required
        .iter()
        .find(|one| one["control-id"] == "sc-7")
        .unwrap();
    assert_eq!(boundary["links"][0]["href"], link);
    let ids: Vec<&str> = required
        .iter()
        .map(|one| one["control-id"].as_str().unwrap())
        .collect();
    assert!(
        !ids.contains(&"si-2"),
        "no database, no word of vulnerabilities"
    );
}

#[test]
fn what_was_contacted_is_kept_beside_the_lock_and_shown() {
    let desk = desk();
    let kept: Value = serde_json::from_slice(&desk.read("stage.egress.json")).unwrap();
    assert_valid("egress.json", &kept);
    let port = kept["contacts"][0]["port"].as_u64().unwrap();
    desk.stage("ticket new.stage --trust root.json -o packet")
        .ok();
    let files = files(&desk, "packet");
    let text = |path: &str| String::from_utf8(files[path].clone()).unwrap();
    assert!(text("network/staging-egress.csv").contains(&format!("127.0.0.1,{port},http,")));
    assert!(text("network/staging-squid.conf").contains("acl stage_blocks_"));
    assert!(text("index.md").contains("## Contacted to make the bundle"));

    // Everything is there: nobody is contacted, and what is known stays known.
    desk.stage("fetch").ok();
    assert_eq!(
        kept,
        serde_json::from_slice::<Value>(&desk.read("stage.egress.json")).unwrap()
    );
    desk.write(
        "other.json",
        "{\"contacts\":[{}],\"schema\":\"stage/egress/v1\"}",
    );
    desk.stage("ticket new.stage --trust root.json --egress other.json -o b")
        .refused(2, "name a stage.egress.json");
    assert!(!desk.path("b").exists());
    std::fs::remove_file(desk.path("stage.egress.json")).unwrap();
    desk.stage("ticket new.stage --trust root.json -o c").ok();
    assert!(!desk.path("c/network/staging-egress.csv").exists());
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

#[test]
fn what_would_change_the_host_is_refused_before_anything_is_resolved() {
    let desk = Desk::new();
    for (from, to, said) in [
        (
            "\"svc-claw\"",
            "\"root\"",
            "not root, which is the system's",
        ),
        ("\"/opt/claw\"", "\"/etc\"", "no folder of the system"),
        ("\"/var/lib/claw\"", "\"/usr\"", "no folder of the system"),
        ("\"/var/lib/claw\"", "\"/opt/claw\"", "change its own code"),
        (
            "\"http://192.0.2.31",
            "\"https://192.0.2.31",
            "an http address",
        ),
    ] {
        let runtime = RUNTIME.replacen(from, to, 1);
        assert_ne!(runtime, RUNTIME, "{from}");
        let target = "[target]\nplatforms = [\"linux/amd64\"]";
        desk.write(
            "stage.toml",
            format!("[bundle]\nchannel = \"demo\"\n{target}\n{runtime}"),
        );
        desk.stage("resolve").refused(2, said);
    }
    assert!(!desk.path("stage.lock").exists());
}

#[test]
fn others_can_read_a_packet_whatever_the_umask_is() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = desk();
    let stage = env!("CARGO_BIN_EXE_stage");
    let words = format!("umask 077; {stage} ticket new.stage --trust root.json -o packet");
    let mut command = desk.command("sh", "-c");
    command.arg(words);
    ran(command).ok();
    for (path, mode) in [
        ("packet", 0o755),
        ("packet/sbom", 0o755),
        ("packet/index.md", 0o644),
    ] {
        let found = std::fs::metadata(desk.path(path)).unwrap().permissions();
        assert_eq!(found.mode() & 0o777, mode, "{path}");
    }
}

#[test]
fn a_packet_is_checked_by_whoever_gets_it() {
    let desk = desk();
    desk.stage("ticket new.stage --trust root.json --key k.pem -o packet")
        .ok();
    for given in ["packet", "packet.zip"] {
        let words = format!("ticket check {given} --trust root.json --format json");
        let report = desk.stage(&words).ok().json();
        assert_valid("ticket-check-report.json", &report);
        assert_eq!(report["signed_by"], "owner");
        assert_eq!(report["channel"], "demo");
    }
    desk.stage("ticket check packet")
        .ok()
        .says(&["nobody looked at who signed", "not verified who signed it"]);
    desk.key("other");
    desk.stage("trust init --key other.pem -o other.json").ok();
    desk.stage("ticket check packet --trust other.json")
        .refused(4, "packet-signature");
    desk.stage("ticket check nothing")
        .refused(2, "name the folder");
    let long = "h".repeat(256);
    desk.stage(&format!(
        "ticket new.stage --trust root.json --host {long} -o b"
    ))
    .refused(2, "255");

    // One byte, one file more, one less, and a list that somebody made again: nobody signed that.
    let page = desk.read("packet/index.md");
    desk.write("packet/index.md", [page.as_slice(), b" "].concat());
    desk.stage("ticket check packet --trust root.json")
        .refused(4, "packet-");
    desk.write("packet/index.md", &page);
    desk.write("packet/more.txt", "x");
    desk.stage("ticket check packet").refused(4, "packet-files");
    std::fs::remove_file(desk.path("packet/more.txt")).unwrap();
    desk.stage("ticket new.stage --trust root.json --host another -o forged")
        .ok();
    desk.copy("packet/manifest.json.dsse", "forged/manifest.json.dsse");
    desk.stage("ticket check forged").ok();
    desk.stage("ticket check forged --trust root.json")
        .refused(4, "packet-signature");
    let send = "submit packet --to rt --url http://127.0.0.1:9 --ticket 1 --dry-run";
    desk.stage(&format!("{send} --trust other.json"))
        .refused(4, "packet-signature");
    desk.stage("ticket new.stage --trust root.json -o plain")
        .ok();
    desk.stage("ticket check plain --trust root.json")
        .refused(4, "packet-unsigned");
}
