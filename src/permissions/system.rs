//! What the system itself reads: tmpfiles.d(5), sysusers.d(5), a restore file of setfacl(1), `SELinux` file contexts.

use super::{NO_SHELL, Row, home};
use crate::base::lines::Lines;
use crate::base::runtime::Runtime;
use crate::base::text::harmless;

/// For `/etc/tmpfiles.d`: makes what is not there, and sets owner, group and mode of what is; removes nothing.
pub(super) fn tmpfiles(channel: &str, rows: &[Row]) -> String {
    let mut out = Lines::new();
    out.line(format!(
        "# Directories of {channel}, for /etc/tmpfiles.d: `systemd-tmpfiles --create FILE`. The accounts must exist."
    ));
    for row in rows {
        out.line(format!("# {}", harmless(&row.why)));
        out.line(if row.is_way {
            // Made for root with mode 0755; what is there is not touched.
            format!("d {} - - - -", row.path)
        } else {
            format!("d {} {} {} {} -", row.path, row.mode, row.owner, row.group)
        });
    }
    out.into_text()
}

/// For `/etc/sysusers.d`: the group and the account, with numbers that the system picks and no way to log in.
pub(super) fn sysusers(channel: &str, runtime: &Runtime) -> String {
    let (user, group, home) = (&runtime.user, &runtime.group, home(runtime));
    let mut out = Lines::new();
    out.line(format!(
        "# Account of {channel}, for /etc/sysusers.d: `systemd-sysusers FILE`. An account that exists stays as it is."
    ));
    out.line(format!("g {group} -"));
    // An account has the group of its own name unless another one is said.
    let id = if user == group {
        "-".to_owned()
    } else {
        format!("-:{group}")
    };
    out.line(format!("u {user} {id} \"{channel}\" {home} {NO_SHELL}"));
    out.into_text()
}

/// For `setfacl --restore=FILE`: owner, group, bits and permissions as getfacl(1) writes them, and no other entries.
pub(super) fn acl(channel: &str, rows: &[Row]) -> String {
    let mut out = Lines::new();
    out.line(format!(
        "# Permissions of {channel}: `setfacl --restore=FILE` as the administrator, once the directories are there."
    ));
    out.line("");
    for row in rows.iter().filter(|row| !row.is_way) {
        let bits = u32::from_str_radix(&row.mode, 8).unwrap_or_default();
        out.line(format!(
            "# file: {}\n# owner: {}\n# group: {}",
            row.path, row.owner, row.group
        ));
        if bits & 0o7000 != 0 {
            let flag = |bit: u32, letter| if bits & bit == 0 { '-' } else { letter };
            let flags: String = [flag(0o4000, 's'), flag(0o2000, 's'), flag(0o1000, 't')]
                .iter()
                .collect();
            out.line(format!("# flags: {flags}"));
        }
        for (who, shift) in [("user", 6), ("group", 3), ("other", 0)] {
            out.line(format!("{who}::{}", triple(bits >> shift)));
        }
        out.line("");
    }
    out.into_text()
}

fn triple(bits: u32) -> String {
    let letters = [(4, 'r'), (2, 'w'), (1, 'x')];
    letters
        .iter()
        .map(|(bit, letter)| if bits & bit == 0 { '-' } else { *letter })
        .collect()
}

/// For `file_contexts.local`, or as the patterns of `semanage fcontext -a`: the label of each directory and all below it.
pub(super) fn file_contexts(channel: &str, rows: &[Row]) -> String {
    let mut out = Lines::new();
    out.line(format!(
        "# SELinux file contexts of {channel}. On the host: semanage fcontext -a -t TYPE 'PATTERN', then restorecon -R PATH."
    ));
    for row in rows {
        if let Some(kind) = &row.selinux {
            let pattern = row.path.replace('.', "\\.").replace('+', "\\+");
            out.line(format!("{pattern}(/.*)?\tsystem_u:object_r:{kind}:s0"));
        }
    }
    out.into_text()
}

#[cfg(test)]
mod tests {
    use super::super::{rows, tests::runtime};
    use super::{acl, file_contexts, sysusers, tmpfiles};

    #[test]
    fn each_file_says_what_the_rows_say() {
        let mut runtime = runtime();
        runtime.directories[1].selinux = "var_log_t".parse().ok();
        let rows = rows(&runtime);
        let tmpfiles = tmpfiles("claw", &rows);
        assert!(
            tmpfiles.contains("# state _ _more_ __ x __\nd /var/lib/claw 0750 svc-claw claw -\n")
        );
        let acl = acl("claw", &rows);
        assert!(acl.contains(
            "# file: /var/log/claw.d+1\n# owner: root\n# group: claw\n# flags: -st\nuser::rwx\ngroup::rwx\nother::---\n\n"
        ));
        let contexts = file_contexts("claw", &rows);
        assert!(contexts.contains("/var/log/claw\\.d\\+1(/.*)?\tsystem_u:object_r:var_log_t:s0\n"));
        let users = sysusers("claw", &runtime);
        assert!(
            users.ends_with("g claw -\nu svc-claw -:claw \"claw\" /home/claw /usr/sbin/nologin\n")
        );
        runtime.group = runtime.user.clone();
        runtime.home = None;
        let users = sysusers("claw", &runtime);
        assert!(
            users.ends_with("g svc-claw -\nu svc-claw - \"claw\" /opt/claw /usr/sbin/nologin\n")
        );
    }
}
