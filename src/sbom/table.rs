//! An SBOM as a table for spreadsheets, one row a component.

use crate::base::sheet::sheet;
use crate::sbom::document::{Document, Part, PartFile, Terms};
use crate::sbom::{BUNDLED_IN, UNKNOWN};

const TITLES: [&str; 18] = [
    "ecosystem",
    "name",
    "version",
    "purl",
    "supplier",
    "license declared",
    "license concluded",
    "copyright",
    "files",
    "bytes",
    "SHA-256",
    "SHA-512",
    "evidence",
    "platforms",
    "inside",
    "depends on",
    "install script",
    "deprecated",
];

/// The table as CSV. Several values in a cell are separated by spaces.
pub fn write(document: &Document) -> Vec<u8> {
    let titles = TITLES.map(str::to_owned).to_vec();
    let rows = document.parts.iter().map(|part| row(document, part));
    sheet(std::iter::once(titles).chain(rows))
}

fn row(document: &Document, part: &Part) -> Vec<String> {
    let all = |name| part.property(name).collect::<Vec<_>>().join(" ");
    let terms = |terms: &Option<Terms>| said(terms.as_ref().map(Terms::as_str));
    let of_files = |of: &dyn Fn(&PartFile) -> Option<String>| {
        let values: Vec<String> = part.files.iter().filter_map(of).collect();
        values.join(" ")
    };
    let edges = document.edges.get(&part.reference);
    let edges: Vec<&str> = edges.into_iter().flatten().map(String::as_str).collect();
    vec![
        part.ecosystem().to_owned(),
        part.name.clone(),
        part.version.clone(),
        part.purl.clone(),
        said(part.supplier.as_deref()),
        terms(&part.declared),
        terms(&part.concluded),
        said(part.copyright.as_deref()),
        of_files(&|file| Some(file.name.clone())),
        of_files(&|file| file.size.map(|size| size.to_string())),
        of_files(&|file| file.sha256.clone()),
        of_files(&|file| file.sha512.clone()),
        part.evidence().unwrap_or_default().to_owned(),
        all("stage:platform"),
        all(BUNDLED_IN),
        edges.join(" "),
        if all("stage:install-script").is_empty() {
            "no"
        } else {
            "yes"
        }
        .to_owned(),
        all("stage:deprecated"),
    ]
}

fn said(text: Option<&str>) -> String {
    text.unwrap_or(UNKNOWN).to_owned()
}
