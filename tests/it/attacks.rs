//! Bundles by good keys in bad hands, and by bad keys: each ends in its class.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde_json::{Value, json};
use stage::base::digest::{Digest, Digests};
use stage::base::fault::{Class, Fault as _};
use stage::base::progress::NoProgress;
use stage::bundle::BundleId;
use stage::bundle::statement::Kind;
use stage::trust::root::TrustRoot;
use stage::verify::{self, Bundle, HighWater, Judge, NullSink, SeenState, Verified, VerifyError};

use crate::signed::{self, Parts, Person, judge, judge_at, root_value};

/// Three root holders of whom two must sign, a builder, two releasers.
struct World {
    alice: Person,
    bob: Person,
    carol: Person,
    dave: Person,
    erin: Person,
    frank: Person,
}

impl World {
    fn new() -> Self {
        Self {
            alice: Person::new("alice"),
            bob: Person::new("bob"),
            carol: Person::new("carol"),
            dave: Person::new("dave"),
            erin: Person::new("erin"),
            frank: Person::new("frank"),
        }
    }

    fn value(&self, version: u64) -> Value {
        root_value(
            version,
            &[
                ("root", &[&self.alice, &self.bob, &self.carol], 2),
                ("builder", &[&self.dave], 1),
                ("releaser", &[&self.erin, &self.frank], 1),
            ],
        )
    }

    fn root(&self) -> TrustRoot {
        signed::root(&self.value(1))
    }

    fn signed(&self, parts: &Parts) -> Vec<u8> {
        parts.signed(&[&self.dave, &self.erin])
    }
}

fn parts() -> Parts {
    Parts::new(&[("files/a.txt", b"aaaa"), ("files/b.txt", b"bbbb")])
}

fn class(result: Result<Verified<Bundle>, VerifyError>) -> Option<Class> {
    result.err().and_then(|error| error.code().class)
}

#[test]
fn signatures_count_persons_and_keys() {
    let w = World::new();
    let root = w.root();
    let (parts, stranger) = (parts(), Person::new("mallory"));
    let statement = parts.statement_bytes();
    let cases: [(&[&Person], Option<Class>); 8] = [
        (&[&w.dave, &w.erin], None),
        (&[&w.dave, &w.frank], None),
        (&[&w.dave, &w.erin, &w.frank], None),
        (&[], Some(Class::E30)),
        (&[&w.dave], Some(Class::E30)),
        (&[&w.erin], Some(Class::E30)),
        (&[&w.dave, &w.erin, &w.erin], Some(Class::E30)),
        (&[&w.dave, &w.erin, &stranger], Some(Class::E30)),
    ];
    for (index, (signers, want)) in cases.into_iter().enumerate() {
        assert_eq!(
            class(judge(&parts.signed(signers), &root, None)),
            want,
            "{index}"
        );
    }
    // A signature that claims another key.
    let mut claimed = w.erin.sign(&statement);
    claimed.keyid = w.frank.keyid();
    let forged = parts.with_signatures(&[w.dave.sign(&statement), claimed]);
    assert_eq!(class(judge(&forged, &root, None)), Some(Class::E30));
}

#[test]
fn builder_and_releaser_are_two_persons() {
    let w = World::new();
    let second = Person::new("dave");
    let root = signed::root(&root_value(
        1,
        &[
            ("root", &[&w.alice], 1),
            ("builder", &[&w.dave], 1),
            ("releaser", &[&second], 1),
        ],
    ));
    let bundle = parts().signed(&[&w.dave, &second]);
    let error = judge(&bundle, &root, None).unwrap_err();
    assert_eq!(error.code().name, "trust-two-persons");
    // Two keys of one person do not reach a threshold of two either.
    let value = root_value(
        1,
        &[
            ("root", &[&w.alice], 1),
            ("builder", &[&w.dave, &second, &w.erin], 2),
        ],
    );
    let root = signed::root(&value);
    let one = parts().signed(&[&w.dave, &second]);
    assert_eq!(
        judge(&one, &root, None).unwrap_err().code().name,
        "trust-threshold"
    );
    judge(&parts().signed(&[&w.dave, &w.erin]), &root, None).unwrap();
}

