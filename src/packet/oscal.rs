//! The bundle as an OSCAL component definition (OSCAL 1.2.1): for each control of NIST SP 800-53 on which the packet bears,
//! what it shows, with the file and its digest. `FedRAMP` takes OSCAL from systems of class D.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Files;
use super::controls;
use super::facts::Facts;
use crate::base::digest::Digest;
use crate::base::json;

/// Where it is in the packet.
pub(super) const PATH: &str = "oscal/component-definition.json";
const VERSION: &str = "1.2.1";
const NAMESPACE: &str = "https://stage.invalid/ns/oscal";
const CATALOG: &str = "catalog";

/// The document; `files` are those that it may refer to.
pub(super) fn write(facts: &Facts<'_>, files: &Files) -> Vec<u8> {
    let statement = &facts.bundle.statement;
    let title = format!("{} {}", statement.channel, statement.serial);
    let document = json!({"component-definition": {
        "uuid": facts.uuid("component-definition"),
        "metadata": {
            "title": format!("Change packet of {title}"),
            "last-modified": statement.created.to_string(),
            "version": statement.serial.to_string(),
            "oscal-version": VERSION,
        },
        "components": [{
            "uuid": facts.uuid("component"),
            "type": "software",
            "title": statement.channel,
            "description": format!("The dependency closure of {} as bundle {} carries it.", statement.channel, facts.bundle.id),
            "props": [
                {"name": "version", "value": statement.serial.to_string()},
                {"name": "bundle-id", "ns": NAMESPACE, "value": facts.bundle.id.to_string()},
            ],
            "control-implementations": [{
                "uuid": facts.uuid("control-implementation"),
                "source": format!("#{}", facts.uuid(CATALOG)),
                "description": "What this packet shows; what is not listed it does not bear on.",
                "implemented-requirements": requirements(facts),
            }],
        }],
        "back-matter": {"resources": resources(facts, files)},
    }});
    let mut bytes = json::canonical(&document);
    bytes.push(b'\n');
    bytes
}

/// One for each control; each thing shown is a link.
fn requirements(facts: &Facts<'_>) -> Vec<Value> {
    let mut by_control: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for (control, what, place) in controls::nist(facts) {
        by_control.entry(control).or_default().push((what, place));
    }
    let one = |(control, shown): (&str, Vec<(&str, &str)>)| {
        let links: Vec<_> = shown
            .iter()
            .map(|(_, place)| json!({"href": format!("#{}", facts.uuid(place)), "rel": "evidence"}))
            .collect();
        let said: Vec<&str> = shown.iter().map(|(what, _)| *what).collect();
        json!({
            "uuid": facts.uuid(&format!("requirement {control}")),
            "control-id": id(control),
            "description": format!("The packet shows {}.", said.join("; ")),
            "links": links,
        })
    };
    by_control.into_iter().map(one).collect()
}

/// `CM-3(2)` as OSCAL's catalog has it: `cm-3.2`.
fn id(control: &str) -> String {
    control.to_lowercase().replace('(', ".").replace(')', "")
}

/// The catalog, and every file or folder that is evidence.
fn resources(facts: &Facts<'_>, files: &Files) -> Vec<Value> {
    let mut places: Vec<&str> = controls::nist(facts)
        .iter()
        .map(|(.., place)| *place)
        .collect();
    places.sort_unstable();
    places.dedup();
    let catalog = json!({
        "uuid": facts.uuid(CATALOG),
        "title": "NIST SP 800-53 Rev. 5",
        "citation": {"text": "Security and Privacy Controls for Information Systems and Organizations, doi:10.6028/NIST.SP.800-53r5"},
    });
    let evidence = places.into_iter().map(|place| {
        let mut link = json!({"href": format!("../{place}")});
        if let (Some(link), Some(bytes)) = (link.as_object_mut(), files.get(place)) {
            let digest = Digest::of(bytes).hex();
            let hashes = json!([{"algorithm": "SHA-256", "value": digest}]);
            link.insert("hashes".to_owned(), hashes);
        }
        json!({"uuid": facts.uuid(place), "title": place, "rlinks": [link]})
    });
    [catalog].into_iter().chain(evidence).collect()
}

#[cfg(test)]
mod tests {
    use super::id;

    #[test]
    fn controls_have_the_ids_of_the_catalog() {
        assert_eq!(id("CM-3(2)"), "cm-3.2");
        assert_eq!(id("AC-6"), "ac-6");
    }
}
