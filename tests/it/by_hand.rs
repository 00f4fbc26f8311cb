//! The scripts of `docs/verify-by-hand.md`, taken from the page and run as a person would.

use crate::desk::{Desk, Ran, ran};
use crate::source;

/// The shell blocks of the page, in order.
fn scripts() -> Vec<String> {
    let page = std::fs::read_to_string(source::root().join("docs/verify-by-hand.md")).unwrap();
    let blocks = page.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

/// A bundle that alice and bob signed with keys of a scheme, and the page's script beside it.
fn desk(scheme: &str) -> Desk {
    let desk = Desk::new();
    for name in ["alice", "bob", "mallory"] {
        desk.stage(&format!("key generate --scheme {scheme} -o {name}.pem"))
            .ok();
    }
    desk.stage(
        "trust init --root alice.pub=alice --builder alice.pub=alice --releaser bob.pub=bob -o root.json",
    )
    .ok();
    desk.write("files/a.txt", "the first file\n");
    desk.write("files/bin/stage", "#!/bin/sh\necho this is stage\n");
    desk.stage("bundle --plain files --channel docs --key alice.pem -o one.stage")
        .ok();
    desk.stage("sign one.stage --key bob.pem --trust root.json")
        .ok();
    desk.write("by-hand.sh", &scripts()[0]);
    desk
}

fn by_hand(desk: &Desk, words: &str) -> Ran {
    ran(desk.command("sh", &format!("by-hand.sh {words}")))
}

/// Where these bytes stand in the bundle.
fn place(bundle: &[u8], wanted: &[u8]) -> usize {
    let found = bundle.windows(wanted.len()).position(|at| at == wanted);
    found.unwrap_or_else(|| panic!("{} is not there", String::from_utf8_lossy(wanted)))
}

#[test]
fn the_script_of_the_page_takes_what_is_good_and_refuses_the_rest() {
    for scheme in ["ed25519", "ecdsa-p384"] {
        let desk = desk(scheme);
        let report = desk
            .stage("verify one.stage --trust root.json --format json")
            .ok()
            .json();
        let id = report["bundle"]["bundle_id"].as_str().unwrap();
        let hex = id.trim_start_matches("sha256:");
        by_hand(&desk, "one.stage alice.pub bob.pub").ok().says(&[
            "signed with alice.pub",
            "signed with bob.pub",
            "2 files",
            "channel docs",
            "serial 1",
            hex,
        ]);
        by_hand(&desk, "one.stage bob.pub").ok();
        for (keys, why) in [
            ("mallory.pub", "mallory.pub did not sign"),
            ("alice.pub mallory.pub", "mallory.pub did not sign"),
            ("", "no key was given"),
        ] {
            by_hand(&desk, &format!("one.stage {keys}")).refused(4, why);
        }
        let good = desk.read("one.stage");
        let digest = stage::base::digest::Digest::of(b"the first file\n").hex();
        for (wanted, why) in [
            (&b"the first file"[..], "a file has other bytes"),
            (b"\"channel\":\"docs\"", "did not sign"),
            (b"\"carried\"", "not the one that was signed"),
            (digest.as_bytes(), "not the one that was signed"),
            (b"\"sig\":\"", "REFUSED"),
        ] {
            let mut bad = good.clone();
            // The last byte, or the first of the base64 that follows.
            let at = place(&good, wanted) + wanted.len() - usize::from(!wanted.ends_with(b":\""));
            bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
            desk.write("bad.stage", &bad);
            by_hand(&desk, "bad.stage alice.pub bob.pub").refused(4, why);
            assert_eq!(desk.stage("verify bad.stage --trust root.json").code, 4);
        }
        // A bundle of somebody else, with a good name and a good key given.
        desk.write("files/a.txt", "another\n");
        desk.stage("trust init --key mallory.pem -o mallory.json")
            .ok();
        desk.stage("bundle --plain files --channel docs --key mallory.pem --trust mallory.json -o two.stage")
            .ok();
        by_hand(&desk, "two.stage alice.pub").refused(4, "alice.pub did not sign");
        desk.write("none.stage", "no archive");
        by_hand(&desk, "none.stage alice.pub").refused(4, "no tar archive");
    }
}

#[test]
fn a_file_is_taken_out_of_a_bundle_without_stage() {
    let desk = desk("ed25519");
    let scripts = scripts();
    let take = scripts.iter().find(|text| text.contains("path=$2\n"));
    desk.write("take.sh", take.unwrap());
    ran(desk.command("sh", "take.sh one.stage bin/stage")).ok();
    assert_eq!(desk.read("stage"), desk.read("files/bin/stage"));
    let missing = ran(desk.command("sh", "take.sh one.stage bin/stag"));
    assert_ne!(missing.code, 0);
    assert!(!desk.path("stag").exists());
    let mut bad = desk.read("one.stage");
    let at = place(&bad, b"this is stage");
    bad[at] ^= 1;
    desk.write("bad.stage", &bad);
    std::fs::remove_file(desk.path("stage")).unwrap();
    let changed = ran(desk.command("sh", "take.sh bad.stage bin/stage"));
    assert_ne!(changed.code, 0);
    assert!(!desk.path("stage").exists());
}