#[test]
fn a_root_follows_the_old_and_the_new_threshold() {
    let w = World::new();
    let root = w.root();
    let new: Vec<Person> = ["gina", "hugo", "ivan"]
        .into_iter()
        .map(Person::new)
        .collect();
    let holders: Vec<&Person> = new.iter().collect();
    let value = root_value(
        2,
        &[
            ("root", &holders, 2),
            ("builder", &[&w.dave], 1),
            ("releaser", &[&w.erin], 1),
        ],
    );
    let cases: [(&[&Person], Option<Class>); 6] = [
        (&[&w.alice, &w.bob], Some(Class::E31)),
        (&[&new[0], &new[1]], Some(Class::E31)),
        (&[&w.alice, &new[0], &new[1]], Some(Class::E31)),
        (&[&w.alice, &w.alice, &new[0], &new[1]], Some(Class::E31)),
        (&[&w.alice, &w.carol, &new[0], &new[2], &w.frank], None),
        (&[&w.alice, &w.carol, &new[0], &new[2]], None),
    ];
    for (index, (signers, want)) in cases.into_iter().enumerate() {
        let mut parts = parts();
        parts.roots = vec![signed::envelope(&value, signers)];
        assert_eq!(
            class(judge(&w.signed(&parts), &root, None)),
            want,
            "{index}"
        );
    }
}

#[test]
fn roots_are_numbered_fresh_and_never_fall_back() {
    let w = World::new();
    let root = w.root();
    let by = [&w.alice, &w.bob];
    let expired = |version| {
        let mut value = w.value(version);
        value["expires"] = "2026-01-01T00:00:00Z".into();
        value
    };
    let mut lower = w.value(2);
    lower["epochs"] = json!({"other": 1});
    let cases = [
        (vec![w.value(3)], Some(Class::E31)),
        (vec![expired(2)], Some(Class::E31)),
        (vec![expired(2), w.value(3)], None),
        (vec![w.value(2), w.value(2), w.value(1)], None),
        (vec![lower], Some(Class::E31)),
    ];
    for (index, (values, want)) in cases.into_iter().enumerate() {
        let mut parts = parts();
        parts.roots = values.iter().map(|v| signed::envelope(v, &by)).collect();
        assert_eq!(
            class(judge(&w.signed(&parts), &root, None)),
            want,
            "{index}"
        );
    }
    // A key that the newer root dropped no longer counts.
    let mut parts = parts();
    let value = root_value(
        2,
        &[
            ("root", &[&w.alice, &w.bob, &w.carol], 2),
            ("builder", &[&w.dave], 1),
            ("releaser", &[&w.frank], 1),
        ],
    );
    parts.roots = vec![signed::envelope(&value, &by)];
    assert_eq!(
        class(judge(&w.signed(&parts), &root, None)),
        Some(Class::E30)
    );
    judge(&parts.signed(&[&w.dave, &w.frank]), &root, None).unwrap();
}

#[test]
fn the_same_signature_in_another_spelling_is_refused() {
    // Nothing signs the slot, so each signature must have one spelling. Several padded texts in a row are base64 too, to some.
    let w = World::new();
    let (root, parts) = (w.root(), parts());
    let statement = parts.statement_bytes();
    let good = [w.dave.sign(&statement), w.erin.sign(&statement)];
    judge(&parts.with_signatures(&good), &root, None).unwrap();
    let bytes = BASE64.decode(good[0].sig.as_bytes()).unwrap();
    for at in 1..bytes.len() {
        let (head, tail) = bytes.split_at(at);
        let mut other = good.clone();
        other[0].sig = BASE64.encode(head) + &BASE64.encode(tail);
        if other[0].sig == good[0].sig {
            continue;
        }
        let refused = judge(&parts.with_signatures(&other), &root, None);
        assert_eq!(class(refused), Some(Class::E20), "cut at {at}");
    }
}

