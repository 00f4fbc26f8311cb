//! How dpkg lays a `.deb` out: its data archive goes to the root, with the modes it has. Folders that Debian has merged into
//! `/usr` are links there.

use super::scan::Members;
use super::{Baseline, path, release};
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
    members: &Members,
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
    for member in &members.files {
        let mode = member.mode.unwrap_or(USUAL) & BITS;
        baseline.put(&merged(&member.path), member, mode, package);
    }
    for (path, target) in &members.links {
        baseline.link(&merged(path), target, &release(package));
    }
}

/// Where a host with merged folders has a member.
fn merged(path: &str) -> String {
    let inside = path::normal(path);
    let first = inside.split('/').next().unwrap_or_default();
    if MERGED.contains(&first) {
        format!("/usr/{inside}")
    } else {
        format!("/{inside}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Baseline;
    use super::super::scan::Members;
    use super::super::tests::{package, scanned, shown};
    use super::place;
    use crate::base::package::EcosystemId;
    use crate::base::platform::Platform;

    #[test]
    fn members_go_to_the_root_with_their_modes() {
        let files = vec![
            scanned("./bin/tool", 0o100_755),
            scanned("./usr/bin/su", 0o104_755),
            scanned("usr/share/doc/x", 0o644),
            scanned("./lib/x.so", 0o644),
            scanned("./library", 0o600),
            scanned("./../etc/shadow", 0o644),
        ];
        let members = Members {
            files,
            links: vec![
                ("./lib/x.so.1".to_owned(), "x.so".to_owned()),
                ("./usr/bin/a".to_owned(), "a\nb".to_owned()),
            ],
        };
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
        assert_eq!(baseline.unknown.len(), 2, "{:?}", baseline.unknown);
        let links: Vec<&String> = baseline.links.keys().collect();
        assert_eq!(links, ["/usr/lib/x.so.1"]);
        assert_eq!(baseline.links["/usr/lib/x.so.1"].target, "x.so");
        // Another release with other bytes: nobody knows which one stays.
        let other = super::super::tests::package(EcosystemId::debian(), "other");
        let mut changed = scanned("usr/bin/su", 0o755);
        changed.size += 1;
        baseline.put("/usr/bin/su", &changed, 0o755, &other);
        assert!(!baseline.files.contains_key("/usr/bin/su"));
        let why = &baseline.may_change["/usr/bin/su"].why;
        assert!(why.starts_with("debian tool@1.0 has it, too"), "{why}");
    }
}
