//! Debian from archive to apt: signed releases, indexes by digest, lock, bundle, repository, and the real apt-get that
//! installs from it. Archives are made in the test.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::debian_archive::{Archive, BROKEN, Deb, Suite, apt_get, key};
use crate::served::Served;
use crate::world::World;

const RELEASE: &str = "dists/bookworm/InRelease";

/// Debian's layout: a release, and security updates that come after it.
pub(crate) fn debian() -> [Suite; 2] {
    let main = [
        Deb::new("app", "1.0-1", "amd64")
            .field("Depends", "libone (>= 1.0), conf")
            .field("Recommends", "extra"),
        Deb::new("app", "1.0-1", "arm64").field("Depends", "libone (>= 1.0), conf"),
        Deb::new("libone", "1.0-1", "amd64").field("Multi-Arch", "same"),
        Deb::new("libone", "1.0-1", "arm64").field("Multi-Arch", "same"),
        Deb::new("conf", "1:2.0-1", "all").field("Homepage", "https://conf.example/"),
        Deb::new("extra", "3.0-1", "amd64"),
        Deb::new("base", "1-1", "amd64").field("Essential", "yes"),
        Deb::new("unrelated", "1-1", "amd64"),
    ];
    let security = [
        Deb::new("libone", "1.0-1+deb12u1", "amd64").field("Multi-Arch", "same"),
        Deb::new("libone", "1.0-1+deb12u1", "arm64").field("Multi-Arch", "same"),
    ];
    [
        Suite::new("bookworm", "bookworm").with("main", &main),
        Suite::new("bookworm-security", "bookworm-security").with("main", &security),
    ]
}

/// Writes keyring and manifest.
pub(crate) fn manifest(world: &World, archive: &Archive, suites: &str, body: &str) {
    let certificate = key(1).armored_certificate().unwrap();
    std::fs::write(world.path("archive.asc"), certificate).unwrap();
    let text = format!(
        "[bundle]\nchannel = \"claw\"\n[target]\nplatforms = [\"linux/amd64\"]\nglibc = \"2.36\"\n[debian]\n{body}\n\
         [[debian.source]]\nuri = \"{}\"\nsuites = [{suites}]\ncomponents = [\"main\"]\nsigned-by = \"archive.asc\"\n",
        archive.server.url()
    );
    std::fs::write(world.path("stage.toml"), text).unwrap();
}

pub(crate) const BOTH: &str = "\"bookworm\", \"bookworm-security\"";

/// Exit code and report of `stage resolve`.
pub(crate) fn resolve(world: &World, more: &[&str]) -> (i32, Value) {
    let mut args = vec!["resolve", "--format", "json"];
    args.extend(more);
    let output = world.stage(&args);
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), report)
}

#[track_caller]
pub(crate) fn resolved(world: &World, more: &[&str]) -> Value {
    let (code, report) = resolve(world, more);
    assert_eq!(code, 0, "{report:#}");
    report
}

pub(crate) fn lock(world: &World) -> String {
    std::fs::read_to_string(world.path("stage.lock")).unwrap()
}

/// Bundles what is locked, imports it, and returns the served repository.
fn carry(world: &World) -> Served {
    world.ok(&[
        "bundle",
        "--key",
        "k.pem",
        "-o",
        "claw.stage",
        "--format",
        "json",
    ]);
    let (code, said) = world.import(&world.path("claw.stage"));
    assert_eq!(code, 0, "{said}");
    Served::start(&world.repo(), 8)
}

/// `stage.sources` for a served repository.
fn sources(world: &World, served: &Served) -> std::path::PathBuf {
    world.ok(&[
        "repo",
        "client-config",
        "--repo",
        &world.text("repo"),
        "--install-to",
        &world.text("home"),
        "--replace",
    ]);
    let path = world.path("home/.config/stage/stage.sources");
    let text = std::fs::read_to_string(path).unwrap();
    let own = world.path("stage.sources");
    std::fs::write(&own, text.replace("http://127.0.0.1:8080", &served.url())).unwrap();
    own
}

#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

#[expect(clippy::print_stderr, reason = "a test that did not run must be seen")]
pub(crate) fn has_apt() -> bool {
    let found = Command::new("apt-get").arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: no apt-get");
    }
    found
}

