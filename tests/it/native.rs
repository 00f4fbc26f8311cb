//! Native needs of staged programs: archives of every kind, made by hand, looked into through the store.

use std::collections::BTreeSet;

use stage::base::digest::{Digest, UpstreamChecksum};
use stage::base::finding::{Finding, Severity};
use stage::base::platform::{Libc, Platform};
use stage::base::progress::NoProgress;
use stage::lock::format;
use stage::native::{Known, Provider, Report, check};

use crate::programs::{AARCH64, Program, deb, gzip, tar};
use crate::staged::Staged;

impl Staged {
    fn check(&self, baseline: &[&str]) -> Report {
        self.check_with(baseline, None)
    }

    /// With what the archives have, if that is known.
    fn check_with(&self, baseline: &[&str], offered: Option<&[&str]>) -> Report {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let baseline: BTreeSet<String> = set(baseline);
        let offered = |_: Platform| offered.map(set);
        let known = Known {
            baseline: &baseline,
            offered: &offered,
        };
        check(&self.lock, &self.store, &known, &NoProgress).unwrap()
    }
}

fn codes(findings: &[Finding]) -> Vec<(&str, &str)> {
    let all = findings.iter();
    all.map(|f| (f.code.name, f.subject.as_str())).collect()
}

#[test]
fn what_nobody_staged_is_named_once_for_each_release_with_the_line_that_closes_it() {
    let mut staged = Staged::glibc("native-missing");
    let driver = Program::new(&["libc.so.6", "libm.so.6", "libX11.so.6", "libXi.so.6"]);
    let other = Program::new(&["libX11.so.6", "libxkbcommon.so.0", "ld-linux-x86-64.so.2"]);
    staged.npm(
        "driver",
        &[
            ("bin/driver", driver.bytes()),
            ("bin/other", other.bytes()),
            ("bin/script", b"#!/bin/sh\n".to_vec()),
        ],
    );
    let report = staged.check(&[]);
    assert_eq!(
        codes(&report.findings),
        [("native-missing-library", "npm driver@1")]
    );
    let finding = &report.findings[0];
    assert_eq!(finding.severity, Severity::Warn);
    assert_eq!(
        finding.message,
        "needs libX11.so.6, libXi.so.6, libxkbcommon.so.0, which nothing provides on linux/amd64; \"bin/driver\" \
         needs libX11.so.6"
    );
    let fix = finding.fix.as_deref().unwrap();
    let line = "`[debian] packages = [\"libx11-6\", \"libxi6\", \"libxkbcommon0\"]`";
    assert!(
        fix.starts_with(&format!("probably {line} stages it")) && fix.contains("not looked up"),
        "{fix}"
    );
    assert!(report.is_probable);

    // Where the archives can be looked into, nothing is named that they lack, and names are those that they have.
    let suite = ["libx11-6", "libxkbcommon0t64", "libxi-dev"];
    let report = staged.check_with(&[], Some(&suite));
    assert_eq!(
        report.findings[0].fix.as_deref(),
        Some(
            "stage it: `[debian] packages = [\"libx11-6\", \"libxkbcommon0t64\"]`, or let the image have it; the archives \
             of this install have no package named after libXi.so.6"
        )
    );
    let packages: Vec<&str> = report.packages.iter().map(String::as_str).collect();
    assert_eq!(packages, ["libx11-6", "libxkbcommon0t64"]);
    assert!(!report.is_probable);
    let report = staged.check_with(&[], Some(&[]));
    assert_eq!(
        report.findings[0].fix.as_deref(),
        Some(
            "the target's image must have it; the archives of this install have no package named after libX11.so.6, \
             libXi.so.6, libxkbcommon.so.0"
        )
    );
    assert!(report.packages.is_empty());

    let report = staged.check(&["libx11-6", "libxi6", "libxkbcommon0t64"]);
    assert_eq!(codes(&report.findings), []);
    let by_name = Provider::Baseline("libxkbcommon0t64".to_owned());
    assert!(
        report
            .needs
            .iter()
            .any(|n| n.soname == "libxkbcommon.so.0" && n.provider == by_name)
    );
    assert!(
        report
            .needs
            .iter()
            .any(|n| n.soname == "libm.so.6" && n.provider == Provider::Libc)
    );
}

