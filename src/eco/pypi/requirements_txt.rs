//! pip's requirements files (pip documentation, "Requirements File Format"): requirements with their hashes, `-r` and `-c`
//! of further files, and what in them is no release of an index. Options that say where packages come from are refused:
//! the manifest says that.

use std::collections::{BTreeMap, BTreeSet};

use pep508_rs::{Requirement, VerbatimUrl, VersionOrUrl};

use crate::base::digest::Digest;
use crate::base::text::quoted;
use crate::eco::pypi::foreign::{Direct, ForeignError};
use crate::eco::pypi::marker;
use crate::eco::pypi::name::is_name;
use crate::eco::pypi::wanted;

/// Largest file, in bytes.
pub const MAX_BYTES: usize = 8 << 20;
/// Most files that lead to each other.
const MAX_FILES: usize = 200;
/// Longest line, continuations joined, in bytes. A requirement has a hash for each of its files.
const MAX_LINE: usize = 1 << 20;

/// What a requirements file and those it names ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirements {
    /// Requirements, in their order.
    pub wanted: Vec<Wanted>,
    /// Constraints: versions that are allowed if the project is needed at all.
    pub constraints: Vec<Wanted>,
    /// What is no release of an index, with the file's name.
    pub direct: Vec<(String, Direct)>,
    /// Whether `--pre` allows pre-releases of everything.
    pub pre: bool,
    /// Whether `--require-hashes`, or a hash of any requirement, demands one of each.
    pub require_hashes: bool,
}

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Name, extras, versions and marker; never a URL.
    pub requirement: Requirement<VerbatimUrl>,
    /// As it stands in the file, without hashes.
    pub text: String,
    /// The file, as its includer names it, relative to the manifest's folder.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// SHA-256 of the files that may be taken; empty when the line says none.
    pub hashes: BTreeSet<Digest>,
}

/// How far reading is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// These files are needed too: their paths.
    Missing(BTreeSet<String>),
    /// Everything was there.
    Whole(Box<Requirements>),
}

/// Reads the requirements file `root` and every one that it leads to; `files` are those that were read so far, by path.
pub fn read(root: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<Progress, ForeignError> {
    let mut found = Requirements::default();
    let mut missing = BTreeSet::new();
    let mut seen = BTreeSet::from([(root.to_owned(), false)]);
    let mut open = vec![(root.to_owned(), false)];
    while let Some((file, constraint)) = open.pop() {
        let Some(bytes) = files.get(&file) else {
            missing.insert(file);
            continue;
        };
        let reader = File {
            file: &file,
            constraint,
        };
        let mut next = reader.read(bytes, &mut found)?;
        next.retain(|include| seen.insert(include.clone()));
        if seen.len() > MAX_FILES {
            let reason = format!("more than {MAX_FILES} files lead to each other");
            return Err(reader.fail(1, &reason));
        }
        // The last in is read first: those of one file keep their order.
        open.extend(next.into_iter().rev());
    }
    if !missing.is_empty() {
        return Ok(Progress::Missing(missing));
    }
    found.require_hashes |= found.wanted.iter().any(|one| !one.hashes.is_empty());
    Ok(Progress::Whole(Box::new(found)))
}

/// Options that name a place where packages come from.
const PLACES: [&str; 7] = [
    "-i",
    "--index-url",
    "--pypi-url",
    "--extra-index-url",
    "-f",
    "--find-links",
    "--trusted-host",
];

/// A file that is being read.
struct File<'a> {
    file: &'a str,
    constraint: bool,
}

