//! SSH signatures (PROTOCOL.sshsig of OpenSSH), as `ssh-keygen -Y sign` makes them: Ed25519 and ECDSA keys.
//!
//! What is signed is the payload itself under a namespace that says what it is, not its DSSE encoding, so that
//! `ssh-keygen -Y verify` can check `statement.json`. The blob that carries the signature has one encoding: everything
//! in it but the signature follows from key and namespace, is built here, and is compared byte for byte.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED,
    EcdsaVerificationAlgorithm, ParsedPublicKey,
};
use data_encoding::BASE64;

use crate::base::digest::Sha512;
use crate::base::text::base64;
use crate::trust::envelope::{ROOT_TYPE, STATEMENT_TYPE};

/// Namespace of signatures over a bundle's statement.
pub const BUNDLE_NAMESPACE: &str = "stage-bundle@v1";
/// Namespace of signatures over a trust root.
pub const ROOT_NAMESPACE: &str = "stage-root@v1";
/// Namespace of signatures over an approval.
pub const APPROVAL_NAMESPACE: &str = "stage-approval@v1";
/// Namespace of signatures over a proof.
pub const PROOF_NAMESPACE: &str = "stage-proof@v1";
/// Namespace of signatures over the list of files of a change packet.
pub const PACKET_NAMESPACE: &str = "stage-packet@v1";
/// Namespace of signatures over SBOMs.
pub const SBOM_NAMESPACE: &str = "stage-sbom@v1";
/// Namespace of signatures over records of transfers.
pub const TRANSFER_NAMESPACE: &str = "stage-transfer@v1";

const MAGIC: &[u8] = b"SSHSIG";
const HASH: &[u8] = b"sha512";
const ED25519: &str = "ssh-ed25519";

/// The namespace for a DSSE payload type.
pub fn namespace(payload_type: &str) -> Option<&'static str> {
    match payload_type {
        STATEMENT_TYPE => Some(BUNDLE_NAMESPACE),
        ROOT_TYPE => Some(ROOT_NAMESPACE),
        _ => None,
    }
}

/// A kind of ECDSA key.
struct Curve {
    /// Name of the key type.
    algorithm: &'static str,
    /// Name of the curve.
    name: &'static str,
    /// What stands before the point in its `SubjectPublicKeyInfo`.
    prefix: &'static [u8],
    /// Bytes of a scalar; a point has twice as many and one.
    scalar: usize,
    verification: &'static EcdsaVerificationAlgorithm,
}

static CURVES: [Curve; 3] = [
    Curve {
        algorithm: "ecdsa-sha2-nistp256",
        name: "nistp256",
        prefix: &[
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
            0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ],
        scalar: 32,
        verification: &ECDSA_P256_SHA256_FIXED,
    },
    Curve {
        algorithm: "ecdsa-sha2-nistp384",
        name: "nistp384",
        prefix: &[
            0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
            0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
        ],
        scalar: 48,
        verification: &ECDSA_P384_SHA384_FIXED,
    },
    Curve {
        algorithm: "ecdsa-sha2-nistp521",
        name: "nistp521",
        prefix: &[
            0x30, 0x81, 0x9b, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
            0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23, 0x03, 0x81, 0x86, 0x00,
        ],
        scalar: 66,
        verification: &ECDSA_P521_SHA512_FIXED,
    },
];

impl Curve {
    fn point<'a>(&self, spki: &'a [u8]) -> Option<&'a [u8]> {
        let point = spki.strip_prefix(self.prefix)?;
        let fits = point.len() == 2 * self.scalar + 1 && point.first() == Some(&4);
        fits.then_some(point)
    }
}

/// Writes a length and the bytes.
pub(crate) fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Takes a length and so many bytes off the front.
pub(crate) fn take<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = input.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (bytes, rest) = rest.split_at_checked(length)?;
    *input = rest;
    Some(bytes)
}

/// Name of the key's type, and its public key as SSH writes it; `None` for kinds of keys not known here.
pub fn public_blob(spki: &[u8]) -> Option<(&'static str, Vec<u8>)> {
    let mut blob = Vec::new();
    if let Some(key) = spki.strip_prefix(&crate::trust::key::ED25519_PREFIX)
        && key.len() == 32
    {
        string(&mut blob, ED25519.as_bytes());
        string(&mut blob, key);
        return Some((ED25519, blob));
    }
    let (curve, point) = CURVES
        .iter()
        .find_map(|curve| Some((curve, curve.point(spki)?)))?;
    string(&mut blob, curve.algorithm.as_bytes());
    string(&mut blob, curve.name.as_bytes());
    string(&mut blob, point);
    Some((curve.algorithm, blob))
}

/// Name of an ECDSA key's type, and its point.
pub fn ecdsa_point(spki: &[u8]) -> Option<(&'static str, &[u8])> {
    CURVES
        .iter()
        .find_map(|curve| Some((curve.algorithm, curve.point(spki)?)))
}

/// The `SubjectPublicKeyInfo` of a key as SSH writes it; `None` for kinds of keys not known here.
pub fn public_key(blob: &[u8]) -> Option<Vec<u8>> {
    let mut input = blob;
    let algorithm = take(&mut input)?;
    let spki = if algorithm == ED25519.as_bytes() {
        [&crate::trust::key::ED25519_PREFIX[..], take(&mut input)?].concat()
    } else {
        let curve = CURVES
            .iter()
            .find(|c| c.algorithm.as_bytes() == algorithm)?;
        take(&mut input)?;
        [curve.prefix, take(&mut input)?].concat()
    };
    // Whatever was skipped or is too much shows when the blob is made again.
    (public_blob(&spki)?.1 == blob).then_some(spki)
}

