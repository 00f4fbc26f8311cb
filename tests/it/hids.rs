//! The baseline of what a bundle installs, against the real npm: every file that it names is there, and nothing else is.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;
use stage::base::digest::Digest;

use crate::desk::{Desk, ran};
use crate::packages::tarball;
use crate::walk::Registry;

/// Regular files below a folder, with their modes and digests as a baseline writes them.
fn installed(folder: &Path) -> BTreeMap<String, (String, String)> {
    let mut out = BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let about = path.symlink_metadata().unwrap();
            if about.is_dir() {
                left.push(path);
            } else if about.is_file() {
                let mode = format!("{:04o}", about.permissions().mode() & 0o7777);
                let digest = Digest::of(&std::fs::read(&path).unwrap()).hex();
                out.insert(path.to_str().unwrap().to_owned(), (mode, digest));
            }
        }
    }
    out
}

/// The packet of a bundle with one package, of which the archive of another one is accepted as it is.
fn packet(desk: &Desk, url: &str, (package, accepted): (&str, &str), prefix: &str) {
    desk.write(
        "stage.toml",
        format!(
            "[target]\nplatforms = [\"linux/amd64\"]\n[npm]\nregistry = \"{url}/\"\npackages = [\"{package}@1.0.0\"]\n\
             [runtime]\nuser = \"svc-claw\"\nprefix = \"{prefix}\"\n"
        ),
    );
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    desk.stage("resolve").ok();
    let accepted = format!("--accept-archive npm:{accepted}@1.0.0");
    desk.stage(&format!("bundle --key k.pem {accepted} -o it.stage"))
        .ok();
    desk.stage("ticket it.stage --trust root.json -o packet")
        .ok();
}

/// Rows of a table by their first cell.
fn rows(desk: &Desk, file: &str) -> BTreeMap<String, Vec<String>> {
    let bytes = desk.read(&format!("packet/hids/linux-amd64/{file}"));
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let rows = reader.records().map(|row| row.unwrap());
    rows.map(|row| (row[0].to_owned(), row.iter().map(str::to_owned).collect()))
        .collect()
}

#[test]
fn npm_installs_what_the_baseline_says_and_nothing_else() {
    let desk = Desk::new();
    let registry = Registry::new();
    let bin = json!({"bin": {"run": "./bin/run.js", "windows": "bin/windows.js"}});
    let files = [
        ("bin/run.js", "#!/usr/bin/env node\n1\n"),
        ("bin/windows.js", "#!/usr/bin/env node\r\n1\r\n"),
        ("lib/.gitignore", "renamed\n"),
        ("both/.npmignore", "kept\n"),
        ("both/.gitignore", "dropped\n"),
        ("lib/a b@+.js", "odd name\n"),
    ];
    registry.publish_files(("demo", "1.0.0"), bin, &files);
    let nested = json!({"dependencies": {"demo": "1.0.0"}});
    registry.publish_files(("@scope/user", "2.0.0"), nested, &[("index.js", "2\n")]);
    let prefix = desk.path("claw");
    std::fs::create_dir(&prefix).unwrap();
    let prefix = prefix.to_str().unwrap().to_owned();
    let url = registry.server.url();
    desk.write(
        "stage.toml",
        format!(
            "[target]\nplatforms = [\"linux/amd64\"]\n[npm]\nregistry = \"{url}/\"\npackages = [\"@scope/user@2.0.0\"]\n\
             [runtime]\nuser = \"svc-claw\"\nprefix = \"{prefix}\"\n"
        ),
    );
    desk.key("k");
    desk.stage("trust init --key k.pem -o root.json").ok();
    desk.stage("resolve").ok();
    desk.stage("bundle --key k.pem -o it.stage").ok();
    desk.stage("ticket it.stage --trust root.json -o packet")
        .ok();

    let npm = format!(
        "install --prefix {prefix} --registry {url}/ --no-audit --no-fund --umask 18 @scope/user@2.0.0"
    );
    ran(desk.command("npm", &npm)).ok();
    let found = installed(&Path::new(&prefix).join("node_modules"));
    let baseline = rows(&desk, "baseline.csv");
    for (path, row) in &baseline {
        let (mode, digest) = found
            .get(path)
            .unwrap_or_else(|| panic!("{path} is not there"));
        assert_eq!((&row[2], &row[3]), (mode, digest), "{path}");
    }
    let listed: BTreeSet<&String> = baseline.keys().collect();
    let scripted: BTreeSet<String> = rows(&desk, "may-change.csv").into_keys().collect();
    assert!(scripted.is_empty());
    let more: Vec<&String> = found.keys().filter(|path| !listed.contains(path)).collect();
    let own = format!("{prefix}/node_modules/.package-lock.json");
    let windows = format!("{prefix}/node_modules/demo/bin/windows.js");
    assert_eq!(more, [&own], "nothing else is made");
    assert!(
        baseline.contains_key(&windows),
        "npm corrects its first line"
    );
    let made = rows(&desk, "made-at-install.csv");
    assert!(made.contains_key(&own));
    let run = format!("{prefix}/node_modules/demo/bin/run.js");
    assert!(rows(&desk, "executables.csv").contains_key(&run));
    assert!(!baseline.contains_key(&format!("{prefix}/node_modules/demo/both/.gitignore")));

    // The list for sha256sum is the same list, and notices one byte.
    let check = "-c --quiet packet/hids/linux-amd64/SHA256SUMS";
    ran(desk.command("sha256sum", check)).ok();
    std::fs::write(&run, "#!/usr/bin/env node\n2\n").unwrap();
    ran(desk.command("sha256sum", check)).refused(1, "1 computed checksum did NOT match");
}

