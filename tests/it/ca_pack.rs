//! `stage ca pack`: the same bytes wherever it is made, a package that dpkg reads, settings that name their file, and
//! nothing for roots that are denied. What clients make of it is in `scripts/ca-check`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::ca_check;
use crate::desk::{Desk, Ran, ran};
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

/// `stage ca pack` at a time.
fn packed(desk: &Desk, words: &str, at: i64, zone: &str) -> Ran {
    let mut command = desk.command(env!("CARGO_BIN_EXE_stage"), &format!("ca pack {words}"));
    command
        .env("TZ", zone)
        .env("SOURCE_DATE_EPOCH", at.to_string());
    ran(command).ok()
}

/// The Debian package of a folder.
fn deb(desk: &Desk, folder: &str) -> String {
    let files = files(desk, folder);
    let name = files.keys().find(|name| name.ends_with("_all.deb"));
    format!("{folder}/{}", name.unwrap())
}

/// A field of a Debian package.
fn field(desk: &Desk, deb: &str, name: &str) -> String {
    let printed = ran(desk.command("dpkg-deb", &format!("-f {deb} {name}"))).ok();
    printed.stdout.trim().to_owned()
}

#[test]
fn a_later_package_replaces_an_earlier_one_whatever_roots_it_has() {
    let desk = ca_check::desk();
    // The first time is that of packages whose version was the day of their newest root.
    let mut last = "2026.11.30+5c1a9f30".to_owned();
    for (at, roots) in [
        (1_790_000_000, "goodroot.pem otherroot.pem"),
        (1_790_000_001, "goodroot.pem"),
        (1_790_000_002, "otherroot.pem"),
        (1_800_000_000, "otherroot.pem goodroot.pem"),
    ] {
        packed(&desk, &format!("{roots} -o at{at}"), at, "UTC");
        let version = field(&desk, &deb(&desk, &format!("at{at}")), "Version");
        let words = format!("--compare-versions {version} gt {last}");
        ran(desk.command("dpkg", &words)).ok();
        last = version;
    }
}

#[test]
fn the_longest_name_gives_a_whole_package() {
    let desk = ca_check::desk();
    let name = "n".repeat(40);
    let prefix = "--prefix /opt/claw+1@2";
    desk.stage(&format!(
        "ca pack goodroot.pem --name {name} {prefix} -o it"
    ))
    .ok();
    let deb = deb(&desk, "it");
    ran(desk.command("dpkg-deb", &format!("-x {deb} root"))).ok();
    let unpacked = files(&desk, "root");
    let folder = format!("usr/share/ca-certificates/{name}/");
    let certificate = unpacked.keys().find(|path| path.starts_with(&folder));
    let certificate = certificate.unwrap();
    assert!(certificate.len() > 100, "{certificate}");
    assert_eq!(unpacked[certificate], desk.read("goodroot.pem"));
    let doc = format!("usr/share/doc/{name}-ca-certificates");
    for file in ["copyright", "changelog.gz"] {
        assert!(unpacked.contains_key(&format!("{doc}/{file}")), "{file}");
    }
    let package = format!("{name}-ca-certificates");
    assert_eq!(field(&desk, &deb, "Package"), package);
    let env = String::from_utf8(desk.read("it/ca.env")).unwrap();
    assert!(env.contains("=/opt/claw+1@2/ca/ca-bundle.pem\n"), "{env}");
}

#[test]
fn the_same_roots_give_the_same_files_and_a_package_that_dpkg_reads() {
    let desk = ca_check::desk();
    let words = "goodroot.pem otherroot.pem --name agency --prefix /srv/claw";
    let report = packed(&desk, &format!("{words} -o one --format json"), 1, "UTC");
    assert_valid("ca-pack-report.json", &report.json());
    packed(&desk, &format!("{words} -o two"), 1, "Asia/Tokyo");
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
    let certificates: Vec<&String> = unpacked.keys().filter(|n| n.contains(".crt")).collect();
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

#[cfg(feature = "connected")]
#[test]
fn the_packet_of_a_bundle_shows_the_ca_and_holds_its_files() {
    use serde_json::json;

    use crate::walk::Registry;

    let desk = ca_check::desk();
    let registry = Registry::new();
    registry.publish_with("plain", "1.0.0", json!({}), "");
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    let manifest = |roots: &str| {
        format!(
            "[bundle]\nchannel = \"platform_engineering-openclaw.prod\"\n[target]\nplatforms = [\"linux/amd64\"]\n[npm]\nregistry = \"{}/\"\n\
             packages = [\"plain@1.0.0\"]\n[runtime]\nuser = \"svc\"\nprefix = \"/opt/demo\"\n[ca]\nroots = [{roots}]\n",
            registry.server.url()
        )
    };
    desk.write("stage.toml", manifest("\"rsa1024.pem\""));
    desk.stage("resolve").ok();
    desk.stage("bundle --key k.pem -o x.stage")
        .refused(3, "manifest-ca-weak-key");
    assert!(!desk.path("x.stage").exists());

    desk.write("stage.toml", manifest("\"noku.pem\", \"goodroot.pem\""));
    desk.stage("bundle --key k.pem -o x.stage")
        .ok()
        .says(&["ca-key-usage"]);
    desk.stage("ticket x.stage --trust root.json -o packet")
        .ok();
    let words = "x509 -in goodroot.pem -noout -fingerprint -sha256";
    let printed = ran(desk.command("openssl", words)).ok().stdout;
    let fingerprint = printed.trim().rsplit_once('=').unwrap().1;
    let fingerprint = fingerprint.replace(':', "").to_lowercase();
    let page = String::from_utf8(desk.read("packet/index.html")).unwrap();
    for shown in ["Private CA", "CN=goodroot", &fingerprint, "ca-key-usage"] {
        assert!(page.contains(shown), "{shown}");
    }
    let env = String::from_utf8(desk.read("packet/ca/ca.env")).unwrap();
    assert!(env.contains("\nNODE_EXTRA_CA_CERTS=/opt/demo/ca/ca-bundle.pem\n"));
    // The package is named after the channel, as far as Debian lets it.
    let packed = files(&desk, "packet/ca");
    let name = "platform-engineering-openclaw-prod";
    let deb = deb(&desk, "packet/ca");
    assert_eq!(
        field(&desk, &deb, "Package"),
        format!("{name}-ca-certificates")
    );
    let contents = ran(desk.command("dpkg-deb", &format!("--contents {deb}"))).ok();
    let inside = format!("./usr/share/ca-certificates/{name}/{name}-");
    assert_eq!(
        contents.stdout.matches(&inside).count(),
        2,
        "{}",
        contents.stdout
    );
    // The same bytes again: from the bundle, and of a bundle that is made again.
    desk.stage(&format!(
        "ca pack x.stage --trust root.json --name {name} --prefix /opt/demo -o again"
    ))
    .ok();
    assert_eq!(packed, files(&desk, "again"));
    desk.stage("bundle --key k.pem -o y.stage").ok();
    assert_eq!(desk.read("x.stage"), desk.read("y.stage"));
}