#[test]
fn debian_packages_of_every_compression_provide_what_is_in_them() {
    use std::io::Write as _;
    let library = |name: &'static str| Program::new(&["libc.so.6"]).soname(name).bytes();
    let x11 = tar(&[
        (
            "./usr/lib/x86_64-linux-gnu/libX11.so.6.4.0",
            library("libX11.so.6"),
        ),
        (
            "./usr/lib/x86_64-linux-gnu/libX11.so.6",
            b"->libX11.so.6.4.0".to_vec(),
        ),
    ]);
    let mut xz = xz2::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&x11).unwrap();
    // No soname: only the link gives it the name that is asked for.
    let xi = tar(&[
        (
            "./usr/lib/libXi.so.6.1.0",
            Program::new(&["libc.so.6"]).bytes(),
        ),
        ("./usr/lib/libXi.so.6", b"->libXi.so.6.1.0".to_vec()),
    ]);
    let private = tar(&[("./usr/lib/app/libown.so.1", library("libown.so.1"))]);
    let mut staged = Staged::glibc("native-debian");
    staged.add(
        "debian",
        "libx11-6",
        &deb("data.tar.xz", &xz.finish().unwrap()),
    );
    staged.add(
        "debian",
        "libxi6",
        &deb("data.tar.zst", &zstd::encode_all(xi.as_slice(), 1).unwrap()),
    );
    staged.add("debian", "app", &deb("data.tar.gz/", &gzip(&private)));
    let user = Program::new(&["libX11.so.6", "libXi.so.6", "libown.so.1"]);
    staged.npm("user", &[("x.node", user.bytes())]);
    let report = staged.check(&[]);
    assert_eq!(
        codes(&report.findings),
        [("native-missing-library", "npm user@1")]
    );
    // A private folder of a package is not searched for others.
    assert!(
        report.findings[0]
            .message
            .starts_with("needs libown.so.1, which")
    );
    let by = |soname: &str| {
        let mut needs = report.needs.iter();
        let need = needs.find(|need| need.soname == soname && need.file == "x.node");
        need.unwrap().provider.to_string()
    };
    assert_eq!(by("libX11.so.6"), "debian libx11-6@1");
    assert_eq!(by("libXi.so.6"), "debian libxi6@1");
    assert_eq!(by("libown.so.1"), "missing");
}

