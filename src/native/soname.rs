//! Names: of the libraries that a C library consists of, and of the Debian package that a library is in.

use crate::base::platform::{Libc, Platform};

/// The shared libraries of GNU libc itself, without its loader. `libcrypt` is no longer one of them.
const GLIBC: &[&str] = &[
    "libBrokenLocale.so.1",
    "libanl.so.1",
    "libc.so.6",
    "libc_malloc_debug.so.0",
    "libdl.so.2",
    "libm.so.6",
    "libmvec.so.1",
    "libnsl.so.1",
    "libnss_compat.so.2",
    "libnss_dns.so.2",
    "libnss_files.so.2",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libthread_db.so.1",
    "libutil.so.1",
];

/// Libraries whose Debian package is not named after them.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("libatk-1.0.so.0", "libatk1.0-0"),
    ("libatk-bridge-2.0.so.0", "libatk-bridge2.0-0"),
    ("libatspi.so.0", "libatspi2.0-0"),
    ("libcrypto.so.1.1", "libssl1.1"),
    ("libcrypto.so.3", "libssl3"),
    ("libgdk-3.so.0", "libgtk-3-0"),
    ("libgdk_pixbuf-2.0.so.0", "libgdk-pixbuf-2.0-0"),
    ("libgio-2.0.so.0", "libglib2.0-0"),
    ("libglib-2.0.so.0", "libglib2.0-0"),
    ("libgmodule-2.0.so.0", "libglib2.0-0"),
    ("libgobject-2.0.so.0", "libglib2.0-0"),
    ("libgthread-2.0.so.0", "libglib2.0-0"),
    ("libnssutil3.so", "libnss3"),
    ("libodbcinst.so.2", "libodbcinst2"),
    ("libpangocairo-1.0.so.0", "libpangocairo-1.0-0"),
    ("libplc4.so", "libnspr4"),
    ("libplds4.so", "libnspr4"),
    ("libpulse.so.0", "libpulse0"),
    ("libsmime3.so", "libnss3"),
    ("libssl.so.1.1", "libssl1.1"),
    ("libz.so.1", "zlib1g"),
];

/// Whether `name` belongs to the C library of the target.
pub(super) fn is_libc(name: &str, libc: &Libc, platform: Platform) -> bool {
    let (glibc_loader, machine) = match platform {
        Platform::LinuxAmd64 => ("ld-linux-x86-64.so.2", "x86_64"),
        Platform::LinuxArm64 => ("ld-linux-aarch64.so.1", "aarch64"),
    };
    match libc {
        Libc::Glibc(_) => name == glibc_loader || GLIBC.binary_search(&name).is_ok(),
        Libc::Musl(_) => {
            name == "libc.so"
                || [
                    format!("libc.musl-{machine}.so.1"),
                    format!("ld-musl-{machine}.so.1"),
                ]
                .iter()
                .any(|own| own == name)
        }
    }
}

/// `3.11` of `libpython3.11.so.1.0`.
pub(super) fn python_of(soname: &str) -> Option<&str> {
    let rest = soname.strip_prefix("libpython")?;
    let version = rest.split(".so").next()?.trim_end_matches('d');
    version.contains('.').then_some(version)
}

/// The names that a package may have: its own, and with the suffix that packages got when time became 64 bits wide on
/// 32-bit machines.
pub(super) fn forms(package: &str) -> [String; 2] {
    [package.to_owned(), format!("{package}t64")]
}

/// The Debian package that holds a library by the naming rule of Debian Policy §8.1: the name, a dash if that ends in a
/// digit, the version of the soname; lower case. `None` for what is no name of a shared library.
pub(super) fn debian_package(soname: &str) -> Option<String> {
    if let Some(version) = python_of(soname) {
        return Some(format!("libpython{version}"));
    }
    let known = EXCEPTIONS.iter().find(|(name, _)| *name == soname);
    if let Some((_, package)) = known {
        return Some((*package).to_owned());
    }
    let (name, version) = match soname.split_once(".so.") {
        Some(parts) => parts,
        None => (soname.strip_suffix(".so")?, ""),
    };
    let dash = if name.ends_with(|c: char| c.is_ascii_digit()) && !version.is_empty() {
        "-"
    } else {
        ""
    };
    let package = format!("{name}{dash}{version}")
        .to_ascii_lowercase()
        .replace('_', "-");
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    let fits = package.starts_with(|c: char| c.is_ascii_alphanumeric())
        && (2..=128).contains(&package.len())
        && package.chars().all(allowed);
    fits.then_some(package)
}

#[cfg(test)]
mod tests {
    use super::{GLIBC, debian_package, is_libc, python_of};
    use crate::base::platform::{Libc, Platform};

    #[test]
    fn packages_are_named_as_policy_says() {
        let cases = [
            ("libX11.so.6", Some("libx11-6")),
            ("libXi.so.6", Some("libxi6")),
            ("libxkbcommon.so.0", Some("libxkbcommon0")),
            ("libfoo-1.2.so.3", Some("libfoo-1.2-3")),
            ("libgcc_s.so.1", Some("libgcc-s1")),
            ("libstdc++.so.6", Some("libstdc++6")),
            ("libpcre2-8.so.0", Some("libpcre2-8-0")),
            ("libnss3.so", Some("libnss3")),
            ("libz.so.1", Some("zlib1g")),
            ("libpython3.11.so.1.0", Some("libpython3.11")),
            ("plugin", None),
            ("lib\u{1b}[2J.so.1", None),
            ("\"; rm.so.1", None),
        ];
        for (soname, package) in cases {
            assert_eq!(debian_package(soname).as_deref(), package, "{soname}");
        }
        assert_eq!(python_of("libpython3.so"), None);
        assert_eq!(python_of("libpython3.13t.so.1.0"), Some("3.13t"));
    }

    #[test]
    fn a_c_library_consists_of_its_own_files_only() {
        assert!(GLIBC.is_sorted());
        let (glibc, musl) = (Libc::Glibc("2.36".to_owned()), Libc::Musl("1.2".to_owned()));
        let amd64 = Platform::LinuxAmd64;
        assert!(is_libc("libm.so.6", &glibc, amd64));
        assert!(is_libc("ld-linux-x86-64.so.2", &glibc, amd64));
        assert!(!is_libc("ld-linux-aarch64.so.1", &glibc, amd64));
        assert!(!is_libc("libcrypt.so.1", &glibc, amd64));
        assert!(is_libc(
            "libc.musl-aarch64.so.1",
            &musl,
            Platform::LinuxArm64
        ));
        assert!(!is_libc("libc.so.6", &musl, amd64));
    }
}
