//! Reads the source tree for the tests that judge it.

use std::path::{Path, PathBuf};

/// The folder of `Cargo.toml`.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `folder` of the repository, as paths relative to the repository, sorted.
pub(crate) fn files(folder: &str) -> Vec<PathBuf> {
    let (mut out, mut pending) = (Vec::new(), vec![root().join(folder)]);
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap();
            pending.extend(entries.map(|e| e.unwrap().path()));
        } else if path.is_file() {
            out.push(path.strip_prefix(root()).unwrap().to_owned());
        }
    }
    out.sort();
    out
}

/// The Rust files of the program with their text.
pub(crate) fn rust() -> Vec<(PathBuf, String)> {
    let of_rust = |p: &PathBuf| p.extension().is_some_and(|e| e == "rs");
    let read = |p: PathBuf| {
        let text = std::fs::read_to_string(root().join(&p)).unwrap();
        (p, text)
    };
    files("src").into_iter().filter(of_rust).map(read).collect()
}

/// `text` without comments, without the content of strings and characters, and without the test module at its end.
/// Line breaks stay.
pub(crate) fn code(text: &str) -> String {
    without_tests(&blank(text))
}

/// `text` up to its test module.
pub(crate) fn without_tests(text: &str) -> String {
    let mut at = 0;
    while let Some(found) = text[at..].find("#[cfg(test)]") {
        let rest = text[at + found..]["#[cfg(test)]".len()..].trim_start();
        if rest.starts_with("mod tests {") || rest.starts_with("pub(crate) mod tests {") {
            return text[..at + found].to_owned();
        }
        at += found + 1;
    }
    text.to_owned()
}

fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = skipped(rest, first);
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.extend(rest[..length].chars().filter(|c| *c == '\n'));
            out.push(' ');
            rest = &rest[length..];
        }
    }
    out
}

/// Length of the comment, string or character literal at the start of `rest`; 0 when there is none.
fn skipped(rest: &str, first: char) -> usize {
    match first {
        '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
        '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
        'r' if rest.starts_with("r\"") || rest.starts_with("r#\"") || rest.starts_with("r##\"") => {
            let hashes = rest[1..].find('"').unwrap();
            let end = format!("\"{}", "#".repeat(hashes));
            let body = 2 + hashes;
            rest[body..].find(&end).unwrap() + body + end.len()
        }
        '"' => quoted(rest, '"'),
        '\'' => {
            let inside: Vec<char> = rest.chars().skip(1).take(2).collect();
            let is_character = inside.first() == Some(&'\\') || inside.get(1) == Some(&'\'');
            if is_character { quoted(rest, '\'') } else { 0 }
        }
        _ => 0,
    }
}

fn quoted(rest: &str, end: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == end => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[test]
fn comments_strings_and_tests_are_not_code() {
    let text = "use a; // crate::b\nlet x = \"crate::c\"; let y = r#\"crate::\"d\"#; '\"'; '\\''; &'a z\n/* crate::e */ f\n#[cfg(test)]\nmod tests {\n crate::g\n}\n";
    let code = code(text);
    assert!(!code.contains("crate::"), "{code}");
    assert!(code.contains("use a;") && code.contains("&'a z") && code.contains(" f\n"));
}
