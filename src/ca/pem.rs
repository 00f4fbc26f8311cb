//! PEM files of certificates: what may stand in them, and the canonical form.

use data_encoding::BASE64;

use super::CaError;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// A line of base64 at least this long outside a block is taken for a piece of a broken one.
const STRAY_BASE64: usize = 40;

/// The certificates of a file, whose name is escaped, as DER.
pub(super) fn read(file: &str, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CaError> {
    let expected = check_text(file, bytes)?;
    certificates(file, bytes, expected)
}

/// Refuses what must not be in the file, line by line; counts the certificates.
fn check_text(file: &str, bytes: &[u8]) -> Result<usize, CaError> {
    let refuse = |line: usize, reason| CaError::NotPem {
        file: file.to_owned(),
        line: line + 1,
        reason,
    };
    let private = |line: &[u8]| line.windows(11).any(|w| w == b"PRIVATE KEY");
    if let Some(line) = bytes.split(|b| *b == b'\n').position(private) {
        return Err(CaError::PrivateKey {
            file: file.to_owned(),
            line: line + 1,
        });
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(refuse(0, "is not PEM text"));
    };
    let (mut opened, mut count) = (None, 0);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end();
        let inside = opened.is_some();
        match line {
            BEGIN if inside => return Err(refuse(number, "begins a certificate inside another")),
            BEGIN => opened = Some(number),
            END if !inside => return Err(refuse(number, "ends a certificate that never began")),
            END => {
                opened = None;
                count += 1;
            }
            _ if line.starts_with("-----") => {
                return Err(refuse(number, "has a PEM block that is not a certificate"));
            }
            _ if !inside && is_stray(line) => {
                return Err(refuse(number, "has data outside a PEM block"));
            }
            _ => {}
        }
    }
    match opened {
        Some(number) => Err(refuse(number, "has a certificate without end")),
        None => Ok(count),
    }
}

/// Whether a line between certificates is more than an explanation for people.
fn is_stray(line: &str) -> bool {
    let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    let body = line.trim_end_matches('=');
    line.chars().any(|c| c.is_control() && c != '\t')
        || (body.len() >= STRAY_BASE64 && body.bytes().all(base64))
}

/// The certificates as DER; exactly as many as the lines said.
fn certificates(file: &str, bytes: &[u8], expected: usize) -> Result<Vec<Vec<u8>>, CaError> {
    let mut out = Vec::new();
    let mut rest = bytes;
    loop {
        let number = out.len() + 1;
        let unreadable = |reason: String| CaError::Unreadable {
            file: file.to_owned(),
            number,
            reason,
        };
        match rustls_pemfile::read_one_from_slice(rest) {
            Ok(Some((rustls_pemfile::Item::X509Certificate(der), after))) => {
                out.push(der.to_vec());
                rest = after;
            }
            Ok(Some(_)) => return Err(unreadable("not a certificate".to_owned())),
            Ok(None) if out.len() < expected => {
                return Err(unreadable("broken PEM block".to_owned()));
            }
            Ok(None) if out.is_empty() => {
                return Err(CaError::Empty {
                    file: file.to_owned(),
                });
            }
            Ok(None) => return Ok(out),
            Err(rustls_pemfile::Error::Base64Decode(_)) => {
                return Err(unreadable("not base64".to_owned()));
            }
            Err(_section) => return Err(unreadable("broken PEM block".to_owned())),
        }
    }
}

/// Canonical PEM (RFC 7468, 64 columns, LF).
pub(super) fn push(out: &mut Vec<u8>, der: &[u8]) {
    out.extend_from_slice(BEGIN.as_bytes());
    out.push(b'\n');
    for line in BASE64.encode(der).as_bytes().chunks(64) {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.extend_from_slice(END.as_bytes());
    out.push(b'\n');
}
