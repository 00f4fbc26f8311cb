//! `stage ca pack`: the same bytes wherever it is made, a package that dpkg reads, settings that name their file, and
//! nothing for roots that are denied. What clients make of it is in `scripts/ca-check`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::ca_check;
use crate::desk::{Desk, ran};
use crate::schemas::assert_valid;

fn files(desk: &Desk, folder: &str) -> BTreeMap<String, Vec<u8>> {
    fn walk(at: &Path, top: &Path, out: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, top, out);
            } else {
                let name = path.strip_prefix(top).unwrap().to_string_lossy();
                out.insert(name.into_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(&desk.path(folder), &desk.path(folder), &mut out);
    out
}

#[test]
fn the_same_roots_give_the_same_files_and_a_package_that_dpkg_reads() {
    let desk = ca_check::desk();
    let words = "ca pack goodroot.pem otherroot.pem --name agency --prefix /srv/claw -o";
    let report = desk.stage(&format!("{words} one --format json")).ok();
    assert_valid("ca-pack-report.json", &report.json());
    let mut again = desk.command(env!("CARGO_BIN_EXE_stage"), &format!("{words} two"));
    again.env("TZ", "Asia/Tokyo").env("SOURCE_DATE_EPOCH", "1");
    ran(again).ok();
    let one = files(&desk, "one");
    assert_eq!(one, files(&desk, "two"));
    let listed = report.json()["files"].as_array().unwrap().len();
    assert_eq!(listed, one.len());

    let deb = one.keys().find(|name| name.ends_with("_all.deb")).unwrap();
    let info = ran(desk.command("dpkg-deb", &format!("--info one/{deb}"))).ok();
    for line in [
        " Package: agency-ca-certificates\n",
        " Architecture: all\n",
        " Depends: ca-certificates\n",
    ] {
        assert!(info.stdout.contains(line), "{}", info.stdout);
    }
    ran(desk.command("dpkg-deb", &format!("-R one/{deb} unpacked"))).ok();
    let unpacked = files(&desk, "unpacked");
    let certificates: Vec<&String> = unpacked.keys().filter(|n| n.ends_with(".crt")).collect();
    assert_eq!(certificates.len(), 2, "{certificates:?}");
    for path in certificates {
        assert!(path.starts_with("usr/share/ca-certificates/agency/agency-"));
        let name = path.rsplit_once('/').unwrap().1;
        assert_eq!(unpacked[path], one[&format!("certs/{name}")]);
    }
    let contents = ran(desk.command("dpkg-deb", &format!("--contents one/{deb}"))).ok();
    let owned = contents.stdout.lines().all(|l| l.contains(" root/root "));
    assert!(
        owned && !contents.stdout.contains("/usr/local"),
        "{}",
        contents.stdout
    );
    for script in ["postinst", "postrm"] {
        ran(desk.command("sh", &format!("-n unpacked/DEBIAN/{script}"))).ok();
    }

    for (name, line) in [
        (
            "ca.env",
            "\nNODE_EXTRA_CA_CERTS=/srv/claw/ca/ca-bundle.pem\n",
        ),
        ("pip.conf", "\ncert = /srv/claw/ca/ca-bundle.pem\n"),
        ("npmrc", "\ncafile=/srv/claw/ca/ca-bundle.pem\n"),
        ("systemd-ca.conf", "\nEnvironmentFile=/srv/claw/ca/ca.env\n"),
    ] {
        let text = String::from_utf8(one[name].clone()).unwrap();
        assert!(text.contains(line), "{name}: {text}");
    }
    // Another set of roots is another version of the same package.
    desk.stage("ca pack goodroot.pem --name agency --prefix /srv/claw -o three")
        .ok();
    assert!(!files(&desk, "three").contains_key(deb));
}

#[test]
fn what_is_denied_or_could_not_be_written_into_settings_makes_no_file() {
    let desk = ca_check::desk();
    for (words, code, why) in [
        ("rsa1024.pem", 3, "manifest-ca-weak-key"),
        ("tampered.pem", 3, "ca-self-signature"),
        ("leaf.pem", 2, "manifest-ca-not-a-ca"),
        ("goodroot.pem --name Agency", 2, "lowercase letters"),
        ("goodroot.pem --name -x-", 2, ""),
        ("goodroot.pem --prefix opt", 2, "an absolute path"),
        ("goodroot.pem --prefix /opt/../etc", 2, "an absolute path"),
        ("goodroot.pem --prefix /opt/$(id)", 2, "an absolute path"),
    ] {
        desk.stage(&format!("ca pack {words} -o out"))
            .refused(code, why);
        assert!(!desk.path("out").exists(), "{words}");
    }
    desk.write("out/mine", "kept");
    desk.stage("ca pack goodroot.pem -o out")
        .refused(2, "is there already");
    assert_eq!(desk.read("out/mine"), b"kept");
}
