//! From a request's path to an answer: which file of the published generation, of which type, with which address in it.
//!
//! The link `current` is read anew for each request and everything of the answer comes from that one generation. Files
//! are opened segment by segment without following links.

use std::io::Read as _;
use std::path::PathBuf;

use serde_json::Value;

use crate::base::limits::LIMITS;
use crate::fs::{self, OpenFile};
use crate::serve::accept;

/// The file of a generation that names the address it was rendered for.
const ABOUT: &str = "repository.json";
/// Largest text in which the address is replaced.
const MAX_TEXT: u64 = 64 << 20;
/// Folders and files whose texts stage rendered and may hold the address.
const RENDERED: [&str; 4] = ["npm/", "cargo/index/config.json", "pins/", "bootstrap/"];

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Content type.
    pub kind: &'static str,
    /// Content.
    pub body: Body,
    /// Where the client should ask, for status 301: relative to what it asked for.
    pub location: Option<String>,
}

/// The content of an answer.
#[derive(Debug)]
pub enum Body {
    /// In memory.
    Bytes(Vec<u8>),
    /// A file as it is.
    File {
        /// The open file.
        file: OpenFile,
        /// Its size.
        size: u64,
    },
}

impl Body {
    /// Its size in bytes.
    pub const fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }
}

impl Answer {
    /// An error; npm clients read JSON, people read text.
    pub fn error(status: u16, json: bool) -> Self {
        let text = match status {
            404 => "not found",
            405 => "this server only answers GET and HEAD",
            301 => "moved",
            503 => "nothing is imported yet",
            400 | 413 | 505 => "bad request",
            _ => "the server cannot read its repository",
        };
        let (kind, body) = if json {
            ("application/json", format!("{{\"error\":\"{text}\"}}\n"))
        } else {
            ("text/plain; charset=utf-8", format!("{text}\n"))
        };
        Self {
            status,
            kind,
            body: Body::Bytes(body.into_bytes()),
            location: None,
        }
    }

    /// Sends the client to a path relative to the one it asked for.
    fn moved(location: String) -> Self {
        Self {
            location: Some(location),
            ..Self::error(301, false)
        }
    }
}

/// A repository as a web site.
#[derive(Debug)]
pub struct Site {
    repository: PathBuf,
}

impl Site {
    /// The repository at this path.
    pub const fn new(repository: PathBuf) -> Self {
        Self { repository }
    }

    /// The answer to a GET of `path` (percent-encoded, without query) from a client that reached this server as `host` and
    /// takes what its `Accept` header says.
    pub fn answer(&self, path: &str, host: &str, accept: &str) -> Answer {
        let Some(relative) = decode(path) else {
            return Answer::error(400, false);
        };
        let is_npm = relative.starts_with("npm/") || relative.contains("/-/");
        let Some(generation) = self.generation() else {
            return Answer::error(503, is_npm);
        };
        match Self::find(&generation, &relative) {
            // Links of a Python index page are relative to its folder.
            Some((name, _))
                if is_simple_page(&name) && !relative.ends_with('/') && relative != name =>
            {
                let last = relative.rsplit('/').next().unwrap_or(&relative);
                Answer::moved(format!("{last}/"))
            }
            Some((name, file)) => {
                let (name, file, kind) = Self::wanted(&generation, name, file, accept);
                let answer = Self::content(&generation, &name, kind, file, host);
                answer.unwrap_or_else(|_unreadable| Answer::error(500, is_npm))
            }
            None => Answer::error(404, is_npm),
        }
    }