#[test]
fn libraries_beside_the_file_and_in_sibling_packages_count() {
    let mut staged = Staged::glibc("native-bundled");
    let wheel = |members: &[(&str, Vec<u8>)]| {
        use std::io::Write as _;
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (path, bytes) in members {
            let options = zip::write::SimpleFileOptions::default();
            zip.start_file(*path, options).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    };
    let module = Program::new(&["libblas-1a2b.so", "libc.so.6"]).runpath("$ORIGIN/../../num.libs");
    let blas = Program::new(&["libgfortran-3c.so.5"]).soname("libblas-1a2b.so");
    let fortran = Program::new(&["libc.so.6"]).soname("libgfortran-3c.so.5");
    staged.add(
        "npm",
        "wheel-like",
        &wheel(&[
            ("num/core/_m.so", module.bytes()),
            ("num.libs/libblas-1a2b.so", blas.bytes()),
            ("num.libs/libgfortran-3c.so.5", fortran.bytes()),
        ]),
    );
    let sharp = Program::new(&["libvips.so.42", "libgone.so.1"])
        .runpath("$ORIGIN/../../sharp-libvips/lib:/nowhere");
    staged.npm("@img/sharp", &[("lib/sharp.node", sharp.bytes())]);
    let vips = Program::new(&["libc.so.6"]).soname("libvips.so.42");
    staged.npm("@img/sharp-libvips", &[("lib/libvips.so.42", vips.bytes())]);
    let report = staged.check(&[]);
    assert_eq!(
        codes(&report.findings),
        [("native-missing-library", "npm @img/sharp@1")]
    );
    assert!(
        report.findings[0]
            .message
            .starts_with("needs libgone.so.1, which")
    );

    // Without the folder in the file the sibling does not count.
    let mut apart = Staged::glibc("native-apart");
    let sharp = Program::new(&["libvips.so.42"]);
    apart.npm("@img/sharp", &[("lib/sharp.node", sharp.bytes())]);
    apart.npm("@img/sharp-libvips", &[("lib/libvips.so.42", vips.bytes())]);
    assert_eq!(apart.check(&[]).findings.len(), 1);
}

#[test]
fn builds_for_other_machines_systems_and_c_libraries_need_nothing_here() {
    let arm = Program::new(&["libc.so.6", "libarm.so.1"]).machine(AARCH64);
    let musl = Program::new(&["libc.musl-x86_64.so.1", "libmusl.so.1"]);
    let android = Program::new(&["libc.so", "liblog.so"]);
    let gnu = Program::new(&["libc.so.6", "libgnu.so.1"]);
    let members = [
        ("prebuilds/linux-arm64/a.node", arm.bytes()),
        ("prebuilds/linux-x64/a.musl.node", musl.bytes()),
        ("prebuilds/android/a.node", android.bytes()),
        ("prebuilds/linux-x64/a.glibc.node", gnu.bytes()),
    ];
    let missing = |staged: &Staged| {
        let report = staged.check(&[]);
        let missing = report
            .needs
            .into_iter()
            .filter(|n| n.provider == Provider::Missing);
        missing.map(|need| need.soname).collect::<Vec<_>>()
    };
    let mut glibc = Staged::glibc("native-glibc");
    glibc.npm("many", &members);
    assert_eq!(missing(&glibc), ["libgnu.so.1"]);
    glibc.lock.target.platforms = vec![Platform::LinuxArm64];
    glibc.lock.packages[0].platforms = vec![Platform::LinuxArm64];
    assert_eq!(missing(&glibc), ["libarm.so.1"]);
    let mut other = Staged::new("native-musl", Libc::Musl("1.2".to_owned()));
    other.npm("many", &members);
    assert_eq!(missing(&other), ["libmusl.so.1"]);
    let report = other.check(&[]);
    assert!(
        !report.findings[0]
            .fix
            .as_deref()
            .unwrap()
            .contains("[debian]")
    );
}

#[test]
fn symbol_versions_are_held_against_the_target_and_against_what_is_staged() {
    let mut staged = Staged::glibc("native-versions");
    let old = Program::new(&["libc.so.6"]).requires("libc.so.6", &["GLIBC_2.2.5", "GLIBC_2.36"]);
    let new = Program::new(&["libc.so.6", "libm.so.6"])
        .requires("libc.so.6", &["GLIBC_2.4"])
        .requires("libm.so.6", &["GLIBC_2.38", "GLIBC_2.37"]);
    let cxx = Program::new(&["libstdc++.so.6"])
        .requires("libstdc++.so.6", &["GLIBCXX_3.4.30", "GLIBCXX_3.4.32"]);
    staged.npm("old", &[("a.node", old.bytes())]);
    staged.npm("new", &[("a.node", new.bytes())]);
    staged.npm("cxx", &[("a.node", cxx.bytes())]);
    let stdcxx = Program::new(&["libc.so.6"])
        .soname("libstdc++.so.6")
        .defines(&["GLIBCXX_3.4", "GLIBCXX_3.4.30", "CXXABI_1.3"]);
    let data = tar(&[(
        "./usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30",
        stdcxx.bytes(),
    )]);
    staged.add("debian", "libstdc++6", &deb("data.tar", &data));
    let report = staged.check(&[]);
    assert_eq!(
        codes(&report.findings),
        [
            ("native-glibc-too-old", "npm new@1"),
            ("native-symbol-version", "npm cxx@1")
        ]
    );
    assert_eq!(
        report.findings[0].message,
        "\"a.node\" needs GLIBC_2.38 of the C library, linux/amd64 has glibc 2.36"
    );
    assert_eq!(
        report.findings[1].message,
        "\"a.node\" needs GLIBCXX_3.4.32 of libstdc++.so.6, which the one of debian libstdc++6@1 does not have on \
         linux/amd64"
    );

    // A C library that is staged is the one that will be there.
    let libc = Program::new(&[])
        .soname("libc.so.6")
        .defines(&["GLIBC_2.2.5", "GLIBC_2.41"]);
    let data = tar(&[("./usr/lib/x86_64-linux-gnu/libc.so.6", libc.bytes())]);
    staged.add("debian", "libc6", &deb("data.tar", &data));
    let report = staged.check(&[]);
    assert!(
        codes(&report.findings)
            .iter()
            .all(|(code, _)| *code != "native-glibc-too-old")
    );
}

#[test]
fn files_of_their_own_and_a_python_that_is_embedded() {
    let mut staged = Staged::glibc("native-file");
    let tool = Program::new(&["libz.so.1", "libc.so.6"]);
    staged.add("file", "bin/tool", &tool.bytes());
    staged.add("file", "bin/tool.gz", &gzip(&tool.soname("other").bytes()));
    let embed = Program::new(&["libpython3.11.so.1.0"]);
    staged.npm("embed", &[("e.so", embed.bytes())]);
    staged.add("file", "notes.txt", b"nothing to look into");
    let report = staged.check(&[]);
    assert_eq!(
        codes(&report.findings),
        [
            ("native-missing-interpreter", "npm embed@1"),
            ("native-missing-library", "file bin/tool.gz@1"),
            ("native-missing-library", "file bin/tool@1"),
        ]
    );
    assert!(
        report.findings[0]
            .fix
            .as_deref()
            .unwrap()
            .contains("\"libpython3.11\"")
    );
    assert!(
        report.findings[1]
            .fix
            .as_deref()
            .unwrap()
            .contains("\"zlib1g\"")
    );
    let python = Program::new(&["libc.so.6"]).soname("libpython3.11.so.1.0");
    let python = tar(&[("python/lib/libpython3.11.so.1.0", python.bytes())]);
    staged.add(
        "file",
        "python.tar.zst",
        &zstd::encode_all(python.as_slice(), 1).unwrap(),
    );
    assert_eq!(staged.check(&[]).findings.len(), 2);
}

#[test]
fn damaged_and_hostile_files_are_notes_and_never_more() {
    let good = Program::new(&["libc.so.6", "libX11.so.6"])
        .soname("liba.so.1")
        .runpath("$ORIGIN:/x")
        .requires("libc.so.6", &["GLIBC_2.2.5", "GLIBC_2.36"])
        .defines(&["A_1", "A_2"])
        .bytes();
    let mut staged = Staged::glibc("native-hostile");
    // Every byte with its bits turned over, every length.
    let mut members = Vec::new();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0xff;
        members.push((format!("f{at}"), bad));
        members.push((format!("s{at}"), good[..at].to_vec()));
    }
    let members: Vec<_> = members
        .iter()
        .map(|(p, b)| (p.as_str(), b.clone()))
        .collect();
    staged.npm("mutants", &members);
    staged.add(
        "npm",
        "cut.tgz",
        &gzip(&tar(&[("package/x", good.clone())]))[..60],
    );
    staged.add("debian", "none.deb", b"!<arch>\n");
    staged.add("debian", "lies.deb", &deb("data.tar.xz", b"\xfd7zXZ\0 no"));
    staged.add("file", "lies.zip", b"PK\x03\x04 no");
    let report = staged.check(&["libx11-6"]);
    let unreadable: Vec<_> = report
        .findings
        .iter()
        .filter(|f| f.code.name == "native-unreadable")
        .map(|f| (f.severity, f.subject.as_str()))
        .collect();
    for subject in [
        "npm mutants@1",
        "npm cut.tgz@1",
        "debian none.deb@1",
        "debian lies.deb@1",
        "file lies.zip@1",
    ] {
        assert!(
            unreadable.contains(&(Severity::Note, subject)),
            "{subject}: {unreadable:?}"
        );
    }
}