impl File<'_> {
    fn fail(&self, line: usize, reason: &str) -> ForeignError {
        ForeignError::Requirements {
            file: quoted(self.file),
            line,
            reason: crate::base::text::escaped(reason),
        }
    }

    /// Returns the files that it names, and whether each holds constraints.
    fn read(
        &self,
        bytes: &[u8],
        found: &mut Requirements,
    ) -> Result<Vec<(String, bool)>, ForeignError> {
        if bytes.len() > MAX_BYTES {
            return Err(self.fail(1, &format!("the file is longer than {MAX_BYTES} bytes")));
        }
        let text = std::str::from_utf8(bytes).map_err(|_bad| self.fail(1, "not UTF-8"))?;
        let mut includes = Vec::new();
        for (line, text) in lines(text.strip_prefix('\u{feff}').unwrap_or(text)) {
            if text.len() > MAX_LINE {
                return Err(self.fail(line, "the line is too long"));
            }
            if let Some(name) = variable(&text) {
                let reason = format!("it depends on the variable {name} of this host");
                return Err(self.fail(line, &reason));
            }
            if text.starts_with('-') {
                includes.extend(self.option(line, &text, found)?);
            } else {
                self.requirement(line, &text, found)?;
            }
        }
        Ok(includes)
    }

    fn option(
        &self,
        line: usize,
        text: &str,
        found: &mut Requirements,
    ) -> Result<Option<(String, bool)>, ForeignError> {
        let (name, value) = option_of(text);
        match name {
            "-r" | "--requirement" => Ok(Some((self.beside(line, value)?, self.constraint))),
            "-c" | "--constraint" => Ok(Some((self.beside(line, value)?, true))),
            "-e" | "--editable" => {
                found
                    .direct
                    .push(self.direct(line, "folder to be installed in place", value));
                Ok(None)
            }
            "--pre" => {
                found.pre = true;
                Ok(None)
            }
            "--require-hashes" => {
                found.require_hashes = true;
                Ok(None)
            }
            // Wheels are preferred anyway, and features of pip change nothing that is carried.
            "--prefer-binary" | "--only-binary" | "--use-feature" => Ok(None),
            place if PLACES.contains(&place) => {
                let reason =
                    format!("`{place}` is not taken from here; set `index` in the manifest");
                Err(self.fail(line, &reason))
            }
            other => Err(self.fail(line, &format!("the option `{other}` is not supported"))),
        }
    }

    /// The path of a file that this one names.
    fn beside(&self, line: usize, path: &str) -> Result<String, ForeignError> {
        if path.is_empty() || path.contains("://") || path.starts_with(['/', '~', '-']) {
            return Err(self.fail(line, "it names no file by a relative path"));
        }
        let folder = self.file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
        let rooted = folder.starts_with('/');
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." if parts.last().is_some_and(|last| *last != "..") => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        let path = parts.join("/");
        Ok(if rooted { format!("/{path}") } else { path })
    }

    fn requirement(
        &self,
        line: usize,
        text: &str,
        found: &mut Requirements,
    ) -> Result<(), ForeignError> {
        let (text, options) = split_options(text);
        if let Some(kind) = direct_kind(text) {
            found.direct.push(self.direct(line, kind, text));
            return Ok(());
        }
        let fail = |reason: &str| self.fail(line, reason);
        marker::check(text).map_err(|reason| fail(&reason))?;
        wanted::check_form(text).map_err(|reason| fail(&reason))?;
        let requirement: Requirement<VerbatimUrl> = text
            .parse()
            .map_err(|e: pep508_rs::Pep508Error| fail(&e.message.to_string()))?;
        if let Some(VersionOrUrl::Url(url)) = &requirement.version_or_url {
            let given = url.given().map_or_else(|| url.to_string(), str::to_owned);
            let kind = direct_kind(&given).unwrap_or("address");
            let (file, mut direct) = self.direct(line, kind, &given);
            direct.name = requirement.name.as_ref().parse().ok();
            found.direct.push((file, direct));
            return Ok(());
        }
        let wanted = Wanted {
            requirement,
            text: text.to_owned(),
            file: self.file.to_owned(),
            line,
            hashes: self.hashes(line, options)?,
        };
        if self.constraint {
            found.constraints.push(wanted);
        } else {
            found.wanted.push(wanted);
        }
        Ok(())
    }

    fn direct(&self, line: usize, kind: &'static str, from: &str) -> (String, Direct) {
        let direct = Direct {
            kind,
            name: None,
            from: without_secrets(from),
            line: Some(line),
        };
        (self.file.to_owned(), direct)
    }

    /// The hashes of a line. Those of other algorithms than SHA-256 are allowed beside one, since pip takes any.
    fn hashes(&self, line: usize, options: &str) -> Result<BTreeSet<Digest>, ForeignError> {
        let mut hashes = BTreeSet::new();
        let mut others = false;
        let mut words = options.split_whitespace();
        while let Some(word) = words.next() {
            let value = match word.strip_prefix("--hash") {
                Some("") => words.next(),
                Some(rest) => rest.strip_prefix('='),
                None => None,
            };
            let Some(value) = value else {
                let name = word.split('=').next().unwrap_or(word);
                let reason = format!("the option `{name}` of a requirement is not supported");
                return Err(self.fail(line, &reason));
            };
            if let Some(hex) = value.strip_prefix("sha256:") {
                let digest = Digest::from_hex(&hex.to_ascii_lowercase());
                hashes.insert(digest.map_err(|e| self.fail(line, &e.to_string()))?);
            } else {
                others = true;
            }
        }
        if others && hashes.is_empty() {
            return Err(self.fail(line, "none of its hashes is a SHA-256"));
        }
        Ok(hashes)
    }
}

