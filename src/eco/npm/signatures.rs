//! Signatures of a registry over its releases: ECDSA over `name@version:integrity`, by a key that is dated data of ours.
//!
//! Every signature by a known key must be right, and at least one must be there; one by an unknown key alone is refused
//! like a wrong one, since whoever can change a packument can make it up. Only an `integrity` with SHA-512 is vouched for.

use serde_json::Value;

use crate::base::digest::UpstreamChecksum;
use crate::base::evidence::Level;
use crate::base::fault::{Class, Code};
use crate::base::package::ReleaseId;
use crate::base::text::{base64, quoted};
use crate::base::time::Timestamp;
use crate::eco::EcoError;
use crate::eco::npm::records::{self, NpmDist};
use crate::eco::npm::repo;
use crate::eco::registry_keys::RegistryKeys;
use crate::eco::vouched::{UpstreamKeys, Verdict, Vouched};

/// Codes of this module.
pub const CODES: &[&Code] = &[&INVALID, &UNKNOWN_KEY, &KEY_TIME];

static INVALID: Code = Code::classed("npm-signature-invalid", Class::E51);
static UNKNOWN_KEY: Code = Code::classed("npm-signature-unknown-key", Class::E51);
static KEY_TIME: Code = Code::classed("npm-signature-key-time", Class::E51);

/// Most signatures of one release.
const MOST: usize = 16;

/// What the registry's signatures say about every release in the records.
pub(crate) fn vouched(records: &[u8], keys: &UpstreamKeys) -> Result<Vouched, EcoError> {
    let mut found = Vouched::new();
    for (name, package) in records::parse(records)?.packages {
        for (number, version) in package.versions {
            let Some(dist) = &version.dist else { continue };
            let release = ReleaseId::new(&name, &number);
            let published = version.time.as_deref().and_then(Timestamp::published);
            let verdict = judge(&release, dist, published, &keys.npm);
            let verdict = verdict.and(provenance(dist, keys));
            found.insert(
                (release.clone(), repo::tarball_file(None, &release)),
                verdict,
            );
        }
    }
    Ok(found)
}

/// What is said about how a release was built.
fn provenance(dist: &NpmDist, keys: &UpstreamKeys) -> Verdict {
    let Some(attested) = &dist.provenance else {
        return Verdict::Unsigned;
    };
    let checksum = dist.integrity.as_deref().map(UpstreamChecksum::from_sri);
    match checksum {
        Some(Ok(checksum)) => keys.sigstore.judge(attested, &checksum),
        _ => refused(&INVALID, "what is attested is not its SHA-512".to_owned()),
    }
}

fn refused(code: &'static Code, reason: String) -> Verdict {
    Verdict::Refused { code, reason }
}

/// Judges the signatures of one release.
fn judge(
    release: &ReleaseId,
    dist: &NpmDist,
    published: Option<Timestamp>,
    keys: &RegistryKeys,
) -> Verdict {
    if dist.signatures.is_empty() {
        return Verdict::Unsigned;
    }
    if dist.signatures.len() > MOST {
        return refused(&INVALID, format!("it has more than {MOST} signatures"));
    }
    let strong = |sri: &&str| {
        let checksum = UpstreamChecksum::from_sri(sri);
        matches!(checksum, Ok(UpstreamChecksum::Sha512(_)))
    };
    let Some(integrity) = dist.integrity.as_deref().filter(strong) else {
        let reason = "what is signed is not its SHA-512".to_owned();
        return refused(&INVALID, reason);
    };
    let message = format!("{}@{}:{integrity}", release.name, release.version);
    let (mut by, mut unknown) = (Vec::new(), Vec::new());
    for entry in &dist.signatures {
        let Some((id, signature)) = read(entry) else {
            let reason = "one of its signatures is not one: `keyid` and Base64 in `sig`";
            return refused(&INVALID, reason.to_owned());
        };
        let Some(key) = keys.find(id) else {
            unknown.push(quoted(id));
            continue;
        };
        if !key.verifies(message.as_bytes(), &signature) {
            let reason = format!(
                "the signature by {} is not over this release and digest",
                quoted(id)
            );
            return refused(&INVALID, reason);
        }
        if let Some(why) = key.unfit(published) {
            return refused(
                &KEY_TIME,
                format!("the key {} cannot have signed it: {why}", quoted(id)),
            );
        }
        by.push(key.id().to_owned());
    }
    if by.is_empty() {
        let reason = format!(
            "nobody knows the key that signed it: {}",
            unknown.join(", ")
        );
        return refused(&UNKNOWN_KEY, reason);
    }
    by.sort();
    by.dedup();
    Verdict::Signed {
        level: Level::L3,
        by,
    }
}

/// Key id and signature.
fn read(entry: &Value) -> Option<(&str, Vec<u8>)> {
    let text = |name: &str| entry.get(name)?.as_str();
    Some((text("keyid")?, base64(text("sig")?)?))
}