#[test]
fn what_this_build_cannot_verify_is_not_waved_through() {
    let w = World::new();
    let mut value = w.value(1);
    value["classes"] = json!(["classic", "pq"]);
    let error = judge(&w.signed(&parts()), &signed::root(&value), None).unwrap_err();
    assert_eq!(error.code().name, "trust-scheme-unsupported");
    // A plain signature by a key that the root knows as an SSH key is none.
    for (scheme, code) in [
        ("ml-dsa-87", "trust-scheme-unsupported"),
        ("sshsig", "trust-signature-invalid"),
    ] {
        let mut value = w.value(1);
        for key in value["keys"].as_array_mut().unwrap() {
            if key["person"] == "erin" {
                key["scheme"] = scheme.into();
            }
        }
        let error = judge(&w.signed(&parts()), &signed::root(&value), None).unwrap_err();
        assert_eq!(error.code().name, code);
    }
}

fn seen(epoch: u64, serial: u64, statement: Digest) -> SeenState {
    let mark = HighWater {
        epoch,
        serial,
        statement,
    };
    SeenState {
        root_version: 1,
        time_floor: None,
        channels: BTreeMap::from([("prod".to_owned(), mark)]),
        ..SeenState::default()
    }
}

#[test]
fn a_repository_remembers() {
    let w = World::new();
    let (root, parts) = (w.root(), parts());
    let bundle = w.signed(&parts);
    let own = BundleId::of(&parts.statement_bytes()).0;
    let other = Digest::of(b"other");
    let name = |state: &SeenState| judge(&bundle, &root, Some(state)).map_err(|e| e.code().name);
    assert!(!name(&seen(1, 6, other)).unwrap().already_imported);
    assert!(name(&seen(1, 7, own)).unwrap().already_imported);
    assert_eq!(name(&seen(1, 8, other)).unwrap_err(), "verify-rollback");
    assert_eq!(name(&seen(2, 1, other)).unwrap_err(), "verify-rollback");
    assert_eq!(name(&seen(1, 7, other)).unwrap_err(), "verify-equivocation");
    let mut state = seen(1, 6, other);
    state.root_version = 2;
    assert_eq!(name(&state).unwrap_err(), "verify-root-older");
    state.root_version = 1;
    state.time_floor = Some(signed::time("2026-11-23T00:00:00Z"));
    assert_eq!(name(&state).unwrap_err(), "verify-clock");
}

#[test]
fn time_is_judged() {
    let w = World::new();
    let root = w.root();
    let bundle = w.signed(&parts());
    let code = |now| judge_at(&bundle, &root, None, now).map_err(|e| e.code().name);
    assert_eq!(code("2026-10-31T23:59:59Z").unwrap_err(), "verify-future");
    assert_eq!(code("2029-02-01T00:00:00Z").unwrap_err(), "verify-expired");
    assert_eq!(
        code("2030-01-01T00:00:00Z").unwrap_err(),
        "verify-root-expired"
    );
    code("2026-11-01T00:00:00Z").unwrap();
    code("2029-01-31T23:59:59Z").unwrap();
}

#[test]
fn statements_are_bound_to_the_root() {
    let w = World::new();
    let root = w.root();
    let with = |change: fn(&mut Parts)| {
        let mut parts = parts();
        change(&mut parts);
        class(judge(&w.signed(&parts), &root, None))
    };
    assert_eq!(with(|p| p.statement.root_version = 9), Some(Class::E31));
    assert_eq!(with(|p| p.statement.epoch = 2), Some(Class::E32));
    assert_eq!(
        with(|p| p.statement.channel = "dev".to_owned()),
        Some(Class::E32)
    );
    assert_eq!(
        with(|p| p.statement.channel = "../x".to_owned()),
        Some(Class::E32)
    );
    assert_eq!(with(|p| p.statement.serial = 0), Some(Class::E20));
    assert_eq!(
        with(|p| p.statement.expires = p.statement.created),
        Some(Class::E20)
    );
    assert_eq!(with(|_| ()), None);
}

