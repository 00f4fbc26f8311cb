//! Archives that clients read differently are named; ordinary ones are not.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};

use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, Crc};
use stage::base::digest::Digest;
use stage::base::finding::Severity;
use stage::lint::{self, Form, Rule};

/// The rules that are broken, denied ones only.
fn denied(bytes: &[u8], form: &Form) -> Vec<Rule> {
    let found = lint::check(&mut Cursor::new(bytes), form).unwrap();
    let denied = found.iter().filter(|p| p.severity == Severity::Deny);
    let mut rules: Vec<Rule> = denied.map(|p| p.rule).collect();
    rules.dedup();
    rules
}

fn warned(bytes: &[u8], form: &Form) -> Vec<Rule> {
    let found = lint::check(&mut Cursor::new(bytes), form).unwrap();
    let warned = found.iter().filter(|p| p.severity == Severity::Warn);
    warned.map(|p| p.rule).collect()
}

// ---------- zip ----------

/// A member of a zip file whose headers may lie.
#[derive(Clone)]
struct Zipped {
    name: Vec<u8>,
    local_name: Vec<u8>,
    data: Vec<u8>,
    stated: u32,
    deflate: bool,
    flags: u16,
    attributes: u32,
    local_extra: Vec<u8>,
    tail: Vec<u8>,
}

fn zipped(name: &str, data: &[u8]) -> Zipped {
    Zipped {
        name: name.into(),
        local_name: name.into(),
        data: data.to_vec(),
        stated: u32::try_from(data.len()).unwrap(),
        deflate: true,
        flags: 0x800,
        attributes: 0o10_0644 << 16,
        local_extra: Vec::new(),
        tail: Vec::new(),
    }
}

fn le16(out: &mut Vec<u8>, values: &[u16]) {
    out.extend(values.iter().flat_map(|v| v.to_le_bytes()));
}

fn le32(out: &mut Vec<u8>, values: &[u32]) {
    out.extend(values.iter().flat_map(|v| v.to_le_bytes()));
}

fn zip(members: &[Zipped]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for m in members {
        let packed = if m.deflate {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&m.data).unwrap();
            encoder.finish().unwrap()
        } else {
            m.data.clone()
        };
        let mut crc = Crc::new();
        crc.update(&m.data);
        let (offset, method) = (
            u32::try_from(out.len()).unwrap(),
            if m.deflate { 8 } else { 0 },
        );
        let packed_size = u32::try_from(packed.len()).unwrap();
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap();
        out.extend(b"PK\x03\x04");
        le16(&mut out, &[20, m.flags, method, 0, 0]);
        le32(&mut out, &[crc.sum(), packed_size, m.stated]);
        le16(&mut out, &[length(&m.local_name), length(&m.local_extra)]);
        out.extend([m.local_name.as_slice(), &m.local_extra, &packed, &m.tail].concat());
        directory.extend(b"PK\x01\x02");
        le16(&mut directory, &[0x0314, 20, m.flags, method, 0, 0]);
        le32(&mut directory, &[crc.sum(), packed_size, m.stated]);
        le16(&mut directory, &[length(&m.name), 0, 0, 0, 0]);
        le32(&mut directory, &[m.attributes, offset]);
        directory.extend(&m.name);
    }
    let (at, size) = (
        u32::try_from(out.len()).unwrap(),
        u32::try_from(directory.len()).unwrap(),
    );
    out.extend(directory);
    out.extend(b"PK\x05\x06");
    let count = u16::try_from(members.len()).unwrap();
    le16(&mut out, &[0, 0, count, count]);
    le32(&mut out, &[size, at]);
    le16(&mut out, &[0]);
    out
}

