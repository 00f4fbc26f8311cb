//! Archives as apt is told of them (sources.list(5)): the deb822 form, in which this host's own sources come too.

use crate::base::text::quoted;
use crate::eco::debian::control::{self, Stanza};

/// Where the keys of a source come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SignedBy {
    /// Files of certificates.
    Files(Vec<String>),
    /// Certificates inside the source, armoured.
    Inline(String),
}

/// One source: an archive with suites and components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AptSource {
    /// Address of the archive.
    pub(crate) uri: String,
    /// Suites.
    pub(crate) suites: Vec<String>,
    /// Components.
    pub(crate) components: Vec<String>,
    /// Architectures it is limited to; empty = all.
    pub(crate) architectures: Vec<String>,
    /// Keys.
    pub(crate) signed_by: SignedBy,
}

/// The sources of a file in deb822 form that are on, for binary packages, and reached by http or https; in order. The
/// error says what is wrong, safe to print.
pub(crate) fn parse(text: &str) -> Result<Vec<AptSource>, String> {
    let mut found = Vec::new();
    for stanza in control::stanzas(text) {
        let stanza = stanza.map_err(|e| e.to_string())?;
        if !is_used(&stanza) {
            continue;
        }
        let words = |name: &str| words(&stanza, name);
        for uri in words("URIs").into_iter().filter(|uri| is_web(uri)) {
            let uri = uri.trim_end_matches('/');
            found.push(source(&stanza, uri, &words)?);
        }
    }
    Ok(found)
}

/// Addresses of sources that are on, for binary packages, and reached in another way, such as `cdrom:` or `file:`; in
/// order, without passwords, safe to print. apt uses them, [`parse`] leaves them out.
pub(crate) fn skipped(text: &str) -> Vec<String> {
    let used = control::stanzas(text).flatten().filter(is_used);
    let uris = used.flat_map(|stanza| words(&stanza, "URIs"));
    let others = uris.filter(|uri| !is_web(uri));
    others.map(|uri| quoted(&without_login(uri))).collect()
}

/// An address without what stands before `@` in its host.
pub(crate) fn without_login(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else {
        return uri.to_owned();
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.rsplit('@').next().unwrap_or(host);
    format!("{scheme}://{host}{path}")
}

fn words<'a>(stanza: &Stanza<'a>, name: &str) -> Vec<&'a str> {
    let value = stanza.field(name).unwrap_or_default();
    value.split_ascii_whitespace().collect()
}

/// Whether apt takes binary packages from there.
fn is_used(stanza: &Stanza<'_>) -> bool {
    let off = stanza.field("Enabled").is_some_and(|v| {
        matches!(
            v.to_ascii_lowercase().as_str(),
            "no" | "false" | "off" | "0"
        )
    });
    !off && words(stanza, "Types").contains(&"deb")
}

fn is_web(uri: &str) -> bool {
    uri.starts_with("http://") || uri.starts_with("https://")
}

fn source<'a>(
    stanza: &Stanza<'a>,
    uri: &str,
    words: &dyn Fn(&str) -> Vec<&'a str>,
) -> Result<AptSource, String> {
    let owned =
        |name: &str| -> Vec<String> { words(name).into_iter().map(str::to_owned).collect() };
    let suites = owned("Suites");
    if let Some(flat) = suites.iter().find(|suite| !is_suite(suite)) {
        return Err(format!(
            "{} of {} is no suite; archives without suites are not read",
            quoted(flat),
            quoted(uri)
        ));
    }
    let components = owned("Components");
    if let Some(bad) = components.iter().find(|c| !is_suite(c)) {
        return Err(format!("{} is no component", quoted(bad)));
    }
    if suites.is_empty() || components.is_empty() {
        return Err(format!(
            "the source {} has no suites or no components",
            quoted(uri)
        ));
    }
    Ok(AptSource {
        uri: uri.to_owned(),
        suites,
        components,
        architectures: owned("Architectures"),
        signed_by: signed_by(stanza, uri)?,
    })
}

