//! Core metadata of a distribution (PyPA "Core metadata specifications", up to version 2.5): the headers of `METADATA`
//! or `PKG-INFO`. Requirements stay texts here; whoever resolves reads them.

use super::classifiers::spdx_of;
use crate::base::text::quoted;
use crate::eco::ReleaseFacts;
use crate::eco::pypi::name::Name;

/// Largest text, in bytes; the description is part of it.
pub const MAX_TEXT: usize = 8 << 20;
/// Most headers.
const MAX_HEADERS: usize = 20_000;
/// Longest value that is taken into facts, in bytes.
const MAX_FACT: usize = 4 << 10;

/// Why a text is no core metadata. Safe to print.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Longer than allowed.
    #[error("core metadata of {size} bytes is longer than {MAX_TEXT} bytes")]
    TooLarge {
        /// Bytes found.
        size: usize,
    },
    /// More headers than allowed.
    #[error("core metadata has more than {MAX_HEADERS} headers")]
    TooMany,
    /// A header that must be there.
    #[error("core metadata has no {header}")]
    Missing {
        /// The header.
        header: &'static str,
    },
    /// A header with a value that it cannot have.
    #[error("{header} {value} of the core metadata cannot be used")]
    Value {
        /// The header.
        header: &'static str,
        /// Its value, quoted.
        value: String,
    },
}

/// What a distribution says of itself. Values are trimmed; empty ones and `UNKNOWN` count as absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Version of the format, such as `2.1`.
    pub metadata_version: Option<String>,
    /// The project.
    pub name: Name,
    /// Name as published.
    pub published_name: String,
    /// Version as published.
    pub version: String,
    /// Requirements (PEP 508), in their order.
    pub requires_dist: Vec<String>,
    /// Pythons that it runs on (PEP 440 specifiers).
    pub requires_python: Option<String>,
    /// Names of extras, as written.
    pub provides_extra: Vec<String>,
    /// Free text of `License`.
    pub license: Option<String>,
    /// SPDX expression (PEP 639).
    pub license_expression: Option<String>,
    /// Trove classifiers.
    pub classifiers: Vec<String>,
    /// Author's name.
    pub author: Option<String>,
    /// Author's address, often with the name.
    pub author_email: Option<String>,
    /// Maintainer's name.
    pub maintainer: Option<String>,
    /// Maintainer's address.
    pub maintainer_email: Option<String>,
    /// One line about it.
    pub summary: Option<String>,
    /// Home page.
    pub home_page: Option<String>,
    /// Labelled addresses.
    pub project_urls: Vec<(String, String)>,
    /// Names of fields that may differ in what is built from this sdist (PEP 643), lowercase.
    pub dynamic: Vec<String>,
}