    /// The generation that is published at this moment.
    fn generation(&self) -> Option<PathBuf> {
        let target = fs::read_link(&self.repository.join("current")).ok()?;
        let number = target.to_str()?.strip_prefix("gen/")?;
        let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| self.repository.join(&target))
    }

    /// The file that `relative` means: itself, its `index.html`, or, for tarball paths of foreign lock files, the same
    /// below `npm/`.
    fn find(generation: &std::path::Path, relative: &str) -> Option<(String, OpenFile)> {
        let trimmed = relative.trim_end_matches('/');
        let index = if trimmed.is_empty() {
            "index.html".to_owned()
        } else {
            format!("{trimmed}/index.html")
        };
        let mut names = vec![relative.to_owned(), index];
        if relative.contains("/-/") && !relative.starts_with("npm/") {
            names.push(format!("npm/{relative}"));
        }
        names.into_iter().find_map(|name| {
            fs::open_beneath(generation, &name)
                .ok()
                .map(|file| (name, file))
        })
    }

    /// The form of a Python index page that the client wants; every other file is the only one of its kind.
    fn wanted(
        generation: &std::path::Path,
        name: String,
        file: OpenFile,
        accept: &str,
    ) -> (String, OpenFile, &'static str) {
        if !is_simple_page(&name) {
            let kind = kind_of(&name);
            return (name, file, kind);
        }
        let kind = accept::of_simple_page(accept);
        let other = name.strip_suffix("html").map(|stem| format!("{stem}json"));
        if let Some(other) = other.filter(|_| kind == accept::JSON)
            && let Ok(json) = fs::open_beneath(generation, &other)
        {
            return (other, json, kind);
        }
        let html = if kind == accept::HTML {
            kind
        } else {
            accept::TEXT_HTML
        };
        (name, file, html)
    }

    fn content(
        generation: &std::path::Path,
        name: &str,
        kind: &'static str,
        mut file: OpenFile,
        host: &str,
    ) -> std::io::Result<Answer> {
        let size = file.metadata()?.len();
        let rendered = name == ABOUT || RENDERED.iter().any(|folder| name.starts_with(folder));
        let text = kind.starts_with("text/") || kind.starts_with("application/json");
        if rendered && text && size <= MAX_TEXT {
            let own = format!("http://{host}");
            let base = base_url(generation).filter(|base| *base != own);
            if let Some(base) = base {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes)?;
                return Ok(Answer {
                    status: 200,
                    kind,
                    body: Body::Bytes(rebase(&bytes, base.as_bytes(), own.as_bytes())),
                    location: None,
                });
            }
        }
        Ok(Answer {
            status: 200,
            kind,
            body: Body::File { file, size },
            location: None,
        })
    }
}

/// The address that a generation was rendered for.
fn base_url(generation: &std::path::Path) -> Option<String> {
    let bytes = fs::read(&generation.join(ABOUT), LIMITS.document).ok()?;
    let about: Value = serde_json::from_slice(&bytes).ok()?;
    about.get("base_url")?.as_str().map(str::to_owned)
}

