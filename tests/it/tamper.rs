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

/// What each byte is changed with.
#[derive(Debug, Clone, Copy)]
enum Changes {
    /// Each of its bits.
    Bits,
    /// Every other value.
    Values,
}

impl Changes {
    /// The masks that a byte is combined with.
    fn masks(self) -> Vec<u8> {
        match self {
            Self::Bits => (0..8).map(|bit| 1 << bit).collect(),
            Self::Values => (1..=255).collect(),
        }
    }
}

/// Every changed byte, every cut: those of each `parts`-th byte from `part` on.
fn mutations(good: &[u8], root: &TrustRoot, changes: Changes, part: usize, parts: usize) -> Tally {
    let mut tally = Tally::new();
    let mut bytes = good.to_vec();
    let masks = changes.masks();
    for index in (part..good.len()).step_by(parts) {
        for mask in &masks {
            bytes[index] ^= mask;
            refuse(
                &bytes,
                root,
                &mut tally,
                &format_args!("byte {index} combined with {mask:#04x}"),
            );
            bytes[index] ^= mask;
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
    println!("{}", change_everything(Changes::Bits));
}

/// Ten million bundles: for an optimised build, run by `scripts/torture bytes`.
#[test]
#[ignore = "takes half an hour; `scripts/torture bytes` runs it"]
fn no_other_value_of_any_byte_is_accepted() {
    println!("{}", change_everything(Changes::Values));
}

/// How much was tried.
fn change_everything(changes: Changes) -> String {
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
    let parts = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..parts)
            .map(|part| {
                scope.spawn({
                    let (good, root) = (&good, &root);
                    move || mutations(good, root, changes, part, parts)
                })
            })
            .collect();
        for worker in workers {
            for (code, count) in worker.join().unwrap() {
                *tally.entry(code).or_default() += count;
            }
        }
    });
    for byte in 0..=255 {
        let longer = [&good[..], &[byte]].concat();
        refuse(&longer, &root, &mut tally, &format_args!("appended {byte}"));
    }
    let total: usize = tally.values().sum();
    let each = changes.masks().len() + 1;
    assert_eq!(total, good.len() * each + 256, "{tally:?}");
    format!(
        "{} bytes, {total} mutations, 0 accepted: {tally:?}",
        good.len()
    )
}