#[test]
fn the_command_lists_needs_and_says_what_was_not_looked_into() {
    let mut staged = Staged::glibc("native-cli");
    let tool = Program::new(&["libz.so.1", "libc.so.6"]);
    staged.add("file", "bin/tool", &tool.bytes());
    let folder = &staged.folder.0;
    let mut lock = staged.lock.clone();
    let mut absent = lock.packages[0].clone();
    absent.name = "bin/absent".to_owned();
    absent.artifacts[0].checksum = UpstreamChecksum::Sha256(Digest::of(b"absent"));
    lock.packages.push(absent);
    lock.sort();
    std::fs::write(folder.join("stage.lock"), format::write(&lock)).unwrap();
    let run = |more: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_stage"))
            .args(["inspect", "stage.lock", "--native"])
            .args(more)
            .current_dir(folder)
            .env_clear()
            .env("STAGE_CACHE", folder)
            .output()
            .unwrap()
    };
    let output = run(&[]);
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "linux/amd64 file bin/tool@1 bin/tool needs libc.so.6: C library of the target\nlinux/amd64 file bin/tool@1 bin/tool needs \
         libz.so.1: missing\n"
    );
    let talk = String::from_utf8(output.stderr).unwrap();
    assert!(
        talk.contains("warning[native-missing-library]: file bin/tool@1:"),
        "{talk}"
    );
    assert!(talk.contains("1 artifact not in the store"), "{talk}");
    let output = run(&["--format", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["native"][1]["provider"], "missing");
    crate::schemas::assert_valid("inspect-report.json", &report);
}