fn signed_by(stanza: &Stanza<'_>, uri: &str) -> Result<SignedBy, String> {
    let value = stanza.field("Signed-By").unwrap_or_default();
    if value.contains("-----BEGIN") {
        // Lines begin with a blank, and a dot alone stands for an empty line.
        let lines =
            value.lines().map(
                |line| match line.strip_prefix([' ', '\t']).unwrap_or(line) {
                    "." => "",
                    line => line,
                },
            );
        let mut armoured: String = lines.collect::<Vec<_>>().join("\n");
        armoured.push('\n');
        return Ok(SignedBy::Inline(armoured));
    }
    let files: Vec<String> = value
        .split([',', ' ', '\t', '\n'])
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    if files.is_empty() || files.iter().any(|file| !file.starts_with('/')) {
        return Err(format!(
            "the source {} names no keyring file in Signed-By",
            quoted(uri)
        ));
    }
    Ok(SignedBy::Files(files))
}

/// Whether `text` can name a suite or component: parts of a path, such as `bookworm`, `noble-updates`, `updates/main`.
pub(crate) fn is_suite(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+' | b'~'))
    };
    text.len() <= 128 && text.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::{SignedBy, is_suite, parse, skipped};

    #[test]
    fn sources_are_read_as_apt_reads_them() {
        let text = "# comment\n";
        assert_eq!(
            parse(text).unwrap_err(),
            "line 1: \"# comment\" is no field"
        );
        let text = "Types: deb deb-src\nURIs: http://a.example/debian https://b.example/x\nSuites: bookworm \
                    bookworm-updates\nComponents: main contrib\nSigned-By: /k/a.gpg\n\nTypes: deb\nEnabled: no\nURIs: \
                    http://c.example\n\nTypes: deb-src\nURIs: http://d.example\n\nTypes: deb\nURIs: \
                    cdrom:x\n\nTypes: deb\nURIs: https://e.example/u\nSuites: noble\nComponents: universe\n\
                    Architectures: amd64 arm64\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n \
                    -----END PGP PUBLIC KEY BLOCK-----\n";
        let found = parse(text).unwrap();
        let uris: Vec<&str> = found.iter().map(|s| s.uri.as_str()).collect();
        assert_eq!(
            uris,
            [
                "http://a.example/debian",
                "https://b.example/x",
                "https://e.example/u"
            ]
        );
        assert_eq!(found[0].suites, ["bookworm", "bookworm-updates"]);
        assert_eq!(
            found[0].signed_by,
            SignedBy::Files(vec!["/k/a.gpg".to_owned()])
        );
        assert_eq!(found[2].architectures, ["amd64", "arm64"]);
        assert_eq!(skipped(text), ["\"cdrom:x\""]);
        let key =
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----\n";
        assert_eq!(found[2].signed_by, SignedBy::Inline(key.to_owned()));
    }

    #[test]
    fn what_is_skipped_is_shown_without_its_password() {
        let source = |uri: &str| {
            format!("Types: deb\nURIs: {uri}\nSuites: s\nComponents: main\nSigned-By: /k\n\n")
        };
        let text: String = [
            "ftp://me:word@f.example/debian",
            "mirror+file:/etc/m.txt",
            "copy:/srv/d",
            "http://a.example",
        ]
        .map(source)
        .concat();
        let shown = [
            "\"ftp://f.example/debian\"",
            "\"mirror+file:/etc/m.txt\"",
            "\"copy:/srv/d\"",
        ];
        assert_eq!(skipped(&text), shown);
        assert_eq!(
            skipped(&text.replace("Types: deb", "Types: deb-src")),
            [""; 0]
        );
    }

    #[test]
    fn what_would_leave_the_archive_is_no_suite() {
        for good in ["bookworm", "bookworm-security", "stable/updates", "main"] {
            assert!(is_suite(good), "{good}");
        }
        for bad in [
            "", "/", "./", "../x", "a//b", "a/../b", "a b", "a?b", "a%2f", "/a", "a/",
        ] {
            assert!(!is_suite(bad), "{bad}");
        }
    }
}
