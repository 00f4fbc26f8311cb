//! Directories and permissions: what the runtime needs on its host, as the manifest declares it, held against what the
//! closure proof saw it write, and as the files that system managers, configuration management and people read.
//!
//! What is installed belongs to the administrator and is read by the runtime's group: what runs must not be able to change
//! its own code. An account that exists is never changed, and neither is its home, nor a folder on the way that is there.

mod compare;
mod manage;
mod system;
mod table;

pub use compare::findings;
pub use table::{TITLES, cells};

use crate::base::fault::Code;
use crate::base::made::Made;
use crate::base::runtime::{ADMINISTRATOR, Account, HostPath, Mode, Runtime, is_below, is_shared};

/// Codes of this module.
pub const CODES: &[&Code] = compare::CODES;

/// The mode of a folder on the way.
const PASSABLE: &str = "0755";
/// The shell of an account that nobody logs in with.
const NO_SHELL: &str = "/usr/sbin/nologin";

/// A directory that has to be there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Where.
    pub path: String,
    /// Who owns it.
    pub owner: String,
    /// Its group.
    pub group: String,
    /// Its mode, four octal digits.
    pub mode: String,
    /// The type of its `SELinux` label; `None`: whatever the policy says.
    pub selinux: Option<String>,
    /// What for.
    pub why: String,
    /// Whether it is only made where it is not there, and left as it is where it is.
    pub is_way: bool,
}

/// Every directory, sorted, so that one comes after those it lies in: what is declared, what follows from it, and the
/// folders on the way, which some tools make of themselves, each in its own way, and others do not.
pub fn rows(runtime: &Runtime) -> Vec<Row> {
    let own = |path: &str, owner: &str, why: &str| Row {
        path: path.to_owned(),
        owner: owner.to_owned(),
        group: runtime.group.to_string(),
        mode: Mode::USUAL.to_string(),
        selinux: None,
        why: why.to_owned(),
        is_way: false,
    };
    let prefix = runtime.prefix.as_str();
    let mut out: Vec<Row> = runtime
        .directories
        .iter()
        .map(|directory| Row {
            path: directory.path.to_string(),
            owner: directory.owner.to_string(),
            group: directory.group.to_string(),
            mode: directory.mode.to_string(),
            selinux: directory.selinux.as_ref().map(ToString::to_string),
            why: directory.why.to_string(),
            is_way: false,
        })
        .collect();
    // What is declared says more than what follows.
    let declared = |path: &str| runtime.directories.iter().any(|d| d.path.as_str() == path);
    if !declared(prefix) {
        let why = match home(runtime) {
            home if home == prefix => "what is installed, and the home",
            _ => "what is installed",
        };
        out.push(own(prefix, ADMINISTRATOR, why));
    }
    let home = runtime.home.as_ref().map(HostPath::as_str);
    let home = home.filter(|home| *home != prefix && !declared(home));
    out.extend(home.map(|home| own(home, runtime.user.as_str(), "the home of the account")));
    out.extend(ways(&out));
    if runtime.account == Account::Existing {
        out.retain(|row| Some(row.path.as_str()) != home);
    }
    out.sort();
    out
}

