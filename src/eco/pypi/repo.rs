//! The Python index of the internal repository, as files (PyPA "Simple repository API"): `pypi/simple/<name>/index.html`
//! (PEP 503) and `index.json` (PEP 691) describe a project's files, which stand at `pypi/files/<name>/<file>`, each with
//! its core metadata beside it as `<file>.metadata` (PEP 658). Everything comes from verified records; no archive is
//! opened. Links are relative, so that a page is right wherever the tree is served.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::base::digest::{Digest, UpstreamChecksum};
use crate::base::package::EcosystemId;
use crate::base::text::quoted;
use crate::eco::pypi::name::Name;
use crate::eco::pypi::records::{self, PypiFile};
use crate::eco::{BundleView, EcoError, RepoContent, RepoFile, RepoView};
use crate::lock::LockedPackage;

/// Version of the API that pages follow (PEP 629): the files' sizes and the versions are part of 1.1 (PEP 700).
const API: &str = "1.1";
/// The version without sizes.
const API_WITHOUT_SIZES: &str = "1.0";

/// The index for the union of bundles. Where two bundles describe the same file, the newer bundle wins; the same file
/// with other bytes is [`EcoError::Conflict`].
pub fn render(view: &RepoView<'_>) -> Result<Vec<RepoFile>, EcoError> {
    let mut union = Union::default();
    for bundle in view.bundles {
        union.add(bundle)?;
    }
    if union.projects.is_empty() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    let mut put = |path: String, content: RepoContent| files.push(RepoFile { path, content });
    let names: Vec<&Name> = union.projects.keys().collect();
    let (html, json) = (list_html(&names), list_json(&names));
    put(
        "pypi/simple/index.html".to_owned(),
        RepoContent::Bytes(html),
    );
    put(
        "pypi/simple/index.json".to_owned(),
        RepoContent::Bytes(json),
    );
    for (name, found) in &union.projects {
        let folder = format!("pypi/simple/{name}");
        let (html, json) = (project_html(name, found), project_json(name, found));
        put(format!("{folder}/index.html"), RepoContent::Bytes(html));
        put(format!("{folder}/index.json"), RepoContent::Bytes(json));
        for (file, one) in found {
            let path = format!("pypi/files/{}", super::file_path(name, file));
            if let Some(text) = &one.metadata {
                let bytes = text.clone().into_bytes();
                put(format!("{path}.metadata"), RepoContent::Bytes(bytes));
            }
            put(path, RepoContent::Blob(one.about.sha256));
        }
    }
    Ok(files)
}

/// The files of one project by name.
type Files = BTreeMap<String, Found>;

/// A file and the bundle that brought its bytes first.
struct Found {
    version: String,
    about: PypiFile,
    metadata: Option<String>,
    from: String,
}

#[derive(Default)]
struct Union {
    projects: BTreeMap<Name, Files>,
}

impl Union {
    fn add(&mut self, bundle: &BundleView<'_>) -> Result<(), EcoError> {
        if bundle.records.is_empty() {
            return Ok(());
        }
        let records = records::parse(bundle.records)?;
        let from = format!("{} {}", bundle.channel, bundle.serial);
        let pypi = EcosystemId::pypi();
        for package in bundle.lock.of(&pypi).filter(|p| p.is_carried()) {
            let name = name_of(package)?;
            for (file, about) in carried(package, &records)? {
                if !bundle.artifacts.contains_key(&about.sha256.hex()) {
                    let file = quoted(file);
                    return Err(records::unreadable(&format_args!("{file} was not carried")));
                }
                let new = Found {
                    version: package.version.clone(),
                    about: about.clone(),
                    metadata: records.metadata_of(about).map(str::to_owned),
                    from: from.clone(),
                };
                let known = self.projects.entry(name.clone()).or_default();
                put(known, file, new)?;
            }
        }
        Ok(())
    }
}

/// The project of a locked package.
pub fn name_of(package: &LockedPackage) -> Result<Name, EcoError> {
    let name: Name = package.name.parse().map_err(|e| records::unreadable(&e))?;
    if name.as_str() == package.name {
        Ok(name)
    } else {
        let name = quoted(&package.name);
        Err(records::unreadable(&format_args!(
            "{name} is not normalized"
        )))
    }
}

/// The files of a locked package with what the records say of them: that is there, and names the same bytes.
pub fn carried<'a>(
    package: &'a LockedPackage,
    records: &'a records::PypiRecords,
) -> Result<Vec<(&'a str, &'a PypiFile)>, EcoError> {
    let id = package.id();
    let release = records.get(&id);
    let found = package.artifacts.iter().map(|artifact| {
        let about = release.and_then(|release| release.files.get(&artifact.file));
        let same = |about: &&PypiFile| artifact.checksum == UpstreamChecksum::Sha256(about.sha256);
        let about = about.filter(same).ok_or_else(|| {
            let file = quoted(&artifact.file);
            records::unreadable(&format_args!(
                "{file} of {} is not in them",
                quoted(&id.to_string())
            ))
        })?;
        Ok((artifact.file.as_str(), about))
    });
    found.collect()
}

