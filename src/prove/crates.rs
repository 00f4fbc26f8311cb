//! Crates: `cargo install` of what was asked for; of a lock file of the user's, every crate is fetched, and the workspace is
//! built where its sources are at hand.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::Deserialize;

use crate::base::package::EcosystemId;
use crate::eco::EcoError;
use crate::eco::cargo::{self, pins, records};
use crate::fs::{self, FsError};
use crate::prove::clients::Planner;

/// What every script begins with.
const CARGO: &str = "command -v cargo > /dev/null || skip 'there is no cargo here'\n\
    command -v cc > /dev/null || skip 'there is no linker (cc) here'\n\
    echo \"client cargo $(cargo --version | cut -d ' ' -f 2) host\"\n";

/// Most files of a workspace that are copied.
const MOST: usize = 100_000;
/// Largest file of one, in bytes.
const LARGEST: u64 = 1 << 30;
/// Ends of names of what no build needs and nobody else should see.
const KEPT_BACK: [&str; 5] = [".key", ".pem", ".p12", ".pfx", ".stage"];

/// Copies the sources of a workspace: no hidden files, nothing that was built, no keys and no bundles. Links are left out.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), FsError> {
    let mut folders = vec![(from.to_owned(), to.to_owned())];
    let mut left = MOST;
    while let Some((from, to)) = folders.pop() {
        fs::create_dir_all(&to, 0o755)?;
        for path in fs::list(&from)? {
            let name = path.file_name().unwrap_or_default().to_owned();
            let text = name.to_string_lossy();
            let kept = text.starts_with('.') || text == "target";
            if kept || KEPT_BACK.iter().any(|end| text.ends_with(end)) || left == 0 {
                continue;
            }
            let about = fs::symlink_metadata(&path)?;
            if about.is_dir() {
                folders.push((path, to.join(name)));
            } else if about.is_file() {
                left -= 1;
                let mode = 0o644 | (about.permissions().mode() & 0o111);
                fs::write_unsynced(&to.join(name), &fs::read(&path, LARGEST)?, mode)?;
            }
        }
    }
    Ok(())
}

/// The folder of a workspace inside, by the number of its install.
pub(super) fn workspace(number: u32) -> String {
    format!("/stage/workspace-{number}")
}

pub(super) fn plan(planner: &mut Planner<'_>) -> Result<(), EcoError> {
    let Some(bytes) = planner.request.records.get(&EcosystemId::cargo()) else {
        return Ok(());
    };
    let records = records::parse(bytes)?;
    let paths = pins::lockfiles(&records);
    for (number, (lockfile, (path, text))) in records.lockfiles.iter().zip(&paths).enumerate() {
        match &lockfile.of {
            Some(of) if cargo::is_name(&of.name) => {
                let (name, version) = (&of.name, &of.version);
                let script = format!(
                    "{CARGO}cargo install --locked --root \"$HOME/.local\" {name}@{version}\n"
                );
                let title = format!("cargo: cargo install {name}@{version}");
                planner.add(EcosystemId::cargo(), title, &script);
            }
            Some(_) => {}
            None => locked(planner, number, lockfile.install, path, text),
        }
    }
    Ok(())
}

/// A lock file of the user's.
fn locked(planner: &mut Planner<'_>, number: usize, install: u32, path: &str, text: &str) {
    let cargo = EcosystemId::cargo();
    planner
        .files
        .push((format!("crates-{number}"), needs(text)));
    let fetch = format!("fetch {}/cargo/{path} Cargo.lock\n", planner.pins);
    let all = format!(
        "{CARGO}mkdir -p crates-{number}\ncd crates-{number}\n{fetch}cp Cargo.lock pinned\ncp /stage/crates-{number} Cargo.toml\n: > lib.rs\n\
         cargo fetch\nfor file in pinned Cargo.lock; do grep '^checksum = ' $file | sort > $file.sums; done\n\
         cmp pinned.sums Cargo.lock.sums || {{ echo 'what was fetched is not what is locked'; exit 1; }}\n\
         echo \"note $(grep -c . pinned.sums) crates fetched, each with its checksum\"\n"
    );
    let title = format!("cargo: cargo fetch of every crate in {path}");
    planner.add(cargo.clone(), title, &all);
    let folder = workspace(install);
    let build = if planner.request.workspaces.contains_key(&install) {
        format!(
            "{CARGO}mkdir -p workspace-{number}\ncd workspace-{number}\n{fetch}\
             cmp Cargo.lock {folder}/Cargo.lock || {{ echo 'the lock file of the workspace is not the one that was bundled'; exit 1; }}\n\
             cp -R {folder}/. .\n\
             cargo fetch --locked\ncargo build --locked --offline\n"
        )
    } else {
        "skip 'the sources of the workspace are not here: run it where the manifest is, or give -f'\n"
            .to_owned()
    };
    let title = format!("cargo: cargo build --locked --offline with {path}");
    planner.add(cargo, title, &build);
}

/// A `Cargo.lock`, as far as it matters here.
#[derive(Deserialize)]
struct Locked {
    #[serde(default)]
    package: Vec<Crate>,
}

#[derive(Deserialize)]
struct Crate {
    name: String,
    version: String,
    #[serde(default)]
    checksum: Option<String>,
}

/// A `Cargo.toml` that needs every crate of a lock file in its version. Sources of a workspace have no checksum.
fn needs(text: &str) -> String {
    let locked: Locked = toml::from_str(text).unwrap_or(Locked {
        package: Vec::new(),
    });
    let mut out = "[package]\nname = \"stage-scratch\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\
        [lib]\npath = \"lib.rs\"\n[dependencies]\n"
        .to_owned();
    let crates = locked.package.iter().filter(|one| one.checksum.is_some());
    for (number, one) in crates.enumerate() {
        let version = one.version.split('+').next().unwrap_or_default();
        let plain = |text: &str| {
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        if plain(&one.name) && plain(version) {
            let line = format!(
                "c{number} = {{ package = \"{}\", version = \"={version}\", default-features = false }}\n",
                one.name
            );
            out.push_str(&line);
        }
    }
    out
}
