//! The frame of armoured OpenPGP data, read strictly before the library sees it: what stands before, between or after
//! the armour is refused, since different readers disagree on it (CVE-2016-1252 and its relatives).

use crate::openpgp::OpenpgpError;

const SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &str = "-----END PGP SIGNATURE-----";
const BEGIN_KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END_KEY: &str = "-----END PGP PUBLIC KEY BLOCK-----";
/// Names of hash algorithms that a `Hash:` header may have.
const HASHES: &[&str] = &[
    "MD5",
    "SHA1",
    "RIPEMD160",
    "SHA224",
    "SHA256",
    "SHA384",
    "SHA512",
    "SHA3-256",
    "SHA3-512",
];

/// Whether `bytes` is armoured: no packet begins with a letter, a blank or a hyphen (RFC 4880 §4.2: bit 7 is set).
pub(super) fn is_armored(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first & 0x80 == 0)
}

/// Checks that `text` is one cleartext signed message and nothing else.
pub(super) fn check_cleartext(text: &str) -> Result<(), OpenpgpError> {
    check_characters(text)?;
    let mut lines = text.lines();
    if lines.next() != Some(SIGNED) {
        return Err(OpenpgpError::message("it does not begin with the armour"));
    }
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        let algorithms = line.strip_prefix("Hash: ").map(|a| a.split(','));
        if !algorithms.is_some_and(|mut a| a.all(|name| HASHES.contains(&name.trim()))) {
            return Err(OpenpgpError::message("a header other than `Hash` is in it"));
        }
    }
    for line in lines.by_ref() {
        if line == BEGIN_SIGNATURE {
            return check_signature_lines(lines);
        }
        if line.starts_with('-') && !line.starts_with("- ") {
            return Err(OpenpgpError::message(
                "a line begins with an unescaped hyphen",
            ));
        }
    }
    Err(OpenpgpError::message("its signature is missing"))
}

/// Checks that `text` is one armoured signature and nothing else.
pub(super) fn check_detached(text: &str) -> Result<(), OpenpgpError> {
    check_characters(text)?;
    let mut lines = text.lines();
    if lines.next() != Some(BEGIN_SIGNATURE) {
        return Err(OpenpgpError::message("it does not begin with the armour"));
    }
    check_signature_lines(lines)
}

/// The lines after the beginning of an armoured signature: its end comes last.
fn check_signature_lines<'a>(mut lines: impl Iterator<Item = &'a str>) -> Result<(), OpenpgpError> {
    for line in lines.by_ref() {
        if line == END_SIGNATURE {
            return if lines.all(str::is_empty) {
                Ok(())
            } else {
                Err(OpenpgpError::message("text follows the armour"))
            };
        }
        if line.starts_with('-') {
            return Err(OpenpgpError::message("another armour begins inside it"));
        }
    }
    Err(OpenpgpError::message("its armour does not end"))
}

/// Line feeds and tabs are the only control characters.
fn check_characters(text: &str) -> Result<(), OpenpgpError> {
    let foreign = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if text.contains(foreign) {
        return Err(OpenpgpError::message(
            "a carriage return or another control character is in it",
        ));
    }
    Ok(())
}

/// The armoured blocks of a keyring, which may be several after each other with comments between them.
pub(super) fn key_blocks(text: &str) -> Result<Vec<String>, OpenpgpError> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines().map(str::trim_end) {
        match &mut open {
            None if line == BEGIN_KEY => open = Some(format!("{line}\n")),
            None => {}
            Some(_) if line == BEGIN_KEY => {
                return Err(OpenpgpError::keyring("an armour begins inside another"));
            }
            Some(block) => {
                block.push_str(line);
                block.push('\n');
                if line == END_KEY {
                    blocks.extend(open.take());
                }
            }
        }
    }
    match open {
        Some(_) => Err(OpenpgpError::keyring("its armour does not end")),
        None => Ok(blocks),
    }
}
