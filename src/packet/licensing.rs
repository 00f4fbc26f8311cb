//! Who is under which license: counted for the first page, and named in `sbom/licenses.md`.

use std::collections::BTreeMap;

use super::facts::Facts;
use crate::page::{Block, Page, Section, table};

/// Where the list is in the packet.
pub(super) const PATH: &str = "sbom/licenses.md";
const COLUMNS: [&str; 3] = ["license", "components", "which"];

/// Components by license; those of which nothing is known by `unknown`.
pub(super) fn by_license(facts: &Facts<'_>) -> BTreeMap<String, Vec<String>> {
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let lock = facts.described_lock();
    let packages = lock.iter().flat_map(|lock| &lock.packages);
    for package in packages.filter(|package| package.is_carried()) {
        let license = package.license.clone().filter(|text| !text.is_empty());
        let license = license.unwrap_or_else(|| "unknown".to_owned());
        let one = format!("{} {}", package.ecosystem, package.id());
        out.entry(license).or_default().push(one);
    }
    for components in out.values_mut() {
        components.sort();
        components.dedup();
    }
    out
}

/// Every license with the components under it, most first.
pub(super) fn page(facts: &Facts<'_>) -> Page {
    let statement = &facts.bundle.statement;
    let mut licenses: Vec<(String, Vec<String>)> = by_license(facts).into_iter().collect();
    licenses.sort_by(|a, b| (b.1.len(), &a.0).cmp(&(a.1.len(), &b.0)));
    let rows = licenses.into_iter().map(|(license, components)| {
        vec![license, components.len().to_string(), components.join(", ")]
    });
    Page {
        title: format!("{} {}: licenses", statement.channel, statement.serial),
        subtitle: format!("Bundle {}", facts.bundle.id),
        sections: vec![Section {
            id: "licenses",
            title: "Licenses",
            blocks: vec![
                Block::Text(
                    "As declared, or as read from the files of Debian packages; texts of those without identifier are in the SBOM."
                        .to_owned(),
                ),
                table("By license", &COLUMNS, rows.collect(), None),
            ],
        }],
    }
}