#[test]
fn members_that_lead_elsewhere_are_named_and_listed_nowhere() {
    let desk = Desk::new();
    let registry = Registry::new();
    let manifest = json!({"name": "evil", "version": "1.0.0", "license": "MIT"});
    let text = manifest.to_string();
    let bytes = tarball(&[
        ("package.json", text.as_str()),
        ("fine.js", "1"),
        ("line\nbreak.js", "2"),
    ]);
    registry.publish_bytes("evil", "1.0.0", manifest, bytes);
    let url = registry.server.url();
    packet(&desk, &url, ("evil", "evil"), "/opt/claw");
    let listed: Vec<String> = rows(&desk, "baseline.csv").into_keys().collect();
    assert_eq!(
        listed,
        [
            "/opt/claw/node_modules/evil/fine.js",
            "/opt/claw/node_modules/evil/package.json"
        ]
    );
    let unknown = rows(&desk, "not-known.csv");
    let why = &unknown["npm evil@1.0.0"][1];
    assert!(why.contains("line\\u{a}break.js"), "{why}");
    for file in ["SHA256SUMS", "aide.db", "fapolicyd.trust", "behaviour.md"] {
        let bytes = desk.read(&format!("packet/hids/linux-amd64/{file}"));
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.contains("break.js"), "{file}");
    }
}

