//! What every host has and no runtime may call its own: its folders (Filesystem Hierarchy Standard 3.0, and what systemd,
//! dpkg and rpm keep), its accounts (Linux Standard Base 5.0, section 23) and the groups that are as good as root.

/// Folders that hold what is not the runtime's; what is below them may be.
const SHARED: &[&str] = &[
    "/etc",
    "/etc/default",
    "/etc/opt",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/run",
    "/run/user",
    "/srv",
    "/tmp",
    "/usr",
    "/usr/games",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/etc",
    "/usr/local/games",
    "/usr/local/include",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/usr/local/libexec",
    "/usr/local/man",
    "/usr/local/sbin",
    "/usr/local/share",
    "/usr/local/src",
    "/usr/share",
    "/usr/src",
    "/var",
    "/var/backups",
    "/var/cache",
    "/var/crash",
    "/var/games",
    "/var/lib",
    "/var/local",
    "/var/log",
    "/var/opt",
    "/var/spool",
    "/var/tmp",
    "/var/www",
];
/// Folders that are the system's with everything below them.
const WHOLE: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/etc/apt",
    "/etc/cron.d",
    "/etc/init.d",
    "/etc/pam.d",
    "/etc/security",
    "/etc/selinux",
    "/etc/skel",
    "/etc/ssh",
    "/etc/ssl",
    "/etc/sudoers.d",
    "/etc/systemd",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/lost+found",
    "/proc",
    "/root",
    "/run/systemd",
    "/sbin",
    "/sys",
    "/usr/bin",
    "/usr/include",
    "/usr/lib/systemd",
    "/usr/sbin",
    "/var/lib/apt",
    "/var/lib/dpkg",
    "/var/lib/rpm",
    "/var/lib/systemd",
    "/var/lock",
    "/var/log/audit",
    "/var/log/journal",
    "/var/mail",
    "/var/run",
    "/var/spool/cron",
    "/var/spool/mail",
];
/// Accounts that every host has, or that are root by another name.
const ACCOUNTS: &[&str] = &[
    "adm",
    "bin",
    "daemon",
    "ftp",
    "games",
    "halt",
    "lp",
    "mail",
    "man",
    "news",
    "nfsnobody",
    "nobody",
    "operator",
    "proxy",
    "root",
    "shutdown",
    "sync",
    "sys",
    "toor",
    "uucp",
];
/// Groups that may do what root may, or read what only root should.
const GROUPS: &[&str] = &[
    "adm",
    "admin",
    "bin",
    "daemon",
    "disk",
    "docker",
    "incus-admin",
    "kmem",
    "kvm",
    "libvirt",
    "lxd",
    "nobody",
    "nogroup",
    "operator",
    "root",
    "shadow",
    "staff",
    "sudo",
    "sys",
    "tty",
    "wheel",
];

/// Whether a folder is the system's.
pub(super) fn is_folder(path: &str) -> bool {
    SHARED.contains(&path) || WHOLE.iter().any(|whole| is_below(path, whole))
}

/// Whether a folder is there on every host, whoever uses it.
pub fn is_shared(path: &str) -> bool {
    SHARED.contains(&path)
}

/// Whether an account is the system's.
pub(super) fn is_account(name: &str) -> bool {
    ACCOUNTS.contains(&name) || name.starts_with("systemd-")
}

/// Whether who is in a group may do more than a runtime should.
pub(super) fn is_group(name: &str) -> bool {
    GROUPS.contains(&name) || name.starts_with("systemd-")
}

/// Whether a path is a folder, or below it.
pub fn is_below(path: &str, folder: &str) -> bool {
    let rest = path.strip_prefix(folder);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
