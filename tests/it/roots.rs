//! `stage trust`: from root N to root N+1, by two persons on two machines, through the program.

use serde_json::{Value, json};

use crate::desk::Desk;

/// Three root holders of whom two must sign, a builder, a releaser; version 1 in `root.json`.
fn agency() -> Desk {
    let desk = Desk::new();
    for name in ["rita", "rolf", "rosa", "alice", "bob", "erin"] {
        desk.key(name);
    }
    desk.stage(
        "trust init --root rita.pub=rita --root rolf.pub=rolf --root rosa.pub=rosa --builder alice.pub=alice --releaser \
         bob.pub=bob --threshold root=2 -o root.json",
    )
    .ok();
    desk
}

fn sign(desk: &Desk, file: &str, names: &[&str]) {
    for name in names {
        desk.stage(&format!("trust sign {file} --key {name}.pem"))
            .ok();
    }
}

#[test]
fn a_key_is_added_by_two_persons_on_two_machines() {
    let desk = agency();
    desk.stage("trust add root.json --key erin.pub=erin --role releaser -o next.json")
        .ok()
        .says(&[
            "version: 1 -> 2",
            "erin as releaser, ed25519",
            "threshold releaser: 1 of 1 (bob) -> 1 of 2 (bob, erin)",
            "Root 1 demands signatures by 2 of: rita, rolf, rosa",
        ]);
    // A draft is no trust root.
    desk.stage("verify none.stage --trust next.json")
        .refused(4, "trust-root-chain");
    desk.stage("trust inspect next.json")
        .ok()
        .says(&["nobody: 0 of 2 that root 1 demands", "draft, not valid yet"]);
    // Each signs a copy of their own; one of them puts the signatures together.
    desk.copy("next.json", "rolf/next.json");
    desk.stage("trust sign next.json --key rita.pem")
        .ok()
        .says(&[
            "erin as releaser",
            "rita: 1 of 2 that root 1 demands",
            "needs more signatures",
        ]);
    desk.stage("trust sign rolf/next.json --key rolf.pem").ok();
    let ran = desk
        .stage("trust sign next.json --from rolf/next.json --format json")
        .ok();
    let report = ran.json();
    assert_eq!(report["signed"]["complete"], true);
    assert_eq!(
        report["signed"]["old"]["persons"],
        json!(["rita", "rolf"]),
        "{report}"
    );
    desk.stage("trust inspect next.json")
        .ok()
        .says(&["version:     2", "state:       complete"]);
    // The file holds both roots; the newest counts, and its fingerprint is its own.
    assert_ne!(desk.fingerprint("root.json"), desk.fingerprint("next.json"));
    let chain: Value = serde_json::from_slice(&desk.read("next.json")).unwrap();
    assert_eq!(chain.as_array().unwrap().len(), 2);
    desk.stage("verify none.stage --trust next.json")
        .refused(1, "none.stage");
    // A third root follows in the same file.
    desk.stage("trust remove next.json --person bob -o third.json")
        .ok()
        .says(&["version: 2 -> 3", "removed, was bob as releaser"]);
    sign(&desk, "third.json", &["rosa", "rita"]);
    desk.stage("trust diff root.json third.json")
        .ok()
        .says(&["version: 1 -> 3", "bob", "erin"]);
    let changes = desk.stage("trust diff third.json --format json").ok();
    assert_eq!(changes.json()["old"]["version"], 2);
}

