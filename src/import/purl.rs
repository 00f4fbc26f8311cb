//! Package URLs as people give them: which packages they mean.

use crate::base::package::Purl;
use crate::base::text::{percent_decoded, quoted};
use crate::import::ImportError;

/// A package URL, in the one spelling that [`Purl`] has. Without a version it means all of them, without qualifiers any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurlPattern {
    text: String,
}

impl PurlPattern {
    /// Reads `pkg:type/namespace/name@version?qualifiers`; the version and the qualifiers may be missing.
    ///
    /// # Errors
    /// The text is no package URL, or one with a subpath.
    pub fn parse(text: &str) -> Result<Self, ImportError> {
        let found = Self::read(text).ok_or_else(|| ImportError::Purl {
            found: quoted(text),
        })?;
        Ok(Self { text: found })
    }

    fn read(text: &str) -> Option<String> {
        if text.len() > 1024 || text.contains('#') || text.chars().any(char::is_control) {
            return None;
        }
        let (path, qualifiers) = match text.strip_prefix("pkg:")?.split_once('?') {
            Some((path, qualifiers)) => (path, Some(qualifiers)),
            None => (path_of(text)?, None),
        };
        let (kind, path) = path.split_once('/')?;
        let kind = kind.to_ascii_lowercase();
        let (path, version) = match path.rsplit_once('@') {
            // The `@` of a scope stands at the start of its segment.
            Some((before, version)) if !before.is_empty() && !before.ends_with('/') => {
                (before, decode(version)?)
            }
            _ => (path, String::new()),
        };
        let segments: Vec<String> = path.split('/').map(decode).collect::<Option<_>>()?;
        let segments: Vec<String> = segments.into_iter().map(|s| named(&kind, s)).collect();
        let plain = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric());
        if !plain || segments.iter().any(String::is_empty) {
            return None;
        }
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let purl = Purl::new(&kind, &segments, &version, &[]);
        let mut text = purl.as_str().trim_end_matches('@').to_owned();
        if let Some(qualifiers) = qualifiers.filter(|q| !q.is_empty()) {
            text.push('?');
            text.push_str(qualifiers);
        }
        Some(text)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it means this package.
    pub fn covers(&self, purl: &Purl) -> bool {
        covers(&self.text, purl)
    }
}

fn path_of(text: &str) -> Option<&str> {
    text.strip_prefix("pkg:")
}

/// Whether the text of a [`PurlPattern`] means this package.
pub fn covers(pattern: &str, purl: &Purl) -> bool {
    let whole = purl.as_str();
    let core = whole.split('?').next().unwrap_or(whole);
    let name = core.rsplit_once('@').map_or(core, |(name, _)| name);
    pattern == whole || pattern == core || pattern == name
}

/// PyPI's names have one spelling (PEP 503).
fn named(kind: &str, segment: String) -> String {
    if kind == "pypi" {
        return segment.to_ascii_lowercase().replace(['_', '.'], "-");
    }
    segment
}

fn decode(text: &str) -> Option<String> {
    let text = percent_decoded(text)?;
    (!text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::PurlPattern;
    use crate::base::package::Purl;

    #[test]
    fn every_spelling_means_the_same_package() {
        let purl = Purl::new("npm", &["@scope", "name"], "1.0.0+b", &[("arch", "x")]);
        for text in [
            "pkg:npm/%40scope/name@1.0.0%2Bb",
            "pkg:npm/@scope/name@1.0.0+b",
            "pkg:NPM/%40scope/name@1.0.0%2bb",
            "pkg:npm/@scope/name",
            "pkg:npm/%40scope/name@1.0.0%2Bb?arch=x",
        ] {
            assert!(PurlPattern::parse(text).unwrap().covers(&purl), "{text}");
        }
        for text in [
            "pkg:npm/@scope/name@1.0.0",
            "pkg:npm/@scope/nam",
            "pkg:npm/name",
            "pkg:pypi/@scope/name",
            "pkg:npm/@scope/name@1.0.0+b?arch=y",
        ] {
            assert!(!PurlPattern::parse(text).unwrap().covers(&purl), "{text}");
        }
        let purl = Purl::new("pypi", &["zope-interface"], "1", &[]);
        let given = PurlPattern::parse("pkg:pypi/Zope.Interface@1").unwrap();
        assert!(given.covers(&purl));
        assert_eq!(given.as_str(), "pkg:pypi/zope-interface@1");
    }

    #[test]
    fn what_is_no_purl_is_refused() {
        for bad in [
            "",
            "left-pad",
            "pkg:",
            "pkg:npm",
            "pkg:npm/",
            "pkg:/x",
            "pkg:npm//x",
            "pkg:npm/x#y",
            "pkg:npm/%zz",
            "pkg:npm/a%0ab",
            "pkg:n m/a",
        ] {
            assert!(PurlPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
