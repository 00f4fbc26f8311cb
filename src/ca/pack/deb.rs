//! A Debian package of root certificates (deb(5)): an `ar` archive of two tarballs. It puts the files where
//! `ca-certificates` looks for those of packages, names them in its list, and asks for the store to be made anew.

use std::io::{self, Write as _};

use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};

use super::{Name, Single};
use crate::base::time::Timestamp;

const POSTINST: &str = include_str!("postinst.sh");
const POSTRM: &str = include_str!("postrm.sh");
/// Longest name that a header holds.
const NAME: usize = 100;
/// The name of a member that holds the name of the next one.
const LONG_NAME: &str = "././@LongLink";

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
    ///
    /// # Errors
    /// A member has no place in a tarball.
    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut out = b"!<arch>\n".to_vec();
        self.member(&mut out, "debian-binary", b"2.0\n");
        let control = self.tarball(self.control()?)?;
        self.member(&mut out, "control.tar.gz", &control);
        let data = self.tarball(self.data()?)?;
        self.member(&mut out, "data.tar.gz", &data);
        Ok(out)
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

    fn control(&self) -> io::Result<Vec<Member>> {
        let size = self.data()?.iter().fold(0, |sum, (_, _, bytes)| {
            sum + bytes.as_ref().map_or(1, |bytes| bytes.len().div_ceil(1024))
        });
        let (package, version, name) = (self.package(), &self.version, self.name);
        let fields = format!(
            "Package: {package}\nVersion: {version}\nArchitecture: all\nMaintainer: {name} PKI <pki@{name}.invalid>\n\
             Installed-Size: {size}\nDepends: ca-certificates\nSection: misc\nPriority: optional\n\
             Description: root certificates of the private CA {name}\n \
             Programs that look into the system's store trust servers of this CA.\n .\n \
             The documentation of the package names the fingerprints of its certificates.\n"
        );
        let script = |text: &str| text.replace("@NAME@", &self.name.to_string()).into_bytes();
        Ok(vec![
            ("./".to_owned(), 0o755, None),
            ("./control".to_owned(), 0o644, Some(fields.into_bytes())),
            ("./postinst".to_owned(), 0o755, Some(script(POSTINST))),
            ("./postrm".to_owned(), 0o755, Some(script(POSTRM))),
        ])
    }

    fn data(&self) -> io::Result<Vec<Member>> {
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
            Some(compressed(self.changelog().as_bytes())?),
        ));
        members.push((
            format!("{doc}copyright"),
            0o644,
            Some(self.copyright().into_bytes()),
        ));
        Ok(members)
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

    fn tarball(&self, members: Vec<Member>) -> io::Result<Vec<u8>> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, mode, bytes) in members {
            if path.len() > NAME {
                // A long name stands before its member, as a member of its own that ends with a zero byte.
                let mut name = path.clone().into_bytes();
                name.push(0);
                let long = (EntryType::GNULongName, 0o644);
                self.append(&mut builder, LONG_NAME, long, &name)?;
            }
            let kind = if path.ends_with('/') {
                EntryType::Directory
            } else {
                EntryType::Regular
            };
            let content = bytes.unwrap_or_default();
            self.append(&mut builder, &path, (kind, mode), &content)?;
        }
        compressed(&builder.into_inner()?)
    }

    /// Adds a member; of a long name its beginning.
    fn append(
        &self,
        builder: &mut tar::Builder<Vec<u8>>,
        path: &str,
        (kind, mode): (EntryType, u32),
        content: &[u8],
    ) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(self.seconds());
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(content.len() as u64);
        // `./` before every path is what dpkg-deb writes; `tar` itself would leave it out.
        let fields = header.as_gnu_mut().ok_or(io::ErrorKind::InvalidInput)?;
        for (to, from) in fields.name.iter_mut().zip(path.bytes()) {
            *to = from;
        }
        header.set_username("root")?;
        header.set_groupname("root")?;
        header.set_cksum();
        builder.append(&header, content)
    }
}

fn compressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .operating_system(3)
        .write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
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
