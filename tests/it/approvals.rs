//! Approvals beside a bundle: made with every signature, judged with the bundle, kept in receipts, demanded by a
//! repository; and the channel's last bundle, which a signer sees without naming it.

use data_encoding::BASE64;
use serde_json::{Value, json};
use stage::base::digest::Digest;
use stage::base::json::canonical;
use stage::base::time::Timestamp;
use stage::sign::SecretKey;
use stage::trust::Role;
use stage::trust::approval::{Approval, Approvals, Approved, SignedApproval};
use stage::trust::envelope::Signable;
use stage::trust::root::TrustRoot;
use stage::trust::threshold::Signer;

use crate::desk::{Desk, Ran, ran};
use crate::schemas::assert_valid;

const FILE: &str = "one.stage.approvals.json";

/// A root of rita, alice who builds and bob who releases, and a plain bundle by alice under CHG1.
fn desk() -> Desk {
    let desk = Desk::new();
    for name in ["rita", "alice", "bob", "mallory"] {
        desk.key(name);
    }
    desk.stage(
        "trust init --root rita.pub=rita --builder alice.pub=alice --releaser bob.pub=bob -o root.json",
    )
    .ok();
    bundle(&desk, "one.stage", "1");
    desk
}

fn bundle(desk: &Desk, name: &str, content: &str) {
    desk.write("files/a.txt", content);
    desk.stage(&format!(
        "bundle --plain files --channel docs --key alice.pem --ticket CHG1 -o {name}"
    ))
    .ok();
}

/// Bob signs under CHG2 and says something.
fn bob_signs(desk: &Desk, words: &str, note: &str) -> Ran {
    let mut command = desk.command(
        env!("CARGO_BIN_EXE_stage"),
        &format!("sign {words} --key bob.pem --trust root.json --ticket CHG2"),
    );
    ran({
        command.args(["--note", note]);
        command
    })
}

fn envelopes(desk: &Desk, file: &str) -> Vec<Value> {
    let text = String::from_utf8(desk.read(file)).unwrap();
    serde_json::from_str(&text).unwrap()
}

pub(crate) fn payload(envelope: &Value) -> Vec<u8> {
    let text = envelope["payload"].as_str().unwrap();
    BASE64.decode(text.as_bytes()).unwrap()
}

fn verified(desk: &Desk, words: &str) -> Value {
    desk.stage(&format!("verify {words} --trust root.json --format json"))
        .ok()
        .json()
}

fn repository(desk: &Desk, words: &str) -> Ran {
    let fingerprint = desk.fingerprint("root.json");
    desk.stage(&format!(
        "repo init --repo r --trust root.json --fingerprint {fingerprint} {words}"
    ))
}

