//! What was declared, held against what the closure proof saw.

use std::collections::BTreeSet;

use crate::base::fault::{Code, Kind};
use crate::base::finding::{Finding, Severity};
use crate::base::runtime::{Runtime, is_below};
use crate::base::text::{escaped, quoted};
use crate::trust::proof::Proof;

/// Codes of this module.
pub(super) const CODES: &[&Code] = &[&UNDECLARED, &WORLD];

static UNDECLARED: Code = Code::new("permission-undeclared-write", Kind::Denied);
static WORLD: Code = Code::new("permission-world-writable", Kind::Denied);

/// How a proof shows the home of the account that it ran as.
const HOME: &str = "~";
/// How many folders of a path a finding shows: what is below has the same reason.
const DEPTH: usize = 3;
/// Everybody may write.
const WORLD_WRITES: u16 = 0o002;
/// What keeps others from removing what somebody wrote.
const STICKY: u16 = 0o1000;

/// Folders that the checks of the proof wrote to and nobody declared, and directories that anybody could write to.
/// Without a proof that recorded system calls only the latter.
pub fn findings(runtime: &Runtime, proof: Option<&Proof>) -> Vec<Finding> {
    let open = runtime.directories.iter().filter(|directory| {
        let bits = directory.mode.bits();
        bits & WORLD_WRITES != 0 && bits & STICKY == 0
    });
    let mut out: Vec<Finding> = open
        .map(|directory| {
            let (path, mode) = (&directory.path, directory.mode);
            finding(
                &WORLD,
                format!("{path} has mode {mode}: anybody on the host can replace what is in it"),
                "give it a group, or set the sticky bit".to_owned(),
            )
        })
        .collect();
    let seen = proof.filter(|proof| proof.host.tracer.is_some());
    let folders = seen.into_iter().flat_map(|proof| &proof.writes);
    let elsewhere = folders.filter(|folder| !is_declared(runtime, folder));
    let elsewhere: BTreeSet<String> = elsewhere.map(|folder| shallow(folder)).collect();
    out.extend(elsewhere.iter().map(|folder| {
        finding(
            &UNDECLARED,
            format!(
                "writes to {}, which is outside the prefix, the home and the declared directories",
                escaped(folder)
            ),
            format!(
                "add [[runtime.directory]] path = {}, or configure it to write elsewhere",
                quoted(folder)
            ),
        )
    }));
    out.sort_by(|a, b| (a.code.name, &a.message).cmp(&(b.code.name, &b.message)));
    out
}

fn is_declared(runtime: &Runtime, folder: &str) -> bool {
    if is_below(folder, HOME) {
        return true;
    }
    let own = [Some(&runtime.prefix), runtime.home.as_ref()];
    let declared = runtime.directories.iter().map(|directory| &directory.path);
    let mut paths = own.into_iter().flatten().chain(declared);
    paths.any(|path| is_below(folder, path.as_str()))
}

fn shallow(folder: &str) -> String {
    let parts: Vec<&str> = folder.split('/').take(DEPTH + 1).collect();
    parts.join("/")
}

fn finding(code: &'static Code, message: String, fix: String) -> Finding {
    Finding {
        code,
        severity: Severity::Warn,
        subject: "the runtime".to_owned(),
        message,
        chain: Vec::new(),
        fix: Some(fix),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::runtime;
    use super::{findings, is_declared};

    #[test]
    fn what_is_written_elsewhere_is_not_declared() {
        let runtime = runtime();
        for fine in [
            "~",
            "~/.claw",
            "/opt/claw",
            "/opt/claw/x",
            "/var/lib/claw",
            "/var/lib/claw/a/b",
            "/home/claw",
        ] {
            assert!(is_declared(&runtime, fine), "{fine}");
        }
        for elsewhere in [
            "/tmp",
            "/tmp/openclaw",
            "/opt/claws",
            "/var",
            "/var/lib",
            "/var/lib/other",
            "/",
            "/var/cache",
        ] {
            assert!(!is_declared(&runtime, elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn a_directory_of_everybody_is_a_finding() {
        let mut runtime = runtime();
        assert!(findings(&runtime, None).is_empty());
        runtime.directories[0].mode = "0777".parse().unwrap();
        runtime.directories[1].mode = "1777".parse().unwrap();
        let found = findings(&runtime, None);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].code.name, "permission-world-writable");
        assert!(found[0].message.contains("/var/lib/claw "));
    }
}
