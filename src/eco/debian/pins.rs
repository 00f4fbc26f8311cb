//! Exact pins of Debian packages: for each platform the list that `apt-get install $(cat packages.txt)` takes, and
//! preferences that hold apt to these versions (`apt_preferences(5)`).

use crate::base::platform::Platform;
use crate::eco::debian::records::{self, DebianRecords};
use crate::eco::{BundleView, EcoError, RepoContent, RepoFile};

/// The pins of one bundle, relative to `pins/<channel>/<serial>/`.
pub fn pins(bundle: &BundleView<'_>) -> Result<Vec<RepoFile>, EcoError> {
    if bundle.records.is_empty() {
        return Ok(Vec::new());
    }
    let records = records::parse(bundle.records)?;
    let files = files(&records).into_iter().map(|(path, text)| RepoFile {
        path: format!("debian/{path}"),
        content: RepoContent::Bytes(text.into_bytes()),
    });
    Ok(files.collect())
}

/// Every file with the path that it gets: `<platform>/packages.txt` and `<platform>/preferences`, with `-` for the
/// platform's slash; below `<install>/` when there are several installs.
pub fn files(records: &DebianRecords) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (number, install) in &records.installs {
        let folder = if records.installs.len() > 1 {
            format!("{number}/")
        } else {
            String::new()
        };
        for (platform, packages) in &install.packages {
            let folder = format!("{folder}{}", folder_of(*platform));
            let mut list = packages.join("\n");
            list.push('\n');
            out.push((format!("{folder}/packages.txt"), list));
            out.push((format!("{folder}/preferences"), preferences(packages)));
        }
    }
    out
}

fn folder_of(platform: Platform) -> String {
    platform.as_str().replace('/', "-")
}

/// Above 1000: apt goes back to these versions where it has newer ones.
fn preferences(packages: &[String]) -> String {
    let mut text = String::new();
    for package in packages {
        if let Some((name, version)) = package.split_once('=') {
            let pin = format!("Package: {name}\nPin: version {version}\nPin-Priority: 1001\n\n");
            text.push_str(&pin);
        }
    }
    text
}
