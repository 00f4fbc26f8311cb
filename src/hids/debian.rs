//! How dpkg lays a `.deb` out: its data archive goes to the root, with the modes it has. Folders that Debian has merged into
//! `/usr` are links there.

use super::Baseline;
use super::scan::Scanned;
use crate::lock::LockedPackage;

/// Folders of the root that are links to those of `/usr`.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];
/// The bits of a mode.
const BITS: u32 = 0o7777;
/// A mode that the archive does not state.
const USUAL: u32 = 0o644;

/// Puts the files of a package where they will be.
pub(super) fn place(
    package: &LockedPackage,
    file: &str,
    members: &[Scanned],
    baseline: &mut Baseline,
) {
    let arch = baseline.platform.as_str().rsplit('/').next();
    let arch = arch.unwrap_or_default();
    let fits = |arch: &str| file.ends_with(&format!("_{arch}.deb"));
    if !fits(arch) && !fits("all") {
        return;
    }
    if package.install_script {
        baseline.cannot_know(package, "has maintainer scripts, which may make more");
    }
    for member in members {
        let inside = member.path.trim_start_matches("./").trim_start_matches('/');
        let first = inside.split('/').next().unwrap_or_default();
        let at = if MERGED.contains(&first) {
            format!("/usr/{inside}")
        } else {
            format!("/{inside}")
        };
        let mode = member.mode.unwrap_or(USUAL) & BITS;
        baseline.put(&at, member, mode, package);
    }
}