/// Whether these bytes are such a signature: no Ed25519 one is as long, and those of ECDSA begin otherwise.
pub fn is_signature(bytes: &[u8]) -> bool {
    bytes.len() > 64 && bytes.starts_with(MAGIC)
}

/// Whether a text looks like a line of an SSH public key file.
pub fn is_public_line(text: &str) -> bool {
    text.starts_with("ssh-") || text.starts_with("ecdsa-sha2-") || text.starts_with("sk-")
}

/// The `SubjectPublicKeyInfo` of an SSH public key file: one line of type, base64 and comment.
pub fn parse_public(text: &str) -> Option<Vec<u8>> {
    let mut words = text.split_whitespace();
    let (algorithm, blob) = (words.next()?, words.next()?);
    let blob = base64(blob)?;
    let spki = public_key(&blob)?;
    let fits = public_blob(&spki)?.0 == algorithm && text.trim_end().lines().count() == 1;
    fits.then_some(spki)
}

/// The line of an SSH public key file, without a comment.
pub fn public_line(spki: &[u8]) -> Option<String> {
    let (algorithm, blob) = public_blob(spki)?;
    Some(format!("{algorithm} {}\n", BASE64.encode(&blob)))
}

/// What the key signs: namespace and SHA-512 of the payload.
pub fn message(namespace: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    string(&mut out, namespace.as_bytes());
    string(&mut out, b"");
    string(&mut out, HASH);
    string(&mut out, Sha512::of(payload).bytes());
    out
}

/// The blob around a signature: what stands between the lines of an armoured SSH signature, in binary.
pub fn wrap(spki: &[u8], namespace: &str, signature: &[u8]) -> Option<Vec<u8>> {
    let mut out = head(spki, namespace)?;
    string(&mut out, signature);
    Some(out)
}

fn head(spki: &[u8], namespace: &str) -> Option<Vec<u8>> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&1_u32.to_be_bytes());
    string(&mut out, &public_blob(spki)?.1);
    string(&mut out, namespace.as_bytes());
    string(&mut out, b"");
    string(&mut out, HASH);
    Some(out)
}

/// The signature as SSH writes it, from its raw form: 64 bytes of Ed25519, or r and s of fixed length.
pub fn signature(spki: &[u8], raw: &[u8]) -> Option<Vec<u8>> {
    let (algorithm, _) = public_blob(spki)?;
    let mut inner = Vec::new();
    if algorithm == ED25519 {
        inner.extend_from_slice(raw);
    } else {
        let (r, s) = raw.split_at_checked(raw.len() / 2)?;
        integer(&mut inner, r);
        integer(&mut inner, s);
    }
    let mut out = Vec::new();
    string(&mut out, algorithm.as_bytes());
    string(&mut out, &inner);
    Some(out)
}

/// Writes a positive integer without needless zeros in front (RFC 4251).
fn integer(out: &mut Vec<u8>, bytes: &[u8]) {
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    let digits = bytes.get(zeros..).unwrap_or_default();
    let sign: &[u8] = match digits.first() {
        Some(first) if first & 0x80 != 0 => &[0],
        _ => &[],
    };
    string(out, &[sign, digits].concat());
}

/// Reads such an integer into so many bytes.
fn fixed(input: &mut &[u8], length: usize) -> Option<Vec<u8>> {
    let bytes = take(input)?;
    let digits = bytes.strip_prefix(&[0]).unwrap_or(bytes);
    let mut out = vec![0; length.checked_sub(digits.len())?];
    out.extend_from_slice(digits);
    let mut again = Vec::new();
    integer(&mut again, &out);
    (again.get(4..) == Some(bytes)).then_some(out)
}

/// Whether `blob` is an SSH signature by this key over `payload` in this namespace. `None` when keys of this kind are
/// not known here.
pub fn verifies(spki: &[u8], namespace: &str, payload: &[u8], blob: &[u8]) -> Option<bool> {
    let head = head(spki, namespace)?;
    let message = message(namespace, payload);
    Some(
        blob.strip_prefix(head.as_slice())
            .and_then(|rest| inner(spki, rest))
            .is_some_and(|raw| raw_verifies(spki, &message, &raw)),
    )
}

/// The raw signature inside the last string of a blob.
fn inner(key: &[u8], mut rest: &[u8]) -> Option<Vec<u8>> {
    let (algorithm, _) = public_blob(key)?;
    let mut signature = take(&mut rest)?;
    let named = take(&mut signature)? == algorithm.as_bytes();
    let mut inner = take(&mut signature)?;
    if !named || !rest.is_empty() || !signature.is_empty() {
        return None;
    }
    let Some(curve) = CURVES.iter().find(|c| c.algorithm == algorithm) else {
        return Some(inner.to_vec());
    };
    let raw = [
        fixed(&mut inner, curve.scalar)?,
        fixed(&mut inner, curve.scalar)?,
    ]
    .concat();
    inner.is_empty().then_some(raw)
}

fn raw_verifies(spki: &[u8], message: &[u8], raw: &[u8]) -> bool {
    match CURVES.iter().find_map(|c| Some((c, c.point(spki)?))) {
        Some((curve, point)) => ParsedPublicKey::new(curve.verification, point)
            .is_ok_and(|key| key.verify_sig(message, raw).is_ok()),
        None => crate::trust::key::ed25519_verifies(spki, message, raw),
    }
}