/// The folders in which those of `rows` lie, but for those that every host has and those that are rows. In a folder that
/// belongs to an account they belong to it, too.
fn ways(rows: &[Row]) -> Vec<Row> {
    let above = |path: &str| -> Vec<String> {
        let slashes = path.match_indices('/').map(|(at, _)| at);
        let folders = slashes.filter_map(|at| path.get(..at));
        folders
            .filter(|f| !f.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let mut paths: Vec<String> = rows.iter().flat_map(|row| above(&row.path)).collect();
    paths.sort();
    paths.dedup();
    paths.retain(|path| !is_shared(path) && rows.iter().all(|row| row.path != *path));
    let way = |path: String| {
        let around = rows.iter().filter(|row| is_below(&path, &row.path));
        match around.max_by_key(|row| row.path.len()) {
            Some(row) => Row {
                why: format!("on the way, in {}", row.path),
                path,
                selinux: None,
                ..row.clone()
            },
            None => Row {
                path,
                owner: ADMINISTRATOR.to_owned(),
                group: ADMINISTRATOR.to_owned(),
                mode: PASSABLE.to_owned(),
                selinux: None,
                why: "on the way; left as it is where it is there".to_owned(),
                is_way: true,
            },
        }
    };
    paths.into_iter().map(way).collect()
}

/// The home of the account.
fn home(runtime: &Runtime) -> &str {
    runtime.home.as_ref().unwrap_or(&runtime.prefix).as_str()
}

/// Every file about the directories of a bundle of `channel`; the same input gives the same bytes.
pub fn files(channel: &str, runtime: &Runtime) -> Vec<Made> {
    let rows = rows(runtime);
    let mut out = vec![
        Made::new("directories.csv", table::csv(&rows)),
        Made::new("directories.md", table::page(channel, &rows)),
        Made::new("tmpfiles.conf", system::tmpfiles(channel, &rows)),
        Made::new("acl.restore", system::acl(channel, &rows)),
        Made::new("ansible.yml", manage::ansible(channel, runtime, &rows)),
        Made::new("puppet.pp", manage::puppet(channel, runtime, &rows)),
    ];
    if runtime.account == Account::Create {
        out.push(Made::new(
            "sysusers.conf",
            system::sysusers(channel, runtime),
        ));
    }
    if rows.iter().any(|row| row.selinux.is_some()) {
        out.push(Made::new(
            "selinux.fc",
            system::file_contexts(channel, &rows),
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{files, rows};
    use crate::base::runtime::{Account, Runtime, parse};

    /// A runtime with a directory of every kind.
    pub(super) fn runtime() -> Runtime {
        let text = r#"{"runtime":{"account":"create","directories":[{"group":"claw","mode":"0750","owner":"svc-claw","path":"/var/lib/claw","selinux":"var_lib_t","why":"state & \"more\" {{ x }}"},{"group":"claw","mode":"3770","owner":"root","path":"/var/log/claw.d+1","selinux":null,"why":"logs"}],"flows":[],"group":"claw","home":"/home/claw","prefix":"/opt/claw","proxy":null,"repository":null,"user":"svc-claw"},"schema":"stage/runtime/v1"}"#;
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_declared_has_a_row_and_so_has_what_follows_from_it() {
        let shown = |runtime: &Runtime| -> Vec<String> {
            let rows = rows(runtime).into_iter();
            rows.map(|r| format!("{} {}:{} {}", r.path, r.owner, r.group, r.mode))
                .collect()
        };
        let mut runtime = runtime();
        assert_eq!(
            shown(&runtime),
            [
                "/home/claw svc-claw:claw 0750",
                "/opt/claw root:claw 0750",
                "/var/lib/claw svc-claw:claw 0750",
                "/var/log/claw.d+1 root:claw 3770",
            ]
        );
        runtime.account = Account::Existing;
        assert!(!shown(&runtime).concat().contains("/home/claw"));
        runtime.home = None;
        for account in [Account::Existing, Account::Create] {
            runtime.account = account;
            let rows = shown(&runtime);
            assert!(rows.contains(&"/opt/claw root:claw 0750".to_owned()));
        }
        runtime.directories[0].path = runtime.prefix.clone();
        assert_eq!(shown(&runtime).len(), 2, "{:?}", shown(&runtime));
    }

    #[test]
    fn folders_on_the_way_are_rows_and_whose_they_are_follows_from_where_they_are() {
        let mut runtime = runtime();
        runtime.prefix = "/srv/apps/claw".parse().unwrap();
        runtime.directories[0].path = "/home/claw/a/b/c".parse().unwrap();
        runtime.directories[1].path = "/data/log".parse().unwrap();
        let all = |runtime: &Runtime| -> Vec<String> {
            let rows = rows(runtime).into_iter();
            rows.map(|r| format!("{} {}:{} {} {}", r.path, r.owner, r.group, r.mode, r.is_way))
                .collect()
        };
        let expected = [
            "/data root:root 0755 true",
            "/data/log root:claw 3770 false",
            "/home/claw svc-claw:claw 0750 false",
            "/home/claw/a svc-claw:claw 0750 false",
            "/home/claw/a/b svc-claw:claw 0750 false",
            "/home/claw/a/b/c svc-claw:claw 0750 false",
            "/srv/apps root:root 0755 true",
            "/srv/apps/claw root:claw 0750 false",
        ];
        assert_eq!(all(&runtime), expected);
        runtime.account = Account::Existing;
        let without: Vec<&str> = expected
            .into_iter()
            .filter(|row| !row.starts_with("/home/claw "))
            .collect();
        assert_eq!(all(&runtime), without, "the home of somebody is his");
    }

    #[test]
    fn an_existing_account_is_in_no_file_and_no_type_means_no_labels() {
        let mut runtime = runtime();
        let names = |runtime: &Runtime| -> Vec<&str> {
            files("claw", runtime)
                .iter()
                .map(|made| made.name)
                .collect()
        };
        assert!(names(&runtime).contains(&"sysusers.conf"));
        assert!(names(&runtime).contains(&"selinux.fc"));
        assert_eq!(files("claw", &runtime), files("claw", &runtime));
        runtime.account = Account::Existing;
        runtime.directories[0].selinux = None;
        assert!(!names(&runtime).contains(&"sysusers.conf"));
        assert!(!names(&runtime).contains(&"selinux.fc"));
        for made in files("claw", &runtime) {
            let text = String::from_utf8(made.bytes).unwrap();
            for word in ["builtin.user", "builtin.group", "useradd", "groupadd"] {
                assert!(!text.contains(word), "{}: {word}", made.name);
            }
        }
    }
}
