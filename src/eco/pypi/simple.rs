//! Pages of a simple index (PyPA "Simple repository API": PEP 503 HTML, PEP 691 JSON, with the additions of PEP 592, 658,
//! 700, 714, 740): the files of one project.

use pep440_rs::Version;
use serde::Deserialize;

use crate::base::digest::{Digest, UpstreamChecksum};
use crate::base::evidence::Gap;
use crate::base::text::{quoted, visible};
use crate::eco::pypi::UPSTREAM;
use crate::eco::pypi::filename::Filename;
use crate::eco::pypi::name::Name;
use crate::upstream::{Request, Want};

/// What an index may answer with, the best first.
const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01";
/// Largest page, in bytes.
const MAX_PAGE: u64 = 128 << 20;
/// Most files on it.
const MAX_FILES: usize = 300_000;
/// Longest address or other text of a file, in bytes.
const MAX_TEXT: usize = 8 << 10;

/// The files of a project that an installer may consider, in the order of the page.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    /// The files.
    pub(crate) files: Vec<PageFile>,
}

/// One file.
#[derive(Debug, Clone)]
pub(crate) struct PageFile {
    /// Its name.
    pub(crate) name: String,
    /// What the name says.
    pub(crate) parsed: Filename,
    /// The version in it.
    pub(crate) version: Version,
    /// Where it is: a URL, or a reference relative to the page.
    pub(crate) href: String,
    /// SHA-256 of its bytes, if the page states one.
    pub(crate) sha256: Option<Digest>,
    /// Its size in bytes.
    pub(crate) size: Option<u64>,
    /// `Requires-Python`.
    pub(crate) requires_python: Option<String>,
    /// Taken back by the publisher, with the reason.
    pub(crate) yanked: Option<String>,
    /// When it was published (RFC 3339).
    pub(crate) upload_time: Option<String>,
    /// Whether its core metadata can be asked for alone.
    pub(crate) has_metadata: bool,
    /// SHA-256 of that, if the page states one.
    pub(crate) metadata_sum: Option<Digest>,
    /// Where what its publisher attested is: as [`PageFile::href`].
    pub(crate) provenance: Option<String>,
    /// Why no attestation of it is judged, unless somebody says who should have signed one that is listed.
    pub(crate) unattested: Gap,
}

/// Asks for the page of a project.
pub(crate) fn request(name: &Name) -> Request {
    Request {
        upstream: UPSTREAM.to_owned(),
        path: page_path(name),
        accept: Some(ACCEPT),
        limit: MAX_PAGE,
        want: Want::Document,
        link: None,
    }
}

/// Path of a project's page below the index.
pub(crate) fn page_path(name: &Name) -> String {
    format!("{name}/")
}

/// Reads a page. Files of other kinds, and of names that are no names of the project's files, are passed over; the error
/// is safe to print.
pub(crate) fn parse(name: &Name, bytes: &[u8]) -> Result<Page, String> {
    let text = std::str::from_utf8(bytes).map_err(|_bad| "it is not UTF-8".to_owned())?;
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let (minor, listed) = if text.starts_with('{') {
        json(text)?
    } else {
        html(text)?
    };
    // Version 1.3 is the first that passes on attestations.
    let attests = minor >= 3 || listed.iter().any(|file| file.provenance.is_some());
    let gap = if attests { Gap::Absent } else { Gap::Stripped };
    let files = listed
        .into_iter()
        .filter_map(|file| file.checked(name, gap));
    Ok(Page {
        files: files.collect(),
    })
}

/// Where a page says that the file with this checksum is.
pub(crate) fn locate(
    name: &Name,
    page: &[u8],
    file: &str,
    sum: &UpstreamChecksum,
) -> Option<String> {
    let page = parse(name, page).ok()?;
    let same = |f: &&PageFile| {
        f.name == file
            && f.sha256
                .is_some_and(|d| *sum == UpstreamChecksum::Sha256(d))
    };
    page.files.iter().find(same).map(|f| f.href.clone())
}

/// A file as a page lists it.
#[derive(Debug, Default)]
struct Listed {
    name: String,
    href: String,
    sha256: Option<String>,
    size: Option<u64>,
    requires_python: Option<String>,
    yanked: Option<String>,
    upload_time: Option<String>,
    has_metadata: bool,
    metadata_sum: Option<String>,
    provenance: Option<String>,
}

impl Listed {
    fn checked(self, project: &Name, gap: Gap) -> Option<PageFile> {
        let short = |text: &String| text.len() <= MAX_TEXT;
        let parsed = Filename::parse(&self.name, project).ok()?;
        let version = parsed.version().replace('_', "-").parse().ok()?;
        let digest = |hex: String| Digest::from_hex(&hex.to_ascii_lowercase()).ok();
        let href = self.href.split('#').next().unwrap_or_default().to_owned();
        let provenance = self.provenance.filter(|t| !t.is_empty() && short(t));
        Some(PageFile {
            parsed,
            version,
            href: Some(href).filter(|href| !href.is_empty() && short(href))?,
            sha256: self.sha256.and_then(digest),
            size: self.size,
            requires_python: self.requires_python.filter(|t| !t.is_empty() && short(t)),
            yanked: self.yanked.filter(short),
            upload_time: self.upload_time.filter(short),
            has_metadata: self.has_metadata,
            metadata_sum: self.metadata_sum.and_then(digest),
            unattested: provenance.as_ref().map_or(gap, |_| Gap::Unsupported),
            provenance,
            name: self.name,
        })
    }
}