fn put(files: &mut Files, file: &str, new: Found) -> Result<(), EcoError> {
    match files.get_mut(file) {
        None => {
            files.insert(file.to_owned(), new);
        }
        Some(old) if old.about.sha256 == new.about.sha256 => {
            let known = old.metadata.take();
            let key = old.about.metadata.take();
            let from = std::mem::take(&mut old.from);
            *old = Found { from, ..new };
            if old.metadata.is_none() {
                old.metadata = known;
                old.about.metadata = key;
            }
        }
        Some(old) => {
            return Err(EcoError::Conflict {
                ecosystem: EcosystemId::pypi(),
                file: quoted(file),
                older: old.from.clone(),
                newer: new.from,
            });
        }
    }
    Ok(())
}

/// The API version of a project's pages.
fn api(files: &Files) -> &'static str {
    if files.values().all(|found| found.about.size.is_some()) {
        API
    } else {
        API_WITHOUT_SIZES
    }
}

fn page(api: &str, title: &str, body: &str) -> Vec<u8> {
    let title = html(title);
    format!(
        "<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"pypi:repository-version\" content=\"{api}\">\n<title>{title}</title>\n</head>\n\
         <body>\n<h1>{title}</h1>\n{body}</body>\n</html>\n"
    )
    .into_bytes()
}

fn list_html(names: &[&Name]) -> Vec<u8> {
    let line = |name: &&Name| format!("<a href=\"{name}/\">{name}</a><br>\n");
    let lines: Vec<String> = names.iter().map(line).collect();
    page(API, "Simple index", &lines.concat())
}

fn list_json(names: &[&Name]) -> Vec<u8> {
    let projects: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
    let list = json!({"meta": {"api-version": API}, "projects": projects});
    crate::base::json::canonical(&list)
}

/// Path of a file below `pypi/files/` as URLs have it. A file name has nothing that a URL must escape; a `+` is escaped
/// since some proxies take it for a space.
fn url_path(name: &Name, file: &str) -> String {
    super::file_path(name, file).replace('+', "%2B")
}

/// Address of a file in the repository.
pub fn file_url(base_url: &str, name: &Name, file: &str) -> String {
    format!("{base_url}/pypi/files/{}", url_path(name, file))
}

/// Address of a file, relative to its project's page.
fn href(name: &Name, file: &str) -> String {
    format!("../../files/{}", url_path(name, file))
}

fn project_html(name: &Name, files: &Files) -> Vec<u8> {
    let mut body = String::new();
    for (file, found) in files {
        let mut attributes = String::new();
        let mut attribute = |key: &str, value: &str| {
            attributes.extend([" ", key, "=\"", &html(value), "\""]);
        };
        let target = format!("{}#sha256={}", href(name, file), found.about.sha256.hex());
        attribute("href", &target);
        if let Some(python) = &found.about.requires_python {
            attribute("data-requires-python", python);
        }
        if let Some(reason) = &found.about.yanked {
            attribute("data-yanked", reason);
        }
        if let Some(text) = &found.metadata {
            let sum = format!("sha256={}", Digest::of(text.as_bytes()).hex());
            attribute("data-core-metadata", &sum);
            attribute("data-dist-info-metadata", &sum);
        }
        body.extend(["<a", &attributes, ">", &html(file), "</a><br>\n"]);
    }
    page(api(files), &format!("Links for {name}"), &body)
}

fn project_json(name: &Name, files: &Files) -> Vec<u8> {
    let with_sizes = api(files) == API;
    let entry = |(file, found): (&String, &Found)| {
        let about = &found.about;
        let mut entry = Map::new();
        entry.insert("filename".to_owned(), file.as_str().into());
        entry.insert("url".to_owned(), href(name, file).into());
        entry.insert("hashes".to_owned(), json!({"sha256": about.sha256.hex()}));
        if let Some(python) = &about.requires_python {
            entry.insert("requires-python".to_owned(), python.as_str().into());
        }
        // `true` stands for a file that was taken back without a reason.
        if let Some(reason) = &about.yanked {
            let word = if reason.is_empty() {
                true.into()
            } else {
                reason.as_str().into()
            };
            entry.insert("yanked".to_owned(), word);
        }
        if let Some(text) = &found.metadata {
            let sums = json!({"sha256": Digest::of(text.as_bytes()).hex()});
            entry.insert("core-metadata".to_owned(), sums.clone());
            entry.insert("dist-info-metadata".to_owned(), sums);
        }
        if let (true, Some(size)) = (with_sizes, about.size) {
            entry.insert("size".to_owned(), size.into());
        }
        if let (true, Some(time)) = (with_sizes, &about.upload_time) {
            entry.insert("upload-time".to_owned(), time.as_str().into());
        }
        Value::from(entry)
    };
    let entries: Vec<Value> = files.iter().map(entry).collect();
    let mut project = json!({"meta": {"api-version": api(files)}, "name": name, "files": entries});
    if let (true, Some(project)) = (with_sizes, project.as_object_mut()) {
        let mut versions: Vec<&str> = files.values().map(|f| f.version.as_str()).collect();
        versions.sort_unstable();
        versions.dedup();
        project.insert("versions".to_owned(), json!(versions));
    }
    crate::base::json::canonical(&project)
}

/// `text` inside an HTML element or a double-quoted attribute.
pub(crate) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#x27;"),
            // A control character has no reference in HTML; none of them means anything here.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