/// Names of the downloaded files.
fn downloaded(root: &Path) -> Vec<String> {
    let mut found: Vec<String> = std::fs::read_dir(root.join("cache/archives"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.to_ascii_lowercase().contains(".deb"))
        .collect();
    found.sort();
    found
}

#[test]
fn a_closure_goes_from_a_signed_archive_to_a_root_that_apt_fills() {
    let world = World::new("debian-walk");
    let archive = Archive::new(&debian(), &key(1));
    manifest(&world, &archive, BOTH, "packages = [\"app\"]");
    let report = resolved(&world, &[]);
    assert_eq!(report["carried"], 3, "{report:#}");
    let asked = archive.asked();
    assert!(
        asked.iter().any(|a| a.contains("/by-hash/SHA256/")),
        "{asked:?}"
    );
    assert!(
        !asked
            .iter()
            .any(|a| a.ends_with("Packages.gz") || a.ends_with("/Packages")),
        "{asked:?}"
    );
    let text = lock(&world);
    for part in [
        "name = \"libone\"\nversion = \"1.0-1+deb12u1\"",
        "name = \"debian dists/bookworm/InRelease\"",
        "file = \"conf_1%3a2.0-1_all.deb\"",
        "path = \"pool/main/c/conf/conf_2.0-1_all.deb\"",
        "date = \"2026-02-01T00:00:00Z\"",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(
        !text.contains("127.0.0.1") && !text.contains("extra"),
        "{text}"
    );
    let records = std::fs::read_to_string(world.path("stage.records/debian.json")).unwrap();
    assert!(
        records.contains("BEGIN PGP SIGNED MESSAGE")
            && records.contains(key(1).fingerprint().as_str())
    );
    let why = world.ok(&["resolve", "--why", "conf"]);
    assert!(String::from_utf8_lossy(&why.stdout).contains("app > app@1.0-1 > conf@1:2.0-1"));

    let served = carry(&world);
    assert!(world.published("debian/dists/claw/InRelease").is_some());
    assert!(
        world
            .published("debian/pool/main/c/conf/conf_2.0-1_all.deb")
            .is_some()
    );
    let index = String::from_utf8(
        world
            .published("debian/dists/claw/main/binary-amd64/Packages")
            .unwrap(),
    )
    .unwrap();
    assert!(
        index.contains("Homepage: https://conf.example/\n")
            && index.contains("\n longer text: with a colon\n")
    );
    assert!(index.contains("Recommends: extra\n"), "{index}");
    let pins = String::from_utf8(
        world
            .published("pins/claw/1/debian/linux-amd64/packages.txt")
            .unwrap(),
    )
    .unwrap();
    assert_eq!(pins, "app=1.0-1\nconf=1:2.0-1\nlibone=1.0-1+deb12u1\n");
    let before = world.snapshot();
    let (code, said) = world.import(&world.path("claw.stage"));
    assert_eq!(
        (code, said.contains("already imported")),
        (0, true),
        "{said}"
    );
    assert_eq!(
        before,
        world.snapshot(),
        "an import of what is there wrote something"
    );
    if !has_apt() {
        return;
    }
    let (root, list) = (world.path("root"), sources(&world, &served));
    run(apt_get(&root, &list).arg("update"));
    let policy = run(apt_get(&root, &list).args([
        "--print-uris",
        "--no-install-recommends",
        "install",
        "app",
    ]));
    assert!(
        policy.contains("libone_1.0-1+deb12u1_amd64.deb"),
        "{policy}"
    );
    // What `stage export` writes is what was published, and what apt takes.
    world.ok(&["export", "--as", "apt-pins", "-o", "exported"]);
    let exported = std::fs::read_to_string(world.path("exported/packages.txt")).unwrap();
    assert_eq!(exported, pins);
    let preferences = world.path("exported/preferences");
    let preferences = format!("Dir::Etc::Preferences={}", preferences.display());
    run(apt_get(&root, &list)
        .args(["-o", &preferences])
        .args(["--no-install-recommends", "--download-only", "install"])
        .args(exported.lines()));
    assert_eq!(
        downloaded(&root),
        [
            "app_1.0-1_amd64.deb",
            "conf_1%3a2.0-1_all.deb",
            "libone_1.0-1+deb12u1_amd64.deb"
        ]
    );
    if rustix::process::geteuid().is_root() {
        let target = world.path("target");
        for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates"] {
            std::fs::create_dir_all(target.join(folder)).unwrap();
        }
        std::fs::write(target.join("var/lib/dpkg/status"), "").unwrap();
        let debs = downloaded(&root)
            .into_iter()
            .map(|name| root.join("cache/archives").join(name));
        run(Command::new("dpkg")
            .arg("--root")
            .arg(&target)
            .arg("-i")
            .args(debs));
        let installed = std::fs::read_to_string(target.join("usr/share/libone/version")).unwrap();
        assert_eq!(installed, "1.0-1+deb12u1");
    }
    // A changed index or file is refused by the real client.
    let path = world
        .repo()
        .join("current/debian/pool/main/c/conf/conf_2.0-1_all.deb");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes.iter().rev().copied().collect::<Vec<_>>()).unwrap();
    let fresh = world.path("other");
    run(apt_get(&fresh, &list).arg("update"));
    let output = apt_get(&fresh, &list)
        .args(["--download-only", "install", "conf"])
        .output()
        .unwrap();
    assert!(!output.status.success());
}

