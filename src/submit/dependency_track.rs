//! Dependency-Track: the SBOM alone, to a project. It answers with a token and reads the SBOM later; the token tells when it
//! has.

use serde_json::Value;

use crate::net::upload::{Call, Verb};
use crate::submit::item::Item;
use crate::submit::multipart::{self, Part};
use crate::submit::service::{self, Service};

/// Which project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Project {
    /// By its UUID.
    Id(String),
    /// By name and version.
    Named(String, String),
}

impl Project {
    /// A UUID, or `NAME@VERSION`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if is_uuid(text) {
            return Some(Self::Id(text.to_owned()));
        }
        let (name, version) = text.rsplit_once('@')?;
        let fine = |text: &str| (1..=255).contains(&text.len()) && !text.contains(char::is_control);
        (fine(name) && fine(version)).then(|| Self::Named(name.to_owned(), version.to_owned()))
    }
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let digits = |c: char| c.is_ascii_hexdigit() || c == '-';
    groups == [8, 4, 4, 4, 12] && text.chars().all(digits)
}

/// A project in Dependency-Track.
#[derive(Debug)]
pub(super) struct DependencyTrack {
    pub(super) service: Service,
    pub(super) project: Project,
    /// Whether a project that is not there is made.
    pub(super) create: bool,
}

impl DependencyTrack {
    /// Hands over the SBOM.
    pub(super) fn upload(&self, sbom: &Item) -> Call {
        let mut parts = match &self.project {
            Project::Id(uuid) => vec![Part::text("project", uuid)],
            Project::Named(name, version) => vec![
                Part::text("projectName", name),
                Part::text("projectVersion", version),
                Part::text("autoCreate", if self.create { "true" } else { "false" }),
            ],
        };
        parts.push(Part {
            name: "bom",
            file: Some(&sbom.name),
            media: Some("application/vnd.cyclonedx+json"),
            bytes: sbom.bytes.clone(),
        });
        let body = multipart::encode(&parts);
        self.service
            .send(Verb::Post, &["api", "v1", "bom"], &[], body)
    }

    /// The token of an SBOM that was taken.
    pub(super) fn token(answer: &Value) -> Option<String> {
        service::id(answer, "token")
    }

    /// Asks whether the SBOM is still being read.
    pub(super) fn ask(&self, token: &str) -> Call {
        self.service
            .get(&["api", "v1", "event", "token", token], &[])
    }

    /// Whether it is.
    pub(super) fn is_processing(answer: &Value) -> Option<bool> {
        answer.get("processing")?.as_bool()
    }
}
