//! What a target has already, and what was changed in a lock by hand: through the program, against the real apt where
//! there is one.

use stage::base::digest::Digest;
use stage::base::package::ReleaseId;
use stage::base::platform::Platform;
use stage::lock::{Lock, LockedPackage, format};

use crate::debian_archive::{Archive, Deb, Suite, apt_get, key};
use crate::debian_chain::{BOTH, debian, has_apt, lock, manifest, resolve, resolved, run};
use crate::world::World;

/// A status file as dpkg writes it: one package that must be upgraded, one that is as new as the archive's, one that is
/// held back, one that is held and as new as it can be, one that was removed, and one that no archive has.
const STATUS: &str = "\
Package: libone
Status: install ok installed
Priority: optional
Section: libs
Installed-Size: 31
Maintainer: T <t@debs.example>
Architecture: amd64
Multi-Arch: same
Version: 0.9-1
Conffiles:
 /etc/libone.conf 0123456789abcdef0123456789abcdef
 /etc/libone.d/a b 0123456789abcdef0123456789abcdef obsolete
Description: an old library
 with: colons
 .
 and more

Package: conf
Status: install ok installed
Architecture: all
Version: 1:2.0-1
Description: configuration

Package: extra
Status: hold ok installed
Architecture: amd64
Version: 2.0-1
Description: held back

Package: unrelated
Status: hold ok installed
Architecture: amd64
Version: 1-1
Description: held, and new

Package: base
Status: deinstall ok config-files
Architecture: amd64
Version: 1-1
Conffiles:
 /etc/base 0123456789abcdef0123456789abcdef
Description: removed

Package: local-tool
Status: install ok installed
Architecture: amd64
Version: 7
Depends: libone
Description: of nobody's archive
";

/// Code, severity, subject and message of every finding.
fn findings(report: &serde_json::Value) -> Vec<String> {
    let all = report["findings"].as_array().unwrap().iter();
    all.map(|f| {
        let text = |key: &str| f[key].as_str().unwrap().to_owned();
        let parts = ["code", "severity", "subject", "message"].map(text);
        parts.join(" | ")
    })
    .collect()
}

/// `name=version` of what is carried.
fn carried(text: &str) -> Vec<String> {
    let lock = format::parse(text.as_bytes()).unwrap();
    let all = lock.packages.iter().filter(|p| p.is_carried());
    all.map(|p| format!("{}={}", p.name, p.version)).collect()
}

#[test]
fn what_the_image_has_is_not_carried_and_what_it_holds_is_named() {
    let world = World::new("debian-status");
    let archive = Archive::new(&debian(), &key(1));
    let body = "packages = [\"app\"]\nbaseline = { status = \"image/dpkg-status\" }";
    manifest(&world, &archive, BOTH, body);
    let (code, report) = resolve(&world, &[]);
    assert_eq!(code, 2, "{report:#}");
    std::fs::create_dir(world.path("image")).unwrap();
    let write = |text: &str| std::fs::write(world.path("image/dpkg-status"), text).unwrap();
    write(STATUS);
    let report = resolved(&world, &[]);
    let text = lock(&world);
    assert_eq!(carried(&text), ["app=1.0-1", "libone=1.0-1+deb12u1"]);
    let input = format!(
        "name = \"status dpkg-status\"\ndigest = \"{}\"\n",
        Digest::of(STATUS.as_bytes())
    );
    assert!(text.contains(&input), "{text}");
    assert_eq!(
        findings(&report),
        [
            "debian-held | warn | debian extra=2.0-1 | is held in the baseline, and an archive has a newer version",
            "debian-held | note | debian unrelated=1-1 | is held in the baseline and stays as it is",
        ]
    );
    // The records have what relations need of it, and nothing else.
    let records = std::fs::read_to_string(world.path("stage.records/debian.json")).unwrap();
    assert!(records.contains("Package: local-tool\\n"), "{records}");
    assert!(!records.contains("Conffiles") && !records.contains("Package: base\\n"));
    if has_apt() {
        let (root, list) = (world.path("root"), world.path("sources.list"));
        let line = |suite: &str| {
            let keys = world.text("archive.asc");
            format!(
                "deb [signed-by={keys}] {} {suite} main\n",
                archive.server.url()
            )
        };
        let lines = [line("bookworm"), line("bookworm-security")];
        std::fs::write(&list, lines.concat()).unwrap();
        std::fs::create_dir_all(&root).unwrap();
        std::fs::write(root.join("status"), STATUS).unwrap();
        run(apt_get(&root, &list).arg("update"));
        let said = run(apt_get(&root, &list).args([
            "-qq",
            "--print-uris",
            "--no-install-recommends",
            "install",
            "app",
        ]));
        let mut files: Vec<&str> = said
            .lines()
            .filter_map(|line| line.strip_prefix('\'')?.split_whitespace().nth(1))
            .collect();
        files.sort_unstable();
        let expected = ["app_1.0-1_amd64.deb", "libone_1.0-1+deb12u1_amd64.deb"];
        assert_eq!(files, expected, "{said}");
    }
    // The closure holds only with that status: the bundle is made, and another status is another closure.
    world.ok(&["bundle", "--key", "k.pem", "-o", "claw.stage"]);
    write(&STATUS.replace("Version: 1:2.0-1", "Version: 1:1.9-1"));
    assert_eq!(resolve(&world, &["--locked"]).0, 6);
    assert_eq!(lock(&world), text);
    // What is there may be older than what is wanted by name; what is held stands in the way, and is named.
    manifest(&world, &archive, BOTH, &body.replace("app", "conf"));
    resolved(&world, &[]);
    assert_eq!(carried(&lock(&world)), ["conf=1:2.0-1"]);
    manifest(&world, &archive, BOTH, body);
    write(&STATUS.replacen("install ok", "hold ok", 1));
    let before = lock(&world);
    let (code, report) = resolve(&world, &[]);
    assert_eq!(code, 1, "{report:#}");
    let error = report["errors"][0].to_string();
    assert!(error.contains("libone=0.9-1 is held"), "{error}");
    write("<html>no status</html>\n");
    let (code, report) = resolve(&world, &[]);
    let said = (code, report["errors"][0]["code"].as_str().unwrap());
    assert_eq!(said, (2, "manifest-debian-status"), "{report:#}");
    assert_eq!(lock(&world), before);
}