/// Name, exit, code, and what is done to the good archive.
type Case<'a> = (&'a str, i32, &'a str, Box<dyn Fn() + 'a>);

#[test]
fn what_does_not_hold_is_named_and_nothing_is_written() {
    let world = World::new("debian-bad");
    let archive = Archive::new(&debian(), &key(1));
    let index = {
        let files = archive.files.lock().unwrap();
        let gz = |path: &&String| path.contains("bookworm/main/binary-amd64/");
        files.keys().filter(gz).cloned().collect::<Vec<_>>()
    };
    manifest(&world, &archive, BOTH, "packages = [\"app\"]");
    let flip = |path: &str| {
        archive.change(path, |bytes| {
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
        });
    };
    let cases: Vec<Case<'_>> = vec![
        (
            "a changed release",
            4,
            "openpgp-bad-signature",
            Box::new(|| {
                archive.change(RELEASE, |bytes| {
                    let text = String::from_utf8(bytes.clone()).unwrap();
                    *bytes = text
                        .replacen("Origin: Test", "Origin: Best", 1)
                        .into_bytes();
                });
            }),
        ),
        (
            "text after the signature",
            4,
            "openpgp-message",
            Box::new(|| {
                archive.change(RELEASE, |bytes| bytes.extend(b"Suite: evil\n"));
            }),
        ),
        (
            "another key",
            4,
            "openpgp-no-valid-signature",
            Box::new(|| archive.publish(&debian(), &key(2))),
        ),
        (
            "a time that is over",
            4,
            "upstream-debian-expired",
            Box::new(|| {
                let [mut main, security] = debian();
                main.fields
                    .push_str("Valid-Until: Mon, 02 Feb 2026 00:00:00 UTC\n");
                archive.publish(&[main, security], &key(1));
            }),
        ),
        (
            "another suite",
            4,
            "upstream-debian-release",
            Box::new(|| {
                let [main, security] = debian();
                let other = Suite {
                    fields: main.fields.replace("bookworm", "trixie"),
                    ..main
                };
                archive.publish(&[other, security], &key(1));
            }),
        ),
        (
            "a cut index",
            4,
            "upstream-debian-index",
            Box::new(|| {
                for path in &index {
                    archive.change(path, |bytes| bytes.truncate(bytes.len() - 9));
                }
            }),
        ),
        (
            "a changed index",
            4,
            "upstream-debian-index",
            Box::new(|| index.iter().for_each(|path| flip(path))),
        ),
        (
            "no signature at all",
            1,
            "upstream-debian-no-release",
            Box::new(|| {
                archive.remove(RELEASE);
                archive.remove("dists/bookworm/Release.gpg");
            }),
        ),
        (
            "a detached signature of another text",
            4,
            "openpgp-bad-signature",
            Box::new(|| {
                archive.remove(RELEASE);
                archive.change("dists/bookworm/Release", |bytes| bytes.extend(b"X: y\n"));
            }),
        ),
        (
            "an unknown package",
            1,
            "upstream-debian-not-found",
            Box::new(|| {
                manifest(&world, &archive, BOTH, "packages = [\"ap\"]");
            }),
        ),
    ];
    let broken: Case<'_> = (
        "a server that fails",
        1,
        "upstream-failed",
        Box::new(|| archive.change(RELEASE, |bytes| *bytes = BROKEN.to_vec())),
    );
    for (name, exit, code, change) in cases.into_iter().chain([broken]) {
        archive.publish(&debian(), &key(1));
        manifest(&world, &archive, BOTH, "packages = [\"app\"]");
        change();
        let (found, report) = resolve(&world, &[]);
        assert_eq!(
            (found, report["errors"][0]["code"].as_str()),
            (exit, Some(code)),
            "{name}: {report:#}"
        );
        assert!(
            !world.path("stage.lock").exists() && !world.path("stage.records").exists(),
            "{name}"
        );
    }
    // A release with its signature beside it is as good as one with the signature inside.
    archive.publish(&debian(), &key(1));
    manifest(&world, &archive, BOTH, "packages = [\"app\"]");
    archive.remove(RELEASE);
    resolved(&world, &[]);
    assert!(lock(&world).contains("name = \"debian dists/bookworm/Release\""));
    // Where an index is not there by its digest, it is taken by its name.
    for path in index.iter().filter(|path| path.contains("by-hash")) {
        archive.remove(path);
    }
    resolved(&world, &["--upgrade"]);
    // A package with other bytes than the index says is not carried.
    flip("pool/main/a/app/app_1.0-1_amd64.deb");
    let output = world.stage(&["bundle", "--key", "k.pem", "-o", "claw.stage"]);
    assert_eq!(
        output.status.code(),
        Some(4),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!world.path("claw.stage").exists());
}

