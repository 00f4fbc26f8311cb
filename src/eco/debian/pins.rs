//! Exact pins of Debian packages: for each platform the list that `apt-get install $(cat packages.txt)` takes, and
//! preferences that hold apt to these versions (`apt_preferences(5)`).

use crate::base::package::EcosystemId;
use crate::base::platform::Platform;
use crate::eco::debian::records::{self, DebianRecords};
use crate::eco::{
    BundleView, EcoError, ExportForm, ExportRequest, ExportedFile, RepoContent, RepoFile,
};

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

/// Forms that `stage export` knows.
pub const FORMS: &[ExportForm] = &[ExportForm {
    name: "apt-pins",
    about: "packages.txt for `apt-get install $(cat packages.txt)`, and apt preferences that hold these versions",
}];

/// What `stage export` writes: list and preferences of one install and platform.
pub fn export(request: &ExportRequest<'_>) -> Result<Vec<ExportedFile>, EcoError> {
    let fail = |reason: String| EcoError::Export {
        ecosystem: EcosystemId::debian(),
        reason,
    };
    let records = records::parse(request.records)?;
    let install = records.installs.get(&request.install);
    let install =
        install.ok_or_else(|| fail(format!("there is no install {}", request.install)))?;
    let found = match request.platform {
        Some(platform) => install.packages.get(&platform),
        None if install.packages.len() == 1 => install.packages.values().next(),
        None => {
            let known: Vec<&str> = install.packages.keys().map(|p| p.as_str()).collect();
            let known = known.join(", ");
            return Err(fail(format!(
                "the lock has {known}; name one with --platform"
            )));
        }
    };
    let packages = found.ok_or_else(|| fail("nothing is carried for that platform".to_owned()))?;
    let file = |name: &str, text: String, optional: bool| ExportedFile {
        name: name.to_owned(),
        text,
        optional,
    };
    Ok(vec![
        file("packages.txt", list(packages), false),
        file("preferences", preferences(packages), true),
    ])
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
            out.push((format!("{folder}/packages.txt"), list(packages)));
            out.push((format!("{folder}/preferences"), preferences(packages)));
        }
    }
    out
}

/// `name=version` lines.
fn list(packages: &[String]) -> String {
    let mut list = packages.join("\n");
    list.push('\n');
    list
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