#[test]
fn signatures_that_count_for_nothing_are_refused() {
    let desk = agency();
    desk.stage("trust sign root.json --key rita.pem")
        .refused(2, "needs no signature")
        .says(&[
            "stage trust fingerprint",
            "stage trust rotate \"root.json\" -o NEXT",
        ]);
    desk.stage("trust rotate root.json -o next.json").ok();
    desk.stage("trust sign next.json --key none.pem")
        .refused(2, "none.pem")
        .says(&["stage key generate -o \"none.pem\""]);
    for (words, form) in [
        ("--epoch prod", "expected CHANNEL=N, such as prod=2"),
        ("--epoch prod=0", "expected CHANNEL=N, such as prod=2"),
        ("--threshold root=x", "expected ROLE=N, such as root=2"),
        ("--threshold root=0", "expected ROLE=N, such as root=2"),
        ("--threshold nobody=1", "expected ROLE=N, such as root=2"),
    ] {
        desk.stage(&format!("trust rotate root.json {words} -o other.json"))
            .refused(2, form);
    }
    let before = desk.read("next.json");
    desk.stage("trust sign next.json --key alice.pem")
        .refused(2, "not needed");
    desk.stage("trust sign next.json --key erin.pem")
        .refused(2, "not needed");
    assert_eq!(desk.read("next.json"), before);
    sign(&desk, "next.json", &["rita"]);
    desk.stage("trust sign next.json --key rita.pem")
        .refused(2, "has signed already");
    // Signatures of another draft are not taken over.
    desk.stage("trust rotate root.json --epoch prod=2 -o other.json")
        .ok();
    sign(&desk, "other.json", &["rolf"]);
    desk.stage("trust sign next.json --from other.json")
        .refused(2, "another draft");
    desk.stage("trust sign next.json --from next.json")
        .refused(2, "no signature that is not here");
    // A copy whose signature was touched is refused as a whole.
    let mut forged: Value = serde_json::from_slice(&desk.read("next.json")).unwrap();
    forged[1]["signatures"][0]["keyid"] =
        desk.stage("key inspect rolf.pub --format json").json()["keyid"].clone();
    desk.write("forged.json", forged.to_string());
    desk.stage("trust sign next.json --from forged.json")
        .refused(4, "trust-root-chain");
}

#[test]
fn a_new_root_needs_the_old_and_the_new_threshold() {
    let desk = agency();
    for name in ["nina", "nora"] {
        desk.key(name);
    }
    // All root holders are replaced, so that no person is in both roots.
    desk.stage(
        "trust add root.json --key nina.pub=nina --key nora.pub=nora --role root -o half.json",
    )
    .ok();
    desk.stage("trust remove half.json --person rita --person rolf --person rosa -o next.json")
        .ok()
        .says(&[
            "version: 1 -> 2",
            "Root 2 demands signatures by 2 of: nina, nora",
        ]);
    for (signers, complete) in [
        (["rita", "rolf", "nina"], false),
        (["nina", "nora", "rita"], false),
    ] {
        desk.copy("next.json", "try.json");
        sign(&desk, "try.json", &signers);
        let ran = desk.stage("trust inspect try.json --format json").ok();
        assert_eq!(ran.json()["signed"]["complete"], complete, "{signers:?}");
        desk.stage("repo init --repo r --trust try.json --accept-unchecked-root")
            .refused(4, "trust-root-chain");
    }
    sign(&desk, "next.json", &["rita", "rolf", "nina", "nora"]);
    desk.stage("trust inspect next.json")
        .ok()
        .says(&["complete"]);
}