#[test]
fn each_signature_says_who_when_and_under_which_change() {
    let desk = desk();
    let mut signing = desk.command(
        env!("CARGO_BIN_EXE_stage"),
        "sign one.stage --key bob.pem --trust root.json --ticket CHG2 --note looked-at-it",
    );
    signing.env("SOURCE_DATE_EPOCH", "1800000000");
    ran(signing).ok().says(&[
        "Approved by bob (releaser) at 2027-01-15T08:00:00Z, ticket \"CHG2\"",
        FILE,
    ]);
    desk.stage("verify one.stage --trust root.json").ok().says(&[
        "ok     approvals      2 by ",
        "approved   bob (releaser) at 2027-01-15T08:00:00Z, ticket \"CHG2\", note \"looked-at-it\"",
        "approved   alice (builder) at 20",
    ]);
    let report = verified(&desk, "one.stage");
    assert_valid("verify-report.json", &report);
    let said = report["bundle"]["approvals"].as_array().unwrap();
    let of = |person: &str| said.iter().find(|a| a["person"] == person).unwrap();
    let bob = of("bob");
    assert_eq!(bob["signed_at"], "2027-01-15T08:00:00Z");
    assert_eq!(
        (&bob["ticket"], &bob["note"]),
        (&json!("CHG2"), &json!("looked-at-it"))
    );
    assert_eq!(
        (&bob["roles"], &bob["root_version"]),
        (&json!(["releaser"]), &json!(1))
    );
    let alice = of("alice");
    assert_eq!(
        (&alice["ticket"], &alice["note"]),
        (&json!("CHG1"), &Value::Null)
    );
    let signers = report["bundle"]["signers"].as_array().unwrap();
    assert!(
        signers
            .iter()
            .all(|s| said.iter().any(|a| a["keyid"] == s["keyid"]))
    );
    repository(&desk, "").ok();
    let receipt = desk
        .stage("import one.stage --repo r --format json")
        .ok()
        .json();
    assert_valid("import-receipt.json", &receipt);
    assert_eq!(receipt["approvals"], report["bundle"]["approvals"]);
    // What is in the file is an in-toto statement about statement.json, by the keys that signed that.
    ran(desk.command("tar", "-xf one.stage statement.json")).ok();
    let id = Digest::of(&desk.read("statement.json"));
    for envelope in envelopes(&desk, FILE) {
        assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
        let statement: Value = serde_json::from_slice(&payload(&envelope)).unwrap();
        assert_valid("approval.json", &statement);
        assert_eq!(statement["subject"][0]["digest"]["sha256"], id.hex());
        let person = statement["predicate"]["person"].as_str().unwrap();
        openssl_verifies(&desk, &envelope, person).ok();
        let other = if person == "bob" { "alice" } else { "bob" };
        assert_ne!(openssl_verifies(&desk, &envelope, other).code, 0);
    }
}

/// `openssl` on the DSSE encoding of an envelope.
pub(crate) fn openssl_verifies(desk: &Desk, envelope: &Value, person: &str) -> Ran {
    let (kind, payload) = (envelope["payloadType"].as_str().unwrap(), payload(envelope));
    let mut signed = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    signed.extend(payload);
    desk.write("signed", signed);
    let signature = envelope["signatures"][0]["sig"].as_str().unwrap();
    desk.write("signature", BASE64.decode(signature.as_bytes()).unwrap());
    ran(desk.command(
        "openssl",
        &format!("pkeyutl -verify -pubin -inkey {person}.pub -rawin -in signed -sigfile signature"),
    ))
}

#[test]
fn a_head_brings_the_approval_with_the_signature() {
    let desk = desk();
    desk.stage("head one.stage -o one.head").ok();
    // Bob sees under which change it was built.
    bob_signs(&desk, "one.head", "the head")
        .ok()
        .says(&["approved   alice (builder)", "ticket \"CHG1\""]);
    assert_eq!(envelopes(&desk, "one.head.approvals.json").len(), 2);
    desk.stage("sign one.stage --from one.head --trust root.json")
        .ok()
        .says(&["Approved by bob", "note \"the head\""]);
    let report = verified(&desk, "one.stage");
    assert_eq!(report["bundle"]["approvals"].as_array().unwrap().len(), 2);
    // The approvals came later than the signature, or not at all.
    let desk = self::desk();
    desk.stage("head one.stage -o one.head").ok();
    bob_signs(&desk, "one.head", "the head").ok();
    std::fs::rename(desk.path("one.head.approvals.json"), desk.path("late")).unwrap();
    desk.stage("sign one.stage --from one.head --trust root.json")
        .ok()
        .says(&["No approval came with it"]);
    desk.copy("late", "one.head.approvals.json");
    desk.stage("sign one.stage --from one.head --trust root.json")
        .ok()
        .says(&["as before 2 signatures", "Approved by bob"]);
    desk.stage("sign one.stage --from one.head --trust root.json")
        .refused(2, "no signature that is not here");
    assert_eq!(envelopes(&desk, FILE).len(), 2);
}

