//! Debian packages: installed into a root of their own where they are one, else unpacked.

use crate::base::package::EcosystemId;
use crate::eco::EcoError;
use crate::eco::debian::pins;
use crate::eco::debian::records::{self, DebianInstall};
use crate::prove::clients::{Planner, Task};
use crate::prove::sandbox::{HOME, ROOTS};

/// What every script begins with.
const APT: &str = include_str!("apt.sh");
/// What installs.
const INSTALL: &str = include_str!("install.sh");
/// What unpacks.
const UNPACK: &str = include_str!("unpack.sh");

/// Whether the packages of an install are all that the target is made of.
const WHOLE: &str = "essential";

/// Steps for every install, each in a folder of its own: `apt-get` resolves what is pinned from the published index, against
/// what the target is assumed to have. The packages of a whole root are installed as root of many accounts, with their
/// maintainer scripts; others are unpacked, because the base that their scripts run on is not in the bundle.
pub(super) fn plan(planner: &mut Planner<'_>) -> Result<(), EcoError> {
    let Some(bytes) = planner.request.records.get(&EcosystemId::debian()) else {
        return Ok(());
    };
    let records = records::parse(bytes)?;
    let platform = planner.request.host.as_str().replace('/', "-");
    let arch = platform.rsplit('-').next().unwrap_or_default().to_owned();
    let files = pins::files(&records);
    for (number, install) in &records.installs {
        let folder = match records.installs.len() {
            1 => platform.clone(),
            _ => format!("{number}/{platform}"),
        };
        let listed = format!("{folder}/packages.txt");
        if !files.iter().any(|(path, _)| *path == listed) {
            continue;
        }
        let head = format!("arch={arch} pins={}/debian/{folder}\n", planner.pins);
        one(planner, *number, install, &head, &arch);
    }
    Ok(())
}

fn one(planner: &mut Planner<'_>, number: u32, install: &DebianInstall, head: &str, arch: &str) {
    let unable = planner.no_root.clone();
    let is_whole = install.baseline == WHOLE;
    if is_whole {
        let root = format!("{ROOTS}/{number}/root");
        let (user, group) = planner.ids;
        let script = match &unable {
            Some(why) => format!("skip '{}'\n", why.replace('\'', "")),
            None => format!(
                "{head}dir={ROOTS}/{number} root={root} account={user} group={group}\n{APT}{INSTALL}"
            ),
        };
        let name = "debian: install into a scratch root (essential)".to_owned();
        let task = Task {
            root: unable.is_none().then_some(root),
            ..Planner::task(EcosystemId::debian(), name, &script)
        };
        planner.tasks.push(task);
        if unable.is_none() {
            return;
        }
    }
    let why = unable.filter(|_| is_whole).unwrap_or_else(|| {
        format!(
            "what they run on is assumed to be on the target (baseline {}) and not in the bundle",
            install.baseline
        )
    });
    let script = format!(
        "{head}dir={HOME}/apt-{number} number={number} why='{}'\nmkdir -p \"$dir\"\ncp /stage/status-{number} \"$dir/status\"\n{APT}{UNPACK}",
        why.replace('\'', "")
    );
    let status = status(&install.status, arch);
    planner.files.push((format!("status-{number}"), status));
    planner
        .path
        .push(format!("{HOME}/.local/debian-{number}/bin"));
    let name = format!("debian: unpack into a scratch root ({})", install.baseline);
    planner.add(EcosystemId::debian(), name, &script);
}

/// What the target has, as dpkg writes it down: the stanzas that the lock was made with.
fn status(stanzas: &str, arch: &str) -> String {
    let mut text = String::new();
    for stanza in stanzas.split("\n\n").filter(|s| !s.trim().is_empty()) {
        let stanza = stanza.trim_matches('\n');
        text.push_str(stanza);
        let usual = [
            ("Status:", "install ok installed"),
            ("Architecture:", arch),
            ("Maintainer:", "-"),
            ("Description:", "-"),
        ];
        for (field, value) in usual {
            if !stanza.lines().any(|line| line.starts_with(field)) {
                text.extend(["\n", field, " ", value]);
            }
        }
        text.push_str("\n\n");
    }
    text
}