#[test]
fn drafts_that_would_not_be_valid_are_not_written() {
    let desk = agency();
    for (words, said) in [
        (
            "remove root.json --person rita --person rolf",
            "needs 2 persons and has 1",
        ),
        ("remove root.json --person bob", "needs 1 persons and has 0"),
        ("remove root.json --drop-role builder", "has no `builder`"),
        ("remove root.json --person nobody", "has no key here"),
        ("remove root.json --key erin.pub", "the root has no key"),
        (
            "remove root.json --key bob.pub --role root",
            "does not have the role root",
        ),
        (
            "rotate root.json --threshold releaser=2",
            "needs 2 persons and has 1",
        ),
        (
            "rotate root.json --threshold transfer=1",
            "nobody has the role transfer",
        ),
        ("rotate root.json --epoch *=0", "numbers from 1"),
        ("rotate root.json --epoch Prod=2", "is not a channel"),
        (
            "rotate root.json --key bob.pub=alice.pub",
            "is in the root already",
        ),
        ("rotate root.json --expires 0d", "expired already"),
        (
            "rotate root.json --profile fips",
            "profile fips takes only ecdsa-p384-sha384",
        ),
        (
            "add root.json --key bob.pem=bob --role root",
            "is a secret key",
        ),
        (
            "add root.json --key bob.pub=alice --role root",
            "is given to",
        ),
        (
            "add root.json --key bob.pub=bob --role releaser",
            "has the role releaser already",
        ),
        (
            "add root.json --key erin.pub=e/rin --role root",
            "is not a name",
        ),
    ] {
        desk.stage(&format!("trust {words} -o next.json"))
            .refused(2, said);
        assert!(!desk.path("next.json").exists(), "{words}");
    }
    // Epochs rise and never fall.
    desk.stage("trust rotate root.json --epoch prod=3 -o next.json")
        .ok()
        .says(&["epoch prod: added, 3"]);
    sign(&desk, "next.json", &["rita", "rosa"]);
    desk.stage("trust rotate next.json --epoch prod=2 -o third.json")
        .refused(2, "the epoch of prod falls");
    desk.stage("trust rotate next.json -o root.json")
        .refused(2, "never overwritten");
    desk.stage("trust rotate next.json -o next.json")
        .refused(2, "never overwritten");
}

#[test]
fn a_draft_that_changes_loses_its_signatures_and_keeps_its_number() {
    let desk = agency();
    desk.stage("trust rotate root.json -o next.json").ok();
    sign(&desk, "next.json", &["rita"]);
    desk.stage("trust add next.json --key erin.pub=erin --role transfer -o next.json")
        .ok()
        .says(&["version: 1 -> 2", "they are gone", "erin as transfer"]);
    desk.stage("trust inspect next.json")
        .ok()
        .says(&["nobody: 0 of 2 that root 1 demands"]);
    desk.stage("trust remove next.json --drop-role releaser -o next.json")
        .ok()
        .says(&["builder and releaser, two persons -> a bundle needs a builder only"]);
    // Nothing may be put behind a draft.
    let mut chain: Value = serde_json::from_slice(&desk.read("next.json")).unwrap();
    let draft = chain[1].clone();
    chain.as_array_mut().unwrap().push(draft);
    desk.write("two.json", chain.to_string());
    desk.stage("trust inspect two.json")
        .refused(4, "stands before the last");
}

#[test]
fn lists_of_roots_that_do_not_follow_each_other_are_refused() {
    let desk = agency();
    desk.stage("trust rotate root.json -o next.json").ok();
    sign(&desk, "next.json", &["rita", "rosa"]);
    desk.stage("trust rotate next.json -o third.json").ok();
    sign(&desk, "third.json", &["rita", "rosa"]);
    let chain: Value = serde_json::from_slice(&desk.read("third.json")).unwrap();
    let of = |picked: &[usize]| -> String {
        picked
            .iter()
            .map(|i| chain[*i].clone())
            .collect::<Value>()
            .to_string()
    };
    for picked in [&[0, 2][..], &[1, 0], &[0, 1, 1], &[2, 1]] {
        desk.write("list.json", of(picked));
        desk.stage("trust inspect list.json").refused(4, "E31");
    }
    desk.write("list.json", "[]");
    desk.stage("trust inspect list.json")
        .refused(4, "holds no root");
    for good in [&[0][..], &[0, 1], &[1, 2], &[2]] {
        desk.write("list.json", of(good));
        desk.stage("trust inspect list.json").ok();
    }
}

/// Signs, wraps and imports through the program: what a repository that pinned root 1 makes of newer ones.
#[cfg(feature = "connected")]
mod carried {
    use super::{Desk, agency, sign};

    fn bundle(desk: &Desk, trust: &str, builder: &str, releaser: &str, name: &str) {
        desk.write("files/a.txt", name);
        desk.stage(&format!(
            "bundle --plain files --channel prod --trust {trust} --key {builder}.pem -o {name}"
        ))
        .ok();
        desk.stage(&format!(
            "sign {name} --key {releaser}.pem --trust {trust} --role releaser"
        ))
        .ok();
    }

