//! How dpkg lays a `.deb` out: its data archive goes to the root, with the modes it has. Folders that Debian has merged into
//! `/usr` are links there.

use super::scan::Scanned;
use super::{Baseline, path};
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
        let inside = path::normal(&member.path);
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

#[cfg(test)]
mod tests {
    use super::super::Baseline;
    use super::super::tests::{package, scanned, shown};
    use super::place;
    use crate::base::package::EcosystemId;
    use crate::base::platform::Platform;

    #[test]
    fn members_go_to_the_root_with_their_modes() {
        let members = [
            scanned("./bin/tool", 0o100_755),
            scanned("./usr/bin/su", 0o104_755),
            scanned("usr/share/doc/x", 0o644),
            scanned("./lib/x.so", 0o644),
            scanned("./library", 0o600),
            scanned("./../etc/shadow", 0o644),
        ];
        let package = package(EcosystemId::debian(), "tool");
        let mut baseline = Baseline::new(Platform::LinuxAmd64);
        place(&package, "tool_1.0_arm64.deb", &members, &mut baseline);
        assert!(shown(&baseline).is_empty(), "of another machine");
        place(&package, "tool_1.0_amd64.deb", &members, &mut baseline);
        assert_eq!(
            shown(&baseline),
            [
                "/library 0600",
                "/usr/bin/su 4755",
                "/usr/bin/tool 0755",
                "/usr/lib/x.so 0644",
                "/usr/share/doc/x 0644",
            ]
        );
        assert_eq!(baseline.unknown.len(), 1, "{:?}", baseline.unknown);
    }
}
