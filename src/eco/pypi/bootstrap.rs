//! Bootstrap for a host whose Python has no pip: `bootstrap/python.sh` makes an environment with pip, and uv where the
//! bundle has it, with checksums pinned in the script; `bootstrap/python.html` says how.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::base::package::EcosystemId;
use crate::base::platform::Platform;
use crate::eco::pypi::filename::{Filename, Wheel};
use crate::eco::pypi::name::Name;
use crate::eco::pypi::{pins, records, repo};
use crate::eco::{BundleView, EcoError, RepoContent, RepoFile, RepoView};
use crate::lock::LockedPackage;

/// The script's template; the words in `@…@` are filled in.
const SCRIPT: &str = include_str!("python.sh");
/// The page's template.
const PAGE: &str = include_str!("bootstrap.html");

/// Platforms with the machine names that `uname -m` has for them.
const MACHINES: [(Platform, &str); 2] = [
    (Platform::LinuxAmd64, "x86_64 | amd64"),
    (Platform::LinuxArm64, "aarch64 | arm64"),
];

/// The script and the page, relative to `bootstrap/`; nothing when the union carries no pip that runs anywhere.
pub fn bootstrap(view: &RepoView<'_>) -> Result<Vec<RepoFile>, EcoError> {
    let Some(pip) = find(view, "pip", |wheel| wheel.platforms == ["any"])? else {
        return Ok(Vec::new());
    };
    let script = SCRIPT
        .replace("@BASE_URL@", &shell_word(view.base_url))
        .replace("@PIP@", &pip.words())
        .replace("@UV@", &uv(view)?);
    let page = PAGE
        .replace("@BASE_URL@", &repo::html(view.base_url))
        .replace("@PIP_VERSION@", &repo::html(&pip.version))
        .replace("@PINS@", &pins_list(view));
    let file = |path: &str, text: String| RepoFile {
        path: path.to_owned(),
        content: RepoContent::Bytes(text.into_bytes()),
    };
    Ok(vec![file("python.sh", script), file("python.html", page)])
}

/// A wheel of the index.
struct Tool {
    version: String,
    path: String,
    file: String,
    sha256: String,
}

impl Tool {
    /// Version, path, file name and digest as words of the script.
    fn words(&self) -> String {
        let words = [&self.version, &self.path, &self.file, &self.sha256];
        words.map(|word| shell_word(word)).join(" ")
    }
}

/// The wheel of the newest bundle that has one which fits.
fn find(
    view: &RepoView<'_>,
    project: &str,
    fits: impl Fn(&Wheel) -> bool,
) -> Result<Option<Tool>, EcoError> {
    let pypi = EcosystemId::pypi();
    for bundle in view
        .bundles
        .iter()
        .rev()
        .filter(|bundle| !bundle.records.is_empty())
    {
        let records = records::parse(bundle.records)?;
        let named = |p: &&LockedPackage| p.name == project && p.is_carried();
        let mut packages: Vec<_> = bundle.lock.of(&pypi).filter(named).collect();
        packages.sort_by_key(|package| numbers(&package.version));
        for package in packages.into_iter().rev() {
            let name = repo::name_of(package)?;
            for (file, about) in repo::carried(package, &records)? {
                let parsed = Filename::parse(file, &name).ok();
                let wheel = parsed.as_ref().and_then(Filename::wheel);
                if wheel.is_some_and(&fits) {
                    return Ok(Some(tool(&name, package, file, &about.sha256.hex())));
                }
            }
        }
    }
    Ok(None)
}

fn tool(name: &Name, package: &LockedPackage, file: &str, sha256: &str) -> Tool {
    Tool {
        version: package.version.clone(),
        path: repo::file_url("", name, file)
            .trim_start_matches('/')
            .to_owned(),
        file: file.to_owned(),
        sha256: sha256.to_owned(),
    }
}

/// The numbers of a version in their order: enough to put releases of one tool in a row.
fn numbers(version: &str) -> Vec<u64> {
    let parts = version.split(|c: char| !c.is_ascii_digit());
    parts.filter_map(|part| part.parse().ok()).collect()
}

/// The lines that install uv, by machine; nothing when no bundle has it.
fn uv(view: &RepoView<'_>) -> Result<String, EcoError> {
    let mut lines = String::new();
    for (platform, machines) in MACHINES {
        // A wheel for glibc: what a host with musl gets is not known here.
        let glibc = |wheel: &Wheel| {
            wheel
                .platforms
                .iter()
                .any(|tag| tag.starts_with("manylinux"))
        };
        let fits = |wheel: &Wheel| glibc(wheel) && wheel.serves(platform);
        if let Some(tool) = find(view, "uv", fits)? {
            // Writing to a String cannot fail.
            if writeln!(lines, "{machines}) put uv {} ;;", tool.words()).is_err() {}
        }
    }
    Ok(if lines.is_empty() {
        lines
    } else {
        format!("case $(uname -m) in\n{lines}esac\n")
    })
}

/// For each channel's newest bundle with Python environments: how to install exactly what it pins.
fn pins_list(view: &RepoView<'_>) -> String {
    let mut newest: BTreeMap<&str, &BundleView<'_>> = BTreeMap::new();
    for bundle in view.bundles {
        let later = |old: &&BundleView<'_>| (bundle.epoch, bundle.serial) > (old.epoch, old.serial);
        if newest.get(bundle.channel).is_none_or(later) {
            newest.insert(bundle.channel, bundle);
        }
    }
    let mut text = String::new();
    for (channel, bundle) in newest {
        for ((install, platform), folder) in pins::folders(bundle.lock) {
            let (channel, serial) = (repo::html(channel), bundle.serial);
            let url = format!(
                "{}/pins/{channel}/{serial}/{folder}",
                repo::html(view.base_url)
            );
            // Writing to a String cannot fail.
            if writeln!(
                text,
                "<h3>{channel} {serial}, install {install}, {platform}</h3>\n<pre>curl -fsSO {url}/requirements.txt\n\
                 pip install --require-hashes -r requirements.txt</pre>"
            )
            .is_err()
            {}
        }
    }
    text
}

/// `text` as one word of POSIX shell.
fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