/// The members of a small wheel, with its RECORD last.
fn wheel(members: &[Zipped]) -> Vec<Zipped> {
    let mut record = String::new();
    for m in members.iter().filter(|m| !m.name.ends_with(b"/")) {
        let digest = data_encoding::BASE64URL_NOPAD.encode(Digest::of(&m.data).bytes());
        let name = String::from_utf8_lossy(&m.name);
        writeln!(record, "{name},sha256={digest},{}", m.data.len()).unwrap();
    }
    record += "demo-1.0.dist-info/RECORD,,\n";
    [
        members,
        &[zipped("demo-1.0.dist-info/RECORD", record.as_bytes())],
    ]
    .concat()
}

fn demo() -> Vec<Zipped> {
    vec![
        zipped("demo/__init__.py", b"x = 1\n"),
        zipped("demo-1.0.dist-info/METADATA", b"Name: demo\n"),
    ]
}

/// A wheel with one more member.
fn with(member: Zipped) -> Vec<u8> {
    zip(&wheel(&[demo(), vec![member]].concat()))
}

#[test]
fn an_ordinary_wheel_passes() {
    let mut folder = zipped("demo/sub/", b"");
    folder.deflate = false;
    folder.attributes = 0o4_0755 << 16;
    let mut stored = zipped("demo/data.bin", &[7; 300]);
    stored.deflate = false;
    let good = zip(&wheel(&[demo(), vec![folder, stored]].concat()));
    assert_eq!(
        lint::check(&mut Cursor::new(&good), &Form::Wheel).unwrap(),
        []
    );
}

#[test]
fn a_wheel_with_two_readings_is_denied() {
    let cases: Vec<(&str, Vec<u8>, Rule)> = vec![
        ("leaves", with(zipped("../../x", b"x")), Rule::Path),
        ("absolute", with(zipped("/etc/x", b"x")), Rule::Path),
        ("backslash", with(zipped("demo\\x", b"x")), Rule::Path),
        ("zero byte", with(zipped("demo/x\0.py", b"x")), Rule::Path),
        (
            "direction",
            with(zipped("demo/\u{202e}yp.x", b"x")),
            Rule::Path,
        ),
        (
            "twice",
            with(zipped("demo/__init__.py", b"x = 2\n")),
            Rule::Duplicate,
        ),
        (
            "local name",
            with(Zipped {
                local_name: b"demo/other.py".into(),
                ..zipped("demo/one.py", b"x")
            }),
            Rule::Header,
        ),
        (
            "link",
            with(Zipped {
                attributes: 0xA1FF_0000,
                ..zipped("demo/link", b"/etc/passwd")
            }),
            Rule::Link,
        ),
        (
            "size",
            with(Zipped {
                stated: 3,
                ..zipped("demo/long.py", b"longer than three")
            }),
            Rule::Header,
        ),
        (
            "encrypted",
            with(Zipped {
                flags: 0x801,
                ..zipped("demo/e.py", b"x")
            }),
            Rule::Header,
        ),
        (
            "second name",
            with(Zipped {
                local_extra: b"\x75\x70\x06\x00\x01aaaax".into(),
                ..zipped("demo/n.py", b"x")
            }),
            Rule::Header,
        ),
        (
            "gap",
            with(Zipped {
                tail: b"PK\x03\x04 hidden".into(),
                ..zipped("demo/g.py", b"x")
            }),
            Rule::Junk,
        ),
        (
            "before",
            [b"#!/bin/sh\n".as_slice(), &with(zipped("demo/b.py", b"x"))].concat(),
            Rule::Junk,
        ),
        (
            "after",
            [&with(zipped("demo/a.py", b"x")), b"more".as_slice()].concat(),
            Rule::Damaged,
        ),
        ("no record", zip(&demo()), Rule::Record),
        (
            "not listed",
            zip(&[wheel(&demo()), vec![zipped("demo/new.py", b"x")]].concat()),
            Rule::Record,
        ),
        (
            "other digest",
            zip(&[
                vec![zipped("demo/__init__.py", b"x = 9\n")],
                wheel(&demo())[1..].to_vec(),
            ]
            .concat()),
            Rule::Record,
        ),
    ];
    for (name, bytes, rule) in cases {
        let found = denied(&bytes, &Form::Wheel);
        assert!(found.contains(&rule), "{name}: {found:?}");
    }
}

