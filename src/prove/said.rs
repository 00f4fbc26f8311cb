//! What steps and checks say, for people: the words that tell why something did not work.

use std::io::Read as _;
use std::path::Path;

use crate::fs;

/// Most of a log that is read, in bytes: its end.
const TAIL: u64 = 1 << 20;
/// Longest detail, in characters.
const DETAIL: usize = 600;

/// The last lines of a log.
pub(super) fn tail(log: &Path) -> Vec<String> {
    let size = fs::size(log).unwrap_or_default();
    let mut text = Vec::new();
    let Ok(mut file) = fs::open_at(log, size.saturating_sub(TAIL)) else {
        return Vec::new();
    };
    // What can be read is enough.
    drop(file.read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    text.lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What a step that failed said: its first lines about an error, else its last ones.
pub(super) fn last_words(lines: &[String]) -> String {
    // Not the name of a package, such as libgpg-error0.
    let about = |line: &&String| {
        let mut words = ["rror", "ERR", "E: "].iter();
        words.any(|word| line.contains(word)) && !line.contains("-error")
    };
    let errors: Vec<&str> = lines
        .iter()
        .filter(about)
        .take(4)
        .map(String::as_str)
        .collect();
    let last = lines
        .iter()
        .rev()
        .take(3)
        .rev()
        .map(String::as_str)
        .collect();
    let chosen = if errors.is_empty() { last } else { errors };
    cut(&chosen.join(" | "))
}

/// The name of a module that a program did not find, in what Node.js and Python say then.
pub(super) fn missing_module(line: &str) -> Option<&str> {
    let phrases = [
        "Cannot find module '",
        "Cannot find package '",
        "No module named '",
    ];
    let found = phrases.iter().find_map(|phrase| line.split_once(phrase))?;
    Some(found.1.split_once('\'')?.0)
}

pub(super) fn cut(text: &str) -> String {
    text.chars().take(DETAIL).collect()
}

#[cfg(test)]
mod tests {
    use super::{last_words, missing_module};

    #[test]
    fn what_a_program_did_not_find_is_named() {
        let node = "Error: Cannot find module '@lydell/node-pty-linux-x64'";
        assert_eq!(missing_module(node), Some("@lydell/node-pty-linux-x64"));
        let python = "ModuleNotFoundError: No module named 'yaml'";
        assert_eq!(missing_module(python), Some("yaml"));
        assert_eq!(missing_module("all is well"), None);
        let lines = ["libgpg-error0 amd64", "some Error: x", "b", "c", "d"].map(str::to_owned);
        assert_eq!(last_words(&lines), "some Error: x");
        assert_eq!(last_words(&lines[2..]), "b | c | d");
    }
}