#[test]
fn releases_are_pinned_until_packages_change_and_never_go_back() {
    let world = World::new("debian-pins");
    let [main, security] = debian();
    let archive = Archive::new(&[main.clone(), security.clone()], &key(1));
    manifest(&world, &archive, BOTH, "packages = [\"app\"]");
    resolved(&world, &[]);
    let first = (
        lock(&world),
        std::fs::read(world.path("stage.records/debian.json")).unwrap(),
    );
    // A newer release with the same packages, and one more that nobody wants.
    let later = |suite: &Suite, day: &str| Suite {
        date: format!("2026-02-{day}T00:00:00Z").parse().unwrap(),
        ..suite.clone()
    };
    let more = later(&main, "05").with("more", &[Deb::new("new", "1", "amd64")]);
    archive.publish(&[more.clone(), later(&security, "05")], &key(1));
    resolved(&world, &[]);
    assert_eq!(
        first,
        (
            lock(&world),
            std::fs::read(world.path("stage.records/debian.json")).unwrap()
        )
    );
    resolved(&world, &["--locked"]);
    resolved(&world, &["--upgrade"]);
    assert!(lock(&world).contains("date = \"2026-02-05T00:00:00Z\""));
    // Going back is refused, and the lock stays.
    let now = lock(&world);
    archive.publish(&[main.clone(), later(&security, "05")], &key(1));
    for more in [&[][..], &["--upgrade"]] {
        let (code, report) = resolve(&world, more);
        assert_eq!(
            (code, report["errors"][0]["code"].as_str()),
            (4, Some("upstream-debian-rollback")),
            "{report:#}"
        );
        assert_eq!(now, lock(&world));
    }
    // A new version stays out while the archives have the old one, and comes in when asked for.
    let newer = later(&main, "06").with("next", &[Deb::new("conf", "1:2.1-1", "all")]);
    archive.publish(&[newer, later(&security, "06").with("next", &[])], &key(1));
    let text = std::fs::read_to_string(world.path("stage.toml")).unwrap();
    std::fs::write(
        world.path("stage.toml"),
        text.replace("[\"main\"]", "[\"main\", \"next\"]"),
    )
    .unwrap();
    resolved(&world, &[]);
    assert!(lock(&world).contains("version = \"1:2.0-1\""));
    resolved(&world, &["--upgrade=conf"]);
    assert!(
        lock(&world).contains("version = \"1:2.1-1\""),
        "{}",
        lock(&world)
    );
    // The same version with other bytes is never taken.
    let other = later(&main, "07").with(
        "next",
        &[Deb::new("conf", "1:2.1-1", "all").field("X-Other", "bytes")],
    );
    archive.publish(&[other, later(&security, "07").with("next", &[])], &key(1));
    let (code, report) = resolve(&world, &["--upgrade"]);
    assert_eq!(
        (code, report["errors"][0]["code"].as_str()),
        (4, Some("upstream-republished")),
        "{report:#}"
    );
}