#[test]
fn hostile_names_and_manifests_are_refused() {
    let w = World::new();
    let root = w.root();
    let good = String::from_utf8(parts().manifest.canonical()).unwrap();
    let cases = [
        ("files/a.txt", "../a", Class::E40),
        ("files/a.txt", "/etc/x", Class::E40),
        ("files/a.txt", "a\u{7f}", Class::E40),
        ("files/a.txt", "caf\u{e9}", Class::E40),
        ("files/a.txt", "FILES/B.TXT", Class::E40),
        ("files/b.txt", "files/a.txt/b", Class::E40),
        ("files/a.txt", "files/b.txt", Class::E20),
        ("files/a.txt", "zzz", Class::E20),
        (r#""schema":1"#, r#""schema":1,"hooks":[]"#, Class::E20),
        (r#""size":4"#, r#""size":5"#, Class::E20),
    ];
    for (from, to, want) in cases {
        let mut parts = parts();
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good);
        parts.manifest_bytes = Some(text.into_bytes());
        let found = class(judge(&w.signed(&parts), &root, None));
        assert_eq!(found, Some(want), "{to}");
    }
}

#[test]
fn blobs_are_exactly_those_announced() {
    let w = World::new();
    let root = w.root();
    let swapped = |bytes: &[u8]| {
        let mut parts = parts();
        let first = *parts.blobs.keys().next().unwrap();
        parts.blobs.insert(first, bytes.to_vec());
        class(judge(&w.signed(&parts), &root, None))
    };
    assert_eq!(swapped(b"aaab"), Some(Class::E22));
    assert_eq!(swapped(b"aaaab"), Some(Class::E20));
    let mut missing = parts();
    missing.blobs.pop_last();
    assert_eq!(
        class(judge(&w.signed(&missing), &root, None)),
        Some(Class::E20)
    );
    // The same SHA-256 with another SHA-512 in the manifest: the second digest is really checked.
    let mut second = parts();
    second.manifest.files[0].digests.sha512 = Digests::of(b"x").sha512;
    assert_eq!(
        class(judge(&w.signed(&second), &root, None)),
        Some(Class::E22)
    );
}

#[test]
fn a_large_blob_is_checked_too_and_the_first_failure_wins() {
    let w = World::new();
    let root = w.root();
    let (big, more) = (vec![1; 3 << 20], vec![2; 2 << 20]);
    let files: [(&str, &[u8]); 3] = [("big", &big), ("more", &more), ("small", b"x")];
    judge(&w.signed(&Parts::new(&files)), &root, None).unwrap();
    for digest in Parts::new(&files).blobs.keys() {
        let mut parts = Parts::new(&files);
        parts.blobs.get_mut(digest).unwrap()[0] ^= 1;
        let error = judge(&w.signed(&parts), &root, None).unwrap_err();
        assert_eq!(error.code().class, Some(Class::E22));
        assert!(error.to_string().starts_with("blob "), "{error}");
        // A cut after the changed blob does not hide it.
        let bytes = w.signed(&parts);
        let error = judge(&bytes[..bytes.len() - 1], &root, None).unwrap_err();
        assert_eq!(error.code().class, Some(Class::E22));
    }
}

#[test]
fn a_delta_needs_its_base() {
    let w = World::new();
    let root = w.root();
    let mut parts = parts();
    parts.statement.kind = Kind::Delta;
    let (dropped, _) = parts.blobs.pop_first().unwrap();
    parts.manifest.carried.retain(|digest| *digest != dropped);
    let bundle = w.signed(&parts);
    assert_eq!(class(judge(&bundle, &root, None)), Some(Class::E34));
    let judge = Judge {
        root: &root,
        state: None,
        now: signed::time("2026-11-22T00:00:00Z"),
        approvals: None,
        proof: None,
        have: &|digest| *digest == dropped,
    };
    let verified = verify::bundle(&bundle[..], &judge, &mut NullSink, &NoProgress).unwrap();
    assert_eq!(verified.checks.len(), verify::STEPS.len());
    parts.statement.kind = Kind::Full;
    assert_eq!(
        class(self::judge(&w.signed(&parts), &root, None)),
        Some(Class::E20)
    );
}