impl Metadata {
    /// Reads the headers of `text`; what follows them is not looked at.
    pub fn parse(text: &str) -> Result<Self, MetadataError> {
        if text.len() > MAX_TEXT {
            return Err(MetadataError::TooLarge { size: text.len() });
        }
        let headers = Headers::read(text)?;
        let need = |header: &'static str| {
            let value = headers.one(header);
            value.ok_or(MetadataError::Missing { header })
        };
        let published_name = need("Name")?;
        let version = need("Version")?;
        let bad = |header, value: &str| MetadataError::Value {
            header,
            value: quoted(value),
        };
        let name = published_name.parse();
        let name = name.map_err(|_bad| bad("Name", &published_name))?;
        if !super::is_version(&version) {
            return Err(bad("Version", &version));
        }
        let urls = headers.all("Project-URL").into_iter();
        let pair = |text: String| {
            let (label, url) = text.split_once(',')?;
            Some((label.trim().to_owned(), url.trim().to_owned()))
        };
        let dynamic = headers.all("Dynamic").into_iter();
        Ok(Self {
            metadata_version: headers.one("Metadata-Version"),
            name,
            published_name,
            version,
            requires_dist: headers.all("Requires-Dist"),
            requires_python: headers.one("Requires-Python"),
            provides_extra: headers.all("Provides-Extra"),
            license: headers.one("License"),
            license_expression: headers.one("License-Expression"),
            classifiers: headers.all("Classifier"),
            author: headers.one("Author"),
            author_email: headers.one("Author-email"),
            maintainer: headers.one("Maintainer"),
            maintainer_email: headers.one("Maintainer-email"),
            summary: headers.one("Summary"),
            home_page: headers.one("Home-page"),
            project_urls: urls.filter_map(pair).collect(),
            dynamic: dynamic.map(|field| field.to_ascii_lowercase()).collect(),
        })
    }

    /// The license: the SPDX expression, else a classifier that means one, else a short `License`, else what the
    /// classifiers say.
    pub fn declared_license(&self) -> Option<String> {
        let short = |text: &&String| text.len() <= 100 && !text.contains('\n');
        let classified = self.classifiers.iter();
        let classified = classified.filter_map(|c| c.strip_prefix("License :: "));
        let last = |text: &str| text.rsplit(" :: ").next().map(str::to_owned);
        let mut words: Vec<String> = classified.filter_map(last).collect();
        words.retain(|word| word != "OSI Approved");
        let known: Option<Vec<&str>> = words.iter().map(|word| spdx_of(word)).collect();
        let known = known.filter(|ids| ids.len() == 1).map(|ids| ids.concat());
        let said = self.license.as_ref().filter(short).cloned();
        let all = (!words.is_empty()).then(|| words.join(", "));
        self.license_expression.clone().or(known).or(said).or(all)
    }

    /// What it says about its release, without files.
    pub fn facts(&self) -> ReleaseFacts {
        let labelled = |labels: &[&str]| {
            let plain = |label: &str| -> String {
                let letters = label.chars().filter(char::is_ascii_alphanumeric);
                letters.collect::<String>().to_ascii_lowercase()
            };
            let mut urls = self.project_urls.iter();
            let found = urls.find(|(label, _)| labels.contains(&plain(label).as_str()));
            found.map(|(_, url)| url.clone())
        };
        let supplier = [
            &self.author,
            &self.author_email,
            &self.maintainer,
            &self.maintainer_email,
        ];
        let supplier = supplier.into_iter().find_map(Clone::clone);
        let homepage = self.home_page.clone();
        let homepage = homepage.or_else(|| labelled(&["homepage", "home"]));
        let repository = labelled(&["source", "repository", "sourcecode", "github", "code"]);
        let short = |fact: Option<String>| fact.filter(|text| text.len() <= MAX_FACT);
        ReleaseFacts {
            supplier: short(supplier),
            license: short(self.declared_license()),
            description: short(self.summary.clone()),
            homepage: short(homepage),
            repository: short(repository),
            ..ReleaseFacts::default()
        }
    }
}

/// The headers in their order, continuation lines joined by newlines.
struct Headers(Vec<(String, String)>);

impl Headers {
    fn read(text: &str) -> Result<Self, MetadataError> {
        let mut headers: Vec<(String, String)> = Vec::new();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for line in text.lines() {
            if line.is_empty() {
                break;
            }
            if line.starts_with([' ', '\t']) {
                // The first line cannot go on with anything.
                let Some((_, value)) = headers.last_mut() else {
                    break;
                };
                value.push('\n');
                value.push_str(line.trim());
                continue;
            }
            // As mail readers do: a line that is no header starts the body.
            let header = line.split_once(':');
            let Some((name, value)) = header.filter(|(name, _)| is_header(name)) else {
                break;
            };
            if headers.len() == MAX_HEADERS {
                return Err(MetadataError::TooMany);
            }
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Self(headers))
    }

    /// Values of every header of this name that has one.
    fn all(&self, name: &str) -> Vec<String> {
        let named = self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let values = named.map(|(_, value)| value.trim());
        values
            .filter(|v| !v.is_empty() && *v != "UNKNOWN")
            .map(str::to_owned)
            .collect()
    }

    /// The first of them.
    fn one(&self, name: &str) -> Option<String> {
        self.all(name).into_iter().next()
    }
}