/// What is done to a package of the lock, and what must be said of it.
type Change<'a> = (&'a str, fn(&mut LockedPackage), &'a [&'a str]);

#[test]
fn what_was_changed_in_a_lock_by_hand_is_named_and_nothing_is_bundled() {
    let world = World::new("debian-edited");
    let main = [
        Deb::new("app", "1.0-1", "amd64").field("Depends", "mid | other"),
        Deb::new("app", "1.0-1", "arm64").field("Depends", "mid | other"),
        Deb::new("mid", "2-1", "all").field("Pre-Depends", "libone (>= 1.0)"),
        Deb::new("libone", "1.0-1", "amd64"),
        Deb::new("libone", "1.0-1", "arm64"),
    ];
    let archive = Archive::new(
        &[Suite::new("bookworm", "bookworm").with("main", &main)],
        &key(1),
    );
    manifest(
        &world,
        &archive,
        "\"bookworm\"",
        "packages = [\"app\"]\nbaseline = \"none\"",
    );
    let path = world.path("stage.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let both = text.replace("[\"linux/amd64\"]", "[\"linux/amd64\", \"linux/arm64\"]");
    std::fs::write(path, both).unwrap();
    resolved(&world, &[]);
    let whole = lock(&world);
    let parse = || format::parse(whole.as_bytes()).unwrap();
    let refuse = |changed: &Lock, what: &str, expected: &[&str]| {
        std::fs::write(world.path("stage.lock"), format::write(changed)).unwrap();
        let output = world.stage(&[
            "bundle", "--key", "k.pem", "-o", "x.stage", "--format", "json",
        ]);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(3), "{what}: {report:#}");
        let all = report["findings"].as_array().unwrap().iter();
        let said: Vec<String> = all
            .map(|f| {
                assert_eq!(f["code"], "lock-open-edge");
                let chain = f["chain"].as_array().unwrap().iter();
                let chain: Vec<&str> = chain.map(|c| c.as_str().unwrap()).collect();
                format!(
                    "{}: {} ({})",
                    f["subject"].as_str().unwrap(),
                    f["message"].as_str().unwrap(),
                    chain.join(" > ")
                )
            })
            .collect();
        assert_eq!(said, expected, "{what}");
        assert!(!world.path("x.stage").exists() && !world.path("releases.toml").exists());
        // For a pipeline that resolves again, it is not the lock that resolving gives.
        assert_eq!(resolve(&world, &["--locked"]).0, 6, "{what}");
    };
    let mut without = parse();
    without.packages.retain(|p| p.name != "libone");
    refuse(
        &without,
        "a package",
        &[
            "debian libone@1.0-1: is in the records, but the lock has no such package ()",
            "debian mid@2-1: Pre-Depends dependency \"libone (>= 1.0)\" \"\" is not in the lock for linux/amd64, \
             linux/arm64 (app > app@1.0-1 > mid@2-1)",
        ],
    );
    let changes: [Change<'_>; 4] = [
        (
            "an edge",
            |package| {
                let of = |id: &ReleaseId| id.name != "libone";
                package.dependencies.retain(of);
            },
            &[
                "debian mid@2-1: Pre-Depends \"libone (>= 1.0)\" has no edge in the lock to what satisfies it on \
               linux/amd64, linux/arm64 (app > app@1.0-1 > mid@2-1)",
            ],
        ),
        (
            "an edge to the first of two alternatives",
            |package| package.dependencies.retain(|id| id.name != "mid"),
            &[
                "debian app@1.0-1: Depends \"mid | other\" has no edge in the lock to what satisfies it on linux/amd64, \
               linux/arm64 (app > app@1.0-1)",
            ],
        ),
        (
            "a platform",
            |package| {
                if package.name == "libone" {
                    package.platforms.retain(|p| *p == Platform::LinuxArm64);
                }
            },
            &[
                "debian libone@1.0-1: is not in the lock for linux/amd64 (app > app@1.0-1 > mid@2-1 > libone@1.0-1)",
                "debian mid@2-1: Pre-Depends dependency \"libone (>= 1.0)\" \"\" is not in the lock for linux/amd64 \
                 (app > app@1.0-1 > mid@2-1)",
            ],
        ),
        (
            "the file of another architecture",
            |package| {
                if package.name == "libone" {
                    package.artifacts.retain(|a| a.file.ends_with("_arm64.deb"));
                }
            },
            &[
                "debian libone@1.0-1: has no file in the lock for linux/amd64 that is the one of the records (app > \
               app@1.0-1 > mid@2-1 > libone@1.0-1)",
            ],
        ),
    ];
    for (what, change, expected) in changes {
        let mut changed = parse();
        changed.packages.iter_mut().for_each(change);
        refuse(&changed, what, expected);
    }
    // Resolving again mends it.
    resolved(&world, &[]);
    assert_eq!(lock(&world), whole);
}
