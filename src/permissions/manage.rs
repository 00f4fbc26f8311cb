//! What configuration management reads: a play of Ansible, a manifest of Puppet. Texts of people are in comments only, where
//! neither Jinja nor Puppet looks for expressions.

use super::{NO_SHELL, Row, home};
use crate::base::lines::Lines;
use crate::base::runtime::{Account, AccountName, Runtime};
use crate::base::text::harmless;

/// For `ansible-playbook`; the modules are those of ansible-core.
pub(super) fn ansible(channel: &str, runtime: &Runtime, rows: &[Row]) -> String {
    let mut out = Lines::new();
    out.line(format!(
        "---\n- name: Directories of {channel}\n  hosts: all\n  become: true\n  tasks:"
    ));
    if runtime.account == Account::Create {
        let (user, group, home) = (&runtime.user, &runtime.group, home(runtime));
        // The modules change what is there.
        let is_there = |database: &str, name: &AccountName| {
            format!(
                "    - name: Look for {name} in {database}\n      ansible.builtin.getent:\n        database: {database}\n        \
                 key: \"{name}\"\n        fail_key: false"
            )
        };
        let absent = |database: &str, name: &AccountName| {
            format!("      when: not ansible_facts['getent_{database}']['{name}']")
        };
        out.line(is_there("group", group));
        out.line(format!(
            "    - name: Group {group}\n      ansible.builtin.group:\n        name: \"{group}\"\n        system: true"
        ));
        out.line(absent("group", group));
        out.line(is_there("passwd", user));
        out.line(format!(
            "    - name: Account {user}\n      ansible.builtin.user:\n        name: \"{user}\"\n        group: \"{group}\"\n        \
             home: \"{home}\"\n        create_home: false\n        shell: {NO_SHELL}\n        system: true"
        ));
        out.line(absent("passwd", user));
    }
    for row in rows {
        out.line(format!("    # {}", harmless(&row.why)));
        let path = &row.path;
        if row.is_way {
            out.line(format!(
                "    - name: Directory {path}\n      ansible.builtin.command:\n        \
                 cmd: install -d -m {} -o {} -g {} {path}\n        creates: \"{path}\"",
                row.mode, row.owner, row.group
            ));
            continue;
        }
        out.line(format!(
            "    - name: Directory {path}\n      ansible.builtin.file:\n        path: \"{path}\"\n        state: directory\n        \
             owner: \"{}\"\n        group: \"{}\"\n        mode: \"{}\"",
            row.owner, row.group, row.mode
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
        puppet_account(&mut out, runtime);
    }
    for row in rows {
        out.line(format!(
            "# {}\nfile {{ '{}':\n  ensure  => directory,",
            harmless(&row.why),
            row.path
        ));
        // Made by root with mode 0755; what is there is not touched.
        if !row.is_way {
            out.line(format!(
                "  owner   => '{}',\n  group   => '{}',\n  mode    => '{}',",
                row.owner, row.group, row.mode
            ));
            if runtime.account == Account::Create {
                out.line(format!("  require => Exec['account {}'],", runtime.user));
            }
        }
        if let Some(kind) = &row.selinux {
            out.line(format!("  seltype => '{kind}',"));
        }
        out.line("}");
    }
    out.into_text()
}

/// The group and the account where they are not there: the resources `group` and `user` change what is.
fn puppet_account(out: &mut Lines, runtime: &Runtime) {
    let (user, group, home) = (&runtime.user, &runtime.group, home(runtime));
    out.line(format!(
        "exec {{ 'group {group}':\n  command => '/usr/sbin/groupadd --system {group}',\n  \
         unless  => '/usr/bin/getent group {group}',\n}}"
    ));
    out.line(format!(
        "exec {{ 'account {user}':\n  command => '/usr/sbin/useradd --system --gid {group} --home-dir {home} \
         --no-create-home --shell {NO_SHELL} {user}',\n  unless  => '/usr/bin/getent passwd {user}',\n  \
         require => Exec['group {group}'],\n}}"
    ));
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