/// `text` with every `from` that is a whole address prefix replaced by `to`.
fn rebase(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let goes_on =
        |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || b"-._:".contains(b));
    let mut out = Vec::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        match rest.strip_prefix(from) {
            Some(behind) if !from.is_empty() && !goes_on(behind.first()) => {
                out.extend_from_slice(to);
                rest = behind;
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

/// The path below a generation that a request path means; `None` for one that could leave it. A trailing slash stays.
fn decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.strip_prefix('/')?.as_bytes().iter().copied();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let value = data_encoding::HEXLOWER_PERMISSIVE.decode(&digits).ok()?;
            bytes.extend(value);
        } else {
            bytes.push(byte);
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    if text.is_empty() {
        return Some(text);
    }
    let body = text.strip_suffix('/').unwrap_or(&text);
    let plain = |segment: &str| {
        !matches!(segment, "" | "." | "..") && !segment.chars().any(|c| c.is_control() || c == '\\')
    };
    body.split('/').all(plain).then_some(text)
}

/// Whether a file is a page of the Python index in its HTML form, beside which the JSON form stands.
fn is_simple_page(name: &str) -> bool {
    name.starts_with("pypi/simple/") && name.ends_with("/index.html")
}

/// The content type of a file by its place and name.
fn kind_of(name: &str) -> &'static str {
    let file = name.rsplit('/').next().unwrap_or(name);
    if name.starts_with("npm/") && file == "index.html" {
        return "application/json";
    }
    if name.starts_with("pypi/simple/") && file == "index.json" {
        return accept::JSON;
    }
    match file.rsplit_once('.').map(|(_, extension)| extension) {
        Some("json") => "application/json",
        Some("html") => "text/html; charset=utf-8",
        Some("sh" | "txt" | "toml" | "md") => "text/plain; charset=utf-8",
        Some("pem" | "crt") => "application/x-pem-file",
        Some("gz" | "tgz") => "application/gzip",
        Some("zst") => "application/zstd",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::{Body, Site, decode, kind_of, rebase};
    use crate::fs;

    #[test]
    fn paths_are_decoded_once_and_never_leave() {
        assert_eq!(decode("/npm/@a%2fb").as_deref(), Some("npm/@a/b"));
        assert_eq!(decode("/npm/@a%2Fb/").as_deref(), Some("npm/@a/b/"));
        assert_eq!(decode("/").as_deref(), Some(""));
        assert_eq!(decode("/a%252e").as_deref(), Some("a%2e"));
        for bad in [
            "/..",
            "/a/../b",
            "/%2e%2e/x",
            "/a%2f..%2fb",
            "//etc",
            "/a//b",
            "/a%00b",
            "/a%0ab",
            "/%",
            "/%4",
            "/%zz",
            "/a\\..\\b",
            "/%ff",
            "/./a",
            "x",
        ] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_whole_address_prefixes_are_replaced() {
        let rebased = |text: &str| {
            String::from_utf8(rebase(text.as_bytes(), b"http://h:80", b"http://me")).unwrap()
        };
        assert_eq!(rebased("\"http://h:80/npm/\""), "\"http://me/npm/\"");
        assert_eq!(rebased("http://h:80"), "http://me");
        assert_eq!(
            rebased("http://h:8080/x http://h:80.example/"),
            "http://h:8080/x http://h:80.example/"
        );
    }

    #[test]
    fn one_generation_no_links_right_types() {
        let dir = std::env::temp_dir().join(format!("stage-site-{}", std::process::id()));
        fs::remove_tree(&dir).unwrap();
        let site = Site::new(dir.clone());
        assert_eq!(site.answer("/", "me", "").status, 503);
        let put = |path: &str, text: &str| {
            let path = dir.join("gen/1").join(path);
            fs::create_dir_all(fs::parent(&path), 0o755).unwrap();
            fs::write_atomic(&path, text.as_bytes(), 0o444).unwrap();
        };
        put("repository.json", r#"{"base_url":"http://old.example"}"#);
        put(
            "npm/@a/b/index.html",
            r#"{"t":"http://old.example/npm/@a/b/-/b-1.tgz"}"#,
        );
        put("npm/@a/b/-/b-1.tgz", "http://old.example");
        fs::write_atomic(&dir.join("secret"), b"secret", 0o444).unwrap();
        fs::symlink(
            std::path::Path::new("../../secret"),
            &dir.join("gen/1/link"),
        )
        .unwrap();
        fs::symlink(std::path::Path::new("../.."), &dir.join("gen/1/up")).unwrap();
        fs::symlink(std::path::Path::new("gen/1"), &dir.join("current")).unwrap();
        let packument = site.answer("/npm/@a%2fb", "me:1", "");
        assert_eq!(
            (packument.status, packument.kind),
            (200, "application/json")
        );
        let Body::Bytes(text) = packument.body else {
            panic!()
        };
        assert_eq!(text, br#"{"t":"http://me:1/npm/@a/b/-/b-1.tgz"}"#);
        let tarball = site.answer("/@a/b/-/b-1.tgz", "me:1", "");
        assert_eq!((tarball.status, tarball.body.size()), (200, 18));
        assert!(matches!(
            site.answer("/npm/@a%2fb", "old.example", "").body,
            Body::File { .. }
        ));
        for missing in [
            "/link",
            "/up/secret",
            "/npm",
            "/npm/x",
            "/repository.json/x",
        ] {
            assert_eq!(site.answer(missing, "me", "").status, 404, "{missing}");
        }
        assert_eq!(
            site.answer("/npm/missing", "me", "").kind,
            "application/json"
        );
        fs::remove_file(&dir.join("current")).unwrap();
        fs::symlink(std::path::Path::new("../etc"), &dir.join("current")).unwrap();
        assert_eq!(site.answer("/passwd", "me", "").status, 503);
        fs::remove_tree(&dir).unwrap();
    }

    #[test]
    fn pages_of_the_python_index_have_two_forms() {
        let dir = std::env::temp_dir().join(format!("stage-simple-{}", std::process::id()));
        fs::remove_tree(&dir).unwrap();
        let site = Site::new(dir.clone());
        let put = |path: &str, text: &str| {
            let path = dir.join("gen/1").join(path);
            fs::create_dir_all(fs::parent(&path), 0o755).unwrap();
            fs::write_atomic(&path, text.as_bytes(), 0o444).unwrap();
        };
        fs::create_dir_all(&dir, 0o755).unwrap();
        fs::symlink(std::path::Path::new("gen/1"), &dir.join("current")).unwrap();
        put("pypi/simple/index.html", "html");
        put("pypi/simple/a-b/index.html", "html of a-b");
        put("pypi/simple/a-b/index.json", "json");
        let wants = |path: &str, accept: &str| {
            let answer = site.answer(path, "me", accept);
            (answer.status, answer.kind, answer.body.size())
        };
        let text = "text/html; charset=utf-8";
        let json = "application/vnd.pypi.simple.v1+json";
        assert_eq!(wants("/pypi/simple/a-b/", "*/*"), (200, text, 11));
        assert_eq!(wants("/pypi/simple/a-b/", json), (200, json, 4));
        assert_eq!(wants("/pypi/simple/a-b/index.json", "*/*"), (200, json, 4));
        assert_eq!(wants("/pypi/simple/", json), (200, text, 4));
        let moved = site.answer("/pypi/simple/a-b", "me", json);
        assert_eq!(
            (moved.status, moved.location.as_deref()),
            (301, Some("a-b/"))
        );
        fs::remove_tree(&dir).unwrap();
    }

    #[test]
    fn kinds() {
        assert_eq!(kind_of("npm/a/index.html"), "application/json");
        assert_eq!(kind_of("bootstrap/index.html"), "text/html; charset=utf-8");
        assert_eq!(kind_of("npm/a/-/a-1.tgz"), "application/gzip");
    }
}