#[test]
fn a_bomb_is_not_unpacked() {
    let bomb = zip(&wheel(&[zipped("demo/zeros", &vec![0; 100 << 20])]));
    assert!(bomb.len() < 1 << 20);
    assert_eq!(denied(&bomb, &Form::Wheel), [Rule::TooLarge]);
    let tar = tarball(&[member("package/zeros", b'0', &vec![0; 100 << 20])]);
    assert_eq!(denied(&tar, &Form::Package), [Rule::TooLarge]);
}

#[test]
fn a_cut_wheel_is_damaged() {
    let good = zip(&wheel(&demo()));
    for cut in 0..good.len() {
        assert!(
            !denied(&good[..cut], &Form::Wheel).is_empty(),
            "cut at {cut}"
        );
    }
}

// ---------- tar ----------

fn header(name: &str, kind: u8, size: usize, link: &str) -> [u8; 512] {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..108].copy_from_slice(b"0000644\0");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[136..148].copy_from_slice(b"00000000000\0");
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link.as_bytes());
    block[257..265].copy_from_slice(b"ustar\x0000");
    sum(&mut block);
    block
}

fn sum(block: &mut [u8; 512]) {
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn content(data: &[u8]) -> Vec<u8> {
    let mut out = data.to_vec();
    out.resize(data.len().next_multiple_of(512), 0);
    out
}

fn member(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
    [
        header(name, kind, data.len(), "").as_slice(),
        &content(data),
    ]
    .concat()
}

fn link(name: &str, kind: u8, target: &str) -> Vec<u8> {
    header(name, kind, 0, target).to_vec()
}

fn pax(kind: u8, records: &[(&str, &str)]) -> Vec<u8> {
    let mut text = String::new();
    for (key, value) in records {
        let rest = format!(" {key}={value}\n");
        let mut length = rest.len() + 1;
        while length.to_string().len() + rest.len() != length {
            length = length.to_string().len() + rest.len();
        }
        write!(text, "{length}{rest}").unwrap();
    }
    member("PaxHeader", kind, text.as_bytes())
}

fn plain_tar(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; 1024]].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tarball(members: &[Vec<u8>]) -> Vec<u8> {
    gzip(&plain_tar(members))
}

fn manifest() -> Vec<u8> {
    member("package/package.json", b'0', b"{}")
}

#[test]
fn an_ordinary_tarball_passes() {
    let long = format!("package/{}/file.js", "deep".repeat(30));
    let good = tarball(&[
        pax(b'g', &[("comment", "0123456789abcdef")]),
        member("package/", b'5', b""),
        manifest(),
        pax(b'x', &[("path", &long), ("mtime", "1350244992.023960108")]),
        member("package/cut", b'0', b"x"),
    ]);
    assert_eq!(
        lint::check(&mut Cursor::new(&good), &Form::Package).unwrap(),
        []
    );
}

