//! Holding core metadata against the wheels that it is of. A resolver reads it from its own file, whose digest only the
//! index states (PEP 658), or from a few parts of the wheel, which no digest confirms. Who resolved with a lie has a
//! lock of other dependencies than the wheel has, so the wheel is asked once it is there.

use std::io::BufReader;

use crate::base::digest::Digest;
use crate::base::fault::Fault;
use crate::base::text::{escaped, quoted};
use crate::eco::pypi::fault::Unconfirmed;
use crate::eco::pypi::filename::Filename;
use crate::eco::pypi::metadata::Metadata;
use crate::eco::pypi::name::Name;
use crate::eco::pypi::peek;
use crate::eco::pypi::records::PypiRecords;
use crate::eco::{Confirm, EcoError};
use crate::lock::{LockedArtifact, LockedPackage};
use crate::upstream::Source;

/// Knows what the records say of each wheel.
struct Wheels(PypiRecords);

/// Confirms the wheels of these records.
pub(super) fn wheels(records: &[u8]) -> Result<Box<dyn Confirm>, EcoError> {
    Ok(Box::new(Wheels(super::records::parse(records)?)))
}

impl Confirm for Wheels {
    fn confirm(
        &self,
        package: &LockedPackage,
        artifact: &LockedArtifact,
        content: &mut dyn Source,
    ) -> Result<(), Box<dyn Fault>> {
        let Some(name) = package.name.parse::<Name>().ok() else {
            return Ok(());
        };
        // Sources were fetched whole when they were resolved, and confirmed then.
        if !matches!(
            Filename::parse(&artifact.file, &name),
            Ok(Filename::Wheel(_))
        ) {
            return Ok(());
        }
        let file = self.0.get(&package.id());
        let file = file.and_then(|release| release.files.get(&artifact.file));
        let Some(recorded) = file.and_then(|file| self.0.metadata_of(file)) else {
            return Ok(());
        };
        let differs = |differences| Unconfirmed {
            file: quoted(&artifact.file),
            differences,
        };
        match peek::metadata(BufReader::new(content), &name) {
            Ok(text) if text == recorded => Ok(()),
            Ok(text) => Err(differs(differences(recorded, &text)).into()),
            Err(reason) => Err(differs(vec![format!("the wheel: {reason}")]).into()),
        }
    }
}

/// What the two texts say differently, in a few lines that are safe to print.
fn differences(recorded: &str, wheel: &str) -> Vec<String> {
    let (Ok(ours), Ok(its)) = (Metadata::parse(recorded), Metadata::parse(wheel)) else {
        return vec!["the wheel: its METADATA cannot be read".to_owned()];
    };
    let mut lines = Vec::new();
    let all = |values: &[String]| {
        let shown: Vec<String> = values.iter().take(MOST).map(|v| quoted(v)).collect();
        match values.len().saturating_sub(MOST) {
            0 => shown.join(", "),
            more => format!("{}, and {more} more", shown.join(", ")),
        }
    };
    let lacks = |these: &[String], those: &[String]| -> Vec<String> {
        let missing = these.iter().filter(|text| !those.contains(text));
        missing.cloned().collect()
    };
    let lost = lacks(&its.requires_dist, &ours.requires_dist);
    if !lost.is_empty() {
        lines.push(format!("the wheel also requires {}", all(&lost)));
    }
    let invented = lacks(&ours.requires_dist, &its.requires_dist);
    if !invented.is_empty() {
        lines.push(format!("the wheel does not require {}", all(&invented)));
    }
    if ours.requires_python != its.requires_python {
        let says = its.requires_python.as_deref().map(quoted);
        let says = says.unwrap_or_else(|| "any".to_owned());
        lines.push(format!("the wheel is for Python {says}"));
    }
    if (&ours.name, &ours.version) != (&its.name, &its.version) {
        let version = escaped(&its.version);
        lines.push(format!("the wheel says that it is {} {version}", its.name));
    }
    if lines.is_empty() {
        let (ours, its) = (
            Digest::of(recorded.as_bytes()),
            Digest::of(wheel.as_bytes()),
        );
        lines.push(format!("recorded {ours}, in the wheel {its}"));
    }
    lines
}

/// Most requirements that a line names.
const MOST: usize = 5;

#[cfg(test)]
mod tests {
    use super::differences;

    #[test]
    fn what_differs_is_said_in_words() {
        let head = "Name: a\nVersion: 1\n";
        let said = |ours: &str, its: &str| {
            differences(&format!("{head}{ours}"), &format!("{head}{its}")).join("; ")
        };
        assert_eq!(
            said("Requires-Dist: good\n", "Requires-Dist: b\u{1b}\n"),
            "the wheel also requires \"b\\u{1b}\"; the wheel does not require \"good\""
        );
        assert_eq!(
            said("", "Requires-Python: <3\n"),
            "the wheel is for Python \"<3\""
        );
        assert!(said("Summary: x\n", "Summary: y\n").starts_with("recorded sha256:"));
        let other = differences(head, "Name: b\nVersion: 2\n").join("; ");
        assert_eq!(other, "the wheel says that it is b 2");
        let many: Vec<String> = (0..9).map(|n| format!("Requires-Dist: r{n}\n")).collect();
        let many = many.concat();
        assert!(said("", &many).ends_with("\"r4\", and 4 more"));
        assert!(said("", "").starts_with("recorded"));
        assert!(differences("", head)[0].contains("cannot be read"));
    }
}
