//! Making foreign text safe to print.

use std::path::Path;

use data_encoding::BASE64;

/// The most characters of one foreign text that a message shows.
const SHOWN: usize = 200;

/// `text` in double quotes with control, bidirectional and other invisible characters escaped as `\u{..}`, cut
/// after 200 characters. The only way foreign text reaches a terminal, a log or a report.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// Decodes canonical base64 (RFC 4648, section 4): padded at its end only, no spaces, unused bits zero. The library also
/// takes several padded texts in a row, which would be a second spelling of the same bytes.
pub fn base64(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    (BASE64.encode(&bytes) == text).then_some(bytes)
}

/// As [`quoted`], without the quotes.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (count, c) in text.chars().enumerate() {
        if count == SHOWN {
            out.push('…');
            break;
        }
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if is_plain(c) => out.push(c),
            c => out.extend(c.escape_unicode()),
        }
    }
    out
}

/// `text` with invisible characters escaped and nothing else changed, however long: for texts of errors, whose parts
/// are quoted already.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_plain(c) {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
    }
    out
}

/// As much of a text as `most` characters show; an ellipsis says that there is more.
pub fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let start: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{start}…")
}

/// A path as people see it, whole, with invisible characters escaped.
pub fn shown(path: &Path) -> String {
    visible(&path.to_string_lossy())
}

/// A number of bytes for people: `149.2 MB`.
pub fn amount(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let (mut tenths, mut unit) = (count / 100, 0);
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!(
        "{}.{} {}",
        tenths / 10,
        tenths % 10,
        UNITS.get(unit).unwrap_or(&"TB")
    )
}

/// Whether a character shows itself and nothing else.
pub fn is_plain(c: char) -> bool {
    let hidden = c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    !hidden
}

/// Longest text of [`harmless`], in characters; nftables takes 128 bytes.
const HARMLESS: usize = 100;

/// The start of a text without anything that a rule file, a script or a template could take for something else.
pub fn harmless(text: &str) -> String {
    let means_nothing = |c: char| c.is_ascii_alphanumeric() || " .,_/:-".contains(c);
    text.chars()
        .take(HARMLESS)
        .map(|c| if means_nothing(c) { c } else { '_' })
        .collect()
}

/// A text with its percent signs undone (RFC 3986 §2.1), once; `None` where two hex digits are missing or the bytes are not
/// UTF-8.
pub fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.extend(data_encoding::HEXLOWER_PERMISSIVE.decode(&digits).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::{base64, quoted, visible};

    #[test]
    fn base64_has_one_spelling() {
        assert_eq!(base64("YQ==").unwrap(), b"a");
        assert_eq!(base64("").unwrap(), b"");
        for bad in [
            "YQ", "YR==", "YQ==\n", "Y Q==", "YQ=", "_w==", "YQ==YQ==", "MGU=MQDZ",
        ] {
            assert!(base64(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn nothing_invisible_survives() {
        assert_eq!(
            quoted("a\u{1b}[2Jb\u{202e}c\n"),
            r#""a\u{1b}[2Jb\u{202e}c\u{a}""#
        );
        assert_eq!(quoted("Größe 1"), "\"Größe 1\"");
        let said = format!("cannot open {}: \u{9b}", quoted("a\"\n"));
        assert_eq!(visible(&said), r#"cannot open "a\"\u{a}": \u{9b}"#);
        assert_eq!(visible(&visible(&said)), visible(&said));
        assert_eq!(quoted(&"x".repeat(500)).chars().count(), 203);
    }
}
