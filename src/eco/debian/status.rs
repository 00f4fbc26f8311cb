//! `dpkg/status`: what a host has. `debian-packaging` reads the stanzas; what counts as installed is decided here.

use std::io::Cursor;

use debian_packaging::control::{ControlParagraph, ControlParagraphReader};

use crate::base::text::quoted;
use crate::eco::debian::control::{self, ControlError, Stanza};

/// The packages of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Those that are installed, or held, in the file's order.
    pub packages: Vec<StatusPackage>,
    /// The stanzas of what is installed, verbatim, each followed by an empty line.
    pub text: String,
}

/// A package that a host knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusPackage {
    /// Its name.
    pub name: String,
    /// Its version; empty where it was never installed.
    pub version: String,
    /// Its architecture; empty where it was never installed.
    pub arch: String,
    /// Whether it is unpacked and configured. What was left half-way is not: it has to be installed again.
    pub installed: bool,
    /// Whether the administrator holds it: no version may replace the one that is there.
    pub held: bool,
}

/// Reads a status file.
pub fn parse(bytes: &[u8]) -> Result<Status, ControlError> {
    let text = control::text(bytes)?;
    let mut status = Status::default();
    for stanza in control::stanzas(text) {
        let stanza = stanza?;
        let package = read(stanza).map_err(|reason| {
            let before = text.get(..stanza.start()).unwrap_or_default();
            ControlError {
                line: 1 + before.matches('\n').count(),
                reason,
            }
        })?;
        if package.installed {
            status.text.push_str(stanza.text());
            status.text.push_str("\n\n");
        }
        if package.installed || package.held {
            status.packages.push(package);
        }
    }
    Ok(status)
}

/// Reads one stanza. It was split off and checked for repeated fields before: the reader would take the last of two.
fn read(stanza: Stanza<'_>) -> Result<StatusPackage, String> {
    let mut paragraphs = ControlParagraphReader::new(Cursor::new(stanza.text().as_bytes()));
    let paragraph = match paragraphs.next() {
        Some(Ok(paragraph)) => paragraph,
        Some(Err(e)) => return Err(crate::base::text::escaped(&e.to_string())),
        None => return Err("an empty stanza".to_owned()),
    };
    let name = field(&paragraph, "Package")?;
    let state = field(&paragraph, "Status")?;
    let words: Vec<&str> = state.split_ascii_whitespace().collect();
    let &[want, flag, state] = words.as_slice() else {
        return Err(format!(
            "package {} has no state of three words",
            quoted(&name)
        ));
    };
    // Triggers run by themselves; every other state than these needs the package's file again.
    let ready = matches!(state, "installed" | "triggers-awaited" | "triggers-pending");
    let optional = |name: &str| {
        paragraph
            .field_str(name)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    Ok(StatusPackage {
        version: optional("Version"),
        arch: optional("Architecture"),
        installed: ready && flag == "ok",
        held: want == "hold",
        name,
    })
}

fn field(paragraph: &ControlParagraph<'_>, name: &str) -> Result<String, String> {
    let value = paragraph.field_str(name).unwrap_or_default().trim();
    if value.is_empty() {
        return Err(format!("a stanza has no field `{name}`"));
    }
    Ok(value.to_owned())
}
