//! The list of a generation's files: `state/trees/<n>.sha256`, one line `<sha256>  <path>` per file in the order of the
//! paths. `cd gen/<n> && sha256sum -c ../../state/trees/<n>.sha256` checks it by hand. The state holds its digest, the
//! journal that of the state: a file that changed, linked from the store or rendered, is found by it, and so is one that
//! is missing or that nobody listed.

use std::collections::BTreeMap;

use crate::base::digest::Digest;
use crate::base::limits::LIMITS;
use crate::eco::RepoContent;
use crate::fs;
use crate::import::ImportError;
use crate::import::generation::Tree;
use crate::import::layout::Layout;

/// Files by their path, with their digests.
pub type Listing = BTreeMap<String, Digest>;

/// The list of a tree that is about to be written.
pub fn write(tree: &Tree) -> Vec<u8> {
    lines(tree.iter().map(|(path, content)| {
        let digest = match content {
            RepoContent::Bytes(bytes) => Digest::of(bytes),
            RepoContent::Blob(digest) | RepoContent::Joined { whole: digest, .. } => *digest,
        };
        (path.as_str(), digest)
    }))
}

/// A line for each of these files.
pub fn lines<'a>(files: impl Iterator<Item = (&'a str, Digest)>) -> Vec<u8> {
    let mut lines = Vec::new();
    for (path, digest) in files {
        lines.extend_from_slice(digest.hex().as_bytes());
        lines.extend_from_slice(b"  ");
        lines.extend_from_slice(path.as_bytes());
        lines.push(b'\n');
    }
    lines
}

/// The list of generation `number`, which must have the digest that the state records.
///
/// # Errors
/// E42 when it is missing or has other bytes.
pub fn read(layout: &Layout, number: u64, digest: Digest) -> Result<Listing, ImportError> {
    let wrong = |what: &str| ImportError::State {
        reason: format!("the list of files of generation {number} {what}"),
    };
    let bytes = fs::read_beneath(layout.root(), &layout.tree(number), LIMITS.document)?;
    let bytes = bytes.ok_or_else(|| wrong("is missing"))?;
    if Digest::of(&bytes) != digest {
        return Err(wrong("has other bytes"));
    }
    parse(&bytes).ok_or_else(|| wrong("cannot be read"))
}

/// Reads lines; `None` when one of them is none.
pub fn parse(bytes: &[u8]) -> Option<Listing> {
    let text = std::str::from_utf8(bytes).ok()?;
    let line = |line: &str| {
        let (hex, path) = line.split_once("  ")?;
        Some((path.to_owned(), Digest::from_hex(hex).ok()?))
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{parse, write};
    use crate::base::digest::Digest;
    use crate::eco::RepoContent;
    use crate::import::generation::Tree;

    #[test]
    fn what_is_written_is_read() {
        let (blob, whole) = (Digest::of(b"blob"), Digest::of(b"whole"));
        let joined = RepoContent::Joined {
            whole,
            parts: Vec::new(),
        };
        let tree = Tree::from([
            ("b/c.tgz".to_owned(), RepoContent::Blob(blob)),
            ("a".to_owned(), RepoContent::Bytes(b"text".to_vec())),
            ("d".to_owned(), joined),
        ]);
        let list = write(&tree);
        assert!(list.starts_with(Digest::of(b"text").hex().as_bytes()));
        let read = parse(&list).unwrap();
        assert_eq!(read.len(), 3);
        assert_eq!((read["b/c.tgz"], read["d"]), (blob, whole));
        assert_eq!(parse(b"ab  x\n"), None);
    }
}
