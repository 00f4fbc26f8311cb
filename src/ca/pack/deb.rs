//! A Debian package of root certificates (deb(5)): an `ar` archive of two tarballs. It puts the files where
//! `ca-certificates` looks for those of packages, names them in its list, and asks for the store to be made anew.

use std::io::{self, Write as _};

use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};

use super::{Name, Single};
use crate::base::time::Timestamp;

const POSTINST: &str = include_str!("postinst.sh");
const POSTRM: &str = include_str!("postrm.sh");

/// A package.
pub(super) struct Package<'a> {
    pub(super) name: &'a Name,
    pub(super) singles: &'a [Single<'a>],
    pub(super) version: String,
    pub(super) time: Timestamp,
}

/// A file of a tarball: its path, mode and bytes; a folder, when there are none.
type Member = (String, u32, Option<Vec<u8>>);

impl Package<'_> {
    fn package(&self) -> String {
        format!("{}-ca-certificates", self.name)
    }

    /// As `dpkg` names them.
    pub(super) fn file_name(&self) -> String {
        format!("{}_{}_all.deb", self.package(), self.version)
    }

    /// The file.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = b"!<arch>\n".to_vec();
        self.member(&mut out, "debian-binary", b"2.0\n");
        self.member(&mut out, "control.tar.gz", &self.tarball(self.control()));
        self.member(&mut out, "data.tar.gz", &self.tarball(self.data()));
        out
    }

    fn seconds(&self) -> u64 {
        u64::try_from(self.time.unix()).unwrap_or_default()
    }

    fn member(&self, out: &mut Vec<u8>, name: &str, bytes: &[u8]) {
        let (seconds, size) = (self.seconds(), bytes.len());
        let head = format!(
            "{name:<16}{seconds:<12}{:<6}{:<6}{:<8}{size:<10}`\n",
            0, 0, 100_644
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(bytes);
        if size % 2 == 1 {
            out.push(b'\n');
        }
    }

    fn control(&self) -> Vec<Member> {
        let size = self.data().iter().fold(0, |sum, (_, _, bytes)| {
            sum + bytes.as_ref().map_or(1, |bytes| bytes.len().div_ceil(1024))
        });
        let (package, version, name) = (self.package(), &self.version, self.name);
        let fields = format!(
            "Package: {package}\nVersion: {version}\nArchitecture: all\nMaintainer: {name} PKI <pki@{name}.invalid>\n\
             Installed-Size: {size}\nDepends: ca-certificates\nSection: misc\nPriority: optional\n\
             Description: root certificates of the private CA {name}\n \
             Programs that look into the system's store trust servers of this CA.\n .\n \
             The package was made from certificates that travelled with signatures;\n \
             its documentation names their fingerprints.\n"
        );
        let script = |text: &str| text.replace("@NAME@", &self.name.to_string()).into_bytes();
        vec![
            ("./".to_owned(), 0o755, None),
            ("./control".to_owned(), 0o644, Some(fields.into_bytes())),
            ("./postinst".to_owned(), 0o755, Some(script(POSTINST))),
            ("./postrm".to_owned(), 0o755, Some(script(POSTRM))),
        ]
    }

    fn data(&self) -> Vec<Member> {
        let doc = format!("./usr/share/doc/{}/", self.package());
        let certificates = format!("./usr/share/ca-certificates/{}/", self.name);
        let folder = |path: &str| (path.to_owned(), 0o755, None);
        let mut members: Vec<Member> = [
            "./",
            "./usr/",
            "./usr/share/",
            "./usr/share/ca-certificates/",
        ]
        .map(folder)
        .into();
        members.push(folder(&certificates));
        for single in self.singles {
            let path = format!("{certificates}{}", single.name);
            members.push((path, 0o644, Some(single.pem.clone())));
        }
        members.push(folder("./usr/share/doc/"));
        members.push(folder(&doc));
        members.push((
            format!("{doc}changelog.gz"),
            0o644,
            Some(compressed(self.changelog().as_bytes())),
        ));
        members.push((
            format!("{doc}copyright"),
            0o644,
            Some(self.copyright().into_bytes()),
        ));
        members
    }

    fn changelog(&self) -> String {
        let mut lines = String::new();
        for single in self.singles {
            lines.push_str("  * ");
            lines.push_str(&single.facts.fingerprint.to_string());
            lines.push('\n');
        }
        let (package, version, name) = (self.package(), &self.version, self.name);
        let day = rfc2822(self.time);
        format!(
            "{package} ({version}) unstable; urgency=medium\n\n{lines}\n -- {name} PKI <pki@{name}.invalid>  {day}\n"
        )
    }

    fn copyright(&self) -> String {
        format!(
            "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: {}\n\nFiles: *\n\
             Copyright: the issuers of the certificates\nLicense: public-domain\n \
             Certificates are facts: names, keys, times and signatures over them.\n",
            self.package()
        )
    }

    fn tarball(&self, members: Vec<Member>) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, mode, bytes) in members {
            let content = bytes.unwrap_or_default();
            let mut header = Header::new_gnu();
            let kind = if path.ends_with('/') {
                EntryType::Directory
            } else {
                EntryType::Regular
            };
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_mtime(self.seconds());
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(content.len() as u64);
            // Paths are short and ASCII, and a vector takes everything.
            let written = named(&mut header, &path).and_then(|()| {
                header.set_cksum();
                builder.append(&header, content.as_slice())
            });
            if written.is_err() {
                return Vec::new();
            }
        }
        builder
            .into_inner()
            .map(|tar| compressed(&tar))
            .unwrap_or_default()
    }
}

/// Path and owner. `./` before every path is what dpkg-deb writes; `tar` itself would leave it out.
fn named(header: &mut Header, path: &str) -> io::Result<()> {
    let fields = header.as_gnu_mut().ok_or(io::ErrorKind::InvalidInput)?;
    let room = fields.name.get_mut(..path.len());
    room.ok_or(io::ErrorKind::InvalidInput)?
        .copy_from_slice(path.as_bytes());
    header.set_username("root")?;
    header.set_groupname("root")
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .operating_system(3)
        .write(Vec::new(), Compression::best());
    // A vector takes everything.
    let written = encoder.write_all(bytes);
    written.and_then(|()| encoder.finish()).unwrap_or_default()
}

/// `Sat, 01 Nov 2025 10:00:00 +0000`.
fn rfc2822(time: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    // 1970-01-01 was a Thursday.
    let day = usize::try_from(time.unix().div_euclid(86_400).rem_euclid(7)).unwrap_or_default();
    let text = time.to_string();
    let piece = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let month: usize = piece(5, 7).parse().unwrap_or(1);
    format!(
        "{}, {} {} {} {} +0000",
        DAYS.get(day).unwrap_or(&"Thu"),
        piece(8, 10),
        MONTHS.get(month.saturating_sub(1)).unwrap_or(&"Jan"),
        piece(0, 4),
        piece(11, 19)
    )
}
