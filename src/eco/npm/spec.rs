//! What a dependency may ask for, told apart as npm does: exact version, range, tag, alias; or something that no
//! registry serves.

use nodejs_semver::{Range, Version};

/// One dependency text, read.
#[derive(Debug, Clone)]
pub(crate) enum Spec {
    /// Any version, pre-releases included.
    Any,
    /// One version: its text without `v`, `=` and build, and its parsed form.
    Exact(String, Version),
    /// A range.
    Range(Range),
    /// A tag.
    Tag(String),
    /// Another package under this name.
    Alias(String, Box<Self>),
    /// Not from a registry.
    Foreign(Foreign),
}

/// Where a dependency comes from that is not from a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// A git repository.
    Git,
    /// A URL of an archive.
    Url,
    /// A file, folder, workspace, or a text that npm does not understand.
    Local,
}

impl Spec {
    /// Reads `text`.
    pub(crate) fn parse(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        if is_path(&lower) {
            return Self::Foreign(Foreign::Local);
        }
        if let Some(target) = lower.strip_prefix("npm:") {
            let target = text.get(text.len() - target.len()..).unwrap_or_default();
            return Self::alias(target);
        }
        if let Some(foreign) = foreign(&lower) {
            return Self::Foreign(foreign);
        }
        Self::registry(text.trim())
    }

    fn alias(target: &str) -> Self {
        match super::split_requirement(target) {
            Some((name, range)) => match Self::parse(range) {
                Self::Alias(..) | Self::Foreign(_) => Self::Foreign(Foreign::Local),
                inner => Self::Alias(name.to_owned(), Box::new(inner)),
            },
            None => Self::Foreign(Foreign::Local),
        }
    }

    fn registry(text: &str) -> Self {
        if text.is_empty() || text == "*" {
            return Self::Any;
        }
        let bare = text.trim_start_matches(|c: char| c == 'v' || c == '=' || c.is_whitespace());
        if let Ok(version) = Version::parse(bare) {
            return Self::Exact(without_build(&version), version);
        }
        if let Ok(range) = Range::parse(text) {
            return Self::Range(range);
        }
        if text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&b))
        {
            return Self::Tag(text.to_owned());
        }
        Self::Foreign(Foreign::Local)
    }

    /// The package that is asked for by a dependency called `name`.
    pub(crate) fn target<'a>(&'a self, name: &'a str) -> &'a str {
        match self {
            Self::Alias(target, _) => target,
            _ => name,
        }
    }

    /// The range itself, without the alias around it.
    pub(crate) fn inner(&self) -> &Self {
        match self {
            Self::Alias(_, inner) => inner,
            _ => self,
        }
    }

    /// Whether an installed version meets it, as npm judges the tree: a tag is met by anything from the registry.
    pub(crate) fn is_met_by(&self, version: Option<&Version>, from_registry: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(_, exact) => version == Some(exact),
            Self::Range(range) => version.is_some_and(|v| range.satisfies(v)),
            Self::Tag(_) => from_registry,
            Self::Alias(_, inner) => inner.is_met_by(version, from_registry),
            Self::Foreign(_) => false,
        }
    }
}

/// The version text without build metadata.
fn without_build(version: &Version) -> String {
    let text = version.to_string();
    text.split('+').next().unwrap_or(&text).to_owned()
}

/// `file:` and what looks like a path.
fn is_path(lower: &str) -> bool {
    let drive = lower.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && lower.get(1..2) == Some(":");
    drive
        || ["file:", ".", "~/", "/"]
            .iter()
            .any(|p| lower.starts_with(p))
}

fn foreign(lower: &str) -> Option<Foreign> {
    let scheme = lower.split_once(':').map(|(scheme, _)| scheme);
    let is_scheme = |text: &str| {
        let letters = text.strip_prefix("git+").unwrap_or(text);
        !letters.is_empty() && letters.bytes().all(|b| b.is_ascii_lowercase())
    };
    match scheme {
        Some("http" | "https") => {
            let path = lower.split('#').next().unwrap_or(lower);
            let is_git = std::path::Path::new(path)
                .extension()
                .is_some_and(|e| e == "git");
            return Some(if is_git { Foreign::Git } else { Foreign::Url });
        }
        Some("git" | "ssh" | "github" | "gitlab" | "bitbucket" | "gist" | "sourcehut") => {
            return Some(Foreign::Git);
        }
        Some(scheme) if scheme.starts_with("git+") || scheme.contains('@') => {
            return Some(Foreign::Git);
        }
        Some(scheme) if is_scheme(scheme) => return Some(Foreign::Local),
        Some(_) | None => {}
    }
    let archive = [".tgz", ".tar.gz", ".tar"]
        .iter()
        .any(|end| lower.ends_with(end));
    let repository = lower.split('#').next().unwrap_or(lower);
    match repository.split('/').count() {
        2 if !archive && !lower.contains(' ') => Some(Foreign::Git),
        1 => archive.then_some(Foreign::Local),
        _ => Some(Foreign::Local),
    }
}

#[cfg(test)]
mod tests {
    use super::{Foreign, Spec};

    #[test]
    fn texts_are_told_apart_as_npm_does() {
        for any in ["", "*", " "] {
            assert!(matches!(Spec::parse(any), Spec::Any), "{any}");
        }
        for exact in ["1.2.3", "v1.2.3", "=1.2.3", " 1.2.3 ", "1.2.3+build"] {
            assert!(
                matches!(Spec::parse(exact), Spec::Exact(v, _) if v == "1.2.3"),
                "{exact}"
            );
        }
        for range in [
            "^1",
            "1.x",
            ">=1 <2",
            "1 - 2",
            "~1.2 || ^2",
            "x",
            "1.2",
            ">= 1.0.0",
        ] {
            assert!(matches!(Spec::parse(range), Spec::Range(_)), "{range}");
        }
        for tag in ["latest", "next-1", "beta"] {
            assert!(matches!(Spec::parse(tag), Spec::Tag(_)), "{tag}");
        }
        assert!(matches!(Spec::parse("npm:@a/b@^1"), Spec::Alias(n, _) if n == "@a/b"));
        assert!(matches!(Spec::parse("NPM:b"), Spec::Alias(n, _) if n == "b"));
    }

    #[test]
    fn what_no_registry_serves_is_recognised() {
        let foreign = |text: &str| match Spec::parse(text) {
            Spec::Foreign(foreign) => Some(foreign),
            _ => None,
        };
        for git in [
            "user/repo",
            "user/repo#v1",
            "github:a/b",
            "git+ssh://git@h.example/a/b.git",
            "git://h.example/a",
            "https://h.example/a/b.git#main",
            "git@h.example:a/b.git",
        ] {
            assert_eq!(foreign(git), Some(Foreign::Git), "{git}");
        }
        for url in ["https://h.example/x.tgz", "http://h.example/a"] {
            assert_eq!(foreign(url), Some(Foreign::Url), "{url}");
        }
        for local in [
            "file:../a",
            "./a",
            "/a",
            "~/a",
            "link:../a",
            "workspace:*",
            "a/b/c",
            "x.tgz",
            "c:\\x",
            "catalog:",
            "npm:npm:a",
            "npm:a@file:b",
            "npm:../x",
            "invalid:{}",
            "a b",
        ] {
            assert_eq!(foreign(local), Some(Foreign::Local), "{local}");
        }
    }
}