/// Ubuntu's layout: a release with updates and security, `main` and `universe`, zstd inside the packages, phased updates.
#[test]
fn apt_follows_a_rollback_since_its_index_is_dated_anew() {
    let world = World::new("debian-rollback");
    let [main, security] = debian();
    let archive = Archive::new(&[main.clone(), security.clone()], &key(1));
    manifest(&world, &archive, BOTH, "packages = [\"app\"]");
    resolved(&world, &[]);
    drop(carry(&world));
    let later = |suite: &Suite| Suite {
        date: "2026-02-06T00:00:00Z".parse().unwrap(),
        ..suite.clone()
    };
    let next = later(&security).with("main", &[Deb::new("conf", "1:2.2-1", "all")]);
    archive.publish(&[later(&main), next], &key(1));
    resolved(&world, &["--upgrade"]);
    std::fs::remove_file(world.path("claw.stage")).unwrap();
    let served = carry(&world);
    let release = || {
        let bytes = world.published("debian/dists/claw/InRelease").unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let date = text.lines().find_map(|l| l.strip_prefix("Date: ")).unwrap();
        (date.to_owned(), text)
    };
    let (root, list) = (world.path("root"), sources(&world, &served));
    let conf = || {
        run(apt_get(&root, &list).arg("update"));
        run(apt_get(&root, &list).args(["--print-uris", "install", "conf"]))
    };
    if has_apt() {
        let said = conf();
        assert!(said.contains("conf_1%3a2.2-1_all.deb"), "{said}");
    }
    let before = release();
    let repo = world.text("repo");
    world.ok(&[
        "repo",
        "rollback",
        "--repo",
        &repo,
        "--channel",
        "claw",
        "--to",
        "1",
    ]);
    let after = release();
    let parsed = |date: &str| run(Command::new("date").args(["-u", "+%s", "-d", date]));
    assert_ne!(before.1, after.1);
    assert!(parsed(&after.0) >= parsed(&before.0));
    if has_apt() {
        let said = conf();
        assert!(said.contains("conf_1%3a2.0-1_all.deb"), "{said}");
    }
}

fn ubuntu(codename: &'static str, names: [&'static str; 3]) -> [Suite; 3] {
    let [release, updates, security] = names;
    let main = [
        Deb::new("ubuntu-base", "2.0ubuntu1", "amd64").zstd(),
        Deb::new("lib", "1.0-1ubuntu1", "amd64").zstd(),
    ];
    let universe = [Deb::new("tool", "5.0-2build1", "amd64")
        .zstd()
        .field("Depends", "lib (>= 1.0-1ubuntu1), ubuntu-base")];
    let phased = [Deb::new("ubuntu-base", "2.0ubuntu1.1", "amd64")
        .zstd()
        .listed("Phased-Update-Percentage", "10")];
    let fixed = [Deb::new("lib", "1.0-1ubuntu1.1", "amd64").zstd()];
    [
        Suite::new(release, codename)
            .with("main", &main)
            .with("universe", &universe),
        Suite::new(updates, codename)
            .with("main", &phased)
            .with("universe", &[]),
        Suite::new(security, codename)
            .with("main", &fixed)
            .with("universe", &[])
            .zstd(),
    ]
}

#[test]
fn ubuntu_2204_and_2404_layouts_are_first_class() {
    for (codename, names) in [
        ("jammy", ["jammy", "jammy-updates", "jammy-security"]),
        ("noble", ["noble", "noble-updates", "noble-security"]),
    ] {
        let world = World::new(&format!("debian-{codename}"));
        let archive = Archive::new(&ubuntu(codename, names), &key(7));
        let certificate = key(7).binary_certificate().unwrap();
        std::fs::write(world.path("ubuntu-archive-keyring.gpg"), certificate).unwrap();
        let text = format!(
            "[bundle]\nchannel = \"{codename}\"\n[target]\nplatforms = [\"linux/amd64\"]\nglibc = \"2.35\"\n[debian]\n\
             packages = [\"tool\"]\n[[debian.source]]\nuri = \"{0}\"\nsuites = [\"{1}\", \"{2}\", \"{3}\"]\ncomponents = \
             [\"main\", \"universe\"]\nsigned-by = \"ubuntu-archive-keyring.gpg\"\n",
            archive.server.url(),
            names[0],
            names[1],
            names[2]
        );
        std::fs::write(world.path("stage.toml"), text).unwrap();
        resolved(&world, &[]);
        let text = lock(&world);
        assert!(
            text.contains("name = \"lib\"\nversion = \"1.0-1ubuntu1.1\""),
            "{text}"
        );
        assert!(
            text.contains("name = \"ubuntu-base\"\nversion = \"2.0ubuntu1\""),
            "{text}"
        );
        assert!(
            text.contains("path = \"pool/universe/t/tool/tool_5.0-2build1_amd64.deb\""),
            "{text}"
        );
        let served = carry(&world);
        if !has_apt() {
            continue;
        }
        let (root, list) = (world.path("root"), sources(&world, &served));
        run(apt_get(&root, &list).arg("update"));
        run(apt_get(&root, &list).args(["--download-only", "install", "tool"]));
        let found = downloaded(&root);
        assert_eq!(
            found,
            [
                "lib_1.0-1ubuntu1.1_amd64.deb",
                "tool_5.0-2build1_amd64.deb",
                "ubuntu-base_2.0ubuntu1_amd64.deb"
            ]
        );
        let lib = root.join("cache/archives/lib_1.0-1ubuntu1.1_amd64.deb");
        let listed = run(Command::new("dpkg-deb").arg("-c").arg(lib));
        assert!(listed.contains("./usr/share/lib/version"), "{listed}");
    }
}