#[test]
fn a_second_approval_replaces_the_first_of_the_same_key() {
    let desk = desk();
    bob_signs(&desk, "one.stage", "first").ok();
    let signed = desk.read("one.stage");
    desk.stage("sign one.stage --key bob.pem --trust root.json")
        .refused(2, "bundle-signed-already");
    bob_signs(&desk, "one.stage", "second").ok();
    assert_eq!(desk.read("one.stage"), signed);
    let report = verified(&desk, "one.stage");
    let said = report["bundle"]["approvals"].to_string();
    assert!(said.contains("second") && !said.contains("first"), "{said}");
    // Killed between signature and approval: signing again adds what is missing.
    std::fs::remove_file(desk.path(FILE)).unwrap();
    desk.stage("sign one.stage --key bob.pem --trust root.json")
        .ok();
    assert_eq!(envelopes(&desk, FILE).len(), 1);
    // Without a trust root, nobody knows who signs.
    desk.stage("sign one.stage --key bob.pem")
        .refused(2, "bundle-signed-already");
    desk.stage("sign one.stage --key mallory.pem --ticket X")
        .refused(2, "--trust");
    // A dry run writes nothing, and the next bundle of the name has none of it.
    std::fs::remove_file(desk.path(FILE)).unwrap();
    desk.stage("sign one.stage --key bob.pem --trust root.json --dry-run")
        .ok();
    assert!(!desk.path(FILE).exists());
    bob_signs(&desk, "one.stage", "again").ok();
    bundle(&desk, "one.stage", "2");
    assert_eq!(envelopes(&desk, FILE).len(), 1);
    desk.stage("verify one.stage --trust root.json")
        .refused(4, "trust-threshold");
}