/// Lines that say something, with their numbers: continuations joined, comments cut off.
fn lines(text: &str) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (line, number) in text.lines().zip(1..) {
        let comment = line.trim_start().starts_with('#');
        let (number, mut joined) = open.take().unwrap_or((number, String::new()));
        if let Some(part) = line.strip_suffix('\\').filter(|_| !comment) {
            joined.push_str(part);
            open = Some((number, joined));
        } else {
            // A comment ends a line that goes on.
            joined.push_str(if comment { "" } else { line });
            all.push((number, joined));
        }
    }
    all.extend(open);
    for (_, line) in &mut all {
        *line = without_comment(line).trim().to_owned();
    }
    all.retain(|(_, line)| !line.is_empty());
    all
}

/// A comment starts at a `#` at the start or behind a space.
fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        if c == '#' && before.is_whitespace() {
            return line.get(..at).unwrap_or(line);
        }
        before = c;
    }
    line
}

/// The name in the first `${NAME}`, which pip replaces by a variable of its environment.
fn variable(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once("${") {
        let (name, after) = behind.split_once('}')?;
        let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        if !name.is_empty() && name.bytes().all(plain) {
            return Some(name);
        }
        rest = after;
    }
    None
}

/// Name and value of an option: `--name value`, `--name=value`, `-n value`, `-nvalue`.
fn option_of(text: &str) -> (&str, &str) {
    let end = |c: char| c.is_whitespace() || c == '=';
    let at = if text.starts_with("--") {
        text.find(end).unwrap_or(text.len())
    } else {
        text.char_indices().nth(2).map_or(text.len(), |(at, _)| at)
    };
    let (name, value) = text.split_at_checked(at).unwrap_or((text, ""));
    let value = value.trim_start();
    let value = value.strip_prefix('=').unwrap_or(value);
    (name, value.trim().trim_matches(['"', '\'']))
}

/// A requirement and the options behind it: from the first word that starts with `-`.
fn split_options(text: &str) -> (&str, &str) {
    let mut before = 'x';
    for (at, c) in text.char_indices() {
        if c == '-' && before.is_whitespace() {
            let (text, options) = text.split_at_checked(at).unwrap_or((text, ""));
            return (text.trim_end(), options);
        }
        before = c;
    }
    (text, "")
}

/// What a text is that stands where a requirement should; `None` when it is none of these.
fn direct_kind(text: &str) -> Option<&'static str> {
    // `name @ address` is a requirement, and says so itself.
    let named =
        |(before, _): (&str, &str)| is_name(before.split('[').next().unwrap_or(before).trim());
    if text.split_once('@').is_some_and(named) {
        return None;
    }
    let scheme = text
        .split_once(':')
        .map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("file") => return Some("file or folder"),
        Some("http" | "https" | "ftp") => return Some("address"),
        Some(other) => {
            let vcs = other.split('+').next().unwrap_or(other);
            if matches!(vcs, "git" | "hg" | "svn" | "bzr") {
                return Some("repository of a version control system");
            }
        }
        None => {}
    }
    let word = text.split([';', ' ']).next().unwrap_or(text);
    let archive = [".whl", ".zip", ".tar.gz", ".tar.bz2", ".tgz"];
    let is_archive = archive
        .iter()
        .any(|end| word.to_ascii_lowercase().ends_with(end));
    let is_path = word.starts_with(['.', '/', '~']) || word.contains('/');
    (is_path || is_archive).then_some("file or folder")
}

