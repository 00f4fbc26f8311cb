//! Paths of members as they are on a host.

/// Longest path, in bytes: `PATH_MAX` of Linux.
const LONGEST: usize = 4096;

/// Whether a path from an archive stays below the folder it is unpacked in.
pub(super) fn is_inside(path: &str) -> bool {
    path.split('/')
        .all(|segment| !matches!(segment, "" | "." | ".."))
}

/// A path from an archive without segments that say nothing.
pub(super) fn normal(path: &str) -> String {
    let says = |segment: &&str| !matches!(*segment, "" | ".");
    let segments: Vec<&str> = path.split('/').filter(says).collect();
    segments.join("/")
}

/// Whether every list can hold the path as it is: nothing that ends a line, is not shown or begins an escape.
pub(super) fn is_listable(path: &str) -> bool {
    path.len() < LONGEST && path.strip_prefix('/').is_some_and(is_inside) && is_plain(path)
}

/// Whether a text stands in every list as it is.
pub(super) fn is_plain(text: &str) -> bool {
    let plain = |c: char| crate::base::text::is_plain(c) && c != '\\' && c != '\u{fffd}';
    text.chars().all(plain)
}

/// Whether a path is in a folder.
pub(super) fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// The folder of a path; empty for the root.
pub(super) fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::{is_inside, is_listable, normal};

    #[test]
    fn paths_that_lead_elsewhere_or_break_lists_are_none() {
        assert!(is_inside("a/b c/.d") && is_listable("/opt/a b/ü"));
        for bad in ["", "/a", "a//b", "../a", "a/..", "./a", "a/"] {
            assert!(!is_inside(bad), "{bad:?}");
            assert!(!is_listable(&format!("/opt/{bad}")), "{bad:?}");
        }
        assert_eq!(normal("./dist//./a.js"), "dist/a.js");
        assert_eq!(normal("../a"), "../a");
        for bad in ["opt", "/a\nb", "/a\\b", "/a\u{202e}b", "/a\u{fffd}"] {
            assert!(!is_listable(bad), "{bad:?}");
        }
    }
}