#[test]
fn notes_are_one_line_and_are_escaped() {
    let desk = desk();
    for bad in [
        "",
        " ",
        "two\nlines",
        "bell\u{7}",
        "\u{1b}[31m",
        &"x".repeat(501),
    ] {
        let ran = bob_signs(&desk, "one.stage", bad);
        assert!(!ran.stderr.contains(['\u{1b}', '\u{7}']), "{}", ran.stderr);
        ran.refused(2, "--note: it must be one line");
    }
    let said = bob_signs(&desk, "one.stage", "left\u{202e}right \"quoted\"").ok();
    let shown = desk.stage("verify one.stage --trust root.json").ok();
    let json = desk
        .stage("verify one.stage --trust root.json --format json")
        .ok();
    for text in [&said.stdout, &said.stderr, &shown.stdout, &json.stdout] {
        assert!(!text.contains('\u{202e}'), "{text}");
    }
    shown.says(&[r#"note "left\u{202e}right \"quoted\"""#]);
}

/// An approval of this bundle with whatever it says, signed with this key.
fn forged(
    desk: &Desk,
    key: &str,
    bundle: &Approved<'_>,
    change: impl FnOnce(&mut Approval),
) -> SignedApproval {
    let pem = String::from_utf8(desk.read(&format!("{key}.pem"))).unwrap();
    let secret = SecretKey::from_pem(&pem, None).unwrap();
    let mut approval = Approval {
        keyid: secret.public().unwrap().id(),
        person: key.to_owned(),
        roles: vec![Role::Builder],
        signed_at: Timestamp::from_unix(1_790_000_000).unwrap(),
        ticket: None,
        note: None,
        root_version: 1,
    };
    change(&mut approval);
    let payload = approval.payload(bundle);
    let signature = secret.sign_signable(Signable::approval(&payload)).unwrap();
    SignedApproval::new(approval, bundle, &signature)
}

fn file(approvals: impl IntoIterator<Item = SignedApproval>) -> Vec<u8> {
    let mut all = Approvals::default();
    all.extend(approvals);
    all.to_bytes()
}

#[test]
fn what_does_not_belong_to_the_bundle_is_refused() {
    let desk = desk();
    bundle(&desk, "two.stage", "2");
    let two = desk.read("two.stage.approvals.json");
    bob_signs(&desk, "one.stage", "good").ok();
    let good = desk.read(FILE);
    let [statement] = ["statement.json"].map(|name| {
        ran(desk.command("tar", &format!("-xf one.stage {name}"))).ok();
        desk.read(name)
    });
    let own = Approved {
        statement: Digest::of(&statement),
        channel: "docs",
        serial: 1,
    };
    let other = Approved {
        serial: 2,
        ..own.clone()
    };
    let mut list: Vec<Value> = serde_json::from_slice(&good).unwrap();
    let written = |list: &[Value]| [canonical(&json!(list)), b"\n".to_vec()].concat();
    assert_eq!(written(&list), good);
    list.reverse();
    let reversed = written(&list);
    let twice = written(&[list[0].clone(), list[0].clone()]);
    let mut more = list[0].clone();
    more["extra"] = Value::Null;
    let mut both = list[0].clone();
    both["signatures"] = json!([list[0]["signatures"][0], list[1]["signatures"][0]]);
    let mut root_type = list[0].clone();
    root_type["payloadType"] = json!("application/vnd.stage.root+json");
    let mut bundle_signature = list[0].clone();
    let slot = bundle_signatures(&desk);
    let by = &list[0]["signatures"][0]["keyid"];
    bundle_signature["payload"] = json!(BASE64.encode(&statement));
    bundle_signature["signatures"] =
        json!([slot.iter().find(|entry| entry["keyid"] == *by).unwrap()]);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("another bundle's", two, "trust-approval-other-bundle"),
        (
            "another serial",
            file([forged(&desk, "alice", &other, |_| ())]),
            "trust-approval-other-bundle",
        ),
        (
            "another person",
            file([forged(&desk, "alice", &own, |a| {
                a.person = "bob".to_owned();
            })]),
            "trust-approval-contradicts",
        ),
        (
            "another role",
            file([forged(&desk, "alice", &own, |a| {
                a.roles = vec![Role::Releaser];
            })]),
            "trust-approval-contradicts",
        ),
        (
            "roles out of order",
            file([forged(&desk, "alice", &own, |a| {
                a.roles = vec![Role::Builder; 2];
            })]),
            "trust-approval-format",
        ),
        (
            "no root version",
            file([forged(&desk, "alice", &own, |a| a.root_version = 0)]),
            "trust-approval-format",
        ),
        (
            "one who did not sign",
            file([forged(&desk, "rita", &own, |a| a.roles = vec![Role::Root])]),
            "trust-approval-not-signed",
        ),
        (
            "an unknown key",
            file([forged(&desk, "mallory", &own, |_| ())]),
            "trust-approval-signature",
        ),
        ("out of order", reversed, "trust-approval-format"),
        ("twice", twice, "trust-approval-format"),
        ("a field more", written(&[more]), "trust-approval-format"),
        ("two signatures", written(&[both]), "trust-approval-format"),
        (
            "another type",
            written(&[root_type]),
            "trust-approval-format",
        ),
        (
            "the bundle's statement",
            written(&[bundle_signature]),
            "trust-approval-format",
        ),
        (
            "33",
            written(&vec![list[0].clone(); 33]),
            "trust-approval-limit",
        ),
        ("long", vec![b'['; 262_147], "trust-approval-limit"),
        ("empty", b"[]\n".to_vec(), "trust-approval-format"),
        ("nothing", Vec::new(), "trust-approval-format"),
        (
            "a space",
            [b"[ ".as_slice(), &good[1..]].concat(),
            "trust-approval-format",
        ),
        (
            "no newline",
            good[..good.len() - 1].to_vec(),
            "trust-approval-format",
        ),
        ("no JSON", b"hello\n".to_vec(), "trust-approval-format"),
    ];
    repository(&desk, "").ok();
    for (what, bytes, code) in cases {
        desk.write(FILE, &bytes);
        let ran = desk.stage("verify one.stage --trust root.json --format json");
        assert_eq!(ran.code, 4, "{what}: {}", ran.stderr);
        let report = ran.json();
        assert_valid("verify-report.json", &report);
        assert_eq!(report["refused"]["code"], code, "{what}");
        assert_eq!(report["refused"]["check"], "approvals", "{what}");
        desk.stage("import one.stage --repo r").refused(4, code);
        // Nobody adds to what would be refused.
        let before = desk.read("one.stage");
        bob_signs(&desk, "one.stage", "more").refused(4, code);
        assert_eq!((desk.read("one.stage"), desk.read(FILE)), (before, bytes));
    }
    assert!(!desk.path("r/current").exists());
    std::fs::remove_file(desk.path(FILE)).unwrap();
    std::fs::create_dir(desk.path(FILE)).unwrap();
    desk.stage("verify one.stage --trust root.json")
        .refused(4, "trust-approval-format");
    std::fs::remove_dir(desk.path(FILE)).unwrap();
    desk.write(FILE, &good);
    desk.stage("import one.stage --repo r").ok();
}

fn bundle_signatures(desk: &Desk) -> Vec<Value> {
    ran(desk.command("tar", "-xf one.stage signatures.json")).ok();
    let text = String::from_utf8(desk.read("signatures.json")).unwrap();
    let slot: Value = serde_json::from_str(text.trim()).unwrap();
    slot["signatures"].as_array().unwrap().clone()
}

#[test]
fn no_other_byte_is_accepted() {
    let desk = desk();
    let root = TrustRoot::load(&desk.path("root.json")).unwrap();
    let own = Approved {
        statement: Digest::of(b"statement"),
        channel: "docs",
        serial: 1,
    };
    let approval = forged(&desk, "alice", &own, |a| a.note = "a note".parse().ok());
    let signer = Signer {
        keyid: approval.approval().keyid,
        person: "alice".to_owned(),
        roles: vec![Role::Builder],
    };
    let good = file([approval]);
    let judge = |bytes: &[u8]| Approvals::judge(bytes, &own, &root, std::slice::from_ref(&signer));
    assert_eq!(judge(&good).unwrap().to_bytes(), good);
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            judge(&bad).unwrap_err();
        }
        judge(&good[..at]).unwrap_err();
    }
    judge(&[&good[..], b"\n"].concat()).unwrap_err();
}