#[test]
fn a_tarball_with_two_readings_is_denied() {
    let inner = plain_tar(&[member("package/evil.js", b'0', b"evil")]);
    let mut binary_size = header("package/a", b'0', 0, "");
    binary_size[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\0\0\0\0\0");
    sum(&mut binary_size);
    let cases: Vec<(&str, Vec<Vec<u8>>, Rule)> = vec![
        (
            "leaves",
            vec![member("package/../../x", b'0', b"x")],
            Rule::Path,
        ),
        ("absolute", vec![member("/etc/x", b'0', b"x")], Rule::Path),
        (
            "twice",
            vec![manifest(), member("package/package.json", b'0', b"{ }")],
            Rule::Duplicate,
        ),
        (
            "twice after stripping",
            vec![manifest(), member("other/package.json", b'0', b"{ }")],
            Rule::Duplicate,
        ),
        (
            "hidden archive",
            vec![
                pax(b'x', &[("size", &inner.len().to_string())]),
                header("package/a", b'0', 0, "").to_vec(),
                inner,
            ],
            Rule::Header,
        ),
        (
            "two paths",
            vec![
                pax(b'x', &[("path", "package/a"), ("path", "package/b")]),
                member("c", b'0', b""),
            ],
            Rule::Header,
        ),
        (
            "two headers",
            vec![
                pax(b'x', &[("path", "package/a")]),
                pax(b'x', &[("path", "package/b")]),
                member("c", b'0', b""),
            ],
            Rule::Header,
        ),
        (
            "global path",
            vec![pax(b'g', &[("path", "package/a")]), manifest()],
            Rule::Header,
        ),
        (
            "sparse",
            vec![pax(b'x', &[("GNU.sparse.name", "a")]), manifest()],
            Rule::Header,
        ),
        (
            "left over",
            vec![manifest(), pax(b'x', &[("path", "package/a")])],
            Rule::Header,
        ),
        (
            "gnu and pax",
            vec![
                member("././@LongLink", b'L', b"package/a\0"),
                pax(b'x', &[("path", "package/b")]),
                member("c", b'0', b""),
            ],
            Rule::Header,
        ),
        ("binary size", vec![binary_size.to_vec()], Rule::Header),
        (
            "old type",
            vec![member("package/a", b'7', b"x")],
            Rule::Header,
        ),
        (
            "device",
            vec![member("package/null", b'3', b"")],
            Rule::Special,
        ),
        (
            "after the end",
            vec![
                manifest(),
                vec![0; 512],
                member("package/late.js", b'0', b"x"),
            ],
            Rule::Junk,
        ),
    ];
    for (name, members, rule) in cases {
        let found = denied(&tarball(&members), &Form::Package);
        assert!(found.contains(&rule), "{name}: {found:?}");
    }
    let good = tarball(&[manifest()]);
    assert_eq!(
        denied(&[good.as_slice(), &good].concat(), &Form::Package),
        [Rule::Junk]
    );
    assert_eq!(
        denied(&[good.as_slice(), b"x"].concat(), &Form::Package),
        [Rule::Junk]
    );
    assert_eq!(
        denied(&good[..good.len() - 9], &Form::Package),
        [Rule::Damaged]
    );
}

#[test]
fn the_same_file_twice_is_only_unusual() {
    let twice = tarball(&[manifest(), member("package/./package.json", b'0', b"{}")]);
    assert_eq!(denied(&twice, &Form::Package), []);
    assert_eq!(warned(&twice, &Form::Package), [Rule::Duplicate]);
}

#[test]
fn links_that_clients_follow_stay_inside() {
    let form = Form::Tarball;
    let inside = tarball(&[
        member("demo/a", b'0', b"x"),
        link("demo/b", b'2', "a"),
        link("demo/c", b'1', "demo/a"),
    ]);
    assert_eq!(denied(&inside, &form), []);
    for (name, members) in [
        ("absolute", vec![link("demo/b", b'2', "/etc/passwd")]),
        ("up", vec![link("demo/b", b'2', "../../x")]),
        (
            "below a link",
            vec![link("demo/b", b'2', "."), member("demo/b/x", b'0', b"x")],
        ),
        (
            "hard link to nothing",
            vec![
                link("demo/b", b'1', "demo/later"),
                member("demo/later", b'0', b"x"),
            ],
        ),
    ] {
        assert_eq!(denied(&tarball(&members), &form), [Rule::Link], "{name}");
    }
}

#[test]
fn a_crate_stays_in_its_folder() {
    let form = Form::of("cargo", "demo-1.0.0.crate").unwrap();
    let good = tarball(&[member("demo-1.0.0/Cargo.toml", b'0', b"[package]")]);
    assert_eq!(denied(&good, &form), []);
    let bad = tarball(&[
        member("demo-1.0.0/Cargo.toml", b'0', b""),
        member("other-1.0.0/build.rs", b'0', b"x"),
    ]);
    assert_eq!(denied(&bad, &form), [Rule::Path]);
}

// ---------- deb ----------

fn deb(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, data) in members {
        out.extend(
            format!(
                "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
                0,
                0,
                0,
                "100644",
                data.len()
            )
            .as_bytes(),
        );
        out.extend(data);
        if data.len() % 2 == 1 {
            out.push(b'\n');
        }
    }
    out
}