/// `text` with the user name and password of a URL in it hidden.
pub(crate) fn without_secrets(text: &str) -> String {
    let Some((before, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{before}://***@{host}{path}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Progress, Requirements, read};

    fn files(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), text.as_bytes().to_vec());
        files.iter().map(owned).collect()
    }

    fn whole(all: &[(&str, &str)]) -> Requirements {
        match read(all[0].0, &files(all)).unwrap() {
            Progress::Whole(found) => *found,
            Progress::Missing(missing) => panic!("{missing:?}"),
        }
    }

    fn refused(text: &str) -> String {
        read("r.txt", &files(&[("r.txt", text)]))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn requirements_with_comments_continuations_and_hashes() {
        let sum = "AB".repeat(32);
        let text = format!(
            "\u{feff}# comment \\\nA_b[x, y] >= 1 , <2 ; python_version < '3.13' # why\n\n\
             c==1.0 \\\n    --hash=sha256:{sum} \\\n    --hash sha512:00 \\\n# a comment ends it\nd#no-comment\n"
        );
        let error = refused(&text);
        assert!(error.starts_with("line 8 of \"r.txt\""), "{error}");
        let found = whole(&[("r.txt", &text.replace("d#no-comment", "d"))]);
        let texts: Vec<_> = found
            .wanted
            .iter()
            .map(|w| (w.line, w.text.as_str()))
            .collect();
        assert_eq!(
            texts,
            [
                (2, "A_b[x, y] >= 1 , <2 ; python_version < '3.13'"),
                (4, "c==1.0"),
                (8, "d")
            ]
        );
        assert_eq!(found.wanted[1].hashes.len(), 1);
        assert!(found.require_hashes && !found.pre && found.direct.is_empty());
        assert_eq!(found.wanted[0].requirement.name.as_ref(), "a-b");
    }

    #[test]
    fn further_files_are_asked_for_and_read_once() {
        let all = files(&[("a/r.txt", "x\n-r ../b.txt\n-c sub/c.txt\n--pre\n")]);
        let Progress::Missing(missing) = read("a/r.txt", &all).unwrap() else {
            panic!()
        };
        assert_eq!(
            missing.into_iter().collect::<Vec<_>>(),
            ["a/sub/c.txt", "b.txt"]
        );
        let found = whole(&[
            (
                "a/r.txt",
                "x\n-r ../b.txt\n--constraint=sub/c.txt\n--pre\nz",
            ),
            ("b.txt", "y\n-r a/r.txt\n-rb.txt"),
            ("a/sub/c.txt", "x<2\n-r ../d.txt"),
            ("a/d.txt", "y>1"),
        ]);
        let names =
            |all: &[super::Wanted]| -> Vec<String> { all.iter().map(|w| w.text.clone()).collect() };
        assert_eq!(names(&found.wanted), ["x", "z", "y"]);
        assert_eq!(names(&found.constraints), ["x<2", "y>1"]);
        assert!(found.pre && !found.require_hashes);
    }

    #[test]
    fn what_is_no_release_of_an_index_is_listed_without_its_secrets() {
        let found = whole(&[(
            "r.txt",
            "-e .\n-e git+https://u:p@h.example/x#egg=x\n./dir\nx-1-py3-none-any.whl\nhttps://u:p@h.example/x.zip\n\
             n @ git+ssh://git@h.example/x\nm@https://h.example/m.whl ; os_name == 'posix'\nfile:///tmp/x\na/b\n",
        )]);
        assert!(found.wanted.is_empty());
        let shown: Vec<_> = found
            .direct
            .iter()
            .map(|(_, d)| (d.line.unwrap(), d.from.as_str()))
            .collect();
        assert_eq!(shown.len(), 9, "{shown:?}");
        assert_eq!(shown[1], (2, "git+https://***@h.example/x#egg=x"));
        assert_eq!(shown[4], (5, "https://***@h.example/x.zip"));
        assert_eq!(found.direct[5].1.name.as_ref().unwrap().as_str(), "n");
        assert_eq!(found.direct[6].1.name.as_ref().unwrap().as_str(), "m");
    }

    #[test]
    fn options_that_choose_an_index_and_variables_are_refused_by_name() {
        for (text, word) in [
            (
                "\n--index-url https://i.example/",
                "line 2 of \"r.txt\" cannot be used: `--index-url`",
            ),
            ("-i https://i.example/", "`-i`"),
            (
                "--extra-index-url=https://i.example/",
                "`--extra-index-url`",
            ),
            ("--find-links x", "`--find-links`"),
            ("-fx", "`-f`"),
            ("--trusted-host h", "`--trusted-host`"),
            ("--no-binary :all:", "`--no-binary`"),
            ("a --global-option=x", "`--global-option`"),
            ("a==${VERSION}", "variable VERSION"),
            ("-r ${X}/r.txt", "variable X"),
            ("-r https://h.example/r.txt", "relative path"),
            ("-r /etc/passwd", "relative path"),
            ("-r", "relative path"),
            ("a --hash=sha256:zz", "not a"),
            ("a --hash=md5:00", "SHA-256"),
            ("a==", "cannot be used"),
            ("a b", "cannot be used"),
            ("\u{1b}[2J", "cannot be used"),
        ] {
            let error = refused(text);
            assert!(error.contains(word), "{text}: {error}");
            assert!(!error.contains('\u{1b}'));
        }
    }

    #[test]
    fn hostile_files_are_refused() {
        let deep = format!(
            "a ; {}os_name == 'x'{}",
            "(".repeat(100_000),
            ")".repeat(100_000)
        );
        for text in [
            deep.as_str(),
            &"a".repeat(2 << 20),
            &"a\\\n".repeat(1 << 20),
        ] {
            refused(text);
        }
        let many: Vec<(String, String)> = (0..300)
            .map(|n| (format!("{n}.txt"), format!("-r {}.txt", n + 1)))
            .collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        read("0.txt", &files(&many)).unwrap_err();
        let bytes = BTreeMap::from([("r.txt".to_owned(), vec![0xff])]);
        read("r.txt", &bytes).unwrap_err();
    }
}
