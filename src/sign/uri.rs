//! `pkcs11:` addresses of keys (RFC 7512): which module, which token, which key. A PIN never stands in one.

use std::path::{Path, PathBuf};

use crate::base::text::quoted;
use crate::sign::SignError;

/// What an address says. What is not said matches anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenUri {
    /// Label of the token.
    pub token: Option<Vec<u8>>,
    /// Serial number of the token.
    pub serial: Option<Vec<u8>>,
    /// Label of the key.
    pub object: Option<Vec<u8>>,
    /// Id of the key.
    pub id: Option<Vec<u8>>,
    /// The module: a shared library.
    pub module: Option<PathBuf>,
    /// File with the PIN.
    pub pin_source: Option<PathBuf>,
}

/// Whether the value of `--key` is such an address.
pub fn is_uri(path: &Path) -> bool {
    path.to_str()
        .is_some_and(|text| text.starts_with("pkcs11:"))
}

impl TokenUri {
    /// Reads an address.
    ///
    /// # Errors
    /// An attribute that is not known, said twice, or badly escaped; a `pin-value`.
    pub fn parse(text: &str) -> Result<Self, SignError> {
        let rest = text
            .strip_prefix("pkcs11:")
            .ok_or_else(|| bad("it does not begin with pkcs11:"))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self::default();
        for part in path.split(';').filter(|p| !p.is_empty()) {
            uri.attribute(part, false)?;
        }
        for part in query.split('&').filter(|p| !p.is_empty()) {
            uri.attribute(part, true)?;
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err(bad("it names no key: give object= or id="));
        }
        Ok(uri)
    }

    fn attribute(&mut self, part: &str, in_query: bool) -> Result<(), SignError> {
        let (name, value) = part
            .split_once('=')
            .ok_or_else(|| bad("an attribute has no value"))?;
        let value = unescape(value)?;
        let twice = match (name, in_query) {
            ("token", false) => self.token.replace(value).is_some(),
            ("serial", false) => self.serial.replace(value).is_some(),
            ("object", false) => self.object.replace(value).is_some(),
            ("id", false) => self.id.replace(value).is_some(),
            ("type", false) if value == b"private" => false,
            ("module-path", true) => self.module.replace(file(value)?).is_some(),
            ("pin-source", true) => self.pin_source.replace(file(value)?).is_some(),
            ("pin-value", _) => {
                return Err(bad(
                    "a PIN in an address is seen by everybody on the host; give pin-source or --passphrase-file",
                ));
            }
            _ => return Err(bad(&format!("the attribute {} is not known", quoted(name)))),
        };
        if twice {
            return Err(bad(&format!("{name} is given twice")));
        }
        Ok(())
    }
}

fn file(value: Vec<u8>) -> Result<PathBuf, SignError> {
    let text = String::from_utf8(value).map_err(|_bytes| bad("a path is not UTF-8"))?;
    let path = text.strip_prefix("file:").unwrap_or(&text);
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.starts_with('|') {
        return Err(bad("a path is not that of a file"));
    }
    Ok(PathBuf::from(path))
}

fn unescape(text: &str) -> Result<Vec<u8>, SignError> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let digits = rest.get(..2).unwrap_or_default();
        let byte = data_encoding::HEXLOWER_PERMISSIVE
            .decode(digits)
            .ok()
            .and_then(|bytes| bytes.first().copied())
            .ok_or_else(|| bad("a % is not followed by two hex digits"))?;
        out.push(byte);
        rest = rest.get(2..).unwrap_or_default();
    }
    Ok(out)
}

fn bad(reason: &str) -> SignError {
    SignError::Uri {
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::TokenUri;
    use std::path::PathBuf;

    #[test]
    fn addresses_say_one_thing() {
        let uri = TokenUri::parse(
            "pkcs11:token=My%20HSM;object=release;id=%01%fF;type=private?module-path=/usr/lib/x.so&pin-source=file:/run/pin",
        )
        .unwrap();
        assert_eq!(uri.token.as_deref(), Some(&b"My HSM"[..]));
        assert_eq!(uri.id.as_deref(), Some(&[1, 255][..]));
        assert_eq!(uri.module, Some(PathBuf::from("/usr/lib/x.so")));
        assert_eq!(uri.pin_source, Some(PathBuf::from("/run/pin")));
        for bad in [
            "pkcs11:",
            "pkcs11:token=a",
            "pkcs11:object=a;object=b",
            "pkcs11:object=a?pin-value=1234",
            "pkcs11:object=%4",
            "pkcs11:object=%zz",
            "pkcs11:object=a;colour=red",
            "pkcs11:object=a?pin-source=|cat",
            "pkcs11:object",
            "pkcs11:type=public;object=a",
        ] {
            let error = TokenUri::parse(bad).unwrap_err().to_string();
            assert!(!error.contains("1234"), "{error}");
        }
    }
}