#[test]
fn a_repository_can_demand_approvals() {
    let desk = desk();
    bob_signs(&desk, "one.stage", "good").ok();
    repository(&desk, "--require-approvals").ok();
    let all = desk.read(FILE);
    let only: Vec<Value> = envelopes(&desk, FILE)
        .into_iter()
        .filter(|e| String::from_utf8(payload(e)).unwrap().contains("\"alice\""))
        .collect();
    std::fs::remove_file(desk.path(FILE)).unwrap();
    desk.stage("verify one.stage --trust root.json")
        .ok()
        .says(&["none came with it"]);
    for (file, persons) in [(None, "by alice, bob"), (Some(only), "by bob")] {
        if let Some(file) = file {
            desk.write(FILE, [canonical(&json!(file)), b"\n".to_vec()].concat());
        }
        for words in [
            "import one.stage --repo r",
            "import one.stage --repo r --dry-run",
            "verify one.stage --trust root.json --repo r",
        ] {
            let ran = desk.stage(words).refused(3, "import-approval-missing E52");
            let said: Vec<&str> = persons.trim_start_matches("by ").split(", ").collect();
            assert!(
                said.iter().all(|name| ran.stderr.contains(name)),
                "{}",
                ran.stderr
            );
        }
    }
    assert!(!desk.path("r/current").exists());
    // From a pipe, the file is named.
    std::fs::rename(desk.path(FILE), desk.path("elsewhere")).unwrap();
    desk.write("elsewhere", &all);
    let mut piped = desk.command(
        env!("CARGO_BIN_EXE_stage"),
        "import - --repo r --approvals elsewhere --format json",
    );
    piped.stdin(std::fs::File::open(desk.path("one.stage")).unwrap());
    let receipt = ran(piped).ok().json();
    assert_eq!(receipt["approvals"].as_array().unwrap().len(), 2);
    desk.stage("verify one.stage --trust root.json --repo r --approvals nowhere")
        .refused(1, "nowhere");
    let status = desk.stage("repo status --repo r --format json").ok().json();
    assert_eq!(status["require_approvals"], true);
    desk.stage("repo audit --repo r").ok();
}