#[test]
fn without_sources_the_hosts_own_are_taken() {
    let world = World::new("debian-host");
    let archive = Archive::new(&debian(), &key(1));
    let etc = world.path("etc");
    std::fs::create_dir_all(etc.join("sources.list.d")).unwrap();
    std::fs::create_dir_all(etc.join("trusted.gpg.d")).unwrap();
    let (binary, armoured) = (
        key(1).binary_certificate().unwrap(),
        key(1).armored_certificate().unwrap(),
    );
    std::fs::write(etc.join("trusted.gpg.d/archive.gpg"), binary).unwrap();
    let inline: String = armoured
        .lines()
        .map(|l| {
            if l.is_empty() {
                " .\n".to_owned()
            } else {
                format!(" {l}\n")
            }
        })
        .collect();
    std::fs::write(
        etc.join("sources.list.d/security.sources"),
        format!("# updates\nTypes: deb\nURIs: {}\nSuites: bookworm-security\nComponents: main\nSigned-By:\n{inline}", archive.server.url()),
    )
    .unwrap();
    std::fs::write(
        etc.join("sources.list"),
        format!("deb {} bookworm main\n", archive.server.url()),
    )
    .unwrap();
    let config = world.path("apt.conf");
    std::fs::write(&config, format!("Dir::Etc \"{}\";\n", etc.display())).unwrap();
    let text = "[bundle]\nchannel = \"claw\"\n[target]\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\nglibc = \"2.36\"\n\
                [debian]\npackages = [\"app\"]\n";
    std::fs::write(world.path("stage.toml"), text).unwrap();
    let output = world
        .command(&["resolve", "--format", "json"])
        .env("APT_CONFIG", &config)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let text = lock(&world);
    assert!(
        text.contains("version = \"1.0-1+deb12u1\"")
            && text.contains("file = \"app_1.0-1_arm64.deb\""),
        "{text}"
    );
    // Without any, it says what to write.
    std::fs::remove_file(etc.join("sources.list")).unwrap();
    std::fs::remove_file(etc.join("sources.list.d/security.sources")).unwrap();
    let output = world
        .command(&["resolve", "--format", "json"])
        .env("APT_CONFIG", &config)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        report["errors"][0]["code"], "manifest-debian-sources",
        "{report:#}"
    );
}

