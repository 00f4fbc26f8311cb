//! Entry points for fuzzing the Python readers; see `crate::fuzz`.

use std::io::Cursor;

use crate::eco::pypi::name::Name;
use crate::eco::pypi::wanted::Wanted;
use crate::eco::pypi::{peek, simple};

fn demo() -> Option<Name> {
    "demo".parse().ok()
}

/// Requirements, one a line.
pub(crate) fn requirement(bytes: &[u8]) {
    for line in String::from_utf8_lossy(bytes).lines().take(32) {
        let _wanted = Wanted::parse(line);
    }
}

/// A project's page in the simple index, HTML or JSON.
pub(crate) fn simple(bytes: &[u8]) {
    if let Some(name) = demo() {
        let _page = simple::parse(&name, bytes);
    }
}

/// The metadata of a wheel.
pub(crate) fn wheel(bytes: &[u8]) {
    if let Some(name) = demo() {
        let _metadata = peek::metadata(Cursor::new(bytes), &name);
    }
}