    fn repository(desk: &Desk) {
        let fingerprint = desk.fingerprint("root.json");
        desk.stage(&format!(
            "repo init --repo repo --trust root.json --fingerprint {fingerprint}"
        ))
        .ok();
    }

    fn version(desk: &Desk) -> u64 {
        let ran = desk.stage("repo status --repo repo --format json").ok();
        ran.json()["root"]["version"].as_u64().unwrap()
    }

    #[test]
    fn a_repository_follows_the_roots_that_a_bundle_carries() {
        let desk = agency();
        repository(&desk);
        bundle(&desk, "root.json", "alice", "bob", "one.stage");
        desk.stage("import one.stage --repo repo").ok();
        // Two roots later, bob is gone and erin releases.
        desk.stage("trust add root.json --key erin.pub=erin --role releaser -o two.json")
            .ok();
        sign(&desk, "two.json", &["rita", "rolf"]);
        desk.stage("trust remove two.json --person bob -o three.json")
            .ok();
        sign(&desk, "three.json", &["rosa", "rolf"]);
        bundle(&desk, "three.json", "alice", "erin", "two.stage");
        // Who knows root 1 only, verifies it too.
        desk.stage("verify two.stage --trust root.json")
            .ok()
            .says(&["version 3"]);
        desk.stage("import two.stage --repo repo").ok();
        assert_eq!(version(&desk), 3);
        // The dropped key no longer counts, though the bundle is by a root that it was good for.
        bundle(&desk, "root.json", "alice", "bob", "three.stage");
        desk.stage("import three.stage --repo repo")
            .refused(4, "trust-signature-unknown");
        // Nor does the old root judge for this repository any more.
        desk.stage("verify two.stage --trust root.json --repo repo")
            .refused(4, "root");
        assert_eq!(version(&desk), 3);
        desk.stage("import two.stage --repo repo")
            .ok()
            .says(&["already imported"]);
    }

    #[test]
    fn a_root_too_far_ahead_or_half_signed_is_not_followed() {
        let desk = agency();
        repository(&desk);
        desk.stage("trust rotate root.json -o two.json").ok();
        sign(&desk, "two.json", &["rita", "rolf"]);
        desk.stage("trust rotate two.json -o three.json").ok();
        sign(&desk, "three.json", &["rita", "rolf"]);
        // Only root 3 is carried: root 2 is missing for a site that knows root 1.
        let chain: serde_json::Value = serde_json::from_slice(&desk.read("three.json")).unwrap();
        desk.write("only.json", chain[2].to_string());
        bundle(&desk, "only.json", "alice", "bob", "far.stage");
        desk.stage("import far.stage --repo repo")
            .refused(4, "trust-root-chain");
        assert_eq!(version(&desk), 1);
        // A draft makes no bundle.
        desk.stage("trust rotate root.json -o draft.json").ok();
        sign(&desk, "draft.json", &["rita"]);
        desk.write("files/a.txt", "a");
        desk.stage(
            "bundle --plain files --channel prod --trust draft.json --key alice.pem -o d.stage",
        )
        .refused(4, "trust-root-chain");
        assert!(!desk.path("d.stage").exists());
    }

    #[test]
    fn a_higher_epoch_shuts_out_every_bundle_before_it() {
        let desk = agency();
        repository(&desk);
        bundle(&desk, "root.json", "alice", "bob", "one.stage");
        desk.stage("import one.stage --repo repo").ok();
        bundle(&desk, "root.json", "alice", "bob", "stolen.stage");
        desk.stage("trust rotate root.json --epoch prod=2 -o two.json")
            .ok();
        sign(&desk, "two.json", &["rita", "rolf"]);
        bundle(&desk, "two.json", "alice", "bob", "two.stage");
        desk.stage("import two.stage --repo repo").ok();
        desk.stage("import stolen.stage --repo repo")
            .refused(4, "epoch");
    }
}
