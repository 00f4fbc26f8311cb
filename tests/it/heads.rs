//! The second person signs a head: all of a bundle but its artifacts.

use crate::desk::Desk;
use crate::packages::claw;
use crate::world::World;

/// A plain bundle by alice that bob must release, and its head.
fn desk() -> Desk {
    let desk = Desk::new();
    for name in ["rita", "alice", "bob", "mallory"] {
        desk.key(name);
    }
    desk.stage(
        "trust init --root rita.pub=rita --builder alice.pub=alice --releaser bob.pub=bob -o root.json",
    )
    .ok();
    bundle(&desk, "one.stage", &[("a.txt", "a"), ("b.txt", "b")]);
    desk
}

fn bundle(desk: &Desk, name: &str, files: &[(&str, &str)]) {
    drop(std::fs::remove_dir_all(desk.path("files")));
    for (path, text) in files {
        desk.write(&format!("files/{path}"), text);
    }
    desk.stage(&format!(
        "bundle --plain files --channel docs --key alice.pem -o {name}"
    ))
    .ok();
}

#[test]
fn a_releaser_signs_the_head_and_the_bundle_takes_it_over() {
    let desk = desk();
    desk.stage("verify one.stage --trust root.json")
        .refused(4, "trust-threshold");
    desk.stage("head one.stage -o one.head").ok();
    desk.stage("sign one.head --key bob.pem --role releaser --trust root.json --review review.txt")
        .ok()
        .says(&["channel    docs", "a.txt", "now 2 signatures"]);
    assert!(
        String::from_utf8(desk.read("review.txt"))
            .unwrap()
            .contains("serial 1")
    );
    desk.stage("sign one.stage --from one.head")
        .refused(2, "--trust");
    let taken = desk
        .stage("sign one.stage --from one.head --trust root.json --format json")
        .ok();
    assert_eq!(taken.json()["signatures"], 2);
    assert_eq!(taken.json()["missing_roles"], serde_json::json!([]));
    desk.stage("verify one.stage --trust root.json").ok();
    desk.stage("sign one.stage --from one.head --trust root.json")
        .refused(2, "no signature that is not here");
    // A head is no bundle, and other tools of ours say so.
    desk.stage("verify one.head --trust root.json")
        .refused(4, "bundle-format");
    desk.stage("repo init --repo r --trust root.json --accept-unchecked-root")
        .ok();
    desk.stage("import one.head --repo r")
        .refused(4, "bundle-format");
}

#[test]
fn signatures_of_another_head_or_an_unknown_key_are_not_taken_over() {
    let desk = desk();
    desk.stage("head one.stage -o one.head").ok();
    bundle(&desk, "two.stage", &[("a.txt", "other")]);
    desk.stage("head two.stage -o two.head").ok();
    desk.stage("sign two.head --key bob.pem --trust root.json")
        .ok();
    desk.stage("sign one.stage --from two.head --trust root.json")
        .refused(2, "of another bundle");
    // Signed without asking the trust root: the bundle does not take it.
    desk.stage("sign one.head --key mallory.pem").ok();
    let before = desk.read("one.stage");
    desk.stage("sign one.stage --from one.head --trust root.json")
        .refused(4, "trust-signature-unknown");
    assert_eq!(desk.read("one.stage"), before);
    desk.stage("sign two.head --key mallory.pem --trust root.json")
        .refused(2, "does not know key");
}

#[test]
fn nothing_is_signed_that_is_not_whole_or_would_be_refused() {
    let desk = desk();
    desk.stage("head one.stage -o one.head").ok();
    for file in ["one.stage", "one.head"] {
        let good = desk.read(file);
        for at in [700, good.len() / 2, good.len() - 1500, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            desk.write("bad", &bad);
            let ran = desk.stage("sign bad --key bob.pem --trust root.json");
            assert_eq!(ran.code, 4, "{file} {at}: {}", ran.stderr);
            assert_eq!(desk.read("bad"), bad);
        }
        desk.write("bad", &good[..good.len() - 1]);
        desk.stage("sign bad --key bob.pem")
            .refused(4, "bundle-truncated");
    }
    // An epoch later, the bundle would be refused; so it is not signed.
    desk.stage("trust rotate root.json --epoch docs=2 -o next.json")
        .ok();
    desk.stage("trust sign next.json --key rita.pem").ok();
    desk.stage("sign one.stage --key bob.pem --trust next.json")
        .refused(4, "epoch");
    desk.stage("sign one.stage --key bob.pem --trust root.json --dry-run")
        .ok()
        .says(&["Would sign"]);
    desk.stage("verify one.stage --trust root.json")
        .refused(4, "trust-threshold");
}

#[test]
fn the_review_says_what_changed_since_the_last_bundle() {
    let desk = desk();
    bundle(
        &desk,
        "two.stage",
        &[("a.txt", "changed"), ("c.txt", "new")],
    );
    desk.stage("head two.stage -o two.head").ok();
    desk.stage("sign two.head --key bob.pem --against one.stage")
        .ok()
        .says(&["! a.txt", "- b.txt", "+ c.txt", "compared   with serial 1"]);
    desk.stage("sign one.stage --key bob.pem --against two.stage")
        .refused(2, "is not before serial 1");
}

#[test]
fn a_head_of_a_lock_bundle_has_lock_and_sbom_and_no_artifact() {
    let world = World::new("heads-lock");
    let bundle = world.bundle(&claw(), "claw", 1);
    let head = world.path("claw.head");
    world.ok(&[
        "head",
        bundle.to_str().unwrap(),
        "-o",
        head.to_str().unwrap(),
    ]);
    let (whole, cut) = (
        std::fs::read(&bundle).unwrap(),
        std::fs::read(&head).unwrap(),
    );
    assert!(cut.len() < whole.len());
    assert_eq!(cut[512..1024][..13], *b"stage-head 1\n");
    let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(holds(&cut, "\"bomFormat\"") && holds(&cut, "[[package]]"));
    // Looking inside and comparing work as on the bundle.
    let diff = world.ok(&["diff", bundle.to_str().unwrap(), head.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&diff.stderr).contains("unchanged"));
}