/// A member of a tarball.
enum In<'a> {
    File(u32, &'a str),
    Folder,
    HardLink(&'a str),
}

/// A tarball as npm takes it.
fn packed(members: &[(&str, In<'_>)]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (path, member) in members {
        let path = format!("package/{path}");
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_mode(0o644);
        match member {
            In::File(mode, text) => {
                header.set_mode(*mode);
                header.set_size(text.len() as u64);
                tar.append_data(&mut header, path, text.as_bytes()).unwrap();
            }
            In::Folder => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(0o755);
                tar.append_data(&mut header, path, std::io::empty())
                    .unwrap();
            }
            In::HardLink(to) => {
                header.set_entry_type(tar::EntryType::Link);
                let to = format!("package/{to}");
                tar.append_link(&mut header, path, to).unwrap();
            }
        }
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn published(registry: &Registry, name: &str, fields: serde_json::Value, more: &[(&str, In<'_>)]) {
    let mut manifest = json!({"name": name, "version": "1.0.0", "license": "MIT"});
    let fields = fields.as_object().unwrap().clone();
    manifest.as_object_mut().unwrap().extend(fields);
    let text = manifest.to_string();
    let mut members = vec![("package.json", In::File(0o644, &text))];
    members.extend(more.iter().map(|(path, member)| {
        let member = match member {
            In::File(mode, text) => In::File(*mode, text),
            In::Folder => In::Folder,
            In::HardLink(to) => In::HardLink(to),
        };
        (*path, member)
    }));
    registry.publish_bytes(name, "1.0.0", manifest, packed(&members));
}

/// What AIDE says, with an exit code of these bits: 1 added, 2 removed, 4 changed. The paths that differ, below `prefix`.
fn aide(desk: &Desk, name: &str, code: i32, prefix: &str) -> Vec<String> {
    let hids = desk.path("packet/hids/linux-amd64");
    let hids = hids.to_str().unwrap();
    let mut command = desk.command("aide", &format!("--check -c {hids}/{name}.conf -B"));
    command.arg(format!("@@define DBDIR {hids}"));
    let ran = ran(command);
    assert_eq!(ran.code, code, "{}{}", ran.stdout, ran.stderr);
    assert!(!ran.stdout.contains("different attributes"));
    let (summary, _) = ran
        .stdout
        .split_once("Detailed")
        .unwrap_or((&ran.stdout, ""));
    let paths = summary.lines().filter_map(|line| line.split_once(": /"));
    let paths = paths.map(|(_, path)| format!("/{path}"));
    let mut paths: Vec<String> = paths
        .filter_map(|path| Some(path.strip_prefix(prefix)?.to_owned()))
        .collect();
    paths.sort();
    paths
}

#[test]
fn aide_finds_nothing_after_an_install_and_then_exactly_what_was_touched() {
    use std::os::unix::fs::symlink;

    let desk = Desk::new();
    let registry = Registry::new();
    // As esbuild and openclaw: a script that replaces a command and removes a file.
    let script = "const fs=require('fs');fs.writeFileSync('bin/run','#!/bin/sh\\n');fs.unlinkSync('pending')";
    let fields = json!({
        "bin": {"run": "bin/run"},
        "scripts": {"postinstall": format!("node -e \"{script}\"")},
        "dependencies": {"inner": "1.0.0", "plain": "1.0.0"},
    });
    published(
        &registry,
        "scripted",
        fields,
        &[
            ("bin/run", In::File(0o644, "#!/usr/bin/env node\n")),
            ("pending", In::File(0o644, "")),
            ("kept.js", In::File(0o644, "1\n")),
        ],
    );
    let plain = json!({"bin": {"plain": "./cli.js", "gone": "not-there.js"}});
    published(
        &registry,
        "plain",
        plain,
        &[
            ("cli.js", In::File(0o644, "#!/usr/bin/env node\n1\n")),
            ("hard.js", In::HardLink("cli.js")),
            ("set-user-id", In::File(0o4755, "x")),
            ("empty/", In::Folder), // Which npm does not make.
            ("a/.gitignore/.gitignore", In::File(0o600, "x")),
        ],
    );
    let nothing: &[(&str, In<'_>)] = &[];
    published(&registry, "inner", json!({"dependencies": {}}), nothing);
    let prefix = desk.path("claw");
    std::fs::create_dir(&prefix).unwrap();
    let prefix = prefix.to_str().unwrap().to_owned();
    let url = registry.server.url();
    packet(&desk, &url, ("scripted", "plain"), &prefix);
    let npm = format!(
        "install --prefix {prefix} --registry {url}/ --no-audit --no-fund --umask 18 scripted@1.0.0"
    );
    ran(desk.command("npm", &npm)).ok();
    let modules = format!("{prefix}/node_modules/");
    let none: [&str; 0] = [];
    assert_eq!(aide(&desk, "aide", 0, &modules), none);
    let sums = "-c --quiet packet/hids/linux-amd64/SHA256SUMS";
    ran(desk.command("sha256sum", sums)).ok();
    // The other configuration shows what the script did.
    let did = aide(&desk, "aide-may-change", 6, &modules);
    assert_eq!(did, ["scripted/bin/run", "scripted/pending"]);
    let links = rows(&desk, "links.csv");
    assert_eq!(links[&format!("{modules}.bin/plain")][1], "../plain/cli.js");
    assert_eq!(links.len(), 2, "{links:?}");
    let baseline = rows(&desk, "baseline.csv");
    assert_eq!(baseline[&format!("{modules}plain/set-user-id")][2], "4755");

    let at = |path: &str| format!("{modules}{path}");
    symlink("/tmp", at("evil-package")).unwrap();
    symlink("/etc/passwd", at("plain/link.js")).unwrap();
    ran(desk.command("mkfifo", &at("plain/pipe"))).ok();
    std::fs::write(at("scripted/evil.js"), "1").unwrap();
    std::fs::remove_file(at(".bin/plain")).unwrap();
    symlink("/bin/sh", at(".bin/plain")).unwrap();
    std::fs::create_dir(at("new")).unwrap();
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(at("plain/a"), open).unwrap();
    std::fs::remove_file(at("inner/package.json")).unwrap();
    assert_eq!(
        aide(&desk, "aide", 7, &modules),
        [
            ".bin/plain",
            "evil-package",
            "inner/package.json",
            "new",
            "plain/a",
            "plain/link.js",
            "plain/pipe",
            "scripted/evil.js",
        ]
    );
}
