//! What configuration management reads: a play of Ansible, a manifest of Puppet. Texts of people are in comments only, where
//! neither Jinja nor Puppet looks for expressions.

use super::{NO_SHELL, Row, home};
use crate::base::lines::Lines;
use crate::base::runtime::{Account, Runtime};
use crate::base::text::harmless;

/// For `ansible-playbook`; the modules are those of ansible-core.
pub(super) fn ansible(channel: &str, runtime: &Runtime, rows: &[Row]) -> String {
    let mut out = Lines::new();
    out.line(format!(
        "---\n- name: Directories of {channel}\n  hosts: all\n  become: true\n  tasks:"
    ));
    if runtime.account == Account::Create {
        let (user, group, home) = (&runtime.user, &runtime.group, home(runtime));
        out.line(format!(
            "    - name: Group {group}\n      ansible.builtin.group:\n        name: \"{group}\"\n        system: true"
        ));
        out.line(format!(
            "    - name: Account {user}\n      ansible.builtin.user:\n        name: \"{user}\"\n        group: \"{group}\"\n        \
             home: \"{home}\"\n        create_home: false\n        shell: {NO_SHELL}\n        system: true"
        ));
    }
    for row in rows {
        out.line(format!("    # {}", harmless(&row.why)));
        out.line(format!(
            "    - name: Directory {0}\n      ansible.builtin.file:\n        path: \"{0}\"\n        state: directory\n        \
             owner: \"{1}\"\n        group: \"{2}\"\n        mode: \"{3}\"",
            row.path, row.owner, row.group, row.mode
        ));
        if let Some(kind) = &row.selinux {
            out.line(format!("        setype: \"{kind}\""));
        }
    }
    out.into_text()
}

/// For `puppet apply`, or a class.
pub(super) fn puppet(channel: &str, runtime: &Runtime, rows: &[Row]) -> String {
    let mut out = Lines::new();
    out.line(format!("# Directories of {channel}"));
    if runtime.account == Account::Create {
        let (user, group, home) = (&runtime.user, &runtime.group, home(runtime));
        out.line(format!(
            "group {{ '{group}':\n  ensure => present,\n  system => true,\n}}"
        ));
        out.line(format!(
            "user {{ '{user}':\n  ensure     => present,\n  gid        => '{group}',\n  home       => '{home}',\n  \
             managehome => false,\n  shell      => '{NO_SHELL}',\n  system     => true,\n}}"
        ));
    }
    for row in rows {
        out.line(format!("# {}", harmless(&row.why)));
        out.line(format!(
            "file {{ '{}':\n  ensure  => directory,\n  owner   => '{}',\n  group   => '{}',\n  mode    => '{}',",
            row.path, row.owner, row.group, row.mode
        ));
        if let Some(kind) = &row.selinux {
            out.line(format!("  seltype => '{kind}',"));
        }
        out.line("}");
    }
    out.into_text()
}

#[cfg(test)]
mod tests {
    use super::super::{rows, tests::runtime};
    use super::{ansible, puppet};

    #[test]
    fn both_make_the_account_and_every_directory_and_evaluate_no_text() {
        let runtime = runtime();
        let rows = rows(&runtime);
        for text in [
            ansible("claw", &runtime, &rows),
            puppet("claw", &runtime, &rows),
        ] {
            for row in &rows {
                assert!(
                    text.contains(&row.path) && text.contains(&row.mode),
                    "{text}"
                );
            }
            assert!(text.contains("svc-claw") && text.contains("var_lib_t"));
            assert!(!text.contains("{{ x") && !text.contains('&'), "{text}");
        }
    }
}
