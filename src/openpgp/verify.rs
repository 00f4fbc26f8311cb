//! Judges signed texts against a pinned keyring. A text is trusted when at least one signature by a pinned key counts,
//! and none by a pinned key is wrong; signatures by other keys say nothing.

use pgp::composed::CleartextSignedMessage;
use pgp::packet::{Packet, PacketParser, Signature, SignatureType};

use crate::base::text::escaped;
use crate::base::time::Timestamp;
use crate::openpgp::keyring::{Keyring, unsound};
use crate::openpgp::{
    MESSAGE_LIMIT, OpenpgpError, SIGNATURE_LIMIT, SIGNATURES, Signed, Signer, armor,
};

/// Verifies a cleartext signed message (RFC 4880 §7), such as an archive's `InRelease`. Only what is returned was
/// signed: never read the message itself.
pub fn cleartext(
    message: &[u8],
    keyring: &Keyring,
    now: Timestamp,
) -> Result<Signed, OpenpgpError> {
    if message.len() > MESSAGE_LIMIT {
        return Err(OpenpgpError::message("it is too large"));
    }
    let message =
        std::str::from_utf8(message).map_err(|_bad| OpenpgpError::message("it is not UTF-8"))?;
    armor::check_cleartext(message)?;
    let (parsed, _headers) =
        CleartextSignedMessage::from_string(message).map_err(|e| unreadable(&e))?;
    let text = parsed.signed_text();
    let signers = judge(parsed.signatures(), text.as_bytes(), keyring, now)?;
    Ok(Signed {
        text: text.replace("\r\n", "\n"),
        signers,
    })
}

/// Verifies a detached signature, binary or armoured, over `data`, such as `Release.gpg` over `Release`.
pub fn detached(
    data: &[u8],
    signature: &[u8],
    keyring: &Keyring,
    now: Timestamp,
) -> Result<Vec<Signer>, OpenpgpError> {
    if data.len() > MESSAGE_LIMIT || signature.len() > SIGNATURE_LIMIT {
        return Err(OpenpgpError::message("it is too large"));
    }
    let signatures = if armor::is_armored(signature) {
        let text = std::str::from_utf8(signature).map_err(|_bad| {
            OpenpgpError::message("the signature is neither OpenPGP packets nor text")
        })?;
        armor::check_detached(text)?;
        signatures(std::io::BufReader::new(pgp::armor::Dearmor::new(
            text.as_bytes(),
        )))?
    } else {
        signatures(signature)?
    };
    judge(&signatures, data, keyring, now)
}

fn unreadable(error: &pgp::errors::Error) -> OpenpgpError {
    OpenpgpError::message(escaped(&error.to_string()))
}

/// Signature packets and nothing else.
fn signatures(packets: impl std::io::BufRead) -> Result<Vec<Signature>, OpenpgpError> {
    let mut found = Vec::new();
    for packet in PacketParser::new(packets) {
        match packet.map_err(|e| unreadable(&e))? {
            Packet::Signature(signature) => found.push(signature),
            _ => {
                return Err(OpenpgpError::message(
                    "it holds something that is no signature",
                ));
            }
        }
    }
    Ok(found)
}

fn judge(
    signatures: &[Signature],
    data: &[u8],
    keyring: &Keyring,
    now: Timestamp,
) -> Result<Vec<Signer>, OpenpgpError> {
    if signatures.len() > SIGNATURES {
        return Err(OpenpgpError::message("it has too many signatures"));
    }
    let (mut signers, mut others) = (Vec::new(), Vec::new());
    for signature in signatures {
        match judge_one(signature, data, keyring, now)? {
            Ok(signer) => signers.push(signer),
            Err(reason) => others.push(format!("{}: {reason}", issuer(signature))),
        }
    }
    if signers.is_empty() {
        return Err(OpenpgpError::NoValid { found: others });
    }
    signers.sort();
    signers.dedup();
    Ok(signers)
}

/// The signer, or why the signature says nothing. A signature that is wrong under the pinned key it names is an error.
fn judge_one(
    signature: &Signature,
    data: &[u8],
    keyring: &Keyring,
    now: Timestamp,
) -> Result<Result<Signer, &'static str>, OpenpgpError> {
    if !matches!(
        signature.typ(),
        Some(SignatureType::Binary | SignatureType::Text)
    ) {
        return Ok(Err("it is not over a document"));
    }
    let candidates = keyring.candidates(signature);
    if candidates.is_empty() {
        return Ok(Err("the keyring has no such key"));
    }
    if let Some(reason) = unsound(signature, now) {
        return Ok(Err(reason));
    }
    let Some(made_by) = candidates.iter().find(|c| c.made(signature, data)) else {
        return Err(OpenpgpError::Bad {
            key: issuer(signature),
        });
    };
    let created = signature.created().map_or(0, |t| i64::from(t.as_secs()));
    let Ok(created) = Timestamp::from_unix(created) else {
        return Ok(Err("it does not say when it was made"));
    };
    if let Err(reason) = made_by.may_sign(created, now) {
        return Ok(Err(reason));
    }
    let (key, certificate) = made_by.fingerprints();
    Ok(Ok(Signer {
        key,
        certificate,
        created,
    }))
}

/// The key that a signature says it is by, in hexadecimal.
fn issuer(signature: &Signature) -> String {
    let fingerprint = signature
        .issuer_fingerprint()
        .first()
        .map(|f| format!("{f:X}"));
    let id = || {
        signature
            .issuer_key_id()
            .first()
            .map(|id| id.to_string().to_ascii_uppercase())
    };
    fingerprint
        .or_else(id)
        .unwrap_or_else(|| "an unnamed key".to_owned())
}