fn is_header(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    !name.is_empty() && name.len() <= 64 && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::{Metadata, MetadataError};

    const TEXT: &str = "Metadata-Version: 2.1\nName: Zope.Interface\nVersion: 5.0\nSummary: Interfaces\n for Python\n\
        Author-email: Zope <zope@a.example>\nLicense: ZPL 2.1\nClassifier: Programming Language :: Python\n\
        Requires-Dist: setuptools\nRequires-Dist: sphinx ; extra == 'docs'\nrequires-python: >=3.8\n\
        Provides-Extra: docs\nProject-URL: Source Code, https://s.example/\nHome-page: UNKNOWN\nDynamic: License\n\
        \nName: other\nnot a header\n";

    #[test]
    fn headers_end_at_the_empty_line() {
        let found = Metadata::parse(TEXT).unwrap();
        assert_eq!(found.name.as_str(), "zope-interface");
        assert_eq!(found.published_name, "Zope.Interface");
        assert_eq!(
            found.requires_dist,
            ["setuptools", "sphinx ; extra == 'docs'"]
        );
        assert_eq!(found.requires_python.as_deref(), Some(">=3.8"));
        assert_eq!(found.dynamic, ["license"]);
        let facts = found.facts();
        assert_eq!(facts.supplier.as_deref(), Some("Zope <zope@a.example>"));
        assert_eq!(facts.license.as_deref(), Some("ZPL 2.1"));
        assert_eq!(facts.repository.as_deref(), Some("https://s.example/"));
        assert_eq!(facts.homepage, None);
        assert_eq!(facts.description.as_deref(), Some("Interfaces\nfor Python"));
    }

    #[test]
    fn licenses_from_the_most_exact_source() {
        let of = |lines: &str| {
            let text = format!("Name: a\nVersion: 1\n{lines}");
            Metadata::parse(&text).unwrap().declared_license()
        };
        let mit = "Classifier: License :: OSI Approved :: MIT License\n";
        assert_eq!(
            of(&format!("{mit}License-Expression: MIT OR ISC\n")).as_deref(),
            Some("MIT OR ISC")
        );
        assert_eq!(
            of(&format!("{mit}License: see file\n")).as_deref(),
            Some("MIT")
        );
        let bsd = "Classifier: License :: OSI Approved :: BSD License\n";
        assert_eq!(of(bsd).as_deref(), Some("BSD License"));
        assert_eq!(
            of(&format!("{mit}{bsd}")).as_deref(),
            Some("MIT License, BSD License")
        );
        assert_eq!(of(&format!("License: {}\n", "x".repeat(101))), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn hostile_texts_are_refused() {
        let error = |text: &str| Metadata::parse(text).unwrap_err();
        assert_eq!(error(""), MetadataError::Missing { header: "Name" });
        assert_eq!(
            error("Name: a\n"),
            MetadataError::Missing { header: "Version" }
        );
        assert_eq!(error(" Name: a"), MetadataError::Missing { header: "Name" });
        assert_eq!(
            error("Name: a\nVersion 1\nVersion: 1"),
            MetadataError::Missing { header: "Version" }
        );
        assert!(matches!(
            error("Name: ../a\nVersion: 1"),
            MetadataError::Value { .. }
        ));
        assert!(matches!(
            error("Name: a\nVersion: 1/2"),
            MetadataError::Value { .. }
        ));
        assert_eq!(error(&"A: b\n".repeat(20_001)), MetadataError::TooMany);
        let long = "x".repeat(super::MAX_TEXT + 1);
        assert!(matches!(error(&long), MetadataError::TooLarge { .. }));
        let many = format!(
            "Name: a\nVersion: 1\nSummary: {0}\nRequires-Dist: {0}\n",
            "x".repeat(99_999)
        );
        let read = Metadata::parse(&many).unwrap();
        assert_eq!(
            (read.requires_dist.len(), read.facts().description),
            (1, None)
        );
        let shown = error("Name: N\u{1b}[2J\nVersion: 1").to_string();
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }
}