#[derive(Deserialize)]
struct JsonPage {
    meta: JsonMeta,
    files: Vec<JsonFile>,
}

#[derive(Deserialize)]
struct JsonMeta {
    #[serde(rename = "api-version")]
    api_version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct JsonFile {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: Hashes,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    requires_python: Option<String>,
    #[serde(default)]
    yanked: Option<Said>,
    #[serde(default)]
    upload_time: Option<String>,
    #[serde(default)]
    core_metadata: Option<Stated>,
    #[serde(default)]
    dist_info_metadata: Option<Stated>,
    #[serde(default)]
    provenance: Option<String>,
}

#[derive(Default, Deserialize)]
struct Hashes {
    #[serde(default)]
    sha256: Option<String>,
}

/// `false`, `true`, or the reason.
#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    Flag(bool),
    Reason(String),
}

/// `false`, `true`, or its hashes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stated {
    Flag(bool),
    Hashes(Hashes),
}

/// The minor version of the interface, and the files.
fn json(text: &str) -> Result<(u32, Vec<Listed>), String> {
    let page: JsonPage = serde_json::from_str(text).map_err(|e| visible(&e.to_string()))?;
    let minor = known_version(&page.meta.api_version)?;
    if page.files.len() > MAX_FILES {
        return Err(format!("it lists more than {MAX_FILES} files"));
    }
    let files = page.files.into_iter().map(|file| {
        let (has_metadata, metadata_sum) = match file.core_metadata.or(file.dist_info_metadata) {
            None => (false, None),
            Some(Stated::Flag(flag)) => (flag, None),
            Some(Stated::Hashes(hashes)) => (true, hashes.sha256),
        };
        Listed {
            name: file.filename,
            href: file.url,
            sha256: file.hashes.sha256,
            size: file.size,
            requires_python: file.requires_python,
            yanked: match file.yanked {
                None | Some(Said::Flag(false)) => None,
                Some(Said::Flag(true)) => Some(String::new()),
                Some(Said::Reason(reason)) => Some(reason),
            },
            upload_time: file.upload_time,
            has_metadata,
            metadata_sum,
            provenance: file.provenance,
        }
    });
    Ok((minor, files.collect()))
}

/// The minor version of an interface whose major version is 1.
fn known_version(version: &str) -> Result<u32, String> {
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    if major == "1" {
        Ok(minor.parse().unwrap_or(0))
    } else {
        Err(format!(
            "version {} of the interface is not 1",
            quoted(version)
        ))
    }
}

/// As [`json`].
fn html(text: &str) -> Result<(u32, Vec<Listed>), String> {
    let dom = tl::parse(text, tl::ParserOptions::default());
    let dom = dom.map_err(|_long| "it is too long".to_owned())?;
    let mut files = Vec::new();
    let (mut is_page, mut minor) = (false, 0);
    for node in dom.nodes() {
        let Some(tag) = node.as_tag() else { continue };
        let value = |key: &str| {
            let value = tag.attributes().get(key)?;
            let value = value.map(|bytes| bytes.as_utf8_str().into_owned());
            Some(plain(&value.unwrap_or_default()))
        };
        match tag.name().as_utf8_str().to_ascii_lowercase().as_str() {
            "html" | "!doctype" | "body" => is_page = true,
            "meta" if value("name").as_deref() == Some("pypi:repository-version") => {
                minor = known_version(&value("content").unwrap_or_default())?;
            }
            "a" => files.extend(anchor(&tag.inner_text(dom.parser()), &value)),
            _ => {}
        }
        if files.len() > MAX_FILES {
            return Err(format!("it lists more than {MAX_FILES} files"));
        }
    }
    if files.is_empty() && !is_page {
        return Err("it is neither JSON nor HTML".to_owned());
    }
    Ok((minor, files))
}

fn anchor(text: &str, value: &dyn Fn(&str) -> Option<String>) -> Option<Listed> {
    let href = value("href")?;
    let fragment = href
        .split_once('#')
        .map(|(_, fragment)| fragment.to_owned());
    let sum = |text: &str| text.strip_prefix("sha256=").map(str::to_owned);
    let metadata = value("data-core-metadata").or_else(|| value("data-dist-info-metadata"));
    Some(Listed {
        name: plain(text.trim()),
        sha256: fragment.as_deref().and_then(sum),
        href,
        size: None,
        requires_python: value("data-requires-python"),
        yanked: value("data-yanked"),
        upload_time: None,
        has_metadata: metadata.as_ref().is_some_and(|text| text != "false"),
        metadata_sum: metadata.as_deref().and_then(sum),
        provenance: value("data-provenance"),
    })
}

