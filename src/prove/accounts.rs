//! Whom the steps run as, and the many accounts that an installation of Debian packages needs: its files belong to others
//! than root, and its maintainer scripts run as root.

use std::path::Path;

use crate::fs;
use crate::prove::sandbox::find;

/// The account when the administrator proves.
const NOBODY: u32 = 65534;
/// How many accounts an installation needs.
const MANY: u32 = 65536;
/// The first of them when the administrator proves: nobody's.
const FIRST: u32 = 2_000_000_000;

/// Whom the steps run as.
#[derive(Debug, Clone, Copy)]
pub(super) enum Account {
    /// The administrator makes the namespaces and drops to this account.
    Dropped(u32),
    /// An account with a user namespace, in which it is itself again.
    Mapped(u32, u32),
}

/// The account, and what is known of others.
#[derive(Debug, Clone)]
pub(super) struct Accounts {
    pub(super) own: Account,
    pub(super) others: Others,
}

/// Accounts for an installation.
#[derive(Debug, Clone)]
pub(super) enum Others {
    /// None, and why.
    None(String),
    /// The administrator of this host takes some that nobody has.
    Free,
    /// Those that the administrator gave to this account: the first user and the first group.
    Given(u32, u32),
}

impl Accounts {
    /// Those of this process.
    pub(super) fn find(path: &str) -> Self {
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        if user.is_root() {
            let enough = ["uid_map", "gid_map"].iter().all(|name| {
                let text = read(&format!("/proc/self/{name}"));
                covers(&text, FIRST) && covers(&text, NOBODY)
            });
            let few = "this container maps too few accounts";
            let others = if enough {
                Others::Free
            } else {
                Others::None(few.to_owned())
            };
            return Self {
                own: Account::Dropped(NOBODY),
                others,
            };
        }
        let (user, group) = (user.as_raw(), group.as_raw());
        Self {
            own: Account::Mapped(user, group),
            others: given(path, user),
        }
    }

    /// User and group of the steps.
    pub(super) const fn ids(&self) -> (u32, u32) {
        match self.own {
            Account::Dropped(user) => (user, user),
            Account::Mapped(user, group) => (user, group),
        }
    }

    /// The account that is root in an installation, seen from the holder of the namespaces.
    pub(super) const fn root(&self) -> Option<u32> {
        match self.others {
            Others::None(_) => None,
            Others::Free => Some(FIRST),
            Others::Given(..) => Some(1),
        }
    }

    /// What `/proc/PID/uid_map` and `gid_map` of an installation are, seen from there, too.
    pub(super) fn map(&self) -> Option<String> {
        self.root().map(|first| format!("0 {first} {MANY}"))
    }

    /// The words after `newuidmap PID` and `newgidmap PID` for the holder of the namespaces.
    pub(super) fn given(&self) -> Option<[Vec<String>; 2]> {
        let (Account::Mapped(user, group), Others::Given(users, groups)) = (self.own, &self.others)
        else {
            return None;
        };
        let words = |own: u32, first: u32| {
            let all = [0, own, 1, 1, first, MANY];
            all.iter().map(ToString::to_string).collect()
        };
        Some([words(user, *users), words(group, *groups)])
    }
}

/// The accounts that `/etc/subuid` and `/etc/subgid` give, where the programs are there that use them.
fn given(path: &str, user: u32) -> Others {
    let passwd = read("/etc/passwd");
    let id = user.to_string();
    let mut lines = passwd.lines().map(|line| line.split(':'));
    let name = lines.find_map(|mut parts| {
        let name = parts.next()?;
        (parts.nth(1) == Some(&id)).then_some(name)
    });
    let names = [name.unwrap_or(&id), &id];
    let range = |file: &str| first_of(&read(file), &names);
    let programs = ["newuidmap", "newgidmap"];
    let lacking = programs.iter().find(|name| find(path, name).is_none());
    match (lacking, range("/etc/subuid"), range("/etc/subgid")) {
        (Some(program), ..) => Others::None(format!(
            "there is no {program} here (Debian package uidmap), and one account is too few"
        )),
        (None, Some(users), Some(groups)) => Others::Given(users, groups),
        _ => Others::None(
            "/etc/subuid and /etc/subgid give this account no 65536 others, and one is too few"
                .to_owned(),
        ),
    }
}

/// The first id of a line `name:first:count` that is large enough.
fn first_of(text: &str, names: &[&str]) -> Option<u32> {
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find_map(|parts| match parts.as_slice() {
        [name, first, count] if names.contains(name) => {
            let count: u32 = count.trim().parse().ok()?;
            first.parse().ok().filter(|_| count >= MANY)
        }
        _ => None,
    })
}

/// Whether a map of the kernel has [`MANY`] ids from this one, or just [`NOBODY`].
fn covers(map: &str, id: u32) -> bool {
    let wanted = if id == NOBODY { 1 } else { MANY };
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) =
            (numbers.next(), numbers.next(), numbers.next())
        else {
            return false;
        };
        first <= u64::from(id) && u64::from(id) + u64::from(wanted) <= first + count
    })
}

fn read(path: &str) -> String {
    let bytes = fs::read_optional(Path::new(path), 4 << 20).ok().flatten();
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Account, Accounts, FIRST, NOBODY, Others, covers, first_of};

    #[test]
    fn accounts_are_found_where_there_are_enough() {
        let whole = "         0          0 4294967295\n";
        assert!(covers(whole, FIRST) && covers(whole, NOBODY));
        let few = "0 1000 1\n1 100000 65536\n";
        assert!(!covers(few, FIRST) && covers(few, NOBODY));
        let text = "ann:1000:65536\nbob:100000:10\nbob:200000:65536\n1001:5:65536\n";
        assert_eq!(first_of(text, &["bob", "1002"]), Some(200_000));
        assert_eq!(first_of(text, &["eve", "1001"]), Some(5));
        assert_eq!(first_of(text, &["eve"]), None);
        let accounts = Accounts {
            own: Account::Mapped(1000, 100),
            others: Others::Given(200_000, 300_000),
        };
        let [users, groups] = accounts.given().unwrap();
        assert_eq!(users.join(" "), "0 1000 1 1 200000 65536");
        assert_eq!(groups.join(" "), "0 100 1 1 300000 65536");
        assert_eq!(accounts.map().unwrap(), "0 1 65536");
    }
}