#[test]
fn approvals_can_be_demanded_later_and_not_be_waived() {
    let desk = desk();
    desk.stage("sign one.stage --key bob.pem")
        .ok()
        .says(&["No approval was written"]);
    repository(&desk, "").ok();
    repository(&desk, "--require-approvals")
        .ok()
        .says(&["from now on"]);
    repository(&desk, "").ok().says(&["exists already"]);
    let journal = String::from_utf8(desk.read("r/state/journal.jsonl")).unwrap();
    assert!(journal.contains("\"event\":\"stricter\""), "{journal}");
    assert_eq!(journal.lines().count(), 2);
    desk.stage("import one.stage --repo r")
        .refused(3, "none by bob");
    bob_signs(&desk, "one.stage", "now").ok();
    desk.stage("import one.stage --repo r").ok();
    let state: Value = serde_json::from_slice(&desk.read("r/state/state.json")).unwrap();
    assert_valid("repository-state.json", &state);
    desk.stage("repo audit --repo r").ok();
}

#[test]
fn a_signer_sees_the_last_bundle_of_the_channel_without_naming_it() {
    let desk = desk();
    // The first has nothing before it.
    let first = bob_signs(&desk, "one.stage", "first").ok();
    assert!(!first.stderr.contains("warning"), "{}", first.stderr);
    // The file of the last one is overwritten.
    desk.write("files/b.txt", "more");
    bundle(&desk, "one.stage", "2");
    bob_signs(&desk, "one.stage", "second").ok().says(&[
        "compared   with serial 1",
        "! a.txt",
        "+ b.txt",
    ]);
    let compared = desk
        .stage("sign one.stage --key rita.pem --trust root.json --format json")
        .ok();
    assert_valid("sign-report.json", &compared.json());
    let against = compared.json()["against"].clone();
    assert!(
        against.as_str().unwrap().starts_with("sha256:"),
        "{against}"
    );
    desk.stage("sign one.stage --key mallory.pem --against none --dry-run")
        .ok()
        .says(&["compared   with nothing"]);
    // Another person's host has seen nothing; one that has signed the head has.
    let elsewhere = |words: &str| {
        let mut command = desk.command(env!("CARGO_BIN_EXE_stage"), words);
        command.env("STAGE_CACHE", desk.path("bob's"));
        ran(command)
    };
    desk.stage("head one.stage -o two.head").ok();
    bundle(&desk, "three.stage", "3");
    bundle(&desk, "four.stage", "4");
    elsewhere("sign two.head --key mallory.pem").ok().says(&[
        "serial 1, was neither made nor signed on this host",
        "--against none",
        "compared   with nothing",
    ]);
    elsewhere("sign three.stage --key mallory.pem --dry-run")
        .ok()
        .says(&["compared   with serial 2", "! a.txt"]);
    elsewhere("sign four.stage --key mallory.pem").ok().says(&[
        "serial 3 of channel \"docs\" was neither",
        "compared   with serial 2",
    ]);
    // What is damaged is not used, and few are kept.
    let kept = |cache: &str| {
        let folder = desk.path(cache).join("heads/docs");
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(kept("cache"), ["1-2.head", "1-3.head", "1-4.head"]);
    desk.write("cache/heads/docs/1-3.head", "damaged");
    desk.stage("sign four.stage --key rita.pem --dry-run")
        .ok()
        .says(&["serial 3, was neither", "compared   with nothing"]);
}
