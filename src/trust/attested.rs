//! A statement that one person signed: an in-toto statement in a DSSE envelope with exactly one signature, in canonical JSON
//! with a newline.

use crate::base::json;
use crate::base::limits::LIMITS;
use crate::base::text::base64;
use crate::trust::TrustError;
use crate::trust::envelope::{self, STATEMENT_TYPE, Signable};
use crate::trust::root::TrustRoot;
use crate::trust::threshold::{self, Signer};

/// Why a signed statement does not count.
#[derive(Debug, thiserror::Error)]
pub enum AttestedError {
    /// It is not written as specified.
    #[error("it is not the envelope of a statement with one signature")]
    Form,
    /// The signature is not one of a key that the trust root knows.
    #[error(transparent)]
    Signature(Box<TrustError>),
}

/// The statement's bytes and who signed them. `signable` says what kind of statement it must be.
///
/// # Errors
/// It is no such envelope, or the signature does not verify by a key of `root`.
pub fn judge(
    bytes: &[u8],
    root: &TrustRoot,
    signable: impl for<'p> Fn(&'p [u8]) -> Signable<'p>,
) -> Result<(Vec<u8>, Signer), AttestedError> {
    let form = || AttestedError::Form;
    let text = bytes.strip_suffix(b"\n").ok_or_else(form)?;
    let value = json::strict(text, LIMITS.document).map_err(|_form| form())?;
    let (text, signatures) = envelope::open(&value, STATEMENT_TYPE).ok_or_else(form)?;
    let payload = base64(text).ok_or_else(form)?;
    let signers = threshold::count(signatures, signable(&payload), root, &[])
        .map_err(|source| AttestedError::Signature(Box::new(source)))?;
    match <[Signer; 1]>::try_from(signers) {
        Ok([signer]) => Ok((payload, signer)),
        Err(_) => Err(form()),
    }
}