#[test]
fn a_deb_has_three_members_and_two_good_tarballs() {
    let version = ("debian-binary", b"2.0\n".to_vec());
    let control = (
        "control.tar.gz",
        tarball(&[member("./control", b'0', b"Package: demo\n")]),
    );
    let system = plain_tar(&[
        member("./usr/bin/demo", b'0', b"x"),
        link("./usr/bin/alias", b'2', "/etc/alternatives/demo"),
    ]);
    let data = (
        "data.tar.zst",
        zstd::encode_all(system.as_slice(), 3).unwrap(),
    );
    let good = [version.clone(), control.clone(), data.clone()];
    assert_eq!(
        lint::check(&mut Cursor::new(deb(&good)), &Form::Debian).unwrap(),
        []
    );
    let second = (
        "data.tar.gz",
        tarball(&[member("./usr/bin/evil", b'0', b"x")]),
    );
    let leaves = ("data.tar.gz", tarball(&[member("./../x", b'0', b"x")]));
    for (name, members, rule) in [
        (
            "two data archives",
            vec![version.clone(), control.clone(), data.clone(), second],
            Rule::Junk,
        ),
        (
            "order",
            vec![version.clone(), data.clone(), control.clone()],
            Rule::Junk,
        ),
        (
            "leaves",
            vec![version.clone(), control.clone(), leaves],
            Rule::Path,
        ),
        ("no data", vec![version, control], Rule::Damaged),
    ] {
        assert_eq!(denied(&deb(&members), &Form::Debian), [rule], "{name}");
    }
}

// ---------- for imports ----------

/// A good and a bad archive of one ecosystem's only release `demo` 1.0.0, and the code of what is wrong.
pub(crate) struct Sample {
    pub(crate) ecosystem: &'static str,
    pub(crate) good: Vec<u8>,
    pub(crate) bad: Vec<u8>,
    pub(crate) code: &'static str,
}

/// One of each form.
pub(crate) fn samples() -> Vec<Sample> {
    let crate_file = ("demo-1.0.0/Cargo.toml", b"[package]".as_slice());
    let system = |path| {
        let data = ("data.tar.gz", tarball(&[member(path, b'0', b"x")]));
        let control = tarball(&[member("./control", b'0', b"Package: demo\n")]);
        let version = ("debian-binary", b"2.0\n".to_vec());
        deb(&[version, ("control.tar.gz", control), data])
    };
    let package = member(
        "package/package.json",
        b'0',
        b"{\"name\":\"demo\",\"version\":\"1.0.0\"}",
    );
    vec![
        Sample {
            ecosystem: "pypi",
            good: zip(&wheel(&demo())),
            bad: with(zipped("demo/__init__.py", b"x = 2\n")),
            code: "lint-duplicate",
        },
        Sample {
            ecosystem: "npm",
            good: tarball(std::slice::from_ref(&package)),
            bad: tarball(&[package, member("package/../../x", b'0', b"x")]),
            code: "lint-path",
        },
        Sample {
            ecosystem: "cargo",
            good: tarball(&[member(crate_file.0, b'0', crate_file.1)]),
            bad: tarball(&[
                member(crate_file.0, b'0', crate_file.1),
                member("other-1.0.0/build.rs", b'0', b"x"),
            ]),
            code: "lint-path",
        },
        Sample {
            ecosystem: "debian",
            good: system("./usr/bin/demo"),
            bad: system("./../x"),
            code: "lint-path",
        },
    ]
}
