//! The signatures of a bundle as DSSE and as Sigstore bundles.

use std::path::Path;

use serde_json::Value;

use crate::base::json;
use crate::base::text::{base64, escaped, quoted};
use crate::bundle::BundleError;
use crate::bundle::header::SIGNATURES;
use crate::cli::subject::{Signed, signed};
use crate::cli::ui::Failure;
use crate::cli::{Context, UsageError};
use crate::eco::ExportedFile;
use crate::trust::envelope::{STATEMENT_TYPE, SignatureEntry, envelope};
use crate::trust::key::KeyId;
use crate::trust::{sigstore, sshsig};

const DSSE: &str = "dsse";
const SIGSTORE: &str = "sigstore";
/// The forms, each with what it is.
pub(super) const FORMS: [(&str, &str); 2] = [
    (DSSE, "a DSSE envelope with the signatures of a bundle"),
    (
        SIGSTORE,
        "a Sigstore bundle v0.3 for each signature of a bundle",
    ),
];
/// Bytes of an Ed25519 signature.
const ED25519: usize = 64;
/// Digits of a key id that a file name has.
const SHORT: usize = 16;

/// The files of a form.
pub(super) fn export(ctx: &Context, form: &str, path: &Path) -> Result<Vec<ExportedFile>, Failure> {
    let Signed {
        statement,
        signatures,
    } = signed(path)?;
    let signatures = exportable(ctx, form, &signatures)?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let file = |suffix: &str, value: &Value| {
        let text = String::from_utf8_lossy(&json::canonical(value)).into_owned();
        ExportedFile {
            name: format!("{stem}.{suffix}.json"),
            text: text + "\n",
            optional: false,
        }
    };
    if form == DSSE {
        let value = envelope(STATEMENT_TYPE, &statement, &signatures);
        return Ok(vec![file(DSSE, &value)]);
    }
    let one = |signature: &SignatureEntry| {
        let short = signature.keyid.get(..SHORT).unwrap_or(&signature.keyid);
        let value = sigstore::bundle(STATEMENT_TYPE, &statement, signature);
        file(&format!("{short}.{SIGSTORE}"), &value)
    };
    Ok(signatures.iter().map(one).collect())
}

/// The signatures that a form can hold. Those that it cannot are named.
fn exportable(
    ctx: &Context,
    form: &str,
    signatures: &[SignatureEntry],
) -> Result<Vec<SignatureEntry>, Failure> {
    let mut out = Vec::new();
    for signature in signatures {
        let fail = |reason| BundleError::fields(SIGNATURES, reason);
        let key = KeyId::from_hex(&signature.keyid)
            .ok_or_else(|| fail(format!("{} is no key id", quoted(&signature.keyid))))?;
        let bytes =
            base64(&signature.sig).ok_or_else(|| fail("a signature is not base64".to_owned()))?;
        if sshsig::is_signature(&bytes) {
            ctx.ui.warn(&format!(
                "the signature by key {key} is left out: it is an SSH signature, which signs other bytes than DSSE does"
            ));
            continue;
        }
        if form == SIGSTORE && bytes.len() != ED25519 {
            ctx.ui.warn(&format!(
                "the signature by key {key} is not Ed25519: the npm package @sigstore/verify refuses ECDSA P-384"
            ));
        }
        out.push(signature.clone());
    }
    if out.is_empty() {
        let why = if signatures.is_empty() {
            "the bundle has no signature"
        } else {
            "the bundle has SSH signatures only"
        };
        return Err(UsageError::new(format!("{why}; there is nothing to export as {}", escaped(form)))
            .next("check SSH signatures with `ssh-keygen -Y verify`, or sign with an Ed25519 or P-384 key")
            .into());
    }
    Ok(out)
}
