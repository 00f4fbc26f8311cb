//! Every single-bit flip, every truncation and every appended byte of a small bundle is refused, with a typed error,
//! and no byte of it comes out before the signatures passed.

use std::collections::BTreeMap;

use stage::base::fault::{Fault as _, Kind};
use stage::trust::root::TrustRoot;

use crate::signed::{self, Parts, Person};

/// Refusals by error code.
type Tally = BTreeMap<&'static str, usize>;

fn refuse(bytes: &[u8], root: &TrustRoot, tally: &mut Tally, what: &dyn std::fmt::Display) {
    match signed::judge(bytes, root, None) {
        Ok(_bundle) => panic!("{what} was accepted"),
        Err(error) => {
            let code = error.code();
            assert!(code.class.is_some(), "{what}: {error} has no class");
            assert_eq!(code.kind, Kind::Untrusted, "{what}: {error}");
            *tally.entry(code.name).or_default() += 1;
        }
    }
}

/// Every bit flipped, every cut: those of each `parts`-th byte from `part` on.
fn mutations(good: &[u8], root: &TrustRoot, part: usize, parts: usize) -> Tally {
    let mut tally = Tally::new();
    let mut bytes = good.to_vec();
    for index in (part..good.len()).step_by(parts) {
        for bit in 0..8 {
            bytes[index] ^= 1 << bit;
            refuse(
                &bytes,
                root,
                &mut tally,
                &format_args!("byte {index} bit {bit}"),
            );
            bytes[index] ^= 1 << bit;
        }
    }
    for cut in (part..good.len()).step_by(parts) {
        refuse(
            &good[..cut],
            root,
            &mut tally,
            &format_args!("cut at {cut}"),
        );
    }
    tally
}

#[test]
fn no_changed_bundle_is_accepted() {
    let (dave, erin) = (Person::new("dave"), Person::new("erin"));
    let root = signed::root(&signed::root_value(
        1,
        &[
            ("root", &[&dave], 1),
            ("builder", &[&dave], 1),
            ("releaser", &[&erin], 1),
        ],
    ));
    let parts = Parts::new(&[
        ("files/hello.txt", b"hello\n"),
        ("pypi/simple/x/index.html", b"<a>x</a>\n"),
    ]);
    let good = parts.signed(&[&dave, &erin]);
    assert!(good.len() < 48 << 10, "{}", good.len());
    signed::judge(&good, &root, None).unwrap();

    let mut tally = Tally::new();
    std::thread::scope(|scope| {
        let halves: Vec<_> = (0..2)
            .map(|part| {
                scope.spawn({
                    let (good, root) = (&good, &root);
                    move || mutations(good, root, part, 2)
                })
            })
            .collect();
        for half in halves {
            for (code, count) in half.join().unwrap() {
                *tally.entry(code).or_default() += count;
            }
        }
    });
    for byte in 0..=255 {
        let longer = [&good[..], &[byte]].concat();
        refuse(&longer, &root, &mut tally, &format_args!("appended {byte}"));
    }
    let total: usize = tally.values().sum();
    assert_eq!(total, good.len() * 9 + 256, "{tally:?}");
    println!(
        "{} bytes, {total} mutations, 0 accepted: {tally:?}",
        good.len()
    );
}