/// Text without the character references that pages use.
fn plain(text: &str) -> String {
    let mut out = text.to_owned();
    for (reference, character) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&#43;", "+"),
        ("&amp;", "&"),
    ] {
        if out.contains('&') {
            out = out.replace(reference, character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Gap, locate, parse};
    use crate::base::digest::{Digest, UpstreamChecksum};

    const HTML: &str = "<!DOCTYPE html><html><head><meta name=\"pypi:repository-version\" content=\"1.0\"></head><body>\n\
        <a href=\"../../files/a-1.0-py3-none-any.whl#sha256=SUM\" data-requires-python=\"&gt;=3.8\" \
        data-dist-info-metadata=\"sha256=SUM\" data-provenance=\"../a.provenance\" data-yanked=\"broken &amp; gone\">a-1.0-py3-none-any.whl</a>\n\
        <a href='a-1.1.tar.gz'>a-1.1.tar.gz</a><a href='a-1.0.exe'>a-1.0.exe</a><a>a-2.tar.gz</a>\n\
        <a href='b-1-py3-none-any.whl'>b-1-py3-none-any.whl</a></body></html>";

    #[test]
    fn both_forms_say_the_same() {
        let sum = Digest::of(b"x").hex();
        let html = HTML.replace("SUM", &sum);
        let json = format!(
            "{{\"meta\":{{\"api-version\":\"1.4\"}},\"name\":\"a\",\"files\":[{{\"filename\":\"a-1.0-py3-none-any.whl\",\
             \"url\":\"../../files/a-1.0-py3-none-any.whl\",\"hashes\":{{\"sha256\":\"{sum}\",\"md5\":\"0\"}},\"requires-python\":\">=3.8\",\
             \"core-metadata\":{{\"sha256\":\"{sum}\"}},\"provenance\":\"../a.provenance\",\"yanked\":\"broken & gone\",\"more\":[1]}},\
             {{\"filename\":\"a-1.1.tar.gz\",\"url\":\"a-1.1.tar.gz\",\"hashes\":{{}},\"yanked\":false,\"size\":null,\"provenance\":null}}]}}"
        );
        let name = "a".parse().unwrap();
        for text in [&html, &json] {
            let page = parse(&name, text.as_bytes()).unwrap();
            let [wheel, sdist] = page.files.as_slice() else {
                panic!("{page:?}")
            };
            assert_eq!(wheel.href, "../../files/a-1.0-py3-none-any.whl");
            assert_eq!(wheel.sha256, Some(Digest::of(b"x")));
            assert_eq!(wheel.requires_python.as_deref(), Some(">=3.8"));
            assert!(wheel.has_metadata && !sdist.has_metadata);
            assert_eq!(wheel.metadata_sum, Some(Digest::of(b"x")));
            assert_eq!(wheel.yanked.as_deref(), Some("broken & gone"));
            assert_eq!(sdist.yanked, None);
            assert_eq!(wheel.provenance.as_deref(), Some("../a.provenance"));
            assert_eq!(wheel.unattested, Gap::Unsupported);
            assert_eq!((&sdist.provenance, sdist.unattested), (&None, Gap::Absent));
            assert_eq!(sdist.version.to_string(), "1.1");
            let checksum = UpstreamChecksum::Sha256(Digest::of(b"x"));
            let found = locate(&name, text.as_bytes(), &wheel.name, &checksum);
            assert_eq!(found.as_ref(), Some(&wheel.href));
            assert_eq!(locate(&name, text.as_bytes(), &sdist.name, &checksum), None);
        }
    }

    #[test]
    fn an_index_that_speaks_of_no_attestations_takes_them_away() {
        let name = "a".parse().unwrap();
        for (version, gap) in [
            ("1.0", Gap::Stripped),
            ("1.2", Gap::Stripped),
            ("1", Gap::Stripped),
            ("1.3", Gap::Absent),
            ("1.14", Gap::Absent),
        ] {
            let json = format!(
                "{{\"meta\":{{\"api-version\":\"{version}\"}},\"files\":[{{\"filename\":\"a-1.tar.gz\",\"url\":\"x\"}}]}}"
            );
            let html = format!(
                "<meta name=\"pypi:repository-version\" content=\"{version}\"><a href=x>a-1.tar.gz</a>"
            );
            for text in [json, html] {
                let page = parse(&name, text.as_bytes()).unwrap();
                assert_eq!(page.files[0].unattested, gap, "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_page_is_an_error() {
        let name = "a".parse().unwrap();
        let error = |bytes: &[u8]| parse(&name, bytes).unwrap_err();
        error(b"\xff\xfe");
        error(b"Not found");
        error(b"{\"meta\":{\"api-version\":\"2.0\"},\"files\":[]}");
        error(b"{\"meta\":{\"api-version\":\"1.0\"},\"files\":[{\"filename\":\"a-1");
        let shown = error("{\"meta\": \u{202e}".as_bytes());
        assert!(!shown.contains('\u{202e}'), "{shown}");
        let deep = format!("<html>{}", "<a href=x><b>".repeat(20_000));
        assert!(parse(&name, deep.as_bytes()).unwrap().files.is_empty());
    }
}
