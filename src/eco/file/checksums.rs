//! A publisher's list of checksums, such as `SHASUMS256.txt`, trusted by an OpenPGP signature of a pinned key.

use crate::base::digest::Digest;
use crate::base::text::quoted;
use crate::base::time::Timestamp;
use crate::eco::file::fault::FileError;
use crate::openpgp::keyring::Keyring;
use crate::openpgp::{OpenpgpError, Signed, verify};

/// Begins a cleartext signed message (RFC 4880 §7).
const CLEARTEXT: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";

/// What was fetched and read for one file.
pub(super) struct Documents<'a> {
    /// The file's path in the enclave.
    pub(super) path: &'a str,
    /// The list of checksums.
    pub(super) checksums: &'a [u8],
    /// Its signature: detached, or the list once more as a cleartext signed message. `None`: the list is one itself.
    pub(super) signature: Option<&'a [u8]>,
    /// Who may have signed it.
    pub(super) keyring: &'a Keyring,
    /// The time now.
    pub(super) now: Timestamp,
}

impl Documents<'_> {
    fn untrusted(&self, source: OpenpgpError) -> FileError {
        FileError::Untrusted {
            path: quoted(self.path),
            source,
        }
    }

    /// The SHA-256 that the signed list has for `name`, and the fingerprints of the certificates that signed it, sorted.
    pub(super) fn digest(&self, name: &str) -> Result<(Digest, Vec<String>), FileError> {
        let Signed { text, signers } = self.signed()?;
        let mut found = None;
        for line in text.lines() {
            let Some((digest, named)) = parse(line) else {
                continue;
            };
            if named != name {
                continue;
            }
            if found.is_some_and(|known| known != digest) {
                return Err(FileError::Checksums {
                    path: quoted(self.path),
                    reason: format!("{} stands in it twice", quoted(name)),
                });
            }
            found = Some(digest);
        }
        let digest = found.ok_or_else(|| FileError::Missing {
            path: quoted(self.path),
            name: quoted(name),
        })?;
        let signers = signers.into_iter();
        let mut by: Vec<String> = signers
            .map(|signer| signer.certificate.as_str().to_owned())
            .collect();
        by.sort();
        by.dedup();
        Ok((digest, by))
    }

    /// The list, once a key of the keyring has signed it.
    fn signed(&self) -> Result<Signed, FileError> {
        let cleartext = |message: &[u8]| {
            let signed = verify::cleartext(message, self.keyring, self.now);
            signed.map_err(|e| self.untrusted(e))
        };
        let Some(signature) = self.signature else {
            return cleartext(self.checksums);
        };
        if signature.starts_with(CLEARTEXT) {
            let signed = cleartext(signature)?;
            let plain = String::from_utf8_lossy(self.checksums);
            let same = signed.text.lines().eq(plain.lines().map(str::trim_end));
            return if same {
                Ok(signed)
            } else {
                Err(FileError::Different {
                    path: quoted(self.path),
                })
            };
        }
        let signers = verify::detached(self.checksums, signature, self.keyring, self.now)
            .map_err(|e| self.untrusted(e))?;
        let text = std::str::from_utf8(self.checksums).map_err(|_bad| FileError::Checksums {
            path: quoted(self.path),
            reason: "not UTF-8".to_owned(),
        })?;
        Ok(Signed {
            text: text.to_owned(),
            signers,
        })
    }
}

/// A line of `sha256sum` (`digest  name`, `digest *name`) or of BSD (`SHA256 (name) = digest`).
fn parse(line: &str) -> Option<(Digest, &str)> {
    let bsd = line.trim_end().strip_prefix("SHA256 (");
    if let Some((name, digest)) = bsd.and_then(|rest| rest.rsplit_once(") = ")) {
        return Some((Digest::from_hex(digest).ok()?, name));
    }
    let (digest, name) = line.trim_end().split_once(' ')?;
    let name = name.strip_prefix([' ', '*']).unwrap_or(name);
    let name = name.strip_prefix("./").unwrap_or(name);
    Some((Digest::from_hex(digest).ok()?, name))
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::base::digest::Digest;

    #[test]
    fn both_forms_of_lines_are_read() {
        let digest = Digest::of(b"x");
        let hex = digest.hex();
        for line in [
            format!("{hex}  a b.tar"),
            format!("{hex} *a b.tar"),
            format!("{hex}  ./a b.tar"),
            format!("SHA256 (a b.tar) = {hex}"),
        ] {
            assert_eq!(parse(&line), Some((digest, "a b.tar")), "{line}");
        }
        for line in ["", "x  y", "SHA512 (a) = 00", &hex] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
