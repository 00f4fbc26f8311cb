//! Entry points for fuzzing the npm readers; see `crate::fuzz`.

use crate::eco::npm::manifest::Manifest;
use crate::eco::npm::packument::Packument;
use crate::eco::npm::{spec::Spec, tarball};

/// A packument, and each version's text.
pub(crate) fn packument(bytes: &[u8]) {
    let Ok(packument) = Packument::parse("demo", bytes) else {
        return;
    };
    for view in packument.versions().take(64) {
        let _spec = Spec::parse(view.text());
        let _dependencies = view.field("dependencies");
    }
}

/// A package's tarball.
pub(crate) fn tarball(bytes: &[u8]) {
    let of = Manifest::from_package_json("demo", br#"{"name":"demo","version":"1.0.0"}"#);
    if let Some(of) = of {
        let _bundled = tarball::bundled(&of, bytes);
    }
}
