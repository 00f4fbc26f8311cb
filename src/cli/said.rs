//! What a change packet says of known vulnerabilities: a statement for each that the database in the bundle has.

use std::path::Path;

use crate::base::text::visible;
use crate::base::time::Timestamp;
use crate::cli::ui::Failure;
use crate::cli::vulns::{carried_place, carried_records, look_up_carried};
use crate::packet::Vex;
use crate::policy::Policy;
use crate::verify::Bundle;
use crate::vex::cyclonedx::{self, Sbom};
use crate::vex::{self, Issuer, Statement, openvex};
use crate::vulns::Closure;

/// The SBOM that CycloneDX's statements point into.
const SBOM: &str = "sbom/bundle.cdx.json";

/// The statements of a verified bundle, as of the time it was made; none where it carries no database.
pub(crate) fn of(path: &Path, bundle: &Bundle, policy: Option<&Policy>) -> Result<Vex, Failure> {
    let (Some(lock), Some(place)) = (&bundle.lock, carried_place(path, &bundle.manifest)?) else {
        return Ok(Vex::default());
    };
    let records = carried_records(&bundle.documents);
    let closures = [Closure {
        lock,
        records: &records,
    }];
    let checked = look_up_carried(path, place, &closures)?;
    let created: Timestamp = bundle.statement.created;
    let statements = vex::statements(&checked, policy, created);
    let persons: Vec<&str> = bundle.signers.iter().map(|s| s.person.as_str()).collect();
    let author = visible(&persons.join(", "));
    let issuer = Issuer {
        author: &author,
        at: created,
        tool: ("stage", env!("CARGO_PKG_VERSION")),
    };
    let sbom = bundle.documents.iter().find(|(at, _)| at.as_str() == SBOM);
    let sbom = sbom.and_then(|(_, bytes)| Sbom::of(bytes));
    let mut documents = vec![(
        "vex/vex.cdx.json",
        cyclonedx::write(&statements, &issuer, sbom.as_ref()),
    )];
    // OpenVEX has at least one statement.
    if !statements.is_empty() {
        documents.push(("vex/openvex.json", openvex::write(&statements, &issuer)));
    }
    Ok(Vex {
        rows: statements.iter().map(row).collect(),
        documents: documents
            .into_iter()
            .map(|(at, bytes)| (at.to_owned(), bytes))
            .collect(),
    })
}

fn row(statement: &Statement<'_>) -> Vec<String> {
    vec![
        statement.id.to_owned(),
        statement.purl.to_string(),
        statement.status.as_str().to_owned(),
        statement.detail.clone(),
        statement.action.clone(),
    ]
}