#[test]
fn a_site_may_sign_with_a_command_and_a_bad_one_publishes_nothing() {
    let world = World::new("debian-sign");
    let archive = Archive::new(&debian(), &key(1));
    manifest(&world, &archive, BOTH, "packages = [\"app\"]");
    resolved(&world, &[]);
    world.ok(&[
        "bundle",
        "--key",
        "k.pem",
        "-o",
        "claw.stage",
        "--format",
        "json",
    ]);
    let site = key(9);
    std::fs::write(world.path("site.asc"), site.armored_certificate().unwrap()).unwrap();
    let fingerprint = world
        .ok(&["trust", "fingerprint", &world.text("root.json")])
        .stdout;
    let fingerprint = String::from_utf8(fingerprint).unwrap();
    let configure = |command: &str| {
        world.ok(&[
            "repo",
            "init",
            "--repo",
            &world.text("repo"),
            "--trust",
            &world.text("root.json"),
            "--fingerprint",
            fingerprint.trim(),
            "--apt-sign-command",
            command,
            "--apt-certificate",
            &world.text("site.asc"),
        ]);
    };
    // Refused before anything is made or changed.
    let arguments = [
        "repo",
        "init",
        "--repo",
        &world.text("elsewhere"),
        "--trust",
        &world.text("root.json"),
        "--fingerprint",
        fingerprint.trim(),
        "--apt-sign-command",
        "false",
        "--apt-certificate",
        &world.text("site.asc"),
    ];
    let output = world.stage(&arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("import-apt-sign-command"), "{said}");
    assert!(!world.path("elsewhere").exists());
    // One that signs at first, and not when it matters.
    let probe = "Origin: stage\nDescription: a trial signature\n";
    let probe = site.sign_cleartext(probe, "2026-02-01T00:00:00Z".parse().unwrap());
    std::fs::write(world.path("stranger"), probe.unwrap()).unwrap();
    let from_file = format!("cat > /dev/null; cat {}", world.text("stranger"));
    let script = |command: &str| std::fs::write(world.path("sign"), command).unwrap();
    script(&from_file);
    configure(&format!("sh {}", world.text("sign")));
    for (command, code) in [
        ("false", "import-apt-sign-command"),
        ("cat", "import-apt-sign-command"),
        ("cat > /dev/null; echo hello", "import-apt-sign-command"),
    ] {
        script(command);
        let before = world.snapshot();
        let output = world
            .importing(&world.path("claw.stage"))
            .args(["--format", "json"])
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["errors"][0]["code"], code, "{command}: {report:#}");
        let after = world.snapshot();
        let kept = |all: &std::collections::BTreeMap<std::path::PathBuf, String>| {
            let parts: Vec<_> = all
                .keys()
                .filter(|p| !p.components().any(|c| c.as_os_str() == "incoming"))
                .cloned()
                .collect();
            parts
        };
        assert_eq!(kept(&before), kept(&after), "{command}");
        assert_eq!(world.current(), None, "{command}");
    }
    // What another key signed, or over another text, does not count.
    let stranger = key(8)
        .sign_cleartext("Suite: claw\n", "2026-02-01T00:00:00Z".parse().unwrap())
        .unwrap();
    std::fs::write(world.path("stranger"), stranger).unwrap();
    script(&from_file);
    let (code, said) = world.import(&world.path("claw.stage"));
    assert_eq!(code, 4, "{said}");
    let other = site
        .sign_cleartext("Suite: evil\n", "2026-02-01T00:00:00Z".parse().unwrap())
        .unwrap();
    std::fs::write(world.path("stranger"), other).unwrap();
    let (code, said) = world.import(&world.path("claw.stage"));
    assert_eq!(code, 4, "{said}");
    assert_eq!(world.current(), None);
    // A command that does sign: gpg with the site's key.
    if Command::new("gpg").arg("--version").output().is_err() || !has_apt() {
        return;
    }
    let home = std::env::temp_dir().join(format!("stage-gpg-site-{}", std::process::id()));
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(
        world.path("site-secret.asc"),
        site.armored_secret().unwrap(),
    )
    .unwrap();
    let gpg = |args: &[&str]| {
        let mut command = Command::new("gpg");
        command
            .args([
                "--batch",
                "--yes",
                "--pinentry-mode",
                "loopback",
                "--passphrase",
                "",
            ])
            .args(args)
            .env("GNUPGHOME", &home);
        command
    };
    run(&mut gpg(&["--import", &world.text("site-secret.asc")]));
    configure(&format!(
        "GNUPGHOME={} gpg --batch --clearsign",
        home.display()
    ));
    let served = carry_again(&world);
    let (root, list) = (world.path("root"), sources(&world, &served));
    run(apt_get(&root, &list).arg("update"));
    run(apt_get(&root, &list).args(["--download-only", "install", "conf"]));
    assert_eq!(downloaded(&root), ["conf_1%3a2.0-1_all.deb"]);
    assert!(world.published("debian/dists/claw/Release.gpg").is_none());
    drop(
        Command::new("gpgconf")
            .args(["--kill", "all"])
            .env("GNUPGHOME", &home)
            .output(),
    );
    std::fs::remove_dir_all(home).unwrap();
}

fn carry_again(world: &World) -> Served {
    let (code, said) = world.import(&world.path("claw.stage"));
    assert_eq!(code, 0, "{said}");
    Served::start(&world.repo(), 8)
}
