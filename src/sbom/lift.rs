//! From the 1.5 document of `cyclonedx-bom` to the final bytes in 1.6: what that crate does not write is added to the JSON
//! value, and the serial number is derived from the rest.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::base::digest::Digest;
use crate::base::json::canonical;
use crate::base::text::escaped;
use crate::lock::Lock;
use crate::sbom::{SbomError, UNKNOWN};

/// What is added to a component.
#[derive(Debug, Default)]
pub(super) struct Added {
    /// Whether its license was read from its files and not only declared.
    pub(super) concluded: bool,
    /// The text of its license file, where the license has no identifier.
    pub(super) license_text: Option<String>,
    /// Where each of its files is below its upstream's address, with its hashes.
    pub(super) distributions: Vec<Value>,
}

/// What is added to the document.
pub(super) struct Lift<'a> {
    /// The lock it is made of.
    pub(super) lock: &'a Lock,
    /// Digest of the lock's file.
    pub(super) lock_digest: Digest,
    /// Version of `stage`.
    pub(super) tool_version: &'a str,
    /// By reference.
    pub(super) components: BTreeMap<String, Added>,
}

impl Lift<'_> {
    /// The final bytes: canonical JSON and a newline.
    pub(super) fn finish(&self, json: &[u8]) -> Result<Vec<u8>, SbomError> {
        let failed = |reason: String| SbomError::Write { reason };
        let mut document: Value =
            serde_json::from_slice(json).map_err(|e| failed(escaped(&e.to_string())))?;
        let Value::Object(map) = &mut document else {
            return Err(failed("not an object".to_owned()));
        };
        map.insert("specVersion".to_owned(), "1.6".into());
        map.insert(
            "$schema".to_owned(),
            "http://cyclonedx.org/schema/bom-1.6.schema.json".into(),
        );
        map.insert("formulation".to_owned(), self.formulation());
        if let Some(Value::Object(metadata)) = map.get_mut("metadata") {
            if let Some(supplier) = metadata.get("supplier").cloned() {
                metadata.insert("manufacturer".to_owned(), supplier);
            }
            if let Some(Value::Object(subject)) = metadata.get_mut("component") {
                subject.insert("copyright".to_owned(), UNKNOWN.into());
            }
        }
        let components = map.get_mut("components").and_then(Value::as_array_mut);
        for component in components.into_iter().flatten() {
            let reference = component.get("bom-ref").and_then(Value::as_str);
            let added = reference.and_then(|reference| self.components.get(reference));
            if let (Some(added), Value::Object(fields)) = (added, component) {
                acknowledge(fields, added);
                distribute(fields, &added.distributions);
            }
        }
        let number = Digest::of(&canonical(&document)).urn_uuid();
        if let Value::Object(map) = &mut document {
            map.insert("serialNumber".to_owned(), number.into());
        }
        let mut bytes = canonical(&document);
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// How it came to be: what was asked for, for what, and by which lock.
    fn formulation(&self) -> Value {
        let parameter = |name: &str, value: &str| json!({"name": name, "value": value});
        let mut parameters = vec![parameter("lock", &self.lock_digest.to_string())];
        let target = &self.lock.target;
        let platforms = target.platforms.iter();
        parameters.extend(platforms.map(|p| parameter("platform", p.as_str())));
        let libc = match &target.libc {
            crate::base::platform::Libc::Glibc(version) => format!("glibc {version}"),
            crate::base::platform::Libc::Musl(version) => format!("musl {version}"),
        };
        parameters.push(parameter("libc", &libc));
        for (name, version) in [("python", &target.python), ("node", &target.node)] {
            parameters.extend(version.iter().map(|version| parameter(name, version)));
        }
        if let Some(limit) = self.lock.exclude_newer {
            parameters.push(parameter("exclude-newer", &limit.to_string()));
        }
        for asked in &self.lock.requirements {
            let spec = format!("{} {}", asked.ecosystem, asked.spec);
            parameters.push(parameter("requirement", &spec));
        }
        json!([{
            "workflows": [{
                "bom-ref": "workflow:stage",
                "uid": self.lock_digest.to_string(),
                "name": format!("stage {}", self.tool_version),
                "description": "the requirements were resolved into a lock, and its files fetched and held against its digests",
                "taskTypes": ["clone", "copy"],
                "inputs": [{"parameters": parameters}],
            }],
        }])
    }
}

/// Marks a component's license as what the publisher declared or as what its files say; where it has no identifier, with
/// the text of its file as far as there is one.
fn acknowledge(component: &mut Map<String, Value>, added: &Added) {
    let said = if added.concluded {
        "concluded"
    } else {
        "declared"
    };
    let licenses = component.get_mut("licenses").and_then(Value::as_array_mut);
    for choice in licenses.into_iter().flatten() {
        let target = if choice.get("license").is_some() {
            choice.get_mut("license")
        } else {
            Some(choice)
        };
        let Some(Value::Object(map)) = target else {
            continue;
        };
        let name = map.get("name").and_then(Value::as_str);
        let (named, unknown) = (name.is_some(), name == Some(UNKNOWN));
        if !unknown {
            map.insert("acknowledgement".to_owned(), said.into());
        }
        if let Some(text) = added.license_text.as_ref().filter(|_| named) {
            let text = json!({"contentType": "text/plain", "content": text});
            map.insert("text".to_owned(), text);
        }
    }
}

fn distribute(component: &mut Map<String, Value>, distributions: &[Value]) {
    if distributions.is_empty() {
        return;
    }
    let references = component
        .entry("externalReferences")
        .or_insert_with(|| json!([]));
    if let Value::Array(references) = references {
        references.extend(distributions.iter().cloned());
    }
}
